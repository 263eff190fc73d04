//! One scrape of `/metrics`, by endpoints.

use divan::Bencher;
use standfast::admin::{Scrape, render};
use standfast::sys::process::Process;
use standfast::telemetry::lines::Counts;

#[path = "support/tables.rs"]
mod tables;

fn main() {
    divan::main();
}

#[divan::bench(args = [2, 200, 2000])]
fn scrape(bencher: Bencher, endpoints: usize) {
    let routes = "      - {service: s}\n";
    let table = tables::table(&tables::config(&tables::one_service("round_robin", endpoints, true), routes));
    let process = Process::now();
    bencher.bench_local(|| {
        render(&Scrape {
            table: &table,
            acknowledged: &[],
            tally: None,
            status: None,
            access_log: Counts::default(),
            log: Counts::default(),
            ready: true,
            process: &process,
        })
    });
}
