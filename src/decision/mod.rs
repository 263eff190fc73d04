//! The failover brain as plain data: events in, effects out. Pure: no async, IO, clock, randomness, locks or logs.
mod act;
mod act_command;
mod act_refusal;
mod active_active;
mod actor_schema;
mod commands;
mod conditions;
mod core;
mod corroboration;
mod effect;
mod endpoint;
mod endpoint_commands;
mod evacuation;
mod event;
mod evidence;
mod failover;
mod few_sources;
mod follow_state;
mod following;
mod freeze;
mod gating;
mod health;
mod hold;
mod hold_down;
mod incident;
mod isolation;
mod lag;
mod outlier;
mod persist;
mod persist_orders;
mod pool;
mod position;
mod reach;
mod read_state;
mod reading;
mod reads;
mod recent_acts;
mod reload;
mod service;
mod sessions;
mod single_source;
mod standing;
mod status;
mod succession;
mod suspicion;
mod switch;
mod table;
mod timeline;
mod timers;
mod transition;
mod turn;

#[cfg(test)]
mod tests;

pub use self::core::Decision;
pub use act::{Act, ActId, ActOutcome, Actor, ActorKind, ParseActIdError};
pub use act_command::{ActCommand, ActTarget, ActUntil, EndpointSelection, HoldScope};
pub use act_refusal::{ActRefusal, ServiceStays};
pub use conditions::{Condition, ConditionChange, ConditionKind, ConditionSeverity, ConditionStatus, SavedCondition};
pub use effect::{Alert, Effect, SessionAction, StandingChange};
pub use event::{ConnectOutcome, Digest, Event, Failure, FailureCounts, ProbeFailure, ProbeOutcome, Silence};
pub use evidence::{Elsewhere, FailureReport, Held, Mark, RequestTarget, Source, SourceTally};
pub use follow_state::{FollowRecord, FollowVerdict, SavedFollowing};
pub use health::{CheckAnswer, CheckAnswerClass};
pub use incident::{Evidence, Incident, IncidentId, InstanceLife, SwitchKind};
pub use lag::ReplicaLag;
pub use persist::{Saved, SavedIncident, SavedService, SavedSwitch};
pub use persist_orders::{SavedHold, SavedWeight};
pub use position::{
    DataPosition, Lsn, ParsePositionError, PostgresPosition, RedisPosition, SystemId, TransactionPosition,
};
pub use read_state::{LagSourceStatus, ReadVerdict, ReplicaStatus};
pub use reading::{DataRole, Reading};
pub use recent_acts::SavedAct;
pub use sessions::{PoolSessions, SessionRule};
pub use standing::{Administrative, Admission, Cause, Operational, Standing};
pub use status::{
    EndpointStatus, EvacuationStatus, FollowingStatus, GateStatus, HoldStatus, PoolStatus, ServiceStatus,
    TransitionStatus, WeightStatus,
};
pub use succession::{Predecessor, Succession};
pub use table::{EndpointId, EndpointRow, PoolRow, ServiceRow, Serving, Table};
pub use transition::{Gate, GateOutcome, GateRules, LimitAction, TransitionId, TransitionRecord, TransitionStage};
