//! Requests on the real pure parts of the data plane: pick, epoch check, retry rule, hedges, races, budget, counters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::{Name, Retry};
use standfast::decision::{Elsewhere, EndpointId, Failure, Mark, RequestTarget, Source};
use standfast::routing::{
    EndpointView, FailedTry, InFlight, Pick, PickChoice, PickState, RequestClass, RetryDecision, RoutingTable,
    ServiceView, SourceKey, Tries, TryEnd, TryFailure, faults,
};
use standfast::time::MonoTime;
use standfast::wire::h1::Method;

use super::oracle::{Ear, Try};
use super::scene::ms;
use super::sim::{Ev, Verdict, World};
use super::upstream::{Course, Mode};

/// An answer is late after so long, and so is a connect that nobody has answered.
const PATIENCE: Duration = ms(60);
/// An answer is waited for no longer than that.
const RESPONSE: Duration = ms(250);
/// How often a silent upstream is looked at again: it may go on.
const LOOK: Duration = ms(40);
/// 503 with `Retry-After`, as the world writes it.
pub const RETRY_LATER: u16 = 599;
/// A request's own deadline.
const DEADLINE: Duration = ms(1500);

/// A request under way.
struct Request {
    service: Name,
    request_class: RequestClass,
    tries: Tries,
    worker: usize,
    executed: u32,
    /// Exchanges with bytes sent.
    sent: u32,
    source: Source,
    target: RequestTarget,
    /// Its place in the stage's cast.
    actor: Option<usize>,
    /// Tries that failed, until it is known how it fared elsewhere.
    faults: Vec<FailedTry>,
    state: State,
    /// A late exchange that is still waited for; `state` is the hedge.
    first: Option<Exchange>,
    /// It is asked elsewhere as well (or was, and the late one is lost): from now on its tries are those of the hedge.
    hedged: bool,
    /// When its plan comes; an older plan is void.
    due: MonoTime,
}

enum State {
    /// Waits for a newer table, or until then.
    Waiting(MonoTime),
    /// Picked; its first byte goes out then, if its view still holds.
    Picked(MonoTime, Arc<ServiceView>, PickChoice),
    Exchange(Exchange),
}

struct Exchange {
    view: Arc<ServiceView>,
    choice: PickChoice,
    course: Course,
    reused: bool,
    /// Of its connection.
    generation: u64,
    began: MonoTime,
    /// Its course comes to its end, or is looked at again.
    ends: MonoTime,
    /// To be told as late.
    late: Option<MonoTime>,
    /// Somebody else is to be asked as well: by a hedge, or by a race while nobody answers the connect.
    other: Option<MonoTime>,
    role: Role,
    _place: Option<InFlight>,
}

/// What an exchange is to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// All there is.
    Only,
    /// A hedge, or what came after one.
    Hedge,
    /// It was hedged, and the hedge came to nothing.
    Alone,
}

impl Exchange {
    fn endpoint(&self) -> &EndpointView {
        &self.view.pools[self.choice.pool].endpoints[self.choice.endpoint]
    }

    /// When something is to be done about it.
    fn next(&self) -> MonoTime {
        [self.late, self.other].into_iter().flatten().fold(self.ends, MonoTime::min)
    }

    fn connecting(&self) -> bool {
        self.course.how == Some(TryFailure::ConnectTimeout)
    }

    /// A reused connection that was reset before its answer.
    fn tell_stale(&self, how: TryFailure, now: MonoTime) {
        if self.reused && how == TryFailure::Reset {
            self.endpoint().stats.note_stale(self.generation, now);
        }
    }

    fn ended(&self, how: TryFailure) -> TryEnd {
        TryEnd { choice: self.choice, how, sent: self.course.sent, reused: self.reused, replayable: true }
    }
}

impl Request {
    fn next(&self) -> MonoTime {
        let own = match &self.state {
            State::Waiting(until) => *until,
            State::Picked(at, ..) => *at,
            State::Exchange(exchange) => exchange.next(),
        };
        self.first.as_ref().map_or(own, |first| first.next().min(own))
    }

    fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.state {
            State::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }
}

/// What a service has asked for, and how often more than once.
#[derive(Default)]
struct Spending {
    requests: VecDeque<MonoTime>,
    extras: VecDeque<MonoTime>,
}

pub struct Traffic {
    pickers: [PickState; 2],
    requests: BTreeMap<u64, Request>,
    spending: BTreeMap<Name, Spending>,
    /// Connects that go on though they were overtaken, by worker.
    proofs: BTreeSet<(usize, EndpointId)>,
    next: u64,
    tries: BTreeMap<usize, u32>,
    /// When the last requests ended well and badly, by service.
    pub good: BTreeMap<Name, MonoTime>,
    pub bad: BTreeMap<Name, MonoTime>,
}

impl Traffic {
    /// Exchanges with bytes sent that an actor's requests made.
    pub fn tries_of(&self, actor: usize) -> u32 {
        self.tries.get(&actor).copied().unwrap_or(0)
    }

    pub fn new(rng: &mut Rng) -> Traffic {
        let mut picker = || PickState::new(Rng::with_seed(rng.u64(..)));
        Traffic {
            pickers: [picker(), picker()],
            requests: BTreeMap::new(),
            spending: BTreeMap::new(),
            proofs: BTreeSet::new(),
            next: 0,
            tries: BTreeMap::new(),
            good: BTreeMap::new(),
            bad: BTreeMap::new(),
        }
    }

    /// The process died, and its requests with it.
    pub fn forget(&mut self) {
        self.requests.clear();
        self.spending.clear();
        self.proofs.clear();
    }
}

impl World {
    pub fn arrive(&mut self, service: Name) -> Verdict {
        let pause = ms(10 + self.rng.u64(..60));
        self.plan(pause, Ev::Arrive(service.clone()));
        let Some(view) = self.newest.service(&service).cloned() else { return Ok(()) };
        let request_class = match self.rng.u8(..8) {
            0..5 => RequestClass::of(Method::Get, false),
            5 => RequestClass::of(Method::Put, true),
            _ => RequestClass::of(Method::Post, true),
        };
        let source = Source::of([10, 0, 0, self.rng.u8(..self.sources)].into());
        let target = RequestTarget(self.rng.u64(..5));
        self.ask(&view, request_class, source, target, None)
    }

    /// A request comes.
    pub fn ask(
        &mut self,
        view: &ServiceView,
        request_class: RequestClass,
        source: Source,
        target: RequestTarget,
        actor: Option<usize>,
    ) -> Verdict {
        let service = view.config.name.clone();
        let worker = self.rng.usize(..2);
        view.stats.budget.request(worker, self.now);
        self.traffic.spending.entry(service.clone()).or_default().requests.push_back(self.now);
        let id = self.traffic.next;
        self.traffic.next += 1;
        let mut tries = Tries::new(request_class, self.now.after(DEADLINE));
        let avoided = view.stats.avoidance.of(source, target, request_class.safe(), self.now);
        if !avoided.is_empty() {
            self.coverage.hit("avoids who fails the target");
        }
        tries.avoid(avoided);
        let request = Request {
            service,
            request_class,
            tries,
            worker,
            executed: 0,
            sent: 0,
            source,
            target,
            actor,
            faults: Vec::new(),
            state: State::Waiting(self.now),
            first: None,
            hedged: false,
            due: self.now,
        };
        self.traffic.requests.insert(id, request);
        self.drive(id)?;
        self.plan_next(id);
        Ok(())
    }

    /// The next thing that happens to this request.
    pub fn request(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id).filter(|r| r.due <= now) else { return Ok(()) };
        if request.first.as_ref().is_some_and(|first| first.next() <= now) {
            self.first_rings(id)?;
        } else {
            match &request.state {
                State::Waiting(until) if *until <= now => {
                    request.tries.resumed(false);
                    self.drive(id)?;
                }
                State::Picked(at, view, choice) if *at <= now => {
                    let (view, choice) = (view.clone(), *choice);
                    self.begin(id, view, choice)?;
                }
                State::Exchange(exchange) if exchange.next() <= now => self.rings(id)?,
                _ => {}
            }
        }
        self.plan_next(id);
        Ok(())
    }

    fn plan_next(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        request.due = request.next();
        let after = request.due.since(self.now);
        self.plan(after, Ev::Request(id));
    }

    // ---- where it goes --------------------------------------------------------------------------------------------

    /// Pick, or wait, or give up.
    fn drive(&mut self, id: u64) -> Verdict {
        loop {
            let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
            let Some(view) = self.newest.service(&request.service).cloned() else { return self.gives_up(id) };
            let retry = view.config.retry.clone();
            let want = request.tries.want(self.now, 0);
            let pick = view.pick(&want, &mut self.traffic.pickers[request.worker]);
            match pick {
                Pick::Endpoint(choice) if request.tries.crosses_rather(&retry, &choice, &view) => {
                    self.coverage.hit("crosses rather than asking again");
                }
                Pick::Endpoint(choice) => {
                    let pause = request.tries.backoff(&choice, &mut self.rng);
                    // the check for an idle connection, or the way to the socket: a publish may come in between
                    let pause = pause + Duration::from_micros(self.rng.u64(..200));
                    request.state = State::Picked(self.now.after(pause), view, choice);
                    return Ok(());
                }
                Pick::Static { .. } if request.first.is_some() => return self.gives_up(id),
                Pick::Static { .. } => return self.done(id, true),
                nothing => {
                    if nothing == Pick::Suspected {
                        self.coverage.hit("waits for the verdict on a suspicion");
                    }
                    let next = request.tries.unplaced(&retry, nothing, &view, self.now);
                    if !self.follow(id, next)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What the retry rule says; `true` = pick again now.
    fn follow(&mut self, id: u64, next: RetryDecision) -> Result<bool, String> {
        match next {
            RetryDecision::Pick => Ok(true),
            RetryDecision::Wait { until } | RetryDecision::Queue { until } => {
                if let Some(request) = self.traffic.requests.get_mut(&id) {
                    request.state = State::Waiting(until);
                }
                Ok(false)
            }
            RetryDecision::GiveUp(_) => self.gives_up(id).map(|()| false),
        }
    }

    /// There is no further try; one that is late may still be answered.
    fn gives_up(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let Some(first) = request.first.take() else { return self.done(id, false) };
        request.hedged = false;
        request.state = State::Exchange(Exchange { role: Role::Alone, ..first });
        self.coverage.hit("hedge came to nothing");
        Ok(())
    }

    /// Immediately before the first byte: the view must still be the newest one's.
    fn begin(&mut self, id: u64, view: Arc<ServiceView>, choice: PickChoice) -> Verdict {
        let holds = self.newest.service(&view.config.name).is_some_and(|newest| Arc::ptr_eq(newest, &view));
        let endpoint = view.endpoint(choice.pool, choice.endpoint).ok_or("picked an endpoint that is not there")?;
        let place = endpoint.stats.enter(endpoint.max_connections);
        if !holds || place.is_none() {
            self.coverage.hit("stale try picks again");
            return self.drive(id);
        }
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let (tries, request_class) = (&request.tries, request.request_class);
        let beside = request.first.as_ref().map(|first| first.choice.id);
        let how = Try { crossing: tries.crossing(), safe: request_class.safe(), tried: tries.tried(), beside };
        self.oracle.tries(&view, &choice, &how)?;
        let upstream = self.upstreams[&endpoint.address];
        let generation = endpoint.stats.generation();
        let mut reused = self.rng.u8(..4) == 0
            && !tries.fresh_only()
            && endpoint.stats.trusts_idle(request_class.idempotent(), self.now);
        let mut course = upstream.exchange(reused, &mut self.rng);
        if let Some(fate) = request.actor.and_then(|actor| self.stage.fate(actor, request.target, &view, &choice)) {
            course.how = fate;
        }
        if course.how == Some(TryFailure::ConnectTimeout) {
            reused = false;
        }
        let connecting = course.how == Some(TryFailure::ConnectTimeout);
        let role = if request.hedged { Role::Hedge } else { Role::Only };
        let hedges = role == Role::Only && course.sent;
        let patience = if endpoint.suspected { Duration::ZERO } else { PATIENCE };
        let other = match connecting {
            true => Some(self.now.after(endpoint.stats.connect_late_after())),
            false => hedges.then(|| self.now.after(patience)),
        };
        request.sent += u32::from(course.sent);
        if let Some(actor) = request.actor.filter(|_| course.sent) {
            *self.traffic.tries.entry(actor).or_default() += 1;
        }
        let extra = course.sent && request.sent > 1;
        if !reused {
            self.dials(endpoint, course.how);
        }
        if course.sent {
            self.asks(endpoint, Ear::Replies);
        }
        if course.executed && upstream.mode.silent() {
            course.executed = self.rng.bool();
        }
        let exchange = Exchange {
            ends: self.now.after(course.after),
            late: (course.sent || connecting).then(|| self.now.after(PATIENCE)),
            other,
            course,
            reused,
            generation,
            choice,
            began: self.now,
            role,
            _place: place,
            view: view.clone(),
        };
        if let Some(request) = self.traffic.requests.get_mut(&id) {
            request.state = State::Exchange(exchange);
        }
        if extra { self.spend(&view) } else { Ok(()) }
    }

    /// A connect: its kernel answers at once, or never.
    fn dials(&mut self, endpoint: &EndpointView, how: Option<TryFailure>) {
        self.asks(endpoint, Ear::Connects);
        if how != Some(TryFailure::ConnectTimeout) {
            self.hears(endpoint, Ear::Connects);
        }
        if how.is_none() {
            endpoint.stats.note_connect(ms(1));
        }
    }

    /// All exchanges of a request but the first are covered by the budget. A grant is used before the request's deadline, so
    /// that much is left out on one side of the window and added on the other.
    fn spend(&mut self, view: &ServiceView) -> Verdict {
        let window = Duration::from_secs(10);
        let now = self.now;
        let spending = self.traffic.spending.entry(view.config.name.clone()).or_default();
        spending.extras.push_back(now);
        spending.extras.retain(|at| now.since(*at) < window - DEADLINE);
        spending.requests.retain(|at| now.since(*at) < window + DEADLINE);
        let floor = Retry::BUDGET_FLOOR as usize;
        let allowed = (view.config.retry.budget * spending.requests.len() as f64) as usize + floor;
        let (extras, requests) = (spending.extras.len(), spending.requests.len());
        if extras > allowed {
            return Err(format!("{extras} further exchanges for {requests} requests of {}", view.config.name));
        }
        Ok(())
    }

    // ---- what becomes of an exchange ------------------------------------------------------------------------------

    fn rings(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let Some(exchange) = request.exchange() else { return Ok(()) };
        if exchange.late.take_if(|late| *late <= now).is_some() {
            let (view, choice, connecting) = (exchange.view.clone(), exchange.choice, exchange.connecting());
            self.tell_late(&view, choice, connecting);
            return Ok(());
        }
        match exchange.other.take_if(|other| *other <= now) {
            Some(_) if exchange.connecting() => self.race(id),
            Some(_) => self.hedge(id),
            None => self.end(id),
        }
    }

    /// The exchange that is waited for beside its hedge.
    fn first_rings(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let Some(first) = request.first.as_mut() else { return Ok(()) };
        if first.late.take_if(|late| *late <= now).is_some() {
            let (view, choice) = (first.view.clone(), first.choice);
            self.tell_late(&view, choice, false);
            return Ok(());
        }
        let mode = self.upstreams[&first.endpoint().address].mode;
        if !outcome(first, mode, now, &mut self.rng) {
            return Ok(());
        }
        let Some(first) = request.first.take() else { return Ok(()) };
        let how = first.course.how;
        if how.is_none() {
            self.coverage.hit("first try answered beside its hedge");
            self.abandon(id)?;
            if let Some(request) = self.traffic.requests.get_mut(&id) {
                request.state = State::Exchange(first);
            }
            return self.conclude(id);
        }
        // What would be asked for again is asked for already.
        if let Some(TryFailure::Status(_)) = how {
            self.hears(first.endpoint(), Ear::Replies);
        }
        if let Some(how) = how {
            self.record(id, first.endpoint(), &first.ended(how));
            first.tell_stale(how, now);
        }
        self.forsake(id, &first)
    }

    /// The first try is lost: the hedge goes on, wherever the table says.
    fn forsake(&mut self, id: u64, first: &Exchange) -> Verdict {
        self.coverage.hit("first try left to its hedge");
        self.executes(id, first.course.executed)?;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        request.tries.forsake();
        let placed = matches!(&request.state, State::Exchange(hedge) if !hedge.connecting());
        if placed { Ok(()) } else { self.drive(id) }
    }

    fn tell_late(&mut self, view: &ServiceView, choice: PickChoice, connecting: bool) {
        let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
        let stats = &endpoint.stats;
        let urgent = if connecting {
            stats.connects().waits_for(PATIENCE, self.now) && stats.connects().late(self.now)
        } else {
            let late = stats.replies().late(self.now);
            let unacknowledged = self.upstreams[&endpoint.address].mode == Mode::Hang;
            if unacknowledged {
                stats.bump_generation();
            }
            late
        };
        let urgent = urgent && stats.make_urgent();
        self.counted(urgent);
    }

    /// A request that waits for this endpoint was answered elsewhere, or at least connected.
    fn tell_overtaken(&mut self, endpoint: &EndpointView, ear: Ear, asked: MonoTime) {
        let tracker = ear.of(&endpoint.stats);
        let suspected = tracker.waits_for(PATIENCE, self.now) && tracker.late(self.now);
        let urgent = (self.testifies(endpoint, ear, asked) || suspected) && endpoint.stats.make_urgent();
        self.counted(urgent);
    }

    /// The answer is late: ask somebody else as well.
    fn hedge(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let State::Exchange(exchange) = &mut request.state else { return Ok(()) };
        let newest = self.newest.service(&request.service).cloned();
        let hedged = newest.is_some_and(|service| {
            let retry = &service.config.retry;
            let want = request.tries.want_hedge(retry, exchange.choice.id, exchange.began, now, 0);
            let pick = want.map(|want| service.pick(&want, &mut self.traffic.pickers[request.worker]));
            let Some(Pick::Endpoint(choice)) = pick else { return false };
            let pool = service.pool_of(exchange.choice.id).unwrap_or(usize::MAX);
            let pending = PickChoice { pool, ..exchange.choice };
            request.tries.hedge(retry, &pending, exchange.began, &choice, &service.stats.budget, now)
        });
        if !hedged {
            exchange.other = Some(now.after(PATIENCE));
            self.coverage.hit("hedge put off");
            return Ok(());
        }
        self.coverage.hit("hedge");
        if let State::Exchange(first) = std::mem::replace(&mut request.state, State::Waiting(now)) {
            request.first = Some(first);
            request.hedged = true;
        }
        self.drive(id)
    }

    /// Nobody answers the connect: another endpoint is tried beside it, and wins if it answers.
    fn race(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let State::Exchange(exchange) = &request.state else { return Ok(()) };
        let (slow, mut tries) = ((exchange.view.clone(), exchange.choice), request.tries.clone());
        let began = exchange.began;
        tries.race(&exchange.choice);
        let Some(view) = self.newest.service(&request.service).cloned() else { return Ok(()) };
        let (retry, worker) = (view.config.retry.clone(), request.worker);
        let winner = loop {
            let pick = view.pick(&tries.want(self.now, 0), &mut self.traffic.pickers[worker]);
            let next = match pick {
                Pick::Endpoint(choice) => {
                    let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
                    match self.upstreams[&endpoint.address].mode {
                        Mode::Hang => break None,
                        Mode::Dead => {
                            self.dials(endpoint, Some(TryFailure::Refused));
                            let how = TryFailure::Refused;
                            let ended = TryEnd { choice, how, sent: false, reused: false, replayable: true };
                            self.record(id, endpoint, &ended);
                            tries.ended(&retry, &ended, &view.stats.budget, self.now)
                        }
                        _ => break Some(choice),
                    }
                }
                Pick::Static { .. } => break None,
                nothing => tries.unplaced(&retry, nothing, &view, self.now),
            };
            if next != RetryDecision::Pick {
                break None;
            }
        };
        let Some(choice) = winner else { return Ok(()) };
        self.coverage.hit("race won");
        let (slow, loser) = slow;
        let endpoint = &slow.pools[loser.pool].endpoints[loser.endpoint];
        self.tell_overtaken(endpoint, Ear::Connects, self.now);
        if loser.trial {
            let how = TryFailure::ConnectTimeout;
            self.record(id, endpoint, &TryEnd { choice: loser, how, sent: false, reused: false, replayable: true });
        }
        if self.traffic.proofs.insert((worker, loser.id)) {
            let left = began.after(slow.config.timeouts.connect).since(self.now);
            self.plan(left, Ev::Proof(worker, slow, loser));
        }
        if let Some(request) = self.traffic.requests.get_mut(&id) {
            request.tries = tries;
            request.state = State::Picked(self.now.after(ms(1)), view, choice);
        }
        Ok(())
    }

    /// A connect that was overtaken went on: it comes to its end.
    pub fn prove(&mut self, worker: usize, view: &ServiceView, choice: PickChoice) {
        self.traffic.proofs.remove(&(worker, choice.id));
        let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
        if self.upstreams[&endpoint.address].mode != Mode::Hang {
            return self.hears(endpoint, Ear::Connects);
        }
        let urgent = endpoint.stats.record_failure(worker, Failure::ConnectTimeout, choice.trial, self.now);
        self.counted(urgent);
    }

    /// The exchange comes to its end, as the upstream is now.
    fn end(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let Some(exchange) = request.exchange() else { return Ok(()) };
        let mode = self.upstreams[&exchange.endpoint().address].mode;
        if outcome(exchange, mode, now, &mut self.rng) { self.conclude(id) } else { Ok(()) }
    }

    /// What its outcome means for the counters and for the request.
    fn conclude(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let State::Exchange(exchange) = std::mem::replace(&mut request.state, State::Waiting(self.now)) else {
            return Ok(());
        };
        let (worker, course, view) = (request.worker, exchange.course, exchange.view.clone());
        self.executes(id, course.sent && course.executed)?;
        let endpoint = exchange.endpoint();
        if matches!(course.how, None | Some(TryFailure::Status(_))) {
            self.hears(endpoint, Ear::Replies);
            endpoint.stats.note_answered(exchange.generation, exchange.reused, self.now);
        }
        let Some(how) = course.how else {
            endpoint.stats.record_good(worker, exchange.choice.trial);
            self.is_answered(id, &view, endpoint);
            self.counted(false);
            self.first_answer(&view, exchange.choice, exchange.began);
            let first = self.traffic.requests.get_mut(&id).and_then(|request| request.first.take());
            return match first {
                Some(first) => self.overtake(id, first),
                None => self.done(id, true),
            };
        };
        let ended = exchange.ended(how);
        self.record(id, endpoint, &ended);
        exchange.tell_stale(how, self.now);
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let kind = how.failure().filter(|_| ended.sent);
        let known = |kind| view.stats.everywhere.knows(request.source, request.target, kind, now);
        if kind.is_some_and(known) {
            self.coverage.hit("fails everywhere");
            return self.gives_up(id);
        }
        let several = view.stats.callers.count(now) > 1;
        request.tries.charge_to(several.then(|| SourceKey::of(&request.source)));
        let next = request.tries.ended(&view.config.retry, &ended, &view.stats.budget, self.now);
        if self.follow(id, next)? { self.drive(id) } else { Ok(()) }
    }

    /// The hedge was answered first.
    fn overtake(&mut self, id: u64, first: Exchange) -> Verdict {
        self.coverage.hit("hedge won");
        let endpoint = first.endpoint();
        if let Some(request) = self.traffic.requests.get(&id) {
            let soon = self.now.since(first.began) < PATIENCE;
            endpoint.stats.witness(first.began, request.source, request.target);
            if !soon && !endpoint.suspected {
                first.view.stats.avoidance.note(endpoint.id, request.source, request.target, self.now);
            }
        }
        self.tell_overtaken(endpoint, Ear::Replies, first.began);
        if first.choice.trial {
            self.record(id, endpoint, &first.ended(TryFailure::Timeout));
        }
        self.executes(id, first.course.executed)?;
        self.done(id, true)
    }

    /// Whatever is under way is given up.
    fn abandon(&mut self, id: u64) -> Verdict {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let State::Exchange(exchange) = std::mem::replace(&mut request.state, State::Waiting(now)) else {
            return Ok(());
        };
        if exchange.connecting() {
            self.excuses(exchange.endpoint(), Ear::Connects, exchange.began);
        } else if exchange.role == Role::Hedge && exchange.course.sent && now.since(exchange.began) < PATIENCE {
            self.excuses(exchange.endpoint(), Ear::Replies, exchange.began);
        }
        self.executes(id, exchange.course.sent && exchange.course.executed)
    }

    fn executes(&mut self, id: u64, executed: bool) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        request.executed += u32::from(executed);
        if request.executed > 1 && !request.request_class.idempotent() {
            return Err(format!("request {id}, which is not idempotent, was executed twice"));
        }
        Ok(())
    }

    /// How the counters see it; a stale idle connection is nobody's fault ([`Exchange::tell_stale`]).
    fn record(&mut self, id: u64, endpoint: &EndpointView, ended: &TryEnd) {
        let now = self.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        if let Some(kind) = failure(ended) {
            let mut urgent = endpoint.stats.record_failure(request.worker, kind, ended.choice.trial, now);
            let (stats, streak) = (endpoint.stats.clone(), endpoint.stats.streak_number());
            let later = matches!(ended.how, TryFailure::Status(RETRY_LATER));
            let mark = if later { Mark::RetryLater } else { Mark::None };
            let fault =
                FailedTry { endpoint: ended.choice.id, stats, pool: ended.choice.pool, streak, kind, at: now, mark };
            if matches!(ended.how, TryFailure::Refused | TryFailure::ConnectTimeout) {
                urgent |= fault.report_connect();
            } else {
                request.faults.push(fault);
            }
            self.counted(urgent);
        }
    }

    fn first_answer(&mut self, view: &ServiceView, choice: PickChoice, began: MonoTime) {
        let Some(newest) = self.newest.service(&view.config.name).cloned() else { return };
        let pool = &view.pools[choice.pool].name;
        let Some(place) = newest.pools.iter().position(|other| other.name == *pool) else { return };
        if newest.answered(place, began, self.now)
            && let Some(awaiting) = &newest.awaiting
        {
            self.plan(ms(1), Ev::Answered(newest.config.name.clone(), awaiting.epoch, self.now));
        }
    }

    /// It is answered well: what failed before was not its own fault.
    fn is_answered(&mut self, id: u64, view: &ServiceView, endpoint: &EndpointView) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        view.stats.callers.note(SourceKey::of(&request.source), self.now);
        if endpoint.stats.is_watched() {
            endpoint.stats.record_good_by(request.source, self.now);
        }
        view.stats.everywhere.forget(request.source, request.target, self.now);
        view.stats.avoidance.forget(endpoint.id, request.target, self.now);
        faults::contrasted(&request.faults, endpoint.id, view, request.source, request.target, self.now);
        self.settle(id, Elsewhere::Answered);
    }

    fn settle(&mut self, id: u64, elsewhere: Elsewhere) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let (source, target) = (Some(request.source), request.target);
        let service = self.newest.service(&request.service);
        let key = SourceKey::of(&request.source);
        let caller = service.is_some_and(|service| service.stats.callers.has(key, self.now));
        let faults = std::mem::take(&mut request.faults);
        let mut urgent = false;
        for fault in &faults {
            urgent |= fault.report(source, caller, target, elsewhere);
        }
        if !faults.is_empty() {
            self.counted(urgent);
        }
    }

    /// It is over, and was answered well by no endpoint.
    fn settle_at_end(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get(&id) else { return };
        if request.faults.is_empty() {
            return;
        }
        let Some(service) = self.newest.service(&request.service) else { return };
        let elsewhere = faults::fared(&request.faults, service, request.source, request.target, self.now);
        self.settle(id, elsewhere);
    }

    fn done(&mut self, id: u64, good: bool) -> Verdict {
        self.settle_at_end(id);
        let Some(request) = self.traffic.requests.remove(&id) else { return Ok(()) };
        if let Some(actor) = request.actor {
            self.stage.ended(actor, good);
        }
        let list = if good { &mut self.traffic.good } else { &mut self.traffic.bad };
        list.insert(request.service, self.now);
        self.coverage.hit(if good { "request good" } else { "request bad" });
        Ok(())
    }

    // ---- who hears what -------------------------------------------------------------------------------------------

    fn asks(&mut self, endpoint: &EndpointView, ear: Ear) {
        ear.of(&endpoint.stats).asked(self.now);
        self.oracle.asked(endpoint.id, ear, self.now);
    }

    fn hears(&mut self, endpoint: &EndpointView, ear: Ear) {
        ear.of(&endpoint.stats).heard(self.now);
        self.oracle.heard(endpoint.id, ear, self.now);
    }

    fn excuses(&mut self, endpoint: &EndpointView, ear: Ear, asked: MonoTime) {
        ear.of(&endpoint.stats).excused(asked);
        self.oracle.excused(endpoint.id, ear, asked);
    }

    fn testifies(&mut self, endpoint: &EndpointView, ear: Ear, asked: MonoTime) -> bool {
        self.oracle.witnessed(endpoint.id, ear, asked);
        ear.of(&endpoint.stats).witnessed(asked)
    }

    // ---- a newer table --------------------------------------------------------------------------------------------

    /// Who waits picks again, and who waits for an endpoint that is condemned goes elsewhere if it may.
    pub fn take_up(&mut self, old: &RoutingTable) -> Verdict {
        let ids: Vec<u64> = self.traffic.requests.keys().copied().collect();
        for id in ids {
            let Some(request) = self.traffic.requests.get_mut(&id) else { continue };
            let (was, is) = (old.service(&request.service), self.newest.service(&request.service));
            let anew = match (was, is) {
                (Some(was), Some(is)) => !Arc::ptr_eq(was, is),
                _ => true,
            };
            if !anew {
                continue;
            }
            if matches!(&request.state, State::Waiting(until) if *until > self.now) {
                request.tries.resumed(true);
                self.drive(id)?;
            }
            self.leave(id)?;
            self.plan_next(id);
        }
        Ok(())
    }

    fn leave(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let Some(newest) = self.newest.service(&request.service).cloned() else { return Ok(()) };
        if let Some(first) = request.first.take_if(|first| newest.condemns(first.choice.id)) {
            return self.forsake(id, &first);
        }
        let State::Exchange(exchange) = &request.state else { return Ok(()) };
        let (view, condemned) = (&exchange.view, newest.condemns(exchange.choice.id));
        let serves = newest.pool_of(exchange.choice.id).is_some_and(|pool| newest.serves(pool));
        let (retry, budget, sent) = (&view.config.retry, &view.stats.budget, exchange.course.sent);
        let ended = TryEnd { reused: false, ..exchange.ended(TryFailure::Condemned) };
        let next = match exchange.role {
            _ if exchange.connecting() && (condemned || view.serves(exchange.choice.pool) && !serves) => {
                RetryDecision::Pick
            }
            _ if !condemned || !sent => return Ok(()),
            Role::Hedge => request.tries.ended(retry, &ended, budget, self.now),
            Role::Alone if request.tries.leave_hedge(retry, budget, self.now) => RetryDecision::Pick,
            Role::Only if request.tries.leave(retry, &ended, budget, self.now) => RetryDecision::Pick,
            Role::Alone | Role::Only => return Ok(()),
        };
        if sent && !request.request_class.safe() {
            return Err(format!("request {id}, which is not safe, was given up while it may still be answered"));
        }
        self.coverage.hit(if sent { "leaves the condemned" } else { "connect given up" });
        self.abandon(id)?;
        if self.follow(id, next)? { self.drive(id) } else { Ok(()) }
    }
}

/// How an exchange ends as its upstream is now. `false`: not yet.
fn outcome(exchange: &mut Exchange, mode: Mode, now: MonoTime, rng: &mut Rng) -> bool {
    let course = &mut exchange.course;
    if !course.sent {
        return true;
    }
    let end = exchange.began.after(RESPONSE);
    if mode == Mode::Dead {
        (course.how, course.executed) = (Some(TryFailure::Reset), course.executed && rng.bool());
    } else if now >= end {
        (course.how, course.executed) = (Some(TryFailure::Timeout), course.executed && rng.bool());
    } else if mode.silent() {
        exchange.ends = now.after(LOOK).min(end);
        return false;
    }
    true
}

fn failure(ended: &TryEnd) -> Option<Failure> {
    match ended.how {
        TryFailure::Refused => Some(Failure::Refused),
        TryFailure::ConnectTimeout => Some(Failure::ConnectTimeout),
        TryFailure::Reset if ended.reused => None,
        TryFailure::Reset | TryFailure::Handshake => Some(Failure::Reset),
        TryFailure::Malformed => Some(Failure::Malformed),
        TryFailure::Timeout => Some(Failure::Timeout),
        TryFailure::Status(_) => Some(Failure::Gateway),
        TryFailure::Local | TryFailure::NoRoute | TryFailure::Unprocessed | TryFailure::Condemned => None,
    }
}
