//! `upstream:`

use super::tls::UpstreamTls;
use crate::config::item::{Switch, Toggle};
use crate::config::units::OnOff;

map! { /// `upstream:`
Upstream {
    protocol: UpstreamProtocol,
    keepalive: OnOff,
    tls: Switch<Toggle<UpstreamTls>>,
    proxy_protocol: Switch<ProxyVersion>,
}}

words! { /// `upstream.proxy_protocol`
ProxyVersion { V1, V2, }}

words! { /// `upstream.protocol`
UpstreamProtocol { Http1, Http2, Auto, }}
