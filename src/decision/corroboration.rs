//! Corroborated evidence: a failed exchange is about a client, a target and an endpoint, and convicts the endpoint only when the
//! others are excluded (`outlier_detection.evidence: corroborated`).
//!
//! The rule, for the failures that count: not those that fail everywhere, nor those of distrusted sources; an answer that asks to
//! come later, or a session hung up on, only from as many sources as are needed. The first row that fits decides:
//!
//! | failures in a row, without a good answer to any client in between | verdict |
//! |---|---|
//! | `consecutive_failures`, and a probe that began after the first of them failed | ejected |
//! | `consecutive_failures` of as many sources as are needed, for as long as that many good answers usually take (of the whole pool, if all of it fails; four times as long where most sources see none of it) | ejected |
//! | `consecutive_failures` of too few sources over three targets, each answered well elsewhere, for four times as long | ejected, one endpoint a pool |
//! | one target only, answered well elsewhere | held: it is about the target |
//! | twenty of too few sources over ten seconds, and nothing to compare them with | ejected |
//!
//! and in a window of ten seconds, good answers in between: at least `min_requests` exchanges over four seconds, failures at half of
//! the sources or more, and a share of failures, each source weighing the same, of `failure_rate`; or of a fifth, when nine of ten
//! of the failed requests were answered well elsewhere.
//!
//! As many sources as are needed: as many callers as the service has (client networks that it answered well in the last ten
//! minutes), three at most; three of any sources. A failed connect is about no client: as many of them as trip convict alone.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Elsewhere, FailureReport, Held, Mark, Source, SourceTally};
use super::{Cause, Digest, Failure};
use crate::config::OutlierDetection;
use crate::time::MonoTime;

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
/// … and where most sources of the window do not see it: so many times as long as usual (twenty good answers in a row that do not
/// come are no chance), and the longest.
const FEW_SEE_IT: u32 = 4;
const LONGEST_DOUBT_OF_FEW: Duration = Duration::from_secs(60);
/// Good answers are counted by source from the first failure on: so long that most sources have asked.
const RATE_TIME: Duration = Duration::from_secs(4);
/// The share of failures that is enough when the same requests are answered well elsewhere …
const CONTRASTED_RATE: f64 = 0.2;
/// … nine times in ten, of at least so many.
const CONTRASTS_NEEDED: u32 = 10;
/// So many failed requests of a source, compared with other endpoints, say something of what it asks for.
const FEW_COMPARISONS: u32 = 3;
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
    window: VecDeque<EvidenceSecond>,
    /// When the newest failing probe began; `None` after one that passed.
    probe_failed: Option<MonoTime>,
    /// What failed until then counts for nothing.
    absolved: MonoTime,
    /// It has given a good answer.
    proven: bool,
    /// When each reason why failures do not condemn was last said, by [`Held::ALL`].
    told: [Option<MonoTime>; Held::ALL.len()],
}

/// One second of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EvidenceSecond {
    begins: MonoTime,
    sources: Vec<SourceTally>,
}

/// What it asks for fails everywhere, as far as it was compared: most of its failures were, and failed there too.
fn fails_everywhere(tally: &SourceTally) -> bool {
    tally.failed_elsewhere >= FEW_COMPARISONS
        && tally.failed_elsewhere > tally.contrasts
        && tally.failed_elsewhere.saturating_mul(2) >= tally.failed
}

/// Enough to eject an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conviction {
    pub cause: Cause,
    /// For people.
    pub evidence: String,
    /// The sources, where they are one, or fewer than are needed; empty = it does not hang on who they are.
    pub few: Vec<Source>,
    /// How what they report failed.
    pub kinds: Vec<Failure>,
    /// One endpoint a pool may be ejected on this.
    pub once_a_pool: bool,
}

/// What the failures of an endpoint come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    Convicted(Conviction),
    Held(Held),
    /// Enough, if it is still so then.
    Later(MonoTime),
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
        seen: MonoTime,
        good_rate: f64,
        distrusts: impl Fn(Source) -> bool,
    ) {
        if digest.streak_number > self.number || (digest.good > 0 && digest.streak == 0) {
            self.number = self.number.max(digest.streak_number);
            self.streak.clear();
        }
        self.proven |= digest.good > 0;
        let mut step = self.step(seen);
        for tally in digest.by_source.iter().filter(|tally| !distrusts(tally.source) && seen > self.absolved) {
            step.tally(tally.source).add(tally);
        }
        let (number, absolved) = (self.number, self.absolved);
        let counts = |report: &&FailureReport| {
            report.at > absolved && report.streak == number && !report.source.is_some_and(&distrusts)
        };
        for report in digest.reports.iter().filter(counts) {
            if self.streak.is_empty() {
                self.usual = self.usual_time(rule, good_rate);
            }
            if self.streak.len() >= STREAK_REPORTS {
                self.streak.remove(STREAK_REPORTS / 2);
            }
            self.streak.push(*report);
        }
        self.keep_step(step);
    }

    /// How long as many good answers as convict usually take at this rate.
    fn usual_time(&self, rule: &OutlierDetection, good_rate: f64) -> Duration {
        let longest = LONGEST_DOUBT_OF_FEW / FEW_SEE_IT;
        if good_rate > 0.0 {
            let answers = f64::from(rule.consecutive_failures);
            return Duration::from_secs_f64((answers / good_rate).min(longest.as_secs_f64()));
        }
        // Where nothing good has ever come from it, there is nothing to wait for.
        if self.proven { longest } else { Duration::ZERO }
    }

    /// A probe ended. `failed`: when it began, if it failed and that is known.
    pub fn probed(&mut self, failed: Option<MonoTime>) {
        self.probe_failed = failed;
    }

    /// Has it failed since its last good answer?
    pub fn fails(&self) -> bool {
        !self.streak.is_empty()
    }

    /// A fresh start: what failed until then is explained or paid for, whenever it is reported.
    pub fn absolve(&mut self, at: MonoTime) {
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

    /// Is this reason to be told now? Each once in a while.
    pub fn tell(&mut self, held: Held, now: MonoTime) -> bool {
        let told = &mut self.told[held as usize];
        let tells = told.is_none_or(|at| now.since(at) >= TOLD_AGAIN);
        if tells {
            *told = Some(now);
        }
        tells
    }

    /// Was this reason told lately?
    pub fn has_told(&self, held: Held, now: MonoTime) -> bool {
        self.told[held as usize].is_some_and(|at| now.since(at) < 2 * TOLD_AGAIN)
    }

    // ---- conclusions ----------------------------------------------------------------------------------------------

    /// What the failures come to where the service answered so many sources lately. `failing`: endpoints of the pool, this one
    /// included, if all that are usable fail: then good answers of any of them would be an end of it.
    pub fn finding(&self, rule: &OutlierDetection, callers: u32, failing: u32, now: MonoTime) -> Finding {
        if self.streak.is_empty() && self.window.is_empty() {
            return Finding::Nothing;
        }
        let tallies = self.within_window(now);
        let lately: Vec<&FailureReport> =
            self.streak.iter().filter(|report| now.since(report.at) <= STREAK_TIME).collect();
        let trip = rule.consecutive_failures as usize;
        let in_a_row = match lately.len() >= trip {
            true => self.in_a_row(&lately, &tallies, trip, (callers, failing), now),
            false => Finding::Nothing,
        };
        if let Finding::Convicted(_) = in_a_row {
            return in_a_row;
        }
        // (One source's failures in a row can be part of a wider failure with good answers in between.)
        match self.rate(rule, &tallies, callers, now) {
            convicted @ Finding::Convicted(_) => convicted,
            rate if in_a_row == Finding::Nothing => rate,
            _ => in_a_row,
        }
    }

    fn in_a_row(
        &self,
        streak: &[&FailureReport],
        tallies: &[SourceTally],
        trip: usize,
        (callers, failing): (u32, u32),
        now: MonoTime,
    ) -> Finding {
        let needed = sources_needed(callers);
        let (counted, held) = counted(streak, tallies, needed);
        if let Some(finding) = self.row(&counted, tallies, trip, (callers, failing), now) {
            return finding;
        }
        // With nothing to compare with, also sessions that were hung up on count in the end.
        let lone: Vec<&FailureReport> = streak.iter().copied().filter(|r| is_uncompared(r, streak, tallies)).collect();
        let (Some(first), true) = (lone.first(), lone.len() >= LONE_FAILURES) else {
            return held.map_or(Finding::Nothing, Finding::Held);
        };
        match first.at.after(LONE_TIME) {
            due if due <= now => {
                let why = format!(" over {} s", now.since(first.at).as_secs());
                Finding::Convicted(conviction(&lone, distinct_sources(&lone), false, &why))
            }
            due => Finding::Later(due),
        }
    }

    /// The rows of failures in a row; `None`: none fits.
    fn row(
        &self,
        streak: &[&FailureReport],
        tallies: &[SourceTally],
        trip: usize,
        (callers, failing): (u32, u32),
        now: MonoTime,
    ) -> Option<Finding> {
        let first = streak.first().filter(|_| streak.len() >= trip)?;
        if self.probe_failed.is_some_and(|began| began > first.at) {
            return Some(Finding::Convicted(conviction(streak, Vec::new(), false, " and a probe")));
        }
        let sources = distinct_sources(streak);
        let connects = streak.iter().filter(|report| report.source.is_none()).count();
        let broad = connects >= trip || is_broad(streak, &sources, connects, sources_needed(callers));
        let contrasted = streak.iter().filter(|report| report.elsewhere == Elsewhere::Answered);
        let targets = distinct(contrasted.map(|report| report.target)).len();
        if !broad && targets < TARGETS_NEEDED {
            let one = targets == 1 && distinct(streak.iter().map(|report| report.target)).len() == 1;
            return (targets > 0).then_some(Finding::Held(if one { Held::OneTarget } else { Held::OneSource }));
        }
        // Have most sources seen none of it?
        let few_see_it = connects < trip && 2 * sources.len() < tallies.len().max(callers as usize);
        let doubt = match !broad || few_see_it {
            true => (self.usual * FEW_SEE_IT).min(LONGEST_DOUBT_OF_FEW),
            false => (self.usual / failing.max(1)).min(LONGEST_DOUBT),
        };
        let due = first.at.after(doubt);
        if due > now {
            return Some(Finding::Later(due));
        }
        Some(Finding::Convicted(match broad {
            true if connects >= trip || sources.len() > 1 => conviction(streak, Vec::new(), false, ""),
            true => conviction(streak, sources, false, ""),
            false => {
                let why = format!(" over {targets} targets, answered well elsewhere");
                conviction(streak, sources, true, &why)
            }
        }))
    }

    /// The share of failures, each source weighing the same.
    fn rate(&self, rule: &OutlierDetection, tallies: &[SourceTally], callers: u32, now: MonoTime) -> Finding {
        let Some(limit) = rule.failure_rate else { return Finding::Nothing };
        let fails = |tally: &&SourceTally| tally.failed > 0 && !fails_everywhere(tally);
        let failing: Vec<&SourceTally> = tallies.iter().filter(fails).collect();
        let exchanges: u64 = tallies.iter().map(SourceTally::exchanges).sum();
        let lasts = self.window.front().map_or(Duration::ZERO, |step| now.since(step.begins));
        if failing.is_empty() || exchanges < u64::from(rule.min_requests.max(1)) || lasts < RATE_TIME {
            return Finding::Nothing;
        }
        let contrasts = tallies.iter().fold(0u32, |sum, tally| sum.saturating_add(tally.contrasts));
        let failed_elsewhere = tallies.iter().fold(0u32, |sum, tally| sum.saturating_add(tally.failed_elsewhere));
        let share = |tally: &&SourceTally| f64::from(tally.failed) / tally.exchanges().max(1) as f64;
        let rate = failing.iter().map(share).sum::<f64>() / tallies.len().max(1) as f64;
        let contrasted = contrasts >= CONTRASTS_NEEDED && contrasts / 9 >= failed_elsewhere;
        if rate < limit && !(contrasted && rate >= CONTRASTED_RATE.min(limit)) {
            return Finding::Nothing;
        }
        let needed = sources_needed(callers);
        let known = failing.iter().filter(|tally| tally.caller).count() as u32;
        let broad = known >= needed || failing.len() as u32 >= SOURCES_NEEDED;
        // Of callers that have not asked lately nothing is known: then more than half of the others must see it.
        let most = match 2 * failing.len() < callers as usize {
            true => 3 * failing.len() >= 2 * tallies.len(),
            false => 2 * failing.len() >= tallies.len(),
        };
        if !broad || !most {
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
        let few = if failing.len() == 1 { vec![failing[0].source] } else { Vec::new() };
        Finding::Convicted(Conviction {
            cause: Cause::FailureRate,
            evidence,
            few,
            kinds: distinct(self.streak.iter().map(|report| report.kind)),
            once_a_pool: false,
        })
    }

    // ---- the window -----------------------------------------------------------------------------------------------

    fn step(&mut self, seen: MonoTime) -> EvidenceSecond {
        match self.window.back() {
            Some(step) if seen < step.begins.after(STEP) => self.window.pop_back(),
            _ => None,
        }
        .unwrap_or(EvidenceSecond { begins: seen, sources: Vec::new() })
    }

    fn keep_step(&mut self, step: EvidenceSecond) {
        let now = step.begins;
        if step.sources.is_empty() {
            return;
        }
        self.window.push_back(step);
        let kept = self.lately(now).count();
        self.window.drain(..self.window.len() - kept);
    }

    /// The steps of the last ten seconds, and older ones up to the last twenty exchanges of ten minutes, newest first.
    fn lately(&self, now: MonoTime) -> impl Iterator<Item = &EvidenceSecond> {
        let mut newer = 0;
        self.window.iter().rev().take_while(move |step| {
            let age = now.since(step.begins);
            let counts = age < OutlierDetection::WINDOW || (newer < WINDOW_EXCHANGES && age <= STREAK_TIME);
            newer += step.exchanges();
            counts
        })
    }

    /// What happened [lately](Corroboration::lately), by source.
    fn within_window(&self, now: MonoTime) -> Vec<SourceTally> {
        let mut sum = EvidenceSecond { begins: now, sources: Vec::new() };
        for tally in self.lately(now).flat_map(|step| &step.sources) {
            sum.tally(tally.source).add(tally);
        }
        sum.sources
    }
}

impl EvidenceSecond {
    /// The tally of this source; where too many are kept apart already, it shares the last one's.
    fn tally(&mut self, source: Source) -> &mut SourceTally {
        let known = self.sources.iter().position(|tally| tally.source == source);
        let place = known.unwrap_or_else(|| {
            if self.sources.len() < STEP_SOURCES {
                self.sources.push(SourceTally::new(source));
            }
            self.sources.len() - 1
        });
        &mut self.sources[place]
    }

    fn exchanges(&self) -> u64 {
        self.sources.iter().map(SourceTally::exchanges).sum()
    }
}

/// Is this report about what its request asks for, and not about the endpoint? Failed elsewhere too, as the newest comparison of
/// its source and target says, or most of what its source asks for.
fn is_own(report: &FailureReport, streak: &[&FailureReport], tallies: &[SourceTally]) -> bool {
    let compared = |other: &FailureReport| matches!(other.elsewhere, Elsewhere::Answered | Elsewhere::Failed);
    let alike =
        |other: &&&FailureReport| other.source == report.source && other.target == report.target && compared(other);
    let newest = streak.iter().rev().find(alike).map(|other| other.elsewhere);
    let tally = tallies.iter().find(|tally| report.source == Some(tally.source));
    let own = match report.elsewhere {
        Elsewhere::Failed => true,
        Elsewhere::Known => newest != Some(Elsewhere::Answered),
        Elsewhere::Unknown => newest == Some(Elsewhere::Failed),
        Elsewhere::Answered => false,
    };
    own || tally.is_some_and(fails_everywhere)
}

/// There is nothing that it could be compared with.
fn is_uncompared(report: &FailureReport, streak: &[&FailureReport], tallies: &[SourceTally]) -> bool {
    report.elsewhere != Elsewhere::Answered && report.mark != Mark::RetryLater && !is_own(report, streak, tallies)
}

/// The reports that count, and why others do not.
fn counted<'r>(
    streak: &[&'r FailureReport],
    tallies: &[SourceTally],
    needed: u32,
) -> (Vec<&'r FailureReport>, Option<Held>) {
    let enough = |mark: Mark, needed: u32| {
        let marked = streak.iter().filter(|report| report.mark == mark);
        distinct(marked.filter_map(|report| report.source)).len() >= needed as usize
    };
    let (later, hung_up) = (enough(Mark::RetryLater, needed), enough(Mark::HungUp, needed.max(2)));
    let mut held = None;
    let counts = |report: &&FailureReport| {
        let why = match report.mark {
            _ if is_own(report, streak, tallies) => Some(Held::FailsEverywhere),
            Mark::RetryLater if !later => Some(Held::RetryLater),
            Mark::HungUp if !hung_up => Some(Held::HungUp),
            _ => None,
        };
        held = held.or(why);
        why.is_none()
    };
    let counted: Vec<&FailureReport> = streak.iter().copied().filter(counts).collect();
    let held = held.or_else(|| (!counted.is_empty()).then_some(Held::OneSource));
    (counted, held)
}

/// Does it come from as many callers as are needed, or from so many sources that it does not matter who they are? Failed connects
/// together are one more source.
fn is_broad(streak: &[&FailureReport], sources: &[Source], connects: usize, needed: u32) -> bool {
    let callers = distinct(streak.iter().filter(|report| report.caller).filter_map(|report| report.source));
    let all = sources.len() + usize::from(connects > 0);
    callers.len() >= needed as usize || all >= SOURCES_NEEDED as usize
}

fn distinct_sources(streak: &[&FailureReport]) -> Vec<Source> {
    distinct(streak.iter().filter_map(|report| report.source))
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn conviction(streak: &[&FailureReport], few: Vec<Source>, once_a_pool: bool, why: &str) -> Conviction {
    Conviction {
        cause: Cause::Consecutive,
        evidence: format!("{} failures in a row{why}, {}", streak.len(), origin(streak)),
        few,
        kinds: distinct(streak.iter().map(|report| report.kind)),
        once_a_pool,
    }
}

/// For people: where the reports come from.
fn origin(streak: &[&FailureReport]) -> String {
    match distinct_sources(streak).as_slice() {
        [] => "all of them connects".to_owned(),
        [source] if streak.iter().all(|report| report.source.is_some()) => format!("all from {source}"),
        sources => format!("from {} sources", sources.len()),
    }
}
