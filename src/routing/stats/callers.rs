//! How many client networks a service answers: as many of them must see a failure before it is the endpoint's.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::decision::Source;
use crate::time::MonoTime;

/// Client networks that are counted.
const SLOTS: usize = 64;
/// Places where one may stand.
const PROBES: usize = 4;
/// One that was not answered for so long is forgotten, except the last one.
const LATELY: Duration = Duration::from_secs(600);
/// What is noted is not noted again for so long.
const FRESH: u64 = 30_000_000 >> TICK_SHIFT;
/// A word holds a network's tag (upper 40 bits) and when it was last answered, in steps of 2²² µs, about 4 s.
const TICK_SHIFT: u32 = 22;
const TICKS: u64 = (1 << 24) - 1;

/// A client network as it is looked up: its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceKey(u64);

impl SourceKey {
    /// Of this network.
    pub fn of(source: &Source) -> SourceKey {
        SourceKey(BuildHasherDefault::<DefaultHasher>::default().hash_one(source))
    }

    fn tag(self) -> u64 {
        self.0 & !TICKS | (TICKS + 1)
    }
}

/// The client networks that were answered well lately. Lock-free; what races loses one note, which the next answer repeats.
#[derive(Debug)]
pub struct RecentSources([AtomicU64; SLOTS]);

impl Default for RecentSources {
    fn default() -> RecentSources {
        RecentSources(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl RecentSources {
    /// A client of this network was answered well. Costs one load where that is known already.
    #[inline]
    pub fn note(&self, key: SourceKey, now: MonoTime) {
        let word = self.0[key.0 as usize % SLOTS].load(Relaxed);
        let tick = now.as_micros() >> TICK_SHIFT;
        if word & !TICKS == key.tag() && tick.wrapping_sub(word & TICKS) <= FRESH {
            return;
        }
        self.note_anew(key, tick & TICKS);
    }

    #[cold]
    fn note_anew(&self, key: SourceKey, tick: u64) {
        let places = || (0..PROBES).map(|probe| &self.0[(key.0 as usize + probe) % SLOTS]);
        let own = places().find(|slot| slot.load(Relaxed) & !TICKS == key.tag());
        if own.is_some_and(|slot| tick.saturating_sub(slot.load(Relaxed) & TICKS) <= FRESH) {
            return;
        }
        let free = || places().find(|slot| !is_recent(slot.load(Relaxed), tick));
        if let Some(slot) = own.or_else(free) {
            slot.store(key.tag() | tick, Relaxed);
        }
    }

    /// Was this network answered well lately?
    pub fn has(&self, key: SourceKey, now: MonoTime) -> bool {
        let tick = now.as_micros() >> TICK_SHIFT & TICKS;
        let words = (0..PROBES).map(|probe| self.0[(key.0 as usize + probe) % SLOTS].load(Relaxed));
        words.into_iter().any(|word| word & !TICKS == key.tag() && is_recent(word, tick))
    }

    /// How many were answered well lately; at least one once any was.
    pub fn count(&self, now: MonoTime) -> u32 {
        let tick = now.as_micros() >> TICK_SHIFT & TICKS;
        let words = || self.0.iter().map(|slot| slot.load(Relaxed)).filter(|word| *word != 0);
        let recent = words().filter(|word| is_recent(*word, tick)).count();
        recent.max(usize::from(words().next().is_some())) as u32
    }
}

fn is_recent(word: u64, tick: u64) -> bool {
    let lately = LATELY.as_micros() as u64 >> TICK_SHIFT;
    word != 0 && tick.saturating_sub(word & TICKS) <= lately
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::at;

    fn key(n: u8) -> SourceKey {
        SourceKey::of(&Source::of([10, 0, 0, n].into()))
    }

    #[test]
    fn each_network_is_counted_once() {
        let callers = RecentSources::default();
        assert_eq!(callers.count(at(0)), 0);
        for round in 0..5 {
            (1..=3).for_each(|n| callers.note(key(n), at(round * 100_000)));
        }
        assert_eq!(callers.count(at(400_000)), 3);
        assert!(callers.has(key(2), at(400_000)) && !callers.has(key(4), at(400_000)));
    }

    #[test]
    fn the_last_one_is_never_forgotten() {
        let callers = RecentSources::default();
        callers.note(key(1), at(0));
        callers.note(key(2), at(500_000));
        assert_eq!(callers.count(at(590_000)), 2);
        assert_eq!(callers.count(at(700_000)), 1);
        assert_eq!(callers.count(at(90_000_000)), 1);
    }

    #[test]
    fn many_networks_are_many() {
        let callers = RecentSources::default();
        (0..=255).for_each(|n| callers.note(key(n), at(0)));
        assert!((50..=64).contains(&callers.count(at(1))));
    }
}
