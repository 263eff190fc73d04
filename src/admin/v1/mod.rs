//! The programmatic interface, `/v1`: JSON in, JSON out. GET reads and changes nothing; every command is a POST to `/v1/acts`.
//!
//! * [`acts`]: credential → permit → engine → answer, the same for every caller;
//! * [`act_request`]: the body of a command, with every problem of it at once;
//! * [`reads`]: services, incidents, the configuration in force, the decision, the caller itself; [`path_text`]: their names.
//!
//! **The answer is the outcome**: it is given when the table is published and every worker has taken it up, never "accepted, look
//! later". Errors are [problems](super::problem) with a `code` that does not change.

mod act_request;
mod acts;
mod path_text;
mod reads;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use utoipa::OpenApi;

use super::caller::Caller;
use super::gate::forbidden;
use super::problem::Problem;
use super::source::AdminSource;
use crate::access::{Right, authorise_right};
use crate::config::Name;
use crate::control::audit::Denial;

pub(super) use act_request::{ActRequest, CommandForm, RequestContext, forms, parse};

/// The operations of [`routes`], as their handlers describe them.
#[derive(OpenApi)]
#[openapi(paths(
    reads::whoami,
    reads::status,
    reads::services,
    reads::service,
    reads::incidents,
    reads::incident,
    reads::config,
    reads::decision,
    acts::act,
    acts::outcome,
))]
pub(super) struct V1Operations;

/// Everything below `/v1`, but for the description of it all. Each request has its [`Caller`] among its extensions.
pub(super) fn routes() -> Router<AdminSource> {
    Router::new()
        .route("/v1/whoami", get(reads::whoami))
        .route("/v1/status", get(reads::status))
        .route("/v1/services", get(reads::services))
        .route("/v1/services/{service}", get(reads::service))
        .route("/v1/incidents", get(reads::incidents))
        .route("/v1/incidents/{incident}", get(reads::incident))
        .route("/v1/config", get(reads::config))
        .route("/v1/decision", get(reads::decision))
        .route("/v1/acts", command(acts::act))
        .route("/v1/acts/{act}", get(acts::outcome))
}

/// The route of a command: a POST whose body is JSON, which no form of a page of another origin can send.
fn command<T: 'static>(handler: impl Handler<T, AdminSource>) -> MethodRouter<AdminSource> {
    post(handler).route_layer(from_fn(async |request: Request, next: Next| -> Result<Response, Problem> {
        if is_json(request.headers()) {
            return Ok(next.run(request).await);
        }
        let detail = "a POST has the content type application/json";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail);
        Err(problem.advice("send `Content-Type: application/json`"))
    }))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// May the caller do this?
fn may(caller: &Caller, right: Right, service: Option<&str>) -> bool {
    authorise_right(&caller.grants, right, service).is_ok()
}

/// Refuses what the caller may not do; that is on record.
fn permitted(source: &AdminSource, caller: &Caller, right: Right, service: Option<&str>) -> Result<(), Problem> {
    authorise_right(&caller.grants, right, service).map_err(|denied| {
        record_denial(source, caller, &denied.to_string(), None);
        forbidden(&denied)
    })
}

/// What was denied is in the audit log: of each source once a second at most.
fn record_denial(source: &AdminSource, caller: &Caller, what: &str, service: Option<&Name>) {
    if let Some(audit) = source.control().audit() {
        let from = caller.source.map_or_else(|| caller.actor.name.clone(), |address| address.to_string());
        audit.denied(&Denial { source: &from, actor: Some(&caller.actor), what, service });
    }
}

/// The engine has ended, or does not come round.
fn no_answer() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_answer", "the control plane does not answer")
        .advice("traffic goes on as it is; see the log, and restart the process if this lasts")
}
