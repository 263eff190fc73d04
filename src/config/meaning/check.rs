//! `health_check:`. A pool's own keys are laid over its service's, key by key; a kind replaces the service's kind whole.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::{address, exchange_check, header, login_check, request_line, tls, upstream};
use crate::config::defaults;
use crate::config::model::{CheckKind, GrpcCheck, HealthCheck, HttpCheck, Secret, Upstream, UpstreamTls};
use crate::config::schema;
use crate::config::spanned::{OffOr, OnOr, OneOrMany, ShorthandMap, Spanned};
use crate::config::tree::{NodeId, shorten};
use crate::config::units::{StatusRange, merged, other_notation, without_login, write_time};

/// Longest body that a probe sends, in bytes.
const LONGEST_REQUEST_BODY: usize = 64 * 1024;

/// Probes in quicker succession than this would be load, not observation.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// `health_check:` of a service (over nothing) or of a pool (over its service's). What it does not say of the way to the
/// endpoint is the way that the service's traffic takes.
pub(super) fn health_check(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<ShorthandMap<schema::HealthCheck>>>,
    over: Option<&HealthCheck>,
    upstream: &Upstream,
) -> Option<HealthCheck> {
    let (at, typed) = match item.found() {
        None => return over.cloned(),
        Some((_, OffOr::Off)) => return None,
        Some((at, OffOr::Value(typed))) => (at, &typed.0),
    };
    let kind = kind(diagnostics, at, typed, over.map(|check| &check.kind), upstream)?;
    let is_agent = matches!(kind, CheckKind::Agent(_));
    let share = typed.jitter.found();
    if let Some((at, share)) = share
        && share.0 > 0.5
    {
        diagnostics.problem(at, "more than half of the interval is not jitter", "at most `50%`");
    }
    let base = over.cloned();
    let base = base.as_ref();
    let check = HealthCheck {
        kind,
        proxy_protocol: match typed.proxy_protocol.at() {
            Some(_) => upstream::proxy_version(&typed.proxy_protocol),
            // (It stands beside the endpoint, and is not spoken to as that is.)
            None if is_agent => None,
            None => base.map_or(upstream.proxy_protocol, |c| c.proxy_protocol),
        },
        interval: diagnostics.at_least(
            &typed.interval,
            SHORTEST_INTERVAL,
            base.map_or(defaults::INTERVAL, |c| c.interval),
        ),
        timeout: diagnostics.wait(&typed.timeout, base.map_or(defaults::CHECK_TIMEOUT, |c| c.timeout)),
        fast_interval: diagnostics.at_least(
            &typed.fast_interval,
            SHORTEST_INTERVAL,
            base.map_or(defaults::FAST_INTERVAL, |c| c.fast_interval),
        ),
        fall: threshold(
            diagnostics,
            &typed.fall,
            &typed.unhealthy_threshold,
            "fall",
            base.map_or(defaults::FALL, |c| c.fall),
        ),
        rise: threshold(
            diagnostics,
            &typed.rise,
            &typed.healthy_threshold,
            "rise",
            base.map_or(defaults::RISE, |c| c.rise),
        ),
        jitter: share.map_or(base.map_or(defaults::JITTER, |c| c.jitter), |(_, share)| share.0),
    };
    check_timing(diagnostics, at, typed, &check);
    Some(check)
}

/// What a check's times say, and what they say about each other.
fn check_timing(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::HealthCheck, check: &HealthCheck) {
    for time in [&typed.interval, &typed.timeout, &typed.fast_interval] {
        diagnostics.at_most_a_day(time);
    }
    let time = write_time;
    if check.timeout >= check.interval {
        let at = typed.timeout.at().or(typed.interval.at()).unwrap_or(at);
        let what = format!("timeout {} is not shorter than interval {}", time(check.timeout), time(check.interval));
        diagnostics.warning(at, what, "a slow endpoint is probed without a pause: make the timeout shorter");
    }
    let reuse = match &check.kind {
        CheckKind::Http(http) => http.reuse,
        CheckKind::Grpc(grpc) => grpc.reuse,
        _ => Duration::ZERO,
    };
    if !reuse.is_zero() && reuse <= check.interval {
        let what = format!("reuse {} is not longer than interval {}", time(reuse), time(check.interval));
        diagnostics.warning(at, what, "no connection would be asked twice: make it several times as long, or `off`");
    }
    // Only what was typed: the default pace may meet a shorter interval, and is then the interval.
    if let Some((at, fast)) = typed.fast_interval.found()
        && fast.0 > check.interval
    {
        let what = format!("fast_interval {} is longer than interval {}", time(fast.0), time(check.interval));
        diagnostics.warning(at, what, "doubt would be settled more slowly than health is watched: make it shorter");
    }
}

/// `fall` or its other name.
fn threshold(
    diagnostics: &mut Diagnostics,
    name: &Spanned<crate::config::units::RangedCount<1, 100>>,
    other: &Spanned<crate::config::units::RangedCount<1, 100>>,
    word: &str,
    default: u32,
) -> u32 {
    if let (Some(_), Some(at)) = (name.at(), other.at()) {
        diagnostics.problem(at, format!("this is another name of `{word}`, which is given too"), "keep one of them");
    }
    name.get().or(other.get()).map_or(default, |count| count.0 as u32)
}

fn kind(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::HealthCheck,
    over: Option<&CheckKind>,
    upstream: &Upstream,
) -> Option<CheckKind> {
    let given = [
        ("tcp", typed.tcp.at()),
        ("udp", typed.udp.at()),
        ("dns", typed.dns.at()),
        ("agent", typed.agent.at()),
        ("exec", typed.exec.at()),
        ("http", typed.http.at()),
        ("grpc", typed.grpc.at()),
        ("redis", typed.redis.at()),
        ("postgres", typed.postgres.at()),
        ("mysql", typed.mysql.at()),
    ];
    let kinds = given.map(|(name, _)| name);
    let mut given = given.iter().filter_map(|(name, at)| at.map(|at| (*name, at)));
    match (given.next(), given.next_back()) {
        (Some((first, _)), Some((last, at))) => {
            let what = format!("a check has one kind, and `{first}` is given too");
            diagnostics.problem(at, what, format!("keep `{last}`: it sees more"));
            None
        }
        (Some(("tcp", _)), None) => {
            Some(CheckKind::Tcp(Arc::new(exchange_check::tcp(diagnostics, typed.tcp.get()?, upstream))))
        }
        (Some(("exec", at)), None) => {
            Some(CheckKind::Exec(Arc::new(exchange_check::exec(diagnostics, at, typed.exec.get()?)?)))
        }
        (Some(("agent", at)), None) => {
            Some(CheckKind::Agent(Arc::new(exchange_check::agent(diagnostics, at, typed.agent.get()?)?)))
        }
        (Some(("dns", at)), None) => {
            Some(CheckKind::Dns(Arc::new(exchange_check::dns(diagnostics, at, typed.dns.get()?)?)))
        }
        (Some(("udp", at)), None) => {
            Some(CheckKind::Udp(Arc::new(exchange_check::udp(diagnostics, at, typed.udp.get()?)?)))
        }
        (Some(("http", _)), None) => {
            Some(CheckKind::Http(Arc::new(http_check(diagnostics, &typed.http.get()?.0, upstream))))
        }
        (Some(("postgres", at)), None) => {
            let check = login_check::postgres(diagnostics, at, typed.postgres.get()?)?;
            Some(CheckKind::Postgres(Arc::new(check)))
        }
        (Some(("mysql", at)), None) => {
            let check = login_check::mysql(diagnostics, at, typed.mysql.get()?)?;
            Some(CheckKind::Mysql(Arc::new(check)))
        }
        (Some(("redis", _)), None) => {
            Some(CheckKind::Redis(Arc::new(login_check::redis(diagnostics, typed.redis.get()?))))
        }
        (Some(_), None) => Some(CheckKind::Grpc(Arc::new(grpc_check(diagnostics, typed.grpc.get()?, upstream)))),
        (None, _) => {
            if over.is_none() && !diagnostics.is_supplied(at, &kinds) {
                diagnostics.problem(at, "the check has no kind", "add `http: {path: /healthz}` or `tcp: {}`");
            }
            over.cloned()
        }
    }
}

/// `tls:` of a check that speaks what the service's traffic speaks.
fn tls_of_check(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<OnOr<schema::UpstreamTls>>>,
    upstream: &Upstream,
) -> Option<UpstreamTls> {
    match item.found() {
        None => upstream.tls.clone(),
        Some((_, OffOr::Off)) => None,
        Some((at, OffOr::Value(typed))) => tls::upstream(diagnostics, at, typed, upstream.tls.as_ref()),
    }
}

fn grpc_check(diagnostics: &mut Diagnostics, typed: &schema::GrpcCheck, upstream: &Upstream) -> GrpcCheck {
    GrpcCheck {
        service: typed.service.get().cloned().unwrap_or_default(),
        port: typed.port.get().map(|port| port.0 as u16),
        host: typed.host.found().and_then(|(at, host)| authority(diagnostics, at, host)),
        reuse: diagnostics.time_or_off(&typed.reuse, defaults::CHECK_REUSE),
        tls: tls_of_check(diagnostics, &typed.tls, upstream),
    }
}

fn http_check(diagnostics: &mut Diagnostics, typed: &schema::HttpCheck, upstream: &Upstream) -> HttpCheck {
    if let Some((at, path)) = typed.path.found()
        && let Some(advice) = request_line::path_advice(path, true)
    {
        // (What is behind `?` may be a token.)
        let shown = path.split_inclusive('?').next().unwrap_or_default();
        diagnostics.problem(at, format!("`{}` is not a path", shorten(shown)), advice);
    }
    let address = typed.address.found().and_then(|(at, text)| match text.parse::<IpAddr>() {
        Ok(ip) => {
            address::check_ip(diagnostics, at, ip);
            Some(ip)
        }
        Err(_) => {
            let what =
                other_notation(text, address::AddressPurpose::Connect).map_or("not an IP address", |(what, _)| what);
            let what = format!("`{}` is {what}", without_login(text));
            diagnostics.problem(at, what, "write the address alone; the port is `port`, the name to ask for is `host`");
            None
        }
    });
    let method = method(diagnostics, typed);
    let json = typed.json.get().map_or(&[][..], |entries| &entries.0);
    let json = json.iter().filter_map(|(key, value)| pointer(diagnostics, key, value)).collect();
    HttpCheck {
        path: typed.path.get().cloned().unwrap_or_else(|| defaults::CHECK_PATH.into()),
        method,
        port: typed.port.get().map(|port| port.0 as u16),
        host: typed.host.found().and_then(|(at, host)| authority(diagnostics, at, host)),
        address,
        status: statuses(diagnostics, &typed.status),
        request_headers: header::sent(diagnostics, &typed.request_headers),
        request_body: typed.request_body.get().map(|text| Secret::from(text.clone())),
        headers: header::expected(diagnostics, &typed.headers),
        body: typed.body.found().and_then(|(at, text)| {
            if text.is_empty() {
                diagnostics.problem(
                    at,
                    "every body contains nothing",
                    "write the text that a healthy answer has, or leave it out; what a probe sends is `request_body`",
                );
            }
            Some(text.clone()).filter(|text| !text.is_empty())
        }),
        json,
        reuse: diagnostics.time_or_off(&typed.reuse, defaults::CHECK_REUSE),
        protocol: upstream.protocol,
        tls: tls_of_check(diagnostics, &typed.tls, upstream),
    }
}

/// `status`, or the default.
fn statuses(diagnostics: &mut Diagnostics, item: &Spanned<OneOrMany<StatusRange>>) -> Vec<(u16, u16)> {
    let status: Vec<_> = item
        .get()
        .map_or(&[][..], |list| &list.0)
        .iter()
        .filter_map(Spanned::get)
        .map(|status| (status.0, status.1))
        .collect();
    if let (Some((at, _)), true) = (item.found().filter(|(_, list)| list.0.is_empty()), status.is_empty()) {
        diagnostics.problem(at, "no status would be good", "write one such as `[200]`");
    }
    if status.is_empty() { vec![defaults::CHECK_STATUS] } else { merged(status) }
}

/// `method`, and what it says about the bodies of request and answer.
fn method(diagnostics: &mut Diagnostics, typed: &schema::HttpCheck) -> String {
    let default = || defaults::CHECK_METHOD.to_owned();
    let given = typed.method.found();
    let method = given.and_then(|(at, text)| request_line::method_name(diagnostics, at, text)).unwrap_or_else(default);
    if let ("CONNECT", Some((at, _))) = (&*method, given) {
        diagnostics.problem(
            at,
            "CONNECT opens a tunnel and cannot be a health check",
            "write another one, such as `GET` or `HEAD`",
        );
    }
    let sent = typed.request_body.found().filter(|(_, text)| !text.is_empty());
    if let Some((at, text)) = sent {
        if text.len() > LONGEST_REQUEST_BODY {
            diagnostics.problem(
                at,
                "a request body of more than 64 KiB",
                "write a shorter one: it is sent with every probe",
            );
        }
        if method == "TRACE" {
            diagnostics.problem(at, "a TRACE has no body", "leave it out, or write another `method`");
        }
        if given.is_none() {
            let advice = "write `method: POST`, or `method: GET` if you mean it";
            diagnostics.warning(at, "the probe is a GET, and most servers do not read the body of one", advice);
        }
    }
    if method == "HEAD" {
        let json = typed.json.found().filter(|(_, entries)| !entries.0.is_empty()).map(|(at, _)| at);
        for (key, at) in [("body", typed.body.at()), ("json", json)] {
            if let Some(at) = at {
                let what = format!("an answer to HEAD has no body that `{key}` could be about");
                diagnostics.problem(
                    at,
                    what,
                    "write `method: GET`, or leave it out; what a probe sends is `request_body`",
                );
            }
        }
    }
    if let (Some(at), None, "POST" | "PUT" | "PATCH") = (typed.body.at(), typed.request_body.at(), &*method) {
        let what = format!("`body` is what the answer must contain, and this {method} sends no body");
        let advice = "write what it sends as `request_body`; if it shall send none: `request_body: \"\"`";
        diagnostics.warning(at, what, advice);
    }
    method
}

/// The value of a `Host` field.
fn authority(diagnostics: &mut Diagnostics, at: NodeId, host: &str) -> Option<String> {
    if host.is_empty() || host.parse::<http::uri::Authority>().is_err() || host.contains('@') {
        let what = format!("`{}` is not a host", without_login(host));
        diagnostics.problem(at, what, "write a name such as `shop.example.com`, with a port if it belongs to it");
        return None;
    }
    Some(host.to_owned())
}

fn pointer(
    diagnostics: &mut Diagnostics,
    key: &Spanned<String>,
    value: &Spanned<serde_json::Value>,
) -> Option<(String, serde_json::Value)> {
    let (at, pointer) = key.found()?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let what = format!("`{}` is not a JSON pointer", shorten(pointer));
        diagnostics.problem(at, what, format!("a pointer starts with `/`: `/{}`", shorten(&pointer.replace('.', "/"))));
        return None;
    }
    Some((pointer.clone(), value.get()?.clone()))
}
