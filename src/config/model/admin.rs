//! `admin:` and `metrics:`

use serde::{Deserialize, Serialize};

use crate::config::Bind;

/// The admin port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admin {
    /// Where to listen.
    pub bind: Bind,
}

/// How much `/metrics` tells of each endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsDetail {
    /// Everything.
    #[default]
    Full,
    /// Its standing, its exchanges and its connections in use; the rest is summed up by pool.
    Lean,
}
