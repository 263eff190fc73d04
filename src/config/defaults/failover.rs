//! `failover:`

use std::time::Duration;

use super::{MINUTE, s};
use crate::config::model::{FailbackMode, OnAllDown, OnRefused, ReadFallback, Sessions};

/// One endpoint that works is better than a switch.
pub const MIN_HEALTHY: usize = 1;
/// A refusal is what a dead process says; waiting for checks would only lose requests.
pub const ON_REFUSED: OnRefused = OnRefused::Verdict;
/// A broken health page must not take down a service that answers. (Databases will fail closed.)
pub const ON_ALL_DOWN: OnAllDown = OnAllDown::FailOpen;
/// Requests in flight may end well; fencing is for databases.
pub const SESSIONS: Sessions = Sessions::Drain;
/// Reads that a replica cannot take may be more than a primary can: that it serves them is for its owner to say.
pub const READ_FALLBACK: ReadFallback = ReadFallback::Refuse;
/// A failback is as safe as the failover before it; `manual` is for services where it is not.
pub const FAILBACK_MODE: FailbackMode = FailbackMode::Auto;
/// A minute of health is longer than the pause of a crash loop.
pub const HOLD_DOWN: Duration = s(MINUTE);
/// A failure so soon after a failback has the same cause as the last one.
pub const DAMPING: Duration = s(10 * MINUTE);
/// A third failover within ten minutes is a pattern that a human should see …
pub const MAX_FAILOVERS: u32 = 3;
/// … and after ten quiet minutes it is not one any more.
pub const MAX_FAILOVERS_PER: Duration = s(10 * MINUTE);
/// A power switch or a hypervisor answers within seconds.
pub const FENCE_TIMEOUT: Duration = s(10);
/// A pool that cannot carry the load shows it within half a minute.
pub const CONFIRM_WINDOW: Duration = s(30);
