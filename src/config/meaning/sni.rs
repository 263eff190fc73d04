//! `routes:` of a tcp listener: TLS passed through, by what its first message asks for.

use std::sync::Arc;

use super::listener::service;
use super::service::Named;
use super::{Room, tls};
use crate::config::item::{Item, Short};
use crate::config::model::{HostMatch, Protocol, SniRoute};
use crate::config::schema;
use crate::config::tree::NodeId;

pub(super) fn routes(room: &mut Room, list: &[Item<Short<schema::Route>>], services: &[Named]) -> Vec<Arc<SniRoute>> {
    let mut found: Vec<(usize, Arc<SniRoute>)> = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let faults = room.faults.len();
        let Some(route) = route(room, at, &typed.0, services) else { continue };
        // With a problem in it, what it matches is not known.
        if room.faults.len() == faults {
            if let Some((first, _)) = found.iter().find(|(_, first)| covers(first, &route)) {
                let what = format!("this route never gets a connection: routes[{first}] takes the same before it");
                room.warning(at, what, "put it before that one, or remove it: the first route that matches is taken");
            }
            found.push((index, Arc::new(route)));
        }
    }
    found.into_iter().map(|(_, route)| route).collect()
}

fn route(room: &mut Room, at: NodeId, typed: &schema::Route, services: &[Named]) -> Option<SniRoute> {
    let bytes = "a tcp listener passes bytes through and sees no HTTP";
    let advice = "its routes match by `sni` and `alpn` alone";
    let besides = [typed.request_headers.at(), typed.response_headers.at(), typed.timeouts.at(), typed.upgrades.at()];
    for at in besides.into_iter().flatten() {
        room.problem(at, bytes, "leave it out");
    }
    let matches = typed.matches.get().cloned().unwrap_or_default();
    let of_http =
        [matches.host.at(), matches.path.at(), matches.path_prefix.at(), matches.method.at(), matches.headers.at()];
    for at in of_http.into_iter().flatten() {
        room.problem(at, bytes, advice);
    }
    let sni = matches.sni.found().and_then(|(at, text)| tls::asked_name(room, at, text));
    let alpn = matches.alpn.get().map_or(&[][..], |list| &list.0);
    let alpn = alpn.iter().filter_map(Item::found);
    let alpn = alpn.filter_map(|(at, text)| tls::protocol_name(room, at, text)).collect();
    let name = room.required(&typed.service, at, "service", "service: NAME")?;
    let service = service(room, typed.service.at().unwrap_or(at), name, Protocol::Tcp, services)?;
    Some(SniRoute { sni, alpn, service })
}

/// Does the first take every connection that the second would?
fn covers(first: &SniRoute, second: &SniRoute) -> bool {
    let name = match (&first.sni, &second.sni) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HostMatch::Exact(first)), Some(second)) => *second == HostMatch::Exact(first.clone()),
        (Some(HostMatch::Wildcard(end)), Some(HostMatch::Exact(name) | HostMatch::Wildcard(name))) => {
            name.ends_with(end.as_str())
        }
    };
    let offers =
        first.alpn.is_empty() || !second.alpn.is_empty() && second.alpn.iter().all(|offer| first.alpn.contains(offer));
    name && offers
}
