//! Random configurations, with times short enough that two thousand steps see many failovers; and small changes to them, as a
//! reload would bring.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::*;

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn pick<T: Copy>(dice: &mut Rng, from: &[T]) -> T {
    from[dice.usize(..from.len())]
}

/// One or two services.
pub fn config(dice: &mut Rng) -> Config {
    let count = 1 + usize::from(dice.u8(..4) == 0);
    let services = (0..count).map(|n| Arc::new(service(n, dice))).collect();
    Config {
        workers: Some(2),
        drain_timeout: ms(1000),
        admin: None,
        metrics: None,
        state: None,
        log: Log { filter: "info".to_owned(), format: LogFormat::Auto },
        access_log: None,
        dns: Dns::default(),
        listeners: Vec::new(),
        services,
    }
}

fn service(n: usize, dice: &mut Rng) -> Service {
    let pools = 1 + pick(dice, &[0, 1, 1, 1, 2]);
    let mut list: Vec<Pool> = (0..pools).map(|p| pool(n, p, dice)).collect();
    if dice.u8(..8) == 0 {
        list.push(sorry());
    }
    let smallest = list.iter().filter(|p| !p.members.endpoints().is_empty()).map(|p| p.members.endpoints().len()).min();
    let min_healthy = if dice.bool() { 1 } else { smallest.unwrap_or(1).min(2) };
    let fail_closed = dice.u8(..4) == 0;
    Service {
        name: format!("s{n}").into(),
        protocol: Protocol::Http,
        mode: if dice.u8(..5) == 0 { Mode::ActiveActive } else { Mode::ActivePassive },
        objectives: Objectives { rto: Some(ms(300)) },
        balance: pick(dice, &[0, 1, 2]).into_balance(),
        retry: Retry {
            attempts: 2,
            on: RetryOn::default(),
            per_try_timeout: None,
            budget: 0.2,
            cross_pool: pick(dice, &[CrossPool::Safe, CrossPool::Safe, CrossPool::Idempotent, CrossPool::Never]),
            replay_bytes: 65536,
            hedge: Patience::Auto,
        },
        limits: ServiceLimits { max_connections: 1024, max_pending: 1024, queue_timeout: ms(200) },
        timeouts: ServiceTimeouts {
            connect: ms(100),
            response: ms(250),
            body: ms(1000),
            tunnel: ms(10_000),
            client: None,
            upstream: None,
            idle: ms(1000),
            stall: Patience::Auto,
        },
        failover: Failover {
            min_healthy,
            on_refused: if dice.u8(..5) == 0 { OnRefused::Checks } else { OnRefused::Verdict },
            on_all_down: if fail_closed { OnAllDown::FailClosed } else { OnAllDown::FailOpen },
            sessions: if dice.bool() { Sessions::Drain } else { Sessions::Close },
            drain_timeout: ms(1000),
            max_failovers: MaxFailovers { count: 2 + dice.u32(..2), per: ms(12_000) },
            failback: Failback {
                mode: if dice.u8(..5) == 0 { FailbackMode::Manual } else { FailbackMode::Auto },
                hold_down: ms(pick(dice, &[500, 1000, 2000])),
            },
            damping: ms(5000),
            confirm_window: ms(1500),
        },
        slow_start: ms(if dice.bool() { 0 } else { 500 }),
        hold_requests: ms(pick(dice, &[0, 0, 300])),
        hold_response: 0,
        upstream: Upstream::PLAIN,
        pools: list,
    }
}

trait IntoBalance {
    fn into_balance(self) -> Balance;
}

impl IntoBalance for u8 {
    fn into_balance(self) -> Balance {
        match self {
            0 => Balance::RoundRobin,
            1 => Balance::LeastRequest,
            _ => Balance::Random,
        }
    }
}

fn pool(service: usize, p: usize, dice: &mut Rng) -> Pool {
    let size = pick(dice, &[1, 2, 2, 3]);
    Pool {
        name: format!("p{p}").into(),
        weight: 1 + dice.u32(..3),
        members: Members::Endpoints((0..size).map(|e| endpoint(service, p, e)).collect()),
        names: Vec::new(),
        health_check: (dice.u8(..8) != 0).then(|| check(dice)),
        outlier_detection: (dice.u8(..8) != 0).then(|| outlier(dice)),
    }
}

pub fn endpoint(service: usize, pool: usize, n: usize) -> Endpoint {
    let address: SocketAddr = format!("10.{service}.{pool}.{}:80", n + 1).parse().expect("an address");
    Endpoint::at(address)
}

pub fn check(dice: &mut Rng) -> HealthCheck {
    HealthCheck {
        kind: CheckKind::Tcp { port: None, tls: None },
        proxy_protocol: None,
        interval: ms(300),
        timeout: ms(120),
        fast_interval: ms(80),
        fall: 2 + dice.u32(..2),
        rise: 2,
        jitter: 0.1,
    }
}

fn outlier(dice: &mut Rng) -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: 3 + dice.u32(..3),
        failure_rate: dice.bool().then_some(0.4),
        min_requests: 8,
        base_ejection: ms(pick(dice, &[400, 800])),
        max_ejection: ms(2400),
        max_ejected: 0.5,
        evidence: if dice.u8(..3) == 0 { EvidenceRule::Any } else { EvidenceRule::Corroborated },
        failures: Failures::default(),
    }
}

pub fn sorry() -> Pool {
    let response = StaticResponse {
        status: 503,
        content_type: "text/plain".to_owned(),
        headers: Vec::new(),
        body: "sorry".to_owned(),
    };
    Pool {
        name: "sorry".into(),
        weight: 1,
        members: Members::Static(Arc::new(response)),
        names: Vec::new(),
        health_check: None,
        outlier_detection: None,
    }
}

/// What a reload brings. Returns which kind of change it is, for the coverage.
pub fn change(config: &Config, dice: &mut Rng) -> (Config, &'static str) {
    let mut next = config.clone();
    let place = dice.usize(..next.services.len());
    let mut service = (*next.services[place]).clone();
    let n: usize = service.name[1..].parse().expect("services are called s0, s1");
    let what = match dice.u8(..9) {
        0 => {
            service.failover.failback.hold_down = ms(500 + dice.u64(..1500));
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
            let place = dice.usize(..=1);
            service.pools.insert(place, pool(n, number, dice));
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
            let place = dice.usize(..service.pools.len());
            if let Members::Endpoints(endpoints) = &mut service.pools[place].members {
                let which = dice.usize(..endpoints.len());
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
        service.pools[place].members = Members::Endpoints((0..size).map(|e| endpoint(n, p, e)).collect());
    }
}
