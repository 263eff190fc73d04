//! `state:`

use std::time::Duration;

use super::{HOUR, s};

/// Decisions older than a day say nothing about today: a machine that was off over the weekend starts without state.
pub const STATE_MAX_AGE: Duration = s(24 * HOUR);
