//! `upstream:`

use super::diagnostics::Diagnostics;
use super::tls;
use crate::config::model::{Protocol, ProxyVersion, Upstream, UpstreamProtocol};
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};

/// `upstream:`
pub(super) fn upstream(diagnostics: &mut Diagnostics, typed: &schema::Service, protocol: Protocol) -> Upstream {
    let Some(typed) = typed.upstream.get() else { return Upstream::PLAIN };
    let version = match typed.protocol.found() {
        None | Some((_, schema::UpstreamProtocol::Http1)) => UpstreamProtocol::Http1,
        Some((at, other)) => {
            if protocol == Protocol::Tcp {
                diagnostics.problem(
                    at,
                    "a tcp service passes bytes through, whatever they are",
                    "leave `protocol` out",
                );
            }
            match other {
                schema::UpstreamProtocol::Http2 => UpstreamProtocol::Http2,
                _ => UpstreamProtocol::Auto,
            }
        }
    };
    let tls = match typed.tls.found() {
        Some((at, OffOr::Value(typed))) => tls::upstream(diagnostics, at, typed, None),
        _ => None,
    };
    if let (UpstreamProtocol::Auto, None, Some(at)) = (version, &tls, typed.protocol.at()) {
        let what = "in the clear nothing is negotiated: `auto` is HTTP/1.1 here";
        diagnostics.warning(at, what, "write `http1` or `http2`, or add `tls`");
    }
    let keepalive = keepalive(diagnostics, typed, protocol, version, tls.is_some());
    Upstream { protocol: version, keepalive, tls, proxy_protocol: proxy_version(&typed.proxy_protocol) }
}

/// `keepalive:`. Over HTTP/2 a connection is there to be shared.
fn keepalive(
    diagnostics: &mut Diagnostics,
    typed: &schema::Upstream,
    protocol: Protocol,
    version: UpstreamProtocol,
    secured: bool,
) -> bool {
    let Some((at, keepalive)) = typed.keepalive.found() else { return true };
    if protocol == Protocol::Tcp {
        diagnostics.warning(
            at,
            "`keepalive` has no effect on a tcp service",
            "leave it out: each session has its connection",
        );
        return true;
    }
    let may_be_http2 = match version {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => secured,
    };
    if !keepalive.0 && may_be_http2 {
        let what = "requests over HTTP/2 share connections, which are kept: `keepalive: off` is about HTTP/1";
        diagnostics.problem(at, what, "leave `keepalive` out, or write `protocol: http1`");
    }
    keepalive.0 || may_be_http2
}

/// `proxy_protocol:` of a service or of a check.
pub(super) fn proxy_version(item: &Spanned<OffOr<schema::ProxyVersion>>) -> Option<ProxyVersion> {
    match item.get()? {
        OffOr::Off => None,
        OffOr::Value(schema::ProxyVersion::V1) => Some(ProxyVersion::V1),
        OffOr::Value(schema::ProxyVersion::V2) => Some(ProxyVersion::V2),
    }
}
