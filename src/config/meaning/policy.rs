//! The policies of a service: balance, retries, limits, deadlines, failover.

use std::time::Duration;

use super::{Room, header};
use crate::config::defaults;
use crate::config::item::{Item, Many, Switch};
use crate::config::model::{
    Balance, CrossPool, Failback, FailbackMode, Failover, MaxFailovers, OnAllDown, OnRefused, Protocol, Retry, RetryOn,
    ServiceLimits, ServiceTimeouts, Sessions,
};
use crate::config::schema;
use crate::config::tree::shorten;
use crate::config::units::{error_statuses, merged};

pub(super) fn balance(room: &mut Room, item: &Item<schema::Balance>, protocol: Protocol) -> Balance {
    let Some((at, typed)) = item.found() else { return defaults::BALANCE };
    match typed {
        schema::Balance::RoundRobin => Balance::RoundRobin,
        schema::Balance::LeastRequest => Balance::LeastRequest,
        schema::Balance::Random => Balance::Random,
        schema::Balance::Hash(None) => Balance::HashSource,
        schema::Balance::Hash(Some(by)) => {
            let of_http = match by {
                schema::HashBy::Source => None,
                schema::HashBy::Header(_) => Some("headers"),
                schema::HashBy::Cookie(_) => Some("cookies"),
                schema::HashBy::Query(_) => Some("queries"),
            };
            if let (Protocol::Tcp, Some(what)) = (protocol, of_http) {
                room.problem(at, format!("a tcp service sees no {what}"), "write `balance: {hash: source}`");
            }
            hash_by(room, by).unwrap_or(Balance::HashSource)
        }
    }
}

fn hash_by(room: &mut Room, by: &schema::HashBy) -> Option<Balance> {
    match by {
        schema::HashBy::Source => Some(Balance::HashSource),
        schema::HashBy::Header(name) => {
            let (at, name) = name.found()?;
            header::name(room, at, name, false).map(|name| Balance::HashHeader(name.to_lowercase()))
        }
        schema::HashBy::Cookie(name) => {
            let (at, name) = name.found()?;
            // (RFC 6265 §4.1.1: a token, as the name of a field is.)
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let what = format!("`{}` is not the name of a cookie", shorten(name));
                room.problem(at, what, "letters, digits, `-` and `_`, such as `session_id`");
                return None;
            }
            Some(Balance::HashCookie(name.clone()))
        }
        schema::HashBy::Query(name) => {
            let (at, name) = name.found()?;
            if name.is_empty() || name.contains(['&', '=', '?', '#']) {
                let what = format!("`{}` is not the name of a parameter", shorten(name));
                room.problem(at, what, "write it as it is decoded, without `?` and `=`, such as `user`");
                return None;
            }
            Some(Balance::HashQuery(name.clone()))
        }
    }
}

pub(super) fn retry(room: &mut Room, item: &Item<schema::Retry>, protocol: Protocol, response: Duration) -> Retry {
    if let (Protocol::Tcp, Some(at)) = (protocol, item.at()) {
        let advice = "leave it out: connects that carried no byte go on to the next endpoint anyway";
        room.warning(at, "`retry` has no effect on a tcp service", advice);
    }
    let typed = item.get().filter(|_| protocol == Protocol::Http).cloned().unwrap_or_default();
    let per_try_timeout = match typed.per_try_timeout.found() {
        None | Some((_, Switch::Off)) => None,
        Some((at, Switch::On(time))) => {
            if time.0 < Duration::from_millis(1) {
                room.problem(at, "no try could ever succeed", "at least 1ms; left out it is off");
            } else {
                room.before(at, "per_try_timeout", time.0, ("timeouts.response", response));
            }
            Some(time.0)
        }
    };
    let end = match per_try_timeout {
        Some(time) if time < response => ("per_try_timeout", time),
        _ => ("timeouts.response", response),
    };
    Retry {
        attempts: typed.attempts.get().map_or(defaults::ATTEMPTS, |n| n.0 as u32),
        on: typed.on.get().map_or_else(RetryOn::default, |list| retry_on(room, list)),
        per_try_timeout,
        budget: typed.budget.get().map_or(defaults::BUDGET, |share| share.0),
        cross_pool: match typed.cross_pool.get() {
            None => defaults::cross_pool(protocol),
            Some(schema::CrossPool::Safe) => CrossPool::Safe,
            Some(schema::CrossPool::Idempotent) => CrossPool::Idempotent,
            Some(schema::CrossPool::Never) => CrossPool::Never,
        },
        replay_bytes: bytes(room, &typed.replay_bytes, defaults::REPLAY_BYTES),
        hedge: room.patience(&typed.hedge, "hedge", end, protocol),
    }
}

/// `retry.on`.
fn retry_on(room: &mut Room, list: &Many<String>) -> RetryOn {
    let mut on = RetryOn { reset: false, timeout: false, statuses: Vec::new() };
    for (at, text) in list.0.iter().filter_map(Item::found) {
        match (text.as_str(), error_statuses(text)) {
            ("reset", _) => on.reset = true,
            ("timeout", _) => on.timeout = true,
            (_, Some(range)) => on.statuses.push(range),
            _ => {
                let what = format!("`{}` is not an outcome to try again on", shorten(text));
                let known = "known here: `reset`, `timeout`, and statuses from 400 to 599, alone or as `502-504`";
                room.problem(at, what, known);
            }
        }
    }
    on.statuses = merged(on.statuses);
    on
}

/// A buffer's size: bounded, because every request in flight may hold one.
pub(super) fn bytes(room: &mut Room, item: &Item<crate::config::units::Bytes>, default: usize) -> usize {
    const LARGEST: u64 = 16 << 20;
    match item.found() {
        Some((at, bytes)) if bytes.0 > LARGEST => {
            room.problem(at, format!("{} bytes are too many: each request may hold them", bytes.0), "at most 16MiB");
            default
        }
        Some((_, bytes)) => bytes.0 as usize,
        None => default,
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

pub(super) fn failover(room: &mut Room, item: &Item<schema::Failover>, drain_timeout: Duration) -> Failover {
    let typed = item.get().cloned().unwrap_or_default();
    let max = typed.max_failovers.get().cloned().unwrap_or_default();
    let failover = Failover {
        min_healthy: typed.min_healthy.get().map_or(defaults::MIN_HEALTHY, |n| n.0 as usize),
        on_refused: match typed.on_refused.get() {
            None => defaults::ON_REFUSED,
            Some(schema::OnRefused::Verdict) => OnRefused::Verdict,
            Some(schema::OnRefused::Checks) => OnRefused::Checks,
        },
        on_all_down: match typed.on_all_down.get() {
            None => defaults::ON_ALL_DOWN,
            Some(schema::OnAllDown::FailOpen) => OnAllDown::FailOpen,
            Some(schema::OnAllDown::FailClosed) => OnAllDown::FailClosed,
        },
        sessions: match typed.sessions.get() {
            None => defaults::SESSIONS,
            Some(schema::Sessions::Drain) => Sessions::Drain,
            Some(schema::Sessions::Close) => Sessions::Close,
        },
        drain_timeout: room.time(&typed.drain_timeout, drain_timeout),
        max_failovers: MaxFailovers {
            count: max.count.get().map_or(defaults::MAX_FAILOVERS, |n| n.0 as u32),
            per: room.wait(&max.per, defaults::MAX_FAILOVERS_PER),
        },
        failback: failback(room, &typed.failback),
        damping: room.time_or_off(&typed.damping, defaults::DAMPING),
        confirm_window: room.time_or_off(&typed.confirm_window, defaults::CONFIRM_WINDOW),
    };
    let (max, window) = (&failover.max_failovers, failover.confirm_window);
    if let Some(at) = typed.confirm_window.at()
        && window.saturating_mul(max.count.saturating_add(1)) >= max.per
    {
        let what = "`max_failovers` never freezes: switches within confirm_window of an outage belong to it";
        room.warning(at, what, "make confirm_window shorter, or the time of max_failovers longer");
    }
    failover
}

fn failback(room: &mut Room, item: &Item<crate::config::item::Short<schema::Failback>>) -> Failback {
    let typed = item.get().map(|typed| typed.0.clone()).unwrap_or_default();
    let mode = match typed.mode.found() {
        None => defaults::FAILBACK_MODE,
        Some((_, schema::FailbackMode::Auto)) => FailbackMode::Auto,
        Some((_, schema::FailbackMode::Manual)) => FailbackMode::Manual,
        Some((at, mode)) => {
            let word = if *mode == schema::FailbackMode::Window { "`window`" } else { "`ramp`" };
            room.later(at, word, "`auto` and `manual` are");
            FailbackMode::Manual
        }
    };
    Failback { mode, hold_down: room.time(&typed.hold_down, defaults::HOLD_DOWN) }
}
