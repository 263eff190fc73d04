//! A request of a simulation from its arrival to the first byte of a try: pick, epoch check, retry rule.

use std::sync::Arc;
use std::time::Duration;

use super::agenda::{PlannedEvent, ms, scaled};
use super::model_client::{ClientId, RequestFate, TrafficMix};
use super::model_request::{Exchange, ExchangeRole, LATE_AFTER, REQUEST_DEADLINE, Request, RequestState, WORKERS};
use super::observer::{AnswerKind, RequestEvent, SimulationObserver, TryStart};
use super::world::Simulation;
use crate::config::Protocol;
use crate::decision::{RequestTarget, Source};
use crate::routing::{
    EndpointView, InFlight, Pick, PickChoice, RequestClass, RetryDecision, RoutingTable, ServiceView, Tries, TryEnd,
    TryFailure,
};
use crate::wire::h1::Method;

impl<O: SimulationObserver> Simulation<O> {
    /// A request of a traffic mix arrives.
    pub(super) fn mixed_request(&mut self, mix: TrafficMix) {
        let pause = ms(10 + self.rng.u64(..60));
        let (service, networks) = (mix.service.clone(), mix.networks.max(1));
        self.plan(pause, PlannedEvent::Mix(mix));
        let Some(view) = self.newest.service(&service).cloned() else { return };
        let class = match self.rng.u8(..8) {
            0..5 => RequestClass::of(Method::Get, false),
            5 => RequestClass::of(Method::Put, true),
            _ => RequestClass::of(Method::Post, true),
        };
        let source = Source::of([10, 0, 0, self.rng.u8(..networks)].into());
        let target = RequestTarget(self.rng.u64(..5));
        self.arrive(&view, class, source, target, None);
    }

    /// A client sends its next request.
    pub(super) fn client_request(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id.0).cloned() else { return };
        let pause = scaled(client.pause, 0.5 + self.rng.f64()).max(ms(1));
        self.plan(pause, PlannedEvent::Client(id));
        let Some(view) = self.newest.service(&client.service).cloned() else { return };
        let class = RequestClass::of(client.method, client.method == Method::Post);
        let target = if client.targets.is_empty() { 0 } else { self.rng.u64(client.targets) };
        self.arrive(&view, class, client.source, RequestTarget(target), Some(id));
    }

    /// A request arrives.
    fn arrive(
        &mut self,
        view: &ServiceView,
        class: RequestClass,
        source: Source,
        target: RequestTarget,
        client: Option<ClientId>,
    ) {
        let service = view.config.name.clone();
        let class = if view.config.protocol == Protocol::Tcp { RequestClass::opaque() } else { class };
        let worker = self.rng.usize(..WORKERS);
        view.stats.budget.request(worker, self.agenda.now);
        self.note(RequestEvent::Arrived { service: &service });
        let id = self.traffic.next;
        self.traffic.next += 1;
        let mut tries = Tries::new(class, self.agenda.now.after(REQUEST_DEADLINE));
        let avoided = view.stats.avoidance.of(source, target, class.safe(), self.agenda.now);
        if !avoided.is_empty() {
            self.note(RequestEvent::AvoidsEndpoints);
        }
        tries.avoid(avoided);
        let request = Request {
            service,
            class,
            tries,
            worker,
            executed: 0,
            sent: 0,
            source,
            target,
            client,
            faults: Vec::new(),
            state: RequestState::Waiting(self.agenda.now),
            first: None,
            hedged: false,
            due: self.agenda.now,
        };
        self.traffic.requests.insert(id, request);
        self.select(id);
        self.plan_next(id);
    }

    /// The next thing that happens to this request.
    pub(super) fn request_is_due(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id).filter(|r| r.due <= now) else { return };
        if request.first.as_ref().is_some_and(|first| first.next() <= now) {
            self.first_is_due(id);
        } else {
            match &request.state {
                RequestState::Waiting(until) if *until <= now => {
                    request.tries.resumed(false);
                    self.select(id);
                }
                RequestState::Picked(at, view, choice) if *at <= now => {
                    let (view, choice) = (view.clone(), *choice);
                    self.begin_try(id, view, choice);
                }
                RequestState::Exchange(exchange) if exchange.next() <= now => self.exchange_is_due(id),
                _ => {}
            }
        }
        self.plan_next(id);
    }

    fn plan_next(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        request.due = request.next();
        let after = request.due.since(self.agenda.now);
        self.plan(after, PlannedEvent::Request(id));
    }

    // ---- selection ----------------------------------------------------------------------------------------------------

    /// Pick, or wait, or give up.
    pub(super) fn select(&mut self, id: u64) {
        loop {
            let Some(request) = self.traffic.requests.get_mut(&id) else { return };
            let Some(view) = self.newest.service(&request.service).cloned() else { return self.give_up(id) };
            let retry = view.config.retry.clone();
            let want = request.tries.want(self.agenda.now, 0);
            let pick = view.pick(&want, &mut self.traffic.pickers[request.worker]);
            match pick {
                Pick::Endpoint(choice) if request.tries.crosses_rather(&retry, &choice, &view) => {
                    self.note(RequestEvent::CrossesPool);
                }
                Pick::Endpoint(choice) => {
                    let pause = request.tries.backoff(&choice, &mut self.rng);
                    // the check for an idle connection, or the way to the socket: a publish may come in between
                    let pause = pause + Duration::from_micros(self.rng.u64(..200));
                    request.state = RequestState::Picked(self.agenda.now.after(pause), view, choice);
                    return;
                }
                Pick::Static { .. } if request.first.is_some() => return self.give_up(id),
                Pick::Static { .. } => return self.end_request(id, true),
                nothing => {
                    if nothing == Pick::Suspected {
                        self.observer.request(&RequestEvent::AwaitsVerdict, self.agenda.now);
                    }
                    let next = request.tries.unselected(&retry, nothing, &view, self.agenda.now);
                    if !self.follow(id, next) {
                        return;
                    }
                }
            }
        }
    }

    /// What the retry rule says; `true` = pick again now.
    pub(super) fn follow(&mut self, id: u64, next: RetryDecision) -> bool {
        match next {
            RetryDecision::Pick => return true,
            RetryDecision::Wait { until } | RetryDecision::Queue { until } => {
                if let Some(request) = self.traffic.requests.get_mut(&id) {
                    request.state = RequestState::Waiting(until);
                }
            }
            RetryDecision::GiveUp(_) => self.give_up(id),
        }
        false
    }

    /// There is no further try; one that is late may still be answered.
    pub(super) fn give_up(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let Some(first) = request.first.take() else { return self.end_request(id, false) };
        request.hedged = false;
        request.state = RequestState::Exchange(Exchange { role: ExchangeRole::Alone, ..first });
        self.note(RequestEvent::HedgeFailed);
    }

    // ---- the first byte -----------------------------------------------------------------------------------------------

    /// Immediately before the first byte: the view must still be the newest one's.
    fn begin_try(&mut self, id: u64, view: Arc<ServiceView>, choice: PickChoice) {
        let holds = self.newest.service(&view.config.name).is_some_and(|newest| Arc::ptr_eq(newest, &view));
        let Some(endpoint) = view.endpoint(choice.pool, choice.endpoint) else {
            self.note(RequestEvent::MissingEndpoint);
            return self.give_up(id);
        };
        let place = endpoint.stats.enter(endpoint.max_connections);
        if !holds || place.is_none() {
            self.note(RequestEvent::StaleTry);
            return self.select(id);
        }
        let Some(request) = self.traffic.requests.get(&id) else { return };
        self.observer.try_starts(&TryStart {
            view: &view,
            choice,
            crossing: request.tries.crossing(),
            safe: request.class.safe(),
            tried: request.tries.tried(),
            beside: request.first.as_ref().map(|first| first.choice.id),
        });
        let (exchange, further) = self.exchange(id, &view, endpoint, choice, place);
        if let (Some(request), Some(exchange)) = (self.traffic.requests.get_mut(&id), exchange) {
            request.state = RequestState::Exchange(exchange);
        }
        if further {
            self.note(RequestEvent::FurtherExchange { view: &view });
        }
    }

    /// An exchange that begins now, and whether its request had another one before.
    fn exchange(
        &mut self,
        id: u64,
        view: &Arc<ServiceView>,
        endpoint: &EndpointView,
        choice: PickChoice,
        place: Option<InFlight>,
    ) -> (Option<Exchange>, bool) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return (None, false) };
        let model = self.endpoints.at(endpoint.address);
        let now = self.agenda.now;
        let generation = endpoint.stats.generation();
        let mut reused = self.rng.u8(..4) == 0
            && !request.tries.fresh_only()
            && endpoint.stats.trusts_idle(request.class.idempotent(), now);
        let mut course = model.exchange(reused, &view.config.timeouts, &mut self.rng);
        let client = request.client.and_then(|client| self.clients.get_mut(client.0));
        if let (Some(client), Some(pool)) = (&client, view.pools.get(choice.pool)) {
            match (client.fate)(&pool.name, choice.endpoint, request.target.0) {
                RequestFate::AsEndpoint => {}
                RequestFate::Good => course.failure = None,
                RequestFate::Fails(failure) => course.failure = Some(failure),
            }
        }
        let connecting = course.failure == Some(TryFailure::ConnectTimeout);
        reused &= !connecting;
        let role = if request.hedged { ExchangeRole::Hedge } else { ExchangeRole::Only };
        let hedges = role == ExchangeRole::Only && course.sent;
        let patience = if endpoint.suspected { Duration::ZERO } else { LATE_AFTER };
        let other = match connecting {
            true => Some(now.after(endpoint.stats.connect_late_after())),
            false => hedges.then(|| now.after(patience)),
        };
        request.sent += u32::from(course.sent);
        let further = course.sent && request.sent > 1;
        if let Some(client) = client.filter(|_| course.sent) {
            client.exchanges += 1;
        }
        if !reused {
            self.note_dial(endpoint, course.failure);
        }
        if course.sent {
            self.begin_outstanding(endpoint, AnswerKind::Reply);
        }
        if course.executed && model.behaviour.silent() {
            course.executed = self.rng.bool();
        }
        let exchange = Exchange {
            ends: now.after(course.after),
            late: (course.sent || connecting).then(|| now.after(LATE_AFTER)),
            other,
            course,
            reused,
            generation,
            choice,
            began: now,
            role,
            _place: place,
            view: Arc::clone(view),
        };
        (Some(exchange), further)
    }

    /// A connect: the kernel answers at once, or never.
    pub(super) fn note_dial(&mut self, endpoint: &EndpointView, how: Option<TryFailure>) {
        self.begin_outstanding(endpoint, AnswerKind::Connect);
        if how != Some(TryFailure::ConnectTimeout) {
            self.note_answer(endpoint, AnswerKind::Connect);
        }
        if how.is_none() {
            endpoint.stats.note_connect(ms(1));
        }
    }

    // ---- a newer table ------------------------------------------------------------------------------------------------

    /// A newer table: requests that wait pick again, and tries at condemned endpoints are given up where that is allowed.
    pub(super) fn take_up(&mut self, old: &RoutingTable) {
        let ids: Vec<u64> = self.traffic.requests.keys().copied().collect();
        for id in ids {
            let Some(request) = self.traffic.requests.get_mut(&id) else { continue };
            let (was, is) = (old.service(&request.service), self.newest.service(&request.service));
            let changed = match (was, is) {
                (Some(was), Some(is)) => !Arc::ptr_eq(was, is),
                _ => true,
            };
            if !changed {
                continue;
            }
            if matches!(&request.state, RequestState::Waiting(until) if *until > self.agenda.now) {
                request.tries.resumed(true);
                self.select(id);
            }
            self.leave_endpoint(id);
            self.plan_next(id);
        }
    }

    fn leave_endpoint(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let Some(newest) = self.newest.service(&request.service).cloned() else { return };
        if let Some(first) = request.first.take_if(|first| newest.condemns(first.choice.id)) {
            return self.lose_first(id, &first);
        }
        let RequestState::Exchange(exchange) = &request.state else { return };
        let (view, condemned) = (&exchange.view, newest.condemns(exchange.choice.id));
        let serves = newest.pool_of(exchange.choice.id).is_some_and(|pool| newest.serves(pool));
        let (retry, budget, sent) = (&view.config.retry, &view.stats.budget, exchange.course.sent);
        let ended = TryEnd { reused: false, ..exchange.ended(TryFailure::Condemned) };
        let next = match exchange.role {
            _ if exchange.connecting() && (condemned || view.serves(exchange.choice.pool) && !serves) => {
                RetryDecision::Pick
            }
            _ if !condemned || !sent => return,
            ExchangeRole::Hedge => request.tries.ended(retry, &ended, budget, self.agenda.now),
            ExchangeRole::Alone if request.tries.leave_hedge(retry, budget, self.agenda.now) => RetryDecision::Pick,
            ExchangeRole::Only if request.tries.leave(retry, &ended, budget, self.agenda.now) => RetryDecision::Pick,
            ExchangeRole::Alone | ExchangeRole::Only => return,
        };
        let class = request.class;
        self.note(RequestEvent::LeavesEndpoint { request: id, sent, class });
        self.abandon(id);
        if self.follow(id, next) {
            self.select(id)
        }
    }

    pub(super) fn note(&mut self, event: RequestEvent<'_>) {
        self.observer.request(&event, self.agenda.now);
    }
}
