//! One service: evidence in, then one pass from standings to a published row ([`Service::settle`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::companion_state::Companionship;
use super::endpoint::{Endpoint, EndpointRules, Refusal};
use super::follow_state::Following;
use super::freeze::Freeze;
use super::hold_down::HoldDown;
use super::pool::Pool;
use super::read_state::LagSource;
use super::single_source::SingleSource;
use super::switch::{HeldSwitch, LastSwitch};
use super::timers::{Timer, Timers, earliest};
use super::transition::{Fence, GivenUpSwitch, Transition};
use super::turn::Turn;
use super::{Admission, Condition, Effect, HoldScope, PoolSessions, ServiceRow, Serving, SessionRule, StandingChange};
use crate::config::{self, FailbackMode, Mode, Name, OnAllDown};
use crate::time::MonoTime;

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Service {
    pub config: Arc<config::Service>,
    pub pools: Vec<Pool>,
    pub serving: Serving,
    /// No pool is available, and `serving` is the last resort.
    pub failing_open: bool,
    /// Since when `serving` has been as it is.
    pub since: MonoTime,
    /// The pool that served last: the one that a switch leaves.
    pub last_active: Option<Name>,
    /// The active pool before a restart: it is waited for until its health is proven or refuted.
    pub resume: Option<Name>,
    pub last_switch: Option<LastSwitch>,
    /// An operator chose the active pool: no failback by itself.
    pub ordered: bool,
    pub pinned: Option<Name>,
    /// Switches that an operator's hold keeps from being made; it ends with its timer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldScope>,
    /// The switch that was recorded in the place of being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_switch: Option<HeldSwitch>,
    /// Zones that are evacuated, until then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evacuated: BTreeMap<Name, MonoTime>,
    /// No pool served before a restart, and the first choice was not made since.
    #[serde(default)]
    pub was_down: bool,
    /// Its last recovery took longer than its objective.
    #[serde(default)]
    pub missed: bool,
    /// Counts what is decided about it: see `ServiceStatus::decisions`.
    #[serde(default)]
    pub decisions: u64,
    /// `active_active`: pools that lost their share and have not got it back.
    pub lost: BTreeSet<Name>,
    pub hold_down: HoldDown,
    pub freeze: Freeze,
    pub awaiting_answer: Option<u64>,
    /// Client networks that it answered well lately.
    pub callers: u32,
    /// The last time that a pool was left on the evidence of one of them, or of fewer than are needed.
    pub single_source: Option<SingleSource>,
    /// Open conditions, by the time at which they were raised.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// All pools are unreachable.
    #[serde(default)]
    pub isolated: bool,
    /// Pools of `active_active` that keep their share although they could not be reached: until they are available, or have had
    /// their time after the isolation.
    #[serde(default)]
    pub unreached: BTreeSet<Name>,
    /// When the last isolation ended.
    #[serde(default)]
    pub reached_again: Option<MonoTime>,
    /// A switch that waits for its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// One that was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUpSwitch>,
    /// The pool that the last switch to no pool left, until another one serves or its last session has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Fence>,
    /// The primary that it follows, where its check asks for the role.
    #[serde(default)]
    pub following: Following,
    /// Its part among services that move together.
    #[serde(default)]
    pub companionship: Companionship,
    /// The primary that the lag of replicas is measured against.
    #[serde(default)]
    pub lag_source: LagSource,
    pub timers: Timers,
    /// As last published.
    pub row: ServiceRow,
    /// The earliest timer of the service and its endpoints.
    deadline: Option<MonoTime>,
}

impl Service {
    pub fn new(config: Arc<config::Service>, pools: Vec<Pool>, now: MonoTime) -> Service {
        let row = ServiceRow {
            name: config.name.clone(),
            serving: Serving::Starting,
            awaiting_answer: None,
            isolated: false,
            pools: Vec::new(),
        };
        Service {
            config,
            pools,
            serving: Serving::Starting,
            failing_open: false,
            since: now,
            last_active: None,
            resume: None,
            last_switch: None,
            ordered: false,
            pinned: None,
            hold: None,
            held_switch: None,
            evacuated: BTreeMap::new(),
            was_down: false,
            missed: false,
            decisions: 0,
            lost: BTreeSet::new(),
            hold_down: HoldDown::default(),
            freeze: Freeze::default(),
            awaiting_answer: None,
            callers: 0,
            single_source: None,
            conditions: Vec::new(),
            isolated: false,
            unreached: BTreeSet::new(),
            reached_again: None,
            transition: None,
            given_up: None,
            left: None,
            following: Following::default(),
            companionship: Companionship::default(),
            lag_source: LagSource::default(),
            timers: Timers::default(),
            row,
            deadline: None,
        }
    }

    pub fn name(&self) -> &Name {
        &self.config.name
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        self.deadline
    }

    /// An endpoint together with the rules it is judged by.
    pub fn endpoint(&mut self, pool: usize, index: usize) -> (&mut Endpoint, EndpointRules<'_>) {
        let mut rules = EndpointRules::of(&self.config.pools[pool], &self.config.failover);
        rules.eager = self.is_eager();
        (&mut self.pools[pool].endpoints[index], rules)
    }

    pub fn every_endpoint(&self) -> impl Iterator<Item = &Endpoint> {
        self.pools.iter().flat_map(|pool| &pool.endpoints)
    }

    fn endpoints(&mut self) -> impl Iterator<Item = (&mut Endpoint, EndpointRules<'_>)> {
        let eager = self.is_eager();
        let failover = &self.config.failover;
        self.pools.iter_mut().zip(&self.config.pools).flat_map(move |(pool, config)| {
            let rules = EndpointRules { eager, ..EndpointRules::of(config, failover) };
            pool.endpoints.iter_mut().map(move |endpoint| (endpoint, rules))
        })
    }

    /// Is one good probe enough? A page serves, or what a server states counts at once.
    fn is_eager(&self) -> bool {
        self.follows().is_some() || self.serves_a_page()
    }

    /// May this pool take the service?
    pub fn available(&self, pool: usize) -> bool {
        !self.pools[pool].outvoted && self.pools[pool].available(self.config.failover.min_healthy)
    }

    pub fn index_of(&self, pool: &Name) -> Option<usize> {
        self.pools.iter().position(|candidate| candidate.name == *pool)
    }

    /// Does this pool serve now?
    pub fn serves(&self, pool: usize) -> bool {
        self.serving.serves(pool)
    }

    /// No endpoint serves: whatever answers is better.
    pub fn is_out(&self) -> bool {
        self.serving == Serving::Down || self.serves_a_page()
    }

    pub fn frozen_until(&self) -> Option<MonoTime> {
        self.timers.armed(Timer::Freeze)
    }

    /// Whether the service goes home is for Standfast to decide, not for an operator.
    pub fn decides_alone(&self) -> bool {
        let auto = self.config.failover.failback.mode == FailbackMode::Auto;
        auto && self.pinned.is_none() && !self.ordered
    }

    /// Standfast may move the service home by itself now.
    pub fn may_fail_back(&self) -> bool {
        self.decides_alone() && self.may_elect()
    }

    /// Something was decided about it.
    pub fn note_decided(&mut self) {
        self.decisions += 1;
    }

    // ---- the pass from evidence to the published row -------------------------------------------------------------

    /// Conclude everything that follows from the evidence and the time. Returns whether the published row changed.
    pub fn settle(&mut self, turn: &mut Turn<'_>) -> bool {
        self.end_orders(turn);
        let mut changes = self.conclude(turn);
        changes.extend(self.judge_routes(turn.now, turn.effects));
        changes.extend(self.end_doubts(turn.now));
        self.judge_reads(turn.now);
        // (A replica is no relief for the primary: nothing is ejected for what clients meet there.)
        if self.follows().is_none() {
            changes.extend(self.prove_few_sources(turn));
            changes.extend(self.eject_outliers(turn));
        }
        self.count_votes();
        self.observe_pools(turn.now);
        self.decide(turn);
        self.note_serving();
        self.judge_isolation(turn);
        self.update_conditions(turn);
        self.admit(turn);
        self.report(changes, turn);
        self.deadline = self.next_deadline();
        self.observe_terms(turn.now);
        self.refresh_row()
    }

    /// Endpoint timers, then standings.
    fn conclude(&mut self, turn: &mut Turn<'_>) -> Vec<StandingChange> {
        let (now, effects) = (turn.now, &mut *turn.effects);
        self.look_around(now, effects);
        for (endpoint, rules) in self.endpoints() {
            endpoint.tick(rules, now, effects);
        }
        self.conclude_standings(now)
    }

    pub fn conclude_standings(&mut self, now: MonoTime) -> Vec<StandingChange> {
        let service = self.name().clone();
        let mut changes = Vec::new();
        for pool in &mut self.pools {
            for endpoint in &mut pool.endpoints {
                if let Some(from) = endpoint.conclude(now) {
                    changes.push(StandingChange {
                        endpoint: endpoint.id,
                        service: service.clone(),
                        pool: pool.name.clone(),
                        from,
                        to: endpoint.standing,
                        evidence: endpoint.evidence.clone(),
                    });
                }
            }
        }
        changes
    }

    /// Who was refused is doubted only as long as its pool has others that nothing is known against. A pool without them is
    /// gone, or restarting: that cannot be told apart, and the service does not wait for it.
    fn end_doubts(&mut self, now: MonoTime) -> Vec<StandingChange> {
        let failover = &self.config.failover;
        let mut condemned = false;
        for (pool, config) in self.pools.iter_mut().zip(&self.config.pools) {
            let rules = EndpointRules::of(config, failover);
            let others = pool.endpoints.iter().any(Endpoint::unsuspected);
            let doubted = |endpoint: &&mut Endpoint| endpoint.refusal.state() == Refusal::Doubted && !others;
            for endpoint in pool.endpoints.iter_mut().filter(doubted) {
                endpoint.condemn_as_refusing(rules, now);
                condemned = true;
            }
        }
        if condemned { self.conclude_standings(now) } else { Vec::new() }
    }

    /// A page serves without an order or a pin: the outage goes on.
    pub fn serves_a_page(&self) -> bool {
        let mut serving = (0..self.pools.len()).filter(|pool| self.serves(*pool)).peekable();
        let page = serving.peek().is_some() && serving.all(|pool| self.pools[pool].is_static);
        page && !self.ordered && self.pinned.is_none()
    }

    fn observe_terms(&mut self, now: MonoTime) {
        let served = self.serving.is_served();
        for pool in 0..self.pools.len() {
            let serves = self.serves(pool);
            self.pools[pool].terms.observe(serves, served, now);
        }
    }

    /// What becomes of this pool's sessions.
    fn sessions(&self, pool: usize) -> PoolSessions {
        let rule = SessionRule::of(&self.config.failover);
        let fence = self.fence_of(pool);
        PoolSessions {
            earlier: self.pools[pool].terms.left.map(|left| rule.end(left)),
            present: fence.map(|fence| rule.end(fence.since)),
            fence: fence.map(|fence| fence.epoch),
        }
    }

    fn note_serving(&mut self) {
        for pool in 0..self.pools.len() {
            self.pools[pool].served |= self.serves(pool);
        }
    }

    fn observe_pools(&mut self, now: MonoTime) {
        let min_healthy = self.config.failover.min_healthy;
        for pool in &mut self.pools {
            pool.observe(min_healthy, self.config.failover.damping, now);
        }
    }

    fn decide(&mut self, turn: &mut Turn<'_>) {
        match (self.follows(), self.config.mode) {
            _ if self.is_led() => self.decide_led(turn),
            (Some(rule), _) => self.decide_following(rule, turn),
            (None, _) if self.reads().is_some() && self.awaits_lags(turn.now) => {}
            (None, Mode::ActivePassive) => self.decide_active(turn),
            (None, Mode::ActiveActive) => self.decide_shares(turn),
        }
        for timer in [Timer::FirstRound, Timer::FirstChoice, Timer::Silence, Timer::RpoPatience] {
            self.timers.fired(timer, turn.now);
        }
        self.wait_for_hold_down(turn.now);
    }

    /// What may be sent to each endpoint.
    fn admit(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        for pool in 0..self.pools.len() {
            let (trials, patience) = self.trials(pool, now);
            let last_resort = self.last_resort_admission(pool);
            // Who answers in the first round of probes does not join the others: they begin together.
            let first_round = self.timers.armed(Timer::FirstRound).is_some();
            let served_before = !first_round
                && self.row.serving.serves(pool)
                && self.pools[pool].endpoints.iter().any(|e| e.admission == Admission::Open);
            let serves = self.serves(pool);
            let fenced = self.fence_of(pool).is_some();
            let config = self.config.clone();
            let rules = EndpointRules::of(&config.pools[pool], &config.failover);
            let (follows, holder) = (self.follows().is_some(), self.following.holder.filter(|_| serves));
            for endpoint in &mut self.pools[pool].endpoints {
                endpoint.run_patience(rules, patience, now);
                let admission = match endpoint.own_admission(trials) {
                    _ if fenced || follows && holder != Some(endpoint.id) => Admission::Closed,
                    Admission::Trial | Admission::Closed if follows => Admission::Closed,
                    Admission::Closed => last_resort(endpoint),
                    own => own,
                };
                let opened = admission == Admission::Open && endpoint.admission != Admission::Open;
                endpoint.admission = admission;
                if !serves || admission != Admission::Open {
                    endpoint.joined = None;
                } else if opened && served_before {
                    endpoint.joined = Some(now);
                }
                endpoint.pace(rules, turn.effects);
            }
        }
    }

    /// May endpoints of this pool that wait for trials get them now, and if not, does their patience run?
    ///
    /// A serving pool tries at once. A pool that the service will go home to by itself is tried as the last step before that,
    /// so it waits for its hold-down and for the end of a freeze. Any other pool is never tried with live traffic, which would
    /// be mixed traffic: there checks alone decide after a further time.
    fn trials(&self, pool: usize, now: MonoTime) -> (bool, bool) {
        if self.serves(pool) || self.is_out() {
            let may = self.serves(pool) || !self.awaits_gates_without(pool);
            return (may, true);
        }
        let homeward = match &self.serving {
            Serving::Active(active) => self.prefers(pool, *active),
            Serving::Shared(_) => self.lost.contains(&self.pools[pool].name) && !self.is_evacuated(pool),
            Serving::Starting | Serving::Down => false,
        };
        if !homeward || !self.decides_alone() {
            return (false, true);
        }
        let over = self.hold_down_end(pool).is_some_and(|end| end <= now);
        let open = over && self.may_elect();
        (open, open)
    }

    /// What closed endpoints of a pool may get when no pool is available.
    fn last_resort_admission(&self, pool: usize) -> impl Fn(&Endpoint) -> Admission + use<> {
        let fail_open = self.config.failover.on_all_down == OnAllDown::FailOpen;
        let down = fail_open && self.is_out() && !self.awaits_gates_without(pool);
        let opened = fail_open && self.serves(pool) && !self.available(pool);
        let hopeless = opened && !self.pools[pool].endpoints.iter().any(|e| e.usable() || e.fails_only_checks());
        move |endpoint| {
            if opened && endpoint.fails_only_checks() {
                Admission::Open
            } else if (down || hopeless) && endpoint.ready() {
                Admission::Trial
            } else {
                Admission::Closed
            }
        }
    }

    pub fn report(&mut self, changes: Vec<StandingChange>, turn: &mut Turn<'_>) {
        turn.effects.extend(changes.into_iter().map(Effect::Standing));
    }

    fn next_deadline(&self) -> Option<MonoTime> {
        let first = self.every_endpoint().filter_map(|endpoint| endpoint.timers.deadline()).min();
        earliest(first, self.timers.deadline())
    }

    /// Bring the published row up to date; returns whether it changed.
    fn refresh_row(&mut self) -> bool {
        let min_healthy = self.config.failover.min_healthy;
        let holder = self.following.holder.filter(|_| self.follows().is_some());
        let row = |(n, pool): (usize, &Pool)| pool.row(min_healthy, self.sessions(n), self.is_proving(n), holder);
        let row = ServiceRow {
            name: self.name().clone(),
            serving: self.serving.clone(),
            awaiting_answer: self.awaiting_answer,
            isolated: self.isolated,
            pools: self.pools.iter().enumerate().map(row).collect(),
        };
        let changed = row != self.row;
        self.row = row;
        changed
    }
}
