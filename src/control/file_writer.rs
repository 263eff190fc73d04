//! [`FileWriter`]: the one thread that writes the files of the control plane, off the engine's turn and off every request's path.
//!
//! Each file has a [`FileLane`]. What is put into a lane is written in that order. A failed write is told once in a row, and tried
//! again every five seconds; the other files do not wait for it. At a stop what waits is written once more.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::sys::clock;
use crate::time::MonoTime;

/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long a stop waits for the last writes.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// Content that is made on the writing thread.
pub(super) type LazyContent = Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

/// What is to be done to a file.
#[derive(Clone)]
pub(super) enum WriteJob {
    /// This is all of it.
    Replace(Vec<u8>),
    /// It begins with this.
    Begin(LazyContent),
    /// This comes behind what it has.
    Append(Vec<u8>),
}

impl WriteJob {
    fn bytes(&self) -> usize {
        match self {
            WriteJob::Replace(bytes) | WriteJob::Append(bytes) => bytes.len(),
            WriteJob::Begin(_) => 0,
        }
    }
}

/// A file, as the thread writes it.
pub(super) trait WrittenFile: Send {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// Does one job, whole or not at all. What fails may be asked for again.
    fn write(&mut self, job: &WriteJob) -> io::Result<()>;

    /// Nothing more will come.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What may wait for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneRule {
    /// The newest job alone: it replaces the one that waits.
    Newest,
    /// Jobs with so many bytes together; what is more is refused.
    Queue(usize),
}

/// The thread. Dropping it lets the thread end after what waits.
#[derive(Debug)]
pub(super) struct FileWriter {
    desk: Arc<WriterDesk>,
}

/// The way to one file.
#[derive(Debug)]
pub(super) struct FileLane {
    desk: Arc<WriterDesk>,
    index: usize,
}

#[derive(Debug, Default)]
struct WriterDesk {
    lanes: Mutex<Lanes>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    lanes: Vec<LaneState>,
    /// Where the next search begins: no file waits for another one that is written all the time.
    next: usize,
    /// Nothing more will come.
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

struct LaneState {
    /// What it is called in messages: `state`.
    name: &'static str,
    rule: LaneRule,
    jobs: VecDeque<WriteJob>,
    bytes: usize,
    /// `None` while the thread has it in hand.
    file: Option<Box<dyn WrittenFile>>,
    /// Hears of the first failure in a row.
    failed: Arc<dyn Fn(String) + Send + Sync>,
    failing: bool,
    retry_at: Option<MonoTime>,
    /// A job was given up at the end.
    lost: bool,
    written: u64,
    failures: u64,
}

impl fmt::Debug for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LaneState { name, rule, bytes, failing, .. } = self;
        f.debug_struct("LaneState")
            .field("name", name)
            .field("rule", rule)
            .field("bytes", bytes)
            .field("failing", failing)
            .finish_non_exhaustive()
    }
}

impl FileWriter {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<FileWriter> {
        let desk = Arc::new(WriterDesk::default());
        let theirs = Arc::clone(&desk);
        thread::Builder::new().name("file-writer".into()).spawn(move || theirs.run())?;
        Ok(FileWriter { desk })
    }

    /// Takes over a file, called `name` in messages. `failed` hears of the first failure in a row, on the writing thread.
    pub(super) fn add(
        &self,
        name: &'static str,
        file: impl WrittenFile + 'static,
        rule: LaneRule,
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> FileLane {
        let lane = LaneState {
            name,
            rule,
            jobs: VecDeque::new(),
            bytes: 0,
            file: Some(Box::new(file)),
            failed: Arc::new(failed),
            failing: false,
            retry_at: None,
            lost: false,
            written: 0,
            failures: 0,
        };
        let mut lanes = self.desk.lock();
        lanes.lanes.push(lane);
        FileLane { desk: Arc::clone(&self.desk), index: lanes.lanes.len() - 1 }
    }

    /// Waits (blocking, bounded) until everything is on disk or its last try has failed. Returns the names of the files of which
    /// something is missing.
    pub(super) fn finish(&self) -> Vec<&'static str> {
        let mut lanes = self.desk.lock();
        lanes.closed = true;
        self.desk.changed.notify_all();
        let waited = self.desk.changed.wait_timeout_while(lanes, LAST_WRITE, |lanes| !lanes.ended);
        let lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
        let missing = |lane: &&LaneState| lane.lost || !lane.jobs.is_empty() || lane.file.is_none();
        lanes.lanes.iter().filter(missing).map(|lane| lane.name).collect()
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl FileLane {
    /// Has this done soon. Never blocks for IO. False = too much waits already, and it is not taken.
    pub(super) fn put(&self, job: WriteJob) -> bool {
        let mut lanes = self.desk.lock();
        let lane = &mut lanes.lanes[self.index];
        match lane.rule {
            LaneRule::Newest => {
                lane.jobs.clear();
                (lane.bytes, lane.retry_at) = (0, None);
            }
            LaneRule::Queue(most) if lane.bytes + job.bytes() > most => return false,
            LaneRule::Queue(_) => {}
        }
        lane.bytes += job.bytes();
        lane.jobs.push_back(job);
        drop(lanes);
        self.desk.changed.notify_all();
        true
    }

    /// Writes that succeeded and writes that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let lanes = self.desk.lock();
        let lane = &lanes.lanes[self.index];
        (lane.written, lane.failures)
    }
}

/// A job in hand.
struct JobInHand {
    index: usize,
    file: Box<dyn WrittenFile>,
    job: WriteJob,
}

impl WriterDesk {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(mut hand) = self.take() {
            let written = hand.file.write(&hand.job);
            self.done(hand, written);
        }
        let mut lanes = self.lock();
        for lane in &mut lanes.lanes {
            let finished = lane.file.as_mut().map_or(Ok(()), |file| file.finish());
            lane.lost |= finished.is_err();
        }
        lanes.ended = true;
        self.changed.notify_all();
    }

    /// The next job, or `None` when there will be none.
    fn take(&self) -> Option<JobInHand> {
        let mut lanes = self.lock();
        loop {
            let now = clock::now();
            if let Some(hand) = lanes.take(now) {
                return Some(hand);
            }
            if lanes.closed {
                return None;
            }
            let waiting = lanes.lanes.iter().filter(|lane| !lane.jobs.is_empty());
            lanes = match waiting.filter_map(|lane| lane.retry_at).min() {
                Some(at) => {
                    let waited = self.changed.wait_timeout(lanes, at.since(now).max(Duration::from_millis(1)));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A write ended. A failed one is tried again later, unless a newer job replaces it or the writer is to end.
    fn done(&self, hand: JobInHand, written: io::Result<()>) {
        let JobInHand { index, file, job } = hand;
        let path = file.path().display().to_string();
        let mut lanes = self.lock();
        let closed = lanes.closed;
        let lane = &mut lanes.lanes[index];
        lane.file = Some(file);
        let (name, failed) = (lane.name, Arc::clone(&lane.failed));
        let was_failing = std::mem::replace(&mut lane.failing, written.is_err());
        match &written {
            Ok(()) => {
                lane.written += 1;
                lane.retry_at = None;
            }
            Err(_) => {
                lane.failures += 1;
                let replaced = lane.rule == LaneRule::Newest && !lane.jobs.is_empty();
                lane.lost |= closed && !replaced;
                if !closed && !replaced {
                    lane.bytes += job.bytes();
                    lane.jobs.push_front(job);
                    lane.retry_at = Some(clock::now().after(RETRY));
                }
            }
        }
        drop(lanes);
        match written {
            Ok(()) if was_failing => tracing::info!(path, "the {name} file is written again"),
            Err(error) if !was_failing => failed(format!("{path}: {error}")),
            _ => {}
        }
        self.changed.notify_all();
    }
}

impl Lanes {
    /// A job that is due, from the lanes in turn. At the end nothing waits for its retry.
    fn take(&mut self, now: MonoTime) -> Option<JobInHand> {
        let count = self.lanes.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            let lane = &mut self.lanes[index];
            if !self.closed && lane.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let Some(job) = lane.jobs.pop_front() else { continue };
            let Some(file) = lane.file.take() else { continue };
            lane.bytes -= job.bytes();
            self.next = index + 1;
            return Some(JobInHand { index, file, job });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc;

    use super::*;

    /// Says what it was asked for, and fails as long as it is told to.
    struct Told {
        path: PathBuf,
        name: &'static str,
        told: mpsc::Sender<String>,
        broken: Arc<Mutex<bool>>,
    }

    impl WrittenFile for Told {
        fn path(&self) -> &Path {
            &self.path
        }

        fn write(&mut self, job: &WriteJob) -> io::Result<()> {
            if *self.broken.lock().unwrap() {
                return Err(io::Error::other("no space"));
            }
            let bytes = match job {
                WriteJob::Replace(bytes) | WriteJob::Append(bytes) => bytes.clone(),
                WriteJob::Begin(content) => content()?,
            };
            self.told.send(format!("{} {}", self.name, String::from_utf8(bytes).unwrap())).unwrap();
            Ok(())
        }
    }

    type LaneForTest = (FileLane, Arc<Mutex<bool>>, mpsc::Receiver<String>);

    fn lane(writer: &FileWriter, name: &'static str, rule: LaneRule, told: &mpsc::Sender<String>) -> LaneForTest {
        let broken = Arc::new(Mutex::new(false));
        let (problems, heard) = mpsc::channel();
        let file = Told { path: name.into(), name, told: told.clone(), broken: Arc::clone(&broken) };
        let lane = writer.add(name, file, rule, move |problem| problems.send(problem).unwrap());
        (lane, broken, heard)
    }

    fn text(text: &str) -> WriteJob {
        WriteJob::Append(text.into())
    }

    #[test]
    fn a_lane_keeps_its_order_and_the_stop_waits_for_all_of_it() {
        let writer = FileWriter::start().unwrap();
        let (told, heard) = mpsc::channel();
        let (one, ..) = lane(&writer, "one", LaneRule::Queue(1 << 20), &told);
        let (two, ..) = lane(&writer, "two", LaneRule::Queue(1 << 20), &told);
        for n in 0..200 {
            assert!(
                one.put(text(&n.to_string())) && two.put(WriteJob::Begin(Arc::new(move || Ok(n.to_string().into()))))
            );
        }
        assert_eq!(writer.finish(), Vec::<&str>::new());
        let all: Vec<String> = heard.try_iter().collect();
        for name in ["one", "two"] {
            let of: Vec<&String> = all.iter().filter(|line| line.starts_with(name)).collect();
            assert_eq!(of, (0..200).map(|n| format!("{name} {n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        }
        assert_eq!(one.counts(), (200, 0));
    }

    #[test]
    fn a_file_that_fails_is_told_once_and_others_do_not_wait_for_it() {
        let writer = FileWriter::start().unwrap();
        let (told, heard) = mpsc::channel();
        let (bad, broken, problems) = lane(&writer, "bad", LaneRule::Queue(8), &told);
        let (good, ..) = lane(&writer, "good", LaneRule::Newest, &told);
        *broken.lock().unwrap() = true;
        assert!(bad.put(text("1234")));
        assert_eq!(problems.recv().unwrap(), "bad: no space");
        assert!(good.put(WriteJob::Replace("state".into())));
        assert_eq!(heard.recv().unwrap(), "good state");
        assert!(bad.put(text("5678")) && !bad.put(text("9")), "the queue is full");
        *broken.lock().unwrap() = false;
        assert_eq!(writer.finish(), Vec::<&str>::new(), "the last try succeeds");
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["bad 1234", "bad 5678"], "in their order");
        assert!(problems.try_recv().is_err());
    }

    #[test]
    fn what_cannot_be_written_at_the_end_is_named() {
        let writer = FileWriter::start().unwrap();
        let (told, _heard) = mpsc::channel();
        let (bad, broken, _problems) = lane(&writer, "bad", LaneRule::Newest, &told);
        *broken.lock().unwrap() = true;
        assert!(bad.put(text("1")));
        assert_eq!(writer.finish(), ["bad"]);
        assert!(bad.counts().1 >= 1);
    }
}
