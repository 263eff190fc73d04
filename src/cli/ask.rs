//! One HTTP request to a running instance: over its unix socket, TCP or TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, http};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::server_process;

/// For connect, request and answer together.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read: some ten thousand endpoints.
const LIMIT: usize = 32 << 20;
/// The unix socket that is tried when no address is given.
const SOCKET: &str = "/run/standfast/admin.sock";
/// The address where there is no such socket.
const ADDRESS: &str = "127.0.0.1:9901";

/// The instance to ask, and the credential.
#[derive(Clone, Debug, clap::Args)]
pub struct InstanceArgs {
    /// The instance: unix:PATH (`admin.socket`), host:port (`admin.bind`), or a URL [default: unix:/run/standfast/admin.sock
    /// where it exists, else 127.0.0.1:9901]
    #[arg(long, env = "STANDFAST_ADMIN", value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// A file with a bearer token (`standfast token create` makes one)
    #[arg(long, env = "STANDFAST_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The CA certificates (PEM) that the instance's certificate is verified against [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct AdminRequest<'a> {
    /// GET, or POST for an act.
    pub method: Method,
    /// With the query.
    pub path: &'a str,
    /// The id of an act.
    pub act: Option<String>,
    /// The mark that its service must have.
    pub mark: Option<String>,
    /// JSON; empty = none.
    pub body: String,
}

/// Why there is no answer. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing was sent: nothing happened.
    #[error("{0}")]
    NotSent(String),
    /// It was sent, and the answer did not come: it may have happened.
    #[error("{0}")]
    NoAnswer(String),
}

impl InstanceArgs {
    /// Where the instance is, for messages too.
    pub fn address(&self) -> String {
        match &self.admin {
            Some(address) => address.clone(),
            None if Path::new(SOCKET).exists() => format!("unix:{SOCKET}"),
            None => ADDRESS.to_owned(),
        }
    }

    /// The answer to a GET, whatever its status.
    pub fn get(&self, path: &str) -> Result<(StatusCode, String), AskError> {
        self.ask(&AdminRequest { method: Method::GET, path, act: None, mark: None, body: String::new() })
    }

    /// The answer to a request, whatever its status.
    pub fn ask(&self, request: &AdminRequest<'_>) -> Result<(StatusCode, String), AskError> {
        let not_sent = |problem: String| AskError::NotSent(problem);
        let runtime = server_process::runtime().map_err(|error| not_sent(format!("cannot start: {error}")))?;
        let token = self.token_file.as_deref().map(token).transpose().map_err(not_sent)?;
        runtime.block_on(async {
            let mut address = self.address();
            let mut link = self.reach(&address).await;
            if link.is_err() && self.admin.is_none() && address != ADDRESS {
                // A socket of before, or one that is for others.
                link = self.reach(ADDRESS).await.or(link);
                ADDRESS.clone_into(&mut address);
            }
            let link = link.map_err(not_sent)?;
            // On a port of this machine that was not named, anybody could listen.
            let is_private = link.is_private && (self.admin.is_some() || !link.is_port);
            if token.is_some() && !is_private {
                let problem =
                    "the token would travel in the clear: use https, the unix socket, or name the address by --admin";
                return Err(not_sent(format!("{address}: {problem}")));
            }
            let built = http_request(&link.host, request, token.as_deref());
            let built = built.map_err(|error| not_sent(format!("{address}: {error}")))?;
            #[allow(clippy::disallowed_methods, reason = "one request of a command line tool")]
            let answer = tokio::time::timeout(PATIENCE, exchange(link, built)).await;
            match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(problem)) => Err(AskError::NoAnswer(format!("{address}: {problem}; {HINT}"))),
                Err(_) => {
                    Err(AskError::NoAnswer(format!("{address}: no answer within {} s; {HINT}", PATIENCE.as_secs())))
                }
            }
        })
    }

    async fn reach(&self, address: &str) -> Result<AdminLink, String> {
        #[allow(clippy::disallowed_methods, reason = "one request of a command line tool")]
        let connected = tokio::time::timeout(PATIENCE, connect(address, self.ca.as_deref())).await;
        match connected {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(problem)) => Err(format!("{address}: {problem}; {HINT}")),
            Err(_) => Err(format!("{address}: no answer within {} s; {HINT}", PATIENCE.as_secs())),
        }
    }
}

const HINT: &str = "is it running, and is this its admin.bind or admin.socket? (--admin ADDRESS)";

/// A connection to an instance, and what it calls the instance.
struct AdminLink {
    stream: Box<dyn AdminStream>,
    host: String,
    /// What is sent cannot be read on its way.
    is_private: bool,
    /// It is a port in the clear.
    is_port: bool,
}

trait AdminStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> AdminStream for S {}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn connect(address: &str, ca: Option<&Path>) -> Result<AdminLink, AnyError> {
    if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let stream = Box::new(UnixStream::connect(path).await?);
        return Ok(AdminLink { stream, host: "localhost".to_owned(), is_private: true, is_port: false });
    }
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url: Uri = url.parse().map_err(|_| "not an address (write host:port, a URL, or unix:PATH)")?;
    let host = url.host().ok_or("no host (write host:port)")?;
    let bare = host.trim_matches(['[', ']']);
    match url.scheme_str() {
        Some("http") => {
            let port = url.port_u16().unwrap_or(80);
            let stream = TcpStream::connect((bare, port)).await?;
            let is_private = stream.peer_addr()?.ip().is_loopback();
            Ok(AdminLink { stream: Box::new(stream), host: format!("{host}:{port}"), is_private, is_port: true })
        }
        Some("https") => {
            let port = url.port_u16().unwrap_or(443);
            let name = ServerName::try_from(bare.to_owned())?;
            let stream = TcpStream::connect((bare, port)).await?;
            let stream = TlsConnector::from(Arc::new(tls(ca)?)).connect(name, stream).await?;
            Ok(AdminLink { stream: Box::new(stream), host: format!("{host}:{port}"), is_private: true, is_port: false })
        }
        _ => Err("only http, https and unix are spoken here".into()),
    }
}

/// TLS that trusts this file, or what the system trusts.
fn tls(ca: Option<&Path>) -> Result<rustls::ClientConfig, AnyError> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let unreadable = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
                roots.add(certificate.map_err(|error| unreadable(&error))?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The token of a file: its first line that is no comment.
fn token(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--token-file {}: {error}", path.display()))?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = line.filter(|line| line.bytes().all(|byte| byte.is_ascii_graphic()));
    token.map(str::to_owned).ok_or_else(|| format!("--token-file {}: there is no token in it", path.display()))
}

fn http_request(
    host: &str,
    request: &AdminRequest<'_>,
    token: Option<&str>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut builder = Request::builder().method(&request.method).uri(request.path).header("host", host);
    if let Some(token) = token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    if request.method == Method::POST {
        builder = builder.header("content-type", "application/json");
    }
    if let Some(act) = &request.act {
        builder = builder.header("idempotency-key", act);
    }
    if let Some(mark) = &request.mark {
        builder = builder.header("if-match", format!("\"{mark}\""));
    }
    builder.body(Full::new(Bytes::from(request.body.clone())))
}

async fn exchange(link: AdminLink, request: Request<Full<Bytes>>) -> Result<(StatusCode, String), AnyError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(link.stream)).await?;
    // It ends with the answer, or with an error that the answer then tells; the runtime ends it at the latest.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LIMIT).collect().await?.to_bytes();
    let text = String::from_utf8(body.into()).map_err(|_| io::Error::other("the answer is no text"))?;
    Ok((status, text))
}

/// What a problem says, in lines for people; `None`: it is none.
pub fn problem_text(text: &str) -> Option<String> {
    let problem: Value = serde_json::from_str(text).ok()?;
    let detail = problem["detail"].as_str()?;
    let parts = problem["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let parts: String = parts.map(|part| format!("  {}\n", printable(part))).collect();
    let advice = problem["advice"].as_str().map(|advice| format!("{}\n", printable(advice))).unwrap_or_default();
    Some(format!("{}\n{parts}{advice}", printable(detail)))
}

/// What came from the network must not command the terminal.
pub fn printable(text: &str) -> String {
    standfast::text::printable(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_parts_and_its_advice() {
        let problem = r#"{"detail": "2 fields are wrong", "problems": ["a: x", "b: y"], "advice": "do"}"#;
        assert_eq!(problem_text(problem).as_deref(), Some("2 fields are wrong\n  a: x\n  b: y\ndo\n"));
        assert_eq!(problem_text("{}"), None);
    }

    #[test]
    fn a_token_is_the_first_line_that_is_no_comment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            token(&path)
        };
        assert_eq!(read("# of ada\n\n sft_a_b \nmore\n").as_deref(), Ok("sft_a_b"));
        for none in ["", "# only\n", "sft a\n", "\u{1b}[2J\n"] {
            assert!(read(none).unwrap_err().ends_with("there is no token in it"), "{none:?}");
        }
    }
}
