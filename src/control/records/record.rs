//! [`ChangeRecord`]: one change as a value, with its number, its time and the words that every reader knows it by.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::status::IncidentReport;
use crate::config::Name;
use crate::decision::{
    Act, ActCommand, ActId, Actor, ConditionKind, EndpointId, Held, InstanceLife, ServiceStays, Standing, SwitchKind,
};
use crate::digest::from_hex;
use crate::sys::clock;

/// A new life of an instance.
pub(in crate::control) fn begin_life() -> InstanceLife {
    let mut random = [0; 8];
    match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => InstanceLife(u64::from_le_bytes(random)),
        // (Without random numbers, the time of the start tells lives apart.)
        Err(_) => InstanceLife(clock::unix_millis() << 20 | u64::from(std::process::id()) & 0xf_ffff),
    }
}

/// The life of a replay, which is none of an instance.
pub(in crate::control) const REPLAY: InstanceLife = InstanceLife(0);

/// The identity of a record: the life of the instance and a number that counts from 1 without gaps. Written `LIFE.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// The life of the instance.
    pub life: InstanceLife,
    /// The number in this life.
    pub number: u64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life, self.number)
    }
}

/// A text is not the id of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a record: 16 hexadecimal digits, a dot and a number")]
pub struct ParseRecordIdError;

impl FromStr for RecordId {
    type Err = ParseRecordIdError;

    fn from_str(text: &str) -> Result<RecordId, ParseRecordIdError> {
        let (life, number) = text.split_once('.').ok_or(ParseRecordIdError)?;
        let life = from_hex(life.as_bytes()).map(u64::from_be_bytes).ok_or(ParseRecordIdError)?;
        if !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(ParseRecordIdError);
        }
        let number = number.parse().map_err(|_| ParseRecordIdError)?;
        Ok(RecordId { life: InstanceLife(life), number })
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RecordId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// When a record was made, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordTime {
    /// Milliseconds since the Unix epoch: may be set back.
    pub unix_ms: u64,
    /// Microseconds of running time since the start of the control plane: never goes back.
    pub since_start_us: u64,
}

/// One change of an instance. All sinks (log, metrics, readers of `/records` …) take the same value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Its number.
    pub id: RecordId,
    /// When it was made.
    pub at: RecordTime,
    /// The service that it is about; `None` = the whole instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Name>,
    /// What changed: `type` and `what` in JSON.
    #[serde(flatten)]
    pub change: RecordedChange,
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The type of a record: the words are fixed, and the same for every reader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RecordType {
            $($(#[$doc])* $name,)*
        }

        impl RecordType {
            /// All types, the reserved ones included.
            pub const ALL: &'static [RecordType] = &[$(RecordType::$name),*];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(RecordType::$name => $word,)*
                }
            }
        }
    };
}

types! {
    /// A switch of a service.
    ServiceSwitched = "service.switched",
    /// The first good answer after a switch.
    ServiceAnswered = "service.answered",
    /// A switch waits for its gates, or waits no longer.
    ServiceTransition = "service.transition",
    /// The recovery took longer than the objective.
    ServiceObjectiveMissed = "service.objective_missed",
    /// The standing of an endpoint changed.
    EndpointStanding = "endpoint.standing",
    /// Failures in a row did not condemn an endpoint.
    EndpointHeld = "endpoint.held",
    /// A condition began.
    ConditionRaised = "condition.raised",
    /// A condition ended.
    ConditionCleared = "condition.cleared",
    /// An act that waits for its answer: in the audit log alone.
    ActAsked = "act.asked",
    /// An act was carried out, or asked for what is so already.
    ActDone = "act.done",
    /// An act was not carried out.
    ActRefused = "act.refused",
    /// A dry run of an act, which changed nothing: in the audit log alone.
    ActRehearsed = "act.rehearsed",
    /// Something that was denied: in the audit log alone.
    ActDenied = "act.denied",
    /// A configuration was put into force.
    ConfigReloaded = "config.reloaded",
    /// A configuration was refused.
    ConfigRefused = "config.refused",
    /// Records of the audit log are missing.
    AuditGap = "audit.gap",
    /// The end of the audit log, for witnesses.
    AuditCheckpoint = "audit.checkpoint",
    /// The control plane started.
    InstanceStarted = "instance.started",
    /// The control plane is about to end, as it was told.
    InstanceStopping = "instance.stopping",
}

impl RecordType {
    /// Lines of the audit log have this type, and no other records.
    pub const fn is_of_the_audit_log(self) -> bool {
        matches!(self, RecordType::ActAsked | RecordType::ActRehearsed | RecordType::ActDenied)
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "what")]
pub enum RecordedChange {
    /// A switch of a service.
    #[serde(rename = "service.switched")]
    Switched(IncidentReport),
    /// The first good answer after a switch: the same incident, with its recovery time.
    #[serde(rename = "service.answered")]
    Answered(IncidentReport),
    /// A switch waits for its gates, or waits no longer.
    #[serde(rename = "service.transition")]
    Transition(TransitionReport),
    /// The recovery took longer than the objective.
    #[serde(rename = "service.objective_missed")]
    ObjectiveMissed(ObjectiveRecord),
    /// The standing of an endpoint changed.
    #[serde(rename = "endpoint.standing")]
    Standing(StandingRecord),
    /// Failures in a row did not condemn an endpoint.
    #[serde(rename = "endpoint.held")]
    Held(HeldRecord),
    /// A condition began.
    #[serde(rename = "condition.raised")]
    ConditionRaised(ConditionRecord),
    /// A condition ended.
    #[serde(rename = "condition.cleared")]
    ConditionCleared(ConditionRecord),
    /// An act was carried out, or asked for what is so already.
    #[serde(rename = "act.done")]
    ActDone(ActRecord),
    /// An act was not carried out.
    #[serde(rename = "act.refused")]
    ActRefused(ActRecord),
    /// A configuration was put into force.
    #[serde(rename = "config.reloaded")]
    ConfigReloaded(ReloadRecord),
    /// A configuration was refused.
    #[serde(rename = "config.refused")]
    ConfigRefused(RefusalRecord),
    /// Records of the audit log are missing.
    #[serde(rename = "audit.gap")]
    AuditGap(AuditGapRecord),
    /// The end of the audit log, for witnesses.
    #[serde(rename = "audit.checkpoint")]
    AuditCheckpoint(AuditCheckpointRecord),
    /// The control plane started.
    #[serde(rename = "instance.started")]
    InstanceStarted(InstanceRecord),
    /// The control plane is about to end.
    #[serde(rename = "instance.stopping")]
    InstanceStopping(InstanceRecord),
}

impl RecordedChange {
    /// Its type.
    pub fn record_type(&self) -> RecordType {
        match self {
            RecordedChange::Switched(_) => RecordType::ServiceSwitched,
            RecordedChange::Answered(_) => RecordType::ServiceAnswered,
            RecordedChange::Transition(_) => RecordType::ServiceTransition,
            RecordedChange::ObjectiveMissed(_) => RecordType::ServiceObjectiveMissed,
            RecordedChange::Standing(_) => RecordType::EndpointStanding,
            RecordedChange::Held(_) => RecordType::EndpointHeld,
            RecordedChange::ConditionRaised(_) => RecordType::ConditionRaised,
            RecordedChange::ConditionCleared(_) => RecordType::ConditionCleared,
            RecordedChange::ActDone(_) => RecordType::ActDone,
            RecordedChange::ActRefused(_) => RecordType::ActRefused,
            RecordedChange::ConfigReloaded(_) => RecordType::ConfigReloaded,
            RecordedChange::ConfigRefused(_) => RecordType::ConfigRefused,
            RecordedChange::AuditGap(_) => RecordType::AuditGap,
            RecordedChange::AuditCheckpoint(_) => RecordType::AuditCheckpoint,
            RecordedChange::InstanceStarted(_) => RecordType::InstanceStarted,
            RecordedChange::InstanceStopping(_) => RecordType::InstanceStopping,
        }
    }
}

/// A switch that waits for its gates, or waits no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionReport {
    /// Its number in this life of the service.
    pub transition: u64,
    /// Why the active pool is to change.
    pub kind: SwitchKind,
    /// The pool that serves; `None` when none does.
    pub from: Option<Name>,
    /// The pool that is to serve.
    pub to: Option<Name>,
    /// Who decided.
    pub actor: Actor,
    /// `waiting`, or how it ended: `taken`, `went_ahead`, `expired`, `refused`, `withdrawn`, `replaced`.
    pub stage: String,
    /// It ended without the switch, though the reason for it stands.
    pub given_up: bool,
    /// For people: the stage with its gates.
    pub text: String,
}

/// A recovery that took longer than its objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectiveRecord {
    /// Measured, in milliseconds.
    pub rto_ms: u64,
    /// Promised, in milliseconds.
    pub objective_ms: u64,
}

/// A change of an endpoint's standing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingRecord {
    /// The pool.
    pub pool: Name,
    /// The endpoint's address.
    pub endpoint: SocketAddr,
    /// The endpoint's name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_name: Option<Name>,
    /// The endpoint's number in this life.
    pub endpoint_id: EndpointId,
    /// Before.
    pub from: Standing,
    /// Now.
    pub to: Standing,
    /// For people: counts and the last detail.
    pub evidence: String,
}

/// Failures in a row that did not condemn an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// The pool.
    pub pool: Name,
    /// The endpoint's address.
    pub endpoint: SocketAddr,
    /// Why not.
    pub reason: Held,
    /// For people: the failures.
    pub evidence: String,
}

/// A condition that began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionRecord {
    /// Its kind.
    pub kind: ConditionKind,
    /// The pool that it is about; `None` = the whole service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// When it was raised, in milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// When it ends by itself, in milliseconds since the Unix epoch, as known when it was raised; `None` = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_unix_ms: Option<u64>,
    /// For people.
    pub text: String,
}

/// An act with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActRecord {
    /// Its number.
    pub act: ActId,
    /// What it asks for.
    pub command: ActCommand,
    /// Its origin.
    pub actor: Actor,
    /// Why, in the actor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Something is otherwise than before.
    pub changed: bool,
    /// Its switch waits for its gates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// It was sent before, and did nothing now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Why it was refused, for programs; `None` = it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was refused, for people; `None` = it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Services that an evacuation has left as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<ServiceStays>,
}

/// A configuration that was put into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRecord {
    /// The epoch that published it.
    pub epoch: u64,
    /// Configurations put into force since the start, the first included.
    pub generation: u64,
    /// What it asks for and does not get without a restart; what the reader of the file warned of.
    pub warnings: Vec<String>,
    /// The act that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ReloadActor>,
}

/// The act that asked for a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadActor {
    /// Its number.
    pub act: ActId,
    /// Its origin.
    pub actor: Actor,
    /// Why, in the actor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ReloadActor {
    /// Of this act.
    pub(in crate::control) fn of(act: &Act) -> ReloadActor {
        ReloadActor { act: act.id, actor: act.actor.clone(), reason: act.reason.clone() }
    }
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// Every problem.
    pub problem: String,
    /// The act that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ReloadActor>,
}

/// Records that are missing: they did not fit in the queue before the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditGapRecord {
    /// How many.
    pub lost: u64,
}

/// The end of the chain at a time: a copy of it elsewhere is a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheckpointRecord {
    /// The number of the last record before it.
    pub seq: u64,
    /// The hash of that record.
    pub hash: String,
    /// Both signed, as a signed note; `None` = there is no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The start or the end of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The version of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// The newest epoch.
    pub epoch: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = RecordId { life: InstanceLife(0x2a), number: 7 };
        assert_eq!(id.to_string(), "000000000000002a.7");
        assert_eq!("000000000000002a.7".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"000000000000002a.7\"");
        for wrong in ["", "2a.7", "000000000000002a", "000000000000002A.7", "000000000000002a.", "000000000000002a.-1"]
        {
            assert_eq!(wrong.parse::<RecordId>(), Err(ParseRecordIdError), "{wrong}");
        }
        assert_ne!(begin_life(), begin_life());
    }

    #[test]
    fn the_words_are_those_of_the_manual() {
        let manual = include_str!("../../manual/records.rs");
        let rows = manual.lines().filter_map(|line| line.strip_prefix("//! | `"));
        let words: Vec<&str> = rows.filter_map(|row| row.split('`').next()).filter(|word| word.contains('.')).collect();
        let known: Vec<&str> = RecordType::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(words, known);
    }
}
