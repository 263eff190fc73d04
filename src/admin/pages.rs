//! What answers to which path. All but [`v1`] is read-only; another method gets 405 from the router.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;

use super::health;
use super::metrics;
use super::overview::{self, OverviewPage};
use super::problem::Problem;
use super::response::{self, JSON, large, plain, typed, varying};
use super::source::AdminSource;
use super::v1;
use crate::control::Status;
use crate::decision::Serving;
use crate::telemetry::exposition;

const INDEX: &str = "\
Standfast

/         for browsers: services, pools, endpoints and the last switches as a page
/metrics  counters for Prometheus
/status   services, pools, endpoints and the last switches, as JSON (for people: `standfast status`)
/readyz   200 while this instance should get traffic, else 503 and why
/livez    200 while the control plane runs, else 503
/health/SERVICE[/POOL]  200 while the service is served (by this pool), else 503; ?home, ?degraded=fail
/v1/...   for programs: services, incidents, acts
";

/// The operations of [`admin`] for programs, as their handlers describe them.
#[derive(OpenApi)]
#[openapi(paths(scrape, livez, readyz, status, health::of_service, health::of_pool))]
pub(super) struct PageOperations;

/// While others of its class are being answered or read.
pub(super) fn busy() -> Response {
    let detail = "too many requests of this kind are being answered or read";
    let mut response =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).advice("try again").into_response();
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
        .route("/health/{service}", get(health::of_service))
        .route("/health/{service}/{pool}", get(health::of_pool))
        .merge(v1::routes())
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

/// A port of its own for `/metrics`.
pub(super) fn metrics_only(source: AdminSource) -> Router {
    let nothing = async || plain(StatusCode::NOT_FOUND, "There is only /metrics here.\n".to_owned());
    Router::new().route("/metrics", get(scrape)).fallback(nothing).with_state(source)
}

/// Counters for Prometheus, in its text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "probes",
    responses((status = 200, description = "all metrics", body = String, content_type = "text/plain")))]
async fn scrape(State(source): State<AdminSource>, fields: HeaderMap) -> Response {
    let snapshot = source.snapshot().await;
    let read = source.clone();
    let make = move || Some(read.with_scrape(snapshot.as_deref(), metrics::render));
    large(&source, exposition::CONTENT_TYPE, &fields, make).await
}

/// Alive = the engine comes round: a proxy that cannot fail over any more is worth a restart. While draining it may have ended
/// already. Nothing is asked of the engine.
#[utoipa::path(get, path = "/livez", tag = "probes", summary = "Is this instance alive?",
    description = "Alive = the control plane comes round: a proxy that cannot fail over any more is worth a restart.",
    responses(
        (status = 200, description = "it is", body = String, content_type = "text/plain"),
        (status = 503, description = "it is not", body = String, content_type = "text/plain"),
    ))]
async fn livez(State(source): State<AdminSource>) -> Response {
    match source.draining() || source.is_alive() {
        true => plain(StatusCode::OK, "alive\n".to_owned()),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned()),
    }
}

/// Should this instance get traffic?
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses(
        (status = 200, description = "it should", body = String, content_type = "text/plain"),
        (status = 503, description = "it should not; the lines say why", body = String, content_type = "text/plain"),
    ))]
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

/// Services, pools, endpoints and the last switches. Needs a role on all services.
#[utoipa::path(get, path = "/status", tag = "state",
    responses(
        (status = 200, description = "the status", body = Status),
        (status = 503, description = "the control plane does not answer", body = String, content_type = "text/plain"),
    ))]
async fn status(State(source): State<AdminSource>, fields: HeaderMap) -> Response {
    let Some(snapshot) = source.snapshot().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned());
    };
    large(&source, JSON, &fields, move || response::json(&snapshot.status)).await
}
