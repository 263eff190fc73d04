//! `config/metrics.md` is written from `telemetry::names`: it lists every metric, and nothing that does not exist.
//!
//! After a change: `UPDATE=1 cargo test --test admin manual`.

use std::fmt::Write;
use std::path::Path;

use standfast::telemetry::names::{MetricKind, SECTIONS};

const BEFORE: &str = "\
# Metrics

Every metric that Standfast exposes at `/metrics`, on the admin port (`admin.bind`) and, where it is configured, on a port
of its own (`metrics.bind`). Generated from `src/telemetry/names.rs`; `UPDATE=1 cargo test --test admin manual` writes it
again.

* Labels are bounded by the configuration: a service, pool, endpoint or listener that a reload removes takes its series
  along; nothing a client sends ever becomes a label.
* Counters begin at 0 with the process and go on over reloads.
* State sets (`state`, `pool`) have one series a state: 1 for the one that holds, 0 for the others.
* The text is made at each scrape; without a scraper it costs nothing and memory stays flat. Scrapers share one look at the
  engine, 0.25 s old at most.
* A scraper that sends `Accept-Encoding: gzip`, as Prometheus does, gets it compressed.
* For thousands of endpoints, `metrics: {detail: lean}` tells of each endpoint only `standfast_endpoint_standing` (the state that
  holds), `standfast_endpoint_tries_total` (`good`, and failures once there are any) and the connections in use. Its other metrics
  are summed up by pool: the same names without the label `endpoint`.
* A program that embeds Standfast can have all of it in a recorder of the crate `metrics`: `App::builder(…).recorder(…)`.

## Scraping

```yaml
# prometheus.yml
scrape_configs:
  - job_name: standfast
    scrape_interval: 5s
    static_configs:
      - targets: [127.0.0.1:9901]
```

Recording rules, alerts and dashboards made of these are in [`docker/`](../docker/README.md).
";

fn manual() -> String {
    let mut text = BEFORE.to_owned();
    for (section, metrics) in SECTIONS {
        let _ = write!(text, "\n## {section}\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
        for metric in *metrics {
            let unit = match metric.name.trim_end_matches("_total") {
                name if name.ends_with("_seconds") => "seconds",
                name if name.ends_with("_bytes") => "bytes",
                _ if metric.kind == MetricKind::Counter => "count",
                _ => "",
            };
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let help = metric.help.replace('|', "\\|");
            let kind = metric.kind.as_str();
            let _ = writeln!(text, "| `{}` | {kind} | {unit} | {} | {help} |", metric.name, labels.join(", "));
        }
    }
    text
}

#[test]
fn the_manual_lists_exactly_the_metrics_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, manual()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == manual(), "config/metrics.md is out of date: UPDATE=1 cargo test --test admin manual");
}
