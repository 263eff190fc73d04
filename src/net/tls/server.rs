//! TLS towards clients.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{Error, HandshakeKind, InvalidMessage, PeerIncompatible, ServerConfig};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

use super::file::{TlsAssetError, TlsFileLoader};
use super::leaf::{self, OwnCertificate};
use super::names::CertificateNames;
use super::tickets::{DemandKeys, TicketKeys};
use super::{provider, tls_error, version_of, versions};
use crate::config::{ListenerTls, TlsVersion, UnknownName};
use crate::net::Transport;
use crate::net::socket::{HeldWrites, Socket};
use crate::sys::clock;

/// `unrecognized_name`, fatal, as a record of its own.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The TLS server of one listener.
#[derive(Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    names: Arc<CertificateNames>,
    leaves: Vec<OwnCertificate>,
    /// The keys of its tickets, which the listener of a later configuration takes over.
    _keys: Arc<DemandKeys>,
    content: u64,
}

/// How a client's handshake ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// Well, with certificates.
    Full,
    /// Well, by a ticket or session of before.
    Resumed,
    /// It took too long.
    Timeout,
    /// The client went away in the middle of it, or a stop cut it.
    Closed,
    /// What came was not TLS.
    NotTls,
    /// The client asked for a name without a certificate here.
    UnknownName,
    /// No common version, cipher, curve, signature or protocol.
    NothingInCommon,
    /// The client's certificate is missing or not to be trusted.
    ClientCertificate,
    /// The client sent an alert; most often it does not trust the certificate.
    Alert,
    /// The client broke the protocol.
    Protocol,
}

impl HandshakeOutcome {
    /// All of them, in the order of their discriminants.
    pub const ALL: [HandshakeOutcome; 10] = [
        HandshakeOutcome::Full,
        HandshakeOutcome::Resumed,
        HandshakeOutcome::Timeout,
        HandshakeOutcome::Closed,
        HandshakeOutcome::NotTls,
        HandshakeOutcome::UnknownName,
        HandshakeOutcome::NothingInCommon,
        HandshakeOutcome::ClientCertificate,
        HandshakeOutcome::Alert,
        HandshakeOutcome::Protocol,
    ];

    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            HandshakeOutcome::Full => "full",
            HandshakeOutcome::Resumed => "resumed",
            HandshakeOutcome::Timeout => "timeout",
            HandshakeOutcome::Closed => "closed",
            HandshakeOutcome::NotTls => "not_tls",
            HandshakeOutcome::UnknownName => "unknown_name",
            HandshakeOutcome::NothingInCommon => "nothing_in_common",
            HandshakeOutcome::ClientCertificate => "client_certificate",
            HandshakeOutcome::Alert => "alert",
            HandshakeOutcome::Protocol => "protocol",
        }
    }

    fn failed(error: &io::Error) -> HandshakeOutcome {
        let Some(error) = tls_error(error) else { return HandshakeOutcome::Closed };
        match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                HandshakeOutcome::NotTls
            }
            Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)
            | Error::NoCertificatesPresented
            | Error::InvalidCertificate(_) => HandshakeOutcome::ClientCertificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeOutcome::NothingInCommon,
            Error::AlertReceived(_) => HandshakeOutcome::Alert,
            _ => HandshakeOutcome::Protocol,
        }
    }
}

/// A handshake that ended well.
#[derive(Debug)]
pub struct TlsAccepted {
    /// The connection.
    pub transport: Transport,
    /// [`HandshakeOutcome::Full`] or [`HandshakeOutcome::Resumed`].
    pub how: HandshakeOutcome,
    /// The version agreed on.
    pub version: TlsVersion,
    /// HTTP/2 was agreed on by ALPN.
    pub http2: bool,
}

impl ServerTls {
    /// Reads what the listener's configuration names.
    pub fn load(
        tls: &ListenerTls,
        tickets: &TicketKeys,
        loader: &mut TlsFileLoader,
    ) -> Result<ServerTls, TlsAssetError> {
        let mut seen = Vec::new();
        let mut names = CertificateNames::new(tls.unknown_name == UnknownName::Refuse);
        let mut leaves = Vec::new();
        for files in &tls.certificates {
            let (key, leaf) = loader.certified(files, &mut seen)?;
            names.add(&leaf.names, key);
            leaves.push(leaf);
        }
        let unusable = |error: Error| TlsAssetError::Unusable(format!("TLS cannot be set up: {error}"));
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls.min_version))
            .map_err(unusable)?;
        let mut demand = None;
        let builder = match &tls.client_auth {
            None => builder.with_no_client_auth(),
            Some(auth) => {
                let mut asked = Vec::new();
                let roots = Arc::new(loader.roots(&auth.ca, &mut asked, false)?.0);
                seen.extend_from_slice(&asked);
                demand = Some((auth.required, asked));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if auth.required { verifier } else { verifier.allow_unauthenticated() };
                let bad = |error| TlsAssetError::BadCertificate { path: auth.ca.clone(), detail: format!("{error}") };
                builder.with_client_cert_verifier(verifier.build().map_err(bad)?)
            }
        };
        let names = Arc::new(names);
        let mut config = builder.with_cert_resolver(Arc::clone(&names) as _);
        config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let keys = tickets.of(demand).map_err(unusable)?;
        keys.install(&mut config);
        let mut hasher = DefaultHasher::new();
        (seen, format!("{tls:?}")).hash(&mut hasher);
        Ok(ServerTls { config: Arc::new(config), names, leaves, _keys: keys, content: hasher.finish() })
    }

    /// Was it made from the same configuration and the same files?
    pub fn is_same(&self, other: &ServerTls) -> bool {
        self.content == other.content
    }

    /// Its certificates.
    pub fn leaves(&self) -> &[OwnCertificate] {
        &self.leaves
    }

    /// The handshake with a client that has sent nothing yet. No deadline of its own: the caller drops it. When it fails, the
    /// client has been told as far as TLS provides for it.
    pub async fn accept(&self, socket: TcpStream) -> Result<TlsAccepted, (HandshakeOutcome, io::Error)> {
        let fail = |error: io::Error| (HandshakeOutcome::failed(&error), error);
        let mut socket = Socket::from(socket);
        socket.set_waits(HeldWrites::SessionTickets);
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(fail)?;
        if !self.names.serves(start.client_hello().server_name()) {
            // Nothing was written to this socket yet: it takes seven bytes.
            let _ = start.io.tcp().try_write(&UNRECOGNIZED_NAME);
            return Err((HandshakeOutcome::UnknownName, io::Error::other("no certificate for the name asked for")));
        }
        let shaken = start.into_stream(Arc::clone(&self.config)).into_fallible().await;
        let mut stream = shaken.map_err(|(error, socket)| {
            // With unread bytes of the client, a close would lose the alert that waits.
            let _ = SockRef::from(socket.tcp()).shutdown(Shutdown::Write);
            fail(error)
        })?;
        stream.get_mut().0.set_waits(HeldWrites::Nothing);
        let session = stream.get_ref().1;
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        // A resumed session brings the client's certificate from its ticket, and nothing has looked at it again.
        if resumed && session.peer_certificates().is_some_and(|chain| chain.first().is_none_or(has_expired)) {
            return Err((
                HandshakeOutcome::ClientCertificate,
                io::Error::other("the client's certificate has expired"),
            ));
        }
        let how = if resumed { HandshakeOutcome::Resumed } else { HandshakeOutcome::Full };
        let version = version_of(session.protocol_version());
        let http2 = session.alpn_protocol() == Some(b"h2");
        Ok(TlsAccepted { transport: Transport::Tls(Box::new(TlsStream::Server(stream))), how, version, http2 })
    }
}

fn has_expired(certificate: &CertificateDer<'_>) -> bool {
    let now = i64::try_from(clock::unix_millis() / 1000).unwrap_or(i64::MAX);
    leaf::not_after(certificate).is_ok_and(|not_after| not_after < now)
}
