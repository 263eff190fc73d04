//! One scrape of `/metrics` by endpoints: its bytes (plain, compressed, lean), and the time to make it.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use standfast::admin::{MetricsWalk, gzip, render, walk};
use standfast::config::MetricsDetail;
use standfast::routing::RoutingTable;
use standfast::sys::process::ProcessUsage;
use standfast::telemetry::lines::LineCounts;
use standfast::telemetry::recorder::RecorderSink;

#[path = "support/tables.rs"]
mod tables;

const ENDPOINTS: [usize; 3] = [100, 2_000, 10_000];

fn main() {
    println!("| endpoints | plain | gzip | lean | lean, gzip |\n|---|---|---|---|---|");
    for endpoints in ENDPOINTS {
        let bytes = [MetricsDetail::Full, MetricsDetail::Lean].map(|detail| {
            let text = render_table(&table(endpoints, detail));
            (text.len(), compressed(&text).len())
        });
        let [(plain, gzip), (lean, lean_gzip)] = bytes;
        println!("| {endpoints} | {plain} | {gzip} | {lean} | {lean_gzip} |");
    }
    divan::main();
}

fn table(endpoints: usize, detail: MetricsDetail) -> RoutingTable {
    let routes = "      - {service: s}\n";
    let mut config = tables::config(&tables::one_service("round_robin", endpoints, true), routes);
    Arc::make_mut(&mut config).metrics_detail = detail;
    tables::table(&config)
}

fn with_scrape<T>(table: &RoutingTable, read: impl FnOnce(&MetricsWalk<'_>) -> T) -> T {
    read(&MetricsWalk {
        table,
        acknowledged: &[],
        tally: None,
        status: None,
        access_log: LineCounts::default(),
        log: LineCounts::default(),
        ready: true,
        process: &ProcessUsage::now(),
    })
}

fn render_table(table: &RoutingTable) -> String {
    with_scrape(table, render)
}

fn compressed(text: &str) -> Vec<u8> {
    gzip(text.as_bytes()).expect("memory")
}

#[divan::bench(args = ENDPOINTS)]
fn full(bencher: Bencher, endpoints: usize) {
    let table = table(endpoints, MetricsDetail::Full);
    bencher.bench_local(|| render_table(&table));
}

#[divan::bench(args = ENDPOINTS)]
fn lean(bencher: Bencher, endpoints: usize) {
    let table = table(endpoints, MetricsDetail::Lean);
    bencher.bench_local(|| render_table(&table));
}

/// Compressing alone.
#[divan::bench(args = ENDPOINTS)]
fn full_gzip(bencher: Bencher, endpoints: usize) {
    let text = render_table(&table(endpoints, MetricsDetail::Full));
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| compressed(&text));
}

/// Compressing alone.
#[divan::bench(args = ENDPOINTS)]
fn lean_gzip(bencher: Bencher, endpoints: usize) {
    let text = render_table(&table(endpoints, MetricsDetail::Lean));
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| compressed(&text));
}

/// The second walk into a recorder of the `metrics` facade, which knows every series by then.
#[divan::bench(args = ENDPOINTS)]
fn recorder(bencher: Bencher, endpoints: usize) {
    let table = table(endpoints, MetricsDetail::Full);
    let mut sink = RecorderSink::new(metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder());
    let mut walk = || {
        with_scrape(&table, |scrape| walk(scrape, &mut sink));
        sink.end_walk();
    };
    walk();
    bencher.bench_local(walk);
}
