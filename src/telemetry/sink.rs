//! What a walk over all metrics writes to: a text ([`Exposition`](super::exposition::Exposition)) or the recorder of an embedder
//! ([`RecorderSink`](super::recorder::RecorderSink)). [`Family`] makes it hard to write a metric wrongly:
//! [`Family::sample`] and [`Family::histogram`] take a value for each label that the metric names.
//!
//! Nothing of this is on the way of a request: workers write plain atomics beside the routing table, and a walk reads them. A
//! registry would look labels up for each count, keep series of endpoints that are gone, and keep histogram samples until a scrape.

use super::instruments::HistogramSnapshot;
use super::names::{Metric, MetricKind};

/// A counter's or gauge's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A time in seconds.
    Real(f64),
}

/// Where a walk over all metrics writes to.
pub trait MetricSink {
    /// The first labels of a sample, prepared once for all the samples that begin with them.
    type Labels: Clone;

    /// These names with these values.
    fn labels(&self, names: &[&'static str], values: &[&str]) -> Self::Labels;

    /// The same with one label more at the end.
    fn and_label(&self, labels: Self::Labels, name: &'static str, value: &str) -> Self::Labels;

    /// A metric begins: its samples follow. Each metric begins once in a walk, with or without samples.
    fn begin(&mut self, metric: &'static Metric);

    /// One counter or gauge of these labels and, if there is one, a last label.
    fn number(&mut self, metric: &'static Metric, labels: &Self::Labels, last: Option<&str>, value: Number);

    /// One histogram of these labels.
    fn histogram(&mut self, metric: &'static Metric, labels: &Self::Labels, seen: &HistogramSnapshot);
}

/// One metric's samples on their way into a sink.
#[derive(Debug)]
pub struct Family<'a, S> {
    sink: &'a mut S,
    metric: &'static Metric,
}

impl<'a, S: MetricSink> Family<'a, S> {
    /// Begins a metric.
    pub fn begin(sink: &'a mut S, metric: &'static Metric) -> Family<'a, S> {
        sink.begin(metric);
        Family { sink, metric }
    }

    /// One counter or gauge. `labels` are the values of the metric's labels, in its order.
    pub fn sample(&mut self, labels: &[&str], value: impl Into<Number>) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let labels = self.sink.labels(self.metric.labels, labels);
        self.sample_of(&labels, value);
    }

    /// One counter or gauge of a set that differs in the metric's last label only.
    pub fn sample_under(&mut self, labels: &S::Labels, last: &str, value: impl Into<Number>) {
        debug_assert_ne!(self.metric.kind, MetricKind::Histogram, "{}", self.metric.name);
        self.sink.number(self.metric, labels, Some(last), value.into());
    }

    /// One counter or gauge of these labels.
    pub fn sample_of(&mut self, labels: &S::Labels, value: impl Into<Number>) {
        debug_assert_ne!(self.metric.kind, MetricKind::Histogram, "{}", self.metric.name);
        self.sink.number(self.metric, labels, None, value.into());
    }

    /// One sample for each value of the last label.
    pub fn samples_under(&mut self, labels: &S::Labels, values: &[&str], counts: &[u64]) {
        for (value, count) in values.iter().zip(counts) {
            self.sample_under(labels, value, *count);
        }
    }

    /// One histogram.
    pub fn histogram(&mut self, labels: &[&str], seen: &HistogramSnapshot) {
        debug_assert_eq!(self.metric.kind, MetricKind::Histogram, "{}", self.metric.name);
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let labels = self.sink.labels(self.metric.labels, labels);
        self.sink.histogram(self.metric, &labels, seen);
    }
}

/// Microseconds as seconds.
pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl From<u64> for Number {
    fn from(value: u64) -> Number {
        Number::Whole(value)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Number {
        Number::Whole(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Number {
        Number::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Number {
        Number::Whole(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number::Real(value)
    }
}
