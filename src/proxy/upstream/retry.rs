//! The reports of how a try went: to the retry rule, to the endpoint's counts and to the request's other tries.

use super::destination::Destination;
use super::dispatch::Dispatch;
use super::faults::{blame, count_fault};
use crate::decision::{Failure, Mark};
use crate::routing::{GiveUpReason, LatencyEstimate, Pick, PickChoice, RetryDecision, ServiceView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;

impl Dispatch<'_> {
    /// Reports to the retry rule how a try ended. Unless it gives up, call [`Dispatch::next`].
    pub fn failed(&mut self, ended: &TryEnd, service: &ServiceView) -> RetryDecision {
        self.last = Some(ended.how);
        if ended.sent && ended.how.failure().is_some_and(|kind| self.faults.fails_everywhere(kind)) {
            return RetryDecision::GiveUp(GiveUpReason::FailsEverywhere);
        }
        self.charge(service);
        let retry = &self.origin.services[self.index].config.retry;
        let next = self.tries.ended(retry, ended, &service.stats.budget, clock::now());
        if next == RetryDecision::GiveUp(GiveUpReason::Budget) {
            service.stats.budget_exhausted.add(self.core.id, 1);
        }
        next
    }

    /// Where the service has several client networks, none of them uses more than half of its budget.
    fn charge(&mut self, service: &ServiceView) {
        let several = service.stats.callers.count(clock::now()) > 1;
        self.tries.charge_to(several.then_some(self.faults.subject().key));
    }

    /// The answer of this try is late: is there another endpoint, and does the retry rule allow a hedge? If so it was told,
    /// and the [next](Dispatch::next) try is the hedge.
    pub fn hedge(&mut self, destination: &Destination, since: MonoTime) -> bool {
        let table = self.core.table();
        let Some(service) = table.successor(self.service()) else { return false };
        if self.faults.fails_everywhere(Failure::Timeout) {
            return false;
        }
        self.charge(service);
        let now = clock::now();
        let retry = &self.origin.services[self.index].config.retry;
        // Hedged at once, because its endpoint is suspected: any endpoint that answered a moment ago will do.
        let since = if destination.endpoint().suspected { since.before(LatencyEstimate::LEAST) } else { since };
        let Some(want) = self.tries.want_hedge(retry, destination.choice.id, since, now, self.client_info.hash) else {
            return false;
        };
        let Pick::Endpoint(choice) = service.pick(&want, &mut self.core.pick.borrow_mut()) else { return false };
        if choice.again {
            return false;
        }
        // (Its pool may stand elsewhere in a newer table.)
        let pending =
            PickChoice { pool: service.pool_of(destination.choice.id).unwrap_or(usize::MAX), ..destination.choice };
        let covered = self.tries.hedge(retry, &pending, since, &choice, &service.stats.budget, now);
        if !covered && !std::mem::replace(&mut self.denied, true) {
            service.stats.budget_exhausted.add(self.core.id, 1);
        }
        self.hurries |= covered;
        covered
    }

    /// The pending try of a hedge ended like this; the hedge goes on alone.
    pub fn forsake(&mut self, how: TryFailure) {
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
    pub fn leave(&mut self, ended: &TryEnd, service: &ServiceView) -> bool {
        let retry = &self.origin.services[self.index].config.retry;
        let leaves = self.tries.leave(retry, ended, &service.stats.budget, clock::now());
        if leaves {
            self.last = Some(ended.how);
        }
        leaves
    }

    /// Counts a failed exchange against the endpoint.
    pub fn record(&mut self, destination: &Destination, kind: Failure) {
        self.record_marked(destination, kind, Mark::None);
    }

    /// … with what weakens it as evidence.
    pub fn record_marked(&mut self, destination: &Destination, kind: Failure, mark: Mark) {
        self.faults.extend(blame(self.core, destination, kind, mark));
    }

    /// Counts an answer that broke off.
    pub fn record_cut(&mut self, destination: &Destination) {
        if destination.counts_cut() {
            self.faults.extend(count_fault(self.core, destination, Failure::Reset, Mark::None));
        }
    }

    /// Counts an exchange that ended well.
    pub fn record_good(&self, destination: &Destination) {
        let stats = &destination.endpoint().stats;
        if stats.record_good(self.core.id, destination.choice.trial) {
            self.core.view.urgent();
        }
        if stats.is_watched() {
            stats.record_good_by(self.faults.subject().source, clock::now());
        }
        self.faults.answered_well_by(destination.choice.id);
    }

    /// The head of an answer arrived that is no failure: the first one after a switch closes the incident. `well`: it shows that
    /// the client's request can be answered.
    pub fn answered(&mut self, destination: &Destination, well: bool, now: MonoTime) {
        if well {
            destination.service().stats.callers.note(self.faults.subject().key, now);
        }
        self.faults.answered(destination.choice.id, well, now);
        let service = destination.service();
        let first = match service.serves(destination.choice.pool) {
            true => service.answered(destination.choice.pool, self.began, now),
            false => self.answered_by_another_pool(destination, now),
        };
        if first {
            self.core.view.urgent();
        }
    }

    /// The request was sent to another pool before the switch. Where the service has switched to that pool meanwhile, the
    /// answer is the first one after the switch all the same.
    #[cold]
    fn answered_by_another_pool(&self, destination: &Destination, now: MonoTime) -> bool {
        let newest = self.core.view.current();
        let Some(service) = newest.successor(destination.service()) else { return false };
        service.pool_of(destination.choice.id).is_some_and(|pool| service.answered(pool, self.began, now))
    }
}
