//! `upstream:`

use serde_yaml::Value;

use super::tls::upstream_tls;
use super::written::word;
use crate::config::model::{Protocol, ProxyVersion, Upstream};

pub(super) fn upstream(upstream: &Upstream, protocol: Protocol) -> Value {
    let http = protocol == Protocol::Http;
    map! {
        "protocol" => word(&upstream.protocol),
        // On a tcp service it has no effect, and the reader says so.
        "keepalive" => http.then_some(if upstream.keepalive { "on" } else { "off" }),
        "tls" => upstream_tls(upstream.tls.as_ref()),
        "proxy_protocol" => proxy_version(upstream.proxy_protocol),
    }
}

pub(super) fn proxy_version(version: Option<ProxyVersion>) -> Value {
    version.map_or("off".into(), |version| word(&version))
}
