//! The one place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::decision::Moment;

/// What the clock shows when the machine starts: one year, in microseconds. So [`Moment::ZERO`] is always in the past and
/// can stand for "never" in an atomic, and what an earlier process saved as an age has a moment of its own in this one.
const START: u64 = 365 * 24 * 3600 * 1_000_000;

/// The monotonic time now (`CLOCK_MONOTONIC`: time since the machine started).
#[inline]
pub fn now() -> Moment {
    let now = clock_gettime(ClockId::Monotonic);
    Moment::from_micros(START + now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000)
}

/// Wall-clock time in milliseconds since the Unix epoch: for records that people read, never for decisions.
pub fn unix_millis() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
