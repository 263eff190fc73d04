//! An item of `routes:`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::Name;
use super::patience::DelayThreshold;

/// One route of a TCP listener that looks into the ClientHello and passes TLS through untouched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SniRoute {
    /// The server name asked for; `None` = any, and clients that name none.
    pub sni: Option<HostMatch>,
    /// One of these protocols is offered; empty = any.
    pub alpn: Vec<String>,
    /// The service's name; it exists and speaks TCP.
    pub service: Name,
}

/// One route of an HTTP listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// What it takes.
    pub matches: RouteMatch,
    /// The service's name; it exists and speaks HTTP.
    pub service: Name,
    /// Changes to the request's header on its way up.
    pub request_headers: HeaderChanges,
    /// Changes to the response's header on its way down.
    pub response_headers: HeaderChanges,
    /// Overrides of the service's timeouts.
    pub timeouts: RouteTimeouts,
    /// Protocols that a client may switch to by `Upgrade` (lower case, such as `websocket`).
    pub upgrades: Vec<String>,
}

/// All conditions must hold; an empty match takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteMatch {
    /// Host of the request, without port, compared case-insensitively.
    pub host: Option<HostMatch>,
    /// Path of the request.
    pub path: Option<PathMatch>,
    /// One of these methods; empty = any.
    pub methods: Vec<String>,
    /// Each of these header fields: name in lower case, and the exact value (`None` = only present).
    pub headers: Vec<(String, Option<String>)>,
}

/// How a host is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostMatch {
    /// In lower case.
    Exact(String),
    /// `*.example.com`, held as `.example.com` in lower case: one or more labels before it.
    Wildcard(String),
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The whole path, without the query.
    Exact(String),
    /// At a segment border: `/api` takes `/api` and `/api/x`, not `/apiary`; `/api/` takes what is below it only; `/`
    /// takes everything.
    Prefix(String),
}

/// Changes to a header, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// Replace all fields of this name by one.
    pub set: Vec<(String, String)>,
    /// Append a field.
    pub add: Vec<(String, String)>,
    /// Remove all fields of this name (lower case).
    pub remove: Vec<String>,
}

/// A route's overrides of its service's timeouts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteTimeouts {
    /// See [`ServiceTimeouts::response`](super::ServiceTimeouts::response).
    pub response: Option<Duration>,
    /// See [`ServiceTimeouts::stall`](super::ServiceTimeouts::stall).
    pub stall: Option<DelayThreshold>,
}
