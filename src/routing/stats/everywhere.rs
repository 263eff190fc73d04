//! Requests that fail everywhere: what failed in the same way at two endpoints and was answered by none is the request's own fault,
//! or of something behind all endpoints. For a while the same source's requests for the same target are not sent again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{Failure, RequestTarget, Source};
use crate::time::MonoTime;

/// How long it is remembered.
const MEMORY: Duration = Duration::from_secs(10);
/// So often a request is let through to see whether it is still so.
const TEST_AGAIN: Duration = Duration::from_secs(1);
/// How many are remembered; then the oldest is forgotten.
const MOST: usize = 256;

/// One service's.
#[derive(Debug, Default)]
pub struct FailsEverywhere {
    any: AtomicBool,
    known: Mutex<Vec<FailingTarget>>,
}

#[derive(Debug, PartialEq)]
struct FailingTarget {
    source: Source,
    target: RequestTarget,
    kind: Failure,
    until: MonoTime,
    /// When a request was last let through to see whether it is still so.
    tested: MonoTime,
}

impl FailsEverywhere {
    /// A request of this source for this target failed in this way at every endpoint that it was sent to.
    pub fn note(&self, source: Source, target: RequestTarget, kind: Failure, now: MonoTime) {
        let mut known = self.known();
        known.retain(|one| one.until > now && !one.is(source, target, kind));
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push(FailingTarget { source, target, kind, until: now.after(MEMORY), tested: now });
        self.any.store(true, Relaxed);
    }

    /// It was answered well after all. With the last one that is remembered, the cost of looking ends.
    pub fn forget(&self, source: Source, target: RequestTarget, now: MonoTime) {
        if !self.knows_any() {
            return;
        }
        let mut known = self.known();
        known.retain(|one| one.until > now && (one.source != source || one.target != target));
        self.any.store(!known.is_empty(), Relaxed);
    }

    /// Is sending it again known to be of no use? Once in a while a request is let through all the same.
    pub fn knows(&self, source: Source, target: RequestTarget, kind: Failure, now: MonoTime) -> bool {
        if !self.knows_any() {
            return false;
        }
        let mut known = self.known();
        known.retain(|one| one.until > now);
        self.any.store(!known.is_empty(), Relaxed);
        let Some(one) = known.iter_mut().find(|one| one.is(source, target, kind)) else { return false };
        // (Not of what may kill a worker each time.)
        let tests = kind != Failure::Reset && now.since(one.tested) >= TEST_AGAIN;
        if tests {
            one.tested = now;
        }
        !tests
    }

    /// Is this remembered?
    pub fn remembers(&self, source: Source, target: RequestTarget, kind: Failure, now: MonoTime) -> bool {
        self.knows_any() && self.known().iter().any(|one| one.until > now && one.is(source, target, kind))
    }

    /// Is anything remembered?
    #[inline]
    pub fn knows_any(&self) -> bool {
        self.any.load(Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Vec<FailingTarget>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailingTarget {
    fn is(&self, source: Source, target: RequestTarget, kind: Failure) -> bool {
        self.source == source && self.target == target && self.kind == kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::at;

    #[test]
    fn it_is_remembered_for_ten_seconds_and_of_that_source_and_target_alone() {
        let everywhere = FailsEverywhere::default();
        let source = |n: u8| Source::of([10, 0, 0, n].into());
        assert!(!everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(0)));
        everywhere.note(source(1), RequestTarget(7), Failure::Gateway, at(0));
        assert!(everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(999)));
        assert!(!everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(1_000)), "one tests it");
        assert!(everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(1_001)));
        assert!(!everywhere.knows(source(1), RequestTarget(7), Failure::Reset, at(1)));
        assert!(!everywhere.knows(source(2), RequestTarget(7), Failure::Gateway, at(1)));
        assert!(!everywhere.knows(source(1), RequestTarget(8), Failure::Gateway, at(1)));
        assert!(!everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(10_000)));
        everywhere.note(source(1), RequestTarget(7), Failure::Gateway, at(10_000));
        everywhere.forget(source(1), RequestTarget(7), at(10_000));
        assert!(!everywhere.knows(source(1), RequestTarget(7), Failure::Gateway, at(10_001)), "it was answered");
    }

    #[test]
    fn once_nothing_is_remembered_good_answers_do_not_look_any_more() {
        let everywhere = FailsEverywhere::default();
        let source = Source::of([10, 0, 0, 1].into());
        everywhere.note(source, RequestTarget(7), Failure::Gateway, at(0));
        everywhere.forget(source, RequestTarget(8), at(9_999));
        assert!(everywhere.knows_any());
        everywhere.forget(source, RequestTarget(8), at(10_000));
        assert!(!everywhere.knows_any(), "the memory of it has ended");
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let everywhere = FailsEverywhere::default();
        let source = Source::of([10, 0, 0, 1].into());
        (0..300).for_each(|n| everywhere.note(source, RequestTarget(n), Failure::Gateway, at(0)));
        assert!(!everywhere.knows(source, RequestTarget(0), Failure::Gateway, at(1)));
        assert!(everywhere.knows(source, RequestTarget(299), Failure::Gateway, at(1)));
    }
}
