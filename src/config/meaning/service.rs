//! `services:`, and the limits and timeouts of each.

use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::services::{NamedService, ServiceIndex};
use super::{balance, check, consistency, failover, following, outlier, pool, protocol, reads, retry, upstream};
use crate::config::defaults;
use crate::config::model::{
    Mode, Name, Objectives, Pool, Protocol, RefusalLanguage, Refusals, Service, ServiceLimits, ServiceTimeouts,
};
use crate::config::schema;
use crate::config::spanned::{NamedEntries, OffOr, Spanned};
use crate::config::tree::NodeId;

/// `services:`
pub(super) fn services(
    diagnostics: &mut Diagnostics,
    root: NodeId,
    entries: &Spanned<NamedEntries<schema::Service>>,
    drain_timeout: Duration,
) -> ServiceIndex {
    let sample = "services: {web: {pools: [{name: main, endpoints: [127.0.0.1:3000]}]}}";
    let Some(entries) = diagnostics.required(entries, root, "services", sample) else {
        return ServiceIndex { supplied: diagnostics.is_supplied(root, &["services"]), ..ServiceIndex::default() };
    };
    if entries.0.is_empty() {
        diagnostics.problem(root, "`services` is empty", format!("add one: `{sample}`"));
    }
    let mut found = Vec::new();
    let wrong = diagnostics.found.wrong_nodes();
    let wrong_before = |id: Option<NodeId>| id.map_or(wrong.len(), |end| wrong.partition_point(|id| id.0 < end.0));
    for (index, (key, value)) in entries.0.iter().enumerate() {
        let Some((key_at, text)) = key.found() else { continue };
        // Nodes are numbered in the order of the file: those of a service end where the next one begins.
        let end = entries.0.get(index + 1).and_then(|(key, _)| key.at());
        let is_typed = wrong_before(Some(key_at)) == wrong_before(end);
        let name = diagnostics.name(key_at, text);
        let protocol = value.get().map_or(defaults::PROTOCOL, |typed| protocol::protocol(diagnostics, &typed.protocol));
        let name = name.unwrap_or_else(|| Name::from(text.as_str()));
        let meaning = value
            .found()
            .and_then(|(at, typed)| service(diagnostics, at, &name, typed, protocol, drain_timeout, is_typed));
        found.push(NamedService { name, protocol, meaning });
    }
    ServiceIndex::of(found)
}

fn service(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    name: &Name,
    typed: &schema::Service,
    protocol: Protocol,
    drain_timeout: Duration,
    is_typed: bool,
) -> Option<Service> {
    let errors = diagnostics.found.errors();
    let upstream = upstream::upstream(diagnostics, typed, protocol);
    let mode = mode(&typed.mode);
    let objectives = objectives(diagnostics, &typed.objectives);
    let timeouts = timeouts(diagnostics, &typed.timeouts, protocol);
    let health = check::health_check(diagnostics, &typed.health_check, None, &upstream);
    let outlier = outlier::outlier_detection(diagnostics, &typed.outlier_detection, Some(&outlier::outlier_defaults()));
    let hold_response = match protocol {
        Protocol::Http => retry::bytes(diagnostics, &typed.hold_response, defaults::HOLD_RESPONSE),
        Protocol::Tcp => 0,
    };
    check_keys_without_effect(diagnostics, typed, protocol);
    let pools = pool::pools(
        diagnostics,
        at,
        typed,
        pool::FromService { protocol, mode, upstream: &upstream, health: health.as_ref(), outlier: outlier.as_ref() },
    );
    let are_checks_known = is_typed && diagnostics.found.errors() == errors;
    let refusals = refusals(diagnostics, &typed.refusals, protocol, &pools, are_checks_known);
    let mut service = Service {
        name: name.clone(),
        protocol,
        mode,
        objectives,
        balance: balance::balance(diagnostics, &typed.balance, protocol),
        retry: retry::retry(diagnostics, &typed.retry, protocol, timeouts.response),
        limits: limits(diagnostics, &typed.limits, timeouts.connect, protocol),
        timeouts,
        failover: failover::failover(diagnostics, &typed.failover, drain_timeout),
        slow_start: diagnostics.time_or_off(&typed.slow_start, defaults::SLOW_START),
        hold_requests: diagnostics.time_or_off(&typed.hold_requests, defaults::HOLD_REQUESTS),
        hold_response,
        refusals,
        pools,
        upstream,
    };
    following::following(diagnostics, at, typed, &mut service);
    reads::reads(diagnostics, at, typed, &mut service);
    // Numbers are held against each other only where all of them are there: a default in the place of a typing error says
    // nothing.
    let is_whole = is_typed && diagnostics.found.errors() == errors;
    consistency::consistency(diagnostics, at, typed, &service, is_whole);
    // (One without pools is a problem already: nothing further is to be found out about it.)
    Some(service).filter(|service| !service.pools.is_empty())
}

/// `mode:`
fn mode(item: &Spanned<schema::Mode>) -> Mode {
    match item.get() {
        None => defaults::MODE,
        Some(schema::Mode::ActivePassive) => Mode::ActivePassive,
        Some(schema::Mode::ActiveActive) => Mode::ActiveActive,
    }
}

/// `refusals:`
fn refusals(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::Refusals>,
    protocol: Protocol,
    pools: &[Pool],
    are_checks_known: bool,
) -> Refusals {
    let is_spoken = RefusalLanguage::of(pools).is_some();
    match item.found() {
        Some((at, _)) if protocol == Protocol::Http => {
            let what = "`refusals` has no effect on an http service";
            diagnostics.warning(at, what, "leave it out: it answers with a status");
            Refusals::Reset
        }
        Some((_, schema::Refusals::Reset)) => Refusals::Reset,
        Some((at, schema::Refusals::Native)) if !is_spoken && are_checks_known => {
            let what =
                "`native` takes the protocol of the clients from the checks, and they are not those of one database";
            let advice =
                "add `health_check: {postgres: {user: standfast}}` or `{redis: {}}`, or write `refusals: reset`";
            diagnostics.problem(at, what, advice);
            Refusals::Reset
        }
        Some((_, schema::Refusals::Native)) => Refusals::Native,
        None if protocol == Protocol::Tcp && is_spoken => Refusals::Native,
        None => Refusals::Reset,
    }
}

/// `objectives:`
fn objectives(diagnostics: &mut Diagnostics, item: &Spanned<schema::Objectives>) -> Objectives {
    let rto = item.get().map(|typed| &typed.rto).filter(|rto| rto.at().is_some());
    Objectives { rto: rto.map(|rto| diagnostics.wait(rto, Duration::ZERO)) }
}

/// Keys of the other protocol.
fn check_keys_without_effect(diagnostics: &mut Diagnostics, typed: &schema::Service, protocol: Protocol) {
    if protocol == Protocol::Http {
        if let Some((at, _)) = typed.limits.get().and_then(|limits| limits.release.found()) {
            diagnostics.warning(at, "`release` has no effect on an http service", "leave it out");
        }
        return;
    }
    if let Some((at, bytes)) = typed.hold_response.found()
        && bytes.0 > 0
    {
        diagnostics.warning(at, "`hold_response` has no effect on a tcp service", "leave it out");
    }
    if let Some((at, OffOr::Value(_))) = typed.timeouts.get().and_then(|timeouts| timeouts.stall.found()) {
        diagnostics.warning(at, "`stall` has no effect on a tcp service", "leave it out: a session may be silent");
    }
}

pub(super) fn limits(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::ServiceLimits>,
    connect: Duration,
    protocol: Protocol,
) -> ServiceLimits {
    let typed = item.get().cloned().unwrap_or_default();
    let release = typed.release.get().filter(|_| protocol == Protocol::Tcp);
    ServiceLimits {
        max_connections: typed.max_connections.get().map_or(defaults::SERVICE_CONNECTIONS, |n| n.0 as usize),
        max_pending: typed.max_pending.get().map_or(defaults::SERVICE_PENDING, |n| n.0 as usize),
        queue_timeout: diagnostics.wait(&typed.queue_timeout, connect),
        release: release.map_or(defaults::SERVICE_RELEASE, |n| n.0 as usize),
    }
}

pub(super) fn timeouts(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::ServiceTimeouts>,
    protocol: Protocol,
) -> ServiceTimeouts {
    let typed = item.get().cloned().unwrap_or_default();
    let response = diagnostics.wait(&typed.response, defaults::RESPONSE);
    let tunnel = diagnostics.wait(&typed.tunnel, defaults::TUNNEL);
    let of_client = "leave it out: `timeouts.body` of the listener is the client's";
    let of_upstream = "leave it out: `body` is the endpoint's";
    let client = silence(diagnostics, &typed.client, ("client", of_client), protocol, tunnel);
    let upstream = silence(diagnostics, &typed.upstream, ("upstream", of_upstream), protocol, tunnel);
    ServiceTimeouts {
        connect: diagnostics.wait(&typed.connect, defaults::CONNECT),
        response,
        body: diagnostics.wait(&typed.body, defaults::UPSTREAM_BODY),
        tunnel,
        client,
        upstream,
        idle: diagnostics.wait(&typed.idle, defaults::UPSTREAM_IDLE),
        stall: diagnostics.patience(&typed.stall, "stall", ("timeouts.response", response), protocol),
    }
}

/// The silence of one side of a TCP session.
fn silence(
    diagnostics: &mut Diagnostics,
    item: &Spanned<crate::config::units::TypedDuration>,
    (key, advice): (&str, &str),
    protocol: Protocol,
    tunnel: Duration,
) -> Option<Duration> {
    let (at, _) = item.found()?;
    if protocol == Protocol::Http {
        diagnostics.warning(at, format!("`{key}` has no effect on an http service"), advice);
        return None;
    }
    let time = diagnostics.wait(item, tunnel);
    diagnostics.before(at, key, time, ("timeouts.tunnel", tunnel));
    Some(time)
}
