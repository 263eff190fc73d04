//! What the tests of the admin port share: a strict reader of Prometheus' text format, and a configuration.

pub mod exposition;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exposition::Family;
use standfast::config::*;
use standfast::telemetry::names;

/// A configuration with these services, each with an active pool, a standby pool and a static one, and an HTTP and a
/// TCP listener on port 0. Checks are TCP connects.
pub fn config(services: &[(&str, &[SocketAddr], &[SocketAddr])]) -> Config {
    let second = Duration::from_secs(1);
    let listener = |name: &str, protocol, target| {
        Arc::new(Listener {
            name: name.into(),
            bind: vec![([127, 0, 0, 1], 0).into()],
            protocol,
            timeouts: ListenerTimeouts { handshake: second, header: second, body: second, idle: second },
            limits: ListenerLimits { max_connections: 100, header_bytes: 64 << 10, headers: 100, streams: 128 },
            forwarded: Forwarded::Append,
            tls: None,
            proxy_protocol: None,
            target,
        })
    };
    let route = |(name, ..): &(&str, &[SocketAddr], &[SocketAddr])| {
        Arc::new(Route {
            matches: Match { host: Some(HostMatch::Exact((*name).to_owned())), ..Match::default() },
            service: (*name).into(),
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            timeouts: RouteTimeouts::default(),
            upgrades: Vec::new(),
        })
    };
    Config {
        workers: Some(1),
        drain_timeout: second,
        admin: None,
        metrics: None,
        state: None,
        log: Log { filter: "info".into(), format: LogFormat::Json },
        access_log: None,
        dns: Dns::default(),
        listeners: vec![listener("web", Protocol::Http, Target::Routes(services.iter().map(route).collect()))],
        services: services.iter().map(|(name, active, standby)| Arc::new(service(name, active, standby))).collect(),
    }
}

fn service(name: &str, active: &[SocketAddr], standby: &[SocketAddr]) -> Service {
    let second = Duration::from_secs(1);
    let pool = |name: &str, members| Pool {
        name: name.into(),
        weight: 1,
        members,
        names: Vec::new(),
        health_check: Some(HealthCheck {
            kind: CheckKind::Tcp { port: None, tls: None },
            proxy_protocol: None,
            interval: Duration::from_millis(50),
            timeout: second,
            fast_interval: Duration::from_millis(20),
            fall: 2,
            rise: 1,
            jitter: 0.0,
        }),
        outlier_detection: None,
    };
    let endpoints =
        |addresses: &[SocketAddr]| Members::Endpoints(addresses.iter().copied().map(Endpoint::at).collect());
    let sorry =
        StaticResponse { status: 503, content_type: "text/plain".into(), headers: vec![], body: "sorry".into() };
    Service {
        name: name.into(),
        protocol: Protocol::Http,
        mode: Mode::ActivePassive,
        objectives: Objectives { rto: Some(second * 10) },
        balance: Balance::RoundRobin,
        retry: Retry {
            attempts: 2,
            on: RetryOn { reset: false, timeout: false, statuses: vec![] },
            per_try_timeout: None,
            budget: 0.2,
            cross_pool: CrossPool::Safe,
            replay_bytes: 0,
            hedge: Patience::Auto,
        },
        limits: ServiceLimits { max_connections: 100, max_pending: 100, queue_timeout: second },
        timeouts: ServiceTimeouts {
            connect: second,
            response: second,
            body: second,
            tunnel: second,
            client: None,
            upstream: None,
            idle: second,
            stall: Patience::Auto,
        },
        failover: Failover {
            min_healthy: 1,
            on_refused: OnRefused::Verdict,
            on_all_down: OnAllDown::FailOpen,
            sessions: Sessions::Drain,
            drain_timeout: second,
            max_failovers: MaxFailovers { count: 3, per: second * 600 },
            failback: Failback { mode: FailbackMode::Auto, hold_down: second * 60 },
            damping: second * 600,
            confirm_window: second * 30,
        },
        slow_start: Duration::ZERO,
        hold_requests: Duration::ZERO,
        hold_response: 0,
        upstream: Upstream::PLAIN,
        pools: vec![
            pool("active", endpoints(active)),
            pool("standby", endpoints(standby)),
            Pool { health_check: None, ..pool("sorry", Members::Static(Arc::new(sorry))) },
        ],
    }
}

/// Holds exactly the documented metrics, with their help, type and labels.
pub fn known(families: &BTreeMap<String, Family>) {
    let named: Vec<&str> = names::all().map(|metric| metric.name).collect();
    for (name, family) in families {
        let Some(metric) = names::all().find(|metric| metric.name == name) else { panic!("{name} is in no document") };
        assert_eq!(family.help, metric.help);
        assert_eq!(family.kind, metric.kind.as_str());
        for (labels, _) in &family.samples {
            let own = labels.iter().map(|(name, _)| name.as_str()).filter(|name| !["le", "__suffix"].contains(name));
            assert!(own.eq(metric.labels.iter().copied()), "{name}: {labels:?}");
        }
    }
    let missing: Vec<_> = named.iter().filter(|name| !families.contains_key(**name)).collect();
    assert!(missing.is_empty(), "not exposed: {missing:?}");
}
