//! [`Turn`]: what one evaluation of the core works with.

use super::timeline::Timeline;
use super::{Effect, GateRules};
use crate::time::MonoTime;

/// What one turn of the core works with.
pub(super) struct Turn<'a> {
    pub now: MonoTime,
    /// The epoch that this turn publishes, if it publishes.
    pub epoch: u64,
    pub effects: &'a mut Vec<Effect>,
    pub timeline: &'a mut Timeline,
    /// Of every switch.
    pub gates: &'a GateRules,
    /// How many transitions have begun, of all services.
    pub transitions: &'a mut u64,
}
