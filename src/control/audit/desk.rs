//! [`AuditDesk`]: what the rest of the process and the thread `audit` share.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::denials::{Denial, DenialTable};
use super::error::AuditError;
use super::line::QueuedRecord;
use crate::control::records::record::{AuditGapRecord, RecordType, RecordedChange};
use crate::sys::clock;
use crate::time::MonoTime;

/// Bytes that may wait for the disk.
const QUEUE: usize = 8 << 20;
/// Bytes that are written at a time.
const BATCH: usize = 256 << 10;
/// Pause before a failed write is tried again. (An act that waits has it tried at once.)
const RETRY: Duration = Duration::from_secs(1);
/// A write that takes longer than this is one of a disk that does not answer.
const HANGS: Duration = Duration::from_secs(1);
/// Checkpoints and gaps that wait for the engine; older ones are dropped.
const NEWS: usize = 64;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditCounts {
    /// The number of the last record on disk: it goes on over restarts.
    pub records: u64,
    /// Writes that failed.
    pub failures: u64,
    /// Records that are missing: the queue was full, or the disk could not be written at the end.
    pub lost: u64,
    /// The last write succeeded, and none takes longer than a second.
    pub is_writable: bool,
}

/// The queue between those who put something on record and the thread that writes it.
#[derive(Debug)]
pub(super) struct AuditDesk {
    state: Mutex<DeskState>,
    changed: Condvar,
    /// Bytes that may wait.
    most: usize,
}

#[derive(Debug, Default)]
struct DeskState {
    queue: VecDeque<QueuedRecord>,
    /// Bytes of the records that wait, and of those in hand.
    bytes: usize,
    /// Records that were refused since the last one that was taken.
    lost: u64,
    counts: AuditCounts,
    /// Why the last write failed.
    failing: Option<String>,
    retry_at: Option<MonoTime>,
    /// A write goes on since then.
    writing_since: Option<MonoTime>,
    denials: DenialTable,
    news: VecDeque<RecordedChange>,
    /// Nothing more will come.
    closed: bool,
    /// The last try at the end has failed: nothing more is written.
    given_up: bool,
    /// The thread has ended.
    ended: bool,
}

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum AuditTurn {
    /// Write these.
    Write(Vec<QueuedRecord>),
    /// Nothing waits, and a checkpoint is due.
    Checkpoint,
    /// Nothing more will come.
    End,
}

/// What a write that failed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedWrite {
    /// The one before it succeeded.
    pub(super) is_first: bool,
    /// It was the last try: so many records are lost.
    pub(super) lost: Option<u64>,
}

impl AuditDesk {
    /// Of a log with so many records.
    pub(super) fn new(records: u64) -> AuditDesk {
        AuditDesk::bounded(records, QUEUE)
    }

    pub(super) fn bounded(records: u64, most: usize) -> AuditDesk {
        let counts = AuditCounts { records, ..AuditCounts::default() };
        let state = DeskState { counts, ..DeskState::default() };
        AuditDesk { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- those who put something on record ----

    /// Has this written soon, behind what waits.
    pub(super) fn put(&self, record: QueuedRecord) -> Result<(), AuditError> {
        self.put_within(self.most, record)
    }

    /// The same for what changes nothing: half of the room is for it, so that it displaces nothing else.
    pub(super) fn put_beside(&self, record: QueuedRecord) {
        // (What does not fit is counted, and a gap on record.)
        let _ = self.put_within(self.most / 2, record);
    }

    fn put_within(&self, most: usize, record: QueuedRecord) -> Result<(), AuditError> {
        let put = self.lock().put(record, most);
        self.changed.notify_all();
        put
    }

    /// Records a denial, or counts it.
    pub(super) fn denied(&self, denial: &Denial<'_>) {
        let mut state = self.lock();
        let was_waiting = state.denials.is_waiting();
        let record = state.denials.denied(denial, clock::now());
        // (A flood wakes the thread no more often than it has something to do.)
        let wakes = record.is_some() || !was_waiting;
        if let Some(record) = record {
            // (What does not fit is counted.)
            let _ = state.put(record, self.most);
        }
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
    }

    pub(super) fn counts(&self) -> AuditCounts {
        let state = self.lock();
        AuditCounts { is_writable: state.trouble().is_none(), ..state.counts }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble()
    }

    pub(super) fn news(&self) -> Vec<RecordedChange> {
        self.lock().news.drain(..).collect()
    }

    /// Nothing more will come. Waits until everything is written; false = something is missing.
    pub(super) fn close(&self, most: Duration) -> bool {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        let before = state.counts.lost;
        let waited = self.changed.wait_timeout_while(state, most, |state| !state.ended);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.ended && state.queue.is_empty() && state.counts.lost == before
    }

    // ---- the thread ----

    /// Waits for something to do; `due`: when the next checkpoint is, if there is something to sign. (It is at the end, too.)
    pub(super) fn take(&self, due: Option<MonoTime>) -> AuditTurn {
        let mut state = self.lock();
        loop {
            if state.given_up {
                return AuditTurn::End;
            }
            let now = clock::now();
            for record in state.denials.due(now) {
                let _ = state.put(record, self.most);
            }
            let retry_at = state.retry_at.filter(|at| !state.closed && *at > now);
            if retry_at.is_none() {
                if state.lost > 0 && state.queue.is_empty() {
                    state.put_gap();
                }
                if !state.queue.is_empty() {
                    state.writing_since = Some(now);
                    return AuditTurn::Write(state.batch());
                }
                if due.is_some_and(|due| state.closed || due <= now) {
                    state.writing_since = Some(now);
                    return AuditTurn::Checkpoint;
                }
                if state.closed {
                    return AuditTurn::End;
                }
            }
            let next = [retry_at.or(due), state.denials.next()].into_iter().flatten().min();
            state = match next {
                Some(at) => {
                    let waited = self.changed.wait_timeout(state, at.since(now).max(Duration::from_millis(1)));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// These records are on disk, up to this number. True = before, it could not be written.
    pub(super) fn written(&self, records: Vec<QueuedRecord>, last: u64, news: Vec<RecordedChange>) -> bool {
        let mut state = self.lock();
        state.bytes -= records.iter().map(QueuedRecord::bytes).sum::<usize>();
        state.counts.records = last;
        (state.writing_since, state.retry_at) = (None, None);
        state.news.extend(news);
        let old = state.news.len().saturating_sub(NEWS);
        state.news.drain(..old);
        let was_failing = state.failing.take().is_some();
        drop(state);
        for waiting in records.into_iter().filter_map(|record| record.waiting) {
            let _ = waiting.send(Ok(()));
        }
        was_failing
    }

    /// These records could not be written. They stay, the first ones of the queue; the acts that wait are told. At the end they are lost.
    pub(super) fn failed(&self, records: Vec<QueuedRecord>, error: &io::Error) -> FailedWrite {
        let mut state = self.lock();
        state.counts.failures += 1;
        state.retry_at = Some(clock::now().after(RETRY));
        state.writing_since = None;
        for record in records.into_iter().rev() {
            state.queue.push_front(record);
        }
        let told: Vec<_> = state.queue.iter_mut().filter_map(|record| record.waiting.take()).collect();
        let is_first = state.failing.replace(error.to_string()).is_none();
        let mut lost = None;
        if state.closed {
            let count = state.queue.len() as u64;
            state.counts.lost += count;
            (lost, state.given_up) = (Some(count), true);
            state.queue.clear();
        }
        drop(state);
        for waiting in told {
            let _ = waiting.send(Err(AuditError::NotWritten(error.to_string())));
        }
        FailedWrite { is_first, lost }
    }

    /// The thread has ended, and nothing of it holds the file.
    pub(super) fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

impl DeskState {
    fn put(&mut self, record: QueuedRecord, most: usize) -> Result<(), AuditError> {
        if self.closed {
            return Err(AuditError::Closed);
        }
        if self.bytes + record.bytes() > most {
            self.lost += 1;
            self.counts.lost += 1;
            return Err(AuditError::Full);
        }
        if self.lost > 0 {
            self.put_gap();
        }
        // An act that waits for a disk that failed before has it tried now.
        if record.waiting.is_some() {
            self.retry_at = None;
        }
        self.bytes += record.bytes();
        self.queue.push_back(record);
        Ok(())
    }

    /// The records that were refused are told where they are missing.
    fn put_gap(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        let gap = QueuedRecord::new(RecordType::AuditGap, None, &AuditGapRecord { lost });
        self.bytes += gap.bytes();
        self.queue.push_back(gap);
        tracing::error!(lost, "records of the audit log are lost: the disk is too slow, or cannot be written");
        self.news.push_back(RecordedChange::AuditGap(AuditGapRecord { lost }));
    }

    fn batch(&mut self) -> Vec<QueuedRecord> {
        let mut bytes = 0;
        let fits = |record: &&QueuedRecord| {
            bytes += record.bytes();
            bytes <= BATCH
        };
        let count = self.queue.iter().take_while(fits).count().max(1);
        self.queue.drain(..count).collect()
    }

    fn trouble(&self) -> Option<String> {
        let hangs = self.writing_since.is_some_and(|since| clock::now().since(since) > HANGS);
        self.failing.clone().or_else(|| hangs.then(|| "the disk does not answer".to_owned()))
    }
}
