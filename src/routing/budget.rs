//! The retry budget: extra attempts with bytes sent, over any 10 s, are at most a share of the client requests of the same 10 s
//! plus a floor. Shared by all workers, lock-free.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::stats::SourceKey;
use crate::config::Retry;
use crate::telemetry::instruments::{CachePadded, Sharded};
use crate::time::MonoTime;

/// Time is cut into steps of this length.
const STEP: Duration = Duration::from_millis(500);
/// Whole steps in the window.
const STEPS: u64 = Retry::BUDGET_WINDOW.as_micros() as u64 / STEP.as_micros() as u64;
/// Payers that are told apart: more than could have spent half.
const PAYERS: usize = 8;
/// Slots in a ring: more than a window, so that a worker a little behind still finds its slot.
const RING: usize = 32;

/// One service's budget.
///
/// **Guarantee:** at the moment `t` of every granted extra attempt, the extra attempts granted in `(t − 10 s, t]` number at
/// most `share × requests in (t − 10 s, t] + 12`. Steps make it conservative: the step that the window's edge
/// cuts counts for the extras and not for the requests.
#[derive(Debug)]
pub struct Budget {
    requests: Sharded<BudgetRing>,
    extras: CachePadded<BudgetRing>,
    payers: Mutex<Vec<(SourceKey, BudgetRing)>>,
}

impl Budget {
    /// Empty.
    pub fn new(workers: usize) -> Budget {
        Budget { requests: Sharded::new(workers), extras: CachePadded::default(), payers: Mutex::default() }
    }

    /// A client's request arrived.
    #[inline]
    pub fn request(&self, worker: usize, now: MonoTime) {
        self.requests.of(worker).add(step_of(now));
    }

    /// May one more attempt send bytes? `true` counts it. `share`: [`Retry::budget`]. `payer`: the client network that it is
    /// made for, which gets half of the budget at most; `None` where there is no other.
    ///
    /// Reserve first, then look: of callers that race, the last to reserve sees all others, so they never get more than
    /// there is (they may get less).
    pub fn extra(&self, share: f64, payer: Option<SourceKey>, now: MonoTime) -> bool {
        let Some(reserved) = self.extras.0.add(step_of(now)) else { return false };
        let allowed = self.allowed(share, now);
        let granted = self.used(now) <= allowed && payer.is_none_or(|payer| self.pays(payer, allowed / 2, now));
        if !granted {
            self.extras.0.take_back(reserved);
        }
        granted
    }

    /// May this payer be charged one more, with so much in the window? The payers that spend most are known; another one has
    /// spent less than they.
    fn pays(&self, payer: SourceKey, most: u64, now: MonoTime) -> bool {
        let (step, from) = (step_of(now), step_of(now).saturating_sub(STEPS));
        let mut payers = self.payers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = payers.iter().position(|(known, _)| *known == payer);
        let place = known.unwrap_or_else(|| {
            let ring = (payer, BudgetRing::default());
            if payers.len() < PAYERS {
                payers.push(ring);
                return payers.len() - 1;
            }
            let spent = |place: &usize| payers[*place].1.sum(from, u64::MAX);
            let least = (0..payers.len()).min_by_key(spent).unwrap_or(0);
            payers[least] = ring;
            least
        });
        let ring = &payers[place].1;
        ring.sum(from, u64::MAX) < most.max(1) && ring.add(step).is_some()
    }

    /// Is at least half of the budget unused? Then a trial may risk needing one extra attempt. Looks without counting.
    pub fn half_free(&self, share: f64, now: MonoTime) -> bool {
        2 * (self.used(now) + 1) <= self.allowed(share, now)
    }

    /// Extra attempts of the window, the cut step included (and what workers a moment ahead have counted).
    fn used(&self, now: MonoTime) -> u64 {
        self.extras.0.sum(step_of(now).saturating_sub(STEPS), u64::MAX)
    }

    /// What the requests of the window allow, without the cut step.
    fn allowed(&self, share: f64, now: MonoTime) -> u64 {
        let step = step_of(now);
        let requests: u64 = self.requests.iter().map(|ring| ring.sum((step + 1).saturating_sub(STEPS), step)).sum();
        (share.max(0.0) * requests as f64) as u64 + u64::from(Retry::BUDGET_FLOOR)
    }
}

/// Counts by step: slot = step modulo ring; a slot's word holds the step (upper 32 bits, plus one) and its count.
#[derive(Debug, Default)]
struct BudgetRing([AtomicU64; RING]);

impl BudgetRing {
    /// Counts one in this step, or in the newer step that has taken its slot; returns that step. `None` when full.
    fn add(&self, step: u64) -> Option<u64> {
        let slot = self.slot(step);
        let mut word = slot.load(SeqCst);
        loop {
            let (held, count) = unpack(word);
            let next = match held {
                Some(held) if held >= step => pack(held, count.checked_add(1)?),
                _ => pack(step, 1),
            };
            match slot.compare_exchange_weak(word, next, SeqCst, SeqCst) {
                Ok(_) => return unpack(next).0,
                Err(now) => word = now,
            }
        }
    }

    /// Takes back one counted in this step, unless the slot has moved on.
    fn take_back(&self, step: u64) {
        let less = |word: u64| match unpack(word) {
            (Some(held), count) if held == step && count > 0 => Some(pack(held, count - 1)),
            _ => None,
        };
        let _ = self.slot(step).fetch_update(SeqCst, SeqCst, less);
    }

    /// What was counted in these steps, both included.
    fn sum(&self, from: u64, to: u64) -> u64 {
        self.0
            .iter()
            .map(|slot| unpack(slot.load(SeqCst)))
            .filter(|(held, _)| held.is_some_and(|held| (from..=to).contains(&held)))
            .map(|(_, count)| u64::from(count))
            .sum()
    }

    fn slot(&self, step: u64) -> &AtomicU64 {
        &self.0[step as usize % RING]
    }
}

fn step_of(now: MonoTime) -> u64 {
    now.as_micros() / STEP.as_micros() as u64
}

fn pack(step: u64, count: u32) -> u64 {
    ((step + 1) << 32) | u64::from(count)
}

fn unpack(word: u64) -> (Option<u64>, u32) {
    ((word >> 32).checked_sub(1), word as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::routing::fixture::at;

    #[derive(Clone, Debug)]
    enum BudgetAct {
        Request(usize),
        Extra,
        Pass(u64),
    }

    fn acts() -> impl Strategy<Value = Vec<BudgetAct>> {
        let act = prop_oneof![
            4 => (0usize..3).prop_map(BudgetAct::Request),
            4 => Just(BudgetAct::Extra),
            1 => (0u64..3_000).prop_map(BudgetAct::Pass),
            1 => (8_000u64..12_000).prop_map(BudgetAct::Pass),
        ];
        proptest::collection::vec(act, 0..600)
    }

    proptest! {
        #[test]
        fn extras_of_any_ten_seconds_keep_to_the_share_and_the_floor(acts in acts(), share in 0.0f64..1.0) {
            let budget = Budget::new(3);
            let (mut requests, mut extras, mut now) = (vec![], vec![], 0u64);
            for act in acts {
                match act {
                    BudgetAct::Pass(millis) => now += millis,
                    BudgetAct::Request(worker) => {
                        budget.request(worker, at(now));
                        requests.push(now);
                    }
                    BudgetAct::Extra => {
                        if budget.extra(share, None, at(now)) {
                            extras.push(now);
                            let within = |times: &[u64]| times.iter().filter(|then| **then + 10_000 > now).count() as f64;
                            prop_assert!(within(&extras) <= share * within(&requests) + f64::from(Retry::BUDGET_FLOOR));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_floor_is_granted_without_any_request_and_comes_back() {
        let budget = Budget::new(1);
        let floor = Retry::BUDGET_FLOOR as usize;
        let granted = |millis| (0..2 * floor).filter(|_| budget.extra(0.2, None, at(millis))).count();
        assert_eq!(granted(0), floor);
        assert_eq!(granted(9_000), 0);
        assert_eq!(granted(11_000), floor);
    }

    #[test]
    fn a_steady_stream_gets_nearly_all_of_its_share() {
        let budget = Budget::new(1);
        let mut granted = 0;
        for millis in 0..60_000 {
            budget.request(0, at(millis));
            granted += u32::from(millis > 20_000 && budget.extra(0.2, None, at(millis)));
        }
        let most = 8_000 + 4 * Retry::BUDGET_FLOOR;
        assert!((7_400..=most).contains(&granted), "{granted} of {most}");
    }

    #[test]
    fn workers_that_race_never_get_more_than_there_is() {
        for _ in 0..50 {
            let budget = Budget::new(4);
            (0..100).for_each(|n| budget.request(n, at(0)));
            let granted: u32 = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..4)
                    .map(|worker| {
                        let budget = &budget;
                        scope.spawn(move || {
                            (0..50).map(|n| u32::from(budget.extra(0.2, None, at(worker * 400 + n)))).sum::<u32>()
                        })
                    })
                    .collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).sum()
            });
            assert!(granted <= 20 + Retry::BUDGET_FLOOR, "{granted}");
        }
    }

    #[test]
    fn one_source_of_several_gets_half_of_it_at_most_and_the_others_the_rest() {
        let budget = Budget::new(1);
        (0..200).for_each(|_| budget.request(0, at(0)));
        let payer = |n: u8| Some(SourceKey::of(&crate::decision::Source::of([10, 0, 0, n].into())));
        let granted = |n: u8, times: usize| (0..times).filter(|_| budget.extra(0.2, payer(n), at(0))).count();
        let all = 40 + Retry::BUDGET_FLOOR as usize;
        assert_eq!(granted(1, 1000), all / 2);
        assert_eq!(granted(2, 10), 10);
        assert_eq!(granted(1, 10), 0, "it had its half");
        let rest: usize = (3..60).map(|n| granted(n, 1)).sum();
        assert_eq!(rest, all - all / 2 - 10);
    }
}
