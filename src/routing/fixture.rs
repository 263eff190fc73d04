//! Configurations and tables for the tests of this room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::*;
use crate::decision::*;

/// A service with pools of endpoints of these weights; pool p's endpoint e has the address 10.0.p.e:80 and the id 100 p + e.
pub fn service(name: &str, pools: &[&[u32]]) -> Service {
    let pools = pools
        .iter()
        .enumerate()
        .map(|(pool, weights)| Pool {
            name: format!("pool-{pool}").into(),
            weight: 1,
            members: Members::Endpoints(
                weights
                    .iter()
                    .enumerate()
                    .map(|(place, weight)| Endpoint { weight: *weight, ..Endpoint::at(address(pool, place)) })
                    .collect(),
            ),
            names: Vec::new(),
            health_check: None,
            outlier_detection: None,
        })
        .collect();
    Service {
        name: name.into(),
        protocol: Protocol::Http,
        mode: Mode::ActivePassive,
        objectives: Objectives::default(),
        balance: Balance::RoundRobin,
        retry: Retry {
            attempts: 2,
            on: RetryOn::default(),
            per_try_timeout: None,
            budget: 0.2,
            cross_pool: CrossPool::Safe,
            replay_bytes: 65_536,
            hedge: Patience::Auto,
        },
        limits: ServiceLimits { max_connections: 1024, max_pending: 1024, queue_timeout: Duration::from_secs(2) },
        timeouts: ServiceTimeouts {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(30),
            body: Duration::from_secs(30),
            tunnel: Duration::from_secs(3600),
            client: None,
            upstream: None,
            idle: Duration::from_secs(60),
            stall: Patience::Auto,
        },
        failover: Failover {
            min_healthy: 1,
            on_refused: OnRefused::Verdict,
            on_all_down: OnAllDown::FailOpen,
            sessions: Sessions::Drain,
            drain_timeout: Duration::from_secs(30),
            max_failovers: MaxFailovers { count: 3, per: Duration::from_secs(600) },
            failback: Failback { mode: FailbackMode::Auto, hold_down: Duration::from_secs(60) },
            damping: Duration::from_secs(600),
            confirm_window: Duration::from_secs(30),
        },
        slow_start: Duration::ZERO,
        hold_requests: Duration::ZERO,
        hold_response: 16_384,
        upstream: Upstream::PLAIN,
        pools,
    }
}

pub fn address(pool: usize, place: usize) -> SocketAddr {
    ([10, pool as u8, (place / 256) as u8, (place % 256) as u8], 80).into()
}

pub fn id(pool: usize, place: usize) -> EndpointId {
    EndpointId((pool * 100_000 + place) as u32)
}

pub fn config(services: Vec<Service>, listeners: Vec<Listener>) -> Arc<Config> {
    Arc::new(Config {
        workers: Some(2),
        drain_timeout: Duration::from_secs(30),
        admin: None,
        metrics: None,
        state: None,
        log: Log { filter: "info".into(), format: LogFormat::Auto },
        access_log: None,
        dns: Dns::default(),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        services: services.into_iter().map(Arc::new).collect(),
    })
}

pub fn listener(name: &str, routes: Vec<Route>) -> Listener {
    let second = Duration::from_secs(1);
    Listener {
        name: name.into(),
        bind: vec![([127, 0, 0, 1], 0).into()],
        protocol: Protocol::Http,
        timeouts: ListenerTimeouts { handshake: second, header: second, body: second, idle: second },
        limits: ListenerLimits { max_connections: 10, header_bytes: 65_536, headers: 100, streams: 128 },
        forwarded: Forwarded::Append,
        tls: None,
        proxy_protocol: None,
        target: Target::Routes(routes.into_iter().map(Arc::new).collect()),
    }
}

pub fn route(matches: Match, service: &str) -> Route {
    Route {
        matches,
        service: service.into(),
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        timeouts: RouteTimeouts::default(),
        upgrades: Vec::new(),
    }
}

/// What a core would say of this configuration: every endpoint open, pool 0 active.
pub fn conclusions(config: &Config, epoch: u64) -> Table {
    let row = |service: &Arc<Service>| ServiceRow {
        name: Arc::clone(&service.name),
        serving: Serving::Active(0),
        awaiting_answer: None,
        pools: service.pools.iter().enumerate().map(|(pool, config)| pool_row(pool, config)).collect(),
    };
    Table { epoch, services: config.services.iter().map(row).collect() }
}

fn pool_row(pool: usize, config: &Pool) -> PoolRow {
    let standing =
        Standing { operational: Operational::Healthy, administrative: Administrative::Ready, cause: Cause::Unchecked };
    PoolRow {
        name: Arc::clone(&config.name),
        available: true,
        endpoints: config
            .members
            .endpoints()
            .iter()
            .enumerate()
            .map(|(place, endpoint)| EndpointRow {
                id: id(pool, place),
                address: endpoint.address,
                standing,
                admission: Admission::Open,
                joined: None,
                suspected: false,
                proving: false,
            })
            .collect(),
    }
}

/// A table for tests about one service; `says` changes what the core says.
pub fn table(service: Service, says: impl FnOnce(&mut ServiceRow)) -> RoutingTable {
    let config = config(vec![service], vec![]);
    let mut table = conclusions(&config, 1);
    says(&mut table.services[0]);
    RoutingTable::build(&config, &table, None, &SocketMap::new(), &Arc::default(), 2, at(0))
}

/// A moment this many milliseconds after the tests began (which is 100 s after the origin).
pub fn at(millis: u64) -> Moment {
    Moment::from_micros(100_000_000 + millis * 1000)
}

pub fn state(seed: u64) -> PickState {
    PickState::new(fastrand::Rng::with_seed(seed))
}
