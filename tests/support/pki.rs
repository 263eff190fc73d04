//! A certificate authority for tests: files for the configuration, and TLS for clients and upstreams that trust it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use standfast::sys::clock;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, within};

/// An authority with a folder for what it issues.
pub struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key as files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// `{cert: …, key: …}`
    pub fn yaml(&self) -> String {
        format!("{{cert: {}, key: {}}}", self.cert.display(), self.key.display())
    }
}

impl Pki {
    /// Nobody trusts it but who is told to.
    pub fn new() -> Pki {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("Test CA {}", folder.path().display()));
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("written");
        Pki { folder, ca }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names (or IP addresses) in files that begin with `file`; the same file again is replaced.
    pub fn issue(&self, file: &str, names: &[&str]) -> Pair {
        self.issue_with(file, names, |_| {})
    }

    /// One whose time is over.
    pub fn issue_expired(&self, file: &str, names: &[&str]) -> Pair {
        self.issue_with(file, names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    /// One whose time is over in so long.
    pub fn issue_for(&self, file: &str, names: &[&str], left: Duration) -> Pair {
        let now = Duration::from_millis(clock::unix_millis());
        self.issue_with(file, names, |params| params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + left)
    }

    /// One that differs from the usual.
    pub fn issue_with(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .expect("names that certificates can be for");
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.ca).expect("a certificate");
        self.write(file, &certificate, &key)
    }

    /// One that has signed itself, as a CA (CA:TRUE) or not.
    pub fn self_signed(&self, file: &str, names: &[&str], ca: bool) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names that certificates can be for");
        params.distinguished_name.push(DnType::CommonName, "backend");
        params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write(file, &certificate, &key)
    }

    fn write(&self, file: &str, certificate: &rcgen::Certificate, key: &KeyPair) -> Pair {
        let pair = Pair {
            cert: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}-key.pem")),
        };
        std::fs::write(&pair.cert, certificate.pem()).expect("written");
        std::fs::write(&pair.key, key.serialize_pem()).expect("written");
        pair
    }

    /// A client that trusts this authority; change what it offers before it is shared.
    pub fn client(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        builder.expect("versions").with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// A client with a certificate of its own.
    pub fn client_as(&self, pair: &Pair) -> ClientConfig {
        let (chain, key) = load(pair);
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(self.roots());
        builder.with_client_auth_cert(chain, key).expect("a pair")
    }

    /// An upstream that wants a certificate of this authority from its clients.
    pub fn server_for_clients(&self, pair: &Pair) -> Arc<ServerConfig> {
        let (chain, key) = load(pair);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider()).build();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_client_cert_verifier(verifier.expect("a CA"));
        Arc::new(builder.with_single_cert(chain, key).expect("a pair"))
    }

    /// A client that trusts this authority, for this version only.
    pub fn client_of(&self, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]);
        builder.expect("versions").with_root_certificates(self.roots()).with_no_client_auth()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).expect("a CA");
        roots
    }
}

/// An upstream that shows this certificate; ALPN as given.
pub fn server(pair: &Pair, alpn: &[&str]) -> Arc<ServerConfig> {
    let (chain, key) = load(pair);
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn load(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&pair.cert).expect("a file").map(|der| der.expect("PEM")).collect();
    (chain, PrivateKeyDer::from_pem_file(&pair.key).expect("a key"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Shakes hands over a new connection and asks for this name.
pub async fn handshake(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    within(async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsConnector::from(Arc::clone(config)).connect(name, socket).await
    })
    .await
}

impl Client<TlsStream<TcpStream>> {
    /// Connects over TLS.
    pub async fn secured(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        Client::over(handshake(address, name, config).await.expect("a handshake"))
    }

    /// The first certificate that was shown.
    pub fn shown(&self) -> CertificateDer<'_> {
        self.stream.get_ref().1.peer_certificates().expect("shown")[0].clone()
    }
}

/// The certificate in this file.
pub fn der(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}
