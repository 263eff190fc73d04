//! One pool: is it available, and since when has it been well?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::health::CheckVerdict;
use super::hold_down::FallRhythm;
use super::sessions::PoolTerms;
use super::{EndpointId, PoolRow, PoolSessions};
use crate::config::{HealthCheck, Name, OutlierDetection, PoolMembers};
use crate::time::MonoTime;

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    pub name: Name,
    /// It answers by itself and never fails.
    pub is_static: bool,
    pub endpoints: Vec<Endpoint>,
    /// Since when enough endpoints are healthy, or would be if trials passed: hold-down counts from here.
    pub recovered: Option<MonoTime>,
    pub rhythm: FallRhythm,
    /// It has served since the process started, or may have served before.
    pub served: bool,
    #[serde(default)]
    pub terms: PoolTerms,
    /// A companion of the service has no endpoint in it, and in another one all have.
    #[serde(default)]
    pub outvoted: bool,
}

impl Pool {
    pub fn new(name: Name, members: &PoolMembers, endpoints: Vec<Endpoint>) -> Pool {
        let is_static = matches!(members, PoolMembers::Static(_));
        Pool {
            name,
            is_static,
            endpoints,
            recovered: None,
            rhythm: FallRhythm::default(),
            served: false,
            terms: PoolTerms::default(),
            outvoted: false,
        }
    }

    /// Endpoints that are healthy and in use.
    pub fn usable(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.usable()).count()
    }

    /// Did a probe of one of its endpoints pass in this time, with no sign of trouble there?
    pub fn was_proven_well(&self, from: MonoTime, until: MonoTime) -> bool {
        let proven = |endpoint: &Endpoint| endpoint.proven.is_some_and(|proven| from < proven && proven <= until);
        self.endpoints.iter().any(proven)
    }

    /// Those of them that this turn has not ejected.
    pub fn left(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.usable() && !endpoint.ejection.holds()).count()
    }

    /// How many endpoints fail, if all do that are usable; else one.
    pub fn failing(&self) -> u32 {
        let mut usable = self.endpoints.iter().filter(|endpoint| endpoint.usable());
        let all = usable.all(|endpoint| endpoint.corroboration.fails());
        if all { self.usable() as u32 } else { 1 }
    }

    /// Would it be available if neither an operator nor a weight of 0 took endpoints out of use?
    pub fn is_drained(&self, min_healthy: usize) -> bool {
        let healthy = self.endpoints.iter().filter(|e| e.is_healthy() && e.replica.is_eligible()).count();
        !self.available(min_healthy) && healthy >= min_healthy.max(1)
    }

    /// Would it be available if all of its endpoints that are well had the role and the lag that its service reads at?
    pub fn is_well(&self, min_healthy: usize) -> bool {
        self.is_static || self.endpoints.iter().filter(|endpoint| endpoint.is_well()).count() >= min_healthy.max(1)
    }

    /// May it take the service?
    pub fn available(&self, min_healthy: usize) -> bool {
        self.is_static || self.usable() >= min_healthy.max(1)
    }

    /// Has every endpoint had a verdict?
    pub fn first_round_complete(&self) -> bool {
        self.endpoints.iter().all(|endpoint| endpoint.checks.verdict != CheckVerdict::Unknown || !endpoint.ready())
    }

    /// Would it be available if every endpoint passed that has not been probed yet?
    pub fn may_become_available(&self, min_healthy: usize) -> bool {
        let unasked = |e: &&Endpoint| e.ready() && e.checks.verdict == CheckVerdict::Unknown;
        self.usable() + self.endpoints.iter().filter(unasked).count() >= min_healthy.max(1)
    }

    /// Would it not be available either if every endpoint passed that has not failed `fall` probes yet?
    pub fn is_refuted(&self, check: Option<&HealthCheck>, min_healthy: usize) -> bool {
        let hopes = self.endpoints.iter().filter(|e| e.usable() || e.ready() && e.checks.is_unsettled(check)).count();
        !self.is_static && hopes < min_healthy.max(1)
    }

    /// Keep track of since when it has been well, and of how often it falls.
    pub fn observe(&mut self, min_healthy: usize, damping: Duration, now: MonoTime) {
        let hopeful = self.endpoints.iter().filter(|endpoint| endpoint.hopeful()).count();
        let well = self.is_static || hopeful >= min_healthy.max(1) && !self.outvoted;
        self.recovered = if well { self.recovered.or(Some(now)) } else { None };
        // (Failed trials are no fall: it had not risen. Nor is what an operator takes out of use.)
        let healthy = self.endpoints.iter().filter(|endpoint| endpoint.is_healthy()).count();
        self.rhythm.observe(self.is_static || healthy >= min_healthy.max(1) && !self.outvoted, damping, now);
    }

    /// May one more endpoint be ejected although no other pool can serve?
    pub fn may_eject_more(&self, rule: &OutlierDetection, min_healthy: usize) -> bool {
        let size = self.endpoints.iter().filter(|endpoint| !endpoint.is_weightless()).count();
        let share = (size as f64 * rule.max_ejected) as usize;
        let cap = if size >= 2 { share.max(1) } else { share };
        let ejected = self.endpoints.iter().filter(|endpoint| endpoint.ejection.holds()).count();
        ejected < cap && self.left() > min_healthy.max(1)
    }

    /// `proving`: good answers are to be counted by source; `holder`: the only endpoint whose sessions may go on.
    pub fn row(
        &self,
        min_healthy: usize,
        sessions: PoolSessions,
        proving: bool,
        holder: Option<EndpointId>,
    ) -> PoolRow {
        let fenced = |endpoint: &Endpoint| holder.is_some_and(|holder| holder != endpoint.id);
        PoolRow {
            name: self.name.clone(),
            available: self.available(min_healthy),
            sessions,
            endpoints: self.endpoints.iter().map(|endpoint| endpoint.row(proving, fenced(endpoint))).collect(),
        }
    }
}
