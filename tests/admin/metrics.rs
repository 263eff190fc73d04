//! `/metrics` as a text: valid, complete, nothing in it that `names` does not know.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use standfast::admin::{MetricsWalk, render, walk};
use standfast::config::{Config, MetricsDetail, PoolMembers};
use standfast::control::ChangeTally;
use standfast::control::tally::ServiceTally;
use standfast::decision::*;
use standfast::routing::{BoundSocket, ListenerSockets, RoutingTable, SocketMap};
use standfast::sys::process::ProcessUsage;
use standfast::telemetry::instruments::{LATENCY, RECOVERY};
use standfast::telemetry::lines::LineCounts;
use standfast::telemetry::recorder::RecorderSink;
use standfast::time::MonoTime;

use crate::support::exposition::{Family, parse};
use crate::support::{self, known};

fn addresses(first: u16, count: u16) -> Vec<SocketAddr> {
    (first..first + count).map(|port| ([127, 0, 0, 1], port).into()).collect()
}

/// A table in which every service is served by its first pool and every endpoint is healthy.
fn table(config: Config, previous: Option<&RoutingTable>) -> RoutingTable {
    let mut next = 0;
    let standing = Standing {
        operational: Operational::Healthy,
        administrative: Administrative::Ready,
        cause: Cause::ChecksPassed,
    };
    let mut rows = Vec::new();
    for service in &config.services {
        let mut pools = Vec::new();
        for pool in &service.pools {
            let mut endpoints = Vec::new();
            for endpoint in pool.members.endpoints() {
                next += 1;
                endpoints.push(EndpointRow {
                    weight: None,
                    id: EndpointId(next),
                    address: endpoint.address,
                    standing,
                    admission: Admission::Open,
                    joined: None,
                    suspected: false,
                    proving: false,
                    fenced: false,
                });
            }
            let sessions = PoolSessions::default();
            pools.push(PoolRow { name: pool.name.clone(), available: true, sessions, endpoints });
        }
        rows.push(ServiceRow {
            name: service.name.clone(),
            serving: Serving::Active(0),
            awaiting_answer: None,
            isolated: false,
            pools,
        });
    }
    let conclusions = Table { epoch: previous.map_or(1, |table| table.epoch + 1), services: rows };
    let sockets: SocketMap = config
        .listeners
        .iter()
        .map(|l| (l.name.clone(), Arc::new(ListenerSockets::new(vec![Arc::new(BoundSocket::new(l.bind[0], vec![]))]))))
        .collect();
    RoutingTable::build(
        &Arc::new(config),
        &conclusions,
        previous,
        &sockets,
        &Arc::default(),
        2,
        MonoTime::from_micros(1),
    )
}

fn tally(config: &Config) -> ChangeTally {
    let services = config.services.iter().map(|service| (service.name.clone(), ServiceTally::default())).collect();
    let endpoints: usize =
        config.services.iter().flat_map(|s| &s.pools).map(|pool| pool.members.endpoints().len()).sum();
    let probes = (1..=endpoints as u32).map(|id| (EndpointId(id), Default::default())).collect();
    ChangeTally { services, probes, ..ChangeTally::default() }
}

fn scrape(table: &RoutingTable) -> String {
    with_scrape(table, &tally(&table.config), render)
}

/// What a walk reads of this table and these counts.
fn with_scrape<T>(table: &RoutingTable, tally: &ChangeTally, read: impl FnOnce(&MetricsWalk<'_>) -> T) -> T {
    read(&MetricsWalk {
        table,
        acknowledged: &[1, 1],
        tally: Some(tally),
        status: None,
        access_log: LineCounts { written: 3, dropped: 2, failed: 1 },
        log: LineCounts::default(),
        ready: true,
        process: &ProcessUsage::now(),
    })
}

#[test]
fn a_scrape_is_valid_and_holds_exactly_the_documented_metrics() {
    let table = table(support::config(&[("shop", &addresses(1, 2), &addresses(3, 2))]), None);
    table.services[0].stats.count_response(1, Some(204));
    table.services[0].stats.latency.record(0, Duration::from_millis(3));
    table.services[0].pools[0].endpoints[1].stats.record_good(0, false);
    table.listeners[0].stats.count_refusal(1, standfast::wire::h1::Error::BareLf);
    let text = scrape(&table);
    let families = parse(&text);
    known(&families);
    let shop = ("service", "shop");
    assert_eq!(families["standfast_requests_total"].value(&[shop, ("code", "2xx")]), 1.0);
    assert_eq!(families["standfast_request_duration_seconds"].value(&[shop, ("le", "0.005")]), 1.0);
    assert_eq!(families["standfast_pool_active"].value(&[shop, ("pool", "active")]), 1.0);
    assert_eq!(families["standfast_pool_active"].value(&[shop, ("pool", "sorry")]), 0.0);
    let tries = &families["standfast_endpoint_tries_total"];
    assert_eq!(tries.value(&[shop, ("endpoint", "127.0.0.1:2"), ("outcome", "good")]), 1.0);
    let standing = &families["standfast_endpoint_standing"];
    assert_eq!(standing.value(&[("endpoint", "127.0.0.1:4"), ("state", "healthy")]), 1.0);
    assert_eq!(standing.value(&[("endpoint", "127.0.0.1:4"), ("state", "ejected")]), 0.0);
    let refusals = &families["standfast_protocol_refusals_total"];
    assert_eq!(refusals.value(&[("listener", "web"), ("reason", "bare_lf")]), 1.0);
    assert_eq!(families["standfast_access_log_records_total"].value(&[("result", "dropped")]), 2.0);
    promtool(&text);
}

/// The reference's own judgement, where it is installed.
fn promtool(text: &str) {
    let tool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        eprintln!("SKIPPED: promtool is not installed; only our own strict reader has judged this scrape");
        return;
    };
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    assert!(said.status.success() && said.stdout.is_empty(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn hostile_names_stay_inside_their_label() {
    let table = table(support::config(&[("a\"} 1\n# \\x", &addresses(1, 1), &addresses(2, 1))]), None);
    let families = parse(&scrape(&table));
    assert_eq!(families["standfast_service_up"].value(&[("service", "a\"} 1\n# \\x")]), 1.0);
}

#[test]
fn series_of_what_is_gone_are_gone_and_the_rest_goes_on_counting() {
    let both =
        support::config(&[("shop", &addresses(1, 2), &addresses(3, 1)), ("blog", &addresses(5, 1), &addresses(6, 1))]);
    let mut one = support::config(&[("shop", &addresses(1, 2), &addresses(3, 1))]);
    let before = table(both, None);
    before.services[0].stats.count_response(0, Some(200));
    if let Some(PoolMembers::Endpoints(list)) =
        Arc::get_mut(&mut one.services[0]).map(|service| &mut service.pools[0].members)
    {
        list.truncate(1);
    }
    let after = table(one, Some(&before));
    let text = scrape(&after);
    assert!(!text.contains("blog") && !text.contains("127.0.0.1:2\""), "{text}");
    assert_eq!(parse(&text)["standfast_requests_total"].value(&[("service", "shop"), ("code", "2xx")]), 1.0);
}

#[test]
fn an_engine_that_does_not_answer_costs_only_its_own_metrics() {
    let table = table(support::config(&[("shop", &addresses(1, 1), &addresses(2, 1))]), None);
    let text = render(&MetricsWalk {
        table: &table,
        acknowledged: &[],
        tally: None,
        status: None,
        access_log: LineCounts::default(),
        log: LineCounts::default(),
        ready: false,
        process: &ProcessUsage::now(),
    });
    assert_eq!(parse(&text)["standfast_service_up"].value(&[("service", "shop")]), 1.0);
    promtool(&text);
}

#[test]
fn two_thousand_endpoints_are_all_told() {
    let table = table(support::config(&[("shop", &addresses(1, 1_000), &addresses(2_001, 1_000))]), None);
    let text = scrape(&table);
    for endpoint in [addresses(1, 1_000), addresses(2_001, 1_000)].concat() {
        let label = format!("endpoint=\"{endpoint}\"");
        assert!(text.contains(&label), "{label} is not told");
    }
}

#[test]
fn lean_tells_of_each_endpoint_what_it_does_and_sums_up_the_rest_by_pool() {
    let config = || support::config(&[("shop", &addresses(1, 3), &addresses(4, 1))]);
    let table = table(Config { metrics_detail: MetricsDetail::Lean, ..config() }, None);
    let stats = |index: usize| table.services[0].pools[0].endpoints[index].stats.clone();
    for index in 0..2 {
        stats(index).record_good(0, false);
    }
    let text = scrape(&table);
    let families = parse(&text);
    let of = |name: &str, labels: &[(&str, &str)]| families[name].value(&[&[("pool", "active")], labels].concat());
    let first = ("endpoint", "127.0.0.1:1");
    assert_eq!(of("standfast_endpoint_standing", &[first]), 1.0, "the state that holds alone");
    assert_eq!(of("standfast_endpoint_tries_total", &[first, ("outcome", "good")]), 1.0);
    assert_eq!(of("standfast_endpoint_connections", &[first]), 0.0, "those in use");
    assert_eq!(of("standfast_endpoint_connections", &[("state", "idle")]), 0.0);
    assert_eq!(of("standfast_endpoint_administrative", &[("state", "ready")]), 3.0);
    assert_eq!(of("standfast_endpoint_suspected", &[]), 0.0);
    assert_eq!(of("standfast_probes_total", &[("outcome", "pass")]), 0.0);
    let each = text.lines().filter(|line| line.contains("127.0.0.1:1\"")).count();
    assert_eq!(each, 3, "series of an endpoint that did nothing wrong:\n{text}");
    assert_eq!(
        families.keys().collect::<Vec<_>>(),
        parse(&scrape(&self::table(config(), None))).keys().collect::<Vec<_>>(),
        "no metric is missing"
    );
    promtool(&text);
}

type Samples = Vec<(Vec<(String, String)>, f64)>;

/// Samples by name, labels in order; metrics without samples are left out.
fn samples(families: BTreeMap<String, Family>) -> BTreeMap<String, (String, Samples)> {
    let sorted = |family: Family| {
        let mut samples = family.samples;
        samples.iter_mut().for_each(|(labels, _)| labels.sort());
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        (family.kind, samples)
    };
    let has_samples = families.into_iter().filter(|(_, family)| !family.samples.is_empty());
    has_samples.map(|(name, family)| (name, sorted(family))).collect()
}

/// What the facade cannot carry over: the sum of a histogram, beyond what its buckets say; parts of a second in a counter. (And
/// what belongs to the process is another number at each walk.)
fn is_close(name: &str, kind: &str, labels: &[(String, String)], ours: f64, theirs: f64) -> bool {
    match kind {
        "histogram" if labels.iter().any(|(_, value)| value == "_sum") => (ours - theirs).abs() <= ours * 1e-3,
        "counter" if name.ends_with("_seconds_total") => ours.floor() == theirs || name.starts_with("process_"),
        _ => ours == theirs || name.starts_with("process_"),
    }
}

#[test]
fn a_recorder_of_the_facade_is_told_what_the_text_says() {
    let bounds = |micros: &[u64]| micros.iter().map(|bound| *bound as f64 / 1e6).collect::<Vec<_>>();
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".into()), &bounds(&LATENCY))
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_recovery_seconds".into()), &bounds(&RECOVERY))
        })
        .unwrap()
        .build_recorder();
    let handle = recorder.handle();
    let mut sink = RecorderSink::new(recorder);
    let mut config = support::config(&[("a\"} 1\n# \\x", &addresses(1, 2), &addresses(3, 2))]);
    if let Some(PoolMembers::Endpoints(list)) =
        Arc::get_mut(&mut config.services[0]).map(|service| &mut service.pools[0].members)
    {
        list[0].name = Some("app-1".into());
    }
    let table = table(config, None);
    let (service, tally) = (&table.services[0].stats, tally(&table.config));
    for walk_number in 1..=3 {
        service.count_response(1, Some(204));
        table.services[0].pools[0].endpoints[1].stats.record_good(0, false);
        for micros in [300, 4_000, 70_000, 900_000 * walk_number] {
            service.latency.record(0, Duration::from_micros(micros));
            tally.services[0].1.recovery.record(0, Duration::from_micros(micros));
        }
        with_scrape(&table, &tally, |scrape| walk(scrape, &mut sink));
        sink.end_walk();
    }
    let theirs: String =
        handle.render().lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    let (ours, theirs) = (parse(&with_scrape(&table, &tally, render)), parse(&theirs));
    for (name, family) in &theirs {
        assert_eq!(family.help, ours[name].help);
    }
    let (ours, theirs) = (samples(ours), samples(theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for ((name, (kind, ours)), (their_kind, theirs)) in ours.iter().zip(theirs.values()) {
        assert_eq!((kind, ours.len()), (their_kind, theirs.len()), "{name}");
        for ((labels, ours), (their_labels, theirs)) in ours.iter().zip(theirs) {
            assert_eq!(labels, their_labels, "{name}");
            assert!(is_close(name, kind, labels, *ours, *theirs), "{name} {labels:?}: {ours} {theirs}");
        }
    }
}
