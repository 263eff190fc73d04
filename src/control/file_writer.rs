//! [`FileWriter`]: writes the files of the control plane, off the engine's turn and off every request's path.
//!
//! Each file has a [`FileLane`] and a thread of its own: a write that blocks (a hung NFS server) blocks no other file. What is put into
//! a lane is written in that order. A failed write is told once in a row, and tried again every five seconds. At a stop what waits is
//! written once more.

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
/// How long an unwanted end (a panic of the engine) waits for them.
const CRASH_WRITE: Duration = Duration::from_secs(1);

/// Content that is made on the writing thread, once more for every try.
pub(super) type LazyContent = Box<dyn Fn() -> io::Result<Vec<u8>> + Send>;

/// What is to be done to a file.
pub(super) enum WriteJob {
    /// This is all of it, or begins it again.
    Whole(LazyContent),
    /// This comes behind what it has.
    Append(Vec<u8>),
}

impl WriteJob {
    fn bytes(&self) -> usize {
        match self {
            WriteJob::Append(bytes) => bytes.len(),
            WriteJob::Whole(_) => 0,
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
    /// All jobs, with so many bytes together; what is more is refused. After one that was lost at the end none is written: a file has
    /// no gaps.
    Queue(usize),
}

/// The threads. Dropping it ends them after what waits, and waits for that for a short time.
#[derive(Debug, Default)]
pub(super) struct FileWriter {
    desks: Vec<Arc<WriterDesk>>,
}

/// The way to one file.
#[derive(Debug)]
pub(super) struct FileLane {
    desk: Arc<WriterDesk>,
}

/// What a file's thread and the engine share.
#[derive(Debug)]
struct WriterDesk {
    /// What the file is called in messages: `state`.
    name: &'static str,
    rule: LaneRule,
    lane: Mutex<LaneState>,
    changed: Condvar,
}

#[derive(Default)]
struct LaneState {
    jobs: VecDeque<WriteJob>,
    /// Bytes of the jobs that wait.
    bytes: usize,
    /// Bytes of the job that is being written.
    in_hand: usize,
    failing: bool,
    retry_at: Option<MonoTime>,
    /// A job was given up at the end.
    lost: bool,
    written: u64,
    failures: u64,
    /// Nothing more will come.
    closed: bool,
    /// The thread has ended.
    ended: bool,
}

impl fmt::Debug for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LaneState { bytes, failing, closed, .. } = self;
        f.debug_struct("LaneState")
            .field("bytes", bytes)
            .field("failing", failing)
            .field("closed", closed)
            .finish_non_exhaustive()
    }
}

impl FileWriter {
    /// Starts the thread of a file, called `name` in messages. `failed` hears of the first failure in a row, on that thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        mut file: impl WrittenFile + 'static,
        rule: LaneRule,
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> io::Result<FileLane> {
        let desk = Arc::new(WriterDesk { name, rule, lane: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&desk);
        thread::Builder::new().name(format!("file-{name}")).spawn(move || theirs.run(&mut file, &failed))?;
        self.desks.push(Arc::clone(&desk));
        Ok(FileLane { desk })
    }

    /// Waits (blocking, bounded) until everything is on disk or its last try has failed. Returns the names of the files of which
    /// something is missing.
    pub(super) fn finish(&self) -> Vec<&'static str> {
        self.close(LAST_WRITE)
    }

    fn close(&self, most: Duration) -> Vec<&'static str> {
        let until = clock::now().after(most);
        self.desks.iter().for_each(|desk| desk.close());
        self.desks.iter().filter(|desk| !desk.wait_for_end(until)).map(|desk| desk.name).collect()
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.close(CRASH_WRITE);
    }
}

impl FileLane {
    /// Has this done soon. Never blocks for IO. False = too much waits already, or the thread has ended, and it is not taken. The
    /// beginning of a file is always taken: nothing else can end a full queue.
    pub(super) fn put(&self, job: WriteJob) -> bool {
        let mut lane = self.desk.lock();
        if lane.ended {
            return false;
        }
        let is_whole = matches!(job, WriteJob::Whole(_));
        match self.desk.rule {
            LaneRule::Newest => {
                lane.jobs.clear();
                (lane.bytes, lane.retry_at) = (0, None);
            }
            LaneRule::Queue(most) if !is_whole && lane.bytes + lane.in_hand + job.bytes() > most => return false,
            LaneRule::Queue(_) => {}
        }
        lane.bytes += job.bytes();
        lane.jobs.push_back(job);
        drop(lane);
        self.desk.changed.notify_all();
        true
    }

    /// Writes that succeeded and writes that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let lane = self.desk.lock();
        (lane.written, lane.failures)
    }
}

impl WriterDesk {
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Is everything written by then?
    fn wait_for_end(&self, until: MonoTime) -> bool {
        let most = until.since(clock::now());
        let waited = self.changed.wait_timeout_while(self.lock(), most, |lane| !lane.ended);
        let lane = waited.unwrap_or_else(PoisonError::into_inner).0;
        lane.ended && !lane.lost && lane.jobs.is_empty()
    }

    fn run(&self, file: &mut dyn WrittenFile, failed: &dyn Fn(String)) {
        while let Some(job) = self.take() {
            let written = file.write(&job);
            self.done(job, written, file.path(), failed);
        }
        let finished = file.finish();
        let mut lane = self.lock();
        lane.lost |= finished.is_err();
        lane.ended = true;
        self.changed.notify_all();
    }

    /// The next job that is due, or `None` when there will be none. At the end nothing waits for its retry.
    fn take(&self) -> Option<WriteJob> {
        let mut lane = self.lock();
        loop {
            let now = clock::now();
            let retry_at = lane.retry_at.filter(|at| !lane.closed && *at > now && !lane.jobs.is_empty());
            if retry_at.is_none()
                && let Some(job) = lane.jobs.pop_front()
            {
                lane.in_hand = job.bytes();
                lane.bytes -= lane.in_hand;
                return Some(job);
            }
            if lane.closed {
                return None;
            }
            lane = match retry_at {
                Some(at) => {
                    let waited = self.changed.wait_timeout(lane, at.since(now).max(Duration::from_millis(1)));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(lane).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A write ended. A failed one is tried again later, unless a newer job replaces it or the writer is to end.
    fn done(&self, job: WriteJob, written: io::Result<()>, path: &Path, failed: &dyn Fn(String)) {
        let (name, path) = (self.name, path.display().to_string());
        let mut lane = self.lock();
        lane.in_hand = 0;
        let was_failing = std::mem::replace(&mut lane.failing, written.is_err());
        match &written {
            Ok(()) => {
                lane.written += 1;
                lane.retry_at = None;
            }
            Err(_) => {
                lane.failures += 1;
                let replaced = self.rule == LaneRule::Newest && !lane.jobs.is_empty();
                if !replaced && lane.closed {
                    lane.lost = true;
                    lane.jobs.clear();
                    lane.bytes = 0;
                } else if !replaced {
                    lane.bytes += job.bytes();
                    lane.jobs.push_front(job);
                    lane.retry_at = Some(clock::now().after(RETRY));
                }
            }
        }
        drop(lane);
        match written {
            Ok(()) if was_failing => tracing::info!(path, "the {name} file is written again"),
            Err(error) if !was_failing => failed(format!("{path}: {error}")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc;

    use super::*;

    /// Fails always.
    const ALWAYS: usize = usize::MAX;

    /// Says what it was asked for, and fails as often as it is told to.
    struct Told {
        path: PathBuf,
        name: &'static str,
        told: mpsc::Sender<String>,
        broken: Arc<Mutex<usize>>,
    }

    impl WrittenFile for Told {
        fn path(&self) -> &Path {
            &self.path
        }

        fn write(&mut self, job: &WriteJob) -> io::Result<()> {
            let mut left = self.broken.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(io::Error::other("no space"));
            }
            let bytes = match job {
                WriteJob::Append(bytes) => bytes.clone(),
                WriteJob::Whole(content) => content()?,
            };
            self.told.send(format!("{} {}", self.name, String::from_utf8(bytes).unwrap())).unwrap();
            Ok(())
        }
    }

    type LaneForTest = (FileLane, Arc<Mutex<usize>>, mpsc::Receiver<String>);

    fn lane(writer: &mut FileWriter, name: &'static str, rule: LaneRule, told: &mpsc::Sender<String>) -> LaneForTest {
        let broken = Arc::new(Mutex::new(0));
        let (problems, heard) = mpsc::channel();
        let file = Told { path: name.into(), name, told: told.clone(), broken: Arc::clone(&broken) };
        let lane = writer.add(name, file, rule, move |problem| problems.send(problem).unwrap()).unwrap();
        (lane, broken, heard)
    }

    fn text(text: &str) -> WriteJob {
        WriteJob::Append(text.into())
    }

    fn whole(text: impl Into<Vec<u8>>) -> WriteJob {
        let bytes = text.into();
        WriteJob::Whole(Box::new(move || Ok(bytes.clone())))
    }

    #[test]
    fn a_lane_keeps_its_order_and_the_stop_waits_for_all_of_it() {
        let mut writer = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let (one, ..) = lane(&mut writer, "one", LaneRule::Queue(1 << 20), &told);
        let (two, ..) = lane(&mut writer, "two", LaneRule::Queue(1 << 20), &told);
        for n in 0..200 {
            assert!(one.put(text(&n.to_string())) && two.put(whole(n.to_string())));
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
        let mut writer = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let (bad, broken, problems) = lane(&mut writer, "bad", LaneRule::Queue(8), &told);
        let (good, ..) = lane(&mut writer, "good", LaneRule::Newest, &told);
        *broken.lock().unwrap() = ALWAYS;
        assert!(bad.put(text("1234")));
        assert_eq!(problems.recv().unwrap(), "bad: no space");
        assert!(good.put(whole("state")));
        assert_eq!(heard.recv().unwrap(), "good state");
        assert!(bad.put(text("5678")) && !bad.put(text("9")), "the queue is full");
        *broken.lock().unwrap() = 0;
        assert_eq!(writer.finish(), Vec::<&str>::new(), "the last try succeeds");
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["bad 1234", "bad 5678"], "in their order");
        assert!(problems.try_recv().is_err());
    }

    #[test]
    fn what_cannot_be_written_at_the_end_is_named() {
        let mut writer = FileWriter::default();
        let (told, _heard) = mpsc::channel();
        let (bad, broken, _problems) = lane(&mut writer, "bad", LaneRule::Newest, &told);
        *broken.lock().unwrap() = ALWAYS;
        assert!(bad.put(text("1")));
        assert_eq!(writer.finish(), ["bad"]);
        assert!(bad.counts().1 >= 1);
    }
    #[test]
    fn after_a_job_that_was_lost_at_the_end_none_is_written() {
        let mut writer = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let (bad, broken, problems) = lane(&mut writer, "bad", LaneRule::Queue(1 << 20), &told);
        *broken.lock().unwrap() = 2;
        assert!(bad.put(text("1")));
        problems.recv().unwrap();
        assert!(bad.put(text("2")) && bad.put(text("3")));
        assert_eq!(writer.finish(), ["bad"]);
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), Vec::<String>::new());
        assert!(!bad.put(text("4")), "the thread has ended");
    }

    #[test]
    fn a_full_queue_takes_a_beginning() {
        let mut writer = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let (bad, broken, problems) = lane(&mut writer, "bad", LaneRule::Queue(4), &told);
        *broken.lock().unwrap() = ALWAYS;
        assert!(bad.put(text("1234")));
        problems.recv().unwrap();
        assert!(!bad.put(text("5")) && bad.put(whole("again")));
        *broken.lock().unwrap() = 0;
        assert_eq!(writer.finish(), Vec::<&str>::new());
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["bad 1234", "bad again"]);
    }

    /// Blocks until it is let go.
    struct Hung(mpsc::Receiver<()>);

    impl WrittenFile for Hung {
        fn path(&self) -> &Path {
            Path::new("hung")
        }

        fn write(&mut self, _: &WriteJob) -> io::Result<()> {
            let _ = self.0.recv();
            Ok(())
        }
    }

    #[test]
    fn a_write_that_blocks_blocks_no_other_file_and_its_bytes_count() {
        let mut writer = FileWriter::default();
        let (told, heard) = mpsc::channel();
        let (let_go, hung) = mpsc::channel();
        let hung = writer.add("hung", Hung(hung), LaneRule::Queue(4), |problem| panic!("{problem}")).unwrap();
        let (state, ..) = lane(&mut writer, "state", LaneRule::Newest, &told);
        assert!(hung.put(text("1234")));
        assert!(state.put(whole("1")));
        assert_eq!(heard.recv().unwrap(), "state 1");
        assert!(!hung.put(text("5")), "waiting or in hand, they are not written");
        drop(let_go);
        assert_eq!(writer.finish(), Vec::<&str>::new());
    }
}
