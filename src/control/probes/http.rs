//! The HTTP probe: one GET. As much is read as the verdict needs: the head, or the body up to [`BODY`].

use std::net::SocketAddr;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::answer::{self, Body};
use super::ask::Refutation;
use super::client::{Client, refute};
use crate::config::{HttpCheck, UpstreamProtocol};
use crate::decision::ProbeFailure;
use crate::net::Transport;

/// Bytes of a body that a check looks at.
pub(super) const BODY: usize = 64 * 1024;
/// Who we say we are.
pub(super) const AGENT: &str = concat!("standfast/", env!("CARGO_PKG_VERSION"), " (health check)");

/// The `Host` of a check that says none: the endpoint's name, or its address where it has none.
pub(super) fn asked_for(target: SocketAddr, name: Option<&str>) -> String {
    name.map_or_else(|| target.to_string(), |name| format!("{name}:{}", target.port()))
}

/// What a probe says beside its target and `Host`. What the check says replaces what we say by ourselves.
fn fields(check: &HttpCheck) -> Result<HeaderMap, http::Error> {
    let mut fields = HeaderMap::new();
    for (name, value) in &check.request_headers {
        let mut value = HeaderValue::try_from(value.reveal())?;
        // Neither printed nor kept in HTTP/2's tables.
        value.set_sensitive(true);
        fields.append(HeaderName::try_from(name.as_str())?, value);
    }
    for (name, value) in [(USER_AGENT, AGENT), (ACCEPT, "*/*")] {
        fields.entry(name).or_insert(HeaderValue::from_static(value));
    }
    Ok(fields)
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
            let request = request.body(()).and_then(|mut request| {
                request.headers_mut().extend(fields(check)?);
                Ok(request)
            });
            request.map_err(|error| format!("request cannot be made: {error}"))
        };
        let request_http2 = make(http::Request::get(format!("{scheme}://{host}{}", check.path)));
        let request = make(http::Request::get(&check.path).header(HOST, host));
        HttpQuestion { request, request_http2, check: check.clone() }
    }

    /// Ready to ask on this connection, in the version of HTTP that the check says.
    pub(super) async fn open(&self, stream: Transport) -> Result<Client, Refutation> {
        let in_the_clear = matches!(stream, Transport::Plain(_));
        match self.check.protocol {
            UpstreamProtocol::Http1 => Client::http1(stream).await,
            UpstreamProtocol::Auto if !stream.is_http2() => Client::http1(stream).await,
            UpstreamProtocol::Http2 if !in_the_clear && !stream.is_http2() => {
                Err(Refutation::Fail(ProbeFailure::Mismatch, "HTTP/2 was not agreed on by ALPN".to_owned()))
            }
            UpstreamProtocol::Http2 | UpstreamProtocol::Auto => Client::http2(stream).await,
        }
    }

    /// Ask; the caller holds the deadline.
    pub(super) async fn ask(&self, client: &mut Client) -> Result<(), Refutation> {
        let request = if client.is_http2() { &self.request_http2 } else { &self.request };
        let request = request.clone().map_err(Refutation::Local)?.map(|()| Full::default());
        client.ask(request, |response| self.judge(response)).await
    }

    async fn judge(&self, response: http::Response<Incoming>) -> Result<Incoming, Refutation> {
        answer::head(&self.check, response.status(), response.headers())?;
        let mut incoming = response.into_body();
        if !answer::wants_body(&self.check) {
            return Ok(incoming);
        }
        let mut body = Body::new(&self.check);
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(refute)?.into_data()
                && body.push(&data)
            {
                break;
            }
        }
        body.verdict()?;
        Ok(incoming)
    }
}
