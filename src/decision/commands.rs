//! What operators say. An order is carried out at once or refused with the reason; it is never forgotten half-way.

use super::service::Service;
use super::switch::Switch;
use super::turn::Turn;
use super::{Actor, Alert, Effect, Serving, SwitchKind};
use crate::config::{Mode, Name};

/// Why an order was not carried out, and what would make it possible.
pub(super) type Refused = String;

impl Service {
    /// Go to this pool now.
    pub fn switchover(&mut self, pool: &Name, actor: Actor, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let to = self.known(pool)?;
        let name = self.name().clone();
        if self.config.mode == Mode::ActiveActive {
            return Err(format!("{name} is active_active: pin it to one pool instead"));
        }
        if let Some(pin) = &self.pinned {
            return Err(format!("{name} is pinned to {pin}: unpin it first"));
        }
        if self.serving == Serving::Starting {
            return Err(format!("{name} is still choosing its first pool: try again in a moment"));
        }
        if !self.available(to) {
            return Err(format!("pool {pool} of {name} is not available: pin {name} to it to go there nevertheless"));
        }
        if self.serving != Serving::Active(to) {
            self.switch(Switch { actor, ..Switch::own(SwitchKind::Switchover, Some(to)) }, turn);
        }
        self.ordered = to != 0 || self.pools[to].is_static; // at home there is nothing to come back from
        turn.effects.push(Effect::Persist);
        Ok(())
    }

    /// Go home now, hold-down or not.
    pub fn fail_back(&mut self, actor: Actor, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let name = self.name().clone();
        if let Some(pin) = &self.pinned {
            return Err(format!("{name} is pinned to {pin}: unpin it first"));
        }
        let home = self.homeward().find(|pool| self.available(*pool));
        match (&self.serving, home) {
            (Serving::Active(0), _) => Ok(()),
            (Serving::Active(_), Some(home)) => {
                self.switch(Switch { actor, ..Switch::own(SwitchKind::Failback, Some(home)) }, turn);
                Ok(())
            }
            (Serving::Shared(_), Some(_)) => {
                self.give_back_shares(&actor, turn);
                Ok(())
            }
            (Serving::Shared(_), None) if self.lost.is_empty() => Ok(()),
            _ => Err(format!("no better pool of {name} is available: its endpoints must be healthy first")),
        }
    }

    /// Stay on this pool whatever happens.
    pub fn pin(&mut self, pool: &Name, actor: Actor, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let to = self.known(pool)?;
        self.pinned = Some(pool.clone());
        self.alarmed = false; // a new pin is a new reason to tell
        let switch = Switch { actor, ..Switch::own(SwitchKind::Switchover, Some(to)) };
        let alone = (0..self.pools.len()).all(|pool| self.serves(pool) == (pool == to));
        match (&self.serving, self.config.mode) {
            (Serving::Starting, _) => {}
            _ if alone => {}
            (_, Mode::ActivePassive) => self.switch(switch, turn),
            (_, Mode::ActiveActive) => {
                let from = (0..self.pools.len()).find(|pool| *pool != to && self.serves(*pool));
                self.moved(switch, from, turn);
            }
        }
        self.ordered = false;
        turn.effects.push(Effect::Persist);
        Ok(())
    }

    /// Decide freely again.
    pub fn unpin(&mut self, turn: &mut Turn<'_>) -> Result<(), Refused> {
        if self.pinned.take().is_none() {
            return Err(format!("{} is not pinned", self.name()));
        }
        turn.effects.push(Effect::Persist);
        Ok(())
    }

    /// End a freeze.
    pub fn thaw(&mut self, turn: &mut Turn<'_>) -> Result<(), Refused> {
        if self.frozen_until().is_none() {
            return Err(format!("{} is not frozen", self.name()));
        }
        self.freeze.thaw(&mut self.timers);
        turn.effects.push(Effect::Alert(Alert::Thawed { service: self.name().clone() }));
        turn.effects.push(Effect::Persist);
        Ok(())
    }

    fn known(&self, pool: &Name) -> Result<usize, Refused> {
        self.index_of(pool).ok_or_else(|| {
            let pools: Vec<&str> = self.pools.iter().map(|pool| &*pool.name).collect();
            format!("{} has no pool {pool}: it has {}", self.name(), pools.join(", "))
        })
    }
}
