//! Writes metrics in Prometheus' text format.
//!
//! Escaping and header lines are `metrics-exporter-prometheus`'.

use std::fmt::{Display, Write};

use metrics_exporter_prometheus::formatting::{sanitize_label_value, write_help_line, write_type_line};

use super::instruments::HistogramSnapshot;
use super::names::Metric;
use super::sink::{MetricSink, Number, seconds};

/// The media type of what [`Exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A scrape in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// The first labels of a sample, as they are written.
#[derive(Clone, Debug, Default)]
pub struct TextLabels {
    /// `{name="value",name="value"`, or nothing.
    text: String,
}

impl Exposition {
    /// Empty, with room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Exposition { text: String::with_capacity(bytes) }
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, name: (&str, &str), labels: &TextLabels, last: Option<(&str, &str)>, value: impl Display) {
        let text = &mut self.text;
        text.push_str(name.0);
        text.push_str(name.1);
        text.push_str(&labels.text);
        if let Some((name, value)) = last {
            put_label(text, labels.text.is_empty(), name, value);
        }
        let end = if labels.text.is_empty() && last.is_none() { "" } else { "}" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{end} {value}");
    }
}

impl MetricSink for Exposition {
    type Labels = TextLabels;

    fn labels(&self, names: &[&'static str], values: &[&str]) -> TextLabels {
        let start = TextLabels::default();
        names.iter().zip(values).fold(start, |labels, (name, value)| self.and_label(labels, name, value))
    }

    fn and_label(&self, mut labels: TextLabels, name: &'static str, value: &str) -> TextLabels {
        let first = labels.text.is_empty();
        put_label(&mut labels.text, first, name, value);
        labels
    }

    fn begin(&mut self, metric: &'static Metric) {
        write_help_line(&mut self.text, metric.name, None, None, metric.help);
        write_type_line(&mut self.text, metric.name, None, None, metric.kind.as_str());
    }

    fn number(&mut self, metric: &'static Metric, labels: &TextLabels, last: Option<&str>, value: Number) {
        let last = last.map(|value| (metric.last_label(), value));
        match value {
            Number::Whole(value) => self.line((metric.name, ""), labels, last, value),
            Number::Real(value) => self.line((metric.name, ""), labels, last, value),
        }
    }

    fn histogram(&mut self, metric: &'static Metric, labels: &TextLabels, seen: &HistogramSnapshot) {
        let bucket = (metric.name, "_bucket");
        for (bound, below) in &seen.buckets {
            self.line(bucket, labels, Some(("le", &seconds(*bound).to_string())), below);
        }
        self.line(bucket, labels, Some(("le", "+Inf")), seen.count);
        self.line((metric.name, "_sum"), labels, None, seconds(seen.sum_micros));
        self.line((metric.name, "_count"), labels, None, seen.count);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::instruments::Histogram;
    use crate::telemetry::names;
    use crate::telemetry::sink::Family;

    #[test]
    fn a_scrape_looks_as_prometheus_writes_it() {
        let mut out = Exposition::default();
        Family::begin(&mut out, &names::TABLE_EPOCH).sample(&[], 7_u64);
        let endpoint = out.labels(&["service", "pool", "endpoint"], &["a", "b", "c"]);
        Family::begin(&mut out, &names::ENDPOINT_STANDING).samples_under(&endpoint, &["up", "down"], &[0, 1]);
        let seen = Histogram::new(1, &[1_000, 2_500_000]);
        seen.record(0, Duration::from_millis(2));
        seen.record(0, Duration::from_secs(3));
        Family::begin(&mut out, &names::RECOVERY).histogram(&["sh\"op\n\\"], &seen.snapshot());
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
        let mut out = Exposition::default();
        let labels = out.labels(&["service", "pool", "endpoint"], &["a", "b", "c"]);
        let with_name = out.and_label(labels.clone(), "endpoint_name", "app-1");
        let mut family = Family::begin(&mut out, &names::ENDPOINT_STANDING);
        family.sample_under(&with_name, "up", 1_u64);
        family.sample_under(&labels, "up", 1_u64);
        let text = out.finish();
        let named = "\nstandfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",endpoint_name=\"app-1\",state=\"up\"} 1\n";
        let unnamed = "\nstandfast_endpoint_standing{service=\"a\",pool=\"b\",endpoint=\"c\",state=\"up\"} 1\n";
        assert!(text.contains(named) && text.contains(unnamed), "{text}");
    }
}
