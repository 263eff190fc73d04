//! From an intended switch to one that is taken: at once where it has no gate, else when its [transition](super::transition) has
//! come to that.
//!
//! The decision is made again in every turn, and the transition follows it. One of Standfast's own waits only as long as each turn
//! intends the same switch; an operator's waits as long as it is possible, and stands before Standfast's own. One transition waits
//! at a time, so the last intended switch is the one that is taken.

use std::borrow::Cow;

use super::following::FENCE_LIMIT;
use super::service::Service;
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::transition::{Fence, GateState, GivenUpSwitch, Transition};
use super::turn::Turn;
use super::{Effect, Gate, GateOutcome, GateRules, Serving, SwitchKind, TransitionId, TransitionStage};
use crate::config::Name;
use crate::time::MonoTime;

/// What came of an intended switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// It was taken.
    Taken,
    /// It was not taken: it waits for its gates or for one that stands before it, or was given up.
    Waits,
}

impl Service {
    /// The gates of a switch; `None` = it is taken at once. One that leads to no pool, or to a page, makes no second writer: it
    /// has none.
    fn gates<'a>(&self, switch: &IntendedSwitch, turn: &Turn<'a>) -> Option<Cow<'a, GateRules>> {
        let endpoints = switch.to.is_some_and(|to| !self.pools[to].is_static);
        let rules = match switch.kind {
            SwitchKind::Follow => {
                let mut rules = turn.gates.clone().with_fence(FENCE_LIMIT);
                rules.gates.extend(self.hook_of(switch).map(|_| Gate::FenceHook));
                Cow::Owned(rules)
            }
            _ => Cow::Borrowed(turn.gates),
        };
        Some(rules).filter(|rules| endpoints && !rules.is_empty())
    }

    /// Would this switch wait?
    pub fn is_gated(&self, switch: &IntendedSwitch, turn: &Turn<'_>) -> bool {
        self.gates(switch, turn).is_some()
    }

    /// What this turn's decision intends: the transition that waits goes on, is replaced or is withdrawn, and ends when it has come
    /// to that.
    pub fn pursue(&mut self, intended: Option<IntendedSwitch>, turn: &mut Turn<'_>) {
        self.forget_given_up(intended.as_ref(), turn);
        if intended.is_none() && self.transition.as_ref().is_some_and(|waiting| !self.order_stands(waiting)) {
            self.end_transition(TransitionStage::Withdrawn, turn);
        }
        let Some(switch) = intended else {
            self.advance_transition(turn);
            return;
        };
        let taken = self.intend(switch, turn) == Intent::Taken || self.advance_transition(turn) == Intent::Taken;
        if !taken {
            self.failing_open = self.serving.active().is_some() && self.best_available().is_none();
        }
    }

    /// This switch is wanted. It is taken at once if it has no gate; else it waits in the place of the one that waited before.
    pub fn intend(&mut self, switch: IntendedSwitch, turn: &mut Turn<'_>) -> Intent {
        let ordered = switch.is_ordered();
        if let Some(waiting) = &self.transition
            && (self.is_same(waiting, &switch) || (!ordered && self.order_stands(waiting)))
        {
            return Intent::Waits;
        }
        let Some(rules) = self.gates(&switch, turn) else {
            self.take(switch, turn);
            return Intent::Taken;
        };
        if !ordered && self.was_given_up(&switch) && self.pauses(turn) {
            return Intent::Waits;
        }
        self.begin_transition(switch, &rules, turn);
        self.advance_transition(turn)
    }

    fn begin_transition(&mut self, switch: IntendedSwitch, rules: &GateRules, turn: &mut Turn<'_>) {
        self.end_transition(TransitionStage::Replaced, turn);
        let same = self.was_given_up(&switch);
        let before = self.given_up.take().filter(|_| same).and_then(|past| past.fence);
        *turn.transitions += 1;
        let from = self.serving.active().map(|active| self.pools[active].name.clone());
        let fence = self.begin_fence(&switch, rules, before, turn);
        let gate = |gate: &Gate| match gate {
            Gate::FenceAcknowledged if fence.is_none() => {
                GateState { answer: Some(GateOutcome::Open), ..GateState::asked(gate) }
            }
            _ => GateState::asked(gate),
        };
        let hook = self.hook_of(&switch);
        let waiting = Transition {
            id: TransitionId(*turn.transitions),
            kind: switch.kind,
            from,
            to: switch.to.map(|to| self.pools[to].name.clone()),
            actor: switch.actor,
            undoes: switch.undoes,
            stays: switch.stays,
            pins: switch.pins,
            pinned_until: switch.pinned_until,
            since: turn.now,
            until: turn.now.after(rules.limit),
            at_limit: rules.at_limit,
            gates: rules.gates.iter().map(gate).collect(),
            fence,
            hook,
        };
        self.timers.arm(Timer::Transition, waiting.until);
        let stage = TransitionStage::Waiting { closed: waiting.closed(), until: waiting.until };
        turn.effects.push(Effect::Transition(waiting.record(self.name(), stage)));
        self.transition = Some(waiting);
    }

    /// Where a gate asks for it, the pool that serves, or served last, is fenced. (A recovery to that very pool leaves none; and
    /// the sessions of one that a reload took away have been ending since.) `before`: the fence of the same switch when it was given
    /// up, whose sessions have no more time than they had then.
    fn begin_fence(
        &self,
        switch: &IntendedSwitch,
        rules: &GateRules,
        before: Option<Fence>,
        turn: &mut Turn<'_>,
    ) -> Option<Fence> {
        if !rules.gates.contains(&Gate::FenceAcknowledged) {
            return None;
        }
        if switch.kind == SwitchKind::Follow {
            return self.left.clone(); // no pool serves, and its sessions have been told to end
        }
        let pool = match self.serving.active() {
            Some(active) => self.pools[active].name.clone(),
            None => match self.left.as_ref().filter(|left| left.pool.is_none()) {
                Some(removed) => return Some(removed.clone()),
                None => self.last_active.clone()?,
            },
        };
        let index = self.index_of(&pool)?;
        if switch.to == Some(index) || self.pools[index].is_static {
            return None;
        }
        let since = before.filter(|before| before.pool.as_ref() == Some(&pool)).map_or(turn.now, |before| before.since);
        self.end_sessions_since(index, since, turn);
        Some(Fence { told: pool.clone(), pool: Some(pool), epoch: turn.epoch, since })
    }

    /// The fence of this pool while a transition waits.
    pub fn fence_of(&self, pool: usize) -> Option<&Fence> {
        let revoked = self.follows().is_some() && self.following.is_revoked || self.is_revoked_by_leader();
        let revoked = self.left.as_ref().filter(|_| revoked);
        let fence = self.transition.as_ref().and_then(|waiting| waiting.fence.as_ref()).or(revoked);
        fence.filter(|fence| fence.pool.as_ref() == Some(&self.pools[pool].name))
    }

    /// Does a switch wait for its gates, or was it given up, and this is not the pool that served last? Then no trial goes there
    /// either: the gates say when another pool gets work.
    pub fn awaits_gates_without(&self, pool: usize) -> bool {
        let gated = self.transition.is_some() || self.given_up.is_some();
        let last = self.left.as_ref().map_or(self.last_active.as_ref(), |left| left.pool.as_ref());
        gated && last != Some(&self.pools[pool].name)
    }

    /// No session is left at a pool that this epoch left or fenced. Returns whether a transition may have waited for that, its own or that of
    /// its leader.
    pub fn sessions_ended(&mut self, pool: &Name, epoch: u64) -> bool {
        let this = |fence: &Fence| fence.told == *pool && fence.epoch == epoch;
        let is_led = self.left.take_if(|left| this(left)).is_some() && self.is_led();
        let waiting = self.transition.as_mut().filter(|waiting| waiting.fence.as_ref().is_some_and(this));
        waiting.is_some_and(|waiting| waiting.answer(&Gate::FenceAcknowledged, &GateOutcome::Open)) || is_led
    }

    /// The transition that waits, if any, is over. Returns it.
    pub fn end_transition(&mut self, stage: TransitionStage, turn: &mut Turn<'_>) -> Option<Transition> {
        let waiting = self.transition.take()?;
        self.timers.disarm(Timer::Transition);
        self.note_decided();
        turn.effects.push(Effect::Transition(waiting.record(self.name(), stage)));
        Some(waiting)
    }

    /// An operator wants the service at home, where it is: an order that waits is called off. (A forced switch of Standfast's own
    /// would be intended again.) Returns whether one was.
    pub fn call_off_order(&mut self, turn: &mut Turn<'_>) -> bool {
        self.transition.as_ref().is_some_and(Transition::is_ordered) && self.call_off(turn)
    }

    /// An operator wants what is so already: whatever waits is called off. Returns whether an order was.
    pub fn call_off(&mut self, turn: &mut Turn<'_>) -> bool {
        self.end_transition(TransitionStage::Withdrawn, turn).is_some_and(|waiting| waiting.is_ordered())
    }

    /// Is this its transition that waits?
    pub fn awaits(&self, id: TransitionId) -> bool {
        self.transition.as_ref().is_some_and(|waiting| waiting.id == id)
    }

    /// An answer about a gate of the transition that waits. Returns whether it says something new.
    pub fn gate_answered(&mut self, gate: &Gate, outcome: &GateOutcome, seen: MonoTime) -> bool {
        match gate {
            Gate::External { .. } => self.transition.as_mut().is_some_and(|waiting| waiting.answer(gate, outcome)),
            Gate::FenceHook => self.hook_answered(outcome, seen),
            Gate::FenceAcknowledged => false,
        }
    }

    /// The transition that waits ends when it has come to that; at once, where all its gates were open from the beginning.
    fn advance_transition(&mut self, turn: &mut Turn<'_>) -> Intent {
        self.ask_hook_when_due(turn);
        let end = self.transition.as_ref().and_then(|waiting| waiting.end(turn.now));
        end.iter().for_each(|stage| self.note_late_hook(stage, turn.now));
        match end {
            None => Intent::Waits,
            // Its own sessions have ended, and not yet those of the services that move with it.
            Some(TransitionStage::Taken) if self.awaits_companions() && self.is_waiting_before_its_end(turn.now) => {
                Intent::Waits
            }
            Some(stage @ (TransitionStage::Taken | TransitionStage::WentAhead { .. })) => {
                self.take_waiting(stage, turn)
            }
            Some(stage) => self.give_up(stage, turn),
        }
    }

    fn is_waiting_before_its_end(&self, now: MonoTime) -> bool {
        self.transition.as_ref().is_some_and(|waiting| waiting.fence.is_some() && now < waiting.until)
    }

    fn take_waiting(&mut self, stage: TransitionStage, turn: &mut Turn<'_>) -> Intent {
        let Some(waiting) = self.end_transition(stage, turn) else { return Intent::Waits };
        let switch = IntendedSwitch {
            kind: waiting.kind,
            to: waiting.to.as_ref().and_then(|to| self.index_of(to)),
            actor: waiting.actor,
            undoes: waiting.undoes,
            stays: waiting.stays,
            pins: waiting.pins,
            pinned_until: waiting.pinned_until,
        };
        self.take(switch, turn);
        Intent::Taken
    }

    /// The service stays as it is. A switch of Standfast's own is intended again when it has paused for as long as it may wait; an
    /// order is over.
    fn give_up(&mut self, stage: TransitionStage, turn: &mut Turn<'_>) -> Intent {
        let Some(waiting) = self.end_transition(stage, turn) else { return Intent::Waits };
        if !waiting.is_ordered() {
            let until = turn.now.after(waiting.until.since(waiting.since));
            self.timers.arm(Timer::Transition, until);
            self.given_up = Some(GivenUpSwitch { kind: waiting.kind, to: waiting.to, until, fence: waiting.fence });
        }
        Intent::Waits
    }

    /// A given-up switch is intended again when its pause is over, and another one at once.
    fn forget_given_up(&mut self, intended: Option<&IntendedSwitch>, turn: &Turn<'_>) {
        let same = intended.is_some_and(|switch| self.was_given_up(switch));
        if self.given_up.is_none() || same && self.pauses(turn) {
            return;
        }
        self.given_up.take_if(|_| !same);
        self.timers.disarm(Timer::Transition);
    }

    /// Has a switch been given up, and may not be intended again yet?
    fn pauses(&self, turn: &Turn<'_>) -> bool {
        self.given_up.as_ref().is_some_and(|past| turn.now < past.until)
    }

    fn was_given_up(&self, switch: &IntendedSwitch) -> bool {
        let to = switch.to.map(|to| &self.pools[to].name);
        self.given_up.as_ref().is_some_and(|past| past.kind == switch.kind && past.to.as_ref() == to)
    }

    /// Is this the switch that waits? (One away from a pool that the configuration drains is no failover either while it waits.)
    fn is_same(&self, waiting: &Transition, switch: &IntendedSwitch) -> bool {
        let to = switch.to.map(|to| &self.pools[to].name) == waiting.to.as_ref();
        let kind = waiting.kind == switch.kind || waiting.kind == SwitchKind::Switchover && self.is_drained();
        let marks =
            (waiting.pins, waiting.pinned_until, waiting.undoes) == (switch.pins, switch.pinned_until, switch.undoes);
        let same_primary = switch.kind != SwitchKind::Follow || !waiting.has_told_of_another(self.following.next);
        to && kind && marks && same_primary && switch.is_ordered() == waiting.is_ordered()
    }

    fn is_drained(&self) -> bool {
        let min_healthy = self.config.failover.min_healthy;
        self.serving.active().is_some_and(|active| self.pools[active].is_drained(min_healthy))
    }

    /// Is it an operator's, and still possible?
    fn order_stands(&self, waiting: &Transition) -> bool {
        let Some(to) = waiting.to.as_ref().and_then(|to| self.index_of(to)) else { return false };
        let moves = match self.serving {
            Serving::Active(active) => {
                active != to && (waiting.kind != SwitchKind::Failback || self.prefers(to, active))
            }
            Serving::Down => waiting.kind != SwitchKind::Failback,
            Serving::Starting | Serving::Shared(_) => false,
        };
        let possible = self.hold.is_none()
            && (waiting.pins || (self.pinned.is_none() && self.available(to) && !self.is_evacuated(to)));
        waiting.is_ordered() && moves && possible
    }
}
