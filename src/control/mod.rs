//! The control plane's IO, on a thread of its own: the engine that alone owns the decisions, and what feeds it.
//!
//! # The way through this room
//!
//! * [`start()`]: bind, restore, publish the first table, begin.
//! * `engine`: an event or a deadline in → effects out → obeyed in order, publishing first.
//! * `probes`, `confirm`, `sweep`: where events come from – out-of-band checks, second opinions, real traffic.
//! * `fences`: when no session is left at a pool that was left.
//! * `discovery`: what names of endpoints stand for.
//! * `reload`, `state`: new configurations; what survives a restart. [`materials`]: what TLS reads from files. [`surroundings`]: what a
//!   configuration means on this machine.
//! * `file_writer`: the threads that write files; `journal`: what the core was told, on disk, to be replayed.
//! * `listening`: what the log shows of listeners.
//! * `records`: what happened, as numbered [`ChangeRecord`]s, and the sinks that take them.
//! * [`ControlHandle`]: how other rooms ask; [`Status`], [`ChangeNotice`] and [`ChangeTally`]: what they get to see; [`status_text`]: in words.
mod confirm;
mod discovery;
mod engine;
mod fences;
mod file_writer;
mod handle;
pub mod journal;
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

pub use handle::{ControlError, ControlHandle, Reloaded};
pub use records::notices::{ChangeNotice, ControlTrouble};
pub use records::record::{
    ActRecord, ChangeRecord, ConditionRecord, HeldRecord, InstanceLife, InstanceRecord, ObjectiveRecord,
    ParseRecordIdError, RecordId, RecordTime, RecordType, RecordedChange, RefusalRecord, ReloadRecord, StandingRecord,
};
pub use records::ring::RecordPage;
pub use reload::NEED_RESTART;
pub use start::{ControlSetup, StartError, start};
pub use status::{
    EndpointReport, EvidenceReport, IncidentReport, ListenerStatus, NameReport, PoolReport, ReloadStatus,
    ServiceReport, Status,
};
pub use tally::ChangeTally;

/// Private readers of this room, for the properties in `tests/fuzz`.
#[doc(hidden)]
pub mod readers {
    pub use super::probes::grpc_answer;
    pub use super::state::read_and_write as state_file;
}
