//! A configuration arrives: the first one, or a reload. What both name is kept with its health, its decisions and its
//! identity; what is no longer named vanishes; what is new begins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Endpoint, Rules};
use super::failover::Switch;
use super::pool::Pool;
use super::service::{Service, Turn};
use super::timers::Timer;
use super::{EndpointId, Moment, Serving, SwitchKind};
use crate::config::{self, FailbackMode, HealthCheck, Mode, Name};

/// Added to the longest check timeout: the first round of probes is over by then, or something is wrong with the prober.
const FIRST_ROUND_SLACK: Duration = Duration::from_millis(500);
/// How long a first choice waits for a better pool whose probes fail. Requests wait for 1 s: the choice must come before that.
const FIRST_CHOICE: Duration = Duration::from_millis(900);
/// The most that probes after the first may add where a first choice waits for `fall` of them: such probes may be far apart.
const LATER_PROBES: Duration = Duration::from_secs(10);

/// Gives out identities that are never used again.
pub(super) type Allot<'a> = dyn FnMut() -> EndpointId + 'a;

impl Service {
    /// A service that nobody has heard of yet.
    pub fn appear(config: &Arc<config::Service>, allot: &mut Allot<'_>, turn: &Turn<'_>) -> Service {
        let mut service = Service::new(config.clone(), Vec::new(), turn.now);
        service.pools = build_pools(config, &mut BTreeMap::new(), allot, turn);
        service.begin_first_round(turn);
        service
    }

    fn begin_first_round(&mut self, turn: &Turn<'_>) {
        let first_round = self.longest(|check| check.timeout) + FIRST_ROUND_SLACK;
        self.timers.arm(Timer::FirstRound, turn.now.after(first_round));
        match self.config.failover.failback.mode {
            FailbackMode::Auto => self.timers.arm_once(Timer::FirstChoice, turn.now.after(FIRST_CHOICE)),
            // Nothing would correct a wrong choice.
            FailbackMode::Manual => self.timers.arm_once(Timer::FirstChoice, self.all_probes_over(turn.now)),
        }
    }

    /// A restart is no failover: the pool that was active before it is given up for `fall` failed probes only.
    pub fn believe_resumed(&mut self, now: Moment) {
        self.timers.arm(Timer::FirstChoice, self.all_probes_over(now));
    }

    /// When `fall` probes of every endpoint are over, if they begin now.
    fn all_probes_over(&self, now: Moment) -> Moment {
        let later = self.longest(|check| {
            let pause = check.timeout.max(check.fast_interval.min(LATER_PROBES).mul_f64(1.0 + check.jitter));
            pause.saturating_mul(check.fall.saturating_sub(1))
        });
        now.after((self.longest(|check| check.timeout) + FIRST_ROUND_SLACK).saturating_add(later.min(LATER_PROBES)))
    }

    fn longest(&self, of: impl Fn(&HealthCheck) -> Duration) -> Duration {
        let checks = self.config.pools.iter().filter_map(|pool| pool.health_check.as_ref());
        checks.map(of).max().unwrap_or_default()
    }

    /// The active pool has endpoints now that nobody has asked yet, and too few others: it is waited for as after a
    /// restart, which is no switch when they pass.
    fn await_strangers(&mut self, was_available: bool, turn: &Turn<'_>) {
        if let Serving::Active(active) = self.serving
            && was_available
            && !self.available(active)
            && self.pools[active].may_become_available(self.config.failover.min_healthy)
        {
            self.resume = Some(self.pools[active].name.clone());
            self.serving = Serving::Starting;
            self.begin_first_round(turn);
        }
        // (A round that is under way keeps its end: endpoints that come and go must not put off the choice for ever.)
        let unasked = !self.pools.iter().all(Pool::first_round_complete);
        if self.serving == Serving::Starting && unasked && self.timers.armed(Timer::FirstRound).is_none() {
            self.begin_first_round(turn);
        }
    }

    /// The same service with another configuration.
    pub fn reconfigure(&mut self, config: &Arc<config::Service>, allot: &mut Allot<'_>, turn: &mut Turn<'_>) {
        self.leave_removed_pools(config, turn);
        let serving = self.serving_names();
        let was_available = matches!(self.serving, Serving::Active(active) if self.available(active));
        let past = |pool: &Pool| (pool.name.clone(), (pool.recovered, pool.rhythm.clone()));
        let mut past: BTreeMap<Name, _> = self.pools.iter().map(past).collect();
        let mut known = self.take_endpoints();
        let before = std::mem::replace(&mut self.config, config.clone());
        self.pools = build_pools(config, &mut known, allot, turn);
        for pool in &mut self.pools {
            (pool.recovered, pool.rhythm) = past.remove(&pool.name).unwrap_or_default();
        }
        self.adopt_rules(&before);
        self.serving = self.serving_by(&serving);
        let exists = |name: &Name| config.pools.iter().any(|pool| pool.name == *name);
        self.pinned.take_if(|pin| !exists(pin));
        self.resume.take_if(|pool| !exists(pool));
        self.lost.retain(exists);
        self.await_strangers(was_available, turn);
    }

    /// The active pool is to vanish: go to the best one that stays, while both are known.
    fn leave_removed_pools(&mut self, config: &config::Service, turn: &mut Turn<'_>) {
        let stays =
            |service: &Service, pool: usize| config.pools.iter().any(|kept| kept.name == service.pools[pool].name);
        let removed: Vec<usize> =
            (0..self.pools.len()).filter(|pool| self.serves(*pool) && !stays(self, *pool)).collect();
        for pool in removed {
            let next = (0..self.pools.len()).find(|next| stays(self, *next) && self.available(*next));
            match (&self.serving, next) {
                (Serving::Active(_), Some(next)) => {
                    self.switch(Switch::own(SwitchKind::Switchover, Some(next)), turn);
                    self.ordered = false;
                }
                _ => self.end_sessions(pool, turn),
            }
        }
    }

    fn serving_names(&self) -> Vec<Name> {
        (0..self.pools.len()).filter(|pool| self.serves(*pool)).map(|pool| self.pools[pool].name.clone()).collect()
    }

    /// The same pools serve, wherever they stand now; if none of them is left, the first choice is made anew.
    fn serving_by(&self, names: &[Name]) -> Serving {
        let serves = |pool: &Pool| names.contains(&pool.name);
        match (&self.serving, self.config.mode) {
            (Serving::Starting | Serving::Down, _) => self.serving.clone(),
            (_, Mode::ActivePassive) => self.pools.iter().position(serves).map_or(Serving::Starting, Serving::Active),
            (_, Mode::ActiveActive) if self.pools.iter().any(serves) => {
                let share =
                    |(pool, config): (&Pool, &config::Pool)| if serves(pool) { config.weight.max(1) } else { 0 };
                Serving::Shared(self.pools.iter().zip(&self.config.pools).map(share).collect())
            }
            _ => Serving::Starting,
        }
    }

    /// Endpoints by address, each with the pool whose rules it was judged by.
    fn take_endpoints(&mut self) -> BTreeMap<SocketAddr, Endpoint> {
        self.pools.iter_mut().flat_map(|pool| pool.endpoints.drain(..)).map(|e| (e.address, e)).collect()
    }

    /// Endpoints that were known before learn what changed for them.
    fn adopt_rules(&mut self, before: &config::Service) {
        let config = self.config.clone();
        for (pool, after) in self.pools.iter_mut().zip(&config.pools) {
            for endpoint in &mut pool.endpoints {
                let address = endpoint.address;
                let names = |pool: &&config::Pool| pool.members.endpoints().iter().any(|e| e.address == address);
                if let Some(old) = before.pools.iter().find(names) {
                    let old = Rules::of(old, before.failover.on_refused);
                    endpoint.reconfigure(old, Rules::of(after, config.failover.on_refused));
                }
            }
        }
    }
}

fn build_pools(
    config: &config::Service,
    known: &mut BTreeMap<SocketAddr, Endpoint>,
    allot: &mut Allot<'_>,
    turn: &Turn<'_>,
) -> Vec<Pool> {
    let mut build = |pool: &config::Pool| {
        let check = pool.health_check.as_ref();
        let mut endpoint = |address: SocketAddr| {
            known.remove(&address).unwrap_or_else(|| Endpoint::new(allot(), address, check, turn.now))
        };
        let endpoints = pool.members.endpoints().iter().map(|e| endpoint(e.address)).collect();
        Pool::new(pool.name.clone(), &pool.members, endpoints)
    };
    config.pools.iter().map(&mut build).collect()
}
