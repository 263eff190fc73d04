//! Writing the journal: the engine's side gathers lines, the writing thread puts them into the segment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::format::{CHECK_BYTES, ChecksumChain, EventLine, JOURNAL_VERSION, MARK, SegmentHead, SegmentReason};
use super::previous;
use crate::config::JournalFile;
use crate::control::file_writer::{FileLane, FileWriter, LaneRule, WriteJob, WrittenFile};
use crate::control::records::record::InstanceLife;
use crate::decision::{Decision, Event};
use crate::sys::clock;
use crate::time::MonoTime;

/// Bytes that may wait for the writing thread, and as many that may be gathered in one round of the engine.
const QUEUE: usize = 8 << 20;

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Events that were handed to the writing thread.
    pub recorded: u64,
    /// Events that were dropped: the disk was too slow, or cannot be written.
    pub dropped: u64,
    /// Segments that were begun, in the order of [`SegmentReason::ALL`].
    pub segments: [u64; SegmentReason::ALL.len()],
}

/// The engine's side. Nothing here waits for the disk.
#[derive(Debug)]
pub(in crate::control) struct JournalWriter {
    lane: FileLane,
    shared: Arc<SegmentState>,
    life: InstanceLife,
    /// Lines since the last round, and how many.
    gathered: Vec<u8>,
    lines: u64,
    /// Bytes handed over since the segment began.
    sent: u64,
    /// Events are missing: the next segment begins as soon as it can.
    broken: bool,
    segment: u64,
    /// Bytes of one segment at most.
    most: u64,
    counts: JournalCounts,
}

/// What both sides know of the segment that is written.
#[derive(Debug, Default)]
struct SegmentState {
    /// A segment was asked for, and has not begun yet.
    beginning: AtomicBool,
    /// Bytes of its head and its snapshot.
    base: AtomicU64,
}

impl JournalWriter {
    /// Begins with a snapshot of this decision, whose effects are taken. `failed` hears of the first failure in a row.
    pub(in crate::control) fn begin(
        writer: &FileWriter,
        file: &JournalFile,
        (life, decision): (InstanceLife, &Decision),
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> JournalWriter {
        let shared = Arc::new(SegmentState::default());
        let most = file.max_bytes / 2;
        let target = JournalTarget {
            path: file.path.clone(),
            max_bytes: file.max_bytes,
            open: None,
            shared: Arc::clone(&shared),
        };
        let mut journal = JournalWriter {
            lane: writer.add("journal", target, LaneRule::Queue(QUEUE), failed),
            shared,
            life,
            gathered: Vec::new(),
            lines: 0,
            sent: 0,
            broken: false,
            segment: 0,
            most,
            counts: JournalCounts::default(),
        };
        journal.begin_segment(SegmentReason::Start, decision);
        journal
    }

    /// The core is told this; `None` = a tick.
    pub(in crate::control) fn record(&mut self, event: Option<&Event>, now: MonoTime) {
        let before = self.gathered.len();
        let fits = !self.broken && before < QUEUE;
        let line = EventLine { t: now, e: event };
        if !fits || serde_json::to_writer(&mut self.gathered, &line).is_err() {
            self.gathered.truncate(before);
            self.counts.dropped += 1;
            return self.give_up();
        }
        self.gathered.push(b'\n');
        self.lines += 1;
    }

    /// Once in a round of the engine, when all effects are taken: hands over what was gathered, and begins another segment when
    /// this one is full.
    pub(in crate::control) fn round(&mut self, decision: &Decision) {
        self.flush();
        // One segment is asked for at a time: while the disk cannot be written, none waits behind another.
        if self.shared.beginning.load(Ordering::Acquire) {
            return;
        }
        // (More than the most: a batch was sent before the size of the snapshot was known, and did not fit.)
        let used = self.shared.base.load(Ordering::Acquire) + self.sent;
        self.broken |= used > self.most;
        match (self.broken, used > self.most - self.most / 8) {
            (true, _) => self.begin_segment(SegmentReason::Overflow, decision),
            (false, true) => self.begin_segment(SegmentReason::Full, decision),
            (false, false) => {}
        }
    }

    /// Hands over what was gathered.
    pub(in crate::control) fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let (batch, lines) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.lines));
        let bytes = (batch.len() + CHECK_BYTES) as u64;
        let known = !self.shared.beginning.load(Ordering::Acquire);
        let fits = !known || self.shared.base.load(Ordering::Acquire) + self.sent + bytes <= self.most;
        if fits && self.lane.put(WriteJob::Append(batch)) {
            self.sent += bytes;
            self.counts.recorded += lines;
        } else {
            self.counts.dropped += lines;
            self.give_up();
        }
    }

    /// What was counted.
    pub(in crate::control) fn counts(&self) -> JournalCounts {
        self.counts
    }

    fn give_up(&mut self) {
        self.broken = true;
        self.counts.dropped += std::mem::take(&mut self.lines);
        self.gathered.clear();
    }

    fn begin_segment(&mut self, reason: SegmentReason, decision: &Decision) {
        self.segment += 1;
        let head = SegmentHead {
            standfast_journal: JOURNAL_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            life: self.life.to_string(),
            segment: self.segment,
            reason,
            unix_ms: clock::unix_millis(),
            now: clock::now(),
        };
        // The clone is made in the engine's turn, the text on the writing thread.
        let snapshot = decision.clone();
        let content = move || {
            let mut bytes = serde_json::to_vec(&head)?;
            bytes.push(b'\n');
            serde_json::to_writer(&mut bytes, &snapshot)?;
            bytes.push(b'\n');
            Ok(bytes)
        };
        self.shared.beginning.store(true, Ordering::Release);
        if self.lane.put(WriteJob::Begin(Arc::new(content))) {
            self.counts.segments[reason as usize] += 1;
            (self.sent, self.broken) = (0, false);
        }
    }
}

/// The writing thread's side: the newest segment is at `path`, the one before it beside it.
struct JournalTarget {
    path: PathBuf,
    max_bytes: u64,
    open: Option<OpenSegment>,
    shared: Arc<SegmentState>,
}

struct OpenSegment {
    file: File,
    bytes: u64,
    chain: ChecksumChain,
}

impl JournalTarget {
    fn begin(&mut self, mut content: Vec<u8>) -> io::Result<()> {
        let mut chain = ChecksumChain::begin();
        let check = chain.close(&content);
        content.extend_from_slice(&check);
        let (bytes, most) = (content.len() as u64, self.max_bytes / 2);
        if bytes > most - most / 8 {
            let least = bytes.saturating_mul(4);
            return Err(io::Error::other(format!(
                "a snapshot has {bytes} bytes: journal.max_bytes has to be {least} at least"
            )));
        }
        self.make_room(most)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        if let Err(error) = file.write_all(&content) {
            // (What was begun and not ended is no segment.)
            let _ = fs::remove_file(&self.path);
            return Err(error);
        }
        self.open = Some(OpenSegment { file, bytes, chain });
        self.shared.base.store(bytes, Ordering::Release);
        self.shared.beginning.store(false, Ordering::Release);
        Ok(())
    }

    /// The newest segment becomes the one before. What is no journal is not replaced.
    fn make_room(&mut self, most: u64) -> io::Result<()> {
        self.open = None;
        let before = previous(&self.path);
        match is_journal(&self.path)? {
            None => {}
            Some(true) => fs::rename(&self.path, &before)?,
            Some(false) => return Err(io::Error::other("it is no journal, and is not replaced")),
        }
        // (It may be of a time when more was kept.)
        if fs::metadata(&before).is_ok_and(|found| found.len() > most) {
            fs::remove_file(&before)?;
        }
        Ok(())
    }

    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let most = self.max_bytes / 2;
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.bytes + (batch.len() + CHECK_BYTES) as u64 > most {
            // What follows would lack this: the segment ends here, as the engine finds by the same sum.
            self.open = None;
            return Ok(());
        }
        let mut chain = open.chain.clone();
        let whole = [batch, &chain.close(batch)].concat();
        if let Err(error) = open.file.write_all(&whole) {
            // Whole or not at all: it is written again at the same place.
            open.file.set_len(open.bytes)?;
            io::Seek::seek(&mut open.file, io::SeekFrom::Start(open.bytes))?;
            return Err(error);
        }
        open.bytes += whole.len() as u64;
        open.chain = chain;
        Ok(())
    }
}

impl WrittenFile for JournalTarget {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, job: &WriteJob) -> io::Result<()> {
        match job {
            WriteJob::Begin(content) => self.begin(content()?),
            WriteJob::Append(batch) => self.append(batch),
            WriteJob::Replace(_) => Err(io::Error::other("a journal is not replaced")),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_all())
    }
}

/// Does a journal stand there? `None` = nothing does. An empty file is taken for one.
fn is_journal(path: &Path) -> io::Result<Option<bool>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut begins = Vec::new();
    file.take(MARK.len() as u64).read_to_end(&mut begins)?;
    Ok(Some(MARK.starts_with(&begins)))
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::*;

    fn file(folder: &tempfile::TempDir, max_bytes: u64) -> JournalFile {
        JournalFile { path: folder.path().join("a.journal"), max_bytes }
    }

    fn begin(files: &FileWriter, file: &JournalFile, decision: &Decision) -> JournalWriter {
        JournalWriter::begin(files, file, (InstanceLife::begin(), decision), |problem| panic!("{problem}"))
    }

    /// Waits until the segment that was asked for is there.
    fn begun(journal: &JournalWriter) {
        while journal.shared.beginning.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }

    fn at(micros: u64) -> MonoTime {
        MonoTime::from_micros(micros)
    }

    #[test]
    fn the_newest_events_are_kept_within_the_bound_and_lead_to_the_next_snapshot() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 64 << 10);
        let files = FileWriter::start().unwrap();
        let mut decision = Decision::new(None, at(1));
        let mut journal = begin(&files, &file, &decision);
        let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        for round in 0..2_000_u64 {
            for n in 0..5 {
                let now = at(10 + round * 10 + n);
                journal.record(None, now);
                decision.tick(now);
            }
            begun(&journal);
            journal.round(&decision);
            begun(&journal);
            assert!(size(&file.path) + size(&previous(&file.path)) <= file.max_bytes);
        }
        journal.flush();
        assert_eq!(files.finish(), Vec::<&str>::new());
        let counts = journal.counts();
        assert_eq!((counts.recorded, counts.dropped), (10_000, 0));
        assert!(counts.segments[1] > 3 && counts.segments[2] == 0, "{counts:?}");
        let (old, new) = (read(&previous(&file.path)).unwrap(), read(&file.path).unwrap());
        assert_eq!((old.head.segment + 1, new.head.reason), (new.head.segment, SegmentReason::Full));
        assert_eq!(new.entries.last().map(|(_, t)| *t), Some(at(10 + 1_999 * 10 + 4)), "the newest event is there");
        for path in [&file.path, &previous(&file.path)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_does_not_fit_ends_the_segment_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 16 << 10);
        let files = FileWriter::start().unwrap();
        let decision = Decision::new(None, at(1));
        let mut journal = begin(&files, &file, &decision);
        begun(&journal);
        (0..1_000).for_each(|n| journal.record(None, at(n)));
        journal.round(&decision);
        assert_eq!((journal.counts().segments, journal.counts().dropped), ([1, 0, 1], 1_000));
        // As long as the size of the snapshot is not known, it is found afterwards.
        (0..1_000).for_each(|n| journal.record(None, at(n)));
        journal.flush();
        begun(&journal);
        journal.round(&decision);
        assert_eq!(journal.counts().segments, [1, 0, 2]);
        assert_eq!(files.finish(), Vec::<&str>::new());
        assert_eq!(read(&file.path).unwrap().head.reason, SegmentReason::Overflow);
    }

    #[test]
    fn what_is_no_journal_is_not_replaced_and_events_are_dropped_without_bound_on_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 1 << 20);
        fs::write(&file.path, "precious").unwrap();
        let files = FileWriter::start().unwrap();
        let decision = Decision::new(None, at(1));
        let (told, heard) = std::sync::mpsc::channel();
        let mut journal = JournalWriter::begin(&files, &file, (InstanceLife::begin(), &decision), move |problem| {
            told.send(problem).unwrap()
        });
        assert!(heard.recv().unwrap().contains("no journal"));
        let round = |journal: &mut JournalWriter| {
            (0..100_000).for_each(|n| journal.record(None, at(n)));
            journal.round(&decision);
        };
        (0..6).for_each(|_| round(&mut journal));
        let counts = journal.counts();
        assert!(counts.dropped > 0 && counts.segments == [1, 0, 0], "{counts:?}");
        assert_eq!(files.finish(), ["journal"]);
        assert_eq!(fs::read(&file.path).unwrap(), b"precious");
    }
}
