//! What the tests of the admin port share: a strict reader of Prometheus' text format, and a configuration.

pub mod exchange;
pub mod exposition;
#[path = "../../support/fixture.rs"]
pub mod fixture;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use exposition::Family;
use standfast::config::{Config, HostMatch, Target};
use standfast::telemetry::names;

/// A configuration with these services, each with an active pool, a standby pool and a static one, and an HTTP
/// listener on port 0. Checks are TCP connects.
///
/// A name may be one that no file can have: the services are read as `s0`, `s1` … and then named.
pub fn config(services: &[(&str, &[SocketAddr], &[SocketAddr])]) -> Config {
    let list = |addresses: &[SocketAddr]| {
        addresses.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ")
    };
    let service = |(n, (_, active, standby)): (usize, &(&str, &[SocketAddr], &[SocketAddr]))| {
        let pools = format!(
            "[{{name: active, endpoints: [{}]}}, {{name: standby, endpoints: [{}]}}, \
             {{name: sorry, static_response: {{status: 503, body: sorry}}}}]",
            list(active),
            list(standby)
        );
        format!("  s{n}: {{{SERVICE}, pools: {pools}}}\n")
    };
    let route = |n| format!("{{match: {{host: s{n}}}, service: s{n}, upgrades: off}}");
    let routes: Vec<String> = (0..services.len()).map(route).collect();
    let mut config = fixture::config(&format!(
        "workers: 1\ndrain_timeout: 1s\nlog: {{format: json}}\n\
         listeners: [{{name: web, bind: '127.0.0.1:0', {LISTENER}, routes: [{}]}}]\nservices:\n{}",
        routes.join(", "),
        services.iter().enumerate().map(service).collect::<String>()
    ));
    let Target::Routes(routes) = &mut Arc::make_mut(&mut config.listeners[0]).target else { panic!("routes") };
    for ((service, route), (name, ..)) in config.services.iter_mut().zip(routes).zip(services) {
        Arc::make_mut(service).name = (*name).into();
        let route = Arc::make_mut(route);
        route.service = (*name).into();
        route.matches.host = Some(HostMatch::Exact((*name).to_owned()));
    }
    config
}

const LISTENER: &str = "timeouts: {handshake: 1s, header: 1s, body: 1s, idle: 1s}, limits: {max_connections: 100}";
const SERVICE: &str = "objectives: {rto: 10s}, balance: round_robin, retry: {on: [], replay_bytes: 0}, hold_response: 0, \
    limits: {max_connections: 100, max_pending: 100, queue_timeout: 1s}, outlier_detection: off, \
    timeouts: {connect: 1s, response: 1s, body: 1s, tunnel: 1s, idle: 1s}, \
    health_check: {tcp: {}, interval: 50ms, timeout: 1s, fast_interval: 20ms, fall: 2, rise: 1, jitter: 0}";

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
