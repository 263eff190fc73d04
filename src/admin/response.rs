//! How answers are made: their media type, what caches and browsers may do with them, and compression.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::compression::{accepts_gzip, gzip};
use super::source::AdminSource;
use crate::text::printable_json;

/// The media type of [`json`].
pub(super) const JSON: &str = "application/json";

/// It depends on this field of the request.
pub(super) fn varying(mut response: Response, on: &'static str) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(on));
    response
}

/// A page that may be large: made, and compressed where the client takes that, on a thread for blocking work.
pub(super) async fn large(
    source: &AdminSource,
    media: &'static str,
    fields: &HeaderMap,
    make: impl FnOnce() -> Option<String> + Send + 'static,
) -> Response {
    let compressed = accepts_gzip(fields);
    let make = move || {
        let text = make()?;
        if compressed { gzip(text.as_bytes()).ok() } else { Some(text.into_bytes()) }
    };
    let Some(Some(body)) = source.in_turn(make).await else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n".to_owned());
    };
    let mut response = varying(typed(StatusCode::OK, media, body), "accept-encoding");
    if compressed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A small answer.
pub(super) fn answer(code: StatusCode, value: &impl serde::Serialize) -> Response {
    match json(value) {
        Some(text) => typed(code, JSON, text),
        None => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n".to_owned()),
    }
}

/// A value as JSON that is fit to be shown.
pub(super) fn json(value: &impl serde::Serialize) -> Option<String> {
    let text = serde_json::to_string_pretty(value).ok()?;
    Some(printable_json(&text) + "\n")
}

pub(super) fn plain(code: StatusCode, text: String) -> Response {
    typed(code, "text/plain; charset=utf-8", text)
}

pub(super) fn typed(code: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response {
    let fields = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (code, fields, body.into()).into_response()
}
