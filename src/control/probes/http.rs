//! The HTTP probe: one GET on a connection of its own, by hyper's client – an independent reading of what the endpoint
//! answers. As much is read as the verdict needs: the head, or the body up to [`BODY`].

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::answer::{self, Body};
use super::ask::Refutation;
use crate::config::{HttpCheck, UpstreamProtocol};
use crate::decision::ProbeFailure;
use crate::net::Transport;

/// Bytes of a body that a check looks at.
pub(super) const BODY: usize = 64 * 1024;
/// Bytes of a response head that hyper may buffer.
const HEAD: usize = 64 * 1024;
/// Who we say we are.
pub(super) const AGENT: &str = concat!("standfast/", env!("CARGO_PKG_VERSION"), " (health check)");

/// The `Host` of a check that says none: the endpoint's name, or its address where it has none.
pub(super) fn asked_for(target: SocketAddr, name: Option<&str>) -> String {
    name.map_or_else(|| target.to_string(), |name| format!("{name}:{}", target.port()))
}

/// One GET and what its answer must be.
pub(super) struct HttpQuestion {
    /// `Err` when the configured path or host cannot be written as a request.
    request: Result<http::Request<()>, String>,
    /// The same for HTTP/2, where the host stands in the target.
    request_http2: Result<http::Request<()>, String>,
    check: HttpCheck,
}

impl HttpQuestion {
    /// Ask `target`, by this name where it has one, for what `check` says.
    pub(super) fn new(target: SocketAddr, name: Option<&str>, check: &HttpCheck) -> HttpQuestion {
        let host = check.host.clone().unwrap_or_else(|| asked_for(target, name));
        let scheme = if check.tls.is_some() { "https" } else { "http" };
        let make = |request: http::request::Builder| {
            let request = request.header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(());
            request.map_err(|error| format!("request cannot be made: {error}"))
        };
        let request_http2 = make(http::Request::get(format!("{scheme}://{host}{}", check.path)));
        let request = make(http::Request::get(&check.path).header(HOST, host));
        HttpQuestion { request, request_http2, check: check.clone() }
    }

    /// Ask once; the caller holds the deadline. Dropping it closes the connection.
    pub(super) async fn ask(&self, stream: Transport) -> Result<(), Refutation> {
        let in_the_clear = matches!(stream, Transport::Plain(_));
        match self.check.protocol {
            UpstreamProtocol::Http1 => self.ask_http1(stream).await,
            UpstreamProtocol::Auto if !stream.is_http2() => self.ask_http1(stream).await,
            UpstreamProtocol::Http2 if !in_the_clear && !stream.is_http2() => {
                Err(Refutation::Fail(ProbeFailure::Mismatch, "HTTP/2 was not agreed on by ALPN".to_owned()))
            }
            UpstreamProtocol::Http2 | UpstreamProtocol::Auto => self.ask_http2(stream).await,
        }
    }

    async fn ask_http1(&self, stream: Transport) -> Result<(), Refutation> {
        let request = self.request.clone().map_err(Refutation::Local)?.map(|()| Empty::<Bytes>::new());
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(refute)?;
        beside(connection, async { self.judge(sender.send_request(request).await.map_err(refute)?).await }).await
    }

    async fn ask_http2(&self, stream: Transport) -> Result<(), Refutation> {
        let request = self.request_http2.clone().map_err(Refutation::Local)?.map(|()| Empty::<Bytes>::new());
        let builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(refute)?;
        beside(connection, async { self.judge(sender.send_request(request).await.map_err(refute)?).await }).await
    }

    async fn judge(&self, response: http::Response<Incoming>) -> Result<(), Refutation> {
        answer::head(&self.check, response.status(), response.headers())?;
        if !answer::wants_body(&self.check) {
            return Ok(());
        }
        let mut incoming = response.into_body();
        let mut body = Body::new(&self.check);
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(refute)?.into_data()
                && body.push(&data)
            {
                break;
            }
        }
        body.verdict()
    }
}

/// An exchange, while its connection is driven.
pub(super) async fn beside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        verdict = &mut exchange => verdict,
        // The connection is over; what it has delivered is still there to be judged.
        _ = connection => exchange.await,
    }
}

/// What an error of the exchange says about the endpoint.
pub(super) fn refute(error: hyper::Error) -> Refutation {
    let kind = if error.is_parse() {
        ProbeFailure::Malformed
    } else if error.is_timeout() || io_kind(&error) == Some(io::ErrorKind::TimedOut) {
        ProbeFailure::Timeout
    } else {
        ProbeFailure::Reset
    };
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Refutation::Fail(kind, detail)
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    Some(error.source()?.downcast_ref::<io::Error>()?.kind())
}
