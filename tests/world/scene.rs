//! Random configurations, with times short enough that two thousand steps see many failovers; and small changes to them, as a
//! reload would bring.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fastrand::Rng;
use standfast::config::*;

use super::fixture;

/// Zones of pools.
pub const ZONES: [&str; 2] = ["za", "zb"];

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

/// One or two services.
pub fn config(rng: &mut Rng) -> Config {
    let count = 1 + usize::from(rng.u8(..4) == 0);
    let services = (0..count).map(|n| service(n, rng)).collect();
    Config { workers: Some(2), drain_timeout: ms(1000), ..fixture::with_services(services) }
}

fn service(n: usize, rng: &mut Rng) -> Service {
    let pools = 1 + pick(rng, &[0, 1, 1, 1, 2]);
    let mut list: Vec<Pool> = (0..pools).map(|p| pool(n, p, rng)).collect();
    if rng.u8(..8) == 0 {
        list.push(sorry());
    }
    let smallest = list.iter().filter(|p| !p.members.endpoints().is_empty()).map(|p| p.members.endpoints().len()).min();
    let min_healthy = if rng.bool() { 1 } else { smallest.unwrap_or(1).min(2) };
    let fail_closed = rng.u8(..4) == 0;
    let mut service = usual();
    service.name = format!("s{n}").into();
    service.mode = if rng.u8(..5) == 0 { Mode::ActiveActive } else { Mode::ActivePassive };
    service.balance = pick(rng, &[0, 1, 2]).into_balance();
    service.retry.cross_pool = pick(rng, &[CrossPool::Safe, CrossPool::Safe, CrossPool::Idempotent, CrossPool::Never]);
    let failover = &mut service.failover;
    failover.min_healthy = min_healthy;
    failover.on_refused = if rng.u8(..5) == 0 { OnRefused::Checks } else { OnRefused::Verdict };
    failover.on_all_down = if fail_closed { OnAllDown::FailClosed } else { OnAllDown::FailOpen };
    failover.sessions = if rng.bool() { Sessions::Drain } else { Sessions::Close };
    failover.max_failovers.count = 2 + rng.u32(..2);
    failover.failback.mode = if rng.u8(..5) == 0 { FailbackMode::Manual } else { FailbackMode::Auto };
    failover.failback.hold_down = ms(pick(rng, &[500, 1000, 2000]));
    service.slow_start = ms(if rng.bool() { 0 } else { 500 });
    service.hold_requests = ms(pick(rng, &[0, 0, 300]));
    service.pools = list;
    service
}

/// A service with short times, and a pool with a check and outlier detection.
fn usual() -> Service {
    static USUAL: LazyLock<Service> = LazyLock::new(|| {
        fixture::service(
            "s",
            "{objectives: {rto: 1s}, limits: {queue_timeout: 200ms}, hold_response: 0,
              timeouts: {connect: 100ms, response: 250ms, body: 1s, tunnel: 10s, idle: 1s},
              failover: {drain_timeout: 1s, max_failovers: {per: 12s}, damping: 5s, confirm_window: 1500ms},
              health_check: {tcp: {}, interval: 300ms, timeout: 120ms, fast_interval: 80ms},
              outlier_detection: {min_requests: 8, base_ejection: 400ms, max_ejection: 2400ms},
              pools: [{name: p, endpoints: ['10.0.0.1:80']}]}",
        )
    });
    Service { objectives: Objectives { rto: Some(ms(300)) }, ..USUAL.clone() }
}

/// A pool with the usual check and outlier detection.
fn usual_pool() -> Pool {
    usual().pools.swap_remove(0)
}

trait IntoBalance {
    fn into_balance(self) -> BalancePolicy;
}

impl IntoBalance for u8 {
    fn into_balance(self) -> BalancePolicy {
        match self {
            0 => BalancePolicy::RoundRobin,
            1 => BalancePolicy::LeastRequest,
            _ => BalancePolicy::Random,
        }
    }
}

fn pool(service: usize, p: usize, rng: &mut Rng) -> Pool {
    let size = pick(rng, &[1, 2, 2, 3]);
    Pool {
        name: format!("p{p}").into(),
        weight: 1 + rng.u32(..3),
        zone: Some(ZONES[p % ZONES.len()].into()),
        members: PoolMembers::Endpoints((0..size).map(|e| endpoint(service, p, e)).collect()),
        health_check: (rng.u8(..8) != 0).then(|| check(rng)),
        outlier_detection: (rng.u8(..8) != 0).then(|| outlier(rng)),
        ..usual_pool()
    }
}

pub fn endpoint(service: usize, pool: usize, n: usize) -> Endpoint {
    let address: SocketAddr = format!("10.{service}.{pool}.{}:80", n + 1).parse().expect("an address");
    Endpoint::at(address)
}

pub fn check(rng: &mut Rng) -> HealthCheck {
    HealthCheck { fall: 2 + rng.u32(..2), ..usual_pool().health_check.expect("a check") }
}

fn outlier(rng: &mut Rng) -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: 3 + rng.u32(..3),
        failure_rate: rng.bool().then_some(0.4),
        base_ejection: ms(pick(rng, &[400, 800])),
        evidence: if rng.u8(..3) == 0 { EvidenceRule::Any } else { EvidenceRule::Corroborated },
        ..usual_pool().outlier_detection.expect("outlier detection")
    }
}

pub fn sorry() -> Pool {
    fixture::pool("{name: sorry, static_response: {status: 503, body: sorry}}")
}

/// What a reload brings. Returns which kind of change it is, for the coverage.
pub fn change(config: &Config, rng: &mut Rng) -> (Config, &'static str) {
    let mut next = config.clone();
    let place = rng.usize(..next.services.len());
    let mut service = (*next.services[place]).clone();
    let n: usize = service.name[1..].parse().expect("services are called s0, s1");
    let what = match rng.u8(..9) {
        0 => {
            service.failover.failback.hold_down = ms(500 + rng.u64(..1500));
            "hold_down"
        }
        1 => {
            let size = service.pools[0].members.endpoints().len();
            set_size(&mut service, n, 0, if size < 3 { size + 1 } else { size - 1 });
            "endpoints"
        }
        2 => {
            let last = service.pools.iter().rposition(|pool| !pool.members.endpoints().is_empty()).unwrap_or(0);
            if let Some(check) = &mut service.pools[last].health_check {
                check.interval += ms(10);
            }
            "check"
        }
        3 if service.pools.len() > 1 => {
            service.pools.remove(0);
            "pool_removed"
        }
        4 if service.pools.len() < 4 => {
            let mut number = 0;
            while service.pools.iter().any(|pool| *pool.name == *format!("p{number}")) {
                number += 1;
            }
            let place = rng.usize(..=1);
            service.pools.insert(place, pool(n, number, rng));
            "pool_added"
        }
        5 => {
            let other = usize::from(service.pools.len() > 1);
            service.pools.swap(0, other);
            "order"
        }
        6 => {
            service.failover.failback.mode = match service.failover.failback.mode {
                FailbackMode::Auto => FailbackMode::Manual,
                FailbackMode::Manual => FailbackMode::Auto,
            };
            "failback_mode"
        }
        7 => {
            let place = rng.usize(..service.pools.len());
            if let PoolMembers::Endpoints(endpoints) = &mut service.pools[place].members {
                let which = rng.usize(..endpoints.len());
                endpoints[which].weight = u32::from(endpoints[which].weight == 0);
                if endpoints.iter().all(|endpoint| endpoint.weight == 0) {
                    endpoints[which].weight = 1;
                }
            }
            "weight"
        }
        _ => "nothing",
    };
    let weighted = |pool: &Pool| pool.members.endpoints().iter().filter(|endpoint| endpoint.weight > 0).count();
    let sizes = service.pools.iter().map(weighted).filter(|size| *size > 0);
    service.failover.min_healthy = service.failover.min_healthy.min(sizes.min().unwrap_or(1));
    next.services[place] = Arc::new(service);
    (next, what)
}

fn set_size(service: &mut Service, n: usize, place: usize, size: usize) {
    if let Some(p) = service.pools[place].name.strip_prefix('p').and_then(|p| p.parse().ok()) {
        service.pools[place].members = PoolMembers::Endpoints((0..size).map(|e| endpoint(n, p, e)).collect());
    }
}
