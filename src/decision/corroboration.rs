//! Corroborated evidence: a failed exchange is about a client, a target and an endpoint, and convicts the endpoint only when the
//! others are excluded (`outlier_detection.evidence: corroborated`).
//!
//! The rule, for the failures that count (not the ones that fail everywhere, nor those of distrusted sources; an answer that
//! asks to come later, or a session hung up on, only from as many sources as are needed). The first row that fits decides:
//!
//! | failures in a row, without a good answer to any client in between | verdict |
//! |---|---|
//! | `consecutive_failures`, and a probe that began after the first of them failed | ejected |
//! | `consecutive_failures` from as many sources as are needed, for as long as that many good answers usually take (four times as long where most sources of the window see none of it) | ejected |
//! | `consecutive_failures` from one source over three targets, each answered well elsewhere | ejected, one endpoint a pool |
//! | one target only, answered well elsewhere | held: it is about the target |
//! | twenty from too few sources over ten seconds, and nothing to compare with | ejected |
//!
//! and in a window of ten seconds, good answers in between: at least `min_requests` exchanges, failures at half of the sources or
//! more, and a share of failures, each source weighing the same, of `failure_rate`; or of a fifth of that many, when nine of ten
//! of the failed requests were answered well elsewhere.
//!
//! As many sources as are needed: as many as the service answered well lately, three at most; three before it answered any.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Elsewhere, FailureReport, Held, Mark, Source};
use super::{Cause, Digest, Moment};
use crate::config::OutlierDetection;

/// Sources that convict whatever the service's clientele is.
const SOURCES_NEEDED: u32 = 3;
/// Targets over which one source's failures are about the endpoint.
const TARGETS_NEEDED: usize = 3;
/// Failures in a row of too few sources that convict when there is nothing to compare them with …
const LONE_FAILURES: usize = 20;
/// … and the time over which they must last.
const LONE_TIME: Duration = Duration::from_secs(10);
/// Failures in a row older than this are forgotten.
const STREAK_TIME: Duration = Duration::from_secs(600);
/// Reports kept of one streak: the oldest, and the newest.
const STREAK_REPORTS: usize = 64;
/// The longest time that a streak must last where good answers are rare …
const LONGEST_DOUBT: Duration = Duration::from_secs(1);
/// … and where most sources of the window do not see it: so many times as long as usual (sixteen good answers in a row that do not
/// come are no chance), and the longest.
const FEW_SEE_IT: u32 = 4;
const LONGEST_DOUBT_OF_FEW: Duration = Duration::from_secs(10);
/// Good answers are counted by source from the first failure on: so long that most sources have asked.
const RATE_TIME: Duration = Duration::from_secs(4);
/// The share of failures that is enough when the same requests are answered well elsewhere …
const CONTRASTED_RATE: f64 = 0.2;
/// So many failed requests of a source, compared with other endpoints, say something of what it asks for.
const FEW_COMPARISONS: u32 = 3;
/// … nine times in ten, of at least so many.
const CONTRASTS_NEEDED: u32 = 10;
/// Exchanges of the window below which older ones count too.
const WINDOW_EXCHANGES: u64 = 20;
/// Why failures do not condemn is said again after so long.
const TOLD_AGAIN: Duration = Duration::from_secs(10);
/// The window is counted in steps of this length.
const STEP: Duration = Duration::from_secs(1);
/// Sources kept apart in one step.
const STEP_SOURCES: usize = 64;

/// The evidence of one endpoint, by who reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Corroboration {
    /// The streak that `streak` belongs to.
    number: u32,
    /// Failures without a good answer in between, oldest first.
    streak: Vec<FailureReport>,
    /// How long as many good answers as convict usually take here; as known when the streak began.
    usual: Duration,
    window: VecDeque<Step>,
    /// When the newest failing probe began; `None` after one that passed.
    probe_failed: Option<Moment>,
    /// What failed until then counts for nothing.
    absolved: Moment,
    /// Why failures were last said not to condemn, and when.
    told: Option<(Held, Moment)>,
}

/// One second of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    begins: Moment,
    sources: Vec<Tally>,
}

/// What one source saw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Tally {
    source: Source,
    good: u32,
    failed: u32,
    /// Failed requests that were answered well elsewhere, and those that failed there too.
    contrasts: u32,
    failed_elsewhere: u32,
}

impl Tally {
    fn exchanges(&self) -> u64 {
        u64::from(self.good) + u64::from(self.failed)
    }

    fn add(&mut self, other: &Tally) {
        self.good = self.good.saturating_add(other.good);
        self.failed = self.failed.saturating_add(other.failed);
        self.contrasts = self.contrasts.saturating_add(other.contrasts);
        self.failed_elsewhere = self.failed_elsewhere.saturating_add(other.failed_elsewhere);
    }

    /// What it asks for fails everywhere, as far as it was compared.
    fn fails_everywhere(&self) -> bool {
        self.failed_elsewhere >= FEW_COMPARISONS && self.failed_elsewhere > self.contrasts
    }
}

/// Enough to eject an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conviction {
    pub cause: Cause,
    /// For people.
    pub evidence: String,
    /// All reports come from this source; `None` = from several, or the failures are about no client.
    pub only_source: Option<Source>,
    /// One endpoint a pool may be ejected on this.
    pub once_a_pool: bool,
}

/// What the failures of an endpoint come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    Convicted(Conviction),
    Held(Held),
    Nothing,
}

/// How many sources convict where the service answered so many lately.
pub(super) fn sources_needed(callers: u32) -> u32 {
    if callers == 0 { SOURCES_NEEDED } else { callers.min(SOURCES_NEEDED) }
}

impl Corroboration {
    /// Count one digest. `good_rate`: good answers a second lately; `distrusts`: sources whose reports count for nothing.
    pub fn fold(
        &mut self,
        rule: &OutlierDetection,
        digest: &Digest,
        seen: Moment,
        good_rate: f64,
        distrusts: impl Fn(Source) -> bool,
    ) {
        if digest.streak_number > self.number || (digest.good > 0 && digest.streak == 0) {
            self.number = self.number.max(digest.streak_number);
            self.streak.clear();
        }
        let mut step = self.step(seen);
        for (source, good) in digest.good_by.iter().filter(|(source, _)| !distrusts(*source)) {
            step.tally(*source).good += good;
        }
        for report in digest.reports.iter().filter(|report| report.at > self.absolved) {
            if report.source.is_some_and(&distrusts) {
                continue;
            }
            if let Some(source) = report.source {
                let tally = step.tally(source);
                tally.failed += u32::from(report.elsewhere != Elsewhere::Failed);
                tally.contrasts += u32::from(report.elsewhere == Elsewhere::Answered);
                tally.failed_elsewhere += u32::from(report.elsewhere == Elsewhere::Failed);
            }
            if report.streak == self.number {
                if self.streak.is_empty() {
                    let answers = f64::from(rule.consecutive_failures);
                    let usual = if good_rate > 0.0 { answers / good_rate } else { 0.0 };
                    self.usual = Duration::from_secs_f64(usual.min(LONGEST_DOUBT_OF_FEW.as_secs_f64()));
                }
                if self.streak.len() >= STREAK_REPORTS {
                    self.streak.remove(STREAK_REPORTS / 2);
                }
                self.streak.push(*report);
            }
        }
        self.keep_step(step);
    }

    /// A probe ended. `began`: when, if it failed.
    pub fn probed(&mut self, failed: Option<Moment>) {
        self.probe_failed = failed;
    }

    /// Has it failed since its last good answer?
    pub fn fails(&self) -> bool {
        !self.streak.is_empty()
    }

    /// A fresh start: what failed until then is explained or paid for, whenever it is reported.
    pub fn absolve(&mut self, at: Moment) {
        self.absolved = self.absolved.max(at);
        self.streak.clear();
        self.window.clear();
    }

    /// What this source said counts for nothing from now on.
    pub fn distrust(&mut self, source: Source) {
        self.streak.retain(|report| report.source != Some(source));
        for step in &mut self.window {
            step.sources.retain(|tally| tally.source != source);
        }
    }

    /// A connect was answered: connects that failed before it are no streak any more.
    pub fn accepts(&mut self) {
        self.streak.retain(|report| report.source.is_some());
    }

    /// For people: the failures in a row.
    pub fn describe(&self) -> String {
        let streak: Vec<&FailureReport> = self.streak.iter().collect();
        format!("{} failures in a row, {}", streak.len(), origin(&streak))
    }

    /// Is this reason to be told now? Once in a while, unless it is another one.
    pub fn tell(&mut self, held: Held, now: Moment) -> bool {
        let said = self.told.is_some_and(|(before, at)| before == held && now.since(at) < TOLD_AGAIN);
        if !said {
            self.told = Some((held, now));
        }
        !said
    }

    // ---- conclusions ----------------------------------------------------------------------------------------------

    /// What the failures come to where the service answered so many sources lately.
    pub fn finding(&self, rule: &OutlierDetection, callers: u32, now: Moment) -> Finding {
        let needed = sources_needed(callers);
        let lately: Vec<&FailureReport> =
            self.streak.iter().filter(|report| now.since(report.at) <= STREAK_TIME).collect();
        let trip = rule.consecutive_failures as usize;
        if lately.len() < trip {
            return self.rate(rule, needed, now);
        }
        let (counted, held) = self.counted(&lately, needed, now);
        let in_a_row = self.in_a_row(&counted, trip, callers, now);
        match in_a_row {
            Finding::Nothing => match self.rate(rule, needed, now) {
                Finding::Nothing => held.map_or(Finding::Nothing, Finding::Held),
                found => found,
            },
            // (One source's failures in a row can be part of a wider failure with good answers in between.)
            Finding::Held(held) => match self.rate(rule, needed, now) {
                Finding::Convicted(conviction) => Finding::Convicted(conviction),
                _ => Finding::Held(held),
            },
            convicted => convicted,
        }
    }

    fn in_a_row(&self, streak: &[&FailureReport], trip: usize, callers: u32, now: Moment) -> Finding {
        let Some(first) = streak.first().filter(|_| streak.len() >= trip) else { return Finding::Nothing };
        let lasts = now.since(first.at);
        let convicted = |once_a_pool, why: &str| {
            Finding::Convicted(Conviction {
                cause: Cause::Consecutive,
                evidence: format!("{} failures in a row{why}, {}", streak.len(), origin(streak)),
                only_source: only_source(streak),
                once_a_pool,
            })
        };
        if self.probe_failed.is_some_and(|began| began > first.at) {
            return convicted(false, " and a probe");
        }
        let broad = is_broad(streak, sources_needed(callers));
        let doubt = match !broad || self.few_see_it(streak, callers, now) {
            true => (self.usual * FEW_SEE_IT).min(LONGEST_DOUBT_OF_FEW),
            false => self.usual.min(LONGEST_DOUBT),
        };
        if lasts < doubt {
            return if broad { Finding::Nothing } else { Finding::Held(Held::OneSource) };
        }
        if broad {
            return convicted(false, "");
        }
        let contrasted = streak.iter().filter(|report| report.elsewhere == Elsewhere::Answered);
        let targets = distinct(contrasted.map(|report| report.target));
        match targets {
            0 if streak.len() >= LONE_FAILURES && lasts >= LONE_TIME => {
                convicted(false, &format!(" over {} s", lasts.as_secs()))
            }
            0 => Finding::Held(Held::OneSource),
            _ if targets >= TARGETS_NEEDED => {
                convicted(true, &format!(" over {targets} targets, answered well elsewhere"))
            }
            _ if distinct(streak.iter().map(|report| report.target)) == 1 => Finding::Held(Held::OneTarget),
            _ => Finding::Held(Held::OneSource),
        }
    }

    /// The reports that count, and why others do not.
    fn counted<'r>(
        &self,
        streak: &[&'r FailureReport],
        needed: u32,
        now: Moment,
    ) -> (Vec<&'r FailureReport>, Option<Held>) {
        let enough = |mark: Mark, needed: u32| {
            let marked = streak.iter().filter(|report| report.mark == mark);
            distinct(marked.filter_map(|report| report.source)) >= needed as usize
        };
        let (later, hung_up) = (enough(Mark::RetryLater, needed), enough(Mark::HungUp, needed.max(2)));
        let tallies = self.within_window(now);
        let own = |report: &FailureReport| {
            let tally = tallies.iter().find(|tally| report.source == Some(tally.source));
            report.elsewhere == Elsewhere::Failed || tally.is_some_and(Tally::fails_everywhere)
        };
        let mut held = None;
        let counts = |report: &&FailureReport| {
            let why = match report.mark {
                _ if own(report) => Some(Held::FailsEverywhere),
                Mark::RetryLater if !later => Some(Held::RetryLater),
                Mark::HungUp if !hung_up => Some(Held::HungUp),
                _ => None,
            };
            held = held.or(why);
            why.is_none()
        };
        let counted = streak.iter().copied().filter(counts).collect();
        (counted, held)
    }

    /// Have most sources seen none of it?
    fn few_see_it(&self, streak: &[&FailureReport], callers: u32, now: Moment) -> bool {
        let connects = streak.iter().any(|report| report.source.is_none());
        let see_it = distinct(streak.iter().filter_map(|report| report.source));
        !connects && 2 * see_it < self.within_window(now).len().max(callers as usize)
    }

    /// The share of failures, each source weighing the same.
    fn rate(&self, rule: &OutlierDetection, needed: u32, now: Moment) -> Finding {
        let Some(limit) = rule.failure_rate else { return Finding::Nothing };
        let tallies = self.within_window(now);
        let exchanges: u64 = tallies.iter().map(Tally::exchanges).sum();
        let contrasts: u32 = tallies.iter().map(|tally| tally.contrasts).sum();
        let failed_elsewhere: u32 = tallies.iter().map(|tally| tally.failed_elsewhere).sum();
        let lasts = self.window.front().map_or(Duration::ZERO, |step| now.since(step.begins));
        if exchanges < u64::from(rule.min_requests.max(1)) || lasts < RATE_TIME {
            return Finding::Nothing;
        }
        let failing: Vec<&Tally> =
            tallies.iter().filter(|tally| tally.failed > 0 && !tally.fails_everywhere()).collect();
        let share = |tally: &&Tally| f64::from(tally.failed) / tally.exchanges().max(1) as f64;
        let rate = failing.iter().map(share).sum::<f64>() / tallies.len().max(1) as f64;
        let contrasted = contrasts >= CONTRASTS_NEEDED && contrasts >= 9 * failed_elsewhere;
        let enough = rate >= limit || (contrasted && rate >= CONTRASTED_RATE.min(limit));
        if !enough || failing.is_empty() {
            return Finding::Nothing;
        }
        if (failing.len() as u32) < needed || 2 * failing.len() < tallies.len() {
            return Finding::Held(Held::OneSource);
        }
        let mut evidence = format!(
            "{:.0} % of {exchanges} exchanges failed, at {} of {} sources",
            rate * 100.0,
            failing.len(),
            tallies.len()
        );
        if contrasted {
            evidence += &format!("; {contrasts} of them were answered well elsewhere");
        }
        let only_source = failing.first().filter(|_| failing.len() == 1).map(|tally| tally.source);
        Finding::Convicted(Conviction { cause: Cause::FailureRate, evidence, only_source, once_a_pool: false })
    }

    // ---- the window -----------------------------------------------------------------------------------------------

    fn step(&mut self, seen: Moment) -> Step {
        match self.window.back() {
            Some(step) if seen < step.begins.after(STEP) => self.window.pop_back(),
            _ => None,
        }
        .unwrap_or(Step { begins: seen, sources: Vec::new() })
    }

    fn keep_step(&mut self, step: Step) {
        let now = step.begins;
        if step.sources.is_empty() {
            return;
        }
        self.window.push_back(step);
        let mut newer: u64 = 0;
        let mut kept = self.window.len();
        for step in self.window.iter().rev() {
            let old = now.since(step.begins) >= OutlierDetection::WINDOW;
            if (old && newer >= WINDOW_EXCHANGES) || now.since(step.begins) > STREAK_TIME {
                kept -= 1;
                continue;
            }
            newer += step.exchanges();
        }
        self.window.drain(..self.window.len() - kept);
    }

    /// The last ten seconds, and at least the last twenty exchanges of ten minutes, by source.
    fn within_window(&self, now: Moment) -> Vec<Tally> {
        let mut sum = Step { begins: now, sources: Vec::new() };
        let mut exchanges = 0;
        for step in self.window.iter().rev() {
            let old = now.since(step.begins) >= OutlierDetection::WINDOW;
            if (old && exchanges >= WINDOW_EXCHANGES) || now.since(step.begins) > STREAK_TIME {
                break;
            }
            exchanges += step.exchanges();
            for tally in &step.sources {
                sum.tally(tally.source).add(tally);
            }
        }
        sum.sources
    }
}

impl Step {
    /// The tally of this source; where too many are kept apart already, it shares the last one's.
    fn tally(&mut self, source: Source) -> &mut Tally {
        let known = self.sources.iter().position(|tally| tally.source == source);
        let place = known.unwrap_or_else(|| {
            if self.sources.len() < STEP_SOURCES {
                self.sources.push(Tally { source, good: 0, failed: 0, contrasts: 0, failed_elsewhere: 0 });
            }
            self.sources.len() - 1
        });
        &mut self.sources[place]
    }

    fn exchanges(&self) -> u64 {
        self.sources.iter().map(Tally::exchanges).sum()
    }
}

/// Does it come from as many sources as are needed? A failed connect is about no client.
fn is_broad(streak: &[&FailureReport], needed: u32) -> bool {
    streak.iter().any(|report| report.source.is_none())
        || distinct(streak.iter().filter_map(|report| report.source)) >= needed as usize
}

fn only_source(streak: &[&FailureReport]) -> Option<Source> {
    let first = streak.first()?.source;
    first.filter(|_| streak.iter().all(|report| report.source == first))
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> usize {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len()
}

/// For people: where the reports come from.
fn origin(streak: &[&FailureReport]) -> String {
    match only_source(streak) {
        Some(source) => format!("all from {source}"),
        None => match distinct(streak.iter().filter_map(|report| report.source)) {
            0 => "all of them connects".to_owned(),
            sources => format!("from {sources} sources"),
        },
    }
}
