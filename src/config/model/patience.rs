//! `hedge:` and `stall:`: a delay, learned or given.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long an answer may be waited for before something is done about it ([manual::health](crate::manual::health),
/// [manual::retries](crate::manual::retries)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelayThreshold {
    /// As long as the route's answers usually take: max(250 ms, 3 × p99); 1 s before 100 answers are known.
    #[default]
    Auto,
    /// For ever: nothing is done.
    Off,
    /// So long.
    After(Duration),
}
