//! `active_active`: pools share the traffic by weight; a lost pool's share goes to the others, and comes back to it by the same
//! rules by which an `active_passive` service comes home.

use super::pool::Pool;
use super::service::Service;
use super::switch::{IntendedSwitch, LastSwitch};
use super::timers::Timer;
use super::turn::Turn;
use super::{Actor, Effect, Serving, SwitchKind, TransitionStage};

impl Service {
    /// One decision of an `active_active` service.
    pub fn decide_shares(&mut self, turn: &mut Turn<'_>) {
        // (It was `active_passive` before a reload. Shares have no gates.)
        self.end_transition(TransitionStage::Withdrawn, turn);
        self.given_up = None;
        self.timers.disarm(Timer::Transition);
        if self.serving == Serving::Starting && !self.ready_to_share(turn) {
            return;
        }
        let before: Vec<usize> = (0..self.pools.len()).filter(|pool| self.serves(*pool)).collect();
        let mut unreached: Vec<usize> = before.iter().copied().filter(|pool| !self.available(*pool)).collect();
        unreached.retain(|pool| self.is_cut_off(*pool, turn.now) || self.may_come_back(*pool, turn.now));
        self.unreached = unreached.iter().map(|pool| self.pools[*pool].name.clone()).collect();
        let (members, failing_open) = self.members(&unreached, turn);
        let (members, failing_open) = self.shares_unless_held(&before, members, failing_open, turn);
        if self.serving == Serving::Starting || (self.last_switch.is_none() && before.is_empty()) {
            if self.serving == Serving::Starting || !members.is_empty() {
                self.begin(self.shares(&members), turn);
            }
        } else {
            self.lose(&before, &members, turn);
            self.regain(&before, &members, turn);
            let shares = self.shares(&members);
            if self.serving != shares {
                self.note_decided();
            }
            self.serving = shares;
        }
        self.lost.retain(|name| !members.iter().any(|pool| self.pools[*pool].name == *name));
        self.failing_open = failing_open;
    }

    /// Nothing is taken from a pool while a hold says so: what would have been is recorded.
    fn shares_unless_held(
        &mut self,
        before: &[usize],
        members: Vec<usize>,
        failing_open: bool,
        turn: &mut Turn<'_>,
    ) -> (Vec<usize>, bool) {
        let serves = before.iter().any(|pool| !self.pools[*pool].is_static);
        let lost = before.iter().copied().find(|pool| !members.contains(pool));
        let Some(lost) = lost.filter(|_| self.holds_all() && serves) else {
            self.held_switch = None;
            return (members, failing_open);
        };
        let switch = IntendedSwitch::own(SwitchKind::Failover, members.first().copied());
        self.record_held(&switch, lost, turn);
        let none = !before.iter().any(|pool| self.available(*pool)) && self.best_available().is_none();
        (before.to_vec(), none)
    }

    fn ready_to_share(&self, turn: &Turn<'_>) -> bool {
        let time_is_up = self.timers.armed(Timer::FirstRound).is_none_or(|at| at <= turn.now);
        let min_healthy = self.config.failover.min_healthy;
        let ready = |pool: &Pool| pool.available(min_healthy) || pool.first_round_complete();
        time_is_up || self.pools.iter().all(ready)
    }

    /// Who should have a share now, and is that only the last resort? `unreached`: pools that keep theirs although they are not
    /// available, because it is likelier that we are cut off.
    fn members(&self, unreached: &[usize], turn: &Turn<'_>) -> (Vec<usize>, bool) {
        if let Some(pinned) = self.pinned.as_ref().and_then(|pin| self.index_of(pin)) {
            return (vec![pinned], !self.available(pinned));
        }
        let available = || (0..self.pools.len()).filter(|pool| self.available(*pool));
        let weighted = |pool: &usize| !self.pools[*pool].is_static && self.config.pools[*pool].weight > 0;
        let shares = |pool: &usize| weighted(pool) && !self.is_evacuated(*pool);
        let over = |pool: usize| self.hold_down_end(pool).is_some_and(|end| end <= turn.now);
        let welcome = |pool: &usize| {
            let returns = !self.lost.contains(&self.pools[*pool].name) || (self.may_fail_back() && over(*pool));
            returns && self.hold.is_none() || self.serves(*pool)
        };
        let stays = |pool: &usize| self.available(*pool) || unreached.contains(pool);
        let settled: Vec<usize> = (0..self.pools.len()).filter(stays).filter(shares).filter(welcome).collect();
        if !settled.is_empty() {
            let failing_open = !settled.iter().any(|pool| self.available(*pool));
            return (settled, failing_open);
        }
        // Evacuated pools that had to take over go on until another one has proven itself.
        let avoided = || available().filter(weighted).filter(|pool| self.is_evacuated(*pool));
        let present: Vec<usize> = avoided().filter(|pool| self.serves(*pool)).collect();
        if !present.is_empty() {
            return (present, false);
        }
        // A pool that should still prove itself is better than none; then pools kept in reserve (weight 0, static).
        let any: Vec<usize> = available().filter(shares).collect();
        if !any.is_empty() {
            return (any, false);
        }
        match self.best_available() {
            Some(last) if self.is_evacuated(last) => (avoided().collect(), false),
            Some(reserve) => (vec![reserve], false),
            None => {
                let present = (0..self.pools.len()).find(|pool| self.serves(*pool));
                let last: Vec<usize> = self.last_resort(present).into_iter().collect();
                let failing_open = !last.is_empty();
                (last, failing_open)
            }
        }
    }

    fn shares(&self, members: &[usize]) -> Serving {
        if members.is_empty() {
            return Serving::Down;
        }
        let share = |pool| if members.contains(&pool) { self.config.pools[pool].weight.max(1) } else { 0 };
        Serving::Shared((0..self.pools.len()).map(share).collect())
    }

    /// Pools that lose their share: a forced switch each, unless a pin or a better pool's return made them leave.
    fn lose(&mut self, before: &[usize], members: &[usize], turn: &mut Turn<'_>) {
        for pool in before.iter().copied().filter(|pool| !members.contains(pool)) {
            self.end_sessions(pool, turn);
            let drained = self.pools[pool].is_drained(self.config.failover.min_healthy);
            let evacuated = self.is_evacuated(pool);
            if !evacuated && (self.available(pool) || drained) {
                continue; // a pin, a better pool, or an order: no fault
            }
            if self.pinned.is_none() && !(evacuated && self.available(pool)) {
                self.moved(IntendedSwitch::own(SwitchKind::Failover, members.first().copied()), Some(pool), turn);
            }
            self.lost.insert(self.pools[pool].name.clone());
        }
    }

    /// Pools that get a share again: home again, or out of an outage.
    fn regain(&mut self, before: &[usize], members: &[usize], turn: &mut Turn<'_>) {
        if self.pinned.is_some() {
            return; // the order was the switch
        }
        for pool in members.iter().copied().filter(|pool| !before.contains(pool)) {
            if before.iter().all(|pool| self.pools[*pool].is_static) {
                self.moved(IntendedSwitch::own(SwitchKind::Recovery, Some(pool)), before.first().copied(), turn);
            } else if self.lost.contains(&self.pools[pool].name) {
                let avoided = || before.iter().copied().find(|from| self.is_evacuated(*from) && self.available(*from));
                let from = before.iter().copied().find(|from| members.contains(from)).or_else(avoided);
                if from.is_some() {
                    self.moved(IntendedSwitch::own(SwitchKind::Failback, Some(pool)), from, turn);
                }
            }
        }
    }

    /// An operator does not want to wait: every available pool that lost its share has it back.
    pub fn give_back_shares(&mut self, actor: &Actor, turn: &mut Turn<'_>) {
        let from = (0..self.pools.len()).find(|pool| self.serves(*pool));
        let back: Vec<usize> = self.homeward().filter(|pool| self.available(*pool)).collect();
        for pool in back {
            self.lost.remove(&self.pools[pool].name);
            let switch =
                IntendedSwitch { actor: actor.clone(), ..IntendedSwitch::own(SwitchKind::Failback, Some(pool)) };
            self.moved(switch, from, turn);
        }
    }

    /// Record that one pool's share went to another.
    pub fn moved(&mut self, switch: IntendedSwitch, from: Option<usize>, turn: &mut Turn<'_>) {
        self.record(&switch, from, turn);
        let name = |pool: Option<usize>| pool.map(|pool| self.pools[pool].name.clone());
        let (left, taken) = (name(from), name(switch.to));
        self.arrives_on_few_sources(left.as_ref(), taken.as_ref());
        self.since = turn.now;
        self.note_decided();
        self.last_active = left.clone().or(self.last_active.take());
        self.last_switch = Some(LastSwitch { kind: switch.kind, from: left, at: turn.now });
        if switch.kind == SwitchKind::Failback {
            self.hold_down.came_home(turn.now);
        }
        turn.effects.push(Effect::Persist);
    }
}
