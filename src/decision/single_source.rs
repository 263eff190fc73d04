//! Leaving a pool on the evidence of one client network: allowed once in `damping`, to a pool with endpoints, and undone when the
//! same source fails there as well.
//!
//! One source that fails can be all that a service has: a load balancer in front of it. Or it is a client with a broken request.
//! Where the same source is answered well by the other pool, its evidence was right and does not count as the one; where it fails
//! there too, the service goes home at once and the source's evidence counts for nothing for `damping`.

use serde::{Deserialize, Serialize};

use super::failover::Switch;
use super::service::{Service, Turn};
use super::{Digest, Moment, Serving, Source, StandingChange, SwitchKind};
use crate::config::Name;

/// Exchanges of the source in the new pool after which its evidence can be proven right.
const PROOF: u32 = 10;

/// The last time that a pool was left on the evidence of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SingleSource {
    source: Source,
    at: Moment,
    from: Name,
    /// Where the service went; `None` until it has.
    to: Option<Name>,
    /// The source's exchanges there.
    good: u32,
    failed: u32,
    proof: Proof,
}

/// Was the evidence right?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Proof {
    Open,
    Right,
    Wrong,
}

impl SingleSource {
    /// Pools have other names now.
    pub fn rename(&mut self, now_called: impl Fn(&Name) -> Option<Name>) {
        self.from = now_called(&self.from).unwrap_or_else(|| self.from.clone());
        self.to = self.to.take().map(|to| now_called(&to).unwrap_or(to));
    }
}

impl Service {
    /// May this pool be left on the evidence of one source?
    pub fn may_leave_on_one_source(&self, pool: usize, now: Moment) -> bool {
        let Some(last) = &self.single_source else { return self.serves(pool) };
        let onwards = last.to.as_ref() == Some(&self.pools[pool].name);
        let over = now.since(last.at) >= self.config.failover.damping && !onwards;
        self.serves(pool) && (last.proof == Proof::Right || over)
    }

    /// This pool is left on the evidence of one source.
    pub fn leaves_on_one_source(&mut self, pool: usize, source: Source, now: Moment) {
        let from = self.pools[pool].name.clone();
        let last = SingleSource { source, at: now, from, to: None, good: 0, failed: 0, proof: Proof::Open };
        self.single_source = Some(last);
    }

    /// The source whose evidence counts for nothing now.
    pub fn distrusted(&self, now: Moment) -> Option<Source> {
        let damping = self.config.failover.damping;
        let wrong = self.single_source.as_ref().filter(|last| last.proof == Proof::Wrong);
        wrong.filter(|last| now.since(last.at) < damping).map(|last| last.source)
    }

    /// A pool is taken: is it the one that one source's evidence led to?
    pub fn arrives_on_one_source(&mut self, from: Option<&Name>, to: Option<&Name>) {
        if let Some(last) = &mut self.single_source
            && last.to.is_none()
            && from == Some(&last.from)
        {
            last.to = to.cloned();
        }
    }

    /// Are good answers of this pool to be counted by source, because it is being proven?
    pub fn is_proving(&self, pool: usize) -> bool {
        let open = self.single_source.as_ref().filter(|last| last.proof == Proof::Open);
        open.is_some_and(|last| last.to.as_ref() == Some(&self.pools[pool].name))
    }

    /// What the source meets in the new pool.
    pub fn observe_single_source(&mut self, pool: usize, digest: &Digest) {
        if !self.is_proving(pool) {
            return;
        }
        let Some(last) = &mut self.single_source else { return };
        let good = digest.good_by.iter().filter(|(source, _)| *source == last.source);
        last.good = good.fold(last.good, |sum, (_, good)| sum.saturating_add(*good));
        let failed = digest.reports.iter().filter(|report| report.source == Some(last.source)).count();
        last.failed = last.failed.saturating_add(failed as u32);
    }

    /// Conclude whether the source's evidence was right. Where it was wrong, what it condemned is well again.
    pub fn prove_single_source(&mut self, turn: &mut Turn<'_>) -> Vec<StandingChange> {
        let (trip, window) = (self.failures_that_trip(), self.config.failover.confirm_window);
        let Some(last) = self.single_source.as_mut().filter(|last| last.proof == Proof::Open) else {
            return Vec::new();
        };
        let (good, failed) = (last.good, last.failed);
        if good + failed >= PROOF && good >= 9 * failed {
            last.proof = Proof::Right;
        } else if failed >= trip && failed > good && turn.now.since(last.at) <= window {
            last.proof = Proof::Wrong;
            let source = last.source;
            return self.withdraw(source, turn);
        }
        Vec::new()
    }

    fn failures_that_trip(&self) -> u32 {
        let trips = self.config.pools.iter().filter_map(|pool| pool.outlier_detection.as_ref());
        trips.map(|rule| rule.consecutive_failures).min().unwrap_or(1)
    }

    /// What this source said counts for nothing.
    fn withdraw(&mut self, source: Source, turn: &mut Turn<'_>) -> Vec<StandingChange> {
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            endpoint.withdraw(source, turn.now);
        }
        self.conclude_standings(turn.now)
    }

    /// The pool to go back to because it was left on evidence that was wrong.
    pub fn wrongly_left(&self, active: usize) -> Option<usize> {
        let last = self.single_source.as_ref().filter(|last| last.proof == Proof::Wrong)?;
        let here = last.to.as_ref() == Some(&self.pools[active].name);
        let home = self.index_of(&last.from).filter(|home| here && *home != active && self.available(*home))?;
        (!self.ordered && self.pinned.is_none()).then_some(home)
    }

    /// Go back to the pool that was left on wrong evidence.
    pub fn undo_single_source(&mut self, home: usize, turn: &mut Turn<'_>) {
        if let Serving::Active(_) = self.serving {
            let switch = Switch { undoes: true, ..Switch::own(SwitchKind::Rollback, Some(home)) };
            self.switch(switch, turn);
        }
        if let Some(last) = &mut self.single_source {
            last.to = Some(last.from.clone());
        }
    }
}
