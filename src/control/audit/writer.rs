//! [`AuditWriter`]: the thread `audit`. Records become lines of the chain; everything that waits is one write and one fsync.

use std::fmt;
use std::io;
use std::path::Path;

use super::desk::{AuditDesk, AuditTurn, FailedWrite};
use super::line::{AuditIdentity, QueuedRecord};
use crate::audit::{AuditChain, CheckpointKey};
use crate::config::AuditCheckpoints;
use crate::control::records::record::{AuditCheckpointRecord, RecordType, RecordedChange};
use crate::sys::clock;
use crate::time::MonoTime;

/// Where lines go.
pub(super) trait LineFile: Send {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// Has these lines on disk, all of them, or has changed nothing. `first`: the number of the first one.
    fn append(&mut self, first: u64, lines: &[u8]) -> io::Result<()>;
}

/// See the module.
pub(super) struct AuditWriter {
    file: Box<dyn LineFile>,
    identity: AuditIdentity,
    key: Option<CheckpointKey>,
    rules: AuditCheckpoints,
    at: WriterState,
    /// When the last checkpoint was.
    signed_at: MonoTime,
}

/// Where the log ends.
#[derive(Clone, Copy)]
struct WriterState {
    chain: AuditChain,
    /// Records since the last checkpoint.
    open: u64,
}

/// Lines that are not written yet.
struct Draft {
    lines: Vec<u8>,
    /// Where the log will end.
    at: WriterState,
    checkpoints: Vec<AuditCheckpointRecord>,
}

impl fmt::Debug for AuditWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditWriter")
            .field("path", &self.file.path())
            .field("chain", &self.at.chain)
            .finish_non_exhaustive()
    }
}

impl AuditWriter {
    /// Goes on with this chain.
    pub(super) fn new(
        file: Box<dyn LineFile>,
        chain: AuditChain,
        identity: AuditIdentity,
        key: Option<CheckpointKey>,
        rules: &AuditCheckpoints,
    ) -> AuditWriter {
        let at = WriterState { chain, open: 0 };
        AuditWriter { file, identity, key, rules: rules.clone(), at, signed_at: clock::now() }
    }

    /// The number of the last record.
    pub(super) fn seq(&self) -> u64 {
        self.at.chain.seq
    }

    /// Writes until nothing more will come. `failed` hears of the first failure in a row.
    pub(super) fn run(mut self, desk: &AuditDesk, failed: &dyn Fn(String)) {
        loop {
            let due = (self.at.open > 0).then(|| self.signed_at.after(self.rules.interval));
            let (records, signs) = match desk.take(due) {
                AuditTurn::Write(records) => (records, false),
                AuditTurn::Checkpoint => (Vec::new(), true),
                AuditTurn::End => break,
            };
            self.turn(desk, records, signs, failed);
        }
        // (The file and its lock go first.)
        drop(self);
        desk.ended();
    }

    fn turn(&mut self, desk: &AuditDesk, records: Vec<QueuedRecord>, signs: bool, failed: &dyn Fn(String)) {
        let path = self.file.path().display().to_string();
        match self.write(&records, signs) {
            Ok(checkpoints) => {
                checkpoints.iter().for_each(say);
                let news = checkpoints.into_iter().map(RecordedChange::AuditCheckpoint).collect();
                if desk.written(records, self.seq(), news) {
                    tracing::info!(path, "the audit log is written again");
                }
            }
            Err(error) => {
                let FailedWrite { is_first, lost } = desk.failed(records, &error);
                if is_first {
                    failed(format!("{path}: {error}"));
                }
                if let Some(lost) = lost {
                    tracing::error!(path, %error, lost, "the last records of the audit log could not be written");
                }
            }
        }
    }

    /// All of them, or none. Returns the checkpoints that were made.
    fn write(&mut self, records: &[QueuedRecord], signs: bool) -> io::Result<Vec<AuditCheckpointRecord>> {
        let mut draft = Draft { lines: Vec::new(), at: self.at, checkpoints: Vec::new() };
        for record in records {
            self.add(&mut draft, record)?;
            draft.at.open += 1;
            if draft.at.open >= self.rules.every {
                self.sign(&mut draft)?;
            }
        }
        if signs {
            self.sign(&mut draft)?;
        }
        if !draft.lines.is_empty() {
            self.file.append(self.at.chain.seq + 1, &draft.lines)?;
        }
        if !draft.checkpoints.is_empty() {
            self.signed_at = clock::now();
        }
        // (The interval begins with the first record behind a checkpoint.)
        if self.at.open == 0 && draft.at.open > 0 {
            self.signed_at = clock::now();
        }
        self.at = draft.at;
        Ok(draft.checkpoints)
    }

    fn add(&self, draft: &mut Draft, record: &QueuedRecord) -> io::Result<()> {
        let line = draft.at.chain.append(record.fields(&self.identity)).map_err(io::Error::other)?;
        draft.lines.extend_from_slice(line.as_bytes());
        draft.lines.push(b'\n');
        Ok(())
    }

    /// A checkpoint of all that is before it. Without a key it is none of the chain's records.
    fn sign(&self, draft: &mut Draft) -> io::Result<()> {
        let chain = draft.at.chain;
        let note = self.key.as_ref().map(|key| key.sign(&chain));
        let checkpoint = AuditCheckpointRecord { seq: chain.seq, hash: chain.head.to_string(), note };
        if checkpoint.note.is_some() {
            self.add(draft, &QueuedRecord::new(RecordType::AuditCheckpoint, None, &checkpoint))?;
        }
        draft.checkpoints.push(checkpoint);
        draft.at.open = 0;
        Ok(())
    }
}

/// The log of the program is a witness, too.
fn say(checkpoint: &AuditCheckpointRecord) {
    let AuditCheckpointRecord { seq, hash, note } = checkpoint;
    tracing::info!(seq, hash, note, "checkpoint of the audit log");
}
