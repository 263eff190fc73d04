//! Counters and histograms that workers write without locks and without sharing a cache line: one padded shard a
//! worker, merged at a read. Nothing here knows a metric's name.
//!
//! All operations are relaxed: every number is exact in the end, and a reader may see one number a moment before
//! another. A shard index beyond the last one wraps around, so a stray index costs contention, never a panic.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A value on cache lines of its own: 128 bytes, because x86 fetches lines in pairs and some ARM lines are that long.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

/// One `T` for each worker.
#[derive(Debug)]
pub struct Sharded<T> {
    shards: Box<[CachePadded<T>]>,
}

impl<T> Sharded<T> {
    /// As many shards as workers (at least one), each made by `make`.
    pub fn with(workers: usize, mut make: impl FnMut() -> T) -> Self {
        Sharded { shards: (0..workers.max(1)).map(|_| CachePadded(make())).collect() }
    }

    /// The worker's own shard.
    #[inline]
    pub fn of(&self, worker: usize) -> &T {
        &self.shards[worker % self.shards.len()].0
    }

    /// All shards.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &shard.0)
    }
}

impl<T: Default> Sharded<T> {
    /// As many empty shards as workers (at least one).
    pub fn new(workers: usize) -> Self {
        Sharded::with(workers, T::default)
    }
}

/// `N` numbers that only grow, side by side in each worker's shard: one family of a metric by a small enum.
pub struct Counters<const N: usize> {
    shards: Sharded<[AtomicU64; N]>,
}

impl<const N: usize> Counters<N> {
    /// All zero.
    pub fn new(workers: usize) -> Self {
        Counters { shards: Sharded::with(workers, zeros) }
    }

    /// Add `n` to the number at `index`; an index out of range counts nothing.
    #[inline]
    pub fn add(&self, worker: usize, index: usize, n: u64) {
        debug_assert!(index < N);
        if let Some(cell) = self.shards.of(worker).get(index) {
            cell.fetch_add(n, Relaxed);
        }
    }

    /// One number over all workers; zero when out of range.
    pub fn total(&self, index: usize) -> u64 {
        self.shards
            .iter()
            .filter_map(|shard| shard.get(index))
            .fold(0, |sum, cell| sum.wrapping_add(cell.load(Relaxed)))
    }

    /// All numbers over all workers.
    pub fn totals(&self) -> [u64; N] {
        self.first()
    }

    /// The first of them over all workers.
    pub fn first<const M: usize>(&self) -> [u64; M] {
        let mut totals = [0_u64; M];
        for shard in self.shards.iter() {
            for (total, cell) in totals.iter_mut().zip(shard) {
                *total = total.wrapping_add(cell.load(Relaxed));
            }
        }
        totals
    }
}

impl<const N: usize> fmt::Debug for Counters<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.totals()).finish()
    }
}

/// One number that only grows.
#[derive(Debug)]
pub struct Counter(Counters<1>);

impl Counter {
    /// Zero.
    pub fn new(workers: usize) -> Self {
        Counter(Counters::new(workers))
    }

    /// Add `n`.
    #[inline]
    pub fn add(&self, worker: usize, n: u64) {
        self.0.add(worker, 0, n);
    }

    /// The sum over all workers.
    pub fn total(&self) -> u64 {
        self.0.total(0)
    }
}

/// A number that goes up and down, each worker adding what it takes and gives back itself or on another's shard: only
/// the sum means something.
#[derive(Debug)]
pub struct Level(Counters<1>);

impl Level {
    /// Zero.
    pub fn new(workers: usize) -> Self {
        Level(Counters::new(workers))
    }

    /// One more.
    #[inline]
    pub fn up(&self, worker: usize) {
        self.0.add(worker, 0, 1);
    }

    /// One less.
    #[inline]
    pub fn down(&self, worker: usize) {
        self.0.add(worker, 0, u64::MAX);
    }

    /// How many now; a sum caught between two movements never shows as negative.
    pub fn now(&self) -> u64 {
        (self.0.total(0) as i64).max(0) as u64
    }
}

/// Upper bounds (inclusive, microseconds) of request and probe latencies: from a neighbour's answer to the longest
/// sensible timeout.
pub const LATENCY: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Upper bounds (inclusive, microseconds) of recovery times: from a refusal verdict to a fault that a person had to repair.
pub const RECOVERY: [u64; 14] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    10_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
];

/// Latencies of requests or probes.
pub type LatencyHistogram = Histogram<{ LATENCY.len() }>;

/// Recovery times.
pub type RecoveryHistogram = Histogram<{ RECOVERY.len() }>;

/// Durations counted by fixed buckets.
pub struct Histogram<const B: usize> {
    bounds: &'static [u64; B],
    shards: Sharded<HistogramBuckets<B>>,
}

struct HistogramBuckets<const B: usize> {
    within: [AtomicU64; B],
    beyond: AtomicU64,
    sum_micros: AtomicU64,
}

impl LatencyHistogram {
    /// Empty, with [`LATENCY`]'s buckets.
    pub fn latency(workers: usize) -> Self {
        Histogram::new(workers, &LATENCY)
    }
}

impl RecoveryHistogram {
    /// Empty, with [`RECOVERY`]'s buckets; one writer.
    pub fn recovery() -> Self {
        Histogram::new(1, &RECOVERY)
    }
}

impl<const B: usize> Histogram<B> {
    /// Empty. `bounds` are inclusive upper bounds in microseconds, ascending.
    pub fn new(workers: usize, bounds: &'static [u64; B]) -> Self {
        debug_assert!(bounds.is_sorted());
        let empty = || HistogramBuckets { within: zeros(), beyond: AtomicU64::new(0), sum_micros: AtomicU64::new(0) };
        Histogram { bounds, shards: Sharded::with(workers, empty) }
    }

    /// Count one duration.
    #[inline]
    pub fn record(&self, worker: usize, took: Duration) {
        let micros = took.as_micros() as u64;
        let shard = self.shards.of(worker);
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        shard.within.get(bucket).unwrap_or(&shard.beyond).fetch_add(1, Relaxed);
        shard.sum_micros.fetch_add(micros, Relaxed);
    }

    /// All workers' counts merged.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut buckets: Vec<(u64, u64)> = self.bounds.iter().map(|bound| (*bound, 0)).collect();
        let (mut count, mut sum_micros) = (0, 0);
        for shard in self.shards.iter() {
            for (bucket, cell) in buckets.iter_mut().zip(&shard.within) {
                bucket.1 += cell.load(Relaxed);
            }
            count += shard.beyond.load(Relaxed);
            sum_micros += shard.sum_micros.load(Relaxed);
        }
        for bucket in &mut buckets {
            count += bucket.1;
        }
        let mut below = 0;
        for bucket in &mut buckets {
            below += bucket.1;
            bucket.1 = below;
        }
        HistogramSnapshot { buckets, count, sum_micros }
    }
}

impl<const B: usize> fmt::Debug for Histogram<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bound in microseconds and how many were at most that long (cumulative).
    pub buckets: Vec<(u64, u64)>,
    /// How many in all: never less than the last bucket.
    pub count: u64,
    /// Their sum in microseconds.
    pub sum_micros: u64,
}

impl HistogramSnapshot {
    /// The upper bound of the bucket that holds this quantile (0..=1); `None` when nothing was counted or it lies
    /// beyond the last bound.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let found = self.buckets.iter().find(|(_, below)| *below >= rank)?;
        Some(Duration::from_micros(found.0))
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_never_share_a_cache_line_pair() {
        let counter = Counters::<3>::new(4);
        let places: Vec<usize> = counter.shards.iter().map(|shard| shard.as_ptr() as usize).collect();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 128), "{places:?}");
        assert!(places.iter().all(|place| place % 128 == 0), "{places:?}");
    }

    #[test]
    fn counts_of_all_threads_add_up() {
        let counters = Counters::<2>::new(3);
        let latency = LatencyHistogram::latency(3);
        std::thread::scope(|scope| {
            for worker in 0..5 {
                let (counters, latency) = (&counters, &latency);
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        counters.add(worker, 1, 2);
                        latency.record(worker, Duration::from_micros(300));
                    }
                });
            }
        });
        assert_eq!(counters.totals(), [0, 10_000]);
        let seen = latency.snapshot();
        assert_eq!((seen.count, seen.sum_micros), (5_000, 1_500_000));
    }

    #[test]
    fn a_level_may_be_lowered_on_another_shard() {
        let level = Level::new(2);
        level.up(0);
        level.up(0);
        level.down(1);
        assert_eq!(level.now(), 1);
        level.down(1);
        level.down(1);
        assert_eq!(level.now(), 0, "never negative");
    }

    #[test]
    fn bounds_are_inclusive_and_the_rest_lies_beyond() {
        let latency = LatencyHistogram::latency(1);
        for micros in [100, 101, 30_000_000, 30_000_001] {
            latency.record(0, Duration::from_micros(micros));
        }
        let seen = latency.snapshot();
        assert_eq!(seen.buckets[0], (100, 1));
        assert_eq!(seen.buckets[1], (250, 2));
        assert_eq!(seen.buckets.last(), Some(&(30_000_000, 3)));
        assert_eq!(seen.count, 4);
        assert_eq!(seen.quantile(0.25), Some(Duration::from_micros(100)));
        assert_eq!(seen.quantile(1.0), None);
    }

    proptest! {
        #[test]
        fn buckets_count_exactly_what_was_recorded(spans in proptest::collection::vec((0usize..4, 0u64..60_000_000), 0..200)) {
            let latency = LatencyHistogram::latency(4);
            for (worker, micros) in &spans {
                latency.record(*worker, Duration::from_micros(*micros));
            }
            let seen = latency.snapshot();
            for (bound, below) in &seen.buckets {
                prop_assert_eq!(*below, spans.iter().filter(|(_, micros)| micros <= bound).count() as u64);
            }
            prop_assert_eq!(seen.count, spans.len() as u64);
            prop_assert_eq!(seen.sum_micros, spans.iter().map(|(_, micros)| micros).sum::<u64>());
        }
    }
}
