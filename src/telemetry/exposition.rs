//! Writes metrics in Prometheus' text format, and makes it hard to write it wrongly: a family has one header, its
//! samples give a value for each label it names.
//!
//! Formatting is `metrics-exporter-prometheus`'; its recorder and the `metrics` facade are not used: a registry looks labels up
//! on the way of a request, keeps series of endpoints that are gone, and keeps histogram samples until somebody scrapes. Ours
//! are plain atomics beside the routing table, read when somebody asks.

use std::fmt::{Display, Write};

use metrics_exporter_prometheus::formatting::{sanitize_label_value, write_help_line, write_type_line};

use super::instruments::HistogramSnapshot;
use super::names::{Kind, Metric};

/// The media type of what [`Exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A scrape in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Empty, with room for the last scrape's size.
    pub fn with_capacity(bytes: usize) -> Self {
        Exposition { text: String::with_capacity(bytes) }
    }

    /// Begin a metric: writes its header. Each metric is begun once.
    pub fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        write_help_line(&mut self.text, metric.name, None, None, metric.help);
        write_type_line(&mut self.text, metric.name, None, None, metric.kind.as_str());
        Family { text: &mut self.text, metric }
    }

    /// A metric without labels.
    pub fn single(&mut self, metric: &'static Metric, value: impl Display) {
        self.family(metric).sample(&[], value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// The first labels of a sample, written down once for all the samples that begin with them.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// `{name="value",name="value"`, or nothing.
    text: String,
    count: usize,
}

impl Labels {
    /// These names with these values.
    pub fn new(names: &[&str], values: &[&str]) -> Labels {
        debug_assert_eq!(names.len(), values.len(), "{names:?} {values:?}");
        let mut labels = Labels::default();
        for (name, value) in names.iter().zip(values) {
            put_label(&mut labels.text, labels.count == 0, name, value);
            labels.count += 1;
        }
        labels
    }

    /// With one label more that only some of the metric's samples have, and whose value does not tell them apart.
    pub fn and(mut self, name: &str, value: &str) -> Labels {
        put_label(&mut self.text, self.count == 0, name, value);
        self
    }
}

fn put_label(text: &mut String, first: bool, name: &str, value: &str) {
    text.push(if first { '{' } else { ',' });
    text.push_str(name);
    text.push_str("=\"");
    match memchr::memchr3(b'\\', b'"', b'\n', value.as_bytes()) {
        Some(_) => text.push_str(&sanitize_label_value(value)),
        None => text.push_str(value),
    }
    text.push('"');
}

/// One metric's samples in the making.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    metric: &'static Metric,
}

impl Family<'_> {
    /// One counter or gauge. `labels` are the values of the metric's labels, in its order.
    pub fn sample(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_ne!(self.metric.kind, Kind::Histogram, "{}", self.metric.name);
        self.line("", &Labels::new(self.metric.labels, labels), "", value);
    }

    /// One counter or gauge of a set that differs in the metric's last label only.
    pub fn sample_under(&mut self, labels: &Labels, last: &str, value: impl Display) {
        debug_assert_eq!(labels.count + 1, self.metric.labels.len(), "{}", self.metric.name);
        let text = &mut *self.text;
        text.push_str(self.metric.name);
        text.push_str(&labels.text);
        put_label(text, labels.count == 0, self.metric.labels.last().unwrap_or(&""), last);
        put_value(text, "}", value);
    }

    /// One counter or gauge of these labels.
    pub fn sample_of(&mut self, labels: &Labels, value: impl Display) {
        self.line("", labels, "", value);
    }

    /// A 1 for the one state of `states` that holds and a 0 for the others; the state is the last label.
    pub fn state_set(&mut self, labels: &Labels, states: &[&str], holds: &str) {
        for state in states {
            self.sample_under(labels, state, u8::from(*state == holds));
        }
    }

    /// One histogram.
    pub fn histogram(&mut self, labels: &[&str], seen: &HistogramSnapshot) {
        debug_assert_eq!(self.metric.kind, Kind::Histogram, "{}", self.metric.name);
        let labels = Labels::new(self.metric.labels, labels);
        for (bound, below) in &seen.buckets {
            self.line("_bucket", &labels, &seconds(*bound).to_string(), below);
        }
        self.line("_bucket", &labels, "+Inf", seen.count);
        self.line("_sum", &labels, "", seconds(seen.sum_micros));
        self.line("_count", &labels, "", seen.count);
    }

    fn line(&mut self, suffix: &str, labels: &Labels, bound: &str, value: impl Display) {
        let text = &mut *self.text;
        text.push_str(self.metric.name);
        text.push_str(suffix);
        text.push_str(&labels.text);
        if !bound.is_empty() {
            put_label(text, labels.count == 0, "le", bound);
        }
        put_value(text, if labels.count == 0 && bound.is_empty() { "" } else { "}" }, value);
    }
}

fn put_value(text: &mut String, end: &str, value: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{end} {value}");
}

/// Microseconds as seconds.
pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::instruments::Histogram;
    use crate::telemetry::names;

    #[test]
    fn a_scrape_looks_as_prometheus_writes_it() {
        let mut out = Exposition::default();
        out.single(&names::TABLE_EPOCH, 7);
        let endpoint = Labels::new(&["service", "pool", "endpoint"], &["a", "b", "c"]);
        out.family(&names::ENDPOINT_STANDING).state_set(&endpoint, &["up", "down"], "down");
        let seen = Histogram::new(1, &[1_000, 2_500_000]);
        seen.record(0, Duration::from_millis(2));
        seen.record(0, Duration::from_secs(3));
        out.family(&names::RECOVERY).histogram(&["sh\"op\n\\"], &seen.snapshot());
        let help =
            |metric: &Metric| format!("# HELP {} {}\n# TYPE {0} {}\n", metric.name, metric.help, metric.kind.as_str());
        let expected = help(&names::TABLE_EPOCH)
            + "standfast_table_epoch 7\n"
            + &help(&names::ENDPOINT_STANDING)
            + "standfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",state=\"up\"} 0\n"
            + "standfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",state=\"down\"} 1\n"
            + &help(&names::RECOVERY)
            + "standfast_recovery_seconds_bucket{service=\"sh\\\"op\\n\\\\\",le=\"0.001\"} 0\n"
            + "standfast_recovery_seconds_bucket{service=\"sh\\\"op\\n\\\\\",le=\"2.5\"} 1\n"
            + "standfast_recovery_seconds_bucket{service=\"sh\\\"op\\n\\\\\",le=\"+Inf\"} 2\n"
            + "standfast_recovery_seconds_sum{service=\"sh\\\"op\\n\\\\\"} 3.002\n"
            + "standfast_recovery_seconds_count{service=\"sh\\\"op\\n\\\\\"} 2\n";
        assert_eq!(out.finish(), expected);
    }

    #[test]
    fn one_label_more_changes_nothing_for_the_others() {
        let labels = Labels::new(&["service", "pool", "endpoint"], &["a", "b", "c"]);
        let mut out = Exposition::default();
        let mut family = out.family(&names::ENDPOINT_STANDING);
        family.sample_under(&labels.clone().and("endpoint_name", "app-1"), "up", 1);
        family.sample_under(&labels, "up", 1);
        let text = out.finish();
        let named = "\nstandfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",endpoint_name=\"app-1\",state=\"up\"} 1\n";
        let unnamed = "\nstandfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",state=\"up\"} 1\n";
        assert!(text.contains(named) && text.contains(unnamed), "{text}");
    }
}
