//! What a line says: a record of the control plane, or one of the log's own.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::oneshot;

use super::error::AuditError;
use crate::audit::LONGEST_LINE;
use crate::config::Name;
use crate::control::records::record::{ActRecord, ChangeRecord, RecordId, RecordType};
use crate::decision::{Act, ActCommand, ActId, Actor, InstanceLife};
use crate::sys::clock;

/// Bytes of a line beside what the record says: its numbers, times, names and hashes, with some room.
const FRAME: usize = 1024;
/// Bytes of the longest content.
const LONGEST_CONTENT: usize = LONGEST_LINE - FRAME;
/// Bytes of the longest name that is configured. (An act may name anything.)
const LONGEST_NAME: usize = 64;

/// Stands in every line.
#[derive(Clone, Debug)]
pub(super) struct AuditIdentity {
    pub(super) instance: Name,
    pub(super) life: InstanceLife,
}

/// A record on its way into the log.
#[derive(Debug)]
pub(super) struct QueuedRecord {
    pub(super) kind: RecordType,
    unix_ms: u64,
    record: Option<RecordId>,
    service: Option<Name>,
    /// Its content as JSON in one line.
    what: String,
    /// Waits until it is on disk.
    pub(super) waiting: Option<oneshot::Sender<Result<(), AuditError>>>,
}

impl QueuedRecord {
    /// One that is made now. What has a type and content in JSON gives the content; what is too long for a line gives its length.
    pub(super) fn new(kind: RecordType, service: Option<Name>, what: &impl Serialize) -> QueuedRecord {
        QueuedRecord::with(kind, service, content(serde_json::to_string(what).unwrap_or_default()))
    }

    fn with(kind: RecordType, service: Option<Name>, what: String) -> QueuedRecord {
        let service = service.filter(|service| service.len() <= LONGEST_NAME);
        let what = if what.len() <= LONGEST_CONTENT { what } else { format!("{{\"too_long\":{}}}", what.len()) };
        QueuedRecord { kind, unix_ms: clock::unix_millis(), record: None, service, what, waiting: None }
    }

    /// A record that all sinks take.
    pub(super) fn of(record: &ChangeRecord) -> QueuedRecord {
        let (kind, service) = (record.change.record_type(), record.service.clone());
        let queued = QueuedRecord::new(kind, service, &record.change);
        QueuedRecord { unix_ms: record.at.unix_ms, record: Some(record.id), ..queued }
    }

    /// An act that waits for its answer.
    pub(super) fn asked(act: &Act) -> Result<QueuedRecord, AuditError> {
        QueuedRecord::of_act(RecordType::ActAsked, act)
    }

    /// A dry run.
    pub(super) fn rehearsed(act: &Act) -> Result<QueuedRecord, AuditError> {
        QueuedRecord::of_act(RecordType::ActRehearsed, act)
    }

    fn of_act(kind: RecordType, act: &Act) -> Result<QueuedRecord, AuditError> {
        let ActRecord { act, command, actor, reason, .. } = act_record(act);
        let service = command.service().cloned();
        let what = serde_json::to_string(&AskedAct { act, command, actor, reason }).unwrap_or_default();
        match what.len() <= LONGEST_CONTENT {
            true => Ok(QueuedRecord::with(kind, service, what)),
            false => Err(AuditError::TooLong(what.len())),
        }
    }

    /// Who waits for it is told.
    pub(super) fn told(self, waiting: oneshot::Sender<Result<(), AuditError>>) -> QueuedRecord {
        QueuedRecord { waiting: Some(waiting), ..self }
    }

    /// Bytes of its line, or a few more.
    pub(super) fn bytes(&self) -> usize {
        self.what.len() + FRAME
    }

    /// The fields of its line, each value as JSON.
    pub(super) fn fields(&self, identity: &AuditIdentity) -> Vec<(&'static str, String)> {
        let time = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.unix_ms));
        let mut fields = vec![
            ("time", quoted(&time.to_string())),
            ("instance", quoted(&identity.instance)),
            ("life", quoted(&identity.life.to_string())),
            ("type", quoted(self.kind.as_str())),
        ];
        fields.extend(self.record.map(|record| ("record", quoted(&record.to_string()))));
        fields.extend(self.service.as_ref().map(|service| ("service", quoted(service))));
        fields.push(("what", self.what.clone()));
        fields
    }
}

/// An act as its record says it, before its answer.
#[derive(Serialize)]
struct AskedAct {
    act: ActId,
    command: ActCommand,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The record of an act that has changed nothing.
pub(super) fn act_record(act: &Act) -> ActRecord {
    let Act { id, actor, reason, command, .. } = act.clone();
    let command = command.recorded();
    ActRecord {
        act: id,
        command,
        actor,
        reason,
        changed: false,
        waiting: false,
        repeated: false,
        code: None,
        refusal: None,
        stays: Vec::new(),
    }
}

/// The content of `{"type":"…","what":…}`; other JSON is content itself.
fn content(json: String) -> String {
    match json.strip_prefix("{\"type\":\"").and_then(|rest| rest.split_once("\",\"what\":")?.1.strip_suffix('}')) {
        Some(content) => content.to_owned(),
        None => json,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
