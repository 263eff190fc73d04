//! Listeners and their routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::address;
use super::service::{Services, another_name};
use super::{Room, header, path_fault, sni, tls};
use crate::config::defaults;
use crate::config::item::{Item, Many, Short, Switch};
use crate::config::model::{
    Forwarded, HostMatch, Listener, ListenerLimits, ListenerTimeouts, Match, Name, PathMatch, Protocol, ProxyProtocol,
    Route, RouteTimeouts, Target,
};
use crate::config::schema;
use crate::config::tree::{NodeId, shorten};
use crate::config::typing::nearest;
use crate::config::units::without_login;

/// `listeners:`
pub(super) fn listeners(
    room: &mut Room,
    root: NodeId,
    list: &Item<Vec<Item<schema::Listener>>>,
    services: &Services,
) -> Vec<Listener> {
    let sample = &format!("listeners: [{{name: web, bind: 0.0.0.0:8080, service: {}}}]", sample_of(services));
    let Some(list) = room.required(list, root, "listeners", sample) else { return Vec::new() };
    if list.is_empty() {
        room.problem(root, "`listeners` is empty", format!("add one: `{sample}`"));
    }
    let mut seen: HashSet<Name> = HashSet::new();
    let mut found = Vec::new();
    for (at, typed) in list.iter().filter_map(Item::found) {
        let Some(listener) = listener(room, at, typed, services) else { continue };
        if !seen.insert(listener.name.clone()) {
            let at = typed.name.at().unwrap_or(at);
            let advice = another_name(&listener.name, |name| seen.contains(name));
            room.problem(at, format!("a second listener is called `{}`", listener.name), advice);
        }
        found.push(listener);
    }
    found
}

/// A service for an example.
fn sample_of(services: &Services) -> &str {
    services.list.first().map_or("web", |service| &service.name)
}

fn listener(room: &mut Room, at: NodeId, typed: &schema::Listener, services: &Services) -> Option<Listener> {
    let name = room
        .required(&typed.name, at, "name", "name: web")
        .and_then(|name| room.name(typed.name.at().unwrap_or(at), name));
    let bind = room.required(&typed.bind, at, "bind", "bind: 0.0.0.0:8080").map_or(&[][..], |list| &list.0);
    if typed.bind.get().is_some_and(|list| list.0.is_empty()) {
        room.problem(typed.bind.at().unwrap_or(at), "`bind` is an empty list", "write at least one address");
    }
    for (at, bind) in bind.iter().filter_map(Item::found) {
        address::check_bind(room, at, bind.0);
    }
    let protocol = protocol(room, &typed.protocol);
    let target = target(room, at, typed, protocol, services);
    let proxy_protocol = proxy_protocol(room, typed);
    Some(Listener {
        name: name?,
        bind: bind.iter().filter_map(Item::get).map(|bind| bind.0).collect(),
        protocol,
        timeouts: timeouts(room, &typed.timeouts),
        limits: limits(room, &typed.limits),
        forwarded: forwarded(room, typed, protocol, proxy_protocol.as_ref()),
        tls: tls::listener(room, &typed.tls, protocol),
        proxy_protocol,
        target: target?,
    })
}

/// `protocol:` of a listener or a service.
pub(super) fn protocol(room: &mut Room, item: &Item<schema::Protocol>) -> Protocol {
    match item.found() {
        None => defaults::PROTOCOL,
        Some((_, schema::Protocol::Http)) => Protocol::Http,
        Some((_, schema::Protocol::Tcp)) => Protocol::Tcp,
        Some((at, schema::Protocol::Udp)) => {
            room.later(at, "`udp`", "`http` and `tcp` are");
            Protocol::Tcp
        }
    }
}

fn timeouts(room: &mut Room, item: &Item<schema::ListenerTimeouts>) -> ListenerTimeouts {
    let typed = item.get().cloned().unwrap_or_default();
    ListenerTimeouts {
        handshake: room.wait(&typed.handshake, defaults::HANDSHAKE),
        header: room.wait(&typed.header, defaults::HEADER),
        body: room.wait(&typed.body, defaults::CLIENT_BODY),
        idle: room.wait(&typed.idle, defaults::CLIENT_IDLE),
    }
}

fn limits(room: &mut Room, item: &Item<schema::ListenerLimits>) -> ListenerLimits {
    /// The shortest head with a Host and a few fields; the longest that a connection may make us hold.
    const HEADER_BYTES: std::ops::RangeInclusive<u64> = 1024..=1 << 20;
    let typed = item.get().cloned().unwrap_or_default();
    if let Some((at, bytes)) = typed.header_bytes.found()
        && !HEADER_BYTES.contains(&bytes.0)
    {
        room.problem(at, format!("{} bytes are no bound for a request head", bytes.0), "from 1KiB to 1MiB");
    }
    ListenerLimits {
        max_connections: typed.max_connections.get().map_or(defaults::LISTENER_CONNECTIONS, |n| n.0 as usize),
        header_bytes: typed.header_bytes.get().map_or(defaults::HEADER_BYTES, |n| n.0 as usize),
        headers: typed.headers.get().map_or(defaults::HEADERS, |n| n.0 as usize),
        streams: typed.streams.get().map_or(defaults::STREAMS, |n| n.0 as u32),
    }
}

/// `proxy_protocol:` of a listener.
fn proxy_protocol(room: &mut Room, typed: &schema::Listener) -> Option<ProxyProtocol> {
    let (at, Switch::On(Short(proxy))) = typed.proxy_protocol.found()? else { return None };
    let required = proxy.required.get().is_some_and(|must| must.0);
    let trusted = proxy.trusted.get().map_or(&[][..], |list| &list.0);
    let trusted: Vec<_> = trusted.iter().filter_map(Item::get).map(|network| network.0).collect();
    let bad = proxy.required.at().is_some() && proxy.required.get().is_none()
        || proxy.trusted.at().is_some() && proxy.trusted.get().is_none_or(|list| list.0.len() != trusted.len());
    if trusted.is_empty() && !bad {
        let advice = "name the networks of the proxies before this one: `trusted: [10.0.0.0/8]`";
        let mut bind = typed.bind.get().map_or(&[][..], |list| &list.0).iter().filter_map(Item::get);
        if !required {
            room.problem(at, "nobody's PROXY header would be believed", advice);
        } else if bind.any(|bind| !bind.0.is_loopback()) {
            let what =
                "PROXY headers are believed from everywhere: anybody who can connect can name any client address";
            room.warning(at, what, advice);
        }
    }
    Some(ProxyProtocol { required, trusted })
}

/// `forwarded:` of a listener. `append` keeps what a client says about itself: it is for listeners that only load balancers
/// can connect to.
fn forwarded(
    room: &mut Room,
    typed: &schema::Listener,
    protocol: Protocol,
    proxy: Option<&ProxyProtocol>,
) -> Forwarded {
    let Some((at, forwarded)) = typed.forwarded.found() else { return defaults::FORWARDED };
    if protocol == Protocol::Tcp {
        room.warning(at, "`forwarded` has no effect on a tcp listener", "leave it out");
        return defaults::FORWARDED;
    }
    match forwarded {
        schema::Forwarded::Append => {
            let networks = |proxy: &ProxyProtocol| {
                !proxy.trusted.is_empty() && proxy.trusted.iter().all(|network| network.prefix_len() > 0)
            };
            let named = proxy.is_some_and(|proxy| proxy.required && networks(proxy));
            let mut bind = typed.bind.get().map_or(&[][..], |list| &list.0).iter().filter_map(Item::get);
            if !named && bind.any(|bind| !bind.0.is_loopback()) {
                room.warning(
                    at,
                    "the X-Forwarded-* fields of every client that can connect are believed: a client can name any address as \
                     its own",
                    "write `forwarded: replace`; keep `append` only if all connections come from load balancers that set these \
                     fields (one that passes TCP on does not), and name their networks: `proxy_protocol: {required: true, \
                     trusted: [10.0.0.0/8]}`",
                );
            }
            Forwarded::Append
        }
        schema::Forwarded::Replace => Forwarded::Replace,
        schema::Forwarded::Off => Forwarded::Off,
    }
}

/// `routes:` of an http listener; `service:` of a tcp one, or of an http one that has a single route for everything.
fn target(
    room: &mut Room,
    at: NodeId,
    typed: &schema::Listener,
    protocol: Protocol,
    services: &Services,
) -> Option<Target> {
    match (protocol, typed.routes.at(), typed.service.at()) {
        (_, Some(_), Some(service)) => {
            room.problem(service, "`service` and `routes` are both given", "keep one of them");
            None
        }
        (Protocol::Tcp, Some(at), None) => {
            if matches!(typed.tls.get(), Some(Switch::On(_))) {
                let what = "TLS is either ended here or passed through by its routes";
                room.problem(at, what, "keep `tls` with one `service: NAME`, or `routes` without `tls`");
            }
            let list = typed.routes.get()?;
            if list.is_empty() {
                room.problem(at, "`routes` is empty", "add `{match: {sni: shop.example.com}, service: NAME}`");
            }
            Some(Target::Sni(sni::routes(room, list, services)))
        }
        (Protocol::Tcp, None, _) => {
            let name = room.required(&typed.service, at, "service", &format!("service: {}", sample_of(services)))?;
            service(room, typed.service.at().unwrap_or(at), name, protocol, services).map(Target::Service)
        }
        (Protocol::Http, None, Some(place)) => {
            let service = service(room, place, typed.service.get()?, protocol, services)?;
            Some(Target::Routes(vec![Arc::new(to(service))]))
        }
        (Protocol::Http, ..) => {
            if typed.routes.at().is_none() && room.is_supplied(at, &["service"]) {
                return None;
            }
            let sample = format!("{{service: {}}}", sample_of(services));
            let list = room.required(&typed.routes, at, "routes", &format!("routes: [{sample}]"))?;
            if list.is_empty() {
                room.problem(typed.routes.at().unwrap_or(at), "`routes` is empty", format!("add `{sample}`"));
            }
            Some(Target::Routes(routes(room, list, services)))
        }
    }
}

/// A route that takes everything.
fn to(service: Name) -> Route {
    Route {
        matches: Match::default(),
        service,
        request_headers: Default::default(),
        response_headers: Default::default(),
        timeouts: RouteTimeouts::default(),
        upgrades: usual_upgrades(),
    }
}

fn routes(room: &mut Room, list: &[Item<Short<schema::Route>>], services: &Services) -> Vec<Arc<Route>> {
    let mut found = Vec::new();
    // By everything that is compared; a later route with an equal key never gets a request.
    let mut first: HashMap<String, usize> = HashMap::new();
    let wrong = room.faults.wrong_nodes();
    let wrong_before = |id: Option<NodeId>| id.map_or(wrong.len(), |end| wrong.partition_point(|id| id.0 < end.0));
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let end = list.get(index + 1).and_then(Item::at);
        let is_typed = wrong_before(Some(at)) == wrong_before(end);
        let faults = room.faults.len();
        let Some(route) = route(room, at, &typed.0, services) else { continue };
        // With a problem in it, what it matches is not known.
        if is_typed && room.faults.len() == faults {
            let first = *first.entry(key(&route.matches)).or_insert(index);
            if first != index {
                let what = format!("this route never gets a request: routes[{first}] matches the same");
                room.warning(at, what, "remove one of them, or match something else");
            }
        }
        found.push(Arc::new(route));
    }
    found
}

/// A text that is equal for matches that take the same requests.
fn key(matches: &Match) -> String {
    let (mut methods, mut headers) = (matches.methods.clone(), matches.headers.clone());
    methods.sort();
    methods.dedup();
    headers.sort();
    headers.dedup();
    let path = matches.path.as_ref().filter(|path| **path != PathMatch::Prefix("/".into()));
    format!("{:?} {path:?} {methods:?} {headers:?}", matches.host)
}

fn route(room: &mut Room, at: NodeId, typed: &schema::Route, services: &Services) -> Option<Route> {
    let matches = matches(room, &typed.matches);
    let request_headers = header::changes(room, &typed.request_headers);
    let response_headers = header::changes(room, &typed.response_headers);
    let timeouts = typed.timeouts.get().cloned().unwrap_or_default();
    let response = timeouts.response.at().map(|_| room.wait(&timeouts.response, defaults::RESPONSE));
    let name = room.required(&typed.service, at, "service", &format!("service: {}", sample_of(services)))?;
    let service = service(room, typed.service.at().unwrap_or(at), name, Protocol::Http, services)?;
    let named = services.find(&service).and_then(|named| named.meaning.as_ref());
    let end = response.or(named.map(|named| named.timeouts.response)).unwrap_or(defaults::RESPONSE);
    let stall = &timeouts.stall;
    let stall = stall.at().map(|_| room.patience(stall, "stall", ("timeouts.response", end), Protocol::Http));
    let timeouts = RouteTimeouts { response, stall };
    let upgrades = upgrades(room, &typed.upgrades);
    Some(Route { matches, service, request_headers, response_headers, timeouts, upgrades })
}

fn usual_upgrades() -> Vec<String> {
    defaults::UPGRADES.iter().map(|name| (*name).to_owned()).collect()
}

/// `upgrades:` of a route.
fn upgrades(room: &mut Room, item: &Item<Switch<Many<String>>>) -> Vec<String> {
    let list = match item.get() {
        None => return usual_upgrades(),
        Some(Switch::Off) => return Vec::new(),
        Some(Switch::On(list)) => list,
    };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for (at, text) in list.0.iter().filter_map(Item::found) {
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.splitn(2, '/');
        if lower == "h2c" {
            let what = "an upgrade to `h2c` is refused: what came behind it would pass by every route and limit";
            room.problem(at, what, "leave it out: HTTP/2 in the clear is understood without an upgrade");
        } else if !parts.all(|part| http::HeaderName::from_bytes(part.as_bytes()).is_ok()) {
            let what = format!("`{}` is not the name of a protocol", shorten(text));
            room.problem(at, what, "write one such as `websocket`");
        } else if seen.insert(lower.clone()) {
            found.push(lower);
        }
    }
    found
}

/// The service of this name, which must exist and speak the listener's protocol.
pub(super) fn service(
    room: &mut Room,
    at: NodeId,
    name: &str,
    protocol: Protocol,
    services: &Services,
) -> Option<Name> {
    let Some(service) = services.find(name) else {
        if services.supplied {
            return None;
        }
        let advice = if services.list.is_empty() || room.is_full() {
            "add it under `services`".into()
        } else {
            nearest(name, &services.list.iter().map(|service| &*service.name).collect::<Vec<_>>())
        };
        room.problem(at, format!("there is no service `{}`", shorten(name)), advice);
        return None;
    };
    if service.protocol != protocol {
        let (ours, its) = (word(protocol), word(service.protocol));
        let what = format!("the listener speaks {ours} and the service `{name}` {its}");
        room.problem(at, what, format!("give both the same `protocol: {ours}` or `protocol: {its}`"));
        return None;
    }
    Some(service.name.clone())
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    }
}

fn matches(room: &mut Room, item: &Item<schema::Match>) -> Match {
    let typed = item.get().cloned().unwrap_or_default();
    if let (Some(_), Some(at)) = (typed.path.at(), typed.path_prefix.at()) {
        room.problem(at, "`path` and `path_prefix` are both given", "keep one: `path` is the whole path");
    }
    if let Some(at) = typed.sni.at().or(typed.alpn.at()) {
        let what = "an http listener routes by what a request asks for, not by the TLS around it";
        room.problem(at, what, "write `host: NAME`; by `sni` a tcp listener passes TLS through");
    }
    let host = typed.host.found().and_then(|(at, text)| host(room, at, text));
    let exact = typed.path.found().and_then(|(at, text)| path(room, at, text)).map(PathMatch::Exact);
    let prefix = typed.path_prefix.found().and_then(|(at, text)| path(room, at, text)).map(PathMatch::Prefix);
    let methods = typed.method.get().map_or(&[][..], |list| &list.0);
    let methods = methods.iter().filter_map(Item::found).filter_map(|(at, text)| method(room, at, text)).collect();
    let headers = typed.headers.get().map_or(&[][..], |entries| &entries.0);
    let headers = headers
        .iter()
        .filter_map(|(key, value)| {
            let (at, name) = key.found()?;
            let name = header::name(room, at, name, false)?.to_lowercase();
            let (at, value) = value.found()?;
            Some((name, header_match(room, at, &value.0)?))
        })
        .collect();
    Match { host, path: exact.or(prefix), methods, headers }
}

fn host(room: &mut Room, at: NodeId, text: &str) -> Option<HostMatch> {
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
    room.problem(at, format!("`{}` is not a host", without_login(text)), advice);
    None
}

/// A `*` at the end of a path stands for itself, and is hardly meant so.
fn star(room: &mut Room, at: NodeId, text: &str) {
    let Some(prefix) = text.strip_suffix('*') else { return };
    let prefix = if prefix.len() > 1 { prefix.trim_end_matches('/') } else { prefix };
    if path_fault(prefix, false).is_none() && prefix.len() <= 60 {
        let what = format!("a `*` in a path stands for itself: `{}`", shorten(text));
        room.warning(at, what, format!("for everything below write `path_prefix: {prefix}`"));
    }
}

fn path(room: &mut Room, at: NodeId, text: &str) -> Option<String> {
    star(room, at, text);
    match path_fault(text, false) {
        Some(advice) => {
            room.problem(at, format!("`{}` is not a path", shorten(text)), advice);
            None
        }
        None => Some(text.to_owned()),
    }
}

/// The name of a method, whichever.
pub(super) fn method_name(room: &mut Room, at: NodeId, text: &str) -> Option<String> {
    if http::Method::from_bytes(text.as_bytes()).is_err() || text.bytes().any(|b| b.is_ascii_lowercase()) {
        let what = format!("`{}` is not a method", shorten(text));
        let capitals = text.to_ascii_uppercase();
        let advice = match http::Method::from_bytes(capitals.as_bytes()) {
            Ok(_) if capitals.len() <= 20 => format!("write `{capitals}`: methods are written in capitals"),
            _ => "write one such as `GET` or `POST`".to_owned(),
        };
        room.problem(at, what, advice);
        return None;
    }
    Some(text.to_owned())
}

fn method(room: &mut Room, at: NodeId, text: &str) -> Option<String> {
    let name = method_name(room, at, text)?;
    if text == "CONNECT" {
        room.problem(at, "CONNECT is refused on every listener", "leave it out");
        return None;
    }
    Some(name)
}

/// `x-env: canary` (this value) or `x-env: {present: true}` (any value).
fn header_match(room: &mut Room, at: NodeId, typed: &schema::HeaderMatch) -> Option<Option<String>> {
    match (typed.exact.found(), typed.present.found()) {
        (Some((at, text)), None) => header::value(room, at, text).map(Some),
        (None, Some((_, true))) => Some(None),
        (None, Some((at, false))) => {
            room.later(at, "a match on absence", "write a route for the header's presence, and one without it");
            None
        }
        (Some(_), Some((at, _))) => {
            room.problem(at, "`exact` and `present` are both given", "keep one of them");
            None
        }
        (None, None) => {
            let bad = typed.exact.at().is_some() || typed.present.at().is_some();
            if !bad {
                room.problem(at, "no value to compare with", "write the value, or `{present: true}` for any");
            }
            None
        }
    }
}
