//! One worker: a thread with a runtime of its own, its view of the table, its idle connections, buffers and deadlines.
//! Nothing here is shared with another worker but what `routing` shares.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use slab::Slab;
use tokio::sync::{Notify, watch};

use super::DrainReport;
use super::accept::Accepting;
use super::buffer::BufferPool;
use super::deadline::{Alarm, Deadlines, Killer};
use super::http::{Crew, Desks, Scratch};
use super::tcp::Shared;
use super::upstream::{Idle, Lines, Spot};
use crate::config::Config;
use crate::decision::{EndpointId, Moment};
use crate::net::{UpstreamPlace, WorkerDescriptors};
use crate::routing::{Handle, PickState, SessionRegister, Tenure, WorkerView};
use crate::sys::clock;
use crate::telemetry::access::AccessWriter;

/// How often idle connections are looked through and log lines handed over.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Memory for requests kept for the next ones.
const SCRATCH_KEPT: usize = 256;
/// How often a worker says the same of descriptors, connects and certificates.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// How long killed connections get to reset both sides, or to say goodbye, before the thread ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A worker. All its tasks share it by `Rc`.
pub struct Worker {
    /// From 0: the shard that it counts in.
    pub id: usize,
    /// The published table as this worker sees it.
    pub view: Rc<WorkerView>,
    /// Told after a newer table was taken up.
    pub taken_up: Notify,
    /// Its part of the descriptor budget.
    pub descriptors: Arc<WorkerDescriptors>,
    /// Memory for bytes on their way.
    pub buffers: Rc<BufferPool>,
    /// Deadlines of all its tasks.
    pub deadlines: Rc<Deadlines>,
    /// What TCP relays read into.
    pub shared: Rc<Shared>,
    /// Idle upstream connections.
    pub idle: Idle,
    /// Upstream connections that exchanges share.
    pub lines: Lines,
    /// Endpoints to which a connect goes on though it was overtaken.
    pub proofs: RefCell<HashSet<EndpointId>>,
    /// What a pick needs between picks.
    pub pick: RefCell<PickState>,
    /// TCP sessions, for a switch to find.
    pub sessions: Rc<SessionRegister<Killer>>,
    /// Client connections, busy or parked.
    pub clients: Clients,
    /// Its end of the access log.
    pub access: AccessWriter,
    #[allow(clippy::vec_box, reason = "a box moves between here and connections without copying what is in it")]
    scratch: RefCell<Vec<Box<Scratch>>>,
    /// Where requests over HTTP/1 are served.
    pub desks: Desks,
    /// Tasks for streams of HTTP/2.
    pub crew: Crew,
    tenures: RefCell<Tenures>,
    /// Of the newest table that was taken up.
    config: RefCell<Arc<Config>>,
    draining: Cell<bool>,
    accepting: Accepting,
    complained: Cell<Moment>,
    /// Clients wait for descriptors, here or at another worker.
    short: Cell<bool>,
    said_short: Cell<Moment>,
    unconnected: Cell<Moment>,
    distrusted: RefCell<HashMap<SocketAddr, Moment>>,
}

impl Worker {
    fn new(view: Rc<WorkerView>, access: AccessWriter, descriptors: Arc<WorkerDescriptors>) -> Rc<Worker> {
        let id = view.id().0;
        let config = RefCell::new(Arc::clone(&view.current().config));
        Rc::new(Worker {
            id,
            view,
            taken_up: Notify::new(),
            buffers: BufferPool::new(Arc::clone(&descriptors)),
            descriptors,
            deadlines: Deadlines::new(clock::now()),
            shared: Shared::new(),
            idle: Idle::new(id),
            lines: Lines::default(),
            proofs: RefCell::default(),
            pick: RefCell::new(PickState::new(fastrand::Rng::new())),
            sessions: SessionRegister::new(),
            clients: Clients::default(),
            access,
            scratch: RefCell::default(),
            desks: Desks::default(),
            crew: Crew::default(),
            tenures: RefCell::default(),
            config,
            draining: Cell::new(false),
            accepting: Accepting::default(),
            complained: Cell::new(Moment::ZERO),
            short: Cell::new(false),
            said_short: Cell::new(Moment::ZERO),
            unconnected: Cell::new(Moment::ZERO),
            distrusted: RefCell::default(),
        })
    }

    /// The newest table.
    pub fn table(&self) -> Handle {
        self.view.current()
    }

    /// Memory for one request; give it back.
    pub fn scratch(&self) -> Box<Scratch> {
        let kept = self.scratch.borrow_mut().pop();
        kept.unwrap_or_else(|| Box::new(Scratch::new(self)))
    }

    /// Gives it back.
    pub fn put_scratch(&self, mut scratch: Box<Scratch>) {
        scratch.shrink();
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < SCRATCH_KEPT {
            kept.push(scratch);
        }
    }

    /// What an exchange has to remember of its pool (made once a table, shared without atomics) and its endpoint.
    pub fn tenure(&self, spot: &Spot) -> (Rc<Tenure>, EndpointId) {
        (self.tenures.borrow_mut().of(&spot.table, spot.service, spot.choice.pool), spot.choice.id)
    }

    /// No further request on a client's connection: the worker is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Says that accepting fails, at most once a second.
    pub fn complain_of_accept(&self, listener: &str, error: &io::Error) {
        if is_due(&self.complained, Duration::from_secs(1)) {
            tracing::warn!(listener, worker = self.id, %error, "cannot accept: idle upstream connections were closed, trying again");
        }
    }

    /// Clients wait for descriptors: no connection of a client outlives its request.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short.get()
    }

    /// The descriptor budget has no room for one more client of this listener. `waiting`: there is one.
    pub fn short_of_descriptors(&self, listener: &str, waiting: bool) {
        if self.descriptors.has_surplus() {
            self.close_idle();
        }
        if !waiting {
            return;
        }
        self.descriptors.budget().note_short();
        if !self.short.replace(true) {
            self.clients.nudge();
        }
        if is_due(&self.said_short, SAY_AGAIN) {
            tracing::warn!(
                listener,
                worker = self.id,
                budget = self.descriptors.budget().most(),
                "descriptors are short: new connections wait in the accept queue; what is left is for connections to endpoints and \
                 the admin port. Raise the limit (ulimit -n, LimitNOFILE)"
            );
        }
    }

    /// Says that connects fail for a reason of our own, at most once in ten seconds.
    pub fn complain_of_connect(&self, service: &str, endpoint: SocketAddr, error: &io::Error) {
        if is_due(&self.unconnected, SAY_AGAIN) {
            tracing::warn!(
                service, %endpoint, worker = self.id, %error,
                "cannot connect for a reason of our own: this is not held against the endpoint, and requests wait"
            );
        }
    }

    /// A place in the descriptor budget for a connection to an endpoint; where there is none, idle ones are closed for it.
    pub fn upstream_place(&self) -> io::Result<UpstreamPlace> {
        if let Some(place) = self.descriptors.try_upstream() {
            return Ok(place);
        }
        self.close_idle();
        self.descriptors.try_upstream().ok_or_else(|| Errno::MFILE.into())
    }

    /// A connect failed: was it for want of a descriptor?
    pub fn note_unconnected(&self, error: &io::Error) {
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            self.descriptors.budget().note_refused(clock::now());
            self.close_idle();
        }
    }

    /// Closes idle connections to endpoints, and free pipes.
    pub fn close_idle(&self) {
        self.idle.clear();
        self.lines.clear();
        self.buffers.pipes.clear();
    }

    /// Says that an endpoint is not who it should be, or cannot prove it: at most once in ten seconds of each.
    pub fn complain_of_tls(&self, service: &str, endpoint: SocketAddr, reason: &str) {
        let now = clock::now();
        let mut said = self.distrusted.borrow_mut();
        said.retain(|_, since| now.since(*since) < SAY_AGAIN);
        // Kept as first said: a line every ten seconds, however often it happens.
        if let Entry::Vacant(first) = said.entry(endpoint) {
            first.insert(now);
            tracing::warn!(service, %endpoint, worker = self.id, reason, "an endpoint cannot be spoken to over TLS");
        }
    }

    /// Takes up the newest table: from the acknowledgement on, nothing of this worker follows an older one.
    fn take_up(self: &Rc<Self>) {
        self.view.catch_up(|table| {
            let now = clock::now();
            // A worker that stops has let go of its sockets for good.
            let stopped = !self.is_draining() && self.accepting.follow(self, table);
            // A reload may have put another door before a listener: those who came in by the old one leave.
            let reloaded = !Arc::ptr_eq(&self.config.replace(Arc::clone(&table.config)), &table.config);
            if stopped || reloaded {
                self.clients.nudge();
            }
            if reloaded && self.id == 0 {
                super::descriptors::fit(self.descriptors.budget(), table, self.view.workers());
            }
            self.sessions.sweep(table, now, end);
            self.clients.sweep(table, now);
            self.idle.sweep(table, now);
            self.lines.sweep(table);
        });
        self.taken_up.notify_waiters();
    }

    fn housekeeping(self: &Rc<Self>) {
        let table = self.table();
        if self.accepting.is_incomplete() {
            let error = self.accepting.take_failure();
            let error = error.as_ref().map(tracing::field::display);
            tracing::error!(worker = self.id, error, "a listening socket is not accepted from: trying again");
            self.accepting.follow(self, &table);
        }
        self.short.set(self.descriptors.budget().take_short());
        if self.is_short() {
            self.clients.nudge();
            if self.descriptors.has_surplus() {
                self.close_idle();
            }
        }
        self.idle.sweep(&table, clock::now());
        self.lines.sweep(&table);
        self.buffers.pipes.tidy();
        self.access.flush();
    }
}

/// Was this last said at least so long ago? Then it is said now.
fn is_due(said: &Cell<Moment>, pause: Duration) -> bool {
    let now = clock::now();
    let due = now.since(said.get()) >= pause;
    if due {
        said.set(now);
    }
    due
}

/// What exchanges remember of their pools under one table.
#[derive(Default)]
struct Tenures {
    epoch: u64,
    made: Vec<Vec<Option<Rc<Tenure>>>>,
}

impl Tenures {
    fn of(&mut self, table: &Handle, service: usize, pool: usize) -> Rc<Tenure> {
        if self.epoch != table.epoch {
            self.made = table.services.iter().map(|service| vec![None; service.pools.len()]).collect();
            self.epoch = table.epoch;
        }
        Rc::clone(self.made[service][pool].get_or_insert_with(|| Rc::new(table.services[service].tenure(pool))))
    }
}

fn end(killer: &Killer, until: Option<Moment>) {
    match until {
        Some(until) => killer.kill_at(until),
        None => killer.kill(),
    }
}

/// Serves until told to stop, then drains. `begun` is told once whether every listening socket is accepted from.
pub async fn run(
    view: Rc<WorkerView>,
    access: AccessWriter,
    descriptors: Arc<WorkerDescriptors>,
    mut stop: watch::Receiver<Option<Moment>>,
    begun: impl FnOnce(io::Result<()>),
) -> DrainReport {
    let worker = Worker::new(view, access, descriptors);
    let sweep = tokio::task::spawn_local(Rc::clone(&worker.deadlines).run());
    worker.take_up();
    begun(worker.accepting.take_failure().map_or(Ok(()), Err));
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let until = loop {
        tokio::select! {
            biased;
            () = worker.view.changed() => worker.take_up(),
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

/// Lets work in flight finish until then, or until `stop` says an earlier time.
async fn drain(worker: &Rc<Worker>, until: Moment, stop: &mut watch::Receiver<Option<Moment>>) -> DrainReport {
    worker.draining.set(true);
    worker.accepting.stop();
    // The accept loops empty their queues before anybody is counted.
    tokio::task::yield_now().await;
    let busy = worker.clients.busy();
    worker.clients.nudge();
    let alarm = worker.deadlines.alarm();
    alarm.set(until);
    loop {
        if worker.clients.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            () = worker.clients.changed.notified() => {}
            () = worker.view.changed() => worker.take_up(),
            told = stop.changed() => match (told, *stop.borrow()) {
                (Ok(()), Some(until)) => alarm.set(until),
                (Ok(()), None) => {}
                (Err(_), _) => break,
            },
            _ = std::future::poll_fn(|cx| alarm.poll(cx)) => break,
        }
    }
    let cut = worker.clients.busy();
    worker.clients.kill();
    alarm.set(clock::now().after(LAST_WORDS));
    while !worker.clients.is_empty() {
        tokio::select! {
            () = worker.clients.changed.notified() => {}
            _ = std::future::poll_fn(|cx| alarm.poll(cx)) => break,
        }
    }
    worker.idle.clear();
    worker.lines.clear();
    worker.access.flush();
    DrainReport { finished: busy.saturating_sub(cut), cut }
}

/// The client connections of one worker.
#[derive(Default)]
pub struct Clients {
    places: RefCell<Slab<Rc<Place>>>,
    busy: Cell<usize>,
    changed: Notify,
}

struct Place {
    killer: Killer,
    /// Its exchange: the activation of a pool under which it began, and the endpoint.
    tenure: RefCell<Option<(Rc<Tenure>, EndpointId)>>,
    busy: Cell<bool>,
}

impl Place {
    fn judge(&self, table: &crate::routing::RoutingTable, now: Moment) {
        use crate::routing::SessionVerdict as Verdict;
        let tenure = self.tenure.borrow();
        match tenure.as_ref().map(|(tenure, endpoint)| table.verdict(tenure, *endpoint, now)) {
            None => {}
            Some(Verdict::Stay { .. }) => self.killer.pardon(),
            Some(Verdict::Close) => self.killer.kill(),
            Some(Verdict::Drain { until }) => self.killer.kill_at(until),
        }
    }
}

impl Clients {
    /// Enters a connection; it leaves when the guard is dropped.
    pub fn enter(&self, worker: &Rc<Worker>, alarm: &Alarm) -> Client {
        let place = Rc::new(Place { killer: alarm.killer(), tenure: RefCell::default(), busy: Cell::new(false) });
        let number = self.places.borrow_mut().insert(Rc::clone(&place));
        Client { worker: Rc::clone(worker), number, place }
    }

    /// Judges every exchange by a newer table. Whoever is between two tries looks around too.
    fn sweep(&self, table: &crate::routing::RoutingTable, now: Moment) {
        for (_, place) in self.places.borrow().iter() {
            place.judge(table, now);
            if place.busy.get() {
                place.killer.nudge();
            }
        }
    }

    fn nudge(&self) {
        self.places.borrow().iter().for_each(|(_, place)| place.killer.nudge());
    }

    fn kill(&self) {
        self.places.borrow().iter().for_each(|(_, place)| place.killer.kill());
    }

    fn busy(&self) -> usize {
        self.busy.get()
    }

    fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }
}

/// A client connection's place in the register.
pub struct Client {
    worker: Rc<Worker>,
    number: usize,
    place: Rc<Place>,
}

impl Client {
    /// It has work in flight (or has none any more): a stop waits for it.
    pub fn set_busy(&self, busy: bool) {
        if self.place.busy.replace(busy) != busy {
            let count = self.worker.clients.busy.get();
            self.worker.clients.busy.set(if busy { count + 1 } else { count - 1 });
        }
    }

    /// An exchange with this endpoint begins (register first, then re-check the epoch), or ends.
    pub fn set_tenure(&self, tenure: Option<(Rc<Tenure>, EndpointId)>) {
        *self.place.tenure.borrow_mut() = tenure;
    }

    /// An exchange that began before it was known whether its answer would be the client's is judged now.
    pub fn take_tenure(&self, tenure: (Rc<Tenure>, EndpointId)) {
        self.set_tenure(Some(tenure));
        self.place.judge(&self.worker.table(), clock::now());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.set_busy(false);
        self.worker.clients.places.borrow_mut().try_remove(self.number);
        self.worker.clients.changed.notify_one();
    }
}
