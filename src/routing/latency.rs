//! The usual latency of a route's answers, and the time after which one is late ([manual::health](crate::manual::health)): learned by
//! all workers together.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::DelayThreshold;
use crate::telemetry::instruments::Sharded;

/// Late while nothing is known.
const UNKNOWN: Duration = Duration::from_secs(1);
/// How many p99s make an answer late.
const TIMES: u64 = 3;
/// Answers from which on something is known.
const ENOUGH: u64 = 100;
/// A worker looks at what all have counted once in so many answers of its own.
const LOOK: u32 = 32;
/// A worker's counts are halved when there are so many, so that what changes is learned.
const MANY: u32 = 8192;

/// Upper bounds in µs: what is below the first is never late; from there on steps of √2 up to a minute, and one for the rest.
const BOUNDS: [u64; 20] = [
    64_000, 90_510, 128_000, 181_019, 256_000, 362_039, 512_000, 724_077, 1_024_000, 1_448_155, 2_048_000, 2_896_309,
    4_096_000, 5_792_619, 8_192_000, 11_585_238, 16_384_000, 23_170_475, 32_768_000, 65_536_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// The latency of one route: a rolling p99, and the threshold that follows from it.
#[derive(Debug)]
pub struct LatencyEstimate {
    shards: Sharded<LatencyShard>,
    /// In µs.
    late: AtomicU64,
}

#[derive(Debug, Default)]
struct LatencyShard {
    counts: [AtomicU32; BUCKETS],
    seen: AtomicU32,
}

impl LatencyEstimate {
    /// Lower bound of the automatic stall threshold.
    pub const LEAST: Duration = Duration::from_millis(250);

    /// Without any measurement.
    pub fn new(workers: usize) -> LatencyEstimate {
        LatencyEstimate { shards: Sharded::new(workers), late: AtomicU64::new(UNKNOWN.as_micros() as u64) }
    }

    /// An answer took so long, from *request fully sent* to its first byte.
    #[inline]
    pub fn record(&self, worker: usize, took: Duration) {
        let took = took.as_micros() as u64;
        let bucket = if took <= BOUNDS[0] { 0 } else { BOUNDS.partition_point(|bound| *bound < took) };
        let shard = self.shards.of(worker);
        // Only this worker writes here.
        shard.counts[bucket].store(shard.counts[bucket].load(Relaxed) + 1, Relaxed);
        let seen = shard.seen.load(Relaxed) + 1;
        shard.seen.store(seen, Relaxed);
        if seen.is_multiple_of(LOOK) {
            self.look(shard, seen);
        }
    }

    /// An answer is late after so long; `None`: never.
    #[inline]
    pub fn late_after(&self, patience: DelayThreshold) -> Option<Duration> {
        match patience {
            DelayThreshold::Auto => Some(Duration::from_micros(self.late.load(Relaxed))),
            DelayThreshold::After(time) => Some(time),
            DelayThreshold::Off => None,
        }
    }

    #[cold]
    fn look(&self, own: &LatencyShard, seen: u32) {
        let mut counts = [0u64; BUCKETS];
        for shard in self.shards.iter() {
            counts.iter_mut().zip(&shard.counts).for_each(|(sum, count)| *sum += u64::from(count.load(Relaxed)));
        }
        let late = late_by(&counts);
        self.late.store(late, Relaxed);
        if seen >= MANY {
            own.counts.iter().for_each(|count| count.store(count.load(Relaxed) / 2, Relaxed));
            own.seen.store(seen / 2, Relaxed);
        }
    }
}

/// In µs.
fn late_by(counts: &[u64; BUCKETS]) -> u64 {
    let total: u64 = counts.iter().sum();
    if total < ENOUGH {
        return UNKNOWN.as_micros() as u64;
    }
    let mut left = total - total / 100;
    let bucket = counts.iter().position(|count| {
        left = left.saturating_sub(*count);
        left == 0
    });
    let p99 = bucket.and_then(|bucket| BOUNDS.get(bucket)).copied();
    p99.map_or(u64::MAX, |p99| TIMES * p99).max(LatencyEstimate::LEAST.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: DelayThreshold = DelayThreshold::Auto;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn late_is_a_second_until_a_hundred_answers_are_known() {
        let usual = LatencyEstimate::new(2);
        (0..96).for_each(|_| usual.record(0, ms(5)));
        assert_eq!(usual.late_after(AUTO), Some(ms(1000)));
        (0..32).for_each(|_| usual.record(1, ms(5)));
        assert_eq!(usual.late_after(AUTO), Some(ms(250)), "workers learn together");
    }

    #[test]
    fn late_is_three_times_what_ninety_nine_of_a_hundred_take() {
        let usual = LatencyEstimate::new(1);
        (0..3200).for_each(|n| usual.record(0, if n % 50 == 0 { ms(1000) } else { ms(5) }));
        assert_eq!(usual.late_after(AUTO), Some(ms(3072)));
        assert_eq!(usual.late_after(DelayThreshold::After(ms(7))), Some(ms(7)));
        assert_eq!(usual.late_after(DelayThreshold::Off), None);
    }

    #[test]
    fn one_slow_answer_in_two_hundred_changes_nothing() {
        let usual = LatencyEstimate::new(1);
        (0..3200).for_each(|n| usual.record(0, if n % 200 == 0 { ms(30_000) } else { ms(5) }));
        assert_eq!(usual.late_after(AUTO), Some(ms(250)));
    }

    #[test]
    fn what_becomes_slower_is_learned_and_what_becomes_faster_too() {
        let usual = LatencyEstimate::new(1);
        (0..20_000).for_each(|_| usual.record(0, ms(5)));
        (0..20_000).for_each(|_| usual.record(0, ms(400)));
        assert_eq!(usual.late_after(AUTO), Some(ms(1536)));
        (0..200_000).for_each(|_| usual.record(0, ms(5)));
        assert_eq!(usual.late_after(AUTO), Some(ms(250)));
    }

    #[test]
    fn answers_that_take_longer_than_the_scale_are_never_late() {
        let usual = LatencyEstimate::new(1);
        (0..3200).for_each(|_| usual.record(0, ms(100_000)));
        assert_eq!(usual.late_after(AUTO), Some(Duration::from_micros(u64::MAX)));
    }
}
