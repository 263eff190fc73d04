//! `journal:`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The file that holds what the core was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalFile {
    /// The newest part; the one before it is beside it, with `.previous` behind its name.
    pub path: PathBuf,
    /// Bytes of both together at most.
    pub max_bytes: u64,
}
