//! The failover machine of one service: first choice, forced and elective switches. Deciding yields an [`IntendedSwitch`]; every
//! switch, whatever its cause, is taken by [`Service::take`].

use super::service::Service;
use super::switch::{IntendedSwitch, LastSwitch};
use super::timeline::{PoolFall, fault};
use super::timers::Timer;
use super::transition::Fence;
use super::turn::Turn;
use super::{Effect, Evidence, Incident, IncidentId, Serving, SessionRule, SwitchKind, TransitionStage};
use crate::config::OnAllDown;
use crate::time::MonoTime;

impl Service {
    /// One decision of an `active_passive` service.
    pub fn decide_active(&mut self, turn: &mut Turn<'_>) {
        let intended = self.intended_switch(turn);
        let intended = self.unless_held(intended, turn);
        self.pursue(intended, turn);
    }

    /// The switch that is right now, if any.
    fn intended_switch(&mut self, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        if self.serving == Serving::Starting {
            let left = self.choose_first(turn);
            // a restart took up a page again: not for longer than it must
            let captive = |active| self.pinned.is_none() && self.captive(active);
            if left.is_some() || !self.serving.active().is_some_and(captive) {
                return left;
            }
        }
        if let Some(active) = self.serving.active().filter(|_| self.hold.is_none())
            && let Some(home) = self.wrongly_left(active, turn.now)
        {
            return Some(IntendedSwitch { undoes: true, ..IntendedSwitch::own(SwitchKind::Rollback, Some(home)) });
        }
        match self.serving {
            Serving::Starting => None,
            Serving::Active(active) if self.pinned.is_some() => self.stay(active),
            Serving::Active(active) if self.captive(active) => {
                Some(IntendedSwitch::own(SwitchKind::Recovery, self.best_available()))
            }
            Serving::Active(active) if self.available(active) => {
                self.stay(active);
                self.failback_target(turn.now).map(|home| IntendedSwitch::own(SwitchKind::Failback, Some(home)))
            }
            Serving::Active(active) => match self.is_cut_off(active, turn.now) {
                true => self.stay(active),
                false => self.leave(active, turn.now),
            },
            Serving::Down | Serving::Shared(_) => self.rise(turn),
        }
    }

    /// A static pool serves although a real one is available: that is still the outage, and nothing to be held down
    /// for, unless an operator wanted it.
    fn captive(&self, active: usize) -> bool {
        let other = self.best_available().is_some_and(|best| !self.pools[best].is_static);
        self.pools[active].is_static && !self.ordered && other
    }

    /// No switch.
    fn stay(&mut self, active: usize) -> Option<IntendedSwitch> {
        self.failing_open = !self.available(active);
        None
    }

    // ---- first choice ---------------------------------------------------------------------------------------------

    /// The first pool is chosen when one is available and all better ones are given up: after `fall` failed probes, and when
    /// [`Timer::FirstChoice`] is over after one. It is not a switch, unless a restart had to give up the pool that was active
    /// before it: that is returned.
    fn choose_first(&mut self, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let resumed = self.pinned.clone().or(self.resume.clone()).and_then(|pool| self.index_of(&pool));
        let over = |timer| self.timers.armed(timer).is_none_or(|at| at <= turn.now);
        let patient = self.pinned.is_none() && !over(Timer::FirstChoice);
        let given_up = |pool: usize| if patient { self.refuted(pool) } else { self.pools[pool].first_round_complete() };
        let best = self.best_available().filter(|best| !self.pools[*best].is_static);
        let better = |pool: &usize| best.is_none_or(|best| self.prefers(*pool, best));
        let known = (0..self.pools.len()).filter(better).all(given_up);
        let ripe = match resumed {
            Some(pool) => self.available(pool) || (given_up(pool) && (known || self.pinned.is_some())),
            None => known,
        };
        let time_is_up = over(Timer::FirstRound) && over(Timer::FirstChoice);
        if !ripe && !time_is_up {
            return None;
        }
        let before = self.resume.take().and_then(|pool| self.index_of(&pool));
        if let Some(wanted) = resumed.filter(|pool| self.available(*pool) || self.pinned.is_some()) {
            return self.begin_resumed(before, wanted, turn);
        }
        match resumed {
            // (No pool served before the restart: a hold does not keep it so.)
            Some(active) if self.was_down && self.holds_all() => {
                self.last_active = Some(self.pools[active].name.clone());
                self.begin(Serving::Down, turn);
                return self.rise(turn);
            }
            Some(active) => {
                self.begin(Serving::Active(active), turn);
                return self.leave(active, turn.now);
            }
            None => match self.best_available() {
                Some(pool) => self.begin(Serving::Active(pool), turn),
                None => self.begin_without(turn),
            },
        }
        None
    }

    /// The pool that was active `before`, or the one that the service was pinned to since. Where the way to that one has gates, it
    /// is a switch.
    fn begin_resumed(&mut self, before: Option<usize>, to: usize, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let pinned_until = self.timers.armed(Timer::Pin);
        let switch =
            IntendedSwitch { pins: true, pinned_until, ..IntendedSwitch::own(SwitchKind::Switchover, Some(to)) };
        if let Some(active) = before.filter(|active| *active != to && self.is_gated(&switch, turn)) {
            self.begin(Serving::Active(active), turn);
            self.pinned = None;
            return Some(switch);
        }
        self.begin(Serving::Active(to), turn);
        None
    }

    fn refuted(&self, pool: usize) -> bool {
        let check = self.config.pools[pool].health_check.as_ref();
        self.pools[pool].is_refuted(check, self.config.failover.min_healthy)
    }

    fn begin_without(&mut self, turn: &mut Turn<'_>) {
        match self.last_resort(None) {
            Some(pool) => {
                self.begin(Serving::Active(pool), turn);
                self.failing_open = true;
            }
            None => self.begin(Serving::Down, turn),
        }
    }

    /// Serve for the first time: no switch, no incident.
    pub fn begin(&mut self, serving: Serving, turn: &mut Turn<'_>) {
        if let Serving::Active(pool) = serving {
            self.last_active = Some(self.pools[pool].name.clone());
        }
        self.serving = serving;
        self.was_down = false;
        self.left = None;
        self.failing_open = false;
        self.since = turn.now;
        self.note_decided();
        self.timers.disarm(Timer::FirstChoice);
        turn.effects.push(Effect::Persist);
    }

    // ---- forced ---------------------------------------------------------------------------------------------------

    /// The active pool cannot serve: go somewhere.
    fn leave(&mut self, active: usize, now: MonoTime) -> Option<IntendedSwitch> {
        if let Some(old) = self.rollback_target(now) {
            return Some(IntendedSwitch::own(SwitchKind::Rollback, Some(old)));
        }
        match self.best_available().or_else(|| self.last_resort(Some(active))) {
            Some(pool) if pool == active => self.stay(active),
            next => Some(IntendedSwitch::own(SwitchKind::Failover, next)),
        }
    }

    /// No pool serves: take the first that can.
    fn rise(&mut self, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let to = self.best_available().or_else(|| self.last_resort(None))?;
        if self.last_active.is_some() {
            return Some(IntendedSwitch::own(SwitchKind::Recovery, Some(to)));
        }
        self.begin(Serving::Active(to), turn); // no pool has served yet: still the first choice
        self.stay(to)
    }

    /// The first pool in order of priority that is available: one in an evacuated zone only when no other is, a static one only
    /// when none with endpoints is, wherever it stands.
    pub fn best_available(&self) -> Option<usize> {
        self.best_available_of(|_| true)
    }

    /// The same of these pools.
    pub fn best_available_of(&self, meant: impl Fn(usize) -> bool) -> Option<usize> {
        let rank = |pool: &usize| (self.pools[*pool].is_static, self.is_evacuated(*pool));
        (0..self.pools.len()).filter(|pool| meant(*pool) && self.available(*pool)).min_by_key(rank)
    }

    /// Would the service rather be on the first of these pools than on the second?
    pub fn prefers(&self, pool: usize, to: usize) -> bool {
        (self.is_evacuated(pool), pool) < (self.is_evacuated(to), to)
    }

    /// The pool before, when the new one fails soon after a switch: once, and not while frozen.
    fn rollback_target(&self, now: MonoTime) -> Option<usize> {
        let last = self.last_switch.as_ref()?;
        let soon = now.since(last.at) <= self.config.failover.confirm_window;
        let once = last.kind != SwitchKind::Rollback;
        let old = self.index_of(last.from.as_ref()?)?;
        let serves = self.available(old) && !self.pools[old].is_static;
        (soon && once && self.may_elect() && !self.is_evacuated(old) && serves).then_some(old)
    }

    /// No pool is available: who carries traffic nevertheless (`fail_open`)? Pools with usable endpoints (fewer than
    /// `min_healthy`) before pools whose endpoints fail only their checks; among equals the present one, then home first.
    pub fn last_resort(&self, present: Option<usize>) -> Option<usize> {
        if self.config.failover.on_all_down == OnAllDown::FailClosed {
            return None;
        }
        let rank = |pool: usize| {
            let endpoints = &self.pools[pool].endpoints;
            match () {
                _ if endpoints.iter().any(|endpoint| endpoint.usable()) => Some(0),
                _ if endpoints.iter().any(|endpoint| endpoint.fails_only_checks()) => Some(1),
                _ => None,
            }
        };
        let candidates =
            (0..self.pools.len()).filter_map(|pool| rank(pool).map(|rank| (rank, Some(pool) != present, pool)));
        candidates.min().map(|(_, _, pool)| pool)
    }

    // ---- elective -------------------------------------------------------------------------------------------------

    /// A better pool that has been well for the whole hold-down, when Standfast may go there by itself.
    fn failback_target(&self, now: MonoTime) -> Option<usize> {
        if !self.may_go_homeward() {
            return None;
        }
        self.homeward().find(|pool| self.available(*pool) && self.hold_down_end(*pool).is_some_and(|end| end <= now))
    }

    /// It may fail back by itself, or leaves an evacuated zone, which is an order.
    fn may_go_homeward(&self) -> bool {
        let avoids = self.serving.active().is_some_and(|active| self.is_evacuated(active));
        self.may_fail_back() || avoids && self.pinned.is_none() && self.may_elect()
    }

    /// Pools that the service would rather be on, best first.
    pub fn homeward(&self) -> impl Iterator<Item = usize> + '_ {
        let (used, avoided): (Vec<usize>, Vec<usize>) =
            (0..self.pools.len()).partition(|pool| !self.is_evacuated(*pool));
        let wanted = move |pool: &usize| match &self.serving {
            _ if self.follows().is_some() => false,
            Serving::Active(active) => self.prefers(*pool, *active),
            Serving::Shared(_) => self.lost.contains(&self.pools[*pool].name) && !self.is_evacuated(*pool),
            Serving::Starting | Serving::Down => false,
        };
        used.into_iter().chain(avoided).filter(|pool| !self.pools[*pool].is_static).filter(wanted)
    }

    /// When a recovering pool may take the service; `None` = it has not recovered.
    pub fn hold_down_end(&self, pool: usize) -> Option<MonoTime> {
        let pool = &self.pools[pool];
        let over = |recovered| match pool.served {
            true => self.hold_down.over(&self.config.failover, &pool.rhythm, recovered),
            // Late for the first choice, and not home from a fall: nothing is held down for.
            false => recovered,
        };
        pool.recovered.map(over)
    }

    pub fn wait_for_hold_down(&mut self, now: MonoTime) {
        let next = self.homeward().filter_map(|pool| self.hold_down_end(pool)).filter(|end| *end > now).min();
        self.timers.set(Timer::HoldDown, next.filter(|_| self.may_go_homeward()));
    }

    // ---- the one way of a switch ----------------------------------------------------------------------------------

    /// Change the active pool of an `active_passive` service.
    pub fn take(&mut self, switch: IntendedSwitch, turn: &mut Turn<'_>) {
        self.end_transition(TransitionStage::Replaced, turn);
        let from = self.serving.active();
        self.record(&switch, from, turn);
        if let Some(left) = from {
            self.end_sessions(left, turn);
        }
        self.note_left(&switch, from, turn);
        self.serving = switch.to.map_or(Serving::Down, Serving::Active);
        if self.follows().is_some() && switch.to.is_some() {
            self.arrive_where_it_follows(turn.now);
        }
        self.failing_open = switch.to.is_some_and(|to| !self.available(to));
        self.since = turn.now;
        self.ordered = switch.stays;
        if switch.kind == SwitchKind::Failback {
            self.hold_down.came_home(turn.now);
        }
        let to = switch.to.map(|pool| self.pools[pool].name.clone());
        let from = from.map(|pool| self.pools[pool].name.clone());
        if switch.pins && switch.pinned_until.is_none_or(|end| end > turn.now) {
            self.pinned.clone_from(&to);
            self.timers.set(Timer::Pin, switch.pinned_until);
        }
        self.note_decided();
        self.arrives_on_few_sources(from.as_ref(), to.as_ref());
        if switch.undoes {
            self.few_sources_undone();
        }
        self.last_active = to.or(self.last_active.take());
        self.last_switch = Some(LastSwitch { kind: switch.kind, from, at: turn.now });
        turn.effects.push(Effect::Persist);
    }

    /// While no pool serves, the sessions of the one that served last are its own.
    fn note_left(&mut self, switch: &IntendedSwitch, from: Option<usize>, turn: &Turn<'_>) {
        self.left = from.filter(|_| switch.to.is_none()).map(|from| {
            let name = &self.pools[from].name;
            Fence { pool: Some(name.clone()), told: name.clone(), epoch: turn.epoch, since: turn.now }
        });
    }

    /// Damping and freeze: only switches away from a pool count (on a page, or down, the outage has begun already). Does this one begin an
    /// outage? Another pool has to exist that the service could be on.
    fn note_forced(&mut self, switch: &IntendedSwitch, from: Option<usize>, turn: &mut Turn<'_>) -> bool {
        let leaves = from.is_some_and(|left| !self.pools[left].is_static);
        if !switch.kind.is_forced() || switch.undoes || !leaves {
            return false;
        }
        self.hold_down.forced_away(&self.config.failover, turn.now);
        let others = self.pools.iter().filter(|pool| !pool.is_static).count() > 1;
        let outage = others && self.freeze.begins_outage(&self.config.failover, turn.now);
        let rule = &self.config.failover.max_failovers;
        // (A freeze keeps elective switches back: a service that follows its primary makes none.)
        if outage && self.follows().is_none() {
            self.freeze.count(rule, &mut self.timers, turn.now);
        }
        outage
    }

    /// Open the incident; its first good answer is awaited from now on.
    pub fn record(&mut self, switch: &IntendedSwitch, from: Option<usize>, turn: &mut Turn<'_>) {
        let outage = self.note_forced(switch, from, turn);
        let forced = switch.kind.is_forced();
        let (fault, evidence) =
            if forced { self.fault_of(from, turn) } else { (self.order_time(turn.now), Vec::new()) };
        self.awaiting_answer = switch.to.map(|_| turn.epoch);
        let incident = Incident { outage, ..self.incident(switch, from, (fault, evidence), turn) };
        turn.timeline.open(incident, turn.effects);
    }

    /// A switch away from this pool, as it is recorded: made now, and no outage.
    pub fn incident(
        &self,
        switch: &IntendedSwitch,
        from: Option<usize>,
        (fault, evidence): (PoolFall, Vec<Evidence>),
        turn: &Turn<'_>,
    ) -> Incident {
        let name = |pool: usize| self.pools[pool].name.clone();
        Incident {
            id: IncidentId(0),
            life: None,
            service: self.name().clone(),
            kind: switch.kind,
            from: from.map(name),
            to: switch.to.map(name),
            actor: switch.actor.clone(),
            epoch: turn.epoch,
            evidence,
            fault: fault.sign,
            detected: fault.fell,
            decided: turn.now,
            answered: None,
            fenced: None,
            outage: false,
            held: false,
            following: self.follow_record(turn.now).filter(|_| switch.to.is_some()).map(Box::new),
        }
    }

    fn order_time(&self, now: MonoTime) -> PoolFall {
        PoolFall { sign: now, fell: now }
    }

    /// When did the fault begin that forces a switch? A switch that was never answered did not end the fault before it, unless
    /// a probe found its pool well meanwhile; nor did one to a static page, however often that was shown.
    pub fn fault_of(&self, from: Option<usize>, turn: &Turn<'_>) -> (PoolFall, Vec<Evidence>) {
        let own = from.map(|pool| {
            let pool = &self.pools[pool];
            let fallen = || pool.endpoints.iter().filter(|endpoint| !endpoint.usable());
            let falls = fallen().map(|endpoint| endpoint.fall()).collect();
            let needed = self.config.failover.min_healthy.max(1);
            let evidence = fallen().map(|endpoint| endpoint.as_evidence()).collect();
            (fault(falls, pool.endpoints.len(), needed, turn.now), evidence)
        });
        let before = turn.timeline.last(self.name()).filter(|last| {
            let soon = turn.now.since(last.decided) <= self.config.failover.confirm_window;
            let forced = last.kind.is_forced();
            let page = from.map(|pool| &self.pools[pool]).filter(|pool| pool.is_static);
            let shown = page.is_some_and(|page| last.to.as_ref() == Some(&page.name));
            let well = || match (from.map(|pool| &self.pools[pool]), &own) {
                (Some(pool), Some((own, _))) => pool.was_proven_well(last.decided, own.sign),
                _ => false,
            };
            forced && (shown || last.answered.is_none() && (last.to.is_none() || soon && !well()))
        });
        let before = before.map(|last| PoolFall { sign: last.fault, fell: last.detected });
        match (own, before) {
            (Some((own, evidence)), Some(before)) => (if before.sign < own.sign { before } else { own }, evidence),
            (Some(own), None) => own,
            (None, Some(before)) => (before, Vec::new()),
            (None, None) => (self.order_time(turn.now), Vec::new()),
        }
    }

    /// What happens to the sessions of a pool that was left.
    pub fn end_sessions(&self, pool: usize, turn: &mut Turn<'_>) {
        self.end_sessions_since(pool, turn.now, turn);
    }

    /// What happens to the sessions of a pool whose time has run since then.
    pub fn end_sessions_since(&self, pool: usize, since: MonoTime, turn: &mut Turn<'_>) {
        let action = SessionRule::of(&self.config.failover).end(since);
        let (service, pool) = (self.name().clone(), self.pools[pool].name.clone());
        turn.effects.push(Effect::Sessions { service, pool, epoch: turn.epoch, action });
    }
}
