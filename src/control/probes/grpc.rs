//! The gRPC probe: `grpc.health.v1.Health/Check`. Good is `SERVING`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::error::{ProbeError, exchange_error, malformed, mismatch};
use super::http::{AGENT, authority};
use super::http_client::ProbeClient;
use super::kept::ProbeExchange;
use super::stream::ProbeStream;
use crate::config::GrpcCheck;

/// The most of an answer's body that is looked at: its message is two bytes long.
const BODY: usize = 4 * 1024;
/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// The call of a check.
pub(super) struct HealthCall {
    /// `Err` when the configured host cannot be written as a request.
    request: Result<http::Request<()>, String>,
    message: Bytes,
}

impl HealthCall {
    /// The call to `target`, by this name where it has one, as `check` says.
    pub(super) fn new(target: SocketAddr, name: Option<&str>, check: &GrpcCheck) -> HealthCall {
        let scheme = if check.tls.is_some() { "https" } else { "http" };
        let authority = check.host.clone().unwrap_or_else(|| authority(target, name));
        let request = http::Request::post(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, AGENT)
            .body(())
            .map_err(|error| format!("request cannot be made: {error}"));
        HealthCall { request, message: message(&check.service) }
    }
}

impl ProbeExchange for HealthCall {
    async fn open(&self, stream: ProbeStream) -> Result<ProbeClient, ProbeError> {
        ProbeClient::http2(stream).await
    }

    async fn exchange(&self, client: &mut ProbeClient) -> Result<(), ProbeError> {
        let request = self.request.clone().map_err(ProbeError::Local)?.map(|()| Full::new(self.message.clone()));
        client.exchange(request, judge).await
    }
}

/// `HealthCheckRequest { service }` as one message.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

async fn judge(response: http::Response<Incoming>) -> Result<Incoming, ProbeError> {
    let status = response.status();
    if status != http::StatusCode::OK {
        return Err(mismatch(format!("HTTP status {}, wanted 200", status.as_u16())));
    }
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if !kind.starts_with(b"application/grpc") {
        return Err(mismatch("the answer is not of type application/grpc".to_owned()));
    }
    if response.headers().contains_key("grpc-status") {
        grpc_status(response.headers())?;
    }
    let mut incoming = response.into_body();
    let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = incoming.frame().await {
        match frame.map_err(exchange_error)?.into_data() {
            Ok(data) if body.len() + data.len() > BODY => {
                return Err(malformed(&format!("the answer has more than {BODY} bytes")));
            }
            Ok(data) => body.extend_from_slice(&data),
            Err(other) => trailers = other.into_trailers().unwrap_or_default(),
        }
    }
    grpc_status(&trailers)?;
    match answer(&body).ok_or_else(|| malformed("the answer is no HealthCheckResponse"))? {
        SERVING => Ok(incoming),
        other => Err(mismatch(format!("status {}, wanted SERVING", serving(other)))),
    }
}

/// The call itself succeeded.
fn grpc_status(fields: &HeaderMap) -> Result<(), ProbeError> {
    let Some(status) = fields.get("grpc-status").map(|value| value.as_bytes()) else {
        return Err(malformed("the answer has no grpc-status"));
    };
    match status {
        b"0" => Ok(()),
        b"5" => Err(mismatch("grpc-status 5 (NOT_FOUND): the server does not know the service".to_owned())),
        b"12" => Err(mismatch("grpc-status 12 (UNIMPLEMENTED): the server has no health service".to_owned())),
        other if other.len() <= 2 && other.iter().all(u8::is_ascii_digit) => {
            Err(mismatch(format!("grpc-status {}, wanted 0", String::from_utf8_lossy(other))))
        }
        _ => Err(malformed("grpc-status is no number")),
    }
}

fn serving(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => other.to_string(),
    }
}

/// The status in a body that is one `HealthCheckResponse`; absent it is 0.
pub fn answer(body: &[u8]) -> Option<u64> {
    let (prefix, mut message) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?) as usize;
    if prefix[0] != 0 || message.len() != length {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_one_message() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn the_answer_is_read_over_fields_that_are_not_known() {
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(answer(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(answer(&[0, 0, 0, 0, 7, 0x12, 1, b'x', 8, 2, 0x18, 9]), Some(2));
        for wrong in [&[][..], &[0, 0, 0, 0, 2, 8], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 1, 8], &[0, 0, 0, 0, 2, 7, 1]]
        {
            assert_eq!(answer(wrong), None, "{wrong:?}");
        }
    }
}
