//! Reads at replicas: of a service whose checks ask for `role: replica`, an endpoint is *eligible* while it says that it is a replica and
//! its lag is within `max_lag`. What is not eligible gets nothing new; it is not down, and its sessions go on. All else is as in any
//! service. The rules are in [manual::following](crate::manual::following#reads-at-replicas).
//!
//! What an endpoint has said counts until it says something else: silence, a full table of connections and a login that is refused change
//! neither its role nor the lag that was last known.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::lag::USUAL_REACH;
use super::pool::Pool;
use super::position::PositionRelation;
use super::read_state::{LagSource, LagSourceStatus, ReadVerdict, ReplicaState, ReplicaStatus};
use super::service::Service;
use super::timers::Timer;
use super::{DataPosition, DataRole, EndpointId, Serving};
use crate::config::{MaxLag, ReadFallback, ReadRule};
use crate::time::MonoTime;

impl Endpoint {
    /// It says that it is primary, and nothing is known against it.
    fn says_primary(&self) -> bool {
        let says = self.data.reading.as_ref().is_some_and(|reading| reading.role == DataRole::Primary);
        says && !self.standing.operational.has_fallen()
    }

    fn relation_to(&self, place: &DataPosition) -> Option<PositionRelation> {
        Some(self.data.place()?.relation(place, false))
    }

    /// What it is to the reads of its service.
    pub(super) fn replica_status(&self) -> Option<ReplicaStatus> {
        let (verdict, lag) = (self.replica.verdict, self.replica.lag);
        let behind = || lag.map(|lag| format!("{lag} behind"));
        Some(ReplicaStatus { verdict, lag, text: self.replica.describe().or_else(behind)? })
    }
}

impl Service {
    /// The rule by which it reads at replicas.
    pub fn reads(&self) -> Option<ReadRule> {
        self.config.failover.reads
    }

    /// Is anything concluded from where the data of its endpoints is, so that each reading may change something?
    pub fn heeds_readings(&self) -> bool {
        self.follows().is_some() || self.reads().is_some()
    }

    /// Measures the lag of the replicas, and says which endpoints are eligible.
    pub fn judge_reads(&mut self, now: MonoTime) {
        let rule = self.reads();
        if !self.heeds_readings() {
            self.lag_source = LagSource::default();
            self.pools
                .iter_mut()
                .flat_map(|pool| &mut pool.endpoints)
                .for_each(|e| e.replica = ReplicaState::default());
            return;
        }
        self.follow_the_source();
        self.measure_lags();
        let before: Vec<bool> = self.every_endpoint().map(Endpoint::usable).collect();
        let config = self.config.clone();
        for (pool, config) in self.pools.iter_mut().zip(&config.pools) {
            let check = config.health_check.as_ref().and_then(|check| check.kind.replica());
            for endpoint in &mut pool.endpoints {
                endpoint.replica.verdict = check.filter(|_| rule.is_some()).map(|check| match &endpoint.data.reading {
                    Some(reading) if reading.role == DataRole::Replica => endpoint.replica.as_replica(check),
                    Some(reading) if reading.role == DataRole::Primary => ReadVerdict::Primary,
                    _ => ReadVerdict::Unknown,
                });
            }
        }
        let is_awaiting = rule.is_some() && self.awaits_lags(now);
        if let Some(rule) = rule.filter(|_| !is_awaiting) {
            self.fall_back(rule);
        }
        for (endpoint, was_usable) in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints).zip(before) {
            let is_known = endpoint.data.reading.is_some() && endpoint.replica.verdict != Some(ReadVerdict::Unknown);
            endpoint.replica.is_awaited = is_awaiting && !is_known;
            if was_usable && !endpoint.usable() {
                endpoint.fell = now;
            }
        }
    }

    /// The lags of the first round are not known yet: the second sample of a primary that is written to tells them.
    pub fn awaits_lags(&self, now: MonoTime) -> bool {
        let in_time = self.timers.armed(Timer::FirstRound).is_some_and(|end| end > now);
        let unknown = |e: &Endpoint| match e.replica.verdict {
            Some(ReadVerdict::Unknown) => e.is_well() && !e.checks.is_unseeing(),
            _ => false,
        };
        let asked = self.pools.iter().all(Pool::first_round_complete);
        self.serving == Serving::Starting && in_time && (!asked || self.every_endpoint().any(unknown))
    }

    /// No fresh replica is left: the primary serves, too, where that is wanted.
    fn fall_back(&mut self, rule: ReadRule) {
        if rule.fallback == ReadFallback::Refuse || self.has_fresh_replica() {
            return;
        }
        let primary = self.lag_source.primary;
        let mut endpoints = self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints);
        if let Some(primary) = endpoints.find(|endpoint| Some(endpoint.id) == primary && endpoint.says_primary()) {
            primary.replica.verdict = Some(ReadVerdict::Fallback);
        }
    }

    /// Is there a replica that may get connections?
    pub fn has_fresh_replica(&self) -> bool {
        self.every_endpoint().any(|e| e.replica.verdict == Some(ReadVerdict::Replica) && e.is_well())
    }

    /// Which primary are lags measured against, and where is it?
    fn follow_the_source(&mut self) {
        let primary = match self.follows() {
            Some(_) => self.following.holder.filter(|_| self.serving.is_served()),
            None => self.next_source(),
        };
        self.lag_source.primary = primary;
        let reach = self.longest_lag();
        let known = self.every_endpoint().find(|endpoint| Some(endpoint.id) == primary && endpoint.says_primary());
        let place = known.and_then(|endpoint| Some((endpoint.data.place()?.clone(), endpoint.data.read_at)));
        if let Some((position, at)) = place {
            self.lag_source.track.note(&position, at, reach);
        }
    }

    fn longest_lag(&self) -> Duration {
        let limit = |pool: &crate::config::Pool| match pool.health_check.as_ref()?.kind.replica()?.max_lag? {
            MaxLag::Time(time) => Some(time),
            MaxLag::Bytes(_) => None,
        };
        self.config.pools.iter().filter_map(limit).max().unwrap_or(USUAL_REACH)
    }

    /// The primary stays the one that it is as long as it says so. After it, it is one that continues what was seen of it. Another history
    /// is taken up only when the former primary says itself that it has left the one before: what is silent may come back.
    fn next_source(&self) -> Option<EndpointId> {
        let present = self.every_endpoint().find(|endpoint| Some(endpoint.id) == self.lag_source.primary);
        if let Some(present) = present.filter(|present| present.says_primary()) {
            return Some(present.id);
        }
        let seen = self.lag_source.track.newest();
        let is_heard = |e: &Endpoint| e.checks.fails == 0 && e.checks.answer_class().is_none();
        let others = || self.every_endpoint().filter(|endpoint| endpoint.says_primary() && is_heard(endpoint));
        let stands = |endpoint: &Endpoint| seen.and_then(|seen| endpoint.relation_to(seen));
        let continues = |endpoint: &&Endpoint| {
            seen.is_none()
                || matches!(stands(endpoint), Some(PositionRelation::Same { .. } | PositionRelation::Newer { .. }))
        };
        let has_left = present.is_none_or(|present| {
            let elsewhere = |relation| !matches!(relation, PositionRelation::Same { .. });
            present.is_well() && stands(present).is_some_and(elsewhere)
        });
        let mut heirs: Vec<&Endpoint> = others().filter(continues).collect();
        if heirs.is_empty() && has_left {
            heirs = others().collect();
        }
        let is_latest = |one: &&&Endpoint| {
            let after = |other: &Endpoint| match other.data.place() {
                Some(other) => matches!(one.relation_to(other), Some(PositionRelation::Newer { .. })),
                None => false,
            };
            heirs.iter().all(|other| other.id == one.id || after(other))
        };
        heirs.iter().find(is_latest).map(|heir| heir.id).or(present.map(|present| present.id))
    }

    /// The lag of each replica as of its last reading. What is known stays known while its endpoint says nothing.
    fn measure_lags(&mut self) {
        let LagSource { primary, track } = &self.lag_source;
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            let replica = endpoint.data.reading.as_ref().filter(|reading| reading.role == DataRole::Replica);
            let place = replica.and_then(|reading| reading.applied.as_deref().or(reading.position.as_ref()));
            let Some(place) = place.filter(|_| Some(endpoint.id) != *primary) else {
                (endpoint.replica.lag, endpoint.replica.measured) = (None, None);
                continue;
            };
            let this = Some((endpoint.data.read_at, track.began()));
            let is_settled = endpoint.replica.lag.is_some_and(|lag| !lag.longer);
            if !is_settled || endpoint.replica.measured != this {
                endpoint.replica.lag = track.lag(place, endpoint.data.read_at);
                endpoint.replica.measured = this;
            }
        }
    }

    /// For `/status`.
    pub fn lag_source_status(&self, now: MonoTime) -> Option<LagSourceStatus> {
        let primary = self.every_endpoint().find(|endpoint| Some(endpoint.id) == self.lag_source.primary)?;
        let track = &self.lag_source.track;
        let age_ms = track.newest_at().map(|at| now.since(at).as_millis() as u64);
        Some(LagSourceStatus { primary: primary.address, position: track.newest().cloned(), age_ms })
    }
}
