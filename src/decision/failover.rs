//! The failover machine of one service: first choice, forced and elective switches. Every switch, whatever its cause, goes
//! through [`Service::switch`].

use super::service::Service;
use super::switch::{LastSwitch, Switch};
use super::timeline::{PoolFall, fault};
use super::timers::Timer;
use super::turn::Turn;
use super::{Effect, Evidence, Incident, IncidentId, Serving, SessionAction, SwitchKind};
use crate::config::{OnAllDown, Sessions};
use crate::time::MonoTime;

impl Service {
    /// One decision of an `active_passive` service.
    pub fn decide_active(&mut self, turn: &mut Turn<'_>) {
        if self.serving == Serving::Starting {
            self.choose_first(turn);
            // a restart took up a page again: not for longer than it must
            if !matches!(self.serving, Serving::Active(active) if self.pinned.is_none() && self.captive(active)) {
                return;
            }
        }
        if let Serving::Active(active) = self.serving
            && let Some(home) = self.wrongly_left(active, turn.now)
        {
            return self.undo_few_sources(home, turn);
        }
        match self.serving {
            Serving::Starting => {}
            Serving::Active(active) if self.pinned.is_some() => self.stay(active),
            Serving::Active(active) if self.captive(active) => {
                self.switch(Switch::own(SwitchKind::Recovery, self.best_available()), turn);
            }
            Serving::Active(active) if self.available(active) => {
                self.stay(active);
                if let Some(home) = self.failback_target(turn.now) {
                    self.switch(Switch::own(SwitchKind::Failback, Some(home)), turn);
                }
            }
            Serving::Active(active) => match self.is_cut_off(active, turn.now) {
                true => self.stay(active),
                false => self.leave(active, turn),
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

    fn stay(&mut self, active: usize) {
        self.failing_open = !self.available(active);
    }

    // ---- first choice ---------------------------------------------------------------------------------------------

    /// The first pool is chosen when one is available and all better ones are given up: after `fall` failed probes, and when
    /// [`Timer::FirstChoice`] is over after one. It is not a switch, unless a restart had to give up the pool that was active
    /// before it.
    fn choose_first(&mut self, turn: &mut Turn<'_>) {
        let resumed = self.pinned.clone().or(self.resume.clone()).and_then(|pool| self.index_of(&pool));
        let over = |timer| self.timers.armed(timer).is_none_or(|at| at <= turn.now);
        let patient = self.pinned.is_none() && !over(Timer::FirstChoice);
        let given_up = |pool: usize| if patient { self.refuted(pool) } else { self.pools[pool].first_round_complete() };
        let end = self.best_available().filter(|best| !self.pools[*best].is_static).unwrap_or(self.pools.len());
        let known = (0..end).all(given_up);
        let ripe = match resumed {
            Some(pool) => self.available(pool) || (given_up(pool) && (known || self.pinned.is_some())),
            None => known,
        };
        let time_is_up = over(Timer::FirstRound) && over(Timer::FirstChoice);
        if !ripe && !time_is_up {
            return;
        }
        self.resume = None;
        if let Some(wanted) = resumed.filter(|pool| self.available(*pool) || self.pinned.is_some()) {
            return self.begin(Serving::Active(wanted), turn);
        }
        match resumed {
            Some(active) => {
                self.begin(Serving::Active(active), turn);
                self.leave(active, turn);
            }
            None => match self.best_available() {
                Some(pool) => self.begin(Serving::Active(pool), turn),
                None => self.begin_without(turn),
            },
        }
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
        self.failing_open = false;
        self.since = turn.now;
        self.timers.disarm(Timer::FirstChoice);
        turn.effects.push(Effect::Persist);
    }

    // ---- forced ---------------------------------------------------------------------------------------------------

    /// The active pool cannot serve: go somewhere.
    fn leave(&mut self, active: usize, turn: &mut Turn<'_>) {
        if let Some(old) = self.rollback_target(turn.now) {
            self.switch(Switch::own(SwitchKind::Rollback, Some(old)), turn);
        } else if let Some(next) = self.best_available() {
            self.switch(Switch::own(SwitchKind::Failover, Some(next)), turn);
        } else {
            match self.last_resort(Some(active)) {
                Some(pool) if pool == active => self.stay(active),
                last => {
                    self.switch(Switch::own(SwitchKind::Failover, last), turn);
                    self.failing_open = last.is_some();
                }
            }
        }
    }

    /// No pool serves: take the first that can.
    fn rise(&mut self, turn: &mut Turn<'_>) {
        let pool = self.best_available();
        let Some(to) = pool.or_else(|| self.last_resort(None)) else { return };
        if self.last_active.is_none() {
            self.begin(Serving::Active(to), turn); // no pool has served yet: still the first choice
        } else {
            self.switch(Switch::own(SwitchKind::Recovery, Some(to)), turn);
        }
        self.failing_open = pool.is_none();
    }

    /// The first pool in order of priority that is available; a static one only when no other is, wherever it stands.
    pub fn best_available(&self) -> Option<usize> {
        (0..self.pools.len()).filter(|pool| self.available(*pool)).min_by_key(|pool| self.pools[*pool].is_static)
    }

    /// The pool before, when the new one fails soon after a switch: once, and not while frozen.
    fn rollback_target(&self, now: MonoTime) -> Option<usize> {
        let last = self.last_switch.as_ref()?;
        let soon = now.since(last.at) <= self.config.failover.confirm_window;
        let once = last.kind != SwitchKind::Rollback;
        let old = self.index_of(last.from.as_ref()?)?;
        let serves = self.available(old) && !self.pools[old].is_static;
        (soon && once && self.frozen_until().is_none() && serves).then_some(old)
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
        if !self.may_fail_back() {
            return None;
        }
        self.homeward().find(|pool| self.available(*pool) && self.hold_down_end(*pool).is_some_and(|end| end <= now))
    }

    /// Pools that the service would rather be on, best first.
    pub fn homeward(&self) -> impl Iterator<Item = usize> + '_ {
        let end = match &self.serving {
            Serving::Active(active) => *active,
            Serving::Shared(_) => self.pools.len(),
            Serving::Starting | Serving::Down => 0,
        };
        (0..end).filter(|pool| !self.pools[*pool].is_static).filter(|pool| match &self.serving {
            Serving::Shared(_) => self.lost.contains(&self.pools[*pool].name),
            _ => true,
        })
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
        match next.filter(|_| self.may_fail_back()) {
            Some(end) => self.timers.arm(Timer::HoldDown, end),
            None => self.timers.disarm(Timer::HoldDown),
        }
    }

    // ---- the one way of a switch ----------------------------------------------------------------------------------

    /// Change the active pool of an `active_passive` service.
    pub fn switch(&mut self, switch: Switch, turn: &mut Turn<'_>) {
        let from = match self.serving {
            Serving::Active(active) => Some(active),
            _ => None,
        };
        self.record(&switch, from, turn);
        if let Some(left) = from {
            self.end_sessions(left, turn);
        }
        self.serving = switch.to.map_or(Serving::Down, Serving::Active);
        self.failing_open = false;
        self.since = turn.now;
        self.ordered = switch.kind == SwitchKind::Switchover;
        if switch.kind == SwitchKind::Failback {
            self.hold_down.came_home(turn.now);
        }
        let to = switch.to.map(|pool| self.pools[pool].name.clone());
        let from = from.map(|pool| self.pools[pool].name.clone());
        self.arrives_on_few_sources(from.as_ref(), to.as_ref());
        self.last_active = to.or(self.last_active.take());
        self.last_switch = Some(LastSwitch { kind: switch.kind, from, at: turn.now });
        turn.effects.push(Effect::Persist);
    }

    /// Damping and freeze: only switches away from a pool count (on a page, or down, the outage has begun already). Does this one begin an
    /// outage? Another pool has to exist that the service could be on.
    fn note_forced(&mut self, switch: &Switch, from: Option<usize>, turn: &mut Turn<'_>) -> bool {
        let leaves = from.is_some_and(|left| !self.pools[left].is_static);
        if !switch.kind.is_forced() || switch.undoes || !leaves {
            return false;
        }
        self.hold_down.forced_away(&self.config.failover, turn.now);
        let others = self.pools.iter().filter(|pool| !pool.is_static).count() > 1;
        let outage = others && self.freeze.begins_outage(&self.config.failover, turn.now);
        let rule = &self.config.failover.max_failovers;
        if outage {
            self.freeze.count(rule, &mut self.timers, turn.now);
        }
        outage
    }

    /// Open the incident; its first good answer is awaited from now on.
    pub fn record(&mut self, switch: &Switch, from: Option<usize>, turn: &mut Turn<'_>) {
        let outage = self.note_forced(switch, from, turn);
        let forced = switch.kind.is_forced();
        let (fault, evidence) =
            if forced { self.fault_of(from, turn) } else { (self.order_time(turn.now), Vec::new()) };
        self.awaiting_answer = switch.to.map(|_| turn.epoch);
        let incident = Incident {
            id: IncidentId(0),
            service: self.name().clone(),
            kind: switch.kind,
            from: from.map(|pool| self.pools[pool].name.clone()),
            to: switch.to.map(|pool| self.pools[pool].name.clone()),
            actor: switch.actor.clone(),
            epoch: turn.epoch,
            evidence,
            fault: fault.sign,
            detected: fault.fell,
            decided: turn.now,
            answered: None,
            outage,
        };
        turn.timeline.open(incident, turn.effects);
    }

    fn order_time(&self, now: MonoTime) -> PoolFall {
        PoolFall { sign: now, fell: now }
    }

    /// When did the fault begin that forces a switch? A switch that was never answered did not end the fault before it, unless
    /// a probe found its pool well meanwhile; nor did one to a static page, however often that was shown.
    fn fault_of(&self, from: Option<usize>, turn: &Turn<'_>) -> (PoolFall, Vec<Evidence>) {
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
        let rule = &self.config.failover;
        let action = match rule.sessions {
            Sessions::Drain => SessionAction::Drain { until: turn.now.after(rule.drain_timeout) },
            Sessions::Close => SessionAction::Close,
        };
        let (service, pool) = (self.name().clone(), self.pools[pool].name.clone());
        turn.effects.push(Effect::Sessions { service, pool, action });
    }
}
