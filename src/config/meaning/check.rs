//! `health_check:`. A pool's own keys are laid over its service's, key by key; a kind replaces the service's kind whole.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostics::Room;
use super::{address, header, request_line, tls, upstream};
use crate::config::defaults;
use crate::config::item::{Item, Short, Switch, Toggle};
use crate::config::model::{CheckKind, GrpcCheck, HealthCheck, HttpCheck, Secret, Upstream, UpstreamTls};
use crate::config::schema;
use crate::config::tree::{NodeId, shorten};
use crate::config::units::{merged, other_notation, without_login, write_time};

/// Longest body that a probe sends, in bytes.
const LONGEST_REQUEST_BODY: usize = 64 * 1024;

/// Probes in quicker succession than this would be load, not observation.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// `health_check:` of a service (over nothing) or of a pool (over its service's). What it does not say of the way to the
/// endpoint is the way that the service's traffic takes.
pub(super) fn health_check(
    room: &mut Room,
    item: &Item<Switch<Short<schema::HealthCheck>>>,
    over: Option<&HealthCheck>,
    upstream: &Upstream,
) -> Option<HealthCheck> {
    let (at, typed) = match item.found() {
        None => return over.cloned(),
        Some((_, Switch::Off)) => return None,
        Some((at, Switch::On(typed))) => (at, &typed.0),
    };
    let kind = kind(room, at, typed, over.map(|check| &check.kind), upstream)?;
    let share = typed.jitter.found();
    if let Some((at, share)) = share
        && share.0 > 0.5
    {
        room.problem(at, "more than half of the interval is not jitter", "at most `50%`");
    }
    let base = over.cloned();
    let base = base.as_ref();
    let check = HealthCheck {
        kind,
        proxy_protocol: match typed.proxy_protocol.at() {
            Some(_) => upstream::proxy_version(&typed.proxy_protocol),
            None => base.map_or(upstream.proxy_protocol, |c| c.proxy_protocol),
        },
        interval: room.at_least(&typed.interval, SHORTEST_INTERVAL, base.map_or(defaults::INTERVAL, |c| c.interval)),
        timeout: room.wait(&typed.timeout, base.map_or(defaults::CHECK_TIMEOUT, |c| c.timeout)),
        fast_interval: room.at_least(
            &typed.fast_interval,
            SHORTEST_INTERVAL,
            base.map_or(defaults::FAST_INTERVAL, |c| c.fast_interval),
        ),
        fall: threshold(room, &typed.fall, &typed.unhealthy_threshold, "fall", base.map_or(defaults::FALL, |c| c.fall)),
        rise: threshold(room, &typed.rise, &typed.healthy_threshold, "rise", base.map_or(defaults::RISE, |c| c.rise)),
        jitter: share.map_or(base.map_or(defaults::JITTER, |c| c.jitter), |(_, share)| share.0),
    };
    paces(room, at, typed, &check);
    Some(check)
}

/// What a check's times say, and what they say about each other.
fn paces(room: &mut Room, at: NodeId, typed: &schema::HealthCheck, check: &HealthCheck) {
    for time in [&typed.interval, &typed.timeout, &typed.fast_interval] {
        room.at_most_a_day(time);
    }
    let time = write_time;
    if check.timeout >= check.interval {
        let at = typed.timeout.at().or(typed.interval.at()).unwrap_or(at);
        let what = format!("timeout {} is not shorter than interval {}", time(check.timeout), time(check.interval));
        room.warning(at, what, "a slow endpoint is probed without a pause: make the timeout shorter");
    }
    let reuse = match &check.kind {
        CheckKind::Tcp { .. } => Duration::ZERO,
        CheckKind::Http(http) => http.reuse,
        CheckKind::Grpc(grpc) => grpc.reuse,
    };
    if !reuse.is_zero() && reuse <= check.interval {
        let what = format!("reuse {} is not longer than interval {}", time(reuse), time(check.interval));
        room.warning(at, what, "no connection would be asked twice: make it several times as long, or `off`");
    }
    // Only what was typed: the default pace may meet a shorter interval, and is then the interval.
    if let Some((at, fast)) = typed.fast_interval.found()
        && fast.0 > check.interval
    {
        let what = format!("fast_interval {} is longer than interval {}", time(fast.0), time(check.interval));
        room.warning(at, what, "doubt would be settled more slowly than health is watched: make it shorter");
    }
}

/// `fall` or its other name.
fn threshold(
    room: &mut Room,
    name: &Item<crate::config::units::Count<1, 100>>,
    other: &Item<crate::config::units::Count<1, 100>>,
    word: &str,
    default: u32,
) -> u32 {
    if let (Some(_), Some(at)) = (name.at(), other.at()) {
        room.problem(at, format!("this is another name of `{word}`, which is given too"), "keep one of them");
    }
    name.get().or(other.get()).map_or(default, |count| count.0 as u32)
}

fn kind(
    room: &mut Room,
    at: NodeId,
    typed: &schema::HealthCheck,
    over: Option<&CheckKind>,
    upstream: &Upstream,
) -> Option<CheckKind> {
    let later = [&typed.postgres, &typed.mysql, &typed.redis, &typed.exec, &typed.agent];
    let given = [("tcp", typed.tcp.at()), ("http", typed.http.at()), ("grpc", typed.grpc.at())];
    let mut given = given.iter().filter_map(|(name, at)| at.map(|at| (*name, at)));
    match (given.next(), given.next_back()) {
        (Some((first, _)), Some((last, at))) => {
            let what = format!("a check has one kind, and `{first}` is given too");
            room.problem(at, what, format!("keep `{last}`: it sees more"));
            None
        }
        (Some(("tcp", _)), None) => {
            let check = typed.tcp.get()?;
            let port = check.port.get().map(|port| port.0 as u16);
            // Bytes that are passed through say nothing about TLS: only when it is asked for.
            let tls = match check.tls.found() {
                Some((at, Switch::On(typed))) => tls::upstream(room, at, typed, upstream.tls.as_ref()),
                _ => None,
            };
            Some(CheckKind::Tcp { port, tls: tls.map(Arc::new) })
        }
        (Some(("http", _)), None) => Some(CheckKind::Http(Arc::new(http_check(room, &typed.http.get()?.0, upstream)))),
        (Some(_), None) => Some(CheckKind::Grpc(Arc::new(grpc_check(room, typed.grpc.get()?, upstream)))),
        (None, _) if later.iter().any(|kind| kind.at().is_some()) => None,
        (None, _) => {
            if over.is_none() && !room.is_supplied(at, &["tcp", "http", "grpc"]) {
                room.problem(at, "the check has no kind", "add `http: {path: /healthz}` or `tcp: {}`");
            }
            over.cloned()
        }
    }
}

/// `tls:` of a check that speaks what the service's traffic speaks.
fn as_traffic(
    room: &mut Room,
    item: &Item<Switch<Toggle<schema::UpstreamTls>>>,
    upstream: &Upstream,
) -> Option<UpstreamTls> {
    match item.found() {
        None => upstream.tls.clone(),
        Some((_, Switch::Off)) => None,
        Some((at, Switch::On(typed))) => tls::upstream(room, at, typed, upstream.tls.as_ref()),
    }
}

fn grpc_check(room: &mut Room, typed: &schema::GrpcCheck, upstream: &Upstream) -> GrpcCheck {
    GrpcCheck {
        service: typed.service.get().cloned().unwrap_or_default(),
        port: typed.port.get().map(|port| port.0 as u16),
        host: typed.host.found().and_then(|(at, host)| authority(room, at, host)),
        reuse: room.time_or_off(&typed.reuse, defaults::CHECK_REUSE),
        tls: as_traffic(room, &typed.tls, upstream),
    }
}

fn http_check(room: &mut Room, typed: &schema::HttpCheck, upstream: &Upstream) -> HttpCheck {
    if let Some((at, path)) = typed.path.found()
        && let Some(advice) = request_line::path_fault(path, true)
    {
        // (What is behind `?` may be a token.)
        let shown = path.split_inclusive('?').next().unwrap_or_default();
        room.problem(at, format!("`{}` is not a path", shorten(shown)), advice);
    }
    let address = typed.address.found().and_then(|(at, text)| match text.parse::<IpAddr>() {
        Ok(ip) => {
            address::check_ip(room, at, ip);
            Some(ip)
        }
        Err(_) => {
            let what = other_notation(text, address::Purpose::Connect).map_or("not an IP address", |(what, _)| what);
            let what = format!("`{}` is {what}", without_login(text));
            room.problem(at, what, "write the address alone; the port is `port`, the name to ask for is `host`");
            None
        }
    });
    let status: Vec<_> = typed
        .status
        .get()
        .map_or(&[][..], |list| &list.0)
        .iter()
        .filter_map(Item::get)
        .map(|status| (status.0, status.1))
        .collect();
    if let (Some((at, _)), true) = (typed.status.found().filter(|(_, list)| list.0.is_empty()), status.is_empty()) {
        room.problem(at, "no status would be good", "write one such as `[200]`");
    }
    let method = method(room, typed);
    let json = typed.json.get().map_or(&[][..], |entries| &entries.0);
    let json = json.iter().filter_map(|(key, value)| pointer(room, key, value)).collect();
    HttpCheck {
        path: typed.path.get().cloned().unwrap_or_else(|| defaults::CHECK_PATH.into()),
        method,
        port: typed.port.get().map(|port| port.0 as u16),
        host: typed.host.found().and_then(|(at, host)| authority(room, at, host)),
        address,
        status: if status.is_empty() { vec![defaults::CHECK_STATUS] } else { merged(status) },
        request_headers: header::sent(room, &typed.request_headers),
        request_body: typed.request_body.get().map(|text| Secret::from(text.clone())),
        headers: header::expected(room, &typed.headers),
        body: typed.body.found().and_then(|(at, text)| {
            if text.is_empty() {
                room.problem(
                    at,
                    "every body contains nothing",
                    "write the text that a healthy answer has, or leave it out; what a probe sends is `request_body`",
                );
            }
            Some(text.clone()).filter(|text| !text.is_empty())
        }),
        json,
        reuse: room.time_or_off(&typed.reuse, defaults::CHECK_REUSE),
        protocol: upstream.protocol,
        tls: as_traffic(room, &typed.tls, upstream),
    }
}

/// `method`, and what it says about the bodies of request and answer.
fn method(room: &mut Room, typed: &schema::HttpCheck) -> String {
    let default = || defaults::CHECK_METHOD.to_owned();
    let given = typed.method.found();
    let method = given.and_then(|(at, text)| request_line::method_name(room, at, text)).unwrap_or_else(default);
    if let ("CONNECT", Some((at, _))) = (&*method, given) {
        room.problem(
            at,
            "CONNECT opens a tunnel and cannot be a health check",
            "write another one, such as `GET` or `HEAD`",
        );
    }
    let sent = typed.request_body.found().filter(|(_, text)| !text.is_empty());
    if let Some((at, text)) = sent {
        if text.len() > LONGEST_REQUEST_BODY {
            room.problem(at, "a request body of more than 64 KiB", "write a shorter one: it is sent with every probe");
        }
        if method == "TRACE" {
            room.problem(at, "a TRACE has no body", "leave it out, or write another `method`");
        }
        if given.is_none() {
            let advice = "write `method: POST`, or `method: GET` if you mean it";
            room.warning(at, "the probe is a GET, and most servers do not read the body of one", advice);
        }
    }
    if method == "HEAD" {
        let json = typed.json.found().filter(|(_, entries)| !entries.0.is_empty()).map(|(at, _)| at);
        for (key, at) in [("body", typed.body.at()), ("json", json)] {
            if let Some(at) = at {
                let what = format!("an answer to HEAD has no body that `{key}` could be about");
                room.problem(at, what, "write `method: GET`, or leave it out; what a probe sends is `request_body`");
            }
        }
    }
    if let (Some(at), None, "POST" | "PUT" | "PATCH") = (typed.body.at(), typed.request_body.at(), &*method) {
        let what = format!("`body` is what the answer must contain, and this {method} sends no body");
        let advice = "write what it sends as `request_body`; if it shall send none: `request_body: \"\"`";
        room.warning(at, what, advice);
    }
    method
}

/// The value of a `Host` field.
fn authority(room: &mut Room, at: NodeId, host: &str) -> Option<String> {
    if host.is_empty() || host.parse::<http::uri::Authority>().is_err() || host.contains('@') {
        let what = format!("`{}` is not a host", without_login(host));
        room.problem(at, what, "write a name such as `shop.example.com`, with a port if it belongs to it");
        return None;
    }
    Some(host.to_owned())
}

fn pointer(
    room: &mut Room,
    key: &Item<String>,
    value: &Item<serde_json::Value>,
) -> Option<(String, serde_json::Value)> {
    let (at, pointer) = key.found()?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let what = format!("`{}` is not a JSON pointer", shorten(pointer));
        room.problem(at, what, format!("a pointer starts with `/`: `/{}`", shorten(&pointer.replace('.', "/"))));
        return None;
    }
    Some((pointer.clone(), value.get()?.clone()))
}
