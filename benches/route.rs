//! Finding a route: the cost must not depend on how many there are.

use std::fmt::Write;

use divan::{Bencher, black_box};
use standfast::routing::{ListenerTarget, RouteQuery, RoutingTable};

#[path = "support/tables.rs"]
mod tables;

fn main() {
    divan::main();
}

const COUNTS: [usize; 3] = [1, 100, 10_000];

fn routed(routes: &str) -> RoutingTable {
    tables::table(&tables::config(&tables::one_service("round_robin", 1, false), routes))
}

fn find(bencher: Bencher, routes: &str, host: &str, path: &str, hits: bool) {
    let (host, path) = (host.as_bytes(), path.as_bytes());
    let table = routed(routes);
    let ListenerTarget::Routes(matcher) = &table.listeners[0].target else { return };
    let headers = |_: &str, _: Option<&str>| false;
    assert_eq!(matcher.find(&RouteQuery { host, path, method: b"GET", headers: &headers }).is_some(), hits);
    bencher.bench_local(|| {
        let asked = RouteQuery { host: black_box(host), path: black_box(path), method: b"GET", headers: &headers };
        matcher.find(&asked).map(|route| route.service)
    });
}

fn routes(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "      - {{match: {}, service: s}}", one(n));
        text
    })
}

#[divan::bench(args = COUNTS)]
fn exact_hosts(bencher: Bencher, count: usize) {
    let routes = routes(count, |n| format!("{{host: shop-{n}.example.com, path_prefix: /api}}"));
    find(bencher, &routes, "shop-0.example.com", "/api/v1/orders/17", true);
}

#[divan::bench(args = COUNTS)]
fn wildcard_hosts(bencher: Bencher, count: usize) {
    let routes = routes(count, |n| format!("{{host: '*.shop-{n}.example.com'}}"));
    find(bencher, &routes, "www.shop-0.example.com", "/", true);
}

#[divan::bench(args = COUNTS)]
fn prefixes_of_one_host(bencher: Bencher, count: usize) {
    let routes = routes(count, |n| format!("{{host: api.example.com, path_prefix: /v1/tenants/t{n}}}"));
    find(bencher, &routes, "api.example.com", "/v1/tenants/t0/orders/17", true);
}

#[divan::bench(args = COUNTS)]
fn nothing_found(bencher: Bencher, count: usize) {
    let routes = routes(count, |n| format!("{{host: shop-{n}.example.com, path_prefix: /api}}"));
    find(bencher, &routes, "elsewhere.example.org", "/api/v1/orders/17", false);
}
