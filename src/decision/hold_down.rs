//! How long a recovered pool must have been well before the service comes home to it, and how relapses and regular falls
//! lengthen that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Failover;
use crate::time::MonoTime;

/// The hold-down doubles at most this often: nothing makes it longer than 8 × what is configured.
pub(super) const DOUBLINGS: u32 = 3;

/// Damping of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct HoldDown {
    /// Forced switches that soon followed a failback.
    pub relapses: u32,
    /// When the service last came home.
    pub failed_back: Option<MonoTime>,
}

impl HoldDown {
    /// When a pool that recovered then, and falls so regularly, may take the service.
    pub fn over(&self, rule: &Failover, rhythm: &FallRhythm, recovered: MonoTime) -> MonoTime {
        let length = rule.failback.hold_down.saturating_mul(1 << self.relapses.min(DOUBLINGS));
        recovered.after(length.max(rhythm.outlived(rule, recovered)))
    }

    /// The service came home.
    pub fn came_home(&mut self, now: MonoTime) {
        self.failed_back = Some(now);
    }

    /// The service was forced away: soon after a failback it is a relapse, otherwise the past is forgiven.
    pub fn forced_away(&mut self, rule: &Failover, now: MonoTime) {
        match self.failed_back.take() {
            Some(home) if now.since(home) <= rule.damping => self.relapses = (self.relapses + 1).min(DOUBLINGS),
            Some(_) => self.relapses = 0,
            None => {}
        }
    }
}

/// How often a pool falls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FallRhythm {
    /// It is available.
    up: bool,
    /// When it last fell.
    fell: Option<MonoTime>,
    /// The longest time from one fall to the next of those that soon followed each other; zero = it does not flap.
    period: Duration,
}

impl FallRhythm {
    /// It is available, or is not.
    pub fn observe(&mut self, up: bool, damping: Duration, now: MonoTime) {
        let falls = self.up && !up;
        self.up = up;
        if falls {
            let ago = self.fell.map(|before| now.since(before)).filter(|ago| *ago <= damping);
            self.period = ago.map_or(Duration::ZERO, |ago| ago.max(self.period));
            self.fell = Some(now);
        }
    }

    /// What a pool that recovered then must be well for, so that it has stopped flapping.
    fn outlived(&self, rule: &Failover, recovered: MonoTime) -> Duration {
        let lately = self.fell.is_some_and(|fell| recovered.since(fell) <= rule.damping);
        let longest = rule.failback.hold_down.saturating_mul(1 << DOUBLINGS).min(rule.damping);
        if lately { self.period.saturating_mul(2).min(longest) } else { Duration::ZERO }
    }
}
