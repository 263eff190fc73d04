//! One HTTP request to the admin port of a running instance.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::server_process;

/// For connect, request and answer together.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read: some ten thousand endpoints.
const LIMIT: usize = 32 << 20;

/// Asks `admin` (host:port, or a URL) for `path` and waits for the answer, whatever its status.
///
/// # Errors
/// What went wrong and what to do, in a sentence.
pub fn blocking(admin: &str, path: &str) -> Result<(StatusCode, String), String> {
    let runtime = server_process::runtime().map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        #[allow(clippy::disallowed_methods, reason = "one request of a command line tool")]
        let answer = tokio::time::timeout(PATIENCE, exchange(admin, path)).await;
        let hint = "is it running, and is this its admin.bind? (--admin ADDRESS)";
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(problem)) => Err(format!("{admin}: {problem}; {hint}")),
            Err(_) => Err(format!("{admin}: no answer within {} s; {hint}", PATIENCE.as_secs())),
        }
    })
}

async fn exchange(admin: &str, path: &str) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let url = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
    let url: Uri = url.parse().map_err(|_| "not an address (write host:port)")?;
    if url.scheme_str() != Some("http") {
        return Err("only http is spoken here".into());
    }
    let host = url.host().ok_or("no host (write host:port)")?;
    let port = url.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", format!("{host}:{port}")).body(Empty::<Bytes>::new())?;
    // It ends with the answer, or with an error that the answer then tells; the runtime ends it at the latest.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LIMIT).collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.into())?))
}

/// What came from the network must not command the terminal.
pub fn printable(text: &str) -> String {
    standfast::text::printable(text).into_owned()
}
