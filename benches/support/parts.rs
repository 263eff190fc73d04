//! The parts whose instructions are counted. Each repeats one thing so often that its preparation does not matter.

use std::hint::black_box;
use std::time::Duration;

use standfast::decision::{Decision, Digest, EndpointId, Event, ProbeOutcome};
use standfast::routing::{
    DigestCursor, ListenerTarget, Pick, PickRequest, PickScope, PickState, RouteQuery, RoutingTable, SocketMap,
    TriedEndpoints,
};
use standfast::time::MonoTime;

use crate::messages::{BROWSER, Exchange, SMALL};
use crate::support::traffic::{Size, Speech, Traffic};
use crate::tables::{self, NOW};

type Part = (&'static str, fn(u64));

const ROUTE: &str = "      - {service: s}\n";

/// Of the codec, of a table, and of the core: some thousands of instructions each.
const SMALL_PARTS: &[Part] = &[
    ("codec/parse_request", |times| {
        let mut work = Exchange::new();
        (0..times).for_each(|_| work.parse_request(black_box(SMALL)));
    }),
    ("codec/parse_request_of_a_browser", |times| {
        let mut work = Exchange::new();
        (0..times).for_each(|_| work.parse_request(black_box(BROWSER)));
    }),
    ("codec/parse_reply", |times| {
        let mut work = Exchange::new();
        (0..times).for_each(|_| black_box(&mut work).parse_reply());
    }),
    ("codec/encode_request", |times| {
        let mut work = Exchange::new();
        work.parse_request(BROWSER);
        (0..times).for_each(|_| _ = black_box(work.encode_request()));
    }),
    ("codec/encode_reply", |times| {
        let mut work = Exchange::new();
        work.parse_request(SMALL);
        work.parse_reply();
        (0..times).for_each(|_| _ = black_box(work.encode_reply()));
    }),
    ("route/1", |times| route(1, times)),
    ("route/100", |times| route(100, times)),
    ("route/10000", |times| route(10_000, times)),
    ("pick/round_robin/2", |times| pick("round_robin", 2, times)),
    ("pick/round_robin/2000", |times| pick("round_robin", 2000, times)),
    ("pick/least_request/2", |times| pick("least_request", 2, times)),
    ("pick/least_request/2000", |times| pick("least_request", 2000, times)),
    ("pick/hash/2", |times| pick("{hash: source}", 2, times)),
    ("pick/hash/2000", |times| pick("{hash: source}", 2000, times)),
    ("sweep/a_quiet_endpoint", sweep),
    ("decision/probe/2", |times| probes(2, times)),
    ("decision/probe/2000", |times| probes(2000, times)),
    ("decision/digest/2", |times| digests(2, times)),
    ("decision/digest/2000", |times| digests(2000, times)),
];

/// Hundreds of thousands of instructions each.
const LARGE_PARTS: &[Part] = &[("table/200", |times| build(200, times)), ("table/2000", |times| build(2000, times))];

/// Whole requests through a worker.
const REQUESTS: &[Part] = &[
    ("request/get", |times| requests(Speech::Get, Size::ONE, times)),
    ("request/post", |times| requests(Speech::Post, Size::ONE, times)),
    ("request/http2", |times| requests(Speech::Http2, Size::ONE, times)),
    ("request/tcp", |times| requests(Speech::Tcp, Size::ONE, times)),
    ("request/get/10000_routes", |times| requests(Speech::Get, Size { routes: 10_000, ..Size::ONE }, times)),
    ("request/get/2000_endpoints", |times| requests(Speech::Get, Size { endpoints: 2000, ..Size::ONE }, times)),
];

/// The names of all parts.
pub fn names() -> Vec<String> {
    [SMALL_PARTS, LARGE_PARTS, REQUESTS].concat().iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// How often a part is repeated for each of two counts, whose difference is that of the repetitions.
pub fn times(part: &str) -> [u64; 2] {
    match part {
        // The first request to each endpoint connects.
        part if part.ends_with("2000_endpoints") => [3000, 6000],
        part if part.starts_with("request/") => [1000, 4000],
        part if part.starts_with("table/") => [3, 13],
        _ => [2000, 12_000],
    }
}

/// Repeats the part of this name.
pub fn run(part: &str, times: u64) {
    let all = [SMALL_PARTS, LARGE_PARTS, REQUESTS].concat();
    let (_, work) = all.iter().find(|(name, _)| *name == part).expect("a name of the list");
    work(times);
}

fn route(routes: usize, times: u64) {
    let one = |n| format!("      - {{match: {{host: shop-{n}.example.com, path_prefix: /api}}, service: s}}\n");
    let routes: String = (0..routes).map(one).collect();
    let table = tables::table(&tables::config(&tables::one_service("round_robin", 1, false), &routes));
    let ListenerTarget::Routes(matcher) = &table.listeners[0].target else { return };
    let headers = |_: &str, _: Option<&str>| false;
    for _ in 0..times {
        let (host, path) = (black_box(&b"shop-0.example.com"[..]), black_box(&b"/api/v1/orders/17"[..]));
        let found = matcher.find(&RouteQuery { host, path, method: b"GET", headers: &headers });
        assert!(black_box(found).is_some());
    }
}

fn pick(balance: &str, endpoints: usize, times: u64) {
    let table = tables::table(&tables::config(&tables::one_service(balance, endpoints, true), ROUTE));
    let service = &table.services[0];
    let mut state = PickState::new(fastrand::Rng::with_seed(1));
    let tried = TriedEndpoints::new();
    for n in 0..times {
        let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let want = PickRequest {
            now: NOW,
            safe: true,
            trial: true,
            hash,
            tried: &tried,
            avoided: &[],
            scope: PickScope::Serving,
            bold: false,
        };
        assert!(matches!(service.pick(black_box(&want), &mut state), Pick::Endpoint(_)));
    }
}

fn decide(endpoints: usize, times: u64, event: fn(EndpointId, MonoTime) -> Event) {
    let config = tables::config(&tables::one_service("round_robin", endpoints, true), ROUTE);
    let mut core: Decision = tables::decided(&config);
    core.effects();
    let mut now = NOW;
    for n in 0..times {
        now = now.after(Duration::from_millis(1));
        core.handle(event(EndpointId((n % endpoints as u64) as u32), now), now);
        black_box(core.effects());
        black_box(core.deadline());
    }
}

fn probes(endpoints: usize, times: u64) {
    decide(endpoints, times, |endpoint, seen| {
        let outcome = ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None };
        Event::Probed { endpoint, seen, outcome, began: None }
    });
}

fn digests(endpoints: usize, times: u64) {
    decide(endpoints, times, |endpoint, seen| Event::InBand {
        endpoint,
        seen,
        digest: Digest { good: 9, ..Digest::default() },
    });
}

/// What the engine asks of every endpoint twenty times a second.
fn sweep(times: u64) {
    let table = tables::table(&tables::config(&tables::one_service("round_robin", 1, false), ROUTE));
    let stats = &table.services[0].pools[0].endpoints[0].stats;
    let mut cursor = DigestCursor::default();
    for _ in 0..times {
        assert!(black_box(stats).take_digest(&mut cursor).is_none());
    }
}

/// The table after one of so many endpoints has changed.
fn build(endpoints: usize, times: u64) {
    let config = tables::config(&tables::one_service("least_request", endpoints, true), ROUTE);
    let mut says = tables::decided(&config).table();
    let sockets = SocketMap::new();
    let before = RoutingTable::build(&config, &says, None, &sockets, &std::sync::Arc::default(), 2, NOW);
    says.services[0].pools[0].endpoints[endpoints / 2].suspected = true;
    for _ in 0..times {
        black_box(RoutingTable::build(&config, &says, Some(&before), &sockets, &std::sync::Arc::default(), 2, NOW));
    }
}

fn requests(speech: Speech, size: Size, times: u64) {
    let mut traffic = Traffic::start(speech, size);
    traffic.send(times as usize);
}
