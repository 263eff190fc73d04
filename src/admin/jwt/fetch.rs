//! [`KeyFetcher`]: one GET for the keys of an issuer, with bounds on its time and size. No proxy, no redirection, no credential.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::access::jwks::LARGEST_SET;
use crate::config::{JwksUrl, TlsVersion, UpstreamTls};
use crate::net::tls::{Alpn, ClientTls, TlsFileLoader, explain};
use crate::net::{Connector, Transport};
use crate::sys::clock;

/// For name, connect, request and answer together.
const WHOLE: Duration = Duration::from_secs(10);
/// For the connection to one address.
const CONNECT: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Bytes of the head of an answer.
const HEAD: usize = 32 << 10;

/// Fetches from one address.
#[derive(Debug)]
pub(super) struct KeyFetcher {
    url: JwksUrl,
    /// A look-up that has not ended yet: there is one at most, however long the system takes.
    preparing: Option<oneshot::Receiver<Result<FetchTarget, String>>>,
}

/// Where to connect to.
#[derive(Debug)]
struct FetchTarget {
    uri: Uri,
    /// With the port, where it is said.
    host: String,
    addresses: Vec<SocketAddr>,
    /// `None`: in the clear.
    tls: Option<ClientTls>,
}

impl KeyFetcher {
    pub fn new(url: JwksUrl) -> KeyFetcher {
        KeyFetcher { url, preparing: None }
    }

    /// What the address answers. `Err`: why there is nothing, for people.
    pub async fn fetch(&mut self) -> Result<Bytes, String> {
        let fetch = async { exchange(self.prepared().await?).await };
        #[allow(clippy::disallowed_methods, reason = "once in some minutes, on the thread of the admin port")]
        let fetched = tokio::time::timeout(WHOLE, fetch).await;
        fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", WHOLE.as_secs())))
    }

    /// Looks the name up and reads the certificates. Both may block for long: on a thread of its own, which no stop waits for.
    async fn prepared(&mut self) -> Result<FetchTarget, String> {
        let preparing = match &mut self.preparing {
            Some(preparing) => preparing,
            none => {
                let (sender, receiver) = oneshot::channel();
                let url = self.url.clone();
                let prepare = move || {
                    let _ = sender.send(FetchTarget::find(&url));
                };
                let spawned = std::thread::Builder::new().name("jwks".to_owned()).spawn(prepare);
                spawned.map_err(|error| format!("there is no thread for it: {error}"))?;
                none.insert(receiver)
            }
        };
        let prepared = preparing.await;
        self.preparing = None;
        prepared.unwrap_or_else(|_| Err("it could not be prepared".to_owned()))
    }
}

impl FetchTarget {
    /// Blocks.
    fn find(url: &JwksUrl) -> Result<FetchTarget, String> {
        let uri: Uri = url.url.parse().map_err(|_| "it is no URL")?;
        let authority = uri.authority().ok_or("it is no URL")?.clone();
        let is_https = uri.scheme_str() != Some("http");
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let name = authority.host().trim_matches(['[', ']']);
        let found = (name, port).to_socket_addrs().map_err(|error| format!("{name}: {error}"))?;
        // In the clear only this host is believed, whatever the name stands for.
        let addresses: Vec<SocketAddr> =
            found.filter(|address| is_https || address.ip().to_canonical().is_loopback()).take(ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(format!("{name} has no address that may be asked"));
        }
        let tls = is_https.then(|| client_tls(url, name)).transpose()?;
        Ok(FetchTarget { host: authority.to_string(), uri, addresses, tls })
    }
}

fn client_tls(url: &JwksUrl, name: &str) -> Result<ClientTls, String> {
    let written =
        UpstreamTls { ca: url.ca.clone(), sni: None, identity: None, min_version: TlsVersion::Tls12, verify: true };
    let now = (clock::unix_millis() / 1000) as i64;
    let tls =
        ClientTls::load(&written, Alpn::Http1, &mut TlsFileLoader::new(now)).map_err(|error| error.to_string())?;
    Ok(tls.named(Some(name)))
}

/// Connects to the first address that answers, and asks.
async fn exchange(target: FetchTarget) -> Result<Bytes, String> {
    let transport = connect(&target).await?;
    let failed = |error: hyper::Error| format!("the exchange failed: {error}");
    let handshake = http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(transport));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, &target.host)
        .header(ACCEPT, "application/json, application/jwk-set+json")
        .header(USER_AGENT, concat!("standfast/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let ask = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}, and no other status than 200 is taken", answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), LARGEST_SET).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("the answer cannot be read: {error}"))
    };
    // The connection moves bytes while its answer is read, and is dropped behind it.
    let mut ask = std::pin::pin!(ask);
    tokio::select! {
        biased;
        answer = &mut ask => answer,
        _ = connection => ask.await,
    }
}

async fn connect(target: &FetchTarget) -> Result<Transport, String> {
    let mut problem = String::new();
    for address in &target.addresses {
        let connector = Connector { tls: target.tls.as_ref(), ..Connector::new(*address) };
        #[allow(clippy::disallowed_methods, reason = "once in some minutes, on the thread of the admin port")]
        let connected = tokio::time::timeout(CONNECT, connector.connect(None)).await;
        problem = match connected {
            Ok(Ok(transport)) => return Ok(transport),
            Ok(Err(error)) => format!("{address}: {}", words(error.io(), target.tls.is_some())),
            Err(_) => format!("{address}: no connection within {} s", CONNECT.as_secs()),
        };
    }
    Err(problem)
}

fn words(error: &io::Error, is_tls: bool) -> String {
    // (What the kernel says of a connect has a number.)
    if is_tls && error.raw_os_error().is_none() { explain(error).1 } else { error.to_string() }
}
