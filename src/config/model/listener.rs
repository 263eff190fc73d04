//! An item of `listeners:`

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::Name;
use super::protocol::Protocol;
use super::route::{Route, SniRoute};
use super::tls::ListenerTls;
use crate::config::Bind;

/// One or more addresses on which connections are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Unique.
    pub name: Name,
    /// One or several addresses, IPv6 included.
    pub bind: Vec<Bind>,
    /// `http` or `tcp`.
    pub protocol: Protocol,
    /// Deadlines towards the client.
    pub timeouts: ListenerTimeouts,
    /// Bounds towards the client.
    pub limits: ListenerLimits,
    /// What `X-Forwarded-*` we send upstream.
    pub forwarded: Forwarded,
    /// TLS is terminated here; `None` = connections are in the clear.
    pub tls: Option<ListenerTls>,
    /// Connections begin with a PROXY header; `None` = it is not looked for.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where its requests or connections go.
    pub target: Target,
}

/// Where a listener sends its requests or connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// HTTP: the most specific matching route; see `routing::matching` for the order.
    Routes(Vec<Arc<Route>>),
    /// TCP: always this service.
    Service(Name),
    /// TCP, passed through: by what the client's TLS handshake asks for. The first route that takes it wins.
    Sni(Vec<Arc<SniRoute>>),
}

/// PROXY headers (HAProxy's PROXY protocol, versions 1 and 2) in front of what clients send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyProtocol {
    /// A connection without one is closed. Otherwise connections from trusted networks may have one.
    pub required: bool,
    /// Networks whose headers are trusted; from any other a connection is closed where it is required, and is read as if there
    /// were no PROXY protocol where it is not. Empty = every network (only with `required`).
    pub trusted: Vec<ipnet::IpNet>,
}

/// Deadlines towards the client. None of them is extended by one byte at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerTimeouts {
    /// The PROXY header, the TLS handshake, and the ClientHello of what is passed through: together.
    pub handshake: Duration,
    /// From the first byte of a request head (or the accept) to its end.
    pub header: Duration,
    /// Longest pause between two reads of a request body, or two writes of a response that the client does not take.
    pub body: Duration,
    /// Longest silence of a keep-alive connection between requests.
    pub idle: Duration,
}

/// Bounds towards the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerLimits {
    /// Connections at once over all workers.
    pub max_connections: usize,
    /// Bytes of a request head; beyond: 431.
    pub header_bytes: usize,
    /// Number of header fields; beyond: 431.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams: u32,
}

/// What the upstream is told about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Append the peer to `X-Forwarded-For`; set `-Proto`; keep `-Host` if present, else set it.
    Append,
    /// Remove what the client claimed and set all three. (default)
    Replace,
    /// Send none and remove what the client claimed.
    Off,
}
