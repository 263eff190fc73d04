//! Endpoint picks, and building tables.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use standfast::decision::Serving;
use standfast::routing::{Pick, PickRequest, PickScope, PickState, RoutingTable, SocketMap, TriedEndpoints};

#[path = "support/tables.rs"]
mod tables;
use tables::NOW;

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [2, 200, 2000];
const ROUTE: &str = "      - {service: s}\n";

fn pick(bencher: Bencher, balance: &str, endpoints: usize, tried: usize) {
    let table = tables::table(&tables::config(&tables::one_service(balance, endpoints, true), ROUTE));
    let service = &table.services[0];
    let mut state = PickState::new(fastrand::Rng::with_seed(1));
    let mut asked = TriedEndpoints::new();
    service.pools[0].endpoints.iter().take(tried).for_each(|endpoint| asked.add(endpoint.id, false));
    let mut hash = 0u64;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let want = PickRequest {
            now: NOW,
            safe: true,
            trial: true,
            hash,
            tried: &asked,
            avoided: &[],
            scope: PickScope::Serving,
            bold: false,
        };
        let pick = service.pick(black_box(&want), &mut state);
        debug_assert!(matches!(pick, Pick::Endpoint(_)));
        pick
    });
}

#[divan::bench(args = SIZES)]
fn round_robin(bencher: Bencher, endpoints: usize) {
    pick(bencher, "round_robin", endpoints, 0);
}

#[divan::bench(args = SIZES)]
fn least_request(bencher: Bencher, endpoints: usize) {
    pick(bencher, "least_request", endpoints, 0);
}

#[divan::bench(args = SIZES)]
fn random(bencher: Bencher, endpoints: usize) {
    pick(bencher, "random", endpoints, 0);
}

#[divan::bench(args = SIZES)]
fn hash(bencher: Bencher, endpoints: usize) {
    pick(bencher, "{hash: source}", endpoints, 0);
}

#[divan::bench(args = SIZES)]
fn second_try(bencher: Bencher, endpoints: usize) {
    pick(bencher, "round_robin", endpoints, 1);
}

/// The first table of a service with 10,000 endpoints.
#[divan::bench(args = ["round_robin", "least_request", "random", "{hash: source}"], sample_count = 20)]
fn build_10_000(bencher: Bencher, balance: &str) {
    let config = tables::config(&tables::one_service(balance, 10_000, true), ROUTE);
    let says = tables::decided(&config).table();
    bencher.bench_local(|| {
        RoutingTable::build(&config, &says, None, &SocketMap::new(), &std::sync::Arc::default(), 2, NOW)
    });
}

/// The table of a switch in a service with 10,000 endpoints: what stands between decision and publish.
#[divan::bench(args = ["round_robin", "least_request", "random", "{hash: source}"], sample_count = 50)]
fn switch_10_000(bencher: Bencher, balance: &str) {
    let config = tables::config(&tables::one_service(balance, 10_000, true), ROUTE);
    let mut says = tables::decided(&config).table();
    let before = RoutingTable::build(&config, &says, None, &SocketMap::new(), &std::sync::Arc::default(), 2, NOW);
    says.epoch += 1;
    says.services[0].serving = Serving::Active(1);
    bencher.bench_local(|| {
        RoutingTable::build(&config, &says, Some(&before), &SocketMap::new(), &std::sync::Arc::default(), 2, NOW)
    });
}

/// The table when one of 10,000 endpoints falls.
#[divan::bench(args = ["round_robin", "least_request", "random", "{hash: source}"], sample_count = 50)]
fn fall_of_one_of_10_000(bencher: Bencher, balance: &str) {
    let config = tables::config(&tables::one_service(balance, 10_000, true), ROUTE);
    let mut says = tables::decided(&config).table();
    let before = RoutingTable::build(&config, &says, None, &SocketMap::new(), &std::sync::Arc::default(), 2, NOW);
    says.epoch += 1;
    says.services[0].pools[0].endpoints[5_000].admission = standfast::decision::Admission::Closed;
    bencher.bench_local(|| {
        RoutingTable::build(&config, &says, Some(&before), &SocketMap::new(), &std::sync::Arc::default(), 2, NOW)
    });
}
