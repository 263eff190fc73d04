//! `audit:`

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The log of acts and changes, as a chain of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFile {
    /// The newest part; those before it are beside it, with the number of their first record behind the name.
    pub path: PathBuf,
    /// Bytes of one file at most.
    pub rotate: u64,
    /// Files beside the newest one that stay.
    pub keep: usize,
    /// What becomes of an act that cannot be put on record.
    pub on_error: AuditFailurePolicy,
    /// Signed ends of the chain.
    pub checkpoint: AuditCheckpoints,
}

/// What becomes of an act that cannot be put on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFailurePolicy {
    /// It is carried out, and that is logged as an error.
    #[default]
    Continue,
    /// It is not carried out.
    RefuseActs,
}

/// When a checkpoint is written, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheckpoints {
    /// After so many records.
    pub every: u64,
    /// After this time, if there was a record.
    pub interval: Duration,
    /// The private key that signs them; `None` = they are logged only.
    pub key_file: Option<PathBuf>,
}
