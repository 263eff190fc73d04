//! `routes:` of an http listener.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::services::{ServiceIndex, service};
use super::{header, request_line};
use crate::config::defaults;
use crate::config::model::{HostMatch, Name, PathMatch, Protocol, Route, RouteMatch, RouteTimeouts};
use crate::config::schema;
use crate::config::spanned::{OffOr, OneOrMany, ShorthandMap, Spanned};
use crate::config::tree::{NodeId, shorten};
use crate::config::units::without_login;

/// A route that takes everything.
pub(super) fn to(service: Name) -> Route {
    Route {
        matches: RouteMatch::default(),
        service,
        request_headers: Default::default(),
        response_headers: Default::default(),
        timeouts: RouteTimeouts::default(),
        upgrades: default_upgrades(),
    }
}

pub(super) fn routes(
    diagnostics: &mut Diagnostics,
    list: &[Spanned<ShorthandMap<schema::Route>>],
    services: &ServiceIndex,
) -> Vec<Arc<Route>> {
    let mut found = Vec::new();
    // By everything that is compared; a later route with an equal key never gets a request.
    let mut first: HashMap<String, usize> = HashMap::new();
    let wrong = diagnostics.found.wrong_nodes();
    let wrong_before = |id: Option<NodeId>| id.map_or(wrong.len(), |end| wrong.partition_point(|id| id.0 < end.0));
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let end = list.get(index + 1).and_then(Spanned::at);
        let is_typed = wrong_before(Some(at)) == wrong_before(end);
        let before = diagnostics.found.len();
        let Some(route) = route(diagnostics, at, &typed.0, services) else { continue };
        // With a problem in it, what it matches is not known.
        if is_typed && diagnostics.found.len() == before {
            let first = *first.entry(key(&route.matches)).or_insert(index);
            if first != index {
                let what = format!("this route never gets a request: routes[{first}] matches the same");
                diagnostics.warning(at, what, "remove one of them, or match something else");
            }
        }
        found.push(Arc::new(route));
    }
    found
}

/// A text that is equal for matches that take the same requests.
fn key(matches: &RouteMatch) -> String {
    let (mut methods, mut headers) = (matches.methods.clone(), matches.headers.clone());
    methods.sort();
    methods.dedup();
    headers.sort();
    headers.dedup();
    let path = matches.path.as_ref().filter(|path| **path != PathMatch::Prefix("/".into()));
    format!("{:?} {path:?} {methods:?} {headers:?}", matches.host)
}

fn route(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Route, services: &ServiceIndex) -> Option<Route> {
    let matches = matches(diagnostics, &typed.matches);
    let request_headers = header::changes(diagnostics, &typed.request_headers);
    let response_headers = header::changes(diagnostics, &typed.response_headers);
    let timeouts = typed.timeouts.get().cloned().unwrap_or_default();
    let response = timeouts.response.at().map(|_| diagnostics.wait(&timeouts.response, defaults::RESPONSE));
    let name = diagnostics.required(&typed.service, at, "service", &format!("service: {}", services.sample()))?;
    let service = service(diagnostics, typed.service.at().unwrap_or(at), name, Protocol::Http, services)?;
    let named = services.find(&service).and_then(|named| named.meaning.as_ref());
    let end = response.or(named.map(|named| named.timeouts.response)).unwrap_or(defaults::RESPONSE);
    let stall = &timeouts.stall;
    let stall = stall.at().map(|_| diagnostics.patience(stall, "stall", ("timeouts.response", end), Protocol::Http));
    let timeouts = RouteTimeouts { response, stall };
    let upgrades = upgrades(diagnostics, &typed.upgrades);
    Some(Route { matches, service, request_headers, response_headers, timeouts, upgrades })
}

fn default_upgrades() -> Vec<String> {
    defaults::UPGRADES.iter().map(|name| (*name).to_owned()).collect()
}

/// `upgrades:` of a route.
fn upgrades(diagnostics: &mut Diagnostics, item: &Spanned<OffOr<OneOrMany<String>>>) -> Vec<String> {
    let list = match item.get() {
        None => return default_upgrades(),
        Some(OffOr::Off) => return Vec::new(),
        Some(OffOr::Value(list)) => list,
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (at, text) in list.0.iter().filter_map(Spanned::found) {
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.splitn(2, '/');
        if lower == "h2c" {
            let what = "an upgrade to `h2c` is refused: what came behind it would pass by every route and limit";
            diagnostics.problem(at, what, "leave it out: HTTP/2 in the clear is understood without an upgrade");
        } else if !parts.all(|part| http::HeaderName::from_bytes(part.as_bytes()).is_ok()) {
            let what = format!("`{}` is not the name of a protocol", shorten(text));
            diagnostics.problem(at, what, "write one such as `websocket`");
        } else if seen.insert(lower.clone()) {
            found.push(lower);
        }
    }
    found
}

fn matches(diagnostics: &mut Diagnostics, item: &Spanned<schema::RouteMatch>) -> RouteMatch {
    let typed = item.get().cloned().unwrap_or_default();
    if let (Some(_), Some(at)) = (typed.path.at(), typed.path_prefix.at()) {
        diagnostics.problem(at, "`path` and `path_prefix` are both given", "keep one: `path` is the whole path");
    }
    if let Some(at) = typed.sni.at().or(typed.alpn.at()) {
        let what = "an http listener routes by what a request asks for, not by the TLS around it";
        diagnostics.problem(at, what, "write `host: NAME`; by `sni` a tcp listener passes TLS through");
    }
    let host = typed.host.found().and_then(|(at, text)| host(diagnostics, at, text));
    let exact = typed.path.found().and_then(|(at, text)| path(diagnostics, at, text)).map(PathMatch::Exact);
    let prefix = typed.path_prefix.found().and_then(|(at, text)| path(diagnostics, at, text)).map(PathMatch::Prefix);
    let methods = typed.method.get().map_or(&[][..], |list| &list.0);
    let methods =
        methods.iter().filter_map(Spanned::found).filter_map(|(at, text)| method(diagnostics, at, text)).collect();
    let headers = typed.headers.get().map_or(&[][..], |entries| &entries.0);
    let headers = headers
        .iter()
        .filter_map(|(key, value)| {
            let (at, name) = key.found()?;
            let name = header::name(diagnostics, at, name, false)?.to_lowercase();
            let (at, value) = value.found()?;
            Some((name, header_match(diagnostics, at, &value.0)?))
        })
        .collect();
    RouteMatch { host, path: exact.or(prefix), methods, headers }
}

fn host(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<HostMatch> {
    let lower = text.to_lowercase();
    let (wildcard, rest) = match lower.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, lower.as_str()),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let literal = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_literal = !wildcard && literal.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    if rest.len() <= 253 && (rest.split('.').all(label) || is_literal) {
        return Some(if wildcard { HostMatch::Wildcard(format!(".{rest}")) } else { HostMatch::Exact(lower) });
    }
    // The host of a URL, or before a port.
    let inside = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
    let inside = inside.split(['/', '?', '#']).next().and_then(|host| host.rsplit('@').next()).unwrap_or_default();
    let inside = inside.rsplit_once(':').map_or(inside, |(host, _)| host);
    let is_host =
        inside != lower && inside.len() <= 100 && inside.strip_prefix("*.").unwrap_or(inside).split('.').all(label);
    let advice = if lower == "*" {
        "leave `host` out: then every host matches".to_owned()
    } else if is_host {
        format!("write the host alone: `{inside}`")
    } else if rest.contains('*') {
        "a `*` stands for the first labels only: `*.example.com`".to_owned()
    } else {
        "write a name such as `shop.example.com` or `*.example.com`; names beyond ASCII in their `xn--` form".to_owned()
    };
    diagnostics.problem(at, format!("`{}` is not a host", without_login(text)), advice);
    None
}

/// A `*` at the end of a path stands for itself, and is hardly meant so.
fn star(diagnostics: &mut Diagnostics, at: NodeId, text: &str) {
    let Some(prefix) = text.strip_suffix('*') else { return };
    let prefix = if prefix.len() > 1 { prefix.trim_end_matches('/') } else { prefix };
    if request_line::path_advice(prefix, false).is_none() && prefix.len() <= 60 {
        let what = format!("a `*` in a path stands for itself: `{}`", shorten(text));
        diagnostics.warning(at, what, format!("for everything below write `path_prefix: {prefix}`"));
    }
}

fn path(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    star(diagnostics, at, text);
    match request_line::path_advice(text, false) {
        Some(advice) => {
            diagnostics.problem(at, format!("`{}` is not a path", shorten(text)), advice);
            None
        }
        None => Some(text.to_owned()),
    }
}

fn method(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    let name = request_line::method_name(diagnostics, at, text)?;
    if text == "CONNECT" {
        diagnostics.problem(at, "CONNECT is refused on every listener", "leave it out");
        return None;
    }
    Some(name)
}

/// `x-env: canary` (this value) or `x-env: {present: true}` (any value).
fn header_match(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::HeaderMatch) -> Option<Option<String>> {
    match (typed.exact.found(), typed.present.found()) {
        (Some((at, text)), None) => header::value(diagnostics, at, text).map(Some),
        (None, Some((_, true))) => Some(None),
        (None, Some((at, false))) => {
            diagnostics.not_supported(
                at,
                "a match on absence",
                "write a route for the header's presence, and one without it",
            );
            None
        }
        (Some(_), Some((at, _))) => {
            diagnostics.problem(at, "`exact` and `present` are both given", "keep one of them");
            None
        }
        (None, None) => {
            let bad = typed.exact.at().is_some() || typed.present.at().is_some();
            if !bad {
                diagnostics.problem(at, "no value to compare with", "write the value, or `{present: true}` for any");
            }
            None
        }
    }
}
