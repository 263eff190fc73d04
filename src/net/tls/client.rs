//! TLS towards endpoints.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, Error};
use tokio_rustls::{TlsConnector, TlsStream};

use super::file::{TlsAssetError, TlsFileLoader};
use super::leaf::OwnCertificate;
use super::trust::{self, NoVerification, TrustedRoots};
use super::{provider, tls_error, versions};
use crate::config::{UpstreamProtocol, UpstreamTls};
use crate::net::{Socket, Transport};

/// What is offered by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// Nothing: not HTTP.
    None,
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
    /// `h2`, else `http/1.1`
    Either,
}

impl From<UpstreamProtocol> for Alpn {
    fn from(protocol: UpstreamProtocol) -> Alpn {
        match protocol {
            UpstreamProtocol::Http1 => Alpn::Http1,
            UpstreamProtocol::Http2 => Alpn::Http2,
            UpstreamProtocol::Auto => Alpn::Either,
        }
    }
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Alpn::None => &[],
            Alpn::Http1 => &[b"http/1.1"],
            Alpn::Http2 => &[b"h2"],
            Alpn::Either => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// The TLS client towards an endpoint.
#[derive(Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// Asked for and verified; `None` = the endpoint's name, or its address where it has none.
    name: Option<ServerName<'static>>,
    leaf: Option<OwnCertificate>,
    content: u64,
}

impl ClientTls {
    /// Reads what the configuration names. Sessions are not resumed: see [`ClientTls::for_one_endpoint`].
    pub fn load(tls: &UpstreamTls, alpn: Alpn, loader: &mut TlsFileLoader) -> Result<ClientTls, TlsAssetError> {
        let unusable = |error: Error| TlsAssetError::Unusable(format!("TLS cannot be set up: {error}"));
        let mut seen = Vec::new();
        let name = match &tls.sni {
            None => None,
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| {
                TlsAssetError::Unusable(format!("`sni: {name}` is no name that a certificate can be for"))
            })?),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls.min_version))
            .map_err(unusable)?;
        let builder = if tls.verify {
            let (roots, pinned) = match &tls.ca {
                Some(path) => {
                    let (roots, certificates) = loader.roots(path, &mut seen, true)?;
                    (Arc::new(roots), certificates)
                }
                None => {
                    let roots = loader.system_roots()?;
                    let mut keys: Vec<_> = roots.roots.iter().map(|root| &*root.subject_public_key_info).collect();
                    keys.sort_unstable();
                    keys.into_iter().for_each(|key| seen.extend_from_slice(key));
                    (roots, Vec::new())
                }
            };
            let by_ca = match roots.is_empty() {
                true => None, // all of them are pinned
                false => {
                    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
                    Some(verifier.map_err(|error| TlsAssetError::Unusable(format!("no usable CA: {error}")))?)
                }
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustedRoots { by_ca, pinned }))
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification))
        };
        let mut leaf = None;
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (key, own): (CertifiedKey, OwnCertificate) = loader.certified(files, &mut seen)?;
                leaf = Some(own);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = alpn.protocols();
        config.resumption = Resumption::disabled();
        let mut hasher = DefaultHasher::new();
        (seen, tls, alpn).hash(&mut hasher);
        Ok(ClientTls { config: Arc::new(config), name, leaf, content: hasher.finish() })
    }

    /// The same with a session cache, for one endpoint: sessions are not shared between endpoints. An
    /// endpoint that DNS names is verified for that name, unless the configuration says another.
    pub fn for_one_endpoint(&self, host: Option<&str>) -> ClientTls {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::in_memory_sessions(8);
        ClientTls { config: Arc::new(config), ..self.named(host) }
    }

    /// The same, verified for `host` unless the configuration says another name.
    pub fn named(&self, host: Option<&str>) -> ClientTls {
        let host = || host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
        ClientTls {
            config: Arc::clone(&self.config),
            name: self.name.clone().or_else(host),
            leaf: self.leaf.clone(),
            content: self.content,
        }
    }

    /// Was it made from the same configuration and the same files?
    pub fn is_same(&self, other: &ClientTls) -> bool {
        self.content == other.content
    }

    /// The client certificate, if any.
    pub fn leaf(&self) -> Option<&OwnCertificate> {
        self.leaf.as_ref()
    }

    /// The handshake with the endpoint of this address. No deadline of its own: the caller drops it. When it fails the
    /// connection is gone; [`explain`] says why.
    pub async fn connect(&self, socket: impl Into<Socket>, address: SocketAddr) -> io::Result<Transport> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, socket.into()).await?;
        Ok(Transport::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// Why an endpoint's handshake failed, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// Its certificate is not trusted: another name, another CA, expired.
    Certificate,
    /// It sent an alert: it wants a client certificate, or another version.
    Alert,
    /// It closed or reset the connection.
    Closed,
    /// It does not speak TLS, or no common version or cipher.
    Protocol,
}

impl TlsFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [TlsFailure; 4] =
        [TlsFailure::Certificate, TlsFailure::Alert, TlsFailure::Closed, TlsFailure::Protocol];

    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            TlsFailure::Certificate => "certificate",
            TlsFailure::Alert => "alert",
            TlsFailure::Closed => "closed",
            TlsFailure::Protocol => "protocol",
        }
    }
}

/// What a failed handshake with an endpoint says, and a text about it for people.
pub fn explain(error: &io::Error) -> (TlsFailure, String) {
    match tls_error(error) {
        None => (TlsFailure::Closed, format!("closed during the TLS handshake: {error}")),
        Some(Error::InvalidCertificate(reason)) => {
            (TlsFailure::Certificate, format!("its certificate is not trusted: {}", trust::words(reason)))
        }
        Some(Error::AlertReceived(alert)) => {
            (TlsFailure::Alert, format!("it refused the TLS handshake: {}", alert_name(*alert)))
        }
        Some(Error::InvalidMessage(_)) => (TlsFailure::Protocol, "what it answers is not TLS".to_owned()),
        Some(other) => (TlsFailure::Protocol, format!("TLS handshake: {other}")),
    }
}

/// An alert by the name that the standard (RFC 8446, 6.2) has for it.
fn alert_name(alert: AlertDescription) -> String {
    let text = format!("{alert:?}");
    let mut name = String::with_capacity(text.len() + 4);
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_lower = |c: char| c.is_ascii_lowercase();
        // A word begins with a capital: HandshakeFailure, UnknownCA, UnknownPSKIdentity.
        let begins = before.is_some_and(is_lower) || before.is_some() && rest.peek().copied().is_some_and(is_lower);
        if c.is_ascii_uppercase() && begins {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        before = Some(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (alert, name) in [
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::NoApplicationProtocol, "no_application_protocol"),
            (AlertDescription::Unknown(77), "alert_description(0x4d)"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }
}
