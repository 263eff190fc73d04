//! Targets that fail at one endpoint and are answered well by others: it is not the endpoint that is at fault, nor the request, but
//! the two together (a route whose files one machine lacks). For a while requests for that target go to the others; where all of
//! a pool fail it, they are served as before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{EndpointId, RequestTarget, Source};
use crate::time::MonoTime;

/// So many failures that were answered well elsewhere, without a good answer of that target there in between.
const ENOUGH: u32 = 3;
/// How long after the last of them safe requests avoid the endpoint: then they find out whether it is still so …
const AVOIDED: Duration = Duration::from_secs(10);
/// … for all others, which cannot be sent again.
const MEMORY: Duration = Duration::from_secs(30);
/// How many are remembered; then the one with the fewest failures is forgotten, the oldest of them first.
const MOST: usize = 256;

/// One service's.
#[derive(Debug, Default)]
pub struct Avoidance {
    /// Something is remembered.
    any: AtomicBool,
    /// … and enough of it that an endpoint is avoided.
    applies: AtomicBool,
    known: Mutex<Vec<AvoidedEndpoint>>,
}

#[derive(Debug, PartialEq)]
struct AvoidedEndpoint {
    endpoint: EndpointId,
    target: RequestTarget,
    /// The client network whose requests failed; `None` = several. One alone moves only itself.
    source: Option<Source>,
    failures: u32,
    failed: MonoTime,
}

impl Avoidance {
    /// A request of this source for this target failed there, and was answered well elsewhere.
    pub fn note(&self, endpoint: EndpointId, source: Source, target: RequestTarget, now: MonoTime) {
        let mut known = self.known();
        known.retain(|one| one.lasts(now));
        match known.iter_mut().find(|one| one.is(endpoint, target)) {
            Some(one) => {
                one.source = one.source.filter(|known| *known == source);
                (one.failures, one.failed) = (one.failures.saturating_add(1), now);
            }
            None => {
                if known.len() >= MOST
                    && let Some(least) = (0..known.len()).min_by_key(|place| known[*place].failures)
                {
                    known.remove(least);
                }
                known.push(AvoidedEndpoint { endpoint, target, source: Some(source), failures: 1, failed: now });
            }
        }
        self.publish(&known);
    }

    /// It was answered well there. With the last one that is remembered, the cost of looking ends.
    pub fn forget(&self, endpoint: EndpointId, target: RequestTarget, now: MonoTime) {
        let mut known = self.known();
        known.retain(|one| one.lasts(now) && !one.is(endpoint, target));
        self.publish(&known);
    }

    /// The endpoints to be avoided by a request of this source for this target.
    pub fn of(&self, source: Source, target: RequestTarget, safe: bool, now: MonoTime) -> Vec<EndpointId> {
        let mut known = self.known();
        known.retain(|one| one.lasts(now));
        self.publish(&known);
        let time = if safe { AVOIDED } else { MEMORY };
        let applies = |one: &&AvoidedEndpoint| {
            let concerns = one.target == target && one.source.is_none_or(|known| known == source);
            concerns && one.failures >= ENOUGH && now.since(one.failed) < time
        };
        known.iter().filter(applies).map(|one| one.endpoint).collect()
    }

    /// Is anything remembered?
    #[inline]
    pub fn knows_any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Is any endpoint to be avoided?
    #[inline]
    pub fn applies(&self) -> bool {
        self.applies.load(Relaxed)
    }

    fn publish(&self, known: &[AvoidedEndpoint]) {
        self.any.store(!known.is_empty(), Relaxed);
        self.applies.store(known.iter().any(|one| one.failures >= ENOUGH), Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Vec<AvoidedEndpoint>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AvoidedEndpoint {
    fn is(&self, endpoint: EndpointId, target: RequestTarget) -> bool {
        self.endpoint == endpoint && self.target == target
    }

    fn lasts(&self, now: MonoTime) -> bool {
        now.since(self.failed) < MEMORY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::{at, id};

    const REPORT: RequestTarget = RequestTarget(7);

    fn source(n: u8) -> Source {
        Source::of([10, 0, 0, n].into())
    }

    /// So many failures, of two sources in turn.
    fn failed(times: u8) -> Avoidance {
        let avoidance = Avoidance::default();
        (0..times).for_each(|n| avoidance.note(id(0, 1), source(n % 2), REPORT, at(0)));
        avoidance
    }

    fn avoided(avoidance: &Avoidance, target: RequestTarget, millis: u64) -> Vec<EndpointId> {
        avoidance.of(source(9), target, true, at(millis))
    }

    #[test]
    fn three_failures_are_enough_for_that_target_at_that_endpoint() {
        assert_eq!(avoided(&failed(2), REPORT, 1), []);
        let avoidance = failed(3);
        assert_eq!(avoided(&avoidance, REPORT, 1), [id(0, 1)]);
        assert_eq!(avoided(&avoidance, RequestTarget(8), 1), []);
        avoidance.note(id(0, 0), source(0), REPORT, at(1));
        assert_eq!(avoided(&avoidance, REPORT, 1), [id(0, 1)]);
    }

    #[test]
    fn what_one_source_meets_moves_that_source_alone() {
        let avoidance = Avoidance::default();
        (0..9).for_each(|_| avoidance.note(id(0, 1), source(1), REPORT, at(0)));
        assert_eq!(avoidance.of(source(1), REPORT, true, at(1)), [id(0, 1)]);
        assert_eq!(avoidance.of(source(2), REPORT, true, at(1)), []);
        avoidance.note(id(0, 1), source(2), REPORT, at(2));
        assert_eq!(avoidance.of(source(3), REPORT, true, at(3)), [id(0, 1)], "two have met it");
    }

    #[test]
    fn a_good_answer_there_ends_it_and_the_cost_of_looking() {
        let avoidance = failed(3);
        assert!(avoidance.knows_any());
        avoidance.forget(id(0, 0), REPORT, at(1));
        assert_eq!(avoided(&avoidance, REPORT, 1), [id(0, 1)], "another one's");
        avoidance.forget(id(0, 1), REPORT, at(1));
        assert!(!avoidance.knows_any() && avoided(&avoidance, REPORT, 1).is_empty());
        (0..2).for_each(|n| avoidance.note(id(0, 1), source(n), REPORT, at(2)));
        assert_eq!(avoided(&avoidance, REPORT, 3), [], "the failures before it do not count");
    }

    #[test]
    fn safe_requests_find_out_whether_it_is_still_so() {
        let avoidance = failed(3);
        assert_eq!(avoided(&avoidance, REPORT, 9_999), [id(0, 1)]);
        assert_eq!(avoided(&avoidance, REPORT, 10_000), []);
        assert_eq!(avoidance.of(source(9), REPORT, false, at(29_999)), [id(0, 1)], "not those that are sent once");
        avoidance.note(id(0, 1), source(1), REPORT, at(10_002));
        assert_eq!(avoided(&avoidance, REPORT, 20_001), [id(0, 1)], "it failed again");
        assert_eq!(avoidance.of(source(9), REPORT, false, at(40_002)), []);
        assert!(!avoidance.knows_any());
    }

    #[test]
    fn what_failed_least_is_forgotten_first() {
        let avoidance = failed(3);
        (0..MOST as u64).for_each(|n| avoidance.note(id(0, 0), source(0), RequestTarget(100 + n), at(1)));
        assert_eq!(avoided(&avoidance, REPORT, 2), [id(0, 1)]);
    }
}
