//! Is it a pool that cannot be reached, or is it us? A service compares the ways to all its pools.

use super::endpoint::{CONFIRM_WITHIN, Endpoint, EndpointRules};
use super::health::CheckVerdict;
use super::pool::Pool;
use super::reach::{PASSING, detection_time};
use super::service::Service;
use super::timers::Timer;
use super::turn::Turn;
use super::{Effect, StandingChange};
use crate::time::MonoTime;

/// What the other pools say about the way out of here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OtherPools {
    /// One of them was heard since, or they were lost at another time, or there are none: the trouble is not here.
    Apart,
    /// They were not checked yet.
    Unknown,
    /// They were lost at the same time.
    Lost,
}

impl Pool {
    /// Probes of its endpoints pass again.
    fn rises(&self) -> bool {
        let rises = |e: &Endpoint| e.ready() && e.checks.verdict == CheckVerdict::Red && e.checks.passes > 0;
        self.endpoints.iter().any(rises)
    }

    /// When something last came from one of its endpoints.
    fn heard(&self) -> Option<MonoTime> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.reach.heard()).max()
    }

    /// When one of its endpoints was last heard that is not lost since.
    fn reached(&self) -> Option<MonoTime> {
        let reached = self.endpoints.iter().filter(|endpoint| endpoint.reach.lost().is_none());
        reached.filter_map(|endpoint| endpoint.reach.heard()).max()
    }

    /// Since when nothing came from any of its endpoints, where one of them was asked in vain since. (The others are as silent, or
    /// will be heard soon.)
    fn silent(&self) -> Option<MonoTime> {
        let heard = self.heard();
        self.endpoints.iter().filter_map(|endpoint| endpoint.reach.lost()).filter(|lost| Some(*lost) > heard).min()
    }

    /// Since when nothing comes back from any of its endpoints that are in use.
    fn lost(&self) -> Option<MonoTime> {
        let mut ready = self.endpoints.iter().filter(|endpoint| endpoint.ready()).peekable();
        ready.peek()?;
        ready.try_fold(MonoTime::ZERO, |last, endpoint| Some(last.max(endpoint.reach.lost()?)))
    }
}

impl Service {
    /// An endpoint's way was just lost: look at the ways to the other pools that were not heard since.
    pub(super) fn look_around(&self, now: MonoTime, effects: &mut Vec<Effect>) {
        let due = |pool: &Pool| {
            let due = |timer: Option<MonoTime>| timer.is_some_and(|at| at <= now);
            pool.endpoints.iter().filter(|e| due(e.timers.armed(Timer::Reach))).filter_map(|e| e.reach.lost()).min()
        };
        for (index, lost) in self.pools.iter().enumerate().filter_map(|(index, pool)| Some((index, due(pool)?))) {
            for (_, other) in self.pools.iter().enumerate().filter(|(other, _)| *other != index) {
                let usable = other.endpoints.iter().find(|endpoint| endpoint.usable());
                if let Some(endpoint) = usable.filter(|_| other.heard() < Some(lost)) {
                    effects.push(Effect::CheckReach { endpoint: endpoint.id });
                }
            }
        }
    }

    /// No route for a moment is our own trouble. Where it lasts, and an endpoint of another pool was reached since it began, it is
    /// the way to this pool that is gone.
    pub(super) fn judge_routes(&mut self, now: MonoTime, effects: &mut Vec<Effect>) -> Vec<StandingChange> {
        let heard: Vec<_> = self.pools.iter().map(Pool::reached).collect();
        let service = self.config.clone();
        let mut condemned = false;
        for (index, (pool, config)) in self.pools.iter_mut().zip(&service.pools).enumerate() {
            let others = heard.iter().enumerate().filter(|(other, _)| *other != index);
            let reached = others.filter_map(|(_, heard)| *heard).max();
            let rules = EndpointRules::of(config, &service.failover);
            for endpoint in pool.endpoints.iter_mut().filter(|endpoint| !endpoint.refuses()) {
                if endpoint.reach.compare(reached, now) {
                    effects.push(Effect::CheckReach { endpoint: endpoint.id });
                }
                if endpoint.reach.is_cut(now) {
                    endpoint.condemn_as_unroutable(rules, now);
                    condemned = true;
                }
            }
        }
        if condemned { self.conclude_standings(now) } else { Vec::new() }
    }

    /// The active pool is lost. What do the others say?
    fn elsewhere(&self, active: usize) -> Option<(MonoTime, OtherPools)> {
        let lost = self.pools[active].lost()?;
        let others = || (0..self.pools.len()).filter(|pool| *pool != active && !self.pools[*pool].is_static);
        let detection = |pool: usize| detection_time(self.config.pools[pool].health_check.as_ref());
        let first = self.pools[active].endpoints.iter().filter_map(|endpoint| endpoint.reach.lost()).min()?;
        let says = |pool: usize| match self.pools[pool].silent() {
            Some(at) if at.since(first).max(first.since(at)) <= detection(pool).max(detection(active)) => {
                OtherPools::Lost
            }
            Some(_) => OtherPools::Apart,
            None if self.pools[pool].heard() >= Some(first) => OtherPools::Apart,
            None => OtherPools::Unknown,
        };
        let all: Vec<_> = others().map(says).collect();
        let verdict = match () {
            () if all.is_empty() || all.contains(&OtherPools::Apart) => OtherPools::Apart,
            () if all.contains(&OtherPools::Unknown) => OtherPools::Unknown,
            () => OtherPools::Lost,
        };
        Some((lost, verdict))
    }

    /// Is it likelier that we are cut off than that the active pool is gone? Then it is not left: no other can be reached either.
    /// Where the others were not checked yet, and it was lost at once, their check is awaited.
    pub(super) fn is_cut_off(&mut self, active: usize, now: MonoTime) -> bool {
        let at_once = self.pools[active].endpoints.iter().any(|endpoint| endpoint.reach.is_lost_at_once());
        match self.elsewhere(active) {
            _ if self.isolated && self.is_coming_back() => true,
            Some((_, OtherPools::Lost)) => true,
            Some((lost, OtherPools::Unknown)) if at_once && now.since(lost) < CONFIRM_WITHIN => {
                self.timers.arm(Timer::Isolation, lost.after(CONFIRM_WITHIN));
                true
            }
            _ => false,
        }
    }

    /// Probes pass again, and will soon say which pool can serve.
    fn is_coming_back(&self) -> bool {
        self.pools.iter().any(Pool::rises)
    }

    /// A pool that kept its share while none could be reached, and others are back: its probes pass again, or have had no time to.
    pub(super) fn may_come_back(&mut self, pool: usize, now: MonoTime) -> bool {
        let keeps = self.unreached.contains(&self.pools[pool].name);
        if keeps && self.isolated {
            return true; // (whether it still is, is found out in this turn)
        }
        let Some(since) = self.reached_again.filter(|_| keeps) else { return false };
        let end = since.after(detection_time(self.config.pools[pool].health_check.as_ref()));
        if now < end {
            self.timers.arm(Timer::Isolation, end);
        }
        now < end || self.pools[pool].rises()
    }

    /// Are all pools unreachable?
    pub(super) fn judge_isolation(&mut self, turn: &mut Turn<'_>) {
        self.timers.fired(Timer::Isolation, turn.now);
        let serving: Vec<usize> = (0..self.pools.len()).filter(|pool| self.serves(*pool)).collect();
        if serving.is_empty() {
            self.isolated = false;
            return;
        }
        let lasts = |at: MonoTime| turn.now.since(at) >= PASSING;
        let no_route = |pool: usize| self.pools[pool].endpoints.iter().all(|e| e.reach.no_route().is_some_and(lasts));
        let unreached = |pool: &usize| {
            let lost = matches!(self.elsewhere(*pool), Some((_, OtherPools::Lost)));
            lost && (no_route(*pool) || !self.available(*pool))
        };
        let none = !serving.iter().any(|pool| self.available(*pool));
        let isolated = serving.iter().any(unreached) || self.isolated && none && self.is_coming_back();
        if self.isolated && !isolated {
            self.reached_again = Some(turn.now);
        }
        self.isolated = isolated;
    }
}
