//! The journal: everything the core was told, on disk, with a snapshot of the decision before it. Replayed into the core, it gives
//! the same decisions again ([manual::persistence](crate::manual::persistence)).
//!
//! * `format`: the form of a segment. * `write`: the engine's side. * `target`: the side of the files' thread.
//! * `read`, `replay`: for `standfast journal`.

mod format;
mod read;
mod replay;
mod target;
mod write;

pub use format::{JOURNAL_VERSION, SegmentHead, SegmentReason};
pub use read::{JournalContents, JournalEntry, JournalError, JournalSegment, parse, read_journal};
pub use replay::{ReplayVerdict, SegmentReplay, replay};
pub use write::JournalCounts;
pub(super) use write::JournalWriter;
