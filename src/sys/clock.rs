//! The one place that reads a clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::decision::Moment;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The monotonic time now, counted from the first call in this process plus one second (so that
/// [`Moment::ZERO`] is always in the past and can stand for "never" in an atomic).
pub fn now() -> Moment {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    let now = Instant::now();
    let origin = *ORIGIN.get_or_init(|| now);
    Moment::from_micros(1_000_000 + (now - origin).as_micros() as u64)
}

/// Wall-clock time in milliseconds since the Unix epoch: for records that people read, never for decisions.
pub fn unix_millis() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
