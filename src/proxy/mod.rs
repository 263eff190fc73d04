//! The data plane's IO: per-core workers that accept, read, pick, dial, relay and count. It never meets `control`; both
//! meet in `routing`.
//!
//! - [`start`] makes the worker threads; each has a runtime, a view of the published table, idle upstream connections,
//!   buffers and deadlines of its own, and shares nothing with the others (`worker`).
//! - `accept` takes connections, `door` makes guests of them (PROXY header, TLS), [`http`] or [`tcp`] serves them.
//! - [`http`] reads like the list of DESIGN's "way of one request"; `upstream` holds connections to endpoints.
//! - `deadline` is the one coarse sweep behind every deadline, `buffer` the memory that bytes pass through, `pipe` what
//!   bulk passes through without.
mod accept;
mod buffer;
mod deadline;
mod door;
mod http;
mod outcome;
mod pipe;
mod tcp;
mod upstream;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::decision::Moment;
use crate::routing::{Published, WorkerId, WorkerView};
use crate::sys::clock;
use crate::telemetry::access::AccessLog;

/// Pause before a worker that panicked begins anew.
const REBIRTH: Duration = Duration::from_millis(100);

/// What the data plane needs.
pub struct ProxySetup {
    /// The table, with its sockets bound for as many workers as it has slots.
    pub published: Arc<Published>,
    /// Where requests are recorded; it may be off.
    pub access_log: AccessLog,
}

/// The running data plane.
#[derive(Debug)]
pub struct ProxyHandle {
    stop: watch::Sender<Option<Moment>>,
    threads: Vec<JoinHandle<DrainReport>>,
}

/// What became of the work that was in flight when the data plane was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections whose request or session came to its end.
    pub finished: usize,
    /// Connections reset because time ran out.
    pub cut: usize,
}

/// Starts one thread a worker (`worker-0` …). An error (no threads, no descriptors) leaves none of them running.
pub fn start(setup: ProxySetup) -> std::io::Result<ProxyHandle> {
    let (stop, told) = watch::channel(None);
    let mut handle = ProxyHandle { stop, threads: Vec::new() };
    for id in 0..setup.published.workers() {
        let published = Arc::clone(&setup.published);
        let access_log = setup.access_log.clone();
        let told = told.clone();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || work(&published, id, &access_log, &told))?;
        handle.threads.push(thread);
    }
    Ok(handle)
}

/// A worker's thread. A panic inside a connection's task ends that connection alone; one in the worker itself, which would
/// be a bug, ends the connections of this worker, and the worker begins anew.
fn work(
    published: &Arc<Published>,
    id: usize,
    access_log: &AccessLog,
    told: &watch::Receiver<Option<Moment>>,
) -> DrainReport {
    to_its_end(id, || live(published, id, access_log, told.clone()))
}

fn to_its_end<T>(id: usize, mut life: impl FnMut() -> T) -> T {
    loop {
        match catch_unwind(AssertUnwindSafe(&mut life)) {
            Ok(end) => return end,
            Err(_) => tracing::error!(worker = id, "a worker panicked: its connections are lost, it begins anew"),
        }
        std::thread::sleep(REBIRTH);
    }
}

fn live(
    published: &Arc<Published>,
    id: usize,
    access_log: &AccessLog,
    told: watch::Receiver<Option<Moment>>,
) -> DrainReport {
    // Local tasks go straight onto the scheduler's queue, without a `LocalSet` in between.
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(worker = id, %error, "a worker cannot start");
            return DrainReport::default();
        }
    };
    let view = WorkerView::new(Arc::clone(published), WorkerId(id));
    runtime.block_on(worker::run(view, access_log.writer(), told))
}

/// Ends a drain before its time.
#[derive(Clone, Debug)]
pub struct DrainCut(watch::Sender<Option<Moment>>);

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
    pub fn drain(self, timeout: Duration) -> DrainReport {
        self.stop.send_replace(Some(clock::now().after(timeout)));
        let mut total = DrainReport::default();
        for thread in self.threads {
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
