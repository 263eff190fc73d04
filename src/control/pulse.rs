//! What is known of the engine without asking it: that it runs, and how often it was changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::clock;
use crate::time::MonoTime;

/// The engine stores, everyone else reads.
#[derive(Debug)]
pub(super) struct EnginePulse {
    /// When the engine last came round, in microseconds of the clock.
    beat: AtomicU64,
    /// Orders and configurations that were answered.
    changes: AtomicU64,
}

impl EnginePulse {
    /// It has just come round.
    pub fn new() -> EnginePulse {
        EnginePulse { beat: AtomicU64::new(clock::now().as_micros()), changes: AtomicU64::new(0) }
    }

    /// The engine comes round.
    pub fn beat(&self) {
        self.beat.store(clock::now().as_micros(), Ordering::Relaxed);
    }

    /// How long ago it last came round.
    pub fn age(&self) -> Duration {
        clock::now().since(MonoTime::from_micros(self.beat.load(Ordering::Relaxed)))
    }

    /// An order or a configuration was answered; what is read after the caller has got that answer sees this.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How often [`EnginePulse::changed`] was called.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}
