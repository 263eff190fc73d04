//! [`AuditHandle`]: how other rooms put something on record. [`AuditLog`]: the log with its thread.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::denials::Denial;
use super::desk::{AuditCounts, AuditDesk};
use super::error::AuditError;
use super::key::{KeyFile, read_key};
use super::line::{AuditIdentity, QueuedRecord, act_record};
use super::log_file::LogFile;
use super::writer::AuditWriter;
use crate::audit::{AuditChain, CheckpointKey};
use crate::config::{AuditFailurePolicy, AuditFile, Name};
use crate::control::records::record::{ActRecord, ChangeRecord, RecordType, RecordedChange};
use crate::control::records::sink::RecordSink;
use crate::decision::{Act, Actor, ActorKind, InstanceLife};
use crate::sys::clock;

/// How long an act waits for its record.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a stop waits for the last records.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// How long an unwanted end (a panic of the engine) waits for them.
const CRASH_WRITE: Duration = Duration::from_secs(1);

/// Puts acts on record, from any thread.
#[derive(Clone, Debug)]
pub struct AuditHandle {
    desk: Arc<AuditDesk>,
    policy: AuditFailurePolicy,
}

impl AuditHandle {
    /// What becomes of an act that cannot be put on record.
    pub fn policy(&self) -> AuditFailurePolicy {
        self.policy
    }

    /// Records that this act was asked for. Ready when the record is on disk, or when it is known that it is not: after a second at
    /// most. Dropped before, the record is written nevertheless.
    pub fn asked(&self, act: &Act) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let (told, waiting) = oneshot::channel();
        let record = QueuedRecord::asked(act).map(|record| record.told(told));
        let queued = record.and_then(|record| self.desk.put(record));
        async move {
            queued?;
            let until = clock::now().after(LONGEST_WAIT);
            tokio::select! {
                answer = waiting => answer.unwrap_or(Err(AuditError::Closed)),
                () = clock::sleep_until(until) => Err(AuditError::Late),
            }
        }
    }

    /// The same, with the answer to whether the act may be carried out: where its record fails, the policy says so. (Root on this host
    /// may always act.)
    ///
    /// # Errors
    /// It may not.
    pub(in crate::control) async fn admit(&self, act: &Act) -> Result<(), AuditError> {
        let Err(error) = self.asked(act).await else { return Ok(()) };
        let (command, service) = (act.command.as_str(), act.command.service().cloned());
        let named = service.as_deref();
        let actor = &*act.actor.name;
        // (What is too long for a record is a matter of the act, not of the disk.)
        let is_too_long = matches!(error, AuditError::TooLong(_));
        if !is_too_long && (self.policy == AuditFailurePolicy::Continue || is_root(&act.actor)) {
            tracing::error!(service = named, command, actor, %error, "an act is carried out without its record");
            return Ok(());
        }
        tracing::error!(service = named, command, actor, %error, "an act is refused: it cannot be put on record (audit.on_error)");
        let refused = RecordedChange::ActRefused(ActRecord {
            code: Some("not_recorded".to_owned()),
            refusal: Some(error.to_string()),
            ..act_record(act)
        });
        // (It follows what was asked as soon as the disk takes both.)
        let _ = self.desk.put(QueuedRecord::new(RecordType::ActRefused, service, &refused));
        Err(error)
    }

    /// Records a dry run of this act. There is no wait for the disk: nothing has changed.
    pub(in crate::control) fn rehearsed(&self, act: &Act) {
        if let Ok(record) = QueuedRecord::rehearsed(act) {
            self.desk.put_beside(record);
        }
    }

    /// Records that something was denied. Of each source it is one record a second at most, with the number of those that were left out.
    pub fn denied(&self, denial: &Denial<'_>) {
        self.desk.denied(denial);
    }

    /// What was counted since the start.
    pub fn counts(&self) -> AuditCounts {
        self.desk.counts()
    }

    /// Why it cannot be written, while it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.desk.trouble()
    }

    /// Checkpoints and gaps since the last call, as changes for readers of records.
    pub(in crate::control) fn news(&self) -> Vec<RecordedChange> {
        self.desk.news()
    }
}

/// Root on this host can act without a record: else a full disk would lock out the one who can free it.
fn is_root(actor: &Actor) -> bool {
    let root = actor.kind == ActorKind::Local && (actor.name == "root" || actor.name.ends_with("(0)"));
    // (A signal is of root or of this process's user.)
    root || matches!(actor.kind, ActorKind::Signal | ActorKind::Standfast)
}

/// Takes every record; what its own thread made is in the log already.
impl RecordSink for AuditHandle {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        if !matches!(record.change, RecordedChange::AuditGap(_) | RecordedChange::AuditCheckpoint(_)) {
            // (What does not fit is counted, and a gap on record.)
            let _ = self.desk.put(QueuedRecord::of(record));
        }
    }
}

/// A log that is locked and can be written. Nothing is added to it yet.
#[derive(Debug)]
pub(in crate::control) struct OpenAuditLog {
    file: LogFile,
    chain: AuditChain,
    key: Option<CheckpointKey>,
}

/// The log with its thread. Dropping it ends the thread after what waits, and waits for that for a short time.
#[derive(Debug)]
pub(in crate::control) struct AuditLog {
    handle: AuditHandle,
}

impl OpenAuditLog {
    /// Locks the log, looks at its end and at the key, and tries the disk.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(in crate::control) fn open(audit: &AuditFile, instance: &Name) -> Result<OpenAuditLog, String> {
        let key = match &audit.checkpoint.key_file {
            None => None,
            Some(path) => {
                let KeyFile { key, warning } = read_key(instance, path)?;
                warning.iter().for_each(|warning| tracing::warn!("{warning}"));
                Some(key)
            }
        };
        let (file, chain) = LogFile::open(&audit.path, audit.rotate, audit.keep)?;
        Ok(OpenAuditLog { file, chain, key })
    }

    /// Starts the thread. `failed` hears of the first failure in a row, on that thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(in crate::control) fn start(
        self,
        audit: &AuditFile,
        instance: &Name,
        life: InstanceLife,
        failed: impl Fn(String) + Send + 'static,
    ) -> io::Result<AuditLog> {
        let OpenAuditLog { file, chain, key } = self;
        let identity = AuditIdentity { instance: instance.clone(), life };
        let writer = AuditWriter::new(Box::new(file), chain, identity, key, &audit.checkpoint);
        AuditLog::begin(AuditDesk::new(writer.seq()), writer, audit.on_error, failed)
    }
}

impl AuditLog {
    fn begin(
        desk: AuditDesk,
        writer: AuditWriter,
        policy: AuditFailurePolicy,
        failed: impl Fn(String) + Send + 'static,
    ) -> io::Result<AuditLog> {
        let desk = Arc::new(desk);
        let theirs = Arc::clone(&desk);
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run(&theirs, &failed))?;
        Ok(AuditLog { handle: AuditHandle { desk, policy } })
    }

    pub(in crate::control) fn handle(&self) -> &AuditHandle {
        &self.handle
    }

    /// Waits (blocking, bounded) until everything is on disk. False = something is missing.
    pub(in crate::control) fn finish(&self) -> bool {
        self.handle.desk.close(LAST_WRITE)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.handle.desk.close(CRASH_WRITE);
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
