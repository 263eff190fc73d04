//! A hold: an operator keeps a service where it is, for a time. Elective switches wait, as in a freeze; with
//! [`HoldScope::All`] a forced one is not made either, and the incident that it would have been is recorded.
//!
//! A hold never keeps a service down: where no pool serves, or a page does, the first pool that can serve takes it.

use super::service::Service;
use super::switch::{HeldSwitch, IntendedSwitch};
use super::timers::Timer;
use super::turn::Turn;
use super::{ActRefusal, Effect, HoldScope, Incident, SwitchKind};
use crate::time::MonoTime;

impl Service {
    /// Make no switch of this kind until then. Returns whether that is new.
    pub fn hold_until(&mut self, scope: HoldScope, until: MonoTime) -> bool {
        let before = (self.hold.replace(scope), self.timers.armed(Timer::Hold));
        self.timers.arm(Timer::Hold, until);
        before != (Some(scope), Some(until))
    }

    /// The hold is over. Returns whether there was one.
    pub fn release(&mut self) -> bool {
        self.timers.disarm(Timer::Hold);
        self.held_switch = None;
        self.hold.take().is_some()
    }

    /// Is every switch away from a pool held?
    pub fn holds_all(&self) -> bool {
        self.hold == Some(HoldScope::All)
    }

    /// Elective switches may be made: the service is neither frozen nor held.
    pub fn may_elect(&self) -> bool {
        self.frozen_until().is_none() && self.hold.is_none()
    }

    /// Nothing that an operator commands moves a service that is held.
    pub fn refuse_held(&self) -> Result<(), ActRefusal> {
        match self.hold {
            Some(_) => Err(ActRefusal::Held { service: self.name().clone() }),
            None => Ok(()),
        }
    }

    /// The intended switch of an `active_passive` service, unless a hold keeps it from being made.
    pub fn unless_held(&mut self, intended: Option<IntendedSwitch>, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let recovers = |switch: &IntendedSwitch| switch.kind == SwitchKind::Recovery;
        let Some(active) = self.serving.active().filter(|_| self.holds_all()) else {
            self.held_switch = None;
            return intended;
        };
        match intended {
            Some(switch) if !recovers(&switch) => {
                self.failing_open = !self.available(active) && self.best_available().is_none();
                self.record_held(&switch, active, turn);
                None
            }
            other => {
                self.held_switch = None;
                other
            }
        }
    }

    /// The incident that a switch away from this pool would have been. Nothing else of it happens.
    pub fn record_held(&mut self, switch: &IntendedSwitch, from: usize, turn: &mut Turn<'_>) {
        let name = |pool: usize| self.pools[pool].name.clone();
        let held = HeldSwitch { kind: switch.kind, from: Some(name(from)), to: switch.to.map(name) };
        if self.held_switch.as_ref() == Some(&held) {
            return;
        }
        let incident = self.incident(switch, Some(from), self.fault_of(Some(from), turn), turn);
        // (Nothing of it is published.)
        let incident = Incident { epoch: turn.epoch.saturating_sub(1), held: true, ..incident };
        self.held_switch = Some(held);
        turn.timeline.open(incident, turn.effects);
        turn.effects.push(Effect::Persist);
    }
}
