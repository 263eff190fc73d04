//! Services that move together (`failover.follow`): one of them *leads*, and its *companions* are where it is. Pools are matched by name;
//! one decision, one epoch and one incident for all of them.
//!
//! A companion decides nothing about pools. It *votes*: a pool in which it has no endpoint left is not chosen for any of them while there
//! is one in which all have. (Where there is none, the leader's own endpoints decide: a vote never takes it down.)
//!
//! Where the leader has to be left before another pool serves, it waits for the end of its companions' sessions too.

use super::companion_state::{Companion, Companionship, Lead, Vote};
use super::service::Service;
use super::switch::IntendedSwitch;
use super::timeline::PoolFall;
use super::turn::Turn;
use super::{ActRefusal, Evidence, Serving, SwitchKind};
use crate::config::Name;
use crate::time::MonoTime;

/// Takes down who leads, by the configuration in force.
pub(super) fn group(services: &mut [Service]) {
    let places: Vec<(Name, Option<Name>)> = services
        .iter()
        .map(|service| {
            (service.name().clone(), service.config.failover.leader.as_ref().map(|leader| leader.name.clone()))
        })
        .collect();
    let place_of = |name: &Name| places.iter().position(|(of, _)| of == name);
    for service in services.iter_mut() {
        let led_by = service.config.failover.leader.as_ref();
        let own = service.name();
        let leads = |(place, (name, leader)): (usize, &(Name, Option<Name>))| {
            (leader.as_ref() == Some(own)).then(|| Companion { place, name: name.clone() })
        };
        let companions = places.iter().enumerate().filter_map(leads).collect();
        let leader = led_by.and_then(|leader| place_of(&leader.name));
        let before = std::mem::take(&mut service.companionship);
        let lead = before.lead.filter(|_| leader.is_some());
        service.companionship = Companionship { leader, lead, companions, ..before };
    }
}

/// After a turn about one of a group: its companions' votes are heard, and they go where the leader is. Returns whether a published row has
/// changed.
pub(super) fn align(services: &mut [Service], touched: usize, turn: &mut Turn<'_>) -> bool {
    let leader = services[touched].companionship.leader.unwrap_or(touched);
    let companions: Vec<usize> = services[leader].companionship.companions.iter().map(|c| c.place).collect();
    if companions.is_empty() {
        return false;
    }
    let votes = companions.iter().flat_map(|companion| services[*companion].votes(turn.now)).collect();
    let awaits_sessions = companions.iter().any(|companion| services[*companion].left.is_some());
    let mut changed = services[leader].hear(votes, awaits_sessions) && services[leader].settle(turn);
    let lead = services[leader].lead();
    for companion in &companions {
        changed |= services[*companion].be_led(&lead) && services[*companion].settle(turn);
    }
    let awaits_sessions = companions.iter().any(|companion| services[*companion].left.is_some());
    services[leader].companionship.awaits_sessions = awaits_sessions;
    changed
}

impl Service {
    // ---- the companion ---------------------------------------------------------------------------------------------

    /// Does another service decide where it is?
    pub fn is_led(&self) -> bool {
        self.config.failover.leader.is_some()
    }

    /// The leader that decides where it is decides for an operator's command, too.
    pub fn refuse_led(&self) -> Result<(), ActRefusal> {
        match &self.config.failover.leader {
            Some(leader) => Err(ActRefusal::MovesWith { service: self.name().clone(), leader: leader.name.clone() }),
            None => Ok(()),
        }
    }

    /// What it has against pools: that it has no endpoint there, and knows it.
    fn votes(&self, now: MonoTime) -> Vec<Vote> {
        let counts = self.config.failover.leader.as_ref().is_some_and(|leader| leader.votes);
        if !counts || self.serving == Serving::Starting {
            return Vec::new();
        }
        let min_healthy = self.config.failover.min_healthy;
        let lost = |pool: &usize| {
            let pool = &self.pools[*pool];
            !pool.is_static && !pool.available(min_healthy) && !pool.may_become_available(min_healthy)
        };
        let vote = |pool: usize| {
            let (fall, evidence) = self.fall_of(pool, now);
            Vote { by: self.name().clone(), pool: self.pools[pool].name.clone(), fall, evidence }
        };
        (0..self.pools.len()).filter(lost).map(vote).collect()
    }

    /// Returns whether that is new.
    fn be_led(&mut self, lead: &Lead) -> bool {
        if self.companionship.lead.as_ref() == Some(lead) {
            return false;
        }
        self.companionship.lead = Some(lead.clone());
        self.companionship.is_revoked_now = self.is_revoked_by_leader();
        true
    }

    /// It goes where its leader is; where that has no pool of its own it shows its page, if it has one.
    pub fn decide_led(&mut self, turn: &mut Turn<'_>) {
        self.resume = None;
        self.pinned = None;
        self.hold = None;
        self.ordered = false;
        let (to, kind) = match &self.companionship.lead {
            None | Some(Lead::Starting) => return,
            Some(Lead::At { pool, kind }) => (self.index_of(pool), *kind),
            Some(Lead::Nowhere { .. }) => (None, SwitchKind::Failover),
        };
        let to = to.or_else(|| (0..self.pools.len()).find(|pool| self.pools[*pool].is_static));
        let revoked_now = std::mem::take(&mut self.companionship.is_revoked_now);
        match self.serving.active() {
            _ if self.serving == Serving::Starting => self.begin(to.map_or(Serving::Down, Serving::Active), turn),
            active if active != to => self.take(IntendedSwitch::own(kind, to), turn),
            // It was left before, when its sessions could still go on.
            _ if revoked_now => self.fence_left(turn),
            _ => {}
        }
        self.failing_open = self.serving.active().is_some_and(|active| !self.available(active));
    }

    /// Have its sessions at the pool that was left no right to go on, because its leader's have none?
    pub fn is_revoked_by_leader(&self) -> bool {
        matches!(self.companionship.lead, Some(Lead::Nowhere { revoked: true }))
    }

    // ---- the leader ------------------------------------------------------------------------------------------------

    /// The services that go where it goes.
    pub fn companions(&self) -> Vec<Name> {
        self.companionship.companions.iter().map(|companion| companion.name.clone()).collect()
    }

    /// Does it wait for the end of sessions of its companions?
    pub fn awaits_companions(&self) -> bool {
        self.companionship.awaits_sessions
    }

    /// Returns whether that is new.
    fn hear(&mut self, mut votes: Vec<Vote>, awaits_sessions: bool) -> bool {
        let known = &mut self.companionship;
        // (What is known already keeps its time and its reasons.)
        for vote in &mut votes {
            let before = known.votes.iter().find(|before| before.by == vote.by && before.pool == vote.pool);
            before.into_iter().for_each(|before| vote.clone_from(before));
        }
        let changed = known.votes != votes || known.awaits_sessions != awaits_sessions;
        known.votes = votes;
        known.awaits_sessions = awaits_sessions;
        changed
    }

    /// Which pools are not chosen because a companion has no endpoint there.
    pub fn count_votes(&mut self) {
        let votes = &self.companionship.votes;
        if votes.is_empty() && !self.pools.iter().any(|pool| pool.outvoted) {
            return;
        }
        let min_healthy = self.config.failover.min_healthy;
        let against = |name: &Name| votes.iter().any(|vote| vote.pool == *name);
        let suits_all = self.follows().is_none()
            && self.pools.iter().any(|pool| !pool.is_static && pool.available(min_healthy) && !against(&pool.name));
        for pool in &mut self.pools {
            pool.outvoted = suits_all && against(&pool.name);
        }
    }

    /// Why this pool is not chosen although it has endpoints itself.
    pub fn fall_by_vote(&self, pool: usize) -> Option<(PoolFall, Vec<Evidence>)> {
        let pool = self.pools.get(pool).filter(|pool| pool.outvoted)?;
        let votes = self.companionship.votes.iter().filter(|vote| vote.pool == pool.name);
        let first = votes.min_by_key(|vote| vote.fall.sign)?;
        let named =
            |evidence: &Evidence| Evidence { detail: format!("{}: {}", first.by, evidence.detail), ..evidence.clone() };
        Some((first.fall, first.evidence.iter().map(named).collect()))
    }

    /// The companions that have no endpoint in this pool.
    pub fn votes_against(&self, pool: &Name) -> Vec<Name> {
        let votes = self.companionship.votes.iter().filter(|vote| vote.pool == *pool);
        votes.map(|vote| vote.by.clone()).collect()
    }

    fn lead(&self) -> Lead {
        match &self.serving {
            Serving::Starting => Lead::Starting,
            Serving::Active(active) => {
                let kind = self.last_switch.as_ref().map_or(SwitchKind::Failover, |last| last.kind);
                Lead::At { pool: self.pools[*active].name.clone(), kind }
            }
            Serving::Down | Serving::Shared(_) => Lead::Nowhere { revoked: self.following.is_revoked },
        }
    }
}
