//! The access log: one line a request or TCP session, formatted by the worker into a buffer of its own, written by one
//! thread. It never holds up a worker: what finds buffer and queue full is dropped and counted.

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::access_format;
pub use super::access_record::{AccessRecord, Termination};
use super::lines::{LineCounts, LineQueue, LineSink};
use crate::config::{self, AccessFormat};

/// Messages that may wait for the writer, each about [`HAND_OVER`] bytes.
const QUEUE: usize = 64;
/// A worker hands its buffer over when it holds this much (or at its next [`AccessWriter::flush`]).
const HAND_OVER: usize = 32 << 10;
/// While the queue is full a worker keeps this much (and drops what comes then).
const KEEP: usize = 128 << 10;

const OFF: u8 = 0;
const JSON: u8 = 1;
const COMMON: u8 = 2;
const COMBINED: u8 = 3;

/// The access log of the process; clones share it. It may be off, which costs a worker one relaxed load a request.
#[derive(Clone, Debug)]
pub struct AccessLog {
    shared: Arc<AccessLogState>,
}

#[derive(Debug)]
struct AccessLogState {
    format: AtomicU8,
    lines: LineQueue,
    config: Mutex<Option<config::AccessLog>>,
}

impl AccessLog {
    /// Opens it as configured. The error names the file.
    pub fn start(config: Option<&config::AccessLog>) -> io::Result<AccessLog> {
        let lines = LineQueue::start("access-log", QUEUE, Box::new(io::sink()), troubled)?;
        let shared = AccessLogState { format: AtomicU8::new(OFF), lines, config: Mutex::new(None) };
        let log = AccessLog { shared: Arc::new(shared) };
        log.apply(config)?;
        Ok(log)
    }

    /// Puts another configuration into force (a reload): opens the file, again if it is the same one, since it may have been
    /// rotated; changes the format; switches the log on or off. An error changes nothing.
    pub fn apply(&self, config: Option<&config::AccessLog>) -> io::Result<()> {
        let mut current = self.shared.config.lock().unwrap_or_else(PoisonError::into_inner);
        self.put_into_force(config)?;
        *current = config.cloned();
        Ok(())
    }

    fn put_into_force(&self, config: Option<&config::AccessLog>) -> io::Result<()> {
        if let Some(config) = config {
            self.shared.lines.replace(open(config.path.as_deref())?);
        }
        let format = match config.map(|config| config.format) {
            None => OFF,
            Some(AccessFormat::Json) => JSON,
            Some(AccessFormat::Common) => COMMON,
            Some(AccessFormat::Combined) => COMBINED,
        };
        self.shared.format.store(format, Relaxed);
        Ok(())
    }

    /// Opens the file again, after a rotation.
    pub fn reopen(&self) -> io::Result<()> {
        // One lock over both: a reload at the same time must not be undone.
        let current = self.shared.config.lock().unwrap_or_else(PoisonError::into_inner);
        self.put_into_force(current.as_ref())
    }

    /// The writer of one worker.
    pub fn writer(&self) -> AccessWriter {
        AccessWriter { log: self.clone(), buffer: RefCell::default(), count: Cell::new(0) }
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> LineCounts {
        self.shared.lines.counts()
    }

    /// Writes what was handed over and closes; waits at most this long. The workers' writers are dropped or flushed by then.
    pub fn finish(&self, wait: Duration) {
        self.shared.format.store(OFF, Relaxed);
        self.shared.lines.finish(wait);
    }
}

fn open(path: Option<&Path>) -> io::Result<LineSink> {
    let Some(path) = path else { return Ok(Box::new(io::stdout())) };
    match OpenOptions::new().append(true).create(true).open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(io::Error::new(error.kind(), format!("access_log.path {}: {error}", path.display()))),
    }
}

fn troubled(error: &io::Error) {
    tracing::error!(%error, "the access log cannot be written; lines are lost until it can");
}

/// The access log's writer of one worker. It belongs to one thread.
#[derive(Debug)]
pub struct AccessWriter {
    log: AccessLog,
    buffer: RefCell<Vec<u8>>,
    count: Cell<u64>,
}

impl AccessWriter {
    /// Whether it is on; to be checked before a record is put together.
    #[inline]
    pub fn enabled(&self) -> bool {
        self.log.shared.format.load(Relaxed) != OFF
    }

    /// Writes one record. Never waits.
    pub fn record(&self, record: &AccessRecord<'_>) {
        let format = self.log.shared.format.load(Relaxed);
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() >= KEEP {
            self.log.shared.lines.lost(1);
            return;
        }
        match format {
            JSON => access_format::json(record, &mut buffer),
            COMMON => access_format::common(record, &mut buffer),
            COMBINED => access_format::combined(record, &mut buffer),
            _ => return,
        }
        self.count.set(self.count.get() + 1);
        let full = buffer.len() >= HAND_OVER;
        drop(buffer);
        if full {
            self.flush();
        }
    }

    /// Hands over what is buffered; call it from the worker's coarse sweep, so that a quiet server's lines are seen soon.
    pub fn flush(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        match self.log.shared.lines.offer(std::mem::take(&mut *buffer), self.count.get()) {
            Ok(()) => self.count.set(0),
            Err(back) => *buffer = back,
        }
    }
}

impl Drop for AccessWriter {
    /// The worker ends: the last lines may wait a little for room.
    fn drop(&mut self) {
        for _ in 0..100 {
            self.flush();
            if self.buffer.borrow().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.log.shared.lines.lost(self.count.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &[u8]) -> AccessRecord<'_> {
        AccessRecord {
            began_unix_millis: 0,
            listener: "web",
            client: ([192, 0, 2, 7], 50_000).into(),
            method: b"GET",
            target,
            version: "HTTP/1.1",
            host: b"",
            request_id: b"",
            user_agent: b"",
            referer: b"",
            status: None,
            service: "",
            pool: "",
            endpoint: None,
            endpoint_name: "",
            epoch: 1,
            tries: 0,
            retried: "",
            malformed: "",
            received: 0,
            sent: 0,
            duration: Duration::ZERO,
            first_byte: None,
            termination: Termination::Unrouted,
        }
    }

    fn file(dir: &tempfile::TempDir, format: AccessFormat) -> config::AccessLog {
        config::AccessLog { path: Some(dir.path().join("access.log")), format }
    }

    #[test]
    fn it_is_off_unless_configured() {
        let log = AccessLog::start(None).unwrap();
        let writer = log.writer();
        assert!(!writer.enabled());
        writer.record(&record(b"/"));
        drop(writer);
        log.finish(Duration::from_secs(10));
        assert_eq!(log.counts(), LineCounts::default());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_and_changes_nothing() {
        let path = Some("/nonexistent/access.log".into());
        let wrong = config::AccessLog { path, format: AccessFormat::Json };
        let error = AccessLog::start(Some(&wrong)).unwrap_err().to_string();
        assert!(error.contains("access_log.path /nonexistent/access.log"), "{error}");
        let log = AccessLog::start(None).unwrap();
        assert!(log.apply(Some(&wrong)).is_err());
        assert!(!log.writer().enabled());
    }

    #[test]
    fn every_line_of_every_worker_arrives_before_a_stop_ends() {
        let dir = tempfile::tempdir().unwrap();
        let config = file(&dir, AccessFormat::Json);
        let log = AccessLog::start(Some(&config)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let log = &log;
                scope.spawn(move || {
                    let writer = log.writer();
                    (0..2_000).for_each(|n| writer.record(&record(format!("/{n}").as_bytes())));
                });
            }
        });
        log.finish(Duration::from_secs(30));
        let text = std::fs::read_to_string(config.path.unwrap()).unwrap();
        let counts = log.counts();
        assert_eq!(counts, LineCounts { written: 6_000, dropped: 0, failed: 0 });
        assert_eq!(text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(), 6_000);
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let config = file(&dir, AccessFormat::Common);
        let (path, old) = (config.path.clone().unwrap(), dir.path().join("access.log.1"));
        let log = AccessLog::start(Some(&config)).unwrap();
        let writer = log.writer();
        writer.record(&record(b"/before"));
        writer.flush();
        while log.counts().written < 1 {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &old).unwrap();
        log.reopen().unwrap();
        writer.record(&record(b"/after"));
        drop(writer);
        log.finish(Duration::from_secs(10));
        assert!(std::fs::read_to_string(old).unwrap().contains("/before"));
        let new = std::fs::read_to_string(path).unwrap();
        assert!(new.contains("/after") && !new.contains("/before"), "{new}");
    }

    #[test]
    fn a_stuck_disk_costs_lines_and_bounded_memory_but_no_time() {
        let paper = crate::telemetry::lines::tests::TestSink::default();
        let held = paper.stuck.lock().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let log = AccessLog::start(Some(&file(&dir, AccessFormat::Json))).unwrap();
        log.shared.lines.replace(Box::new(paper.clone()));
        let writer = log.writer();
        let line = vec![b'x'; 2_000];
        for _ in 0..10_000 {
            writer.record(&record(&line));
        }
        assert!(log.counts().dropped > 0);
        assert!(writer.buffer.borrow().capacity() < 4 * KEEP, "{}", writer.buffer.borrow().capacity());
        drop(held);
        drop(writer);
        log.finish(Duration::from_secs(30));
        let counts = log.counts();
        assert_eq!(counts.written + counts.dropped, 10_000, "every line is accounted for");
    }
}
