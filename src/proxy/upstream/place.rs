//! From a service to a connection: pick from the newest table, take an idle connection or dial, and, where nobody can be
//! had, wait for a newer table. L4 and L7 go this same way.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::faults::{Faults, Subject, count_fault, record_connect};
use super::idle::Parked;
use super::multiplexed::{Dialled, Dialling, Opening, Shelf, Speaks, Strand, Take};
use super::race::{Elsewhere, Raced, Spent};
use crate::config::{ServiceTimeouts, UpstreamProtocol};
use crate::decision::{ConnectOutcome, Failure, Mark, Moment, Serving};
use crate::net::dial::judge_connect;
use crate::net::tls::explain;
use crate::net::{Connector, DialError as Unreached, Transport};
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::worker::Worker;
use crate::routing::{
    Choice, Ended, EndpointView, Fault, Handle, How, InFlight, Next, Permit, Pick, PoolView, Refused, RoutingTable,
    ServiceView, Tries, Usual, Why,
};
use crate::sys::clock;
use crate::wire::h1::Scheme;
use crate::wire::proxy_protocol::{self, Ends};

/// How often a request lets the task of a shared connection look at what has come before it dials another.
const SETTLING: u32 = 3;

/// Why waiting ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The client went away.
    Gone,
    /// The deadline came.
    Late,
    /// A switch or a stop ended it.
    Killed,
}

/// A request's way to endpoints.
pub struct Placing<'a> {
    /// Whose request.
    pub worker: &'a Rc<Worker>,
    /// The request's first table: its policies are those that hold.
    pub origin: Handle,
    /// Index of the service in it.
    pub index: usize,
    /// When the client began to wait.
    pub began: Moment,
    /// The retry rule.
    pub tries: Tries,
    /// Who asks.
    pub asker: Asker,
    /// The request's alarm: armed here for connects and waits.
    pub alarm: &'a Alarm,
    /// Connects made or attempted, and idle connections used.
    pub attempts: u32,
    /// How the last try failed.
    pub last: Option<How>,
    /// A hedge was not covered by the budget: counted once.
    pub(super) denied: bool,
    /// The tries that failed.
    pub faults: Faults<'a>,
}

/// For whom a connection is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The key of `hash` balancing.
    pub hash: u64,
    /// The ends of the client's connection, for endpoints that are told.
    pub ends: Ends,
}

/// Where a try goes.
pub enum Placed {
    /// Over this connection.
    Endpoint(Target),
    /// To an answer of our own.
    Static {
        /// The table of the pick.
        table: Handle,
        /// Index of the service.
        service: usize,
        /// Index of the pool.
        pool: usize,
    },
}

/// A connection to a picked endpoint, not yet written to.
pub struct Target {
    /// Where it leads.
    pub spot: Spot,
    /// The connection, or a place on one.
    pub link: Link,
    /// The place in flight.
    pub in_flight: InFlight,
}

/// What an exchange goes over.
pub enum Link {
    /// A connection of its own.
    Own(Transport),
    /// A place on a connection that others share.
    Shared(Strand),
}

/// A picked endpoint and how it was reached.
#[derive(Clone)]
pub struct Spot {
    /// The table of the pick.
    pub table: Handle,
    /// Index of the service in it.
    pub service: usize,
    /// The pick.
    pub choice: Choice,
    /// The connection was idle before.
    pub reused: bool,
    /// [`EndpointStats::generation`](crate::routing::EndpointStats::generation) when the connection was made or taken.
    pub generation: u64,
}

impl Spot {
    /// The service as it was picked from.
    pub fn service(&self) -> &Arc<ServiceView> {
        &self.table.services[self.service]
    }

    /// The pool.
    pub fn pool(&self) -> &PoolView {
        &self.service().pools[self.choice.pool]
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &EndpointView {
        &self.pool().endpoints[self.choice.endpoint]
    }

    /// Its connections begin with a header about one client: they are made for that one, and carry nobody else's requests.
    pub fn is_about_one_client(&self) -> bool {
        self.service().config.upstream.proxy_protocol.is_some()
    }

    /// May an HTTP/1 connection carry another request after this one?
    pub fn keeps_connections(&self) -> bool {
        let upstream = &self.service().config.upstream;
        upstream.keepalive && upstream.proxy_protocol.is_none()
    }

    /// Is an answer with this status a failure of the endpoint?
    #[inline]
    pub fn fails_with(&self, status: u16) -> bool {
        status >= 400
            && match &self.pool().config().outlier_detection {
                Some(rule) => rule.failures.has_status(status),
                None => matches!(status, 502..=504),
            }
    }

    /// Is an exchange that ended like this a failure of the endpoint?
    fn counts(&self, kind: Failure) -> bool {
        let Some(rule) = &self.pool().config().outlier_detection else { return true };
        match kind {
            Failure::Reset => rule.failures.reset,
            Failure::Timeout => rule.failures.timeout,
            Failure::Malformed => rule.failures.malformed,
            Failure::Refused | Failure::ConnectTimeout | Failure::Gateway => true,
        }
    }

    /// Is an answer that breaks off a failure of the endpoint?
    fn counts_cut(&self) -> bool {
        self.pool().config().outlier_detection.as_ref().is_none_or(|rule| rule.failures.cut)
    }

    fn enter(&self) -> Option<InFlight> {
        let endpoint = self.endpoint();
        endpoint.stats.enter(endpoint.max_connections)
    }
}

/// How looking for a link ended.
enum Linked {
    Ready(Link),
    /// It was not answered in time, and somebody else was.
    Elsewhere(Box<Elsewhere>),
    Failed(How),
    /// It was not answered, and nothing else was.
    Spent(Box<Spent>),
    /// A newer table would not go there.
    Superseded,
}

/// A new connection to the endpoint, with the header ahead of everything else. Cancel safe.
async fn reach(worker: &Worker, spot: &Spot, header: Option<&[u8]>) -> Result<Transport, Unreached> {
    let endpoint = spot.endpoint();
    let secured = spot.service().config.upstream.tls.is_some();
    if secured && endpoint.tls.is_none() {
        // A table without what the configuration asks for is never published; in the clear nothing is sent there.
        return Err(Unreached::Socket(io::Error::other("TLS is not set up")));
    }
    let place = worker.upstream_place().map_err(Unreached::Socket)?;
    let connector =
        Connector { header, tls: endpoint.tls.as_deref(), keep_alive: true, ..Connector::new(endpoint.address) };
    connector.connect(Some(place)).await.inspect_err(|error| worker.note_unconnected(error.io()))
}

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The retry rule says so.
    GaveUp(Why),
    /// No permit of the service.
    Limited(Refused),
    /// The wait was interrupted.
    Interrupted(Interrupted),
}

impl<'a> Placing<'a> {
    /// A request of this service; `origin` is its first table.
    pub fn new(
        worker: &'a Rc<Worker>,
        alarm: &'a Alarm,
        origin: &'a Handle,
        index: usize,
        began: Moment,
        mut tries: Tries,
        (asker, subject): (Asker, Subject<'a>),
    ) -> Placing<'a> {
        let faults = Faults::new(worker, &origin.services[index], subject);
        tries.avoid(faults.avoided(tries.nature().safe()));
        let origin = Rc::clone(origin);
        Placing { worker, origin, index, began, tries, asker, alarm, attempts: 0, last: None, denied: false, faults }
    }

    /// The service as the request's first table has it.
    pub fn service(&self) -> &Arc<ServiceView> {
        &self.origin.services[self.index]
    }

    /// A permit of the service, waiting in its queue if need be.
    pub async fn permit(
        &self,
        service: &ServiceView,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Permit, Unplaced> {
        let limits = &service.stats.limits;
        if let Some(permit) = limits.try_enter() {
            return Ok(permit);
        }
        let queue_timeout = self.service().config.limits.queue_timeout;
        self.alarm.clear();
        match guarded(self.alarm, gone, limits.enter(queue_timeout)).await {
            Ok(permit) => permit.map_err(Unplaced::Limited),
            Err(interrupted) => Err(Unplaced::Interrupted(interrupted)),
        }
    }

    /// The next connection to try. Failed connects are recorded and gone on from here, waits are waited here; only a
    /// failed *exchange* comes back to the caller, who tells it by [`Placing::failed`] and asks again.
    pub async fn next(&mut self, gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>) -> Result<Placed, Unplaced> {
        loop {
            let table = self.worker.table();
            let Some(service) = table.successor(self.service()).map(|service| service.index) else {
                return Err(Unplaced::GaveUp(Why::Down));
            };
            let choice = match self.pick(&table.services[service]) {
                Pick::Endpoint(choice) => choice,
                Pick::Static { pool } => return Ok(Placed::Static { table, service, pool }),
                nobody => {
                    let next = self.unplaced(nobody, &table.services[service]);
                    self.wait(next, &table, service, gone).await?;
                    continue;
                }
            };
            if self.crosses_rather(&choice, &table.services[service]) {
                continue;
            }
            let mut spot = Spot { table, service, choice, reused: true, generation: 0 };
            let Some(in_flight) = spot.enter() else { continue };
            self.back_off(&choice, gone).await?;
            self.count_try(spot.service());
            let how = match self.link(&mut spot, gone).await? {
                Linked::Ready(link) => return Ok(Placed::Endpoint(Target { spot, link, in_flight })),
                Linked::Elsewhere(elsewhere) => {
                    (self.tries, self.attempts) = (elsewhere.tries, elsewhere.attempts);
                    return Ok(Placed::Endpoint(elsewhere.target));
                }
                Linked::Spent(spent) => {
                    (self.tries, self.attempts) = (spent.tries, spent.attempts);
                    self.last = Some(How::ConnectTimeout);
                    return Err(Unplaced::GaveUp(spent.why));
                }
                Linked::Superseded => continue,
                Linked::Failed(how) => how,
            };
            drop(in_flight);
            let next =
                self.failed(&Ended { choice, how, sent: false, reused: false, replayable: true }, spot.service());
            self.wait(next, &spot.table, spot.service, gone).await?;
        }
    }

    fn pick(&self, service: &ServiceView) -> Pick {
        service.pick(&self.tries.want(clock::now(), self.asker.hash), &mut self.worker.pick.borrow_mut())
    }

    /// No endpoint of the pool is left that has not failed this request: it goes across, if it may.
    fn crosses_rather(&mut self, choice: &Choice, service: &ServiceView) -> bool {
        let retry = &self.origin.services[self.index].config.retry;
        self.tries.crosses_rather(retry, choice, service)
    }

    fn unplaced(&mut self, nobody: Pick, service: &ServiceView) -> Next {
        let retry = &self.origin.services[self.index].config.retry;
        self.tries.unplaced(retry, nobody, service, clock::now())
    }

    /// Pauses before the same endpoint is asked again.
    async fn back_off(
        &mut self,
        choice: &Choice,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), Unplaced> {
        let pause = self.tries.backoff(choice, &mut self.worker.pick.borrow_mut().dice);
        if pause.is_zero() {
            return Ok(());
        }
        self.alarm.set(clock::now().after(pause));
        match guarded(self.alarm, gone, std::future::pending::<()>()).await {
            Ok(()) | Err(Interrupted::Late) => Ok(()),
            Err(interrupted) => Err(Unplaced::Interrupted(interrupted)),
        }
    }

    /// An idle connection, a place on a shared one, or a new connection.
    async fn link(
        &self,
        spot: &mut Spot,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Linked, Unplaced> {
        spot.generation = spot.endpoint().stats.generation();
        if shares(spot) {
            return self.shared(spot, gone).await;
        }
        if let Some(stream) = self.take_idle(spot) {
            return Ok(Linked::Ready(Link::Own(stream)));
        }
        spot.reused = false;
        self.dial(spot, gone).await
    }

    /// A new connection. It is given up when a newer table has condemned the endpoint or left its pool: no byte was sent, so
    /// any request may go elsewhere at once.
    async fn dial(&self, spot: &Spot, gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>) -> Result<Linked, Unplaced> {
        let began = clock::now();
        let header = self.header(spot);
        let connecting = async {
            tokio::select! {
                biased;
                result = reach(self.worker, spot, header.as_deref()) => Some(result),
                () = self.superseded(spot) => None,
            }
        };
        let unanswered = || {
            connect_unanswered(self.worker, spot);
        };
        Ok(match self.race(spot, began, true, gone, connecting, unanswered).await? {
            Raced::Own(Some(reached)) => match connected(self.worker, spot, began, reached) {
                Ok(stream) => Linked::Ready(Link::Own(stream)),
                Err(how) => Linked::Failed(how),
            },
            Raced::Own(None) => {
                spot.endpoint().stats.connects().excused(began);
                Linked::Superseded
            }
            Raced::Elsewhere(elsewhere) => {
                let timeouts = self.service().config.timeouts;
                // (Later it is known to be unanswered.)
                if clock::now() < began.after(timeouts.connect) {
                    prove(self.worker, spot.clone(), header, began, timeouts);
                }
                Linked::Elsewhere(elsewhere)
            }
            Raced::Unanswered => Linked::Failed(How::ConnectTimeout),
            Raced::Spent(spent) => Linked::Spent(spent),
        })
    }

    /// What goes ahead of everything else on a new connection.
    fn header(&self, spot: &Spot) -> Option<Vec<u8>> {
        let version = spot.service().config.upstream.proxy_protocol;
        version.map(|version| proxy_protocol::write(version, Some(self.asker.ends)))
    }

    /// A place on a shared connection. Where there is none, one is dialled, by one for all who wait. An endpoint that may
    /// choose can turn out not to share.
    async fn shared(
        &self,
        spot: &mut Spot,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Linked, Unplaced> {
        // Where endpoints are told of the client, only its own requests share a connection.
        let about = spot.is_about_one_client().then_some(self.asker.ends);
        let shelf = self.worker.lines.shelf(spot.choice.id, about, &spot.endpoint().stats);
        let began = clock::now();
        let mut settling = 0;
        loop {
            // A wait may have seen a table by which the endpoint is spoken to in another way.
            if !self.worker.view.still_holds(&spot.table, spot.service()) {
                return Ok(Linked::Superseded);
            }
            spot.generation = spot.endpoint().stats.generation();
            let stats = &spot.endpoint().stats;
            let trusted = stats.trusts_idle(self.tries.nature().idempotent(), clock::now());
            match shelf.take(spot.generation, self.tries.fresh_only() || !trusted) {
                Take::Strand(strand) => {
                    spot.reused = strand.was_idle;
                    return Ok(Linked::Ready(Link::Shared(strand)));
                }
                Take::Unsettled if settling < SETTLING => {
                    settling += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                Take::Unsettled | Take::Nothing => {}
            }
            let alone = shelf.speaks() == Some(Speaks::Http1);
            if alone && let Some(stream) = self.take_idle(spot) {
                return Ok(Linked::Ready(Link::Own(stream)));
            }
            spot.reused = false;
            let mut leads = false;
            let waiter = shelf.join(alone, |dial| {
                leads = true;
                let idle = self.service().config.timeouts.idle;
                let connect = self.service().config.timeouts.connect;
                let header = self.header(spot);
                let worker = Rc::clone(self.worker);
                tokio::task::spawn_local(dial_shared(worker, spot.clone(), header, dial, (connect, idle)));
            });
            let dialled = async {
                tokio::select! {
                    biased;
                    dialled = waiter.ended() => Some(dialled),
                    () = self.superseded(spot) => None,
                }
            };
            // (The task that dials counts a connect that is not answered.)
            match self.race(spot, began, leads, gone, dialled, || ()).await? {
                Raced::Own(Some(Dialled::Line | Dialled::Http1(None))) => {}
                Raced::Own(Some(Dialled::Http1(Some(stream)))) => return Ok(Linked::Ready(Link::Own(stream))),
                Raced::Own(Some(Dialled::Failed(how))) => return Ok(Linked::Failed(how)),
                Raced::Own(None) => return Ok(Linked::Superseded),
                Raced::Elsewhere(elsewhere) => return Ok(Linked::Elsewhere(elsewhere)),
                Raced::Unanswered => return Ok(Linked::Failed(How::ConnectTimeout)),
                Raced::Spent(spent) => return Ok(Linked::Spent(spent)),
            }
        }
    }

    /// Waits until a table would not pick this endpoint any more. Cancel safe.
    async fn superseded(&self, spot: &Spot) {
        let mut epoch = spot.table.epoch;
        loop {
            newer_than(self.worker, epoch).await;
            let table = self.worker.table();
            let Some(service) = table.successor(self.service()) else { return };
            let pool = service.pool_of(spot.choice.id);
            let left = spot.service().serves(spot.choice.pool) && !pool.is_some_and(|pool| service.serves(pool));
            if left || service.condemns(spot.choice.id) || !service.has_tls_of(spot.service()) {
                return;
            }
            epoch = table.epoch;
        }
    }

    /// Tells the retry rule how a try ended. Unless it gives up, ask for the [next](Placing::next) one.
    pub fn failed(&mut self, ended: &Ended, service: &ServiceView) -> Next {
        self.last = Some(ended.how);
        if ended.sent && ended.how.failure().is_some_and(|kind| self.faults.fails_everywhere(kind)) {
            return Next::GiveUp(Why::FailsEverywhere);
        }
        self.charge(service);
        let retry = &self.origin.services[self.index].config.retry;
        let next = self.tries.ended(retry, ended, &service.stats.budget, clock::now());
        if next == Next::GiveUp(Why::Budget) {
            service.stats.budget_exhausted.add(self.worker.id, 1);
        }
        next
    }

    /// Where the service has several client networks, none of them uses more than half of its budget.
    fn charge(&mut self, service: &ServiceView) {
        let several = service.stats.callers.count(clock::now()) > 1;
        self.tries.charge_to(several.then_some(self.faults.subject().key));
    }

    /// The answer of this try is late: is there somebody to ask as well, and does the retry rule allow it? If so it was told,
    /// and the [next](Placing::next) try is the hedge.
    pub fn hedge(&mut self, spot: &Spot, since: Moment) -> bool {
        let table = self.worker.table();
        let Some(service) = table.successor(self.service()) else { return false };
        if self.faults.fails_everywhere(Failure::Timeout) {
            return false;
        }
        self.charge(service);
        let now = clock::now();
        let retry = &self.origin.services[self.index].config.retry;
        // Asked at once, because its endpoint is suspected: who was heard a moment ago will do.
        let since = if spot.endpoint().suspected { since.before(Usual::LEAST) } else { since };
        let Some(want) = self.tries.want_hedge(retry, spot.choice.id, since, now, self.asker.hash) else {
            return false;
        };
        let Pick::Endpoint(choice) = service.pick(&want, &mut self.worker.pick.borrow_mut()) else { return false };
        if choice.again {
            return false;
        }
        // (Its pool may stand elsewhere in a newer table.)
        let pending = Choice { pool: service.pool_of(spot.choice.id).unwrap_or(usize::MAX), ..spot.choice };
        let covered = self.tries.hedge(retry, &pending, since, &choice, &service.stats.budget, now);
        if !covered && !std::mem::replace(&mut self.denied, true) {
            service.stats.budget_exhausted.add(self.worker.id, 1);
        }
        covered
    }

    /// The pending try of a hedge ended like this; the hedge goes on alone.
    pub fn forsake(&mut self, how: How) {
        self.last = Some(how);
        self.tries.forsake();
    }

    /// The hedge came to nothing, and then the endpoint of the pending try was condemned: may the request go elsewhere? If so, the
    /// retry rule has been told.
    pub fn leave_hedge(&mut self, service: &ServiceView) -> bool {
        let retry = &self.origin.services[self.index].config.retry;
        self.tries.leave_hedge(retry, &service.stats.budget, clock::now())
    }

    /// May the request give up a try whose endpoint was condemned? If so, the retry rule has been told.
    pub fn leave(&mut self, ended: &Ended, service: &ServiceView) -> bool {
        let retry = &self.origin.services[self.index].config.retry;
        let leaves = self.tries.leave(retry, ended, &service.stats.budget, clock::now());
        if leaves {
            self.last = Some(ended.how);
        }
        leaves
    }

    /// Would another try find an endpoint as things are? (While there is an answer to pass on, it is not given up for a wait,
    /// nor for a trial's gate, which opens only once.)
    pub fn finds_another(&self) -> bool {
        let table = self.worker.table();
        let Some(service) = table.successor(self.service()).filter(|service| service.serving != Serving::Down) else {
            return false;
        };
        let retry = &self.origin.services[self.index].config.retry;
        let mut tries = self.tries.clone();
        let mut pick = self.pick(service);
        if let Pick::Endpoint(choice) = &pick
            && tries.crosses_rather(retry, choice, service)
        {
            let want = tries.want(clock::now(), self.asker.hash);
            pick = service.pick(&want, &mut self.worker.pick.borrow_mut());
        }
        matches!(pick, Pick::Endpoint(_))
    }

    /// A try begins.
    fn count_try(&mut self, service: &ServiceView) {
        self.attempts += 1;
        let Some(reason) = self.tries.begins() else { return };
        service.stats.count_retry(self.worker.id, reason);
        if self.tries.crossing() {
            service.stats.crossed.add(self.worker.id, 1);
        }
    }

    fn take_idle(&self, spot: &Spot) -> Option<Transport> {
        if self.tries.fresh_only() || !spot.keeps_connections() {
            return None;
        }
        let now = clock::now();
        if !spot.endpoint().stats.trusts_idle(self.tries.nature().idempotent(), now) {
            return None;
        }
        self.worker.idle.take(spot.choice.id, &spot.endpoint().stats, now)
    }

    /// Counts a failed exchange against the endpoint.
    pub fn record(&mut self, spot: &Spot, kind: Failure) {
        self.record_marked(spot, kind, Mark::None);
    }

    /// … of which something else is known.
    pub fn record_marked(&mut self, spot: &Spot, kind: Failure, mark: Mark) {
        self.faults.extend(blame(self.worker, spot, kind, mark));
    }

    /// Counts an answer that broke off.
    pub fn record_cut(&mut self, spot: &Spot) {
        if spot.counts_cut() {
            self.faults.extend(count_fault(self.worker, spot, Failure::Reset, Mark::None));
        }
    }

    /// Counts an exchange that ended well.
    pub fn record_good(&self, spot: &Spot) {
        let stats = &spot.endpoint().stats;
        if stats.record_good(self.worker.id, spot.choice.trial) {
            self.worker.view.urgent();
        }
        if stats.is_watched() {
            stats.record_good_by(self.faults.subject().source, clock::now());
        }
        self.faults.answered_well_by(spot.choice.id);
    }

    /// The head of an answer arrived that is no failure: the first one after a switch closes the incident. `well`: it shows that
    /// the client's request can be answered.
    pub fn answered(&mut self, spot: &Spot, well: bool, now: Moment) {
        if well {
            spot.service().stats.callers.note(self.faults.subject().key, now);
        }
        self.faults.answered(spot.choice.id, well, now);
        let service = spot.service();
        let first = match service.serves(spot.choice.pool) {
            true => service.answered(spot.choice.pool, self.began, now),
            false => self.answered_by_another_pool(spot, now),
        };
        if first {
            self.worker.view.urgent();
        }
    }

    /// The request was sent to another pool before the switch. Where the service has switched to that pool meanwhile, the
    /// answer is the first one after the switch all the same.
    #[cold]
    fn answered_by_another_pool(&self, spot: &Spot, now: Moment) -> bool {
        let newest = self.worker.view.current();
        let Some(service) = newest.successor(spot.service()) else { return false };
        service.pool_of(spot.choice.id).is_some_and(|pool| service.answered(pool, self.began, now))
    }

    /// Does what the retry rule said; an error when it gave up or the wait was interrupted.
    async fn wait(
        &mut self,
        next: Next,
        table: &RoutingTable,
        service: usize,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), Unplaced> {
        let (until, queued) = match next {
            Next::Pick => return Ok(()),
            Next::GiveUp(why) => return Err(Unplaced::GaveUp(why)),
            Next::Wait { until } => (until, false),
            Next::Queue { until } => (until, true),
        };
        self.alarm.set(until);
        let freed = &table.services[service].stats.freed;
        let news = async {
            tokio::select! {
                () = newer_than(self.worker, table.epoch) => {}
                () = freed.notified(), if queued => {}
            }
        };
        match guarded(self.alarm, gone, news).await {
            Ok(()) | Err(Interrupted::Late) => {}
            Err(interrupted) => return Err(Unplaced::Interrupted(interrupted)),
        }
        let newest = self.worker.table();
        let view = newest.successor(self.service());
        self.tries.resumed(view.is_none_or(|view| !Arc::ptr_eq(view, &table.services[service])));
        Ok(())
    }
}

/// A connect that began then has ended.
fn connected(
    worker: &Worker,
    spot: &Spot,
    began: Moment,
    reached: Result<Transport, Unreached>,
) -> Result<Transport, How> {
    let (stats, now) = (&spot.endpoint().stats, clock::now());
    match reached {
        Ok(stream) => {
            stats.count_connect(worker.id, ConnectOutcome::Connected);
            stats.connects().heard(now);
            stats.note_connect(now.since(began));
            Ok(stream)
        }
        Err(error) => {
            let how = unreached(worker, spot, &error);
            match how {
                How::Local | How::NoRoute => stats.connects().excused(began),
                _ => stats.connects().heard(now),
            }
            Err(how)
        }
    }
}

/// A connect was overtaken: is it only slow? One a worker and endpoint goes on in the background until that is known; what it
/// brings is kept for the next exchange.
fn prove(worker: &Rc<Worker>, spot: Spot, header: Option<Vec<u8>>, began: Moment, timeouts: ServiceTimeouts) {
    if !worker.proofs.borrow_mut().insert(spot.choice.id) {
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let alarm = worker.deadlines.alarm();
        alarm.set(began.after(timeouts.connect));
        let mut nobody = |_: &mut Context<'_>| Poll::Pending;
        match guarded(&alarm, &mut nobody, reach(&worker, &spot, header.as_deref())).await {
            Ok(reached) => {
                let reached = connected(&worker, &spot, began, reached);
                let now = clock::now();
                let serves = worker.view.still_serves(&spot.table, spot.service(), &spot.choice, now);
                if let Ok(stream) = reached.and_then(|stream| if serves { Ok(stream) } else { Err(How::Local) })
                    && spot.keeps_connections()
                    && spot.endpoint().stats.trusts_idle(true, now)
                {
                    let parked = Parked { stream, generation: spot.generation, expires: now.after(timeouts.idle) };
                    worker.idle.park(spot.choice.id, &spot.endpoint().stats, parked);
                }
            }
            Err(_) => {
                connect_unanswered(&worker, &spot);
            }
        }
        worker.proofs.borrow_mut().remove(&spot.choice.id);
    });
}

/// May the endpoint's connections be shared?
fn shares(spot: &Spot) -> bool {
    let upstream = &spot.service().config.upstream;
    match upstream.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => upstream.tls.is_some(),
    }
}

/// Dials for all who wait, to the end, whoever of them leaves.
async fn dial_shared(
    worker: Rc<Worker>,
    spot: Spot,
    header: Option<Vec<u8>>,
    dial: Dialling,
    (connect, idle): (Duration, Duration),
) {
    let (alarm, began) = (worker.deadlines.alarm(), clock::now());
    alarm.set(began.after(connect));
    let mut nobody = |_: &mut Context<'_>| Poll::Pending;
    let opened = guarded(&alarm, &mut nobody, open_shared(&worker, &spot, header.as_deref(), dial.shelf(), idle)).await;
    let (stats, now) = (&spot.endpoint().stats, clock::now());
    match &opened {
        Ok(Dialled::Failed(How::Local | How::NoRoute)) => stats.connects().excused(began),
        Err(_) => {}
        Ok(Dialled::Failed(_)) => stats.connects().heard(now),
        Ok(Dialled::Line | Dialled::Http1(_)) => {
            stats.connects().heard(now);
            stats.note_connect(now.since(began));
        }
    }
    dial.end(opened.unwrap_or_else(|_| Dialled::Failed(connect_unanswered(&worker, &spot))));
}

async fn open_shared(
    worker: &Rc<Worker>,
    spot: &Spot,
    header: Option<&[u8]>,
    shelf: &Rc<Shelf>,
    idle: Duration,
) -> Dialled {
    let stats = &spot.endpoint().stats;
    let transport = match reach(worker, spot, header).await {
        Ok(transport) => transport,
        Err(error) => return Dialled::Failed(unreached(worker, spot, &error)),
    };
    if !worker.view.still_serves(&spot.table, spot.service(), &spot.choice, clock::now()) {
        // Made by a table that has been replaced: those who wait look anew.
        stats.count_connect(worker.id, ConnectOutcome::Connected);
        return Dialled::Line;
    }
    let upstream = &spot.service().config.upstream;
    let secured = upstream.tls.is_some();
    if secured && !transport.is_http2() {
        stats.count_connect(worker.id, ConnectOutcome::Connected);
        if upstream.protocol == UpstreamProtocol::Auto {
            shelf.spoke(Speaks::Http1);
            return Dialled::Http1(Some(transport));
        }
        record_connect(worker, spot, Failure::Malformed);
        return Dialled::Failed(How::Malformed);
    }
    let scheme = if secured { Scheme::Https } else { Scheme::Http };
    let opening = Opening { transport, scheme, generation: spot.generation, idle };
    let opened = shelf.open(worker.id, opening, worker.deadlines.alarm()).await;
    stats.count_connect(worker.id, ConnectOutcome::Connected);
    match opened {
        Ok(()) => {
            shelf.spoke(Speaks::Http2);
            Dialled::Line
        }
        Err(how) => {
            record_connect(worker, spot, if how == How::Malformed { Failure::Malformed } else { Failure::Reset });
            Dialled::Failed(how)
        }
    }
}

fn unreached(worker: &Worker, spot: &Spot, error: &Unreached) -> How {
    match error {
        Unreached::Socket(error) => connect_failed(worker, spot, error),
        Unreached::Tls(error) => handshake_failed(worker, spot, error),
    }
}

/// It answers on its port, but TLS could not be set up with it: evidence like a connection that is cut. Whether that is a refusal,
/// which could be a verdict on its whole pool, a handshake of the engine's own tells.
fn handshake_failed(worker: &Worker, spot: &Spot, error: &io::Error) -> How {
    let endpoint = spot.endpoint();
    let (why, text) = explain(error);
    endpoint.stats.count_connect(worker.id, ConnectOutcome::Connected);
    endpoint.stats.count_distrust(worker.id, why);
    worker.complain_of_tls(&spot.service().config.name, endpoint.address, &text);
    record_connect(worker, spot, Failure::Reset);
    How::Handshake
}

fn connect_failed(worker: &Worker, spot: &Spot, error: &io::Error) -> How {
    let endpoint = spot.endpoint();
    let outcome = judge_connect(error);
    endpoint.stats.count_connect(worker.id, outcome);
    let (kind, how) = match outcome {
        ConnectOutcome::Refused | ConnectOutcome::Unreachable => (Failure::Refused, How::Refused),
        ConnectOutcome::NoRoute => {
            worker.complain_of_connect(&spot.service().config.name, endpoint.address, error);
            if endpoint.stats.note_no_route() {
                worker.view.urgent();
            }
            return How::NoRoute;
        }
        ConnectOutcome::Timeout => (Failure::ConnectTimeout, How::ConnectTimeout),
        ConnectOutcome::Connected | ConnectOutcome::Local => {
            worker.complain_of_connect(&spot.service().config.name, endpoint.address, error);
            return How::Local;
        }
    };
    record_connect(worker, spot, kind);
    how
}

fn connect_unanswered(worker: &Worker, spot: &Spot) -> How {
    spot.endpoint().stats.count_connect(worker.id, ConnectOutcome::Timeout);
    record_connect(worker, spot, Failure::ConnectTimeout);
    How::ConnectTimeout
}

/// Has a newer table condemned the endpoint of this try? `judged` is the epoch of the table that was asked last: each is
/// asked once.
pub fn is_condemned(worker: &Worker, spot: &Spot, judged: &mut u64) -> bool {
    let table = worker.table();
    if std::mem::replace(judged, table.epoch) == table.epoch {
        return false;
    }
    table.successor(spot.service()).is_some_and(|service| service.condemns(spot.choice.id))
}

/// Counts a failed exchange against its endpoint, if it counts. To be added to its request's [`Faults`].
pub fn blame(worker: &Worker, spot: &Spot, kind: Failure, mark: Mark) -> Option<Fault> {
    spot.counts(kind).then(|| count_fault(worker, spot, kind, mark)).flatten()
}

/// Waits until this worker has a table newer than that. Cancel safe.
async fn newer_than(worker: &Worker, epoch: u64) {
    loop {
        let mut taken_up = pin!(worker.taken_up.notified());
        taken_up.as_mut().enable();
        if worker.table().epoch > epoch {
            return;
        }
        taken_up.await;
    }
}

/// Waits for `work`, unless the client goes away first or the alarm rings.
pub async fn guarded<T>(
    alarm: &Alarm,
    gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    work: impl Future<Output = T>,
) -> Result<T, Interrupted> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if gone(cx).is_ready() {
            return Poll::Ready(Err(Interrupted::Gone));
        }
        alarm.poll(cx).map(|interrupt| {
            Err(match interrupt {
                Interrupt::Deadline => Interrupted::Late,
                Interrupt::Killed => Interrupted::Killed,
            })
        })
    })
    .await
}
