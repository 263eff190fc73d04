//! How long a recovered pool must have been well before the service comes home to it, and how relapses lengthen that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::config::Failover;

/// The hold-down doubles at most this often (8 ×).
const DOUBLINGS: u32 = 3;

/// Damping of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct HoldDown {
    /// Forced switches that soon followed a failback.
    pub relapses: u32,
    /// When the service last came home.
    pub failed_back: Option<Moment>,
}

impl HoldDown {
    /// What a pool must have been well for.
    pub fn length(&self, rule: &Failover) -> Duration {
        rule.failback.hold_down.saturating_mul(1 << self.relapses.min(DOUBLINGS))
    }

    /// When a pool that recovered then may take the service.
    pub fn over(&self, rule: &Failover, recovered: Moment) -> Moment {
        recovered.after(self.length(rule))
    }

    /// The service came home.
    pub fn came_home(&mut self, now: Moment) {
        self.failed_back = Some(now);
    }

    /// The service was forced away: soon after a failback it is a relapse, otherwise the past is forgiven.
    pub fn forced_away(&mut self, rule: &Failover, now: Moment) {
        match self.failed_back.take() {
            Some(home) if now.since(home) <= rule.damping => self.relapses = (self.relapses + 1).min(DOUBLINGS),
            Some(_) => self.relapses = 0,
            None => {}
        }
    }
}
