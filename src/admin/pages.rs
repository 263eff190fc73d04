//! What answers to which path. Everything is read-only; another method gets 405 from the router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::metrics;
use super::overview::{self, Overview};
use super::scrape::Scrape;
use crate::control::{ControlError, ControlHandle, Status};
use crate::decision::Serving;
use crate::sys::process::Process;
use crate::telemetry::access::AccessLog;
use crate::telemetry::exposition;
use crate::telemetry::logs::LogCounts;
use crate::text::printable_json;

/// The engine answers between two events; one that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

const INDEX: &str = "\
Standfast

/         for browsers: services, pools, endpoints and the last switches as a page
/metrics  counters for Prometheus
/status   services, pools, endpoints and the last switches, as JSON (for people: `standfast status`)
/readyz   200 while this instance should get traffic, else 503 and why
/livez    200 while the control plane answers, else 503
";

/// Where the pages get what they show. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: ControlHandle,
    access_log: AccessLog,
    log: Option<LogCounts>,
    draining: Arc<AtomicBool>,
    process: Process,
}

impl Source {
    pub fn new(
        control: ControlHandle,
        access_log: AccessLog,
        log: Option<LogCounts>,
        draining: Arc<AtomicBool>,
    ) -> Source {
        Source(Arc::new(Inner { control, access_log, log, draining, process: Process::now() }))
    }

    async fn status(&self) -> Option<Status> {
        within(self.0.control.status()).await
    }

    fn draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    fn ready(&self) -> bool {
        self.0.control.ready() && !self.draining()
    }
}

/// The engine's answer, or `None` when it has stopped or is stuck.
async fn within<T>(answer: impl Future<Output = Result<T, ControlError>>) -> Option<T> {
    #[allow(clippy::disallowed_methods, reason = "a page is asked for now and then; no worker pays for this timer")]
    tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
}

/// The admin port.
pub(super) fn admin(source: Source) -> Router {
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
async fn index(State(source): State<Source>, RawQuery(query): RawQuery, fields: HeaderMap) -> Response {
    if !overview::wants_html(&fields) {
        return varying(plain(StatusCode::OK, INDEX.to_owned()));
    }
    let status = source.status().await;
    let code = if status.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let page = Overview {
        status: status.as_ref(),
        ready: source.ready(),
        draining: source.draining(),
        refreshes: query.as_deref() != Some("refresh=off"),
    };
    let mut response = varying(typed(code, "text/html; charset=utf-8", page.page()));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(overview::POLICY));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// It depends on the client's Accept.
fn varying(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// A port of its own for `/metrics`.
pub(super) fn metrics_only(source: Source) -> Router {
    let nothing = async || plain(StatusCode::NOT_FOUND, "There is only /metrics here.\n".to_owned());
    Router::new().route("/metrics", get(scrape)).fallback(nothing).with_state(source)
}

async fn scrape(State(source): State<Source>) -> Response {
    let (tally, status) = tokio::join!(within(source.0.control.tally()), source.status());
    let published = source.0.control.published();
    let table = published.load();
    let acknowledged: Vec<u64> = (0..published.workers()).map(|worker| published.acknowledged(worker)).collect();
    let text = metrics::render(&Scrape {
        table: &table,
        acknowledged: &acknowledged,
        tally: tally.as_ref(),
        status: status.as_ref(),
        access_log: source.0.access_log.counts(),
        log: source.0.log.as_ref().map(LogCounts::now).unwrap_or_default(),
        ready: source.ready(),
        process: &source.0.process,
        detail: table.config.metrics_detail,
    });
    typed(StatusCode::OK, exposition::CONTENT_TYPE, text)
}

/// Alive = the engine answers: a proxy that cannot fail over any more is worth a restart. While draining it may have
/// ended already.
async fn livez(State(source): State<Source>) -> Response {
    match source.draining() || source.status().await.is_some() {
        true => plain(StatusCode::OK, "alive\n".to_owned()),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned()),
    }
}

async fn readyz(State(source): State<Source>) -> Response {
    if source.ready() {
        return plain(StatusCode::OK, "ready\n".to_owned());
    }
    let reasons = match source.draining() {
        true => vec!["draining: this instance is about to stop".to_owned()],
        false => why_not_ready(source.status().await.as_ref()),
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

async fn status(State(source): State<Source>) -> Response {
    let Some(status) = source.status().await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane does not answer\n".to_owned());
    };
    match serde_json::to_string_pretty(&status) {
        Ok(text) => typed(StatusCode::OK, "application/json", printable_json(&text) + "\n"),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn plain(code: StatusCode, text: String) -> Response {
    typed(code, "text/plain; charset=utf-8", text)
}

fn typed(code: StatusCode, media: &'static str, text: String) -> Response {
    let fields = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (code, fields, text).into_response()
}
