//! The audit log: acts and changes on disk, as a chain of lines ([manual::audit](crate::manual::audit)).
//!
//! * [`AuditHandle`]: how other rooms put something on record. It never blocks for IO.
//! * `desk`: the queue between them and the thread `audit`; `denials`: at most one record a second for each source.
//! * `writer`: that thread: records become lines of the chain, with checkpoints; `line`: what a line says.
//! * `log_file`: the file that it alone writes: its lock, its end, its rotation. [`files`]: how the files are named.
//! * `key`: the key of checkpoints.

mod denials;
mod desk;
mod error;
pub mod files;
mod handle;
mod key;
mod line;
mod log_file;
mod writer;

pub use denials::Denial;
pub use desk::AuditCounts;
pub use error::AuditError;
pub use handle::AuditHandle;
pub use key::{KeyFile, read_key};

pub(super) use handle::{AuditLog, OpenAuditLog};
