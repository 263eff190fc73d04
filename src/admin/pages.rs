//! What answers to which path. Everything is read-only; another method gets 405 from the router.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::compression::{accepts_gzip, gzip};
use super::metrics;
use super::overview::{self, OverviewPage};
use super::source::AdminSource;
use crate::control::Status;
use crate::decision::Serving;
use crate::telemetry::exposition;
use crate::text::printable_json;

const INDEX: &str = "\
Standfast

/         for browsers: services, pools, endpoints and the last switches as a page
/metrics  counters for Prometheus
/status   services, pools, endpoints and the last switches, as JSON (for people: `standfast status`)
/readyz   200 while this instance should get traffic, else 503 and why
/livez    200 while the control plane runs, else 503
";

/// Is this path's answer always small? The others may be large. (`/readyz` waits for a snapshot only where it says why not.)
pub(super) fn is_small(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// For a large page while others are being made or read.
pub(super) fn busy() -> Response {
    let mut response =
        plain(StatusCode::SERVICE_UNAVAILABLE, "too many large pages are being read; try again\n".to_owned());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The admin port.
pub(super) fn admin(source: AdminSource) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(scrape))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(async || plain(StatusCode::NOT_FOUND, format!("There is nothing here.\n\n{INDEX}")))
        .with_state(source)
}

/// For people with a browser the [overview]; for programs the list of what there is.
async fn index(State(source): State<AdminSource>, RawQuery(query): RawQuery, fields: HeaderMap) -> Response {
    if !overview::wants_html(&fields) {
        return varying(plain(StatusCode::OK, INDEX.to_owned()), "accept");
    }
    let snapshot = source.snapshot().await;
    let code = if snapshot.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let page = OverviewPage {
        status: snapshot.as_ref().map(|snapshot| &snapshot.status),
        ready: source.ready(),
        draining: source.draining(),
        refreshes: query.as_deref() != Some("refresh=off"),
    };
    let mut response = varying(typed(code, "text/html; charset=utf-8", page.page()), "accept");
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(overview::POLICY));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// It depends on this field of the request.
fn varying(mut response: Response, on: &'static str) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(on));
    response
}

/// A port of its own for `/metrics`.
pub(super) fn metrics_only(source: AdminSource) -> Router {
    let nothing = async || plain(StatusCode::NOT_FOUND, "There is only /metrics here.\n".to_owned());
    Router::new().route("/metrics", get(scrape)).fallback(nothing).with_state(source)
}

async fn scrape(State(source): State<AdminSource>, fields: HeaderMap) -> Response {
    let snapshot = source.snapshot().await;
    let read = source.clone();
    let make = move || Some(read.with_scrape(snapshot.as_deref(), metrics::render));
    large(&source, exposition::CONTENT_TYPE, &fields, make).await
}

/// A page that may be large: made, and compressed where the client takes that, on a thread for blocking work.
async fn large(
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

/// Alive = the engine comes round: a proxy that cannot fail over any more is worth a restart. While draining it may have ended
/// already. Nothing is asked of the engine.
async fn livez(State(source): State<AdminSource>) -> Response {
    match source.draining() || source.is_alive() {
        true => plain(StatusCode::OK, "alive\n".to_owned()),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned()),
    }
}

async fn readyz(State(source): State<AdminSource>) -> Response {
    if source.ready() {
        return plain(StatusCode::OK, "ready\n".to_owned());
    }
    let reasons = match source.draining() {
        true => vec!["draining: this instance is about to stop".to_owned()],
        false => why_not_ready(source.snapshot().await.as_ref().map(|snapshot| &snapshot.status)),
    };
    plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", reasons.join("\n")))
}

fn why_not_ready(status: Option<&Status>) -> Vec<String> {
    let Some(status) = status else { return vec!["the control plane does not answer".to_owned()] };
    let starting = status.services.iter().filter(|service| service.serving == Serving::Starting);
    let mut reasons: Vec<String> =
        starting.map(|service| format!("service {}: no pool has passed its first checks yet", service.name)).collect();
    let behind = status.acknowledged.iter().enumerate().filter(|(_, epoch)| **epoch < status.epoch);
    reasons.extend(behind.map(|(worker, _)| format!("worker {worker}: has not taken up the routing table yet")));
    if reasons.is_empty() {
        reasons.push("the first decision is being published".to_owned());
    }
    reasons
}

async fn status(State(source): State<AdminSource>, fields: HeaderMap) -> Response {
    let Some(snapshot) = source.snapshot().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned());
    };
    let make = move || {
        let text = serde_json::to_string_pretty(&snapshot.status).ok()?;
        Some(printable_json(&text) + "\n")
    };
    large(&source, "application/json", &fields, make).await
}

fn plain(code: StatusCode, text: String) -> Response {
    typed(code, "text/plain; charset=utf-8", text)
}

fn typed(code: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response {
    let fields = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (code, fields, body.into()).into_response()
}
