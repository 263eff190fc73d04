//! `listeners:`

use std::collections::HashSet;
use std::sync::Arc;

use super::diagnostics::Room;
use super::names::another_name;
use super::services::{Services, service};
use super::{address, protocol, route, sni, tls};
use crate::config::defaults;
use crate::config::item::{Item, Short, Switch};
use crate::config::model::{
    Forwarded, Listener, ListenerLimits, ListenerTimeouts, Name, Protocol, ProxyProtocol, Target,
};
use crate::config::schema;
use crate::config::tree::NodeId;

/// `listeners:`
pub(super) fn listeners(
    room: &mut Room,
    root: NodeId,
    list: &Item<Vec<Item<schema::Listener>>>,
    services: &Services,
) -> Vec<Listener> {
    let sample = &format!("listeners: [{{name: web, bind: 0.0.0.0:8080, service: {}}}]", services.sample());
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
    let protocol = protocol::protocol(room, &typed.protocol);
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
            let name = room.required(&typed.service, at, "service", &format!("service: {}", services.sample()))?;
            service(room, typed.service.at().unwrap_or(at), name, protocol, services).map(Target::Service)
        }
        (Protocol::Http, None, Some(place)) => {
            let service = service(room, place, typed.service.get()?, protocol, services)?;
            Some(Target::Routes(vec![Arc::new(route::to(service))]))
        }
        (Protocol::Http, ..) => {
            if typed.routes.at().is_none() && room.is_supplied(at, &["service"]) {
                return None;
            }
            let sample = format!("{{service: {}}}", services.sample());
            let list = room.required(&typed.routes, at, "routes", &format!("routes: [{sample}]"))?;
            if list.is_empty() {
                room.problem(typed.routes.at().unwrap_or(at), "`routes` is empty", format!("add `{sample}`"));
            }
            Some(Target::Routes(route::routes(room, list, services)))
        }
    }
}
