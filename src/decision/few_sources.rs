//! Leaving a pool on the evidence of one client network, or of fewer than would convict anyway: allowed once in `damping`, to a pool
//! with endpoints, and undone when the same sources fail there as well.
//!
//! One source that fails can be all that a service has: a load balancer in front of it. Or it is a client with a broken request.
//! Where the same sources are answered well by the other pool, their evidence was right and does not count as the one (once more
//! in `damping`); where they fail there too, the service goes home at once, and their evidence counts for nothing for `damping`
//! (unless they are all that the service has).

use super::corroboration::Conviction;
use super::service::Service;
use super::single_source::{SingleSource, SourceProof};
use super::turn::Turn;
use super::{Digest, Mark, Source, StandingChange};
use crate::config::Name;
use crate::time::MonoTime;

/// Exchanges of the sources in the new pool after which their evidence can be proven right.
const PROOF: u32 = 10;

impl Service {
    /// May this pool be left on the evidence of few sources?
    pub fn may_leave_on_few_sources(&self, pool: usize, now: MonoTime) -> bool {
        let damping = self.config.failover.damping;
        let again = |last: &SingleSource| {
            last.proof == SourceProof::Right && last.before.is_none_or(|before| now.since(before) >= damping)
        };
        self.serves(pool) && self.single_source.as_ref().is_none_or(again)
    }

    /// This pool is left on the evidence of few sources.
    pub fn leaves_on_few_sources(&mut self, pool: usize, conviction: &Conviction, now: MonoTime) {
        self.single_source = Some(SingleSource {
            sources: conviction.few.clone(),
            kinds: conviction.kinds.clone(),
            at: now,
            before: self.single_source.as_ref().map(|last| last.at),
            from: self.pools[pool].name.clone(),
            to: None,
            good: 0,
            failed: 0,
            proof: SourceProof::Open,
        });
    }

    /// The sources whose evidence counts for nothing now. (Those that are all the service has are believed the next time.)
    pub fn distrusted(&self) -> Vec<Source> {
        let wrong = |last: &&_| matches!(last, SingleSource { proof: SourceProof::Wrong | SourceProof::Undone, .. });
        let last = self.single_source.as_ref().filter(wrong);
        let others = |last: &&SingleSource| self.callers as usize > last.sources.len();
        last.filter(others).map(|last| last.sources.clone()).unwrap_or_default()
    }

    /// A pool is taken: is it the one that few sources' evidence led to?
    pub fn arrives_on_few_sources(&mut self, from: Option<&Name>, to: Option<&Name>) {
        if let Some(last) = &mut self.single_source
            && last.to.is_none()
            && from == Some(&last.from)
        {
            last.to = to.cloned();
        }
    }

    /// Are good answers of this pool to be counted by source, because it is being proven?
    pub fn is_proving(&self, pool: usize) -> bool {
        let open = self.single_source.as_ref().filter(|last| last.proof == SourceProof::Open);
        open.is_some_and(|last| last.to.as_ref() == Some(&self.pools[pool].name))
    }

    /// What the sources meet in the new pool.
    pub fn observe_few_sources(&mut self, pool: usize, digest: &Digest) {
        if !self.is_proving(pool) {
            return;
        }
        let Some(last) = &mut self.single_source else { return };
        let good = digest.by_source.iter().filter(|tally| last.sources.contains(&tally.source));
        last.good = good.fold(last.good, |sum, tally| sum.saturating_add(tally.good));
        let alike = digest.reports.iter().filter(|report| {
            let theirs = report.source.is_some_and(|source| last.sources.contains(&source));
            theirs && report.mark == Mark::None && last.kinds.contains(&report.kind)
        });
        last.failed = last.failed.saturating_add(alike.count() as u32);
    }

    /// Conclude whether the sources' evidence was right. Where it was wrong, what it condemned is well again. After a while it is
    /// history.
    pub fn prove_few_sources(&mut self, turn: &mut Turn<'_>) -> Vec<StandingChange> {
        let damping = self.config.failover.damping;
        self.single_source.take_if(|last| turn.now.since(last.at) >= damping);
        let (trip, window) = (self.failures_that_trip(), self.config.failover.confirm_window);
        let Some(last) = self.single_source.as_mut().filter(|last| last.proof == SourceProof::Open) else {
            return Vec::new();
        };
        let (good, failed) = (last.good, last.failed);
        if good.saturating_add(failed) >= PROOF && good / 9 >= failed {
            last.proof = SourceProof::Right;
        } else if failed >= trip && failed > good && turn.now.since(last.at) <= window {
            last.proof = SourceProof::Wrong;
            let sources = last.sources.clone();
            return self.withdraw(&sources, turn);
        }
        Vec::new()
    }

    fn failures_that_trip(&self) -> u32 {
        let trips = self.config.pools.iter().filter_map(|pool| pool.outlier_detection.as_ref());
        trips.map(|rule| rule.consecutive_failures).min().unwrap_or(1)
    }

    /// What these sources said counts for nothing.
    fn withdraw(&mut self, sources: &[Source], turn: &mut Turn<'_>) -> Vec<StandingChange> {
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            endpoint.withdraw(sources, turn.now);
        }
        self.conclude_standings(turn.now)
    }

    /// The pool to go back to because it was left on evidence that was wrong: at once, or not at all.
    pub fn wrongly_left(&self, active: usize, now: MonoTime) -> Option<usize> {
        let last = self.single_source.as_ref().filter(|last| last.proof == SourceProof::Wrong)?;
        let soon = now.since(last.at) <= self.config.failover.confirm_window;
        let here = last.to.as_ref() == Some(&self.pools[active].name);
        let fits = |home: &usize| here && *home != active && self.available(*home) && !self.is_evacuated(*home);
        let home = self.index_of(&last.from).filter(fits)?;
        (soon && !self.ordered && self.pinned.is_none()).then_some(home)
    }

    /// The service is back on the pool that was left on wrong evidence.
    pub fn few_sources_undone(&mut self) {
        if let Some(last) = &mut self.single_source {
            last.proof = SourceProof::Undone;
        }
    }
}
