//! The data plane's IO: per-core workers that accept, read, pick, connect, relay and count. It shares nothing with `control`
//! but what `routing` has.
//!
//! - [`start`] makes the worker threads; each has a runtime, a view of the published table, idle upstream connections,
//!   buffers and deadlines of its own, and shares nothing with the others (`worker`).
//! - A worker is nested: `worker_core` is what every part needs and what needs none; the connections to endpoints (`upstream`)
//!   have it, the memory for requests ([`http`]) has those, `server` has both and serves connections, and `worker` follows
//!   the table. A function takes the smallest of them that it needs. `clients` is the register of client connections.
//! - `accept` takes connections, `handshake` reads their PROXY header and sets up TLS, [`http`] or [`tcp`] serves them.
//! - [`http`] serves requests, step by step as in [manual::one_request](crate::manual::one_request); `upstream` holds connections
//!   to endpoints.
//! - `descriptors` fits the budget of descriptors to the configuration, and logs what the limit allows.
//! - `deadline` is the one coarse sweep behind every deadline, `buffer` the memory that bytes pass through, `pipe` the
//!   kernel's pipes for bulk.
mod accept;
mod buffer;
mod clients;
mod deadline;
mod descriptors;
mod guarded;
mod handshake;
mod http;
mod pipe;
mod server;
mod tcp;
mod termination;
mod upstream;
mod worker;
mod worker_core;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

use crate::net::{DescriptorBudget, WorkerDescriptors};
use crate::routing::{Published, WorkerId, WorkerView};
use crate::sys::clock;
use crate::telemetry::access::AccessLog;
use crate::time::MonoTime;

/// Pause before a worker that panicked begins again.
const REBIRTH: Duration = Duration::from_millis(100);

/// What the data plane needs.
pub struct ProxySetup {
    /// The table, with its sockets bound for as many workers as it has slots.
    pub published: Arc<Published>,
    /// Where requests are recorded; it may be off.
    pub access_log: AccessLog,
}

/// The running data plane. Dropping it resets what is in flight and ends the threads, as a [drain](ProxyHandle::drain) without
/// time does.
#[derive(Debug)]
pub struct ProxyHandle {
    stop: watch::Sender<Option<MonoTime>>,
    threads: Vec<JoinHandle<DrainReport>>,
}

/// What became of the work that was in flight when the data plane was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections whose request or session ended by itself.
    pub finished: usize,
    /// Connections reset because time ran out.
    pub cut: usize,
}

/// What every worker starts with.
#[derive(Clone)]
struct WorkerSeed {
    published: Arc<Published>,
    access_log: AccessLog,
    budget: Arc<DescriptorBudget>,
    told: watch::Receiver<Option<MonoTime>>,
}

/// A worker that is starting: it reports its runtime, waits for `go`, and reports its accept loops.
struct StartingWorker {
    id: usize,
    reports: Receiver<io::Result<()>>,
    go: SyncSender<()>,
}

/// The other end of [`StartingWorker`], in the worker's thread.
struct WorkerReports {
    report: SyncSender<io::Result<()>>,
    go: Receiver<()>,
}

/// Starts one thread a worker (`worker-0` …) and waits until each of them accepts from its sockets. An error (no threads, no
/// descriptors) leaves none of them running.
pub fn start(setup: ProxySetup) -> io::Result<ProxyHandle> {
    let (stop, told) = watch::channel(None);
    let mut handle = ProxyHandle { stop, threads: Vec::new() };
    let ProxySetup { published, access_log } = setup;
    let shared = WorkerSeed { published, access_log, budget: DescriptorBudget::unbounded(), told };
    start_workers(&shared, &mut handle.threads)?;
    Ok(handle)
}

fn start_workers(shared: &WorkerSeed, threads: &mut Vec<JoinHandle<DrainReport>>) -> io::Result<()> {
    let workers = shared.published.workers();
    let mut starting = Vec::new();
    for id in 0..workers {
        let (report, reports) = sync_channel(1);
        let (go, wait) = sync_channel(1);
        let shared = shared.clone();
        let spawned = std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || work(&shared, id, WorkerReports { report, go: wait }));
        threads.push(spawned.map_err(|error| cannot_start(id, &error))?);
        starting.push(StartingWorker { id, reports, go });
    }
    starting.iter().try_for_each(StartingWorker::reported)?;
    // All that is open now is not counted by the workers, which have accepted nothing yet.
    descriptors::begin(&shared.budget, &shared.published.load(), workers)?;
    for worker in &starting {
        // If it is gone, it has no report either.
        let _ = worker.go.send(());
    }
    starting.iter().try_for_each(StartingWorker::reported)
}

impl StartingWorker {
    fn reported(&self) -> io::Result<()> {
        let report = self.reports.recv().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        report.map_err(|error| cannot_start(self.id, &error))
    }
}

fn cannot_start(worker: usize, error: &io::Error) -> io::Error {
    let advice = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => {
            ": raise the limit of descriptors (ulimit -n, LimitNOFILE), or lower `workers`"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot start worker {worker}: {error}{advice}"))
}

/// A worker's thread. A panic inside a connection's task ends that connection alone; one in the worker itself, which would
/// be a bug, ends the connections of this worker, and the worker begins again.
fn work(shared: &WorkerSeed, id: usize, reports: WorkerReports) -> DrainReport {
    let mut reports = Some(reports);
    to_its_end(id, || live(shared, id, reports.take()))
}

fn to_its_end<T>(id: usize, mut life: impl FnMut() -> T) -> T {
    loop {
        match catch_unwind(AssertUnwindSafe(&mut life)) {
            Ok(end) => return end,
            Err(_) => tracing::error!(worker = id, "a worker panicked: its connections are lost, it begins again"),
        }
        std::thread::sleep(REBIRTH);
    }
}

/// One run of a worker, to its end or a panic; `reports`: it is the first.
fn live(shared: &WorkerSeed, id: usize, reports: Option<WorkerReports>) -> DrainReport {
    let runtime = match &reports {
        Some(reports) => first_runtime(reports),
        None => next_runtime(id, &shared.told),
    };
    let Some(runtime) = runtime else { return DrainReport::default() };
    let view = WorkerView::new(Arc::clone(&shared.published), WorkerId(id));
    let descriptors = WorkerDescriptors::new(Arc::clone(&shared.budget));
    let begun = |result: io::Result<()>| match (reports, result) {
        (Some(reports), result) => reports.report.send(result).unwrap_or_default(),
        (None, Ok(())) => {}
        (None, Err(error)) => tracing::error!(worker = id, %error, "a listening socket is not accepted from"),
    };
    runtime.block_on(worker::run(view, shared.access_log.writer(), descriptors, shared.told.clone(), begun))
}

/// Local tasks go straight onto the scheduler's queue, without a `LocalSet` in between.
fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// The runtime of a worker's first run. `None`: the start fails.
fn first_runtime(reports: &WorkerReports) -> Option<LocalRuntime> {
    let (runtime, report) = match runtime() {
        Ok(runtime) => (Some(runtime), Ok(())),
        Err(error) => (None, Err(error)),
    };
    reports.report.send(report).ok()?;
    reports.go.recv().ok()?;
    runtime
}

/// The runtime of a later run: its sockets listen, so it is tried until there is one. `None`: the worker is told to stop.
fn next_runtime(id: usize, told: &watch::Receiver<Option<MonoTime>>) -> Option<LocalRuntime> {
    loop {
        if told.has_changed().is_err() || told.borrow().is_some() {
            return None;
        }
        match runtime() {
            Ok(runtime) => return Some(runtime),
            Err(error) => tracing::error!(worker = id, %error, "a worker cannot begin again: trying again"),
        }
        std::thread::sleep(REBIRTH);
    }
}

/// Ends a drain before its time.
#[derive(Clone, Debug)]
pub struct DrainCut(watch::Sender<Option<MonoTime>>);

impl DrainCut {
    /// What is still in flight is reset now.
    pub fn now(&self) {
        self.0.send_replace(Some(clock::now()));
    }
}

impl ProxyHandle {
    /// A handle that outlives the call of [`ProxyHandle::drain`].
    pub fn drain_cut(&self) -> DrainCut {
        DrainCut(self.stop.clone())
    }

    /// Stops accepting (what waits in the accept queues is served), lets work in flight finish for at most `timeout`,
    /// resets the rest, and ends the threads. Blocks for at most about a second longer.
    pub fn drain(mut self, timeout: Duration) -> DrainReport {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> DrainReport {
        self.stop.send_replace(Some(clock::now().after(timeout)));
        let mut total = DrainReport::default();
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(report) => {
                    total.finished += report.finished;
                    total.cut += report.cut;
                }
                Err(_) => tracing::error!("a worker thread had panicked"),
            }
        }
        total
    }
}

impl Drop for ProxyHandle {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_begins_anew() {
        let mut lives = 0;
        let end = to_its_end(0, || {
            lives += 1;
            assert!(lives > 2, "a bug");
            "served"
        });
        assert_eq!((lives, end), (3, "served"));
    }

    #[test]
    fn a_panic_in_one_task_leaves_the_others_alone() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let answer = runtime.block_on(async {
            let doomed = tokio::task::spawn_local(async { panic!("a bug") });
            let other = tokio::task::spawn_local(async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                42
            });
            assert!(doomed.await.is_err());
            other.await.unwrap()
        });
        assert_eq!(answer, 42);
    }
}
