//! What can be read. A caller sees the services that its grants cover; what it may not see is as if it were not there.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::response;
use super::super::snapshot::EngineSnapshot;
use super::super::source::AdminSource;
use super::path_text::PathText;
use super::{may, no_answer, permitted};
use crate::access::Right;
use crate::config;
use crate::control::{DecisionSnapshot, IncidentReport, ServiceReport, Status};
use crate::decision::Actor;
use crate::text::shortened;

/// The caller, as its credential names it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Caller)]
struct CallerAnswer<'a> {
    actor: &'a Actor,
    /// What it may do; each grant is looked at by itself.
    grants: Vec<GrantAnswer>,
}

/// A role on some services.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
struct GrantAnswer {
    role: &'static str,
    /// Patterns, separated by commas: `*` = all.
    services: String,
}

/// The caller, as its credential names it, and its roles.
#[utoipa::path(get, path = "/v1/whoami", tag = "caller", responses((status = 200, description = "the caller", body = CallerAnswer)))]
pub(super) async fn whoami(Extension(caller): Extension<Caller>) -> Response {
    let grant =
        |grant: &crate::access::Grant| GrantAnswer { role: grant.role.as_str(), services: grant.services.to_string() };
    let grants = caller.grants.iter().map(grant).collect();
    response::answer(StatusCode::OK, &CallerAnswer { actor: &caller.actor, grants })
}

/// The whole status: of all services. Needs a role on all of them.
#[utoipa::path(get, path = "/v1/status", operation_id = "v1_status", tag = "state",
    responses((status = 200, description = "the status", body = Status)))]
pub(super) async fn status(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    permitted(&source, &caller, Right::ReadState, None)?;
    let snapshot = source.snapshot().await.ok_or_else(no_answer)?;
    Ok(response::large(&source, response::JSON, &fields, move || response::json(&snapshot.status)).await)
}

/// The services that the credential covers.
#[utoipa::path(get, path = "/v1/services", tag = "state",
    responses((status = 200, description = "in the order of the configuration", body = Vec<ServiceReport>)))]
pub(super) async fn services(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = source.snapshot().await.ok_or_else(no_answer)?;
    let make = move || {
        let seen = |report: &&ServiceReport| may(&caller, Right::ReadState, Some(&report.name));
        let services: Vec<&ServiceReport> = snapshot.status.services.iter().filter(seen).collect();
        response::json(&services)
    };
    Ok(response::large(&source, response::JSON, &fields, make).await)
}

/// One service. The field `ETag` of the answer is its mark: an act may be sent with it as `If-Match`.
#[utoipa::path(get, path = "/v1/services/{service}", tag = "state",
    params(("service" = String, Path, description = "its name", example = "shop")),
    responses(
        (status = 200, description = "the service", body = ServiceReport, headers(("ETag" = String, description = "its mark, in quotation marks"))),
        (status = 400, description = "`malformed`: the path is no text"),
        (status = 404, description = "`no_service`: there is no such service"),
    ))]
pub(super) async fn service(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    PathText(name): PathText,
) -> Result<Response, Problem> {
    permitted(&source, &caller, Right::ReadState, Some(&name))?;
    let snapshot = source.snapshot().await.ok_or_else(no_answer)?;
    let report = snapshot.status.services.iter().find(|report| *report.name == *name);
    let report = report.ok_or_else(|| {
        let detail = format!("there is no service {}", shortened(&name, 80));
        Problem::new(StatusCode::NOT_FOUND, "no_service", detail).advice("`GET /v1/services` lists them")
    })?;
    let etag = format!("\"{}\"", report.mark);
    Ok(([(header::ETAG, etag)], response::answer(StatusCode::OK, report)).into_response())
}

/// The last switches of services that the credential covers, newest last.
#[utoipa::path(get, path = "/v1/incidents", tag = "state",
    responses((status = 200, description = "at most 64", body = Vec<IncidentReport>)))]
pub(super) async fn incidents(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let snapshot = source.snapshot().await.ok_or_else(no_answer)?;
    Ok(response::answer(StatusCode::OK, &seen_incidents(&snapshot, &caller).collect::<Vec<_>>()))
}

/// One of the last switches.
#[utoipa::path(get, path = "/v1/incidents/{incident}", tag = "state",
    params(("incident" = String, Path, description = "its number", example = "7")),
    responses(
        (status = 200, description = "the switch", body = IncidentReport),
        (status = 400, description = "`malformed`: the path is no text"),
        (status = 404, description = "`no_incident`: it is none of the last ones"),
    ))]
pub(super) async fn incident(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let snapshot = source.snapshot().await.ok_or_else(no_answer)?;
    let found =
        seen_incidents(&snapshot, &caller).find(|incident| incident.id.0.to_string() == id || incident.name == id);
    let found = found.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no_incident", format!("no incident {} is known", shortened(&id, 80)))
            .advice("`GET /v1/incidents` lists the newest ones; older ones are in the log and in the audit log")
    })?;
    Ok(response::answer(StatusCode::OK, found))
}

fn seen_incidents<'a>(
    snapshot: &'a EngineSnapshot,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a IncidentReport> + 'a {
    let seen = |incident: &&IncidentReport| may(caller, Right::ReadState, Some(&incident.service));
    snapshot.status.incidents.iter().filter(seen)
}

/// The configuration in force as YAML, every default written out, secrets as `***`. Needs the role `admin` on all services.
#[utoipa::path(get, path = "/v1/config", tag = "instance",
    responses((status = 200, description = "the configuration", body = Object, content_type = "application/yaml")))]
pub(super) async fn config(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    permitted(&source, &caller, Right::ReadConfig, None)?;
    let config = std::sync::Arc::clone(&source.control().published().load().config);
    Ok(response::large(&source, "application/yaml", &fields, move || Some(config::dump(&config))).await)
}

/// The whole state of the decision, with the configuration of its services, secrets as `***`. Needs the role `admin` on all services.
#[utoipa::path(get, path = "/v1/decision", tag = "instance",
    responses((status = 200, description = "a snapshot", body = DecisionSnapshot)))]
pub(super) async fn decision(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    fields: HeaderMap,
) -> Result<Response, Problem> {
    permitted(&source, &caller, Right::ReadDecision, None)?;
    let snapshot = source.decision().await.ok_or_else(no_answer)?;
    Ok(response::large(&source, response::JSON, &fields, move || response::json(&snapshot)).await)
}
