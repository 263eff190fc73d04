//! A bounded queue of finished lines and one thread that writes them, so that a slow disk or a stopped terminal never holds up a
//! producer. Lines that find the queue full are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What lines are written to.
pub type LineSink = Box<dyn Write + Send>;

/// A handle to the queue; clones share it.
#[derive(Clone)]
pub struct LineQueue {
    shared: Arc<QueueState>,
    queue: SyncSender<WriterMessage>,
}

struct QueueState {
    /// The sink that takes the place of the current one.
    next: Mutex<Option<LineSink>>,
    replaced: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// Disconnects when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

enum WriterMessage {
    Lines {
        bytes: Vec<u8>,
        count: u64,
    },
    /// Look at `replaced`.
    Wake,
    Stop,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Handed to the operating system.
    pub written: u64,
    /// Lost because the queue was full (or already closed).
    pub dropped: u64,
    /// Lost because writing failed.
    pub failed: u64,
}

impl LineQueue {
    /// Starts the thread `name`. `queue` bounds the messages that wait. `troubled` is told when writing begins to fail,
    /// once until it works again.
    pub fn start(name: &str, queue: usize, sink: LineSink, troubled: fn(&io::Error)) -> io::Result<LineQueue> {
        let (sender, receiver) = sync_channel(queue);
        let (alive, ended) = sync_channel(0);
        let shared = Arc::new(QueueState {
            next: Mutex::new(None),
            replaced: AtomicBool::new(false),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: Mutex::new(ended),
        });
        let writer = LineWriter { shared: shared.clone(), sink, troubled, failing: false, torn: false };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            writer.run(receiver);
            drop(alive);
        })?;
        Ok(LineQueue { shared, queue: sender })
    }

    /// Hands over whole lines without waiting; they come back when the queue is full.
    pub fn offer(&self, bytes: Vec<u8>, count: u64) -> Result<(), Vec<u8>> {
        match self.queue.try_send(WriterMessage::Lines { bytes, count }) {
            Ok(()) => Ok(()),
            Err(
                TrySendError::Full(WriterMessage::Lines { bytes, .. })
                | TrySendError::Disconnected(WriterMessage::Lines { bytes, .. }),
            ) => Err(bytes),
            Err(_) => Ok(()),
        }
    }

    /// Counts lines that were dropped.
    pub fn lost(&self, count: u64) {
        self.shared.dropped.fetch_add(count, Relaxed);
    }

    /// Writes to another sink from now on (after what is being written).
    pub fn replace(&self, sink: LineSink) {
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
        self.shared.replaced.store(true, Relaxed);
        // A full queue wakes the thread just as well.
        let _ = self.queue.try_send(WriterMessage::Wake);
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> LineCounts {
        let shared = &self.shared;
        LineCounts {
            written: shared.written.load(Relaxed),
            dropped: shared.dropped.load(Relaxed),
            failed: shared.failed.load(Relaxed),
        }
    }

    /// Writes what waits and ends the thread. Gives up after `wait`: a stuck disk does not hold up a stop.
    pub fn finish(&self, wait: Duration) {
        const PAUSE: Duration = Duration::from_millis(5);
        let mut left = wait;
        while let Err(TrySendError::Full(_)) = self.queue.try_send(WriterMessage::Stop) {
            if left.is_zero() {
                return;
            }
            std::thread::sleep(PAUSE);
            left = left.saturating_sub(PAUSE);
        }
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // An answer or a timeout: both end the wait.
        let _ = ended.recv_timeout(left);
    }
}

impl std::fmt::Debug for LineQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts().fmt(f)
    }
}

struct LineWriter {
    shared: Arc<QueueState>,
    sink: LineSink,
    troubled: fn(&io::Error),
    failing: bool,
    /// The sink took a part of a line and then no more: what comes next begins on a line of its own.
    torn: bool,
}

impl LineWriter {
    /// Ends when told to stop or when every handle is gone. The queue is closed when it returns.
    fn run(mut self, queue: Receiver<WriterMessage>) {
        while let Ok(message) = queue.recv() {
            if self.shared.replaced.swap(false, Relaxed) {
                self.change_sink();
            }
            match message {
                WriterMessage::Lines { bytes, count } => self.write(&bytes, count),
                WriterMessage::Wake => {}
                WriterMessage::Stop => break,
            }
        }
    }

    fn change_sink(&mut self) {
        if let Some(sink) = self.shared.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.sink = sink;
            self.failing = false;
            self.torn = false;
        }
    }

    fn write(&mut self, bytes: &[u8], count: u64) {
        let mut taken = 0;
        let result = self.mend().and_then(|()| self.write_all(bytes, &mut taken));
        let whole = match result {
            Ok(()) => {
                self.failing = false;
                count
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    (self.troubled)(&error);
                }
                memchr::memchr_iter(b'\n', &bytes[..taken]).count() as u64
            }
        };
        let whole = whole.min(count);
        self.shared.written.fetch_add(whole, Relaxed);
        self.shared.failed.fetch_add(count - whole, Relaxed);
    }

    /// End the line that the sink took half of.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.sink.write_all(b"\n")?;
            self.torn = false;
        }
        Ok(())
    }

    /// As that of [`Write`], and tells how many bytes the sink took.
    fn write_all(&mut self, bytes: &[u8], taken: &mut usize) -> io::Result<()> {
        while *taken < bytes.len() {
            match self.sink.write(&bytes[*taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(some) => {
                    *taken += some;
                    self.torn = bytes[..*taken].last() != Some(&b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sink.flush()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sink that can be looked into, held up and broken.
    #[derive(Clone, Default)]
    pub struct TestSink {
        pub text: Arc<Mutex<Vec<u8>>>,
        pub stuck: Arc<Mutex<()>>,
        pub broken: Arc<AtomicBool>,
        /// How many bytes it still takes; 0 = any number.
        pub room: Arc<AtomicU64>,
    }

    impl Write for TestSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.stuck.lock().unwrap();
            if self.broken.load(Relaxed) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let room = self.room.load(Relaxed) as usize;
            let taken = if room == 0 { bytes.len() } else { bytes.len().min(room) };
            if room > 0 && taken == room {
                self.room.store(0, Relaxed);
                self.broken.store(true, Relaxed);
            }
            self.text.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl TestSink {
        pub fn read(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    fn ignore(_: &io::Error) {}

    #[test]
    fn finish_writes_what_waits() {
        let paper = TestSink::default();
        let lines = LineQueue::start("lines", 16, Box::new(paper.clone()), ignore).unwrap();
        for n in 0..10 {
            lines.offer(format!("{n}\n").into_bytes(), 1).unwrap();
        }
        lines.finish(Duration::from_secs(10));
        assert_eq!(paper.read(), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        assert_eq!(lines.counts(), LineCounts { written: 10, dropped: 0, failed: 0 });
        assert!(lines.offer(b"late\n".to_vec(), 1).is_err());
    }

    #[test]
    fn a_stuck_sink_holds_up_nobody() {
        let paper = TestSink::default();
        let held = paper.stuck.lock().unwrap();
        let lines = LineQueue::start("lines", 2, Box::new(paper.clone()), ignore).unwrap();
        // One may be in the thread's hands, two in the queue.
        let refused = (0..10).filter(|_| lines.offer(b"x\n".to_vec(), 1).is_err()).count();
        assert!(refused >= 7, "{refused}");
        lines.finish(Duration::from_millis(20));
        drop(held);
    }

    #[test]
    fn after_half_a_line_the_next_one_is_whole() {
        let paper = TestSink::default();
        let lines = LineQueue::start("lines", 16, Box::new(paper.clone()), ignore).unwrap();
        paper.room.store(7, Relaxed);
        lines.offer(b"one\ntwo three\n".to_vec(), 2).unwrap();
        while lines.counts().failed == 0 {
            std::thread::yield_now();
        }
        paper.broken.store(false, Relaxed);
        lines.offer(b"four\n".to_vec(), 1).unwrap();
        lines.finish(Duration::from_secs(10));
        assert_eq!(paper.read(), "one\ntwo\nfour\n");
        assert_eq!(lines.counts(), LineCounts { written: 2, dropped: 0, failed: 1 });
    }

    #[test]
    fn failed_writes_are_counted_and_a_new_sink_heals() {
        let (old, new) = (TestSink::default(), TestSink::default());
        old.broken.store(true, Relaxed);
        let lines = LineQueue::start("lines", 16, Box::new(old), ignore).unwrap();
        lines.offer(b"lost\n".to_vec(), 1).unwrap();
        while lines.counts().failed == 0 {
            std::thread::yield_now();
        }
        lines.replace(Box::new(new.clone()));
        lines.offer(b"kept\n".to_vec(), 1).unwrap();
        lines.finish(Duration::from_secs(10));
        assert_eq!(new.read(), "kept\n");
        assert_eq!(lines.counts(), LineCounts { written: 1, dropped: 0, failed: 1 });
    }
}
