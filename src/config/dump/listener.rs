//! An item of `listeners:`

use serde_yaml::Value;

use super::route::{route, sni_route};
use super::tls::listener_tls;
use super::written::{list, word};
use crate::config::model::{Listener, Protocol, Target};

pub(super) fn listener(listener: &Listener) -> Value {
    let Listener { name, bind, protocol, timeouts, limits, forwarded, tls, proxy_protocol, target } = listener;
    map! {
        "name" => &**name,
        "bind" => list(bind, |address| address.to_string().into()),
        "protocol" => word(protocol),
        "timeouts" => map! {
            "handshake" => timeouts.handshake,
            "header" => timeouts.header,
            "body" => timeouts.body,
            "idle" => timeouts.idle,
        },
        "limits" => map! {
            "max_connections" => limits.max_connections,
            "header_bytes" => limits.header_bytes,
            "headers" => limits.headers,
            "streams" => limits.streams,
        },
        // On a tcp listener it has no effect, and the reader says so.
        "forwarded" => (*protocol == Protocol::Http).then(|| word(forwarded)),
        "tls" => tls.as_ref().map_or("off".into(), listener_tls),
        "proxy_protocol" => proxy_protocol.as_ref().map_or("off".into(), |proxy| map! {
            "required" => proxy.required,
            "trusted" => list(&proxy.trusted, |network| network.to_string().into()),
        }),
        "service" => match target {
            Target::Service(name) => Some(&**name),
            Target::Routes(_) | Target::Sni(_) => None,
        },
        "routes" => match target {
            Target::Service(_) => None,
            Target::Routes(routes) => Some(list(routes, |r| route(r))),
            Target::Sni(routes) => Some(list(routes, |r| sni_route(r))),
        },
    }
}
