//! [`post`]: one POST of JSON, with bounds on its time and on what it is answered. No proxy, no redirection, no credential.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::config::{TlsVersion, UpstreamTls, Webhook};
use crate::net::tls::{Alpn, ClientTls, TlsFileLoader, explain};
use crate::net::{Connector, Transport};
use crate::sys::clock;
use crate::text::printable;

/// For the connection to one address.
const CONNECT: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Bytes of the head of an answer.
const HEAD: usize = 16 << 10;
/// Bytes of the body of an answer that are looked at.
const BODY: usize = 4 << 10;

/// Where to connect to.
#[derive(Debug)]
struct WebhookTarget {
    uri: Uri,
    /// With the port, where it is said.
    host: String,
    addresses: Vec<SocketAddr>,
    /// `None`: in the clear.
    tls: Option<ClientTls>,
}

/// What a webhook answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WebhookAnswer {
    /// Its status.
    pub status: u16,
    /// The first line of its body, fit to be shown; empty where the body is long or cannot be read.
    pub said: String,
}

/// Sends the body. `Err`: there was no answer, for people. Ends by `timeout`. Cancel safe; the server may have got it by then.
pub(super) async fn post(webhook: &Webhook, body: String, timeout: Duration) -> Result<WebhookAnswer, String> {
    let exchange = async { exchange(prepared(webhook).await?, body).await };
    #[allow(clippy::disallowed_methods, reason = "seldom, and not on the data path")]
    let answered = tokio::time::timeout(timeout, exchange).await;
    answered.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(timeout))))
}

/// Looks the name up and reads the certificates. Both may block for long: on a thread of its own, which no stop waits for.
async fn prepared(webhook: &Webhook) -> Result<WebhookTarget, String> {
    let (sender, receiver) = oneshot::channel();
    let webhook = webhook.clone();
    let prepare = move || {
        let _ = sender.send(WebhookTarget::find(&webhook));
    };
    let spawned = std::thread::Builder::new().name("webhook".to_owned()).spawn(prepare);
    spawned.map_err(|error| format!("there is no thread for it: {error}"))?;
    receiver.await.unwrap_or_else(|_| Err("it could not be prepared".to_owned()))
}

impl WebhookTarget {
    /// Blocks.
    fn find(webhook: &Webhook) -> Result<WebhookTarget, String> {
        let uri: Uri = webhook.url.parse().map_err(|_| "it is no URL")?;
        let authority = uri.authority().ok_or("it is no URL")?.clone();
        let is_https = uri.scheme_str() != Some("http");
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let name = authority.host().trim_matches(['[', ']']);
        let found = (name, port).to_socket_addrs().map_err(|error| format!("{name}: {error}"))?;
        let addresses: Vec<SocketAddr> = found.take(ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(format!("{name} has no address"));
        }
        let tls = is_https.then(|| client_tls(webhook, name)).transpose()?;
        Ok(WebhookTarget { host: authority.to_string(), uri, addresses, tls })
    }
}

fn client_tls(webhook: &Webhook, name: &str) -> Result<ClientTls, String> {
    let written =
        UpstreamTls { ca: webhook.ca.clone(), sni: None, identity: None, min_version: TlsVersion::Tls12, verify: true };
    let now = (clock::unix_millis() / 1000) as i64;
    let tls =
        ClientTls::load(&written, Alpn::Http1, &mut TlsFileLoader::new(now)).map_err(|error| error.to_string())?;
    Ok(tls.named(Some(name)))
}

/// Connects to the first address that answers, and asks.
async fn exchange(target: WebhookTarget, body: String) -> Result<WebhookAnswer, String> {
    let transport = connect(&target).await?;
    let failed = |error: hyper::Error| format!("the exchange failed: {error}");
    let handshake = http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(transport));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, &target.host)
        .header(ACCEPT, "*/*")
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("standfast/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let ask = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let status = answer.status().as_u16();
        // (The status is the answer.)
        let body = Limited::new(answer.into_body(), BODY).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        Ok(WebhookAnswer { status, said: printable(line).chars().take(120).collect() })
    };
    // The connection moves bytes while its answer is read, and is dropped behind it.
    let mut ask = std::pin::pin!(ask);
    tokio::select! {
        biased;
        answer = &mut ask => answer,
        _ = connection => ask.await,
    }
}

async fn connect(target: &WebhookTarget) -> Result<Transport, String> {
    let mut problem = String::new();
    for address in &target.addresses {
        let connector = Connector { tls: target.tls.as_ref(), ..Connector::new(*address) };
        #[allow(clippy::disallowed_methods, reason = "seldom, and not on the data path")]
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Takes one request, and answers with these bytes; then it stays.
    async fn answering(answer: &'static str) -> (Webhook, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/fence?now=1", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(got).unwrap()
        });
        (Webhook { url, ca: None }, task)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_status_and_the_first_line_are_the_answer() {
        let (webhook, got) = answering("HTTP/1.1 409 Conflict\r\ncontent-length: 9\r\n\r\n\nnot yet\n").await;
        let answer = post(&webhook, "{\"service\":\"orders\"}".to_owned(), LONG).await;
        assert_eq!(answer, Ok(WebhookAnswer { status: 409, said: "not yet".to_owned() }));
        let got = got.await.unwrap();
        assert!(
            got.starts_with("POST /fence?now=1 HTTP/1.1\r\n") && got.ends_with("\r\n\r\n{\"service\":\"orders\"}"),
            "{got}"
        );
        assert!(got.contains("content-type: application/json") && got.contains("content-length: 20"), "{got}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_no_answer_is_told() {
        let (webhook, _) = answering("").await;
        let began = clock::now();
        let answer = post(&webhook, "{}".to_owned(), Duration::from_millis(200)).await;
        assert!(answer.is_err() && clock::now().since(began) < Duration::from_secs(5), "{answer:?}");
        let nothing = Webhook { url: "http://127.0.0.1:1/".to_owned(), ca: None };
        assert!(post(&nothing, "{}".to_owned(), LONG).await.unwrap_err().contains("127.0.0.1:1: "));
        let (webhook, _) = answering("no HTTP at all\r\n\r\n").await;
        assert!(post(&webhook, "{}".to_owned(), LONG).await.unwrap_err().contains("the exchange failed"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_body_without_an_end_is_not_waited_for() {
        let long: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20)).into_boxed_str());
        let (webhook, _) = answering(long).await;
        let answer = post(&webhook, "{}".to_owned(), LONG).await;
        assert_eq!(answer, Ok(WebhookAnswer { status: 200, said: String::new() }));
    }
}
