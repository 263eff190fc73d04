//! Writes metrics to a recorder of the `metrics` facade: what an embedder collects its own metrics with.
//!
//! * A metric is described once; its unit stands in its name.
//! * Counters are set to their absolute value. The facade has whole numbers only: seconds are rounded down.
//! * Gauges are set.
//! * Histograms get what each bucket has grown by since the walk before, as values inside that bucket. A recorder with the same
//!   bounds has the same buckets and the same count; the sum is the same too, up to rounding, unless some values lie beyond the last
//!   bound by less than the others make up for.
//!
//! The facade cannot take a series back: what a reload has removed stays in the recorder with its last value, until the recorder
//! forgets what is no longer set (`idle_timeout` of `metrics-exporter-prometheus`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};

use super::instruments::HistogramSnapshot;
use super::names::{Metric, MetricKind};
use super::sink::{MetricSink, Number, seconds};

const METADATA: Metadata<'static> = Metadata::new("standfast", Level::INFO, Some("standfast"));

/// Writes walks to a recorder, one after the other.
#[derive(Debug)]
pub struct RecorderSink<R> {
    recorder: R,
    described: HashSet<&'static str>,
    /// Histograms as the last walk found them.
    before: HashMap<Key, HistogramSnapshot>,
    /// … and as this one does.
    seen: HashMap<Key, HistogramSnapshot>,
}

impl<R: Recorder> RecorderSink<R> {
    /// To this recorder, which has got nothing yet.
    pub fn new(recorder: R) -> RecorderSink<R> {
        RecorderSink { recorder, described: HashSet::new(), before: HashMap::new(), seen: HashMap::new() }
    }

    /// A walk is over: histograms that were not in it are forgotten, so that one of the same name begins at zero.
    pub fn end_walk(&mut self) {
        self.before = std::mem::take(&mut self.seen);
    }
}

impl<R: Recorder> MetricSink for RecorderSink<R> {
    type Labels = Vec<Label>;

    fn labels(&self, names: &[&'static str], values: &[&str]) -> Vec<Label> {
        names.iter().zip(values).map(|(name, value)| label(name, value)).collect()
    }

    fn and_label(&self, mut labels: Vec<Label>, name: &'static str, value: &str) -> Vec<Label> {
        labels.push(label(name, value));
        labels
    }

    fn begin(&mut self, metric: &'static Metric) {
        if !self.described.insert(metric.name) {
            return;
        }
        let (name, help) = (KeyName::from_const_str(metric.name), SharedString::const_str(metric.help));
        match metric.kind {
            MetricKind::Counter => self.recorder.describe_counter(name, None, help),
            MetricKind::Gauge => self.recorder.describe_gauge(name, None, help),
            MetricKind::Histogram => self.recorder.describe_histogram(name, None, help),
        }
    }

    fn number(&mut self, metric: &'static Metric, labels: &Vec<Label>, last: Option<&str>, value: Number) {
        let mut labels = labels.clone();
        labels.extend(last.map(|value| label(metric.last_label(), value)));
        let key = Key::from_parts(metric.name, labels);
        match (metric.kind, value) {
            (MetricKind::Counter, Number::Whole(value)) => {
                self.recorder.register_counter(&key, &METADATA).absolute(value)
            }
            (MetricKind::Counter, Number::Real(value)) => {
                self.recorder.register_counter(&key, &METADATA).absolute(value.max(0.0) as u64);
            }
            (_, Number::Whole(value)) => self.recorder.register_gauge(&key, &METADATA).set(value as f64),
            (_, Number::Real(value)) => self.recorder.register_gauge(&key, &METADATA).set(value),
        }
    }

    fn histogram(&mut self, metric: &'static Metric, labels: &Vec<Label>, seen: &HistogramSnapshot) {
        let key = Key::from_parts(metric.name, labels.clone());
        let recorder = self.recorder.register_histogram(&key, &METADATA);
        for (value, count) in values(&growth(seen, self.before.get(&key))) {
            recorder.record_many(value, usize::try_from(count).unwrap_or(usize::MAX));
        }
        self.seen.insert(key, seen.clone());
    }
}

fn label(name: &'static str, value: &str) -> Label {
    // Shared: an endpoint's labels are cloned for each of its samples.
    Label::new(name, SharedString::from_shared(Arc::from(value)))
}

/// A bucket's bounds in seconds, and how many values it has got.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GrownBucket {
    above: f64,
    /// `None`: beyond the last bound.
    up_to: Option<f64>,
    count: u64,
}

/// What has been counted since the walk before, by bucket, and the sum of it in seconds. Counts that are lower than before have begun
/// again.
fn growth(seen: &HistogramSnapshot, before: Option<&HistogramSnapshot>) -> (Vec<GrownBucket>, f64) {
    let before = before.filter(|before| before.count <= seen.count && before.buckets.len() == seen.buckets.len());
    let (count_before, sum_before) = before.map_or((0, 0), |before| (before.count, before.sum_micros));
    let mut grown = Vec::with_capacity(seen.buckets.len() + 1);
    let (mut above, mut below) = (0.0, 0);
    for (index, (bound, cumulative)) in seen.buckets.iter().enumerate() {
        let earlier = before.and_then(|before| before.buckets.get(index)).map_or(0, |(_, cumulative)| *cumulative);
        let now = cumulative.saturating_sub(earlier);
        let up_to = seconds(*bound);
        grown.push(GrownBucket { above, up_to: Some(up_to), count: now.saturating_sub(below) });
        (above, below) = (up_to, now);
    }
    let all = seen.count.saturating_sub(count_before);
    grown.push(GrownBucket { above, up_to: None, count: all.saturating_sub(below) });
    (grown, seconds(seen.sum_micros.saturating_sub(sum_before)))
}

/// A value inside each bucket that has grown, chosen so that they add up to the sum where they can: all at the same fraction of their
/// bucket's width; those beyond the last bound share what the others, taken at half the width, leave of the sum.
fn values((grown, sum): &(Vec<GrownBucket>, f64)) -> Vec<(f64, u64)> {
    /// Inside the bucket, and not on its lower bound, which belongs to the one below.
    const LEAST: f64 = 1e-3;
    let inner = |weight: f64| -> f64 {
        let at = |bucket: &GrownBucket| bucket.above + (bucket.up_to.unwrap_or(bucket.above) - bucket.above) * weight;
        grown.iter().filter(|bucket| bucket.up_to.is_some()).map(|bucket| at(bucket) * bucket.count as f64).sum()
    };
    let beyond = grown.last().filter(|bucket| bucket.up_to.is_none()).map_or(0, |bucket| bucket.count);
    let (lowest, highest) = (inner(0.0), inner(1.0));
    let weight = match beyond {
        0 if highest > lowest => ((sum - lowest) / (highest - lowest)).clamp(LEAST, 1.0),
        _ => 0.5,
    };
    let left = (sum - inner(weight)) / beyond.max(1) as f64;
    let value = |bucket: &GrownBucket| match bucket.up_to {
        // The bound itself at the full width, whatever rounding makes of it.
        Some(up_to) => (bucket.above + (up_to - bucket.above) * weight).min(up_to),
        None => left.max(bucket.above * (1.0 + LEAST)),
    };
    grown.iter().filter(|bucket| bucket.count > 0).map(|bucket| (value(bucket), bucket.count)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::instruments::LatencyHistogram;

    /// What a recorder with the same bounds makes of these values: its buckets, not cumulative, and the sum.
    fn recorded(bounds: &[(u64, u64)], values: &[(f64, u64)]) -> (Vec<u64>, f64) {
        let mut counts = vec![0; bounds.len() + 1];
        for (value, count) in values {
            let bucket = bounds.iter().position(|(bound, _)| *value <= seconds(*bound)).unwrap_or(bounds.len());
            counts[bucket] += count;
        }
        (counts, values.iter().map(|(value, count)| value * *count as f64).sum())
    }

    proptest! {
        #[test]
        fn a_recorder_with_the_same_bounds_counts_the_same(
            first in proptest::collection::vec(0u64..40_000_000, 0..100),
            second in proptest::collection::vec(0u64..40_000_000, 0..100),
        ) {
            let latency = LatencyHistogram::latency(1);
            let record = |spans: &[u64]| spans.iter().for_each(|span| latency.record(0, Duration::from_micros(*span)));
            record(&first);
            let before = latency.snapshot();
            record(&second);
            let after = latency.snapshot();
            let (counts, sum) = recorded(&after.buckets, &values(&growth(&after, Some(&before))));
            let mut expected = vec![0; after.buckets.len() + 1];
            for span in &second {
                expected[after.buckets.iter().position(|(bound, _)| span <= bound).unwrap_or(after.buckets.len())] += 1;
            }
            prop_assert_eq!(&counts, &expected);
            let exact: f64 = second.iter().map(|span| seconds(*span)).sum();
            if expected.last() == Some(&0) && second.iter().all(|span| *span > 100) {
                prop_assert!((sum - exact).abs() <= exact * 2e-3 + 1e-9, "{} {}", sum, exact);
            }
        }
    }

    #[test]
    fn one_that_began_again_counts_from_zero() {
        let (old, new) = (LatencyHistogram::latency(1), LatencyHistogram::latency(1));
        (0..3).for_each(|_| old.record(0, Duration::from_millis(3)));
        new.record(0, Duration::from_millis(3));
        let grown = growth(&new.snapshot(), Some(&old.snapshot()));
        assert_eq!(grown.0.iter().map(|bucket| bucket.count).sum::<u64>(), 1);
        assert!(values(&growth(&new.snapshot(), Some(&new.snapshot()))).is_empty(), "nothing has grown");
    }
}
