//! `POST /v1/acts` carries a command out, `GET /v1/acts/ID` tells what came of one.

use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::response;
use super::super::source::AdminSource;
use super::act_request::{self, LARGEST_BODY, RequestContext, words};
use super::path_text::PathText;
use super::{forbidden, may, no_answer, record_denial};
use crate::access::{Right, authorise};
use crate::config::Name;
use crate::control::{
    ActRecord, ChangeRecord, ControlError, ParseServiceMarkError, RecordedChange, ServiceMark, SessionsReport,
    new_act_id,
};
use crate::decision::{Act, ActCommand, ActId, ActOutcome, ActRefusal, ActTarget, Actor, Incident, ServiceStays};
use crate::sys::clock;

/// How long an answer waits for the workers.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer waits for the engine and the workers together.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// An act that the engine has not begun by then is refused.
const EXPIRES_AFTER: Duration = Duration::from_secs(10);
/// The same of a reload, which waits for those before it and reads files and names first.
const RELOAD_EXPIRES_AFTER: Duration = Duration::from_secs(60);
/// How long an answer waits for a reload.
const RELOAD_WITHIN: Duration = Duration::from_secs(30);
/// Carries the id of an act.
const ID_FIELD: &str = "idempotency-key";

/// What came of an act.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActOutcome)]
struct ActAnswer {
    /// Of the act; a dry run has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    id: Option<ActId>,
    /// `done`, `no_change`, `waiting`, `partly`, or `refused`.
    outcome: &'static str,
    command: &'static str,
    /// The service that it is about; absent = several, or the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// Of the table that the outcome is published in.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    /// Every worker has taken it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<usize>,
    /// The switch that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<SwitchAnswer>,
    /// Of an evacuation: the services that it moves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moves: Vec<SwitchAnswer>,
    /// Of an evacuation: the services that stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stays: Vec<ServiceStays>,
    /// Of a reload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What becomes of the sessions on pools that are left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    sessions: Vec<SessionsAnswer>,
    /// Nothing has changed: it is what would happen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry: bool,
    /// The service's mark after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    /// It was sent before, and did nothing now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    repeated: bool,
    /// What follows by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A switch that an act made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Switch)]
struct SwitchAnswer {
    id: u64,
    #[schema(value_type = String)]
    service: Name,
    #[schema(value_type = Option<String>)]
    from: Option<Name>,
    #[schema(value_type = Option<String>)]
    to: Option<Name>,
}

impl SwitchAnswer {
    fn of(incident: Incident) -> SwitchAnswer {
        SwitchAnswer { id: incident.id.0, service: incident.service, from: incident.from, to: incident.to }
    }
}

/// Requests and sessions on a pool that is left.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sessions)]
struct SessionsAnswer {
    #[schema(value_type = String)]
    pool: Name,
    in_flight: u64,
    /// They may go on for so long; absent = they are closed at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_end_within_ms: Option<u64>,
}

impl SessionsAnswer {
    fn of(report: SessionsReport) -> SessionsAnswer {
        let SessionsReport { pool, in_flight, may_end_within_ms } = report;
        SessionsAnswer { pool, in_flight, may_end_within_ms }
    }
}

impl ActAnswer {
    fn new(id: ActId, command: &ActCommand, actor: Actor, reason: Option<String>, outcome: &'static str) -> ActAnswer {
        let (word, argument) = words(command);
        let named = |wanted: &str| argument.clone().filter(|(field, _)| *field == wanted).map(|(_, value)| value);
        ActAnswer {
            id: Some(id),
            outcome,
            command: word,
            service: command.service().map(Name::to_string),
            pool: named("pool"),
            endpoint: named("endpoint"),
            zone: named("zone"),
            actor,
            reason,
            refusal: None,
            epoch: None,
            acknowledged: None,
            workers: None,
            incident: None,
            moves: Vec::new(),
            stays: Vec::new(),
            warnings: Vec::new(),
            sessions: Vec::new(),
            dry: false,
            mark: None,
            repeated: false,
            next: None,
        }
    }

    fn of_record(record: &ActRecord) -> ActAnswer {
        let ActRecord { act, command, actor, reason, changed, waiting, refusal, stays, .. } = record;
        let outcome = match (refusal, waiting, changed) {
            (Some(_), ..) => "refused",
            _ if !stays.is_empty() => "partly",
            (None, true, _) => "waiting",
            (None, false, true) => "done",
            (None, false, false) => "no_change",
        };
        let answer = ActAnswer::new(*act, command, actor.clone(), reason.clone(), outcome);
        ActAnswer { refusal: refusal.clone(), stays: stays.clone(), ..answer }
    }
}

/// Carries out a command. The caller may go away: what was sent to the engine is carried out, and `GET /v1/acts/ID` tells.
#[utoipa::path(post, path = "/v1/acts", tag = "acts",
    responses(
        (status = 200, description = "carried out, or so already (`outcome`), and every worker goes by it", body = ActAnswer),
        (status = 202, description = "the same, but not every worker has taken it up within two seconds", body = ActAnswer),
        (status = 400, description = "`malformed`: the body, or a field of the head, is not as described; `problems` has all of it"),
        (status = 404, description = "`no_service`, `no_pool`, `no_endpoint`, `no_zone`: there is no such thing"),
        (status = 409, description = "the decision refuses it: `detail` says why, `advice` what would make it possible; `config_refused`: the new configuration cannot be put into force, `problems` has all of it"),
        (status = 412, description = "`mark_changed`: the service has another mark than `If-Match`"),
        (status = 413, description = "`too_large`: larger than 64 KiB, or it did not come whole within 5 s"),
        (status = 415, description = "`content_type`: not `application/json`"),
        (status = 422, description = "`reason`: it is missing, too short or too long; `id_reused`: the id is that of another act; `expired`; `until_passed`, `until_too_far`; `weight_too_large`; `no_mark`: `If-Match` with a command that is not about one service"),
    ))]
pub(super) async fn act(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    fields: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // (The body of a caller that may command nothing is not waited for.)
    if !caller.grants.iter().any(|grant| grant.role.has(Right::Operate) || grant.role.has(Right::Reload)) {
        let denied = "a command needs the role operator on its service";
        record_denial(&source, &caller, denied, None);
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", denied)
            .advice("use a credential with the role operator"));
    }
    let body = within(BODY_WITHIN, to_bytes(body, LARGEST_BODY)).await;
    let body = body.and_then(Result::ok).ok_or_else(|| {
        let detail = format!("the body is larger than {LARGEST_BODY} bytes, or did not come whole within 5 s");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    })?;
    let request = read(&source, &body)?;
    let (command, reason, dry) = (request.command.clone(), request.reason.clone(), request.dry);
    let (named, expects) = (act_id(&fields)?, expected_mark(&fields)?);
    // (A dry run is not a repetition of anything.)
    let id = if dry { new_act_id().ok_or_else(no_answer)? } else { named };
    if expects.is_some() && command.service().is_none() {
        let detail = "If-Match: this command is not about one service, so there is no mark to compare";
        return Err(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_mark", detail).advice("send it without `If-Match`")
        );
    }
    // An engine that was stuck does not carry it out late.
    let is_reload = request.command == ActCommand::Reload;
    let expires = Some(clock::now().after(if is_reload { RELOAD_EXPIRES_AFTER } else { EXPIRES_AFTER }));
    let act = Act { reason: request.reason, expires, ..Act::new(id, caller.actor.clone(), request.command) };
    let permit = authorise(&caller.grants, act).map_err(|denied| {
        record_denial(&source, &caller, &denied.to_string(), command.service());
        forbidden(&denied)
    })?;
    let control = source.control().clone();
    let answer = if dry {
        let rehearsed = within(ANSWER_WITHIN, control.rehearse(permit, expects)).await;
        rehearsed.unwrap_or(Err(ControlError::Stopped)).map(|report| (report, true))
    } else {
        // On a task of its own: a connection that is lost does not end it half way.
        let carried_out = tokio::spawn(async move {
            let report = control.act(permit, expects).await?;
            let acknowledged = control.acknowledged(report.epoch, ACKNOWLEDGED_WITHIN).await;
            Ok::<_, ControlError>((report, acknowledged))
        });
        let answer = within(if is_reload { RELOAD_WITHIN } else { ANSWER_WITHIN }, carried_out).await;
        answer.and_then(Result::ok).unwrap_or(Err(ControlError::Stopped))
    };
    let (report, acknowledged) = answer.map_err(not_carried_out)?;
    let outcome = report.outcome.as_str();
    let stays = match report.outcome {
        ActOutcome::Partly { stays } => stays,
        _ => Vec::new(),
    };
    let mut switches: Vec<_> = report.switches.into_iter().map(SwitchAnswer::of).collect();
    let incident = command.service().and_then(|_| switches.pop());
    let answer = ActAnswer {
        id: (!dry).then_some(id),
        dry,
        epoch: (!dry).then_some(report.epoch),
        acknowledged: (!dry).then_some(acknowledged),
        workers: (!dry).then(|| source.control().published().workers()),
        incident,
        moves: switches,
        stays,
        warnings: report.warnings,
        sessions: report.sessions.into_iter().map(SessionsAnswer::of).collect(),
        repeated: report.repeated,
        mark: report.mark.filter(|_| !dry).map(|mark| mark.to_string()),
        next: report.next,
        ..ActAnswer::new(id, &command, caller.actor, reason, outcome)
    };
    let code = if acknowledged { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(response::answer(code, &answer))
}

/// What came of an act, while its record is one of the newest.
#[utoipa::path(get, path = "/v1/acts/{act}", tag = "acts",
    params(("act" = String, Path, description = "its id: 32 hexadecimal digits, or a UUID", pattern = "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
        example = "0123456789abcdef0123456789abcdef")),
    responses(
        (status = 200, description = "what came of it", body = ActAnswer),
        (status = 400, description = "`malformed`: not the id of an act"),
        (status = 404, description = "`no_act`: it did not arrive, or its record is not kept any more"),
    ))]
pub(super) async fn outcome(
    State(source): State<AdminSource>,
    Extension(caller): Extension<Caller>,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let id: ActId = id.parse().map_err(|error| bad_id(&error))?;
    // A repetition, or another act of the same id, says nothing about this one.
    let is_it = |record: &ChangeRecord| match &record.change {
        RecordedChange::ActDone(act) | RecordedChange::ActRefused(act) => {
            act.act == id && !act.repeated && act.code.as_deref() != Some("id_reused")
        }
        _ => false,
    };
    let found = source.control().find_record(is_it);
    let found = found.as_ref().and_then(|record| match &record.change {
        RecordedChange::ActDone(act) | RecordedChange::ActRefused(act) => Some(act),
        _ => None,
    });
    // Without the right to read its service an act is as one that is not there.
    let may_read = |act: &&ActRecord| match act.command.target() {
        ActTarget::Service(service) => may(&caller, Right::ReadState, Some(service)),
        ActTarget::Services([]) | ActTarget::Instance => may(&caller, Right::ReadState, None),
        // (The record names the first of them.)
        ActTarget::Services(services) if services.len() >= ActCommand::MOST_RECORDED => {
            may(&caller, Right::ReadState, None)
        }
        ActTarget::Services(services) => services.iter().all(|service| may(&caller, Right::ReadState, Some(service))),
    };
    let Some(found) = found.filter(may_read) else {
        let problem = Problem::new(StatusCode::NOT_FOUND, "no_act", format!("no act {id} is known"));
        return Err(problem.advice(
            "it did not arrive, or its record is not kept any more: the log and the audit log have older ones",
        ));
    };
    Ok(response::answer(StatusCode::OK, &ActAnswer::of_record(found)))
}

/// Reads a body, with what stands beside it: the time, and the zones of the configuration.
fn read(source: &AdminSource, body: &[u8]) -> Result<act_request::ActRequest, Problem> {
    let table = source.control().published().load();
    let services_in = |zone: &str| {
        let services = table.config.services.iter().filter(|service| service.is_in(zone));
        services.map(|service| service.name.clone()).collect()
    };
    let context = RequestContext {
        needs_reason: source.needs_reason(),
        now: clock::now(),
        now_unix_ms: clock::unix_millis(),
        services_in: &services_in,
    };
    act_request::parse(body, &context)
}

/// The id that the sender chose, or another one.
fn act_id(fields: &HeaderMap) -> Result<ActId, Problem> {
    let Some(value) = fields.get(ID_FIELD) else { return new_act_id().ok_or_else(no_answer) };
    // (The field's draft has it in quotes, most clients write it without.)
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    text.parse().map_err(|error| bad_id(&error))
}

/// The result, unless it takes longer. Cancel safe as the future is.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    #[allow(clippy::disallowed_methods, reason = "only while an act is answered; no worker pays for this timer")]
    tokio::time::timeout(limit, future).await.ok()
}

/// The mark that the service must have.
fn expected_mark(fields: &HeaderMap) -> Result<Option<ServiceMark>, Problem> {
    let Some(value) = fields.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    text.parse().map(Some).map_err(|error: ParseServiceMarkError| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", format!("If-Match: {error}"))
            .advice("send the `mark` of `GET /v1/services/SERVICE`")
    })
}

fn bad_id(error: &dyn std::error::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string())
        .advice("use a random UUID for each act, and the same one when it is sent again")
}

/// Why the engine did not carry it out.
fn not_carried_out(error: ControlError) -> Problem {
    match error {
        ControlError::Refused(refusal) => refused(&refusal),
        ControlError::NotRecorded(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", error.to_string())
                .advice("make room for the audit log; root on the unix socket can act meanwhile")
        }
        ControlError::Reload(problem) => {
            refused(&ActRefusal::ConfigRefused { problems: problem.lines().map(str::to_owned).collect() })
        }
        ControlError::Stopped => no_answer(),
    }
}

/// The engine's refusal: 404 for what is not there, else 409.
fn refused(refusal: &ActRefusal) -> Problem {
    let status = match refusal {
        ActRefusal::UnknownService { .. }
        | ActRefusal::UnknownPool { .. }
        | ActRefusal::UnknownEndpoint { .. }
        | ActRefusal::UnknownZone { .. } => StatusCode::NOT_FOUND,
        ActRefusal::MarkChanged { .. } => StatusCode::PRECONDITION_FAILED,
        ActRefusal::Expired
        | ActRefusal::IdReused
        | ActRefusal::WeightTooLarge { .. }
        | ActRefusal::UntilPassed { .. }
        | ActRefusal::UntilTooFar { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    let problem = Problem::new(status, refusal.code(), refusal.text());
    let problems = match refusal {
        ActRefusal::ConfigRefused { problems } => problems.clone(),
        _ => Vec::new(),
    };
    Problem { advice: refusal.advice(), problems, ..problem }
}
