//! `services:`, and the limits and timeouts of each.

use std::time::Duration;

use super::diagnostics::Room;
use super::services::{Named, Services};
use super::{balance, check, consistency, failover, outlier, pool, protocol, retry, upstream};
use crate::config::defaults;
use crate::config::item::{Entries, Item, Switch};
use crate::config::model::{Mode, Name, Objectives, Protocol, Service, ServiceLimits, ServiceTimeouts};
use crate::config::schema;
use crate::config::tree::NodeId;

/// `services:`
pub(super) fn services(
    room: &mut Room,
    root: NodeId,
    entries: &Item<Entries<schema::Service>>,
    drain_timeout: Duration,
) -> Services {
    let sample = "services: {web: {pools: [{name: main, endpoints: [127.0.0.1:3000]}]}}";
    let Some(entries) = room.required(entries, root, "services", sample) else {
        return Services { supplied: room.is_supplied(root, &["services"]), ..Services::default() };
    };
    if entries.0.is_empty() {
        room.problem(root, "`services` is empty", format!("add one: `{sample}`"));
    }
    let mut found = Vec::new();
    let wrong = room.faults.wrong_nodes();
    let wrong_before = |id: Option<NodeId>| id.map_or(wrong.len(), |end| wrong.partition_point(|id| id.0 < end.0));
    for (index, (key, value)) in entries.0.iter().enumerate() {
        let Some((key_at, text)) = key.found() else { continue };
        // Nodes are numbered in the order of the file: those of a service end where the next one begins.
        let end = entries.0.get(index + 1).and_then(|(key, _)| key.at());
        let is_typed = wrong_before(Some(key_at)) == wrong_before(end);
        let name = room.name(key_at, text);
        let protocol = value.get().map_or(defaults::PROTOCOL, |typed| protocol::protocol(room, &typed.protocol));
        let name = name.unwrap_or_else(|| Name::from(text.as_str()));
        let meaning =
            value.found().and_then(|(at, typed)| service(room, at, &name, typed, protocol, drain_timeout, is_typed));
        found.push(Named { name, protocol, meaning });
    }
    Services::of(found)
}

fn service(
    room: &mut Room,
    at: NodeId,
    name: &Name,
    typed: &schema::Service,
    protocol: Protocol,
    drain_timeout: Duration,
    is_typed: bool,
) -> Option<Service> {
    let errors = room.faults.errors();
    let upstream = upstream::upstream(room, typed, protocol);
    let mode = match typed.mode.get() {
        None => defaults::MODE,
        Some(schema::Mode::ActivePassive) => Mode::ActivePassive,
        Some(schema::Mode::ActiveActive) => Mode::ActiveActive,
    };
    let objectives = Objectives {
        rto: typed
            .objectives
            .get()
            .map(|o| &o.rto)
            .filter(|rto| rto.at().is_some())
            .map(|rto| room.wait(rto, Duration::ZERO)),
    };
    let timeouts = timeouts(room, &typed.timeouts, protocol);
    let health = check::health_check(room, &typed.health_check, None, &upstream);
    let outlier = outlier::outlier_detection(room, &typed.outlier_detection, Some(&outlier::outlier_defaults()));
    let hold_response = match protocol {
        Protocol::Http => retry::bytes(room, &typed.hold_response, defaults::HOLD_RESPONSE),
        Protocol::Tcp => 0,
    };
    without_effect(room, typed, protocol);
    let service = Service {
        name: name.clone(),
        protocol,
        mode,
        objectives,
        balance: balance::balance(room, &typed.balance, protocol),
        retry: retry::retry(room, &typed.retry, protocol, timeouts.response),
        limits: limits(room, &typed.limits, timeouts.connect),
        timeouts,
        failover: failover::failover(room, &typed.failover, drain_timeout),
        slow_start: room.time_or_off(&typed.slow_start, defaults::SLOW_START),
        hold_requests: room.time_or_off(&typed.hold_requests, defaults::HOLD_REQUESTS),
        hold_response,
        pools: pool::pools(
            room,
            at,
            typed,
            pool::Inherited { protocol, mode, upstream: &upstream, health: health.as_ref(), outlier: outlier.as_ref() },
        ),
        upstream,
    };
    // Numbers are held against each other only where all of them are there: a default in the place of a typing error says
    // nothing.
    let is_whole = is_typed && room.faults.errors() == errors;
    consistency::consistency(room, at, typed, &service, is_whole);
    // (One without pools is a problem already: nothing further is to be found out about it.)
    Some(service).filter(|service| !service.pools.is_empty())
}

/// Keys of HTTP on a tcp service.
fn without_effect(room: &mut Room, typed: &schema::Service, protocol: Protocol) {
    if protocol == Protocol::Http {
        return;
    }
    if let Some((at, bytes)) = typed.hold_response.found()
        && bytes.0 > 0
    {
        room.warning(at, "`hold_response` has no effect on a tcp service", "leave it out");
    }
    if let Some((at, Switch::On(_))) = typed.timeouts.get().and_then(|timeouts| timeouts.stall.found()) {
        room.warning(at, "`stall` has no effect on a tcp service", "leave it out: a session may be silent");
    }
}

pub(super) fn limits(room: &mut Room, item: &Item<schema::ServiceLimits>, connect: Duration) -> ServiceLimits {
    let typed = item.get().cloned().unwrap_or_default();
    ServiceLimits {
        max_connections: typed.max_connections.get().map_or(defaults::SERVICE_CONNECTIONS, |n| n.0 as usize),
        max_pending: typed.max_pending.get().map_or(defaults::SERVICE_PENDING, |n| n.0 as usize),
        queue_timeout: room.wait(&typed.queue_timeout, connect),
    }
}

pub(super) fn timeouts(room: &mut Room, item: &Item<schema::ServiceTimeouts>, protocol: Protocol) -> ServiceTimeouts {
    let typed = item.get().cloned().unwrap_or_default();
    let response = room.wait(&typed.response, defaults::RESPONSE);
    let tunnel = room.wait(&typed.tunnel, defaults::TUNNEL);
    let of_client = "leave it out: `timeouts.body` of the listener is the client's";
    let of_upstream = "leave it out: `body` is the endpoint's";
    let client = silence(room, &typed.client, ("client", of_client), protocol, tunnel);
    let upstream = silence(room, &typed.upstream, ("upstream", of_upstream), protocol, tunnel);
    ServiceTimeouts {
        connect: room.wait(&typed.connect, defaults::CONNECT),
        response,
        body: room.wait(&typed.body, defaults::UPSTREAM_BODY),
        tunnel,
        client,
        upstream,
        idle: room.wait(&typed.idle, defaults::UPSTREAM_IDLE),
        stall: room.patience(&typed.stall, "stall", ("timeouts.response", response), protocol),
    }
}

/// The silence of one side of a TCP session.
fn silence(
    room: &mut Room,
    item: &Item<crate::config::units::Time>,
    (key, advice): (&str, &str),
    protocol: Protocol,
    tunnel: Duration,
) -> Option<Duration> {
    let (at, _) = item.found()?;
    if protocol == Protocol::Http {
        room.warning(at, format!("`{key}` has no effect on an http service"), advice);
        return None;
    }
    let time = room.wait(item, tunnel);
    room.before(at, key, time, ("timeouts.tunnel", tunnel));
    Some(time)
}
