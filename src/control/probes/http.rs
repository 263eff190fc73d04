//! The HTTP probe: one request. As much is read as the verdict needs: the head, or the body up to [`answer::BODY`]. A redirect is an
//! answer like any other: it is judged by its status, and not followed.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::answer::{self, JudgedBody};
use super::error::{ProbeError, exchange_error, mismatch};
use super::http_client::ProbeClient;
use super::kept::ProbeExchange;
use super::stream::ProbeStream;
use crate::config::{HttpCheck, UpstreamProtocol};

/// The `User-Agent` of probes.
pub(super) const AGENT: &str = concat!("standfast/", env!("CARGO_PKG_VERSION"), " (health check)");

/// The `Host` of a check that says none: the endpoint's name, or its address where it has none.
pub(super) fn authority(target: SocketAddr, name: Option<&str>) -> String {
    name.map_or_else(|| target.to_string(), |name| format!("{name}:{}", target.port()))
}

/// The body that a probe sends.
fn body(check: &HttpCheck) -> Bytes {
    check.request_body.as_ref().map_or_else(Bytes::new, |body| Bytes::from(body.reveal().to_owned()))
}

/// Servers expect these methods to have content: without any they are told its length too (RFC 9110, section 8.6).
fn usually_has_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The header of a probe without `Host`. What the check says replaces our own fields.
fn fields(check: &HttpCheck, method: &Method) -> Result<HeaderMap, http::Error> {
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
    let length = body(check).len();
    if length > 0 || usually_has_content(method) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(fields)
}

/// One request and what its answer must be.
pub(super) struct HttpExchange {
    /// `Err` when the configured method, path or host cannot be written as a request.
    request: Result<http::Request<()>, String>,
    /// The same for HTTP/2, where the host stands in the target.
    request_http2: Result<http::Request<()>, String>,
    body: Bytes,
    check: HttpCheck,
}

impl HttpExchange {
    /// The request to `target`, by this name where it has one, as `check` says.
    pub(super) fn new(target: SocketAddr, name: Option<&str>, check: &HttpCheck) -> HttpExchange {
        let host = check.host.clone().unwrap_or_else(|| authority(target, name));
        let scheme = if check.tls.is_some() { "https" } else { "http" };
        let make = |request: http::request::Builder| {
            let request = request.method(&*check.method).body(()).and_then(|mut request| {
                let fields = fields(check, request.method())?;
                request.headers_mut().extend(fields);
                Ok(request)
            });
            request.map_err(|error| format!("request cannot be made: {error}"))
        };
        let request_http2 = make(http::Request::builder().uri(format!("{scheme}://{host}{}", check.path)));
        let request = make(http::Request::builder().uri(&check.path).header(HOST, host));
        HttpExchange { request, request_http2, body: body(check), check: check.clone() }
    }

    async fn judge(&self, response: http::Response<Incoming>) -> Result<Incoming, ProbeError> {
        answer::head(&self.check, response.status(), response.headers())?;
        let mut incoming = response.into_body();
        if !answer::wants_body(&self.check) {
            return Ok(incoming);
        }
        let mut body = JudgedBody::new(&self.check);
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(exchange_error)?.into_data()
                && body.push(&data)
            {
                break;
            }
        }
        body.verdict()?;
        Ok(incoming)
    }
}

impl ProbeExchange for HttpExchange {
    /// In the version of HTTP that the check says.
    async fn open(&self, stream: ProbeStream) -> Result<ProbeClient, ProbeError> {
        match self.check.protocol {
            UpstreamProtocol::Http1 => ProbeClient::http1(stream).await,
            UpstreamProtocol::Auto if !stream.is_http2() => ProbeClient::http1(stream).await,
            UpstreamProtocol::Http2 if !stream.is_plain() && !stream.is_http2() => {
                Err(mismatch("HTTP/2 was not agreed on by ALPN".to_owned()))
            }
            UpstreamProtocol::Http2 | UpstreamProtocol::Auto => ProbeClient::http2(stream).await,
        }
    }

    async fn exchange(&self, client: &mut ProbeClient) -> Result<(), ProbeError> {
        let request = if client.is_http2() { &self.request_http2 } else { &self.request };
        let request = request.clone().map_err(ProbeError::Local)?.map(|()| Full::new(self.body.clone()));
        client.exchange(request, |response| self.judge(response)).await
    }
}
