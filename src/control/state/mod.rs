//! The state file: decisions that survive a restart ([manual::persistence](crate::manual::persistence)). Written aside, synced
//! and renamed by a thread of its own, after the publish and off every request's path; a newer state replaces one that still waits.
//!
//! The file ends with a checksum of what stands before it (SHA-256), so that a bit that turned on a disk is never a pool
//! that serves; files of before there was one are read without. The state before the last one is kept beside it
//! (`.previous`) and read when the newest is damaged. Where the file itself is missing, this is a first start.
//!
//! What is read is checked entry by entry: a service, a pool, an endpoint, an incident or a name that cannot be is left out and
//! told, in the log and in the status; all else is restored.

mod document;
mod read;
mod write;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use document::read_and_write;
pub(super) use read::{LoadedState, load};
pub(super) use write::StateWriter;
