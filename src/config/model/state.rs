//! `state:`

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The file that holds the decision state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    /// Written aside and renamed.
    pub path: PathBuf,
    /// An older file is ignored, loudly.
    pub max_age: Duration,
}
