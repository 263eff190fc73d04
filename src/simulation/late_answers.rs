//! Late answers of a simulation: suspicion, hedges, and races of connects.

use super::agenda::{PlannedEvent, ms};
use super::exchange_end::outcome;
use super::model_endpoint::EndpointBehaviour;
use super::model_request::{Exchange, LATE_AFTER, RequestState};
use super::observer::{AnswerKind, OutstandingChange, RequestEvent, SimulationObserver};
use super::world::Simulation;
use crate::decision::Failure;
use crate::routing::{EndpointView, Pick, PickChoice, RetryDecision, ServiceView, TryEnd, TryFailure};
use crate::time::MonoTime;

impl<O: SimulationObserver> Simulation<O> {
    pub(super) fn exchange_is_due(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let Some(exchange) = request.exchange() else { return };
        if exchange.late.take_if(|late| *late <= now).is_some() {
            let (view, choice, connecting) = (exchange.view.clone(), exchange.choice, exchange.connecting());
            self.note_late(&view, choice, connecting);
            return;
        }
        match exchange.other.take_if(|other| *other <= now) {
            Some(_) if exchange.connecting() => self.race(id),
            Some(_) => self.hedge(id),
            None => self.end_exchange(id),
        }
    }

    /// The exchange that is waited for beside its hedge.
    pub(super) fn first_is_due(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let Some(first) = request.first.as_mut() else { return };
        if first.late.take_if(|late| *late <= now).is_some() {
            let (view, choice) = (first.view.clone(), first.choice);
            self.note_late(&view, choice, false);
            return;
        }
        let behaviour = self.endpoints.at(first.endpoint().address).behaviour;
        if !outcome(first, behaviour, now, &mut self.rng) {
            return;
        }
        let Some(first) = request.first.take() else { return };
        let how = first.course.failure;
        if how.is_none() {
            self.note(RequestEvent::FirstTryAnswered);
            self.abandon(id);
            if let Some(request) = self.traffic.requests.get_mut(&id) {
                request.state = RequestState::Exchange(first);
            }
            return self.conclude(id);
        }
        // A further try would be due; the hedge is that already.
        if let Some(TryFailure::Status(_)) = how {
            self.note_answer(first.endpoint(), AnswerKind::Reply);
        }
        if let Some(how) = how {
            self.record_failure(id, first.endpoint(), &first.ended(how));
            first.note_stale(how, now);
        }
        self.lose_first(id, &first)
    }

    /// The first try is lost: the hedge goes on, wherever the table says.
    pub(super) fn lose_first(&mut self, id: u64, first: &Exchange) {
        self.note(RequestEvent::FirstTryLost);
        self.note_executed(id, first.course.executed);
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        request.tries.forsake();
        let placed = matches!(&request.state, RequestState::Exchange(hedge) if !hedge.connecting());
        if !placed {
            self.select(id);
        }
    }

    fn note_late(&mut self, view: &ServiceView, choice: PickChoice, connecting: bool) {
        let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
        let stats = &endpoint.stats;
        let urgent = if connecting {
            stats.connects().waits_for(LATE_AFTER, self.agenda.now) && stats.connects().late(self.agenda.now)
        } else {
            let late = stats.replies().late(self.agenda.now);
            let unacknowledged = self.endpoints.at(endpoint.address).behaviour == EndpointBehaviour::Unreachable;
            if unacknowledged {
                stats.bump_generation();
            }
            late
        };
        let urgent = urgent && stats.make_urgent();
        self.counted(urgent);
    }

    /// A request that waits for this endpoint was answered elsewhere, or at least connected.
    fn note_overtaken(&mut self, endpoint: &EndpointView, kind: AnswerKind, began: MonoTime) {
        let tracker = kind.tracker(&endpoint.stats);
        let suspected = tracker.waits_for(LATE_AFTER, self.agenda.now) && tracker.late(self.agenda.now);
        let urgent = (self.note_answered_elsewhere(endpoint, kind, began) || suspected) && endpoint.stats.make_urgent();
        self.counted(urgent);
    }

    fn note_answered_elsewhere(&mut self, endpoint: &EndpointView, kind: AnswerKind, began: MonoTime) -> bool {
        self.observer.outstanding(endpoint.id, kind, OutstandingChange::AnsweredElsewhere(began));
        kind.tracker(&endpoint.stats).witnessed(began)
    }

    // ---- hedges -------------------------------------------------------------------------------------------------------

    /// The answer is late: another endpoint gets the request as well.
    fn hedge(&mut self, id: u64) {
        let now = self.agenda.now;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let RequestState::Exchange(exchange) = &mut request.state else { return };
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
            exchange.other = Some(now.after(LATE_AFTER));
            self.note(RequestEvent::HedgePutOff);
            return;
        }
        if let RequestState::Exchange(first) = std::mem::replace(&mut request.state, RequestState::Waiting(now)) {
            request.first = Some(first);
            request.hedged = true;
        }
        self.note(RequestEvent::Hedged);
        self.select(id)
    }

    /// The hedge was answered first.
    pub(super) fn hedge_wins(&mut self, id: u64, first: Exchange) {
        self.note(RequestEvent::HedgeWon);
        let endpoint = first.endpoint();
        if let Some(request) = self.traffic.requests.get(&id) {
            let soon = self.agenda.now.since(first.began) < LATE_AFTER;
            endpoint.stats.witness(first.began, request.source, request.target);
            if !soon && !endpoint.suspected {
                first.view.stats.avoidance.note(endpoint.id, request.source, request.target, self.agenda.now);
            }
        }
        self.note_overtaken(endpoint, AnswerKind::Reply, first.began);
        if first.choice.trial {
            self.record_failure(id, endpoint, &first.ended(TryFailure::Timeout));
        }
        self.note_executed(id, first.course.executed);
        self.end_request(id, true)
    }

    // ---- races --------------------------------------------------------------------------------------------------------

    /// The connect is not answered: another endpoint is tried beside it, and wins if it answers.
    fn race(&mut self, id: u64) {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return };
        let RequestState::Exchange(exchange) = &request.state else { return };
        let (slow, mut tries) = ((exchange.view.clone(), exchange.choice), request.tries.clone());
        let began = exchange.began;
        tries.race(&exchange.choice);
        let Some(view) = self.newest.service(&request.service).cloned() else { return };
        let (retry, worker) = (view.config.retry.clone(), request.worker);
        let winner = loop {
            let pick = view.pick(&tries.want(self.agenda.now, 0), &mut self.traffic.pickers[worker]);
            let next = match pick {
                Pick::Endpoint(choice) => {
                    let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
                    match self.endpoints.at(endpoint.address).behaviour {
                        EndpointBehaviour::Unreachable => break None,
                        EndpointBehaviour::Dead => {
                            self.note_dial(endpoint, Some(TryFailure::Refused));
                            let how = TryFailure::Refused;
                            let ended = TryEnd { choice, how, sent: false, reused: false, replayable: true };
                            self.record_failure(id, endpoint, &ended);
                            tries.ended(&retry, &ended, &view.stats.budget, self.agenda.now)
                        }
                        _ => break Some(choice),
                    }
                }
                Pick::Static { .. } => break None,
                nothing => tries.unselected(&retry, nothing, &view, self.agenda.now),
            };
            if next != RetryDecision::Pick {
                break None;
            }
        };
        let Some(choice) = winner else { return };
        self.note(RequestEvent::RaceWon);
        let (slow, loser) = slow;
        let endpoint = &slow.pools[loser.pool].endpoints[loser.endpoint];
        self.note_overtaken(endpoint, AnswerKind::Connect, self.agenda.now);
        if loser.trial {
            let how = TryFailure::ConnectTimeout;
            self.record_failure(
                id,
                endpoint,
                &TryEnd { choice: loser, how, sent: false, reused: false, replayable: true },
            );
        }
        if self.traffic.late_connects.insert((worker, loser.id)) {
            let left = began.after(slow.config.timeouts.connect).since(self.agenda.now);
            self.plan(left, PlannedEvent::LateConnect(worker, slow, loser));
        }
        if let Some(request) = self.traffic.requests.get_mut(&id) {
            request.tries = tries;
            request.state = RequestState::Picked(self.agenda.now.after(ms(1)), view, choice);
        }
    }

    /// A connect that was overtaken went on: it comes to its end.
    pub(super) fn late_connect_ends(&mut self, worker: usize, view: &ServiceView, choice: PickChoice) {
        self.traffic.late_connects.remove(&(worker, choice.id));
        let endpoint = &view.pools[choice.pool].endpoints[choice.endpoint];
        if self.endpoints.at(endpoint.address).behaviour != EndpointBehaviour::Unreachable {
            return self.note_answer(endpoint, AnswerKind::Connect);
        }
        let urgent = endpoint.stats.record_failure(worker, Failure::ConnectTimeout, choice.trial, self.agenda.now);
        self.counted(urgent);
    }
}
