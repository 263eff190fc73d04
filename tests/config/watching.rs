//! What docker/ brings for Prometheus and Grafana asks for metrics that exist, with labels that they have, and leaves none out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use standfast::telemetry::names::{MetricKind, SECTIONS};

const DASHBOARDS: [&str; 3] = ["overview", "service", "incidents"];
/// What Prometheus adds to every series.
const ADDED: [&str; 2] = ["job", "instance"];

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(docker().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules() -> Vec<serde_yaml::Value> {
    let files = ["prometheus/rules/recording.yml", "prometheus/rules/alerts.yml"];
    let groups = files.iter().flat_map(|file| {
        let file: serde_yaml::Value = serde_yaml::from_str(&read(file)).unwrap();
        file["groups"].as_sequence().unwrap().clone()
    });
    groups.flat_map(|group| group["rules"].as_sequence().unwrap().clone()).collect()
}

fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("grafana/dashboards/{name}.json"))).unwrap()
}

/// Every query of a dashboard: of its panels, annotations and variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(panel["type"] == "row" || !targets.is_empty(), "{}", panel["title"]);
        found.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    found.extend(annotations.iter().map(|annotation| annotation["expr"].as_str().unwrap().to_owned()));
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().filter(|v| v["type"] == "query");
    found.extend(variables.map(|variable| variable["definition"].as_str().unwrap().to_owned()));
    found
}

/// Every series that can be asked for, with its labels.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut known = BTreeMap::new();
    for metric in SECTIONS.iter().flat_map(|(_, metrics)| metrics.iter()) {
        let labels: BTreeSet<String> = metric.labels.iter().chain(&ADDED).map(|label| (*label).to_owned()).collect();
        if metric.kind == MetricKind::Histogram {
            for suffix in ["_sum", "_count"] {
                known.insert(format!("{}{suffix}", metric.name), labels.clone());
            }
            let buckets = labels.iter().cloned().chain(["le".to_owned()]).collect();
            known.insert(format!("{}_bucket", metric.name), buckets);
        } else {
            known.insert(metric.name.to_owned(), labels);
        }
    }
    let all: BTreeSet<String> = known.values().flatten().cloned().collect();
    for rule in rules().iter().filter_map(|rule| rule["record"].as_str()) {
        known.insert(rule.to_owned(), ["job", "instance", "service"].map(str::to_owned).into());
    }
    known.insert("up".to_owned(), ADDED.map(str::to_owned).into());
    known.insert("ALERTS".to_owned(), all.into_iter().chain(["alertname", "alertstate"].map(str::to_owned)).collect());
    known
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(move |c| !part(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// The series that a query asks for; panics when one of them, or one of their labels, does not exist.
fn asked(query: &str, known: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, word) in words(query) {
        let ours = ["standfast_", "process_", "service:"].iter().any(|prefix| word.starts_with(prefix));
        let Some(labels) = known.get(word) else {
            assert!(!ours, "{word} does not exist: {query}");
            continue;
        };
        found.insert(word.to_owned());
        let Some(selector) = query[at + word.len()..].strip_prefix('{') else { continue };
        for matcher in selector[..selector.find('}').unwrap()].split(',') {
            let label = matcher.split(['=', '!']).next().unwrap().trim();
            assert!(labels.contains(label), "{word} has no label {label}: {query}");
        }
    }
    let labels: BTreeSet<&String> = found.iter().flat_map(|name| &known[name]).collect();
    for start in ["by (", "on (", "group_right (", "group_left ("] {
        for list in query.split(start).skip(1) {
            for (_, label) in words(&list[..list.find(')').unwrap()]) {
                assert!(labels.contains(&label.to_owned()), "nothing has the label {label}: {query}");
            }
        }
    }
    found
}

#[test]
fn rules_and_dashboards_ask_for_what_exists_and_leave_no_metric_out() {
    let known = series();
    let rules: Vec<String> = rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    assert!(rules.len() >= 25, "{rules:?}");
    let mut seen: BTreeSet<String> = rules.iter().flat_map(|rule| asked(rule, &known)).collect();
    for name in DASHBOARDS {
        let queries = queries(&dashboard(name));
        assert!(queries.len() >= 15, "{name}: {queries:?}");
        seen.extend(queries.iter().flat_map(|query| asked(query, &known)));
    }
    let metrics = SECTIONS.iter().flat_map(|(_, metrics)| metrics.iter());
    let left_out: Vec<&str> =
        metrics.map(|metric| metric.name).filter(|name| !seen.iter().any(|asked| asked.starts_with(name))).collect();
    assert!(left_out.is_empty(), "on no dashboard and in no rule: {left_out:?}");
}

#[test]
fn a_query_for_what_does_not_exist_is_found_out() {
    let known = series();
    for wrong in [
        "standfast_servce_up == 0",
        "standfast_service_up{pool=\"a\"}",
        "sum by (pool) (standfast_service_up)",
        "standfast_request_duration_seconds",
        "service:standfast_nothing:rate1m",
    ] {
        assert!(std::panic::catch_unwind(|| asked(wrong, &known)).is_err(), "{wrong}");
    }
}

#[test]
fn dashboards_can_be_laid_out_and_told_apart() {
    let mut names = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert!(names.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{name}");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: ids");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{name}: {} lies on another panel", panel["title"]);
                }
            }
            assert!(
                panel["type"] == "row" || panel["datasource"]["uid"] == "${datasource}",
                "{name}: {}",
                panel["title"]
            );
        }
    }
}

#[test]
fn dashboards_are_what_their_list_of_panels_says() {
    tool("python3", &["grafana/make_dashboards.py", "--check"]);
}

#[test]
fn prometheus_takes_the_rules_and_they_pass_their_tests() {
    tool("promtool", &["check", "config", "prometheus/prometheus.yml"]);
    tool("promtool", &["check", "rules", "prometheus/rules/recording.yml", "prometheus/rules/alerts.yml"]);
    for story in ["services", "instance", "certificates"] {
        tool("promtool", &["test", "rules", &format!("prometheus/tests/{story}.yml")]);
    }
}

/// Prometheus reads each query of the dashboards, as an expression of a rule.
#[test]
fn prometheus_takes_the_queries_of_the_dashboards() {
    let rules = DASHBOARDS.iter().flat_map(|name| queries(&dashboard(name)));
    let rules = rules.filter(|query| !query.starts_with("label_values(")).map(|query| {
        let times = [("$__rate_interval", "1m"), ("$__interval", "1m"), ("$__range", "1h")];
        let expr = times.iter().fold(query, |query, (name, time)| query.replace(name, time));
        serde_json::json!({"record": "a:query:of_a_dashboard", "expr": expr, "labels": {"n": "1"}})
    });
    // One group each, so that the same query may stand on two dashboards.
    let groups = rules.enumerate().map(|(n, rule)| serde_json::json!({"name": n.to_string(), "rules": [rule]}));
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = serde_json::json!({"groups": groups.collect::<Vec<_>>()}).to_string();
    std::fs::write(file.path(), text).unwrap();
    tool("promtool", &["check", "rules", "--lint=none", file.path().to_str().unwrap()]);
}

#[test]
fn every_alert_has_a_story() {
    let stories: String =
        ["services", "instance", "certificates"].map(|name| read(&format!("prometheus/tests/{name}.yml"))).concat();
    for alert in rules().iter().filter_map(|rule| rule["alert"].as_str()) {
        assert!(stories.contains(&format!("alertname: {alert}\n        exp_alerts:")), "{alert} never fires in a test");
    }
}

/// The sections of the guide that `runbook_url` leads to, by their anchors, with their text.
fn runbooks() -> BTreeMap<String, String> {
    let guide = std::fs::read_to_string(docker().join("../config/guides/alerts.md")).expect("the guide");
    let sections =
        guide.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a heading and its text"));
    sections.map(|(heading, text)| (heading.to_lowercase(), text.to_owned())).collect()
}

#[test]
fn every_alert_leads_to_its_section_of_the_guide_and_no_section_is_left_over() {
    let mut sections = runbooks();
    for rule in rules().iter().filter(|rule| !rule["alert"].is_null()) {
        let alert = rule["alert"].as_str().unwrap();
        let url = rule["annotations"]["runbook_url"].as_str().unwrap_or_else(|| panic!("{alert} has no runbook_url"));
        let anchor = alert.to_lowercase();
        assert_eq!(url, format!("config/guides/alerts.md#{anchor}"), "{alert}");
        let text = sections.remove(&anchor).unwrap_or_else(|| panic!("{alert} has no section"));
        for part in ["**Means:**", "**Users see:**", "**Look first", "**Ends by itself:**", "```sh"] {
            assert!(text.contains(part), "{alert} without {part}");
        }
    }
    assert!(sections.is_empty(), "of no alert: {:?}", sections.keys());
}

/// The queries of the guide ask for what exists.
#[test]
fn the_guide_asks_for_what_exists() {
    let known = series();
    let mut count = 0;
    for (section, text) in runbooks() {
        for block in text.split("```promql\n").skip(1) {
            for query in block.split("```").next().unwrap().lines() {
                assert!(!asked(query, &known).is_empty(), "{section}: {query}");
                count += 1;
            }
        }
        for link in text.split("](#").skip(1) {
            let anchor = link.split(')').next().unwrap();
            assert!(runbooks().contains_key(anchor), "{section}: #{anchor}");
        }
    }
    assert!(count >= 20, "{count} queries");
}

/// The judgement of a tool, where it is installed.
fn tool(program: &str, arguments: &[&str]) {
    match Command::new(program).args(arguments).current_dir(docker()).output() {
        Ok(said) => assert!(
            said.status.success(),
            "{program} {arguments:?}\n{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        ),
        Err(_) => eprintln!("SKIPPED: {program} is not installed"),
    }
}
