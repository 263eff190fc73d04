//! `upstream:`

use serde::{Deserialize, Serialize};

use super::tls::UpstreamTls;

/// Protocol and TLS towards the endpoints of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// The version of HTTP.
    pub protocol: UpstreamProtocol,
    /// Connections of HTTP/1 are kept for the next request. Never false where HTTP/2 may be spoken.
    pub keepalive: bool,
    /// Over TLS; `None` = in the clear.
    pub tls: Option<UpstreamTls>,
    /// Connections begin with a PROXY header about the client.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Upstream {
    /// HTTP/1.1 in the clear.
    pub const PLAIN: Upstream =
        Upstream { protocol: UpstreamProtocol::Http1, keepalive: true, tls: None, proxy_protocol: None };
}

/// The version of HTTP towards endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2: over TLS by ALPN, in the clear with prior knowledge.
    Http2,
    /// Over TLS what the endpoint chooses; in the clear HTTP/1.1.
    Auto,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}
