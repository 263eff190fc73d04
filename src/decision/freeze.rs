//! Too many outages freeze the elective switches: a service that flaps stays where it is until the window has room again.

use serde::{Deserialize, Serialize};

use super::timers::{Timer, Timers};
use crate::config::{Failover, MaxFailovers};
use crate::time::MonoTime;

/// The outages of one service within the window. One counts once: what forces the service to move again within `confirm_window`
/// belongs to it, and so does what happens while no endpoint serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Freeze {
    /// When they began, oldest first.
    pub forced: Vec<MonoTime>,
}

impl Freeze {
    /// Does a pool that is left by force now begin an outage?
    pub fn begins_outage(&self, rule: &Failover, now: MonoTime) -> bool {
        self.forced.last().is_none_or(|last| now.since(*last) > rule.confirm_window)
    }

    /// An outage begins; one too many causes a freeze, or lengthens it.
    pub fn count(&mut self, rule: &MaxFailovers, timers: &mut Timers, now: MonoTime) {
        self.forced.retain(|at| now.since(*at) < rule.per);
        self.forced.push(now);
        let Some(excess) = self.forced.len().checked_sub(rule.count as usize + 1) else { return };
        let until = self.forced[excess].after(rule.per);
        if timers.armed(Timer::Freeze).is_none_or(|before| before < until) {
            timers.arm(Timer::Freeze, until);
        }
    }

    /// An operator thaws: the window begins again.
    pub fn thaw(&mut self, timers: &mut Timers) {
        self.forced.clear();
        timers.disarm(Timer::Freeze);
    }
}
