//! The failover brain as plain data: events in, effects out. Pure: no async, IO, clock, randomness, locks or logs.
mod effect;
mod event;
mod incident;
mod moment;
mod standing;
mod table;

pub use effect::{Alert, Effect, SessionAction, StandingChange};
pub use event::{Actor, ConnectOutcome, Digest, Event, Failure, FailureCounts, ProbeFailure, ProbeOutcome, Word};
pub use incident::{Evidence, Incident, IncidentId, SwitchKind};
pub use moment::Moment;
pub use standing::{Administrative, Admission, Cause, Operational, Standing};
pub use table::{EndpointId, EndpointRow, PoolRow, ServiceRow, Serving, Table};
