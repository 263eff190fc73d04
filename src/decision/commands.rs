//! What a command does to a service: it is carried out at once or refused with the reason, and never forgotten half-way.

use std::net::SocketAddr;

use super::gating::Intent;
use super::service::Service;
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::turn::Turn;
use super::{ActCommand, ActOutcome, ActRefusal, Actor, Effect, HoldScope, Serving, SwitchKind};
use crate::config::{Mode, Name};
use crate::time::MonoTime;

/// What came of a command, or why nothing can.
pub(super) type CommandAnswer = Result<ActOutcome, ActRefusal>;

fn changed(changed: bool) -> CommandAnswer {
    Ok(if changed { ActOutcome::Done } else { ActOutcome::NoChange })
}

fn intended(intent: Intent) -> CommandAnswer {
    Ok(match intent {
        Intent::Taken => ActOutcome::Done,
        Intent::Waits => ActOutcome::Waiting,
    })
}

impl Service {
    /// Carry out a command.
    pub fn obey(&mut self, actor: Actor, command: &ActCommand, turn: &mut Turn<'_>) -> ActOutcome {
        let answer = command.check_until(turn.now).and_then(|()| match command {
            ActCommand::Switchover { pool, .. } => self.switchover(pool, actor, turn),
            ActCommand::Failback { .. } => self.fail_back(actor, turn),
            ActCommand::Pin { pool, until, .. } => self.pin(pool, until.as_ref().map(|until| until.at), actor, turn),
            ActCommand::Unpin { .. } => self.unpin(turn),
            ActCommand::Thaw { .. } => self.thaw(),
            ActCommand::Hold { scope, until, .. } => self.hold_ordered(*scope, until.at, turn),
            ActCommand::Release { .. } => self.release_ordered(),
            ActCommand::Administer { endpoints, state, force, .. } => {
                self.administer(endpoints, *state, *force, &actor, turn)
            }
            ActCommand::Weight { address, weight, until, force, .. } => {
                let until = until.as_ref().map(|until| until.at);
                self.weigh(*address, (*weight, until), *force, &actor, turn)
            }
            ActCommand::Eject { address, force, .. } => self.eject_ordered(*address, *force, &actor, turn),
            ActCommand::Uneject { address, .. } => self.uneject(*address, &actor, turn),
            ActCommand::Accept { address, .. } => self.accept_ordered(*address),
            // (They are about several services, or none.)
            ActCommand::Evacuate { .. } | ActCommand::Return { .. } | ActCommand::Reload => Ok(ActOutcome::NoChange),
        });
        if matches!(answer, Ok(ActOutcome::Done | ActOutcome::Waiting)) {
            self.note_decided();
            turn.effects.push(Effect::Persist);
        }
        answer.unwrap_or_else(ActOutcome::Refused)
    }

    /// Go to this pool now.
    fn switchover(&mut self, pool: &Name, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        let to = self.known(pool)?;
        let service = self.name().clone();
        self.refuse_following()?;
        if self.config.mode == Mode::ActiveActive {
            return Err(ActRefusal::ActiveActive { service });
        }
        self.refuse_pinned()?;
        self.refuse_held()?;
        if self.serving == Serving::Starting {
            return Err(ActRefusal::Starting { service });
        }
        self.refuse_evacuated(to)?;
        if !self.available(to) {
            return Err(ActRefusal::NotAvailable { service, pool: pool.clone() });
        }
        let stays = to != 0 || self.pools[to].is_static; // at home there is nothing to come back from
        if self.serving == Serving::Active(to) {
            let called_off = self.call_off(turn);
            let before = std::mem::replace(&mut self.ordered, stays);
            return changed(called_off || before != stays);
        }
        let switch = IntendedSwitch { actor, stays, ..IntendedSwitch::own(SwitchKind::Switchover, Some(to)) };
        intended(self.intend(switch, turn))
    }

    /// Go home now, hold-down or not.
    fn fail_back(&mut self, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        self.refuse_following()?;
        self.refuse_pinned()?;
        self.refuse_held()?;
        let home = self.homeward().find(|pool| self.available(*pool));
        match (&self.serving, home) {
            (Serving::Active(0), _) => changed(self.call_off_order(turn)),
            (Serving::Active(_), Some(home)) => {
                let switch = IntendedSwitch { actor, ..IntendedSwitch::own(SwitchKind::Failback, Some(home)) };
                intended(self.intend(switch, turn))
            }
            (Serving::Shared(_), Some(_)) => {
                self.give_back_shares(&actor, turn);
                changed(true)
            }
            (Serving::Shared(_), None) if self.lost.is_empty() => changed(false),
            _ => Err(ActRefusal::NoBetterPool { service: self.name().clone() }),
        }
    }

    /// Stay on this pool whatever happens, once it is the active one.
    fn pin(&mut self, pool: &Name, until: Option<MonoTime>, actor: Actor, turn: &mut Turn<'_>) -> CommandAnswer {
        self.refuse_following()?;
        let to = self.known(pool)?;
        let switch = IntendedSwitch {
            actor,
            pins: true,
            pinned_until: until,
            ..IntendedSwitch::own(SwitchKind::Switchover, Some(to))
        };
        let alone = (0..self.pools.len()).all(|pool| self.serves(pool) == (pool == to));
        let moves = !alone && self.serving != Serving::Starting;
        if moves {
            self.refuse_held()?;
        }
        if moves && self.config.mode == Mode::ActivePassive {
            return intended(self.intend(switch, turn));
        }
        let called_off = self.call_off(turn);
        let ended = self.timers.armed(Timer::Pin);
        let pinned = self.pinned.replace(pool.clone());
        self.timers.set(Timer::Pin, until);
        if moves {
            let from = (0..self.pools.len()).find(|pool| *pool != to && self.serves(*pool));
            self.moved(switch, from, turn);
        }
        self.ordered = false;
        changed(moves || called_off || pinned.as_ref() != Some(pool) || ended != until)
    }

    /// Decide freely again.
    fn unpin(&mut self, turn: &mut Turn<'_>) -> CommandAnswer {
        let waits = self.transition.as_ref().is_some_and(|waiting| waiting.pins) && self.call_off(turn);
        let pinned = self.pinned.take().is_some();
        self.timers.disarm(Timer::Pin);
        if !waits && !pinned {
            return Err(ActRefusal::NotPinned { service: self.name().clone() });
        }
        changed(true)
    }

    /// End a freeze.
    fn thaw(&mut self) -> CommandAnswer {
        if self.frozen_until().is_none() {
            return Err(ActRefusal::NotFrozen { service: self.name().clone() });
        }
        self.freeze.thaw(&mut self.timers);
        changed(true)
    }

    /// Keep the service where it is until then. An order that waits for its gates is called off.
    fn hold_ordered(&mut self, scope: HoldScope, until: MonoTime, turn: &mut Turn<'_>) -> CommandAnswer {
        self.refuse_led()?;
        let called_off = self.call_off_order(turn);
        changed(self.hold_until(scope, until) || called_off)
    }

    /// End a hold.
    fn release_ordered(&mut self) -> CommandAnswer {
        match self.release() {
            true => changed(true),
            false => Err(ActRefusal::NotHeld { service: self.name().clone() }),
        }
    }

    /// A freeze, a hold, a pin, evacuations and weights end when their time is over.
    pub fn end_orders(&mut self, turn: &mut Turn<'_>) {
        let mut ended = self.timers.fired(Timer::Freeze, turn.now);
        if self.timers.fired(Timer::Hold, turn.now) {
            ended |= self.release();
        }
        if self.timers.fired(Timer::Pin, turn.now) {
            ended |= self.pinned.take().is_some();
        }
        if self.timers.fired(Timer::Evacuation, turn.now) {
            ended |= self.end_evacuations(turn.now);
        }
        let was_available = self.serving.active().is_some_and(|active| self.available(active));
        let mut weighed = false;
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            weighed |= endpoint.end_weight_at(turn.now);
        }
        if weighed {
            self.leave_drained_pool(was_available, &Actor::standfast(), turn);
        }
        if ended || weighed {
            self.note_decided();
            turn.effects.push(Effect::Persist);
        }
    }

    /// Where its primary is, no operator says here.
    fn refuse_following(&self) -> Result<(), ActRefusal> {
        match self.follows() {
            Some(_) => Err(ActRefusal::FollowsPrimary { service: self.name().clone() }),
            None => self.refuse_led(),
        }
    }

    /// The data of this endpoint is the right one.
    fn accept_ordered(&mut self, address: SocketAddr) -> CommandAnswer {
        let service = self.name().clone();
        if self.follows().is_none() {
            return Err(ActRefusal::FollowsNone { service });
        }
        let Some(endpoint) = self.every_endpoint().find(|endpoint| endpoint.address == address) else {
            return Err(ActRefusal::UnknownEndpoint { service, address });
        };
        let id = endpoint.id;
        match self.accept(id) {
            true => changed(true),
            false => Err(ActRefusal::NotPrimary { service, address }),
        }
    }

    fn refuse_pinned(&self) -> Result<(), ActRefusal> {
        let Some(pool) = self.pinned.clone() else { return Ok(()) };
        Err(ActRefusal::Pinned { service: self.name().clone(), pool })
    }

    pub fn known(&self, pool: &Name) -> Result<usize, ActRefusal> {
        self.index_of(pool).ok_or_else(|| ActRefusal::UnknownPool {
            service: self.name().clone(),
            pool: pool.clone(),
            known: self.pools.iter().map(|pool| pool.name.clone()).collect(),
        })
    }
}
