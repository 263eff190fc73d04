//! The engine's side of the journal: gathers lines, and hands them to the file's thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::format::{CHECK_BYTES, EventLine, JOURNAL_VERSION, SegmentHead, SegmentReason};
use super::target::{JournalTarget, SegmentState};
use crate::config::JournalFile;
use crate::control::file_writer::{FileLane, FileWriter, LaneRule, WriteJob};
use crate::decision::InstanceLife;
use crate::decision::{Decision, Event};
use crate::sys::clock;
use crate::time::MonoTime;

/// Bytes that may wait for the file's thread, and as many that may be gathered in one round of the engine.
const QUEUE: usize = 8 << 20;
/// Shortest time between the beginnings of two segments: each costs the engine a clone of the whole decision.
const SEGMENT_PAUSE: Duration = Duration::from_secs(10);

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Events that were handed to the file's thread.
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
    /// When the segment was asked for, and the shortest time until the next one is.
    begun: MonoTime,
    pause: Duration,
    /// Bytes of one file at most.
    most: u64,
    counts: JournalCounts,
}

impl JournalWriter {
    /// Begins with a snapshot of this decision, whose effects are taken. `failed` hears of the first failure in a row.
    ///
    /// # Errors
    /// The file's thread could not be started.
    pub(in crate::control) fn begin(
        writer: &mut FileWriter,
        file: &JournalFile,
        (life, decision): (InstanceLife, &Decision),
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> io::Result<JournalWriter> {
        let shared = Arc::new(SegmentState::default());
        let most = file.max_bytes / 2;
        let target = JournalTarget::new(file.path.clone(), most, Arc::clone(&shared));
        let mut journal = JournalWriter {
            lane: writer.add("journal", target, LaneRule::Queue(QUEUE), failed)?,
            shared,
            life,
            gathered: Vec::new(),
            lines: 0,
            sent: 0,
            broken: false,
            segment: 0,
            begun: clock::now(),
            pause: SEGMENT_PAUSE,
            most,
            counts: JournalCounts::default(),
        };
        journal.begin_segment(SegmentReason::Start, decision);
        Ok(journal)
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
        // (What does not fit until then is dropped and counted.)
        if clock::now().since(self.begun) < self.pause {
            return;
        }
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
        let now = clock::now();
        let head = SegmentHead {
            standfast_journal: JOURNAL_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            life: self.life.to_string(),
            segment: self.segment,
            reason,
            unix_ms: clock::unix_millis(),
            now,
        };
        // The clone is made in the engine's turn, the text on the file's thread.
        let snapshot = decision.clone();
        let content = move || {
            let mut bytes = serde_json::to_vec(&head)?;
            bytes.push(b'\n');
            serde_json::to_writer(&mut bytes, &snapshot)?;
            bytes.push(b'\n');
            Ok(bytes)
        };
        self.begun = now;
        self.shared.beginning.store(true, Ordering::Release);
        if self.lane.put(WriteJob::Whole(Box::new(content))) {
            self.counts.segments[reason as usize] += 1;
            (self.sent, self.broken) = (0, false);
        } else {
            // It is asked for again, later.
            self.broken = true;
            self.shared.beginning.store(false, Ordering::Release);
        }
    }
}

/// What was gathered before a panic of the engine holds the event that led to it.
impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;

    use super::super::read::{JournalSegment, read};
    use super::*;
    use crate::config::file_names::{PREVIOUS, beside};
    use crate::control::records::record::begin_life;

    /// Longer than the beginning of a segment may take, on a machine that does other things too.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn file(folder: &tempfile::TempDir, max_bytes: u64) -> JournalFile {
        JournalFile { path: folder.path().join("a.journal"), max_bytes }
    }

    /// One that may begin segments without a pause.
    fn begin(files: &mut FileWriter, file: &JournalFile, decision: &Decision) -> JournalWriter {
        let begins = (begin_life(), decision);
        let mut journal = JournalWriter::begin(files, file, begins, |problem| panic!("{problem}")).unwrap();
        journal.pause = Duration::ZERO;
        journal
    }

    /// The file before the newest one.
    fn previous(path: &Path) -> PathBuf {
        beside(path, PREVIOUS)
    }

    /// The segments of one file.
    fn segments(path: &Path) -> Vec<JournalSegment> {
        read(path).unwrap().into_iter().map(Result::unwrap).collect()
    }

    /// Waits until the segment that was asked for is there.
    fn begun(journal: &JournalWriter) {
        let asked = clock::now();
        while journal.shared.beginning.load(Ordering::Acquire) {
            assert!(clock::now().since(asked) < PATIENCE, "the segment does not begin");
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
        let mut files = FileWriter::default();
        let mut decision = Decision::new(None, at(1));
        let mut journal = begin(&mut files, &file, &decision);
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
        let (old, new) = (segments(&previous(&file.path)).remove(0), segments(&file.path).remove(0));
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
        let mut files = FileWriter::default();
        let decision = Decision::new(None, at(1));
        let mut journal = begin(&mut files, &file, &decision);
        begun(&journal);
        journal.pause = SEGMENT_PAUSE;
        (0..1_000).for_each(|n| journal.record(None, at(n)));
        journal.round(&decision);
        assert_eq!((journal.counts().segments, journal.counts().dropped), ([1, 0, 0], 1_000), "not so soon");
        journal.pause = Duration::ZERO;
        journal.round(&decision);
        assert_eq!((journal.counts().segments, journal.counts().dropped), ([1, 0, 1], 1_000));
        // As long as the size of the snapshot is not known, it is found afterwards.
        (0..1_000).for_each(|n| journal.record(None, at(n)));
        journal.flush();
        begun(&journal);
        journal.round(&decision);
        assert_eq!(journal.counts().segments, [1, 0, 2]);
        assert_eq!(files.finish(), Vec::<&str>::new());
        assert_eq!(segments(&file.path)[0].head.reason, SegmentReason::Overflow);
    }

    #[test]
    fn what_is_no_journal_is_not_replaced_and_events_are_dropped_without_bound_on_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 1 << 20);
        fs::write(&file.path, "precious").unwrap();
        let mut files = FileWriter::default();
        let decision = Decision::new(None, at(1));
        let (told, heard) = mpsc::channel();
        let mut journal = JournalWriter::begin(&mut files, &file, (begin_life(), &decision), move |problem| {
            told.send(problem).unwrap()
        })
        .unwrap();
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

    #[test]
    fn a_snapshot_that_leaves_little_room_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let decision = Decision::new(None, at(1));
        let bytes = serde_json::to_vec(&decision).unwrap().len() as u64;
        let file = file(&folder, bytes * 8);
        let mut files = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let begins = (begin_life(), &decision);
        let journal = JournalWriter::begin(&mut files, &file, begins, move |problem| told.send(problem).unwrap());
        let _journal = journal.unwrap();
        assert!(heard.recv().unwrap().contains("journal.max_bytes has to be"));
        assert_eq!(files.finish(), ["journal"]);
        assert!(!file.path.exists());
    }

    #[test]
    fn a_beginning_that_is_not_taken_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 1 << 20);
        let mut files = FileWriter::default();
        let decision = Decision::new(None, at(1));
        let mut journal = begin(&mut files, &file, &decision);
        assert_eq!(files.finish(), Vec::<&str>::new());
        journal.begin_segment(SegmentReason::Full, &decision);
        assert!(journal.broken && !journal.shared.beginning.load(Ordering::Acquire));
        assert_eq!(journal.counts().segments, [1, 0, 0]);
    }

    #[test]
    fn what_was_gathered_is_handed_over_when_the_engine_panics() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 1 << 20);
        // (As in the engine: what is declared later is dropped before.)
        let mut files = FileWriter::default();
        let mut journal = begin(&mut files, &file, &Decision::new(None, at(1)));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            journal.record(None, at(7));
            std::panic::resume_unwind(Box::new("the core"));
        }));
        assert!(panicked.is_err());
        drop(files);
        assert_eq!(segments(&file.path)[0].entries, [(None, at(7))]);
    }

    #[test]
    fn quick_restarts_keep_the_incident_before_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, 64 << 10);
        let decision = Decision::new(None, at(1));
        let mut kept = Vec::new();
        for life in 0..6 {
            let mut files = FileWriter::default();
            let mut journal = begin(&mut files, &file, &decision);
            // The incident fills more than the half that a start adds to.
            let events = if life == 0 { 1_000 } else { 1 };
            (0..events).for_each(|n| journal.record(None, at(n)));
            kept.push(journal.life.to_string());
            drop(journal);
            assert_eq!(files.finish(), Vec::<&str>::new());
        }
        let (old, new) = (segments(&previous(&file.path)), segments(&file.path));
        assert_eq!((old.len(), old[0].entries.len()), (1, 1_000));
        let lives: Vec<_> = old.iter().chain(&new).map(|segment| segment.head.life.clone()).collect();
        assert_eq!(lives, kept);
        assert!(new.iter().all(|segment| segment.entries.len() == 1 && segment.torn == 0));
    }
}
