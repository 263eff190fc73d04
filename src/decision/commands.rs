//! What a command does to a service: it is carried out at once or refused with the reason, and never forgotten half-way.

use std::net::SocketAddr;

use super::service::Service;
use super::switch::Switch;
use super::turn::Turn;
use super::{ActCommand, ActOutcome, ActRefusal, Actor, Administrative, Effect, Serving, SwitchKind};
use crate::config::{Mode, Name};

/// Has something changed? Or why not.
type CommandAnswer = Result<bool, ActRefusal>;

impl Service {
    /// Carry out a command.
    pub fn obey(&mut self, actor: Actor, command: &ActCommand, turn: &mut Turn<'_>) -> ActOutcome {
        let answer = match command {
            ActCommand::Switchover { pool, .. } => self.switchover(pool, actor, turn),
            ActCommand::Failback { .. } => self.fail_back(actor, turn),
            ActCommand::Pin { pool, .. } => self.pin(pool, actor, turn),
            ActCommand::Unpin { .. } => self.unpin(),
            ActCommand::Thaw { .. } => self.thaw(),
            ActCommand::Administer { address, state, .. } => self.administer(*address, *state),
        };
        match answer {
            Ok(true) => {
                turn.effects.push(Effect::Persist);
                ActOutcome::Done
            }
            Ok(false) => ActOutcome::NoChange,
            Err(refusal) => ActOutcome::Refused(refusal),
        }
    }

    /// Go to this pool now.
    fn switchover(&mut self, pool: &Name, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        let to = self.known(pool)?;
        let service = self.name().clone();
        if self.config.mode == Mode::ActiveActive {
            return Err(ActRefusal::ActiveActive { service });
        }
        self.refuse_pinned()?;
        if self.serving == Serving::Starting {
            return Err(ActRefusal::Starting { service });
        }
        if !self.available(to) {
            return Err(ActRefusal::NotAvailable { service, pool: pool.clone() });
        }
        let before = (self.serving.clone(), self.ordered);
        if self.serving != Serving::Active(to) {
            self.switch(Switch { actor, ..Switch::own(SwitchKind::Switchover, Some(to)) }, turn);
        }
        self.ordered = to != 0 || self.pools[to].is_static; // at home there is nothing to come back from
        Ok(before != (self.serving.clone(), self.ordered))
    }

    /// Go home now, hold-down or not.
    fn fail_back(&mut self, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        self.refuse_pinned()?;
        let home = self.homeward().find(|pool| self.available(*pool));
        match (&self.serving, home) {
            (Serving::Active(0), _) => Ok(false),
            (Serving::Active(_), Some(home)) => {
                self.switch(Switch { actor, ..Switch::own(SwitchKind::Failback, Some(home)) }, turn);
                Ok(true)
            }
            (Serving::Shared(_), Some(_)) => {
                self.give_back_shares(&actor, turn);
                Ok(true)
            }
            (Serving::Shared(_), None) if self.lost.is_empty() => Ok(false),
            _ => Err(ActRefusal::NoBetterPool { service: self.name().clone() }),
        }
    }

    /// Stay on this pool whatever happens.
    fn pin(&mut self, pool: &Name, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        let to = self.known(pool)?;
        let pinned = self.pinned.replace(pool.clone());
        let again = pinned.as_ref() == Some(pool);
        let switch = Switch { actor, ..Switch::own(SwitchKind::Switchover, Some(to)) };
        let alone = (0..self.pools.len()).all(|pool| self.serves(pool) == (pool == to));
        let moves = !alone && self.serving != Serving::Starting;
        match self.config.mode {
            _ if !moves => {}
            Mode::ActivePassive => self.switch(switch, turn),
            Mode::ActiveActive => {
                let from = (0..self.pools.len()).find(|pool| *pool != to && self.serves(*pool));
                self.moved(switch, from, turn);
            }
        }
        self.ordered = false;
        Ok(!again || moves)
    }

    /// Decide freely again.
    fn unpin(&mut self) -> CommandAnswer {
        let pinned = self.pinned.take();
        pinned.map(|_| true).ok_or_else(|| ActRefusal::NotPinned { service: self.name().clone() })
    }

    /// End a freeze.
    fn thaw(&mut self) -> CommandAnswer {
        if self.frozen_until().is_none() {
            return Err(ActRefusal::NotFrozen { service: self.name().clone() });
        }
        self.freeze.thaw(&mut self.timers);
        Ok(true)
    }

    /// Change an endpoint's administrative state.
    fn administer(&mut self, address: SocketAddr, state: Administrative) -> CommandAnswer {
        let mut endpoints = self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints);
        let Some(endpoint) = endpoints.find(|endpoint| endpoint.address == address) else {
            return Err(ActRefusal::UnknownEndpoint { service: self.name().clone(), address });
        };
        let before = std::mem::replace(&mut endpoint.administrative, state);
        Ok(before != state)
    }

    fn refuse_pinned(&self) -> Result<(), ActRefusal> {
        let Some(pool) = self.pinned.clone() else { return Ok(()) };
        Err(ActRefusal::Pinned { service: self.name().clone(), pool })
    }

    fn known(&self, pool: &Name) -> Result<usize, ActRefusal> {
        self.index_of(pool).ok_or_else(|| ActRefusal::UnknownPool {
            service: self.name().clone(),
            pool: pool.clone(),
            known: self.pools.iter().map(|pool| pool.name.clone()).collect(),
        })
    }
}
