//! `upstream:`

use super::tls::UpstreamTls;
use crate::config::spanned::{OffOr, OnOr};
use crate::config::units::OnOff;

map! { /// `upstream:`
Upstream {
    protocol: UpstreamProtocol,
    keepalive: OnOff,
    tls: OffOr<OnOr<UpstreamTls>>,
    proxy_protocol: OffOr<ProxyVersion>,
}}

words! { /// `upstream.proxy_protocol`
ProxyVersion { V1, V2, }}

words! { /// `upstream.protocol`
UpstreamProtocol { Http1, Http2, Auto, }}
