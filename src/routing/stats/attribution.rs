//! Sources and targets of failures: what the digest tells beside counts. Written only when an exchange fails, and for good answers of an
//! endpoint that has failed lately; a healthy endpoint costs a request one load.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{FailureReport, RequestTarget, Source, SourceTally};
use crate::time::MonoTime;

/// Reports kept for one digest.
const REPORTS: usize = 64;
/// Sources kept apart for one digest.
const SOURCES: usize = 64;
/// Witnesses of one silence that are kept.
const WITNESSES: usize = 16;
/// Good answers are counted by source for so long after a failure …
const WATCH: Duration = Duration::from_secs(10);
/// … and until there were so many of them …
const WATCH_ANSWERS: u32 = 20;
/// … but no longer than that.
const WATCH_MOST: Duration = Duration::from_secs(600);

/// The attributed evidence of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Attribution {
    /// Good answers are counted by source.
    watched: AtomicBool,
    /// … whether it has failed or not: the core asked for it.
    proving: AtomicBool,
    /// There is something for the next digest.
    dirty: AtomicBool,
    ledger: Mutex<SourceLedger>,
}

#[derive(Debug, Default)]
struct SourceLedger {
    reports: Vec<FailureReport>,
    by_source: Vec<SourceTally>,
    witnesses: Vec<(MonoTime, Source, RequestTarget)>,
    /// The newest streak that was reported of, and how often.
    streak: u32,
    in_streak: u32,
    last_failure: MonoTime,
    good_since: u32,
}

impl Attribution {
    /// Is a good answer to be told?
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// The core wants good answers by source, or does not any more.
    pub fn prove(&self, proving: bool) {
        if self.proving.swap(proving, Relaxed) != proving && proving {
            self.watched.store(true, Relaxed);
        }
    }

    /// A failed exchange is settled. Returns how many were reported of its streak.
    pub fn report(&self, report: FailureReport) -> u32 {
        let mut ledger = self.ledger();
        if ledger.streak != report.streak {
            (ledger.streak, ledger.in_streak) = (report.streak, 0);
        }
        ledger.in_streak = ledger.in_streak.saturating_add(1);
        if let Some(tally) = report.source.and_then(|source| ledger.tally(source)) {
            tally.count(&report);
        }
        (ledger.last_failure, ledger.good_since) = (ledger.last_failure.max(report.at), 0);
        ledger.keep(report);
        self.watched.store(true, Relaxed);
        self.dirty.store(true, Relaxed);
        ledger.in_streak
    }

    /// A good answer of a watched endpoint.
    pub fn good(&self, source: Source, now: MonoTime) {
        let mut ledger = self.ledger();
        if let Some(tally) = ledger.tally(source) {
            tally.good = tally.good.saturating_add(1);
        }
        ledger.good_since = ledger.good_since.saturating_add(1);
        let quiet = now.since(ledger.last_failure);
        let over = (quiet >= WATCH && ledger.good_since >= WATCH_ANSWERS) || quiet >= WATCH_MOST;
        if over && !self.proving.load(Relaxed) {
            self.watched.store(false, Relaxed);
        }
        self.dirty.store(true, Relaxed);
    }

    /// A request that waited for this endpoint since then was answered elsewhere.
    pub fn witness(&self, asked: MonoTime, source: Source, target: RequestTarget) {
        let mut ledger = self.ledger();
        if ledger.witnesses.len() >= WITNESSES {
            ledger.witnesses.remove(0);
        }
        ledger.witnesses.push((asked, source, target));
    }

    /// The sources and targets of those that waited since then: the first three sources, and how many targets (three at most).
    pub fn witnesses_since(&self, heard: MonoTime) -> ([Option<Source>; 3], u32) {
        let mut ledger = self.ledger();
        ledger.witnesses.retain(|(asked, ..)| *asked > heard);
        let mut sources = [None; 3];
        let mut targets: Vec<RequestTarget> = Vec::new();
        for (_, source, target) in &ledger.witnesses {
            if !sources.contains(&Some(*source))
                && let Some(free) = sources.iter_mut().find(|place| place.is_none())
            {
                *free = Some(*source);
            }
            if !targets.contains(target) {
                targets.push(*target);
            }
        }
        (sources, targets.len().min(3) as u32)
    }

    /// Everything since the last time.
    pub fn take(&self) -> (Vec<FailureReport>, Vec<SourceTally>) {
        if !self.dirty.load(Relaxed) || !self.dirty.swap(false, Relaxed) {
            return (Vec::new(), Vec::new());
        }
        let mut ledger = self.ledger();
        (std::mem::take(&mut ledger.reports), std::mem::take(&mut ledger.by_source))
    }

    fn ledger(&self) -> MutexGuard<'_, SourceLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceLedger {
    /// The tally of this source; `None`: too many are kept apart already.
    fn tally(&mut self, source: Source) -> Option<&mut SourceTally> {
        let known = self.by_source.iter().position(|tally| tally.source == source);
        if known.is_none() && self.by_source.len() < SOURCES {
            self.by_source.push(SourceTally::new(source));
            return self.by_source.last_mut();
        }
        known.map(|place| &mut self.by_source[place])
    }

    /// Keeps the report. Where there are many, it takes the place of another one of the source that has most.
    fn keep(&mut self, report: FailureReport) {
        if self.reports.len() < REPORTS {
            return self.reports.push(report);
        }
        let of = |source: Option<Source>| self.reports.iter().filter(|kept| kept.source == source).count();
        let most = self.reports.iter().map(|kept| kept.source).max_by_key(|source| of(*source));
        let newest = self.reports.iter().rposition(|kept| Some(kept.source) == most);
        if let Some(place) = newest {
            self.reports[place] = report;
        }
    }
}
