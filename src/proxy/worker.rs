//! One worker: a thread with a runtime of its own that follows the table, accepts, and stops.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::DrainReport;
use super::accept::AcceptLoops;
use super::deadline::TaskKiller;
use super::server::ConnectionServer;
use super::worker_core::WorkerCore;
use crate::config::Config;
use crate::net::WorkerDescriptors;
use crate::routing::WorkerView;
use crate::sys::clock;
use crate::telemetry::access::AccessWriter;
use crate::time::MonoTime;

/// How often idle connections are looked through and log lines handed over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long killed connections get to reset both sides, or to close in order, before the thread ends.
const CLOSING: Duration = Duration::from_secs(1);

/// A worker: the server of its connections, which all of its tasks share, and the accept loops.
struct Worker {
    server: Rc<ConnectionServer>,
    accepting: AcceptLoops,
    /// Of the newest table that was taken up.
    config: RefCell<Arc<Config>>,
}

impl Worker {
    fn new(core: WorkerCore) -> Worker {
        let config = RefCell::new(Arc::clone(&core.table().config));
        Worker { server: Rc::new(ConnectionServer::new(core)), accepting: AcceptLoops::default(), config }
    }

    fn core(&self) -> &WorkerCore {
        self.server.core()
    }

    /// Takes up the newest table: from the acknowledgement on, nothing of this worker follows an older one.
    fn take_up(&self) {
        let core = self.core();
        core.view.catch_up(|table| {
            let now = clock::now();
            // A worker that stops has closed its listening sockets for good.
            let stopped = !core.is_draining() && self.accepting.follow(&self.server, table);
            // A reload may have changed how a listener admits clients (TLS, PROXY header): connections made before are closed.
            let reloaded = !Arc::ptr_eq(&self.config.replace(Arc::clone(&table.config)), &table.config);
            if stopped || reloaded {
                core.clients.nudge();
            }
            if reloaded && core.id == 0 {
                super::descriptors::fit(core.descriptors.budget(), table, core.view.workers());
            }
            core.sessions.sweep(table, now, TaskKiller::apply);
            core.clients.sweep(table, now);
            self.server.pools.sweep(table, now);
        });
        core.taken_up.notify_waiters();
    }

    fn housekeeping(&self) {
        let (core, pools) = (self.core(), &self.server.pools);
        let table = core.table();
        if self.accepting.is_incomplete() {
            let error = self.accepting.take_failure();
            let error = error.as_ref().map(tracing::field::display);
            tracing::error!(worker = core.id, error, "a listening socket is not accepted from: trying again");
            self.accepting.follow(&self.server, &table);
        }
        core.look_for_shortage();
        if core.is_short() {
            core.clients.nudge();
            if core.descriptors.has_surplus() {
                pools.close_idle();
            }
        }
        pools.sweep(&table, clock::now());
        core.buffers.pipes.tidy();
        core.access.flush();
    }
}

/// Serves until told to stop, then drains. `begun` is told once whether every listening socket is accepted from.
pub async fn run(
    view: Rc<WorkerView>,
    access: AccessWriter,
    descriptors: Arc<WorkerDescriptors>,
    mut stop: watch::Receiver<Option<MonoTime>>,
    begun: impl FnOnce(io::Result<()>),
) -> DrainReport {
    let worker = Worker::new(WorkerCore::new(view, access, descriptors));
    let sweep = tokio::task::spawn_local(Rc::clone(&worker.core().deadlines).run());
    worker.take_up();
    begun(worker.accepting.take_failure().map_or(Ok(()), Err));
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let until = loop {
        tokio::select! {
            biased;
            () = worker.core().view.changed() => worker.take_up(),
            told = stop.changed() => match (told, *stop.borrow()) {
                (Ok(()), None) => {}
                (Ok(()), Some(until)) => break until,
                (Err(_), _) => break clock::now(),
            },
            _ = ticks.tick() => worker.housekeeping(),
        }
    };
    let report = drain(&worker, until, &mut stop).await;
    sweep.abort();
    report
}

/// Lets work in flight finish until then, or until the earlier time that `stop` brings.
async fn drain(worker: &Worker, until: MonoTime, stop: &mut watch::Receiver<Option<MonoTime>>) -> DrainReport {
    let core = worker.core();
    core.begin_draining();
    worker.accepting.stop();
    // The accept loops empty their queues before connections are counted.
    tokio::task::yield_now().await;
    let busy = core.clients.busy();
    core.clients.nudge();
    let alarm = core.deadlines.alarm();
    alarm.set(until);
    loop {
        if core.clients.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            () = core.clients.changed() => {}
            () = core.view.changed() => worker.take_up(),
            told = stop.changed() => match (told, *stop.borrow()) {
                (Ok(()), Some(until)) => alarm.set(until),
                (Ok(()), None) => {}
                (Err(_), _) => break,
            },
            _ = std::future::poll_fn(|cx| alarm.poll(cx)) => break,
        }
    }
    let cut = core.clients.busy();
    core.clients.kill();
    alarm.set(clock::now().after(CLOSING));
    while !core.clients.is_empty() {
        tokio::select! {
            () = core.clients.changed() => {}
            _ = std::future::poll_fn(|cx| alarm.poll(cx)) => break,
        }
    }
    worker.server.pools.clear();
    core.access.flush();
    DrainReport { finished: busy.saturating_sub(cut), cut }
}
