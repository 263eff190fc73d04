//! The failover brain as plain data: events in, effects out. Pure: no async, IO, clock, randomness, locks or logs.
mod commands;
mod core;
mod corroboration;
mod effect;
mod endpoint;
mod event;
mod evidence;
mod failover;
mod few_sources;
mod freeze;
mod health;
mod hold_down;
mod incident;
mod isolation;
mod moment;
mod outlier;
mod persist;
mod pool;
mod reach;
mod reading;
mod reload;
mod service;
mod shared;
mod single_source;
mod standing;
mod status;
mod succession;
mod suspicion;
mod switch;
mod table;
mod timeline;
mod timers;
mod turn;

#[cfg(test)]
mod tests;

pub use self::core::Decision;
pub use effect::{Alert, Effect, SessionAction, StandingChange};
pub use event::{
    Actor, ConnectOutcome, Digest, Event, Failure, FailureCounts, ProbeFailure, ProbeOutcome, Silence, Word,
};
pub use evidence::{Elsewhere, FailureReport, Held, Mark, RequestTarget, Source, SourceTally};
pub use incident::{Evidence, Incident, IncidentId, SwitchKind};
pub use moment::Moment;
pub use persist::{Saved, SavedIncident, SavedService, SavedSwitch};
pub use reading::{DataPosition, DataRole, PositionUnit, Reading};
pub use standing::{Administrative, Admission, Cause, Operational, Standing};
pub use status::{EndpointStatus, PoolStatus, ServiceStatus};
pub use succession::{Predecessor, Succession};
pub use table::{EndpointId, EndpointRow, PoolRow, ServiceRow, Serving, Table};
