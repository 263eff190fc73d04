//! A configuration arrives: the first one, or a reload. What continues something of the former configuration
//! ([`Succession`]) keeps its health, its decisions and its identity; what is gone vanishes; what is new begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointRules};
use super::health::{CheckStreaks, CheckVerdict};
use super::hold_down::FallRhythm;
use super::pool::Pool;
use super::service::Service;
use super::sessions::PoolTerms;
use super::succession::{Predecessor, Succession};
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::turn::Turn;
use super::{Actor, EndpointId, Serving, SwitchKind};
use crate::config::{self, CheckKind, Config, FailbackMode, HealthCheck, Mode, Name};
use crate::time::MonoTime;

/// Added to the longest check timeout: the first round of probes is over by then, or something is wrong with the prober.
const FIRST_ROUND_SLACK: Duration = Duration::from_millis(500);
/// How long a first choice waits for a better pool whose probes fail. Requests wait for 1 s: the choice must come before that.
const FIRST_CHOICE: Duration = Duration::from_millis(900);
/// The most that probes after the first may add where a first choice waits for `fall` of them: such probes may be far apart.
const LATER_PROBES: Duration = Duration::from_secs(10);

/// How endpoints begin that are new to their service: with an identity that is never used again, and with the health that the
/// same check has found about the same address for another service of the former configuration.
pub(super) struct NewEndpoints<'a> {
    next: &'a mut u32,
    known: BTreeMap<SocketAddr, Vec<KnownHealth>>,
}

/// What one check has found about one address.
struct KnownHealth {
    check: HealthCheck,
    host: Option<Name>,
    port: Option<u16>,
    checks: CheckStreaks,
}

impl<'a> NewEndpoints<'a> {
    /// `next` is the next identity; `services` are those of the former configuration.
    pub fn new(next: &'a mut u32, strangers: &BTreeSet<SocketAddr>, services: &[Service]) -> NewEndpoints<'a> {
        let mut known: BTreeMap<SocketAddr, Vec<KnownHealth>> = BTreeMap::new();
        if strangers.is_empty() {
            return NewEndpoints { next, known };
        }
        let pools = services.iter().flat_map(|service| service.pools.iter().zip(&service.config.pools));
        for (pool, config) in pools {
            let Some(check) = &config.health_check else { continue };
            for (endpoint, config) in pool.endpoints.iter().zip(config.members.endpoints()) {
                if strangers.contains(&endpoint.address) && endpoint.checks.verdict != CheckVerdict::Unknown {
                    let (check, checks) = (check.clone(), endpoint.checks.clone());
                    let (host, port) = (config.host.clone(), config.check_port);
                    known.entry(endpoint.address).or_default().push(KnownHealth { check, host, port, checks });
                }
            }
        }
        NewEndpoints { next, known }
    }

    fn endpoint(&mut self, config: &config::Endpoint, check: Option<&HealthCheck>, now: MonoTime) -> Endpoint {
        let id = EndpointId(*self.next);
        *self.next += 1;
        let known = self.known.get(&config.address).map_or(&[][..], Vec::as_slice);
        let asks_the_same = |known: &&KnownHealth| {
            Some(&known.check) == check && known.host == config.host && known.port == config.check_port
        };
        let same = known.iter().find(asks_the_same);
        let checks = same.map_or_else(|| CheckStreaks::new(check), |known| known.checks.clone());
        Endpoint::new(id, config.address, checks, check.is_some(), now)
    }
}

/// Addresses that a service of `config` has and the service that it continues had not.
pub(super) fn strangers(
    config: &Config,
    before: &[Arc<config::Service>],
    succession: &Succession,
) -> BTreeSet<SocketAddr> {
    let addresses = |service: &config::Service| -> BTreeSet<SocketAddr> {
        service.pools.iter().flat_map(|pool| pool.members.endpoints()).map(|endpoint| endpoint.address).collect()
    };
    let mut strangers = BTreeSet::new();
    for (index, service) in config.services.iter().enumerate() {
        let old = succession.service(index).map(|past| &before[past.service]);
        if old.is_some_and(|old| Arc::ptr_eq(old, service)) {
            continue;
        }
        let known = old.map(|old| addresses(old)).unwrap_or_default();
        strangers.extend(addresses(service).difference(&known));
    }
    strangers
}

impl Service {
    /// A service that continues no other.
    pub fn appear(config: &Arc<config::Service>, newcomers: &mut NewEndpoints<'_>, turn: &Turn<'_>) -> Service {
        let mut service = Service::new(config.clone(), Vec::new(), turn.now);
        service.pools = build_pools(config, &mut BTreeMap::new(), newcomers, turn);
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
    pub fn believe_resumed(&mut self, now: MonoTime) {
        self.timers.arm(Timer::FirstChoice, self.all_probes_over(now));
    }

    /// When `fall` probes of every endpoint are over, if they begin now.
    fn all_probes_over(&self, now: MonoTime) -> MonoTime {
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

    /// The active pool has endpoints now that have not been probed yet, and too few others: it is waited for as after a
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

    /// The same service with another configuration, perhaps under another name; `past` says which pool continues which.
    pub fn reconfigure(
        &mut self,
        config: &Arc<config::Service>,
        past: &Predecessor,
        newcomers: &mut NewEndpoints<'_>,
        turn: &mut Turn<'_>,
    ) {
        let successors = past.successors(self.pools.len());
        self.leave_removed_pools(&successors, turn);
        let served: Vec<bool> = (0..self.pools.len()).map(|pool| self.serves(pool)).collect();
        let was_available = self.serving.active().is_some_and(|active| self.available(active));
        self.follow_renames(config, &successors, turn);
        let history = |pool: &Pool| (pool.recovered, pool.rhythm.clone(), pool.served, pool.terms);
        let history: Vec<_> = self.pools.iter().map(history).collect();
        let mut known = self.take_endpoints();
        let before = std::mem::replace(&mut self.config, config.clone());
        self.pools = build_pools(config, &mut known, newcomers, turn);
        for (pool, old) in self.pools.iter_mut().zip(&past.pools) {
            let old = old.and_then(|old| history.get(old).cloned());
            // (A pool that a reload brings is held down for.)
            (pool.recovered, pool.rhythm, pool.served, pool.terms) =
                old.unwrap_or((None, FallRhythm::default(), true, PoolTerms::default()));
        }
        self.adopt_rules(&before);
        self.keep_zones();
        self.missed &= self.config.objectives.rto.is_some();
        if self.pinned.is_none() {
            self.timers.disarm(Timer::Pin);
        }
        let serves: Vec<bool> = past.pools.iter().map(|old| old.is_some_and(|old| served[old])).collect();
        self.serving = self.serving_by(&serves);
        match self.follows() {
            None => self.await_strangers(was_available, turn),
            // (Which endpoint is to be followed is not known before all have been asked.)
            Some(_) if self.is_reading_missing() => self.begin_first_round(turn),
            Some(_) => {}
        }
        self.leave_drained_pool(was_available, &Actor::standfast(), turn);
    }

    /// The configuration or an operator has taken the endpoints of the active pool out of use: that is an order and no fault, so that
    /// it neither counts as a failover nor is rolled back.
    pub fn leave_drained_pool(&mut self, was_available: bool, actor: &Actor, turn: &mut Turn<'_>) {
        let (mode, min_healthy) = (self.config.mode, self.config.failover.min_healthy);
        if let (Mode::ActivePassive, Serving::Active(active), None, true) =
            (mode, &self.serving, &self.pinned, was_available)
            && !self.holds_all()
            && self.follows().is_none()
            && self.pools[*active].is_drained(min_healthy)
            && let Some(next) = self.best_available()
        {
            let switch = IntendedSwitch::own(SwitchKind::Switchover, Some(next));
            self.intend(IntendedSwitch { actor: actor.clone(), ..switch }, turn);
        }
    }

    /// A pool that served and is waited for, because a reload brought it only strangers, still has its sessions: where switches have
    /// gates, it is left like the active one if it is to vanish meanwhile.
    fn serve_again_what_is_removed(&mut self, successors: &[Option<usize>], turn: &Turn<'_>) {
        let served = self.resume.as_ref().filter(|_| !turn.gates.is_empty() && self.serving == Serving::Starting);
        let served = served.filter(|resume| self.last_active.as_ref() == Some(resume));
        if let Some(pool) = served.and_then(|resume| self.index_of(resume)).filter(|pool| successors[*pool].is_none()) {
            self.serving = Serving::Active(pool);
            self.resume = None;
        }
    }

    /// The active pool is to vanish: go to the best one that stays, while both are known. A pool that is gone cannot be kept until
    /// gates are open: then no pool serves meanwhile.
    fn leave_removed_pools(&mut self, successors: &[Option<usize>], turn: &mut Turn<'_>) {
        let stays = |pool: usize| successors[pool].is_some();
        self.serve_again_what_is_removed(successors, turn);
        let removed: Vec<usize> = (0..self.pools.len()).filter(|pool| self.serves(*pool) && !stays(*pool)).collect();
        for pool in removed {
            match (&self.serving, self.best_available_of(stays)) {
                (Serving::Active(_), _) if !turn.gates.is_empty() || self.follows().is_some() => {
                    self.take(IntendedSwitch::own(SwitchKind::Switchover, None), turn);
                }
                (Serving::Active(_), Some(next)) => {
                    self.take(IntendedSwitch::own(SwitchKind::Switchover, Some(next)), turn);
                }
                _ => self.end_sessions(pool, turn),
            }
        }
    }

    /// Everything that names a pool names it as `config` does from now on; decisions about pools that are gone are forgotten.
    fn follow_renames(&mut self, config: &config::Service, successors: &[Option<usize>], turn: &mut Turn<'_>) {
        let stays = self.pools.iter().zip(successors).filter_map(|(pool, successor)| {
            let successor = &config.pools[(*successor)?];
            Some((pool.name.clone(), successor.name.clone()))
        });
        let names: BTreeMap<Name, Name> = stays.collect();
        let now_called = |pool: &Name| names.get(pool).cloned();
        let decided = |pool: &mut Option<Name>| *pool = pool.as_ref().and_then(now_called);
        // What has happened to a pool that is gone keeps its name.
        let happened = |pool: &mut Option<Name>| {
            if let Some(name) = pool.as_ref().and_then(now_called) {
                *pool = Some(name);
            }
        };
        decided(&mut self.pinned);
        decided(&mut self.resume);
        self.lost = self.lost.iter().filter_map(now_called).collect();
        happened(&mut self.last_active);
        if let Some(last) = &mut self.last_switch {
            happened(&mut last.from);
        }
        if let Some(last) = &mut self.single_source {
            last.rename(now_called);
        }
        if let Some(left) = &mut self.left {
            left.rename(now_called);
        }
        if let Some(waiting) = &mut self.transition {
            happened(&mut waiting.from);
            happened(&mut waiting.to);
            waiting.fence.iter_mut().for_each(|fence| fence.rename(now_called));
        }
        if let Some(past) = &mut self.given_up {
            happened(&mut past.to);
            past.fence.iter_mut().for_each(|fence| fence.rename(now_called));
        }
        if *self.name() != config.name {
            turn.timeline.rename(self.name(), &config.name);
        }
    }

    /// The same pools serve, wherever they stand now; if none of them is left, the first choice is made again.
    fn serving_by(&self, serves: &[bool]) -> Serving {
        match (&self.serving, self.config.mode) {
            (Serving::Starting | Serving::Down, _) => self.serving.clone(),
            (_, Mode::ActivePassive) => {
                serves.iter().position(|serves| *serves).map_or(Serving::Starting, Serving::Active)
            }
            (_, Mode::ActiveActive) if serves.contains(&true) => {
                let share = |(serves, config): (&bool, &config::Pool)| if *serves { config.weight.max(1) } else { 0 };
                Serving::Shared(serves.iter().zip(&self.config.pools).map(share).collect())
            }
            _ => Serving::Starting,
        }
    }

    /// Endpoints by address.
    fn take_endpoints(&mut self) -> BTreeMap<SocketAddr, Endpoint> {
        self.pools.iter_mut().flat_map(|pool| pool.endpoints.drain(..)).map(|e| (e.address, e)).collect()
    }

    /// Endpoints that were known before learn what changed for them.
    fn adopt_rules(&mut self, before: &config::Service) {
        let config = self.config.clone();
        let mut known = BTreeMap::new();
        for pool in &before.pools {
            for endpoint in pool.members.endpoints() {
                known.entry(endpoint.address).or_insert((pool, endpoint));
            }
        }
        for (pool, after) in self.pools.iter_mut().zip(&config.pools) {
            for (endpoint, now) in pool.endpoints.iter_mut().zip(after.members.endpoints()) {
                if let Some((old, was)) = known.get(&endpoint.address) {
                    let old = EndpointRules::of(old, &before.failover);
                    let same_port = was.check_port == now.check_port;
                    endpoint.reconfigure(old, EndpointRules::of(after, &config.failover), same_port);
                }
            }
        }
    }
}

fn build_pools(
    config: &config::Service,
    known: &mut BTreeMap<SocketAddr, Endpoint>,
    newcomers: &mut NewEndpoints<'_>,
    turn: &Turn<'_>,
) -> Vec<Pool> {
    let mut build = |pool: &config::Pool| {
        let check = pool.health_check.as_ref();
        let mut endpoint = |config: &config::Endpoint| {
            let mut endpoint =
                known.remove(&config.address).unwrap_or_else(|| newcomers.endpoint(config, check, turn.now));
            endpoint.weigh(config.weight);
            endpoint.follow_agent(check.is_some_and(|check| matches!(check.kind, CheckKind::Agent(_))));
            endpoint
        };
        let endpoints = pool.members.endpoints().iter().map(&mut endpoint).collect();
        Pool::new(pool.name.clone(), &pool.members, endpoints)
    };
    config.pools.iter().map(&mut build).collect()
}
