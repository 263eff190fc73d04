//! Targets that fail at one endpoint and are answered well by others: it is not the endpoint that is at fault, nor the request, but
//! the two together (a route whose files one machine lacks). For a while requests for that target go to the others; where all of
//! a pool fail it, they are served as before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{EndpointId, Moment, RequestTarget};

/// So many failures that were answered well elsewhere, without a good answer of that target there in between.
const ENOUGH: u32 = 3;
/// How long after the last of them the endpoint is avoided.
const MEMORY: Duration = Duration::from_secs(60);
/// So often a safe request is let through to see whether it is still so.
const TEST_AGAIN: Duration = Duration::from_secs(10);
/// How many are remembered; then the oldest is forgotten.
const MOST: usize = 256;

/// One service's.
#[derive(Debug, Default)]
pub struct Avoidance {
    any: AtomicBool,
    known: Mutex<Vec<Known>>,
}

#[derive(Debug, PartialEq)]
struct Known {
    endpoint: EndpointId,
    target: RequestTarget,
    failures: u32,
    failed: Moment,
    /// When a request was last let through.
    tested: Moment,
}

impl Avoidance {
    /// A request for this target failed there, and was answered well elsewhere.
    pub fn note(&self, endpoint: EndpointId, target: RequestTarget, now: Moment) {
        let mut known = self.known();
        known.retain(|one| one.lasts(now));
        match known.iter_mut().find(|one| one.is(endpoint, target)) {
            Some(one) => (one.failures, one.failed) = (one.failures.saturating_add(1), now),
            None => {
                if known.len() >= MOST {
                    known.remove(0);
                }
                known.push(Known { endpoint, target, failures: 1, failed: now, tested: now });
            }
        }
        self.any.store(true, Relaxed);
    }

    /// It was answered well there. With the last one that is remembered, the cost of looking ends.
    pub fn forget(&self, endpoint: EndpointId, target: RequestTarget, now: Moment) {
        let mut known = self.known();
        known.retain(|one| one.lasts(now) && !one.is(endpoint, target));
        self.any.store(!known.is_empty(), Relaxed);
    }

    /// Who is to be avoided by a request for this target. Once in a while a safe one is let through all the same.
    pub fn of(&self, target: RequestTarget, safe: bool, now: Moment) -> Vec<EndpointId> {
        let mut known = self.known();
        known.retain(|one| one.lasts(now));
        self.any.store(!known.is_empty(), Relaxed);
        let about = known.iter_mut().filter(|one| one.target == target && one.failures >= ENOUGH);
        about.filter_map(|one| (!safe || !one.tests(now)).then_some(one.endpoint)).collect()
    }

    /// Is anything remembered?
    #[inline]
    pub fn knows_any(&self) -> bool {
        self.any.load(Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is(&self, endpoint: EndpointId, target: RequestTarget) -> bool {
        self.endpoint == endpoint && self.target == target
    }

    fn lasts(&self, now: Moment) -> bool {
        now.since(self.failed) < MEMORY
    }

    /// Is it time to test it? Then this is the test.
    fn tests(&mut self, now: Moment) -> bool {
        let tests = now.since(self.failed.max(self.tested)) >= TEST_AGAIN;
        if tests {
            self.tested = now;
        }
        tests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::{at, id};

    const REPORT: RequestTarget = RequestTarget(7);

    fn failed(times: usize) -> Avoidance {
        let avoidance = Avoidance::default();
        (0..times).for_each(|_| avoidance.note(id(0, 1), REPORT, at(0)));
        avoidance
    }

    #[test]
    fn three_failures_are_enough_for_that_target_at_that_endpoint() {
        assert_eq!(failed(2).of(REPORT, true, at(1)), []);
        let avoidance = failed(3);
        assert_eq!(avoidance.of(REPORT, true, at(1)), [id(0, 1)]);
        assert_eq!(avoidance.of(RequestTarget(8), true, at(1)), []);
        avoidance.note(id(0, 0), REPORT, at(1));
        assert_eq!(avoidance.of(REPORT, true, at(1)), [id(0, 1)]);
    }

    #[test]
    fn a_good_answer_there_ends_it_and_the_cost_of_looking() {
        let avoidance = failed(3);
        assert!(avoidance.knows_any());
        avoidance.forget(id(0, 0), REPORT, at(1));
        assert_eq!(avoidance.of(REPORT, true, at(1)), [id(0, 1)], "another one's");
        avoidance.forget(id(0, 1), REPORT, at(1));
        assert!(!avoidance.knows_any() && avoidance.of(REPORT, true, at(1)).is_empty());
        (0..2).for_each(|_| avoidance.note(id(0, 1), REPORT, at(2)));
        assert_eq!(avoidance.of(REPORT, true, at(3)), [], "the failures before it do not count");
    }

    #[test]
    fn one_safe_request_tests_it_every_ten_seconds() {
        let avoidance = failed(3);
        assert_eq!(avoidance.of(REPORT, true, at(9_999)), [id(0, 1)]);
        assert_eq!(avoidance.of(REPORT, false, at(10_000)), [id(0, 1)], "not one that could not be sent again");
        assert_eq!(avoidance.of(REPORT, true, at(10_000)), []);
        assert_eq!(avoidance.of(REPORT, true, at(10_001)), [id(0, 1)]);
        avoidance.note(id(0, 1), REPORT, at(10_002));
        assert_eq!(avoidance.of(REPORT, true, at(20_001)), [id(0, 1)], "it failed again");
        assert_eq!(avoidance.of(REPORT, true, at(20_002)), []);
    }

    #[test]
    fn it_is_remembered_for_a_minute() {
        let avoidance = failed(3);
        assert_eq!(avoidance.of(REPORT, false, at(59_999)), [id(0, 1)]);
        assert_eq!(avoidance.of(REPORT, false, at(60_000)), []);
        assert!(!avoidance.knows_any());
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let avoidance = failed(3);
        (0..MOST as u64).for_each(|n| avoidance.note(id(0, 0), RequestTarget(100 + n), at(1)));
        assert_eq!(avoidance.of(REPORT, true, at(2)), []);
    }
}
