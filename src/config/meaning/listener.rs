//! `listeners:`

use std::collections::HashSet;
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::names::unused_name_advice;
use super::services::{ServiceIndex, service};
use super::{address, protocol, route, sni, tls};
use crate::config::defaults;
use crate::config::model::{
    Forwarded, Listener, ListenerLimits, ListenerTimeouts, Name, Protocol, ProxyProtocol, Target,
};
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::tree::NodeId;

/// `listeners:`
pub(super) fn listeners(
    diagnostics: &mut Diagnostics,
    root: NodeId,
    list: &Spanned<Vec<Spanned<schema::Listener>>>,
    services: &ServiceIndex,
) -> Vec<Listener> {
    let sample = &format!("listeners: [{{name: web, bind: 0.0.0.0:8080, service: {}}}]", services.sample());
    let Some(list) = diagnostics.required(list, root, "listeners", sample) else { return Vec::new() };
    if list.is_empty() {
        diagnostics.problem(root, "`listeners` is empty", format!("add one: `{sample}`"));
    }
    let mut seen: HashSet<Name> = HashSet::new();
    let mut found = Vec::new();
    for (at, typed) in list.iter().filter_map(Spanned::found) {
        let Some(listener) = listener(diagnostics, at, typed, services) else { continue };
        if !seen.insert(listener.name.clone()) {
            let at = typed.name.at().unwrap_or(at);
            let advice = unused_name_advice(&listener.name, |name| seen.contains(name));
            diagnostics.problem(at, format!("a second listener is called `{}`", listener.name), advice);
        }
        found.push(listener);
    }
    found
}

fn listener(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Listener,
    services: &ServiceIndex,
) -> Option<Listener> {
    let name = diagnostics
        .required(&typed.name, at, "name", "name: web")
        .and_then(|name| diagnostics.name(typed.name.at().unwrap_or(at), name));
    let bind = diagnostics.required(&typed.bind, at, "bind", "bind: 0.0.0.0:8080").map_or(&[][..], |list| &list.0);
    if typed.bind.get().is_some_and(|list| list.0.is_empty()) {
        diagnostics.problem(typed.bind.at().unwrap_or(at), "`bind` is an empty list", "write at least one address");
    }
    for (at, bind) in bind.iter().filter_map(Spanned::found) {
        address::check_bind(diagnostics, at, bind.0);
    }
    let protocol = protocol::protocol(diagnostics, &typed.protocol);
    let target = target(diagnostics, at, typed, protocol, services);
    let proxy_protocol = proxy_protocol(diagnostics, typed);
    Some(Listener {
        name: name?,
        bind: bind.iter().filter_map(Spanned::get).map(|bind| bind.0).collect(),
        protocol,
        timeouts: timeouts(diagnostics, &typed.timeouts),
        limits: limits(diagnostics, &typed.limits),
        forwarded: forwarded(diagnostics, typed, protocol, proxy_protocol.as_ref()),
        tls: tls::listener(diagnostics, &typed.tls, protocol),
        proxy_protocol,
        target: target?,
    })
}

fn timeouts(diagnostics: &mut Diagnostics, item: &Spanned<schema::ListenerTimeouts>) -> ListenerTimeouts {
    let typed = item.get().cloned().unwrap_or_default();
    ListenerTimeouts {
        handshake: diagnostics.wait(&typed.handshake, defaults::HANDSHAKE),
        header: diagnostics.wait(&typed.header, defaults::HEADER),
        body: diagnostics.wait(&typed.body, defaults::CLIENT_BODY),
        idle: diagnostics.wait(&typed.idle, defaults::CLIENT_IDLE),
    }
}

fn limits(diagnostics: &mut Diagnostics, item: &Spanned<schema::ListenerLimits>) -> ListenerLimits {
    /// The shortest head with a Host and a few fields; the longest that a connection may make us hold.
    const HEADER_BYTES: std::ops::RangeInclusive<u64> = 1024..=1 << 20;
    let typed = item.get().cloned().unwrap_or_default();
    if let Some((at, bytes)) = typed.header_bytes.found()
        && !HEADER_BYTES.contains(&bytes.0)
    {
        diagnostics.problem(at, format!("{} bytes are no bound for a request head", bytes.0), "from 1KiB to 1MiB");
    }
    ListenerLimits {
        max_connections: typed.max_connections.get().map_or(defaults::LISTENER_CONNECTIONS, |n| n.0 as usize),
        header_bytes: typed.header_bytes.get().map_or(defaults::HEADER_BYTES, |n| n.0 as usize),
        headers: typed.headers.get().map_or(defaults::HEADERS, |n| n.0 as usize),
        streams: typed.streams.get().map_or(defaults::STREAMS, |n| n.0 as u32),
    }
}

/// `proxy_protocol:` of a listener.
fn proxy_protocol(diagnostics: &mut Diagnostics, typed: &schema::Listener) -> Option<ProxyProtocol> {
    let (at, OffOr::Value(ShorthandMap(proxy))) = typed.proxy_protocol.found()? else { return None };
    let required = proxy.required.get().is_some_and(|must| must.0);
    let trusted = proxy.trusted.get().map_or(&[][..], |list| &list.0);
    let trusted: Vec<_> = trusted.iter().filter_map(Spanned::get).map(|network| network.0).collect();
    let bad = proxy.required.at().is_some() && proxy.required.get().is_none()
        || proxy.trusted.at().is_some() && proxy.trusted.get().is_none_or(|list| list.0.len() != trusted.len());
    if trusted.is_empty() && !bad {
        let advice = "name the networks of the proxies before this one: `trusted: [10.0.0.0/8]`";
        let mut bind = typed.bind.get().map_or(&[][..], |list| &list.0).iter().filter_map(Spanned::get);
        if !required {
            diagnostics.problem(at, "no PROXY header would be believed", advice);
        } else if bind.any(|bind| !bind.0.is_loopback()) {
            let what =
                "PROXY headers are believed from everywhere: anybody who can connect can name any client address";
            diagnostics.warning(at, what, advice);
        }
    }
    Some(ProxyProtocol { required, trusted })
}

/// `forwarded:` of a listener. `append` keeps what a client says about itself: it is for listeners that only load balancers
/// can connect to.
fn forwarded(
    diagnostics: &mut Diagnostics,
    typed: &schema::Listener,
    protocol: Protocol,
    proxy: Option<&ProxyProtocol>,
) -> Forwarded {
    let Some((at, forwarded)) = typed.forwarded.found() else { return defaults::FORWARDED };
    if protocol == Protocol::Tcp {
        diagnostics.warning(at, "`forwarded` has no effect on a tcp listener", "leave it out");
        return defaults::FORWARDED;
    }
    match forwarded {
        schema::Forwarded::Append => {
            let networks = |proxy: &ProxyProtocol| {
                !proxy.trusted.is_empty() && proxy.trusted.iter().all(|network| network.prefix_len() > 0)
            };
            let named = proxy.is_some_and(|proxy| proxy.required && networks(proxy));
            let mut bind = typed.bind.get().map_or(&[][..], |list| &list.0).iter().filter_map(Spanned::get);
            if !named && bind.any(|bind| !bind.0.is_loopback()) {
                diagnostics.warning(
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
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Listener,
    protocol: Protocol,
    services: &ServiceIndex,
) -> Option<Target> {
    match (protocol, typed.routes.at(), typed.service.at()) {
        (_, Some(_), Some(service)) => {
            diagnostics.problem(service, "`service` and `routes` are both given", "keep one of them");
            None
        }
        (Protocol::Tcp, Some(at), None) => {
            if matches!(typed.tls.get(), Some(OffOr::Value(_))) {
                let what = "TLS is either ended here or passed through by its routes";
                diagnostics.problem(at, what, "keep `tls` with one `service: NAME`, or `routes` without `tls`");
            }
            let list = typed.routes.get()?;
            if list.is_empty() {
                diagnostics.problem(at, "`routes` is empty", "add `{match: {sni: shop.example.com}, service: NAME}`");
            }
            Some(Target::Sni(sni::routes(diagnostics, list, services)))
        }
        (Protocol::Tcp, None, _) => {
            let name =
                diagnostics.required(&typed.service, at, "service", &format!("service: {}", services.sample()))?;
            service(diagnostics, typed.service.at().unwrap_or(at), name, protocol, services).map(Target::Service)
        }
        (Protocol::Http, None, Some(place)) => {
            let service = service(diagnostics, place, typed.service.get()?, protocol, services)?;
            Some(Target::Routes(vec![Arc::new(route::to(service))]))
        }
        (Protocol::Http, ..) => {
            if typed.routes.at().is_none() && diagnostics.is_supplied(at, &["service"]) {
                return None;
            }
            let sample = format!("{{service: {}}}", services.sample());
            let list = diagnostics.required(&typed.routes, at, "routes", &format!("routes: [{sample}]"))?;
            if list.is_empty() {
                diagnostics.problem(typed.routes.at().unwrap_or(at), "`routes` is empty", format!("add `{sample}`"));
            }
            Some(Target::Routes(route::routes(diagnostics, list, services)))
        }
    }
}
