//! How an exchange of a simulation ends, and what that means for its request and for the counters.

use fastrand::Rng;

use super::agenda::{PlannedEvent, ms};
use super::model_endpoint::EndpointBehaviour;
use super::model_request::{Exchange, ExchangeRole, LATE_AFTER, RETRY_LATER_STATUS, RequestState, SILENCE_STEP};
use super::observer::{AnswerKind, OutstandingChange, RequestEvent, SimulationObserver};
use super::world::Simulation;
use crate::decision::{Elsewhere, Mark};
use crate::routing::{EndpointView, FailedTry, PickChoice, ServiceView, SourceKey, TryEnd, TryFailure, faults};
use crate::time::MonoTime;

impl<O: SimulationObserver> Simulation<O> {
    /// The exchange comes to its end, as the endpoint is now.
    pub(super) fn end_exchange(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let Some(exchange) = request.exchange() else { return };
        let behaviour = self.endpoints.at(exchange.endpoint().address).behaviour;
        if outcome(exchange, behaviour, now, &mut self.rng) {
            self.conclude(id)
        }
    }

    /// What its outcome means for the counters and for the request.
    pub(super) fn conclude(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let RequestState::Exchange(exchange) =
            std::mem::replace(&mut request.state, RequestState::Waiting(self.agenda.now))
        else {
            return;
        };
        let (worker, course, view) = (request.worker, exchange.course, exchange.view.clone());
        self.note_executed(id, course.sent && course.executed);
        let endpoint = exchange.endpoint();
        if matches!(course.failure, None | Some(TryFailure::Status(_))) {
            self.note_answer(endpoint, AnswerKind::Reply);
            endpoint.stats.note_answered(exchange.generation, exchange.reused, self.agenda.now);
        }
        let Some(how) = course.failure else {
            endpoint.stats.record_good(worker, exchange.choice.trial);
            self.note_good_answer(id, &view, endpoint);
            self.counted(false);
            self.note_first_answer(&view, exchange.choice, exchange.began);
            let first = self.traffic.requests.get_mut(&id).and_then(|request| request.first.take());
            return match first {
                Some(first) => self.hedge_wins(id, first),
                None => self.end_request(id, true),
            };
        };
        let ended = exchange.ended(how);
        self.record_failure(id, endpoint, &ended);
        exchange.note_stale(how, self.agenda.now);
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let kind = how.failure().filter(|_| ended.sent);
        let known = |kind| view.stats.everywhere.knows(request.source, request.target, kind, now);
        if kind.is_some_and(known) {
            self.note(RequestEvent::FailsEverywhere);
            return self.give_up(id);
        }
        let several = view.stats.callers.count(now) > 1;
        request.tries.charge_to(several.then(|| SourceKey::of(&request.source)));
        let next = request.tries.ended(&view.config.retry, &ended, &view.stats.budget, self.agenda.now);
        if self.follow(id, next) {
            self.select(id)
        }
    }

    /// Whatever is under way is given up.
    pub(super) fn abandon(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let RequestState::Exchange(exchange) = std::mem::replace(&mut request.state, RequestState::Waiting(now)) else {
            return;
        };
        if exchange.connecting() {
            self.withdraw(exchange.endpoint(), AnswerKind::Connect, exchange.began);
        } else if exchange.role == ExchangeRole::Hedge && exchange.course.sent && now.since(exchange.began) < LATE_AFTER
        {
            self.withdraw(exchange.endpoint(), AnswerKind::Reply, exchange.began);
        }
        self.note_executed(id, exchange.course.sent && exchange.course.executed)
    }

    pub(super) fn note_executed(&mut self, id: u64, executed: bool) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        request.executed += u32::from(executed);
        let (times, class) = (request.executed, request.class);
        if executed {
            self.note(RequestEvent::Executed { request: id, times, class });
        }
    }

    /// Counts a failure. A stale idle connection is no fault of the endpoint ([`Exchange::note_stale`]).
    pub(super) fn record_failure(&mut self, id: u64, endpoint: &EndpointView, ended: &TryEnd) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let stale = ended.reused && ended.how == TryFailure::Reset;
        if let Some(kind) = ended.how.failure().filter(|_| !stale) {
            let mut urgent = endpoint.stats.record_failure(request.worker, kind, ended.choice.trial, now);
            let (stats, streak) = (endpoint.stats.clone(), endpoint.stats.streak_number());
            let later = matches!(ended.how, TryFailure::Status(RETRY_LATER_STATUS));
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

    fn note_first_answer(&mut self, view: &ServiceView, choice: PickChoice, began: MonoTime) {
        let Some(newest) = self.newest.service(&view.config.name).cloned() else { return };
        let pool = &view.pools[choice.pool].name;
        let Some(place) = newest.pools.iter().position(|other| other.name == *pool) else { return };
        if newest.answered(place, began, self.agenda.now)
            && let Some(awaiting) = &newest.awaiting
        {
            self.plan(ms(1), PlannedEvent::Answered(newest.config.name.clone(), awaiting.epoch, self.agenda.now));
        }
    }

    /// It is answered well: what failed before was not its own fault.
    fn note_good_answer(&mut self, id: u64, view: &ServiceView, endpoint: &EndpointView) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        view.stats.callers.note(SourceKey::of(&request.source), self.agenda.now);
        if endpoint.stats.is_watched() {
            endpoint.stats.record_good_by(request.source, self.agenda.now);
        }
        view.stats.everywhere.forget(request.source, request.target, self.agenda.now);
        view.stats.avoidance.forget(endpoint.id, request.target, self.agenda.now);
        faults::contrasted(&request.faults, endpoint.id, view, request.source, request.target, self.agenda.now);
        self.settle(id, Elsewhere::Answered);
    }

    fn settle(&mut self, id: u64, elsewhere: Elsewhere) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let (source, target) = (Some(request.source), request.target);
        let service = self.newest.service(&request.service);
        let key = SourceKey::of(&request.source);
        let caller = service.is_some_and(|service| service.stats.callers.has(key, self.agenda.now));
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
        let elsewhere = faults::fared(&request.faults, service, request.source, request.target, self.agenda.now);
        self.settle(id, elsewhere);
    }

    pub(super) fn end_request(&mut self, id: u64, good: bool) {
        self.settle_at_end(id);
        let Some(request) = self.traffic.requests.remove(&id) else { return };
        if let Some(client) = request.client.and_then(|client| self.clients.get_mut(client.0)) {
            let count = if good { &mut client.good } else { &mut client.bad };
            *count = count.saturating_add(1);
        }
        let now = self.agenda.now;
        let answers = self.traffic.answers.entry(request.service.clone()).or_default();
        let (count, last) =
            if good { (&mut answers.good, &mut answers.last_good) } else { (&mut answers.bad, &mut answers.last_bad) };
        (*count, *last) = (*count + 1, Some(now));
        self.note(RequestEvent::Ended { service: &request.service, good });
    }

    // ---- outstanding answers ------------------------------------------------------------------------------------------

    pub(super) fn begin_outstanding(&mut self, endpoint: &EndpointView, kind: AnswerKind) {
        let now = self.agenda.now;
        kind.tracker(&endpoint.stats).asked(now);
        self.observer.outstanding(endpoint.id, kind, OutstandingChange::Begun(now));
    }

    pub(super) fn note_answer(&mut self, endpoint: &EndpointView, kind: AnswerKind) {
        let now = self.agenda.now;
        kind.tracker(&endpoint.stats).heard(now);
        self.observer.outstanding(endpoint.id, kind, OutstandingChange::Answered(now));
    }

    fn withdraw(&mut self, endpoint: &EndpointView, kind: AnswerKind, began: MonoTime) {
        kind.tracker(&endpoint.stats).excused(began);
        self.observer.outstanding(endpoint.id, kind, OutstandingChange::Withdrawn(began));
    }
}

/// How an exchange ends as its endpoint is now. `false`: not yet; it is looked at again after [`SILENCE_STEP`].
pub(super) fn outcome(exchange: &mut Exchange, behaviour: EndpointBehaviour, now: MonoTime, rng: &mut Rng) -> bool {
    let course = &mut exchange.course;
    if !course.sent {
        return true;
    }
    let end = exchange.began.after(exchange.view.config.timeouts.response);
    if behaviour == EndpointBehaviour::Dead {
        (course.failure, course.executed) = (Some(TryFailure::Reset), course.executed && rng.bool());
    } else if now >= end {
        (course.failure, course.executed) = (Some(TryFailure::Timeout), course.executed && rng.bool());
    } else if behaviour.silent() {
        exchange.ends = now.after(SILENCE_STEP).min(end);
        return false;
    }
    true
}
