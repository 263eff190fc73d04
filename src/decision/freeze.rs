//! Too many forced switches freeze the elective ones: a service that flaps stays where it is until somebody has looked.

use serde::{Deserialize, Serialize};

use super::Moment;
use super::timers::{Timer, Timers};
use crate::config::MaxFailovers;

/// The window of forced failovers and rollbacks of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Freeze {
    /// When they were, oldest first.
    pub forced: Vec<Moment>,
}

impl Freeze {
    /// A forced failover or a rollback; returns the end of the freeze that it causes or lengthens.
    pub fn count(&mut self, rule: &MaxFailovers, timers: &mut Timers, now: Moment) -> Option<Moment> {
        self.forced.retain(|at| now.since(*at) < rule.per);
        self.forced.push(now);
        let excess = self.forced.len().checked_sub(rule.count as usize + 1)?;
        self.hold(timers, self.forced[excess].after(rule.per))
    }

    /// Freeze for one whole period (after a rollback).
    pub fn one_period(&mut self, rule: &MaxFailovers, timers: &mut Timers, now: Moment) -> Option<Moment> {
        self.hold(timers, now.after(rule.per))
    }

    fn hold(&self, timers: &mut Timers, until: Moment) -> Option<Moment> {
        let longer = timers.armed(Timer::Freeze).is_none_or(|before| before < until);
        if longer {
            timers.arm(Timer::Freeze, until);
        }
        longer.then_some(until)
    }

    /// An operator thaws: the window begins anew.
    pub fn thaw(&mut self, timers: &mut Timers) {
        self.forced.clear();
        timers.disarm(Timer::Freeze);
    }
}
