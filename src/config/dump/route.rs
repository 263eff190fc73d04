//! An item of `routes:`

use serde_yaml::Value;

use super::written::{list, pairs};
use crate::config::model::{HeaderChanges, HostMatch, PathMatch, Route, RouteMatch, SniRoute};

pub(super) fn sni_route(route: &SniRoute) -> Value {
    map! {
        "match" => map! {
            "sni" => route.sni.as_ref().map(host),
            "alpn" => list(&route.alpn, |name| name.as_str().into()),
        },
        "service" => &*route.service,
    }
}

fn host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(end) => format!("*{end}"),
    }
}

pub(super) fn route(route: &Route) -> Value {
    let Route { matches, service, request_headers, response_headers, timeouts, upgrades } = route;
    map! {
        "match" => matched(matches),
        "service" => &**service,
        "request_headers" => changes(request_headers),
        "response_headers" => changes(response_headers),
        "timeouts" => map! { "response" => timeouts.response, "stall" => timeouts.stall },
        "upgrades" => list(upgrades, |name| name.as_str().into()),
    }
}

fn matched(matches: &RouteMatch) -> Value {
    let header = |(name, value): &(String, Option<String>)| {
        let value = value
            .as_ref()
            .map_or_else(|| map! { "present" => Value::Bool(true) }, |value| map! { "exact" => value.as_str() });
        (Value::from(name.as_str()), value)
    };
    map! {
        "host" => matches.host.as_ref().map(host),
        "path" => matches.path.as_ref().and_then(|path| match path {
            PathMatch::Exact(path) => Some(path.as_str()),
            PathMatch::Prefix(_) => None,
        }),
        "path_prefix" => matches.path.as_ref().and_then(|path| match path {
            PathMatch::Exact(_) => None,
            PathMatch::Prefix(path) => Some(path.as_str()),
        }),
        "method" => list(&matches.methods, |method| method.as_str().into()),
        "headers" => Value::Mapping(matches.headers.iter().map(header).collect()),
    }
}

fn changes(changes: &HeaderChanges) -> Value {
    map! {
        "set" => pairs(&changes.set),
        "add" => pairs(&changes.add),
        "remove" => list(&changes.remove, |name| name.as_str().into()),
    }
}
