//! The audit log as a format: a chain of lines, each with the hash of the one before. Pure: lines in, findings out; the files are
//! the control plane's.
//!
//! * [`chain`]: a line, its hash, and the chain that writes it;
//! * [`mod@checkpoint`]: signatures over the head of a chain, as signed notes;
//! * [`verify`]: what was edited, removed, inserted or cut off, by file and line.
//!
//! # Format 1
//!
//! A record is one line of JSON, at most [`LONGEST_LINE`] bytes. It begins with `{"seq":N,` and ends with
//! `,"prev":"P","hash":"H"}`, where P and H are 64 hexadecimal digits. `seq` counts from 1 without gaps, over rotated files too. P is
//! the H of the record before, and 64 zeros in the first one. H is the SHA-256 of `standfast-audit-v1` and a line feed, the 32 bytes
//! of P, and the line's bytes before `,"hash"`. `config/audit-verify.py` checks it without this program.
pub mod chain;
pub mod checkpoint;
pub mod verify;

pub use chain::{AuditChain, AuditHash, AuditLine, LONGEST_LINE, LineProblem, RecordTooLong};
pub use checkpoint::{CheckpointKey, CheckpointKeyError, CheckpointVerifier};
pub use verify::{AuditFinding, AuditReport, ChainVerifier, FindingKind, checkpoint};
