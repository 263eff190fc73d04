//! The one place that reads a clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::decision::Moment;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// What the clock shows at the first call in this process: one year, in microseconds. So [`Moment::ZERO`] is always in the
/// past and can stand for "never" in an atomic, and what an earlier process saved as an age has a moment of its own in
/// this one.
const START: u64 = 365 * 24 * 3600 * 1_000_000;

/// The monotonic time now.
pub fn now() -> Moment {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    let now = Instant::now();
    let origin = *ORIGIN.get_or_init(|| now);
    Moment::from_micros(START + (now - origin).as_micros() as u64)
}

/// Wall-clock time in milliseconds since the Unix epoch: for records that people read, never for decisions.
pub fn unix_millis() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
