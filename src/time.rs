//! Monotonic time as plain data: decisions get it as an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point of monotonic time in microseconds since an origin that only the shell knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoTime(u64);

/// As many as can be counted.
const fn whole_micros(span: Duration) -> u64 {
    let micros = span.as_micros();
    if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }
}

impl MonoTime {
    /// Before everything: stands for "never" where an atomic needs a number.
    pub const ZERO: MonoTime = MonoTime(0);

    /// From microseconds since the origin.
    pub const fn from_micros(micros: u64) -> MonoTime {
        MonoTime(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This much later (saturating).
    pub const fn after(self, wait: Duration) -> MonoTime {
        MonoTime(self.0.saturating_add(whole_micros(wait)))
    }

    /// This much earlier (saturating at the origin).
    pub const fn before(self, span: Duration) -> MonoTime {
        MonoTime(self.0.saturating_sub(whole_micros(span)))
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: MonoTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
