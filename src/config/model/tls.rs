//! `tls:` of a listener, of `upstream:` and of a check.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// At least one; the one presented is selected by the server name (SNI) that the client asks for.
    pub certificates: Vec<Certificate>,
    /// What a client gets that asks for a name no certificate has, or for none.
    pub unknown_name: UnknownName,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Protocols offered, the preferred one first; empty = ALPN is not spoken.
    pub alpn: Vec<String>,
    /// Certificates of clients; `None` = they are not asked for one.
    pub client_auth: Option<ClientAuth>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// What a client gets that asks for a name no certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownName {
    /// The first certificate of the list: it decides.
    First,
    /// The handshake is refused (`unrecognized_name`).
    Refuse,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientAuth {
    /// A client without one is refused. (One with a wrong one always is.)
    pub required: bool,
    /// Trusted certificate authorities: a PEM file.
    pub ca: PathBuf,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// Trusted certificate authorities: a PEM file; `None` = the system's roots.
    pub ca: Option<PathBuf>,
    /// The name asked for and verified; `None` = the endpoint's name, or its address where it has none.
    pub sni: Option<String>,
    /// Our certificate, for endpoints that ask for one.
    pub identity: Option<Certificate>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Certificates are verified. Only `insecure_skip_verify: true` turns it off.
    pub verify: bool,
}
