//! Whose failures they are: what the digest tells beside counts. Written only when an exchange fails, and for good answers of an
//! endpoint that has failed lately; a healthy endpoint costs a request one load.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{FailureReport, Moment, RequestTarget, Source};

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
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    reports: Vec<FailureReport>,
    good_by: Vec<(Source, u32)>,
    witnesses: Vec<(Moment, Source, RequestTarget)>,
    /// The newest streak that was reported of, and how often.
    streak: u32,
    in_streak: u32,
    last_failure: Moment,
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
        ledger.in_streak += 1;
        (ledger.last_failure, ledger.good_since) = (ledger.last_failure.max(report.at), 0);
        if ledger.reports.len() < REPORTS {
            ledger.reports.push(report);
        } else {
            // A sample: one more of the same replaces one, another source replaces any.
            let same = |old: &FailureReport| old.source == report.source && old.target == report.target;
            let place = ledger.reports.iter().position(same).unwrap_or(ledger.in_streak as usize % REPORTS);
            ledger.reports[place] = report;
        }
        self.watched.store(true, Relaxed);
        self.dirty.store(true, Relaxed);
        ledger.in_streak
    }

    /// A good answer of a watched endpoint.
    pub fn good(&self, source: Source, now: Moment) {
        let mut ledger = self.ledger();
        match ledger.good_by.iter().position(|(known, _)| *known == source) {
            Some(place) => ledger.good_by[place].1 = ledger.good_by[place].1.saturating_add(1),
            None if ledger.good_by.len() < SOURCES => ledger.good_by.push((source, 1)),
            None => {}
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
    pub fn witness(&self, asked: Moment, source: Source, target: RequestTarget) {
        let mut ledger = self.ledger();
        if ledger.witnesses.len() >= WITNESSES {
            ledger.witnesses.remove(0);
        }
        ledger.witnesses.push((asked, source, target));
    }

    /// The sources and targets of those that waited since then: the first three sources, and how many targets (three at most).
    pub fn witnesses_since(&self, heard: Moment) -> ([Option<Source>; 3], u32) {
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
    pub fn take(&self) -> (Vec<FailureReport>, Vec<(Source, u32)>) {
        if !self.dirty.load(Relaxed) || !self.dirty.swap(false, Relaxed) {
            return (Vec::new(), Vec::new());
        }
        let mut ledger = self.ledger();
        (std::mem::take(&mut ledger.reports), std::mem::take(&mut ledger.good_by))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
