//! `tls:` of a listener, of `upstream:` and of a check.

use serde::Deserialize;

use crate::config::spanned::{OffOr, OneOrMany, Spanned};

map! { /// `tls:` of a listener
ListenerTls {
    certificates: Vec<Spanned<Certificate>>,
    unknown_name: UnknownName,
    min_version: TlsVersion,
    alpn: OneOrMany<String>,
    client_auth: OffOr<ClientAuth>,
}}

map! { /// An item of `certificates:`
Certificate {
    cert: String,
    key: String,
}}

words! { /// `tls.unknown_name`
UnknownName { First, Refuse, }}

/// `tls.min_version`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::config) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

map! { /// `tls.client_auth`, of the admin port too
ClientAuth {
    mode: ClientAuthMode,
    ca: String,
}}

words! { /// `tls.client_auth.mode`
ClientAuthMode { Off, Optional, Required, }}

map! { /// `upstream.tls`, and `tls` of a check
UpstreamTls {
    ca: String,
    sni: String,
    client_cert: String,
    client_key: String,
    min_version: TlsVersion,
    insecure_skip_verify: bool,
}}
