//! The control plane's IO, on a thread of its own: the engine that alone owns the decisions, and what feeds it.
//!
//! # The way through this room
//!
//! * [`start()`]: bind, restore, publish the first table, begin.
//! * `engine`: an event or a deadline in → effects out → obeyed in order, publishing first.
//! * `probes`, `confirm`, `sweep`: where events come from – out-of-band checks, second opinions, real traffic.
//! * `fences`: when no session is left at a pool that was left.
//! * `command`: programs that the configuration names, run with a deadline.
//! * `discovery`: what names of endpoints stand for.
//! * `reload`, `state`: new configurations; what survives a restart. [`materials`]: what TLS reads from files. [`surroundings`]: what a
//!   configuration means on this machine.
//! * [`tokens`]: the file of bearer tokens; [`jwks`]: files of the keys of issuers; [`credential_file`]: how both are read.
//! * [`audit`]: acts and records on disk, as a chain that shows what was changed.
//! * `file_writer`: the threads that write files; `file_reader`: reads them again; `journal`: what the core was told, on disk, to be replayed.
//! * `listening`: what the log shows of listeners.
//! * `records`: what happened, as numbered [`ChangeRecord`]s, and the sinks that take them.
//! * [`ControlHandle`]: how other rooms ask; [`Status`], [`DecisionSnapshot`], [`ChangeNotice`] and [`ChangeTally`]: what they get to see; [`status_text`]: in words.
mod act_report;
mod acts;
pub mod audit;
#[allow(dead_code, reason = "x")]
mod command;
mod confirm;
pub mod credential_file;
mod decision_snapshot;
mod discovery;
mod engine;
mod engine_reload;
mod fences;
mod file_reader;
mod file_writer;
mod handle;
mod instance;
pub mod journal;
pub mod jwks;
mod listening;
pub mod materials;
mod places;
mod probes;
mod pulse;
mod records;
mod reload;
mod start;
mod state;
mod status;
pub mod status_text;
pub mod surroundings;
mod sweep;
pub mod tally;
pub mod tokens;
mod troubles;

pub use act_report::{ActReport, ParseServiceMarkError, ServiceMark, SessionsReport, new_act_id};
pub use decision_snapshot::DecisionSnapshot;
pub use handle::{ControlError, ControlHandle, Reloaded};
pub use instance::{host_instance, instance_name};
pub use records::notices::{ChangeNotice, ControlTrouble};
pub use records::record::{
    ActRecord, AuditCheckpointRecord, AuditGapRecord, ChangeRecord, ConditionRecord, HeldRecord, InstanceRecord,
    ObjectiveRecord, ParseRecordIdError, RecordId, RecordTime, RecordType, RecordedChange, RefusalRecord, ReloadActor,
    ReloadRecord, StandingRecord, TransitionReport,
};
pub use records::ring::RecordPage;
pub use reload::NEED_RESTART;
pub use start::{ControlSetup, StartError, start};
pub use status::{
    EndpointReport, EvidenceReport, IncidentReport, ListenerStatus, NameReport, PoolReport, ReloadStatus,
    ServiceReport, Status,
};
pub use tally::ChangeTally;
pub use troubles::StandingTroubles;

/// Private readers of this room, for the properties in `tests/fuzz`.
#[doc(hidden)]
pub mod readers {
    pub use super::probes::grpc_answer;
    pub use super::state::read_and_write as state_file;
}
