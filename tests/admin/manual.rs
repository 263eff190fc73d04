//! Files of `config/` that are written by the program: `metrics.md` from `telemetry::names`, `roles.md` from the table of rights and
//! the table of commands, `openapi.json` from the handlers. Each has everything there is, and nothing that does not exist.
//!
//! After a change: `UPDATE=1 cargo test --test admin manual`.

use std::fmt::Write;
use std::path::Path;

use standfast::access::{Right, Role};
use standfast::admin::{commands, openapi_document};
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

const ROLES: &str = "\
# Roles

What each role may do. Generated from `src/access/role.rs` and the commands of the API; `UPDATE=1 cargo test --test admin manual`
writes it again. Everything that is not here is denied.

* A role is given on services: by name, by the beginning of names (`shop-*`), or all of them (`*`). A credential may have several
  grants; each is looked at by itself.
* What concerns the instance, and not one service, needs the role on all services.
* Root and the user of the process itself have the role admin on the unix socket; others have the role of `admin.socket.role`.

How credentials are made: [Operate](guides/operate.md#who-may-ask). How commands are sent: [Commands](guides/acts.md).
";

fn roles() -> String {
    let row = |first: &str, right: Right| {
        let has = Role::ALL.map(|role| if role.has(right) { "yes" } else { "" });
        format!("| {first} | {} |\n", has.join(" | "))
    };
    let head = |first: &str| {
        let roles = Role::ALL.map(|role| format!("`{}`", role.as_str())).join(" | ");
        format!("| {first} | {roles} |\n|---|---|---|---|---|\n")
    };
    let rights: String = Right::all().map(|right| row(right.meaning(), right)).collect();
    let commands: String = commands().iter().map(|it| row(&format!("`{}`", it.word), it.right)).collect();
    format!("{ROLES}\n## Rights\n\n{}{rights}\n## Commands\n\n{}{commands}", head("may"), head("command"))
}

/// The file is as the program writes it; `UPDATE=1` writes it.
fn compare(name: &str, written_now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, written_now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == written_now, "config/{name} is out of date: UPDATE=1 cargo test --test admin manual");
}

#[test]
fn the_manual_lists_exactly_the_metrics_there_are() {
    compare("metrics.md", &manual());
}

#[test]
fn the_roles_are_those_of_the_program() {
    compare("roles.md", &roles());
}

#[test]
fn the_description_of_the_api_is_that_of_the_program() {
    compare("openapi.json", &openapi_document());
}
