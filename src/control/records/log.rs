//! The log as a sink of records: one line for each, with the record's id in the field `record`.

use std::sync::Arc;
use std::time::Duration;

use super::record::{
    ActRecord, ChangeRecord, ConditionRecord, HeldRecord, InstanceRecord, ObjectiveRecord, RecordId, RecordedChange,
    ReloadRecord, StandingRecord, TransitionReport,
};
use super::sink::RecordSink;
use crate::config::Name;
use crate::control::status::IncidentReport;
use crate::control::status_text::word;
use crate::decision::{ConditionKind, ConditionSeverity, SwitchKind};

/// Writes with `tracing`.
#[derive(Debug)]
pub(super) struct LogSink;

impl RecordSink for LogSink {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        let id = record.id;
        let none = Name::from("");
        let service = record.service.as_ref().unwrap_or(&none);
        match &record.change {
            RecordedChange::Switched(incident) => say_switch(id, incident),
            RecordedChange::Answered(incident) => say_answer(id, incident),
            RecordedChange::Transition(transition) => say_transition(id, service, transition),
            RecordedChange::ObjectiveMissed(ObjectiveRecord { rto_ms, objective_ms }) => {
                tracing::warn!(%service, rto_ms, objective_ms, record = %id, "the recovery took longer than promised");
            }
            RecordedChange::Standing(change) => say_standing(id, service, change),
            RecordedChange::Held(HeldRecord { pool, endpoint, reason, evidence }) => {
                let reason = reason.as_str();
                tracing::info!(%service, %pool, %endpoint, reason, evidence = &**evidence, record = %id, "failures that do not condemn the endpoint");
            }
            RecordedChange::ConditionRaised(condition) => say_raised(id, service, record.at.unix_ms, condition),
            RecordedChange::ConditionCleared(condition) => say_cleared(id, service, condition),
            RecordedChange::ActDone(act) | RecordedChange::ActRefused(act) => say_act(id, act),
            RecordedChange::ConfigReloaded(ReloadRecord { epoch, warnings, .. }) => {
                tracing::info!(epoch, record = %id, "configuration reloaded");
                warnings.iter().for_each(|warning| tracing::warn!(%warning, "configuration"));
            }
            RecordedChange::ConfigRefused(refused) => {
                tracing::error!(problem = %refused.problem, record = %id, "reload refused: nothing has changed");
            }
            // (The thread of the audit log says both as they happen.)
            RecordedChange::AuditGap(_) | RecordedChange::AuditCheckpoint(_) => {}
            // (That it started, and how it stopped, is said by the whole program.)
            RecordedChange::InstanceStarted(InstanceRecord { epoch, .. }) => {
                tracing::debug!(epoch, record = %id, "the control plane starts");
            }
            RecordedChange::InstanceStopping(InstanceRecord { epoch, .. }) => {
                tracing::debug!(epoch, record = %id, "the control plane stops");
            }
        }
    }
}

fn say_switch(record: RecordId, incident: &IncidentReport) {
    let IncidentReport { service, epoch, detected_ms, decided_ms, .. } = incident;
    let none = "(none)".into();
    let (from, to) = (incident.from.as_ref().unwrap_or(&none), incident.to.as_ref().unwrap_or(&none));
    let (kind, id, actor) = (word(&incident.kind), incident.id.0, &*incident.actor.name);
    let evidence: Vec<String> =
        incident.evidence.iter().map(|e| format!("{} {}: {}", e.address, word(&e.cause), e.detail)).collect();
    let evidence = evidence.join("; ");
    if incident.held {
        tracing::warn!(
            id, %service, kind, %from, %to, actor, detected_ms, decided_ms, evidence, %record, "switch held: it would have been made"
        );
        return;
    }
    match incident.kind {
        SwitchKind::Failover | SwitchKind::Rollback | SwitchKind::Follow => tracing::warn!(
            id, %service, kind, %from, %to, actor, epoch, detected_ms, decided_ms, evidence, %record, "switch"
        ),
        SwitchKind::Switchover | SwitchKind::Failback | SwitchKind::Recovery => {
            tracing::info!(id, %service, kind, %from, %to, actor, epoch, evidence, %record, "switch");
        }
    }
}

fn say_transition(record: RecordId, service: &Name, change: &TransitionReport) {
    let name = |pool: &Option<Name>| pool.as_deref().unwrap_or("(none)").to_owned();
    let TransitionReport { transition, kind, stage, text, .. } = change;
    let (from, to) = (name(&change.from), name(&change.to));
    match change.given_up {
        true => tracing::error!(transition, %service, %kind, from, to, stage, %text, %record, "transition"),
        false => tracing::info!(transition, %service, %kind, from, to, stage, %text, %record, "transition"),
    }
}

fn say_answer(record: RecordId, incident: &IncidentReport) {
    let IncidentReport { service, rto_ms, .. } = incident;
    let (id, kind) = (incident.id.0, word(&incident.kind));
    tracing::info!(id, %service, kind, rto_ms, %record, "first good answer after the switch");
}

fn say_standing(record: RecordId, service: &Name, change: &StandingRecord) {
    let StandingRecord { pool, endpoint, from, to, evidence, .. } = change;
    let (from, state) = (word(&from.operational), word(&to.operational));
    let (cause, administrative) = (word(&to.cause), word(&to.administrative));
    let (endpoint_name, evidence) = (change.endpoint_name.as_deref(), &**evidence);
    if to.operational.has_fallen() {
        tracing::warn!(%service, %pool, %endpoint, endpoint_name, from, to = state, cause, administrative, evidence, %record, "endpoint condemned");
    } else {
        tracing::info!(%service, %pool, %endpoint, endpoint_name, from, to = state, cause, administrative, evidence, %record, "endpoint standing");
    }
}

fn say_raised(record: RecordId, service: &Name, now_unix_ms: u64, condition: &ConditionRecord) {
    let ConditionRecord { kind, pool, until_unix_ms, text, .. } = condition;
    match kind {
        ConditionKind::Frozen | ConditionKind::Held | ConditionKind::Evacuated => {
            let left = until_unix_ms.map_or(0, |until| until.saturating_sub(now_unix_ms) / 1000);
            let wait = humantime::format_duration(Duration::from_secs(left));
            tracing::warn!(%service, for = %wait, %record, "{text}");
        }
        _ => {
            let (kind, pool) = (kind.as_str(), pool.as_deref());
            match condition.kind.severity() {
                ConditionSeverity::Error => tracing::error!(%service, pool, condition = kind, %record, "{text}"),
                ConditionSeverity::Warning => tracing::warn!(%service, pool, condition = kind, %record, "{text}"),
                ConditionSeverity::Notice => tracing::info!(%service, pool, condition = kind, %record, "{text}"),
            }
        }
    }
}

fn say_cleared(record: RecordId, service: &Name, condition: &ConditionRecord) {
    match condition.kind {
        ConditionKind::Frozen => tracing::info!(%service, %record, "the freeze has ended"),
        kind => tracing::info!(%service, condition = kind.as_str(), %record, "the condition has ended"),
    }
}

fn say_act(record: RecordId, act: &ActRecord) {
    let ActRecord { act: id, command, actor, reason, changed, waiting, code, refusal, .. } = act;
    let service = command.service().map(|service| &**service);
    let (kind, reason) = (word(&actor.kind), reason.as_deref());
    let (command, actor, origin) = (command.as_str(), &*actor.name, actor.origin.as_deref());
    match (refusal, changed) {
        (Some(refusal), _) => {
            let code = code.as_deref();
            tracing::warn!(%id, service, command, actor, kind, origin, reason, code, %refusal, %record, "command refused");
        }
        (None, _) if *waiting => {
            tracing::info!(%id, service, command, actor, kind, origin, reason, %record, "command waits for the gates of its switch");
        }
        (None, true) => {
            tracing::info!(%id, service, command, actor, kind, origin, reason, %record, "command carried out");
        }
        (None, false) => {
            tracing::info!(%id, service, command, actor, kind, origin, reason, %record, "command: it is so already");
        }
    }
}
