//! `retry:`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::patience::DelayThreshold;

/// When a try is made again ([manual::retries](crate::manual::retries)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Exchanges with bytes sent, the first included.
    pub attempts: u32,
    /// Which outcomes are worth another try.
    pub on: RetryOn,
    /// Deadline of one try; `None` = only the response timeout.
    pub per_try_timeout: Option<Duration>,
    /// Extra attempts as a share of client requests over 10 s (0.2 = 20 %), plus [`Retry::BUDGET_FLOOR`].
    pub budget: f64,
    /// May a failed request leave its pool before the switch.
    pub cross_pool: CrossPool,
    /// Request bodies up to this many bytes are kept for another try.
    pub replay_bytes: usize,
    /// When a safe request that waits for its answer is also sent elsewhere.
    pub hedge: DelayThreshold,
}

impl Retry {
    /// Extra attempts any service may always make in a window: enough for the requests until a verdict on a pool of two.
    pub const BUDGET_FLOOR: u32 = 12;
    /// The window of the budget.
    pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);
}

/// The outcomes that are worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// The connection was reset or closed before an answer, or the answer was malformed.
    pub reset: bool,
    /// No answer within the per-try timeout.
    pub timeout: bool,
    /// The upstream answered one of these statuses: ranges with both ends, in order, none of which meets another.
    pub statuses: Vec<(u16, u16)>,
}

impl RetryOn {
    /// Is an answer with this status worth another try?
    #[inline]
    pub fn has_status(&self, status: u16) -> bool {
        status >= 400 && self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// No outcome is worth another try.
    pub fn is_empty(&self) -> bool {
        !self.reset && !self.timeout && self.statuses.is_empty()
    }
}

/// May a failed request leave its pool before the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossPool {
    /// GET, HEAD, OPTIONS without a body (HTTP's default).
    Safe,
    /// Idempotent methods too.
    Idempotent,
    /// Never (TCP's default).
    Never,
}
