//! Which endpoints real traffic puts out of use: the convictions of [`Corroboration`](super::corroboration), as far as the rest of the
//! pool and the service allow.

use super::corroboration::{Conviction, Finding};
use super::endpoint::{Endpoint, EndpointRules};
use super::service::Service;
use super::timers::Timer;
use super::turn::Turn;
use super::{Effect, Held, StandingChange};
use crate::time::MonoTime;

impl Service {
    /// Eject what real traffic condemns, as far as the cap allows.
    pub fn eject_outliers(&mut self, turn: &mut Turn<'_>) -> Vec<StandingChange> {
        let now = turn.now;
        let callers = self.callers;
        let config = self.config.clone();
        let mut ejected = false;
        for pool in 0..self.pools.len() {
            let rules = EndpointRules::of(&config.pools[pool], &config.failover);
            let failing = self.pools[pool].failing();
            for index in 0..self.pools[pool].endpoints.len() {
                let held = match self.pools[pool].endpoints[index].judge_in_band(rules, (callers, failing), now) {
                    Finding::Nothing => continue,
                    Finding::Later(due) => {
                        self.pools[pool].endpoints[index].timers.arm(Timer::Evidence, due);
                        continue;
                    }
                    Finding::Held(held) => held,
                    Finding::Convicted(conviction) => match self.may_eject(pool, rules, &conviction, now) {
                        Ok(()) => {
                            self.eject(pool, index, rules, conviction, now);
                            ejected = true;
                            continue;
                        }
                        Err(Some(held)) => held,
                        Err(None) => continue,
                    },
                };
                self.hold(pool, index, held, turn);
            }
        }
        if ejected { self.conclude_standings(now) } else { Vec::new() }
    }

    /// Does the rest of the pool allow an ejection? `Err`: no, and whether that is for the evidence's sake.
    fn may_eject(
        &self,
        pool: usize,
        rules: EndpointRules<'_>,
        conviction: &Conviction,
        now: MonoTime,
    ) -> Result<(), Option<Held>> {
        let min_healthy = self.config.failover.min_healthy;
        let Some(rule) = rules.outlier else { return Err(None) };
        if !self.relief(pool) && !self.pools[pool].may_eject_more(rule, min_healthy) {
            return Err(None);
        }
        if conviction.few.is_empty() {
            return Ok(());
        }
        let accused = |e: &Endpoint| e.ejection.is_accused_by(&conviction.few);
        if conviction.once_a_pool && self.pools[pool].endpoints.iter().any(accused) {
            return Err(Some(Held::OneSource));
        }
        if self.would_leave(pool) && !self.may_leave_on_few_sources(pool, now) {
            return Err(Some(Held::MayNotLeave));
        }
        Ok(())
    }

    /// Is this pool left if it loses one more endpoint?
    fn would_leave(&self, pool: usize) -> bool {
        self.pools[pool].left() <= self.config.failover.min_healthy.max(1)
    }

    fn eject(&mut self, pool: usize, index: usize, rules: EndpointRules<'_>, conviction: Conviction, now: MonoTime) {
        if self.would_leave(pool) && !conviction.few.is_empty() {
            self.leaves_on_few_sources(pool, &conviction, now);
        }
        let endpoint = &mut self.pools[pool].endpoints[index];
        endpoint.eject(rules, conviction.cause, conviction.evidence, now);
        endpoint.ejection.rests_on(conviction.few);
        endpoint.advance(rules, now, &mut Vec::new());
    }

    /// Failures that do not eject: said once in a while.
    fn hold(&mut self, pool: usize, index: usize, held: Held, turn: &mut Turn<'_>) {
        let (service, name) = (self.name().clone(), self.pools[pool].name.clone());
        let endpoint = &mut self.pools[pool].endpoints[index];
        if endpoint.corroboration.tell(held, turn.now) {
            let detail = endpoint.suspicion.describe(turn.now).unwrap_or_else(|| endpoint.corroboration.describe());
            let (id, address) = (endpoint.id, endpoint.address);
            let fails = |e: &Endpoint| !e.usable() || e.corroboration.has_told(Held::OneTarget, turn.now);
            let all = held == Held::OneTarget && self.pools[pool].endpoints.iter().all(fails);
            let reason = if all { Held::RouteFailing } else { held };
            turn.effects.push(Effect::Held { service, pool: name, endpoint: id, address, reason, detail });
        }
    }

    /// Could another pool take the service if this one had no endpoint left? A page is no relief.
    fn relief(&self, pool: usize) -> bool {
        let pinned_here = self.pinned.as_ref() == Some(&self.pools[pool].name);
        let needed = self.config.failover.min_healthy.max(1);
        let serves = |other: usize| other != pool && !self.pools[other].is_static && self.pools[other].left() >= needed;
        !pinned_here && (0..self.pools.len()).any(serves)
    }
}
