//! `admin:`

use serde::{Deserialize, Serialize};

use crate::config::Bind;

/// The admin port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admin {
    /// Where to listen.
    pub bind: Bind,
}
