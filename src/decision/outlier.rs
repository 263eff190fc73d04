//! What real traffic says about one endpoint: failures in a row, the failure rate of a window, and ejections that grow.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::corroboration::{Conviction, Finding};
use super::{Cause, Digest};
use crate::config::OutlierDetection;
use crate::time::MonoTime;

/// The window is counted in steps of this length.
const STEP: Duration = Duration::from_secs(1);

/// Evidence from real traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outlier {
    /// Failures in a row, counted from the last time the endpoint was given a fresh start.
    pub streak: u32,
    /// When the first of them was seen.
    pub streak_since: MonoTime,
    /// How the last exchange ended; `None` = there was none.
    pub last_good: Option<bool>,
    /// Exchanges of the last [`OutlierDetection::WINDOW`], oldest first.
    window: VecDeque<OutlierStep>,
    /// When the newest digest counted was taken.
    newest: MonoTime,
    /// Ejections without a long clean time between them.
    ejections: u32,
    /// When it last came back from an ejection.
    restored: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct OutlierStep {
    begins: MonoTime,
    good: u32,
    failed: u32,
}

impl Outlier {
    /// Count one digest.
    pub fn fold(&mut self, digest: &Digest, seen: MonoTime) {
        let failed = digest.failed.total();
        self.count(digest.good, failed, seen);
        if seen < self.newest || digest.good + failed == 0 {
            return; // a late one says nothing about how things stand now
        }
        self.newest = seen;
        self.last_good = Some(digest.streak == 0);
        let before = if digest.good == 0 { self.streak } else { 0 };
        let streak = digest.streak.min(before.saturating_add(failed));
        if streak > 0 && before == 0 {
            self.streak_since = if streak == digest.streak { digest.streak_since.min(seen) } else { seen };
        }
        self.streak = streak;
    }

    fn count(&mut self, good: u32, failed: u32, seen: MonoTime) {
        self.forget(seen);
        match self.window.back_mut() {
            Some(step) if seen < step.begins.after(STEP) => {
                step.good = step.good.saturating_add(good);
                step.failed = step.failed.saturating_add(failed);
            }
            _ => self.window.push_back(OutlierStep { begins: seen, good, failed }),
        }
    }

    fn forget(&mut self, now: MonoTime) {
        while self.window.front().is_some_and(|step| now.since(step.begins) >= OutlierDetection::WINDOW) {
            self.window.pop_front();
        }
    }

    /// Good answers a second, lately.
    pub fn good_rate(&self, now: MonoTime) -> f64 {
        let Some(first) = self.window.front() else { return 0.0 };
        let (good, _) = self.within_window(now);
        good as f64 / now.since(first.begins).max(STEP).as_secs_f64()
    }

    /// What any evidence comes to.
    pub fn finding(&self, rule: &OutlierDetection, now: MonoTime) -> Finding {
        let conviction = |cause| Conviction {
            cause,
            evidence: self.describe(cause, now),
            few: Vec::new(),
            kinds: Vec::new(),
            once_a_pool: false,
        };
        self.tripped(rule, now).map_or(Finding::Nothing, |cause| Finding::Convicted(conviction(cause)))
    }

    /// Does it condemn the endpoint?
    fn tripped(&self, rule: &OutlierDetection, now: MonoTime) -> Option<Cause> {
        if self.streak >= rule.consecutive_failures {
            return Some(Cause::Consecutive);
        }
        let (good, failed) = self.within_window(now);
        let enough = good + failed >= u64::from(rule.min_requests.max(1));
        let rate = failed as f64 / (good + failed).max(1) as f64;
        rule.failure_rate.is_some_and(|limit| enough && rate >= limit).then_some(Cause::FailureRate)
    }

    fn within_window(&self, now: MonoTime) -> (u64, u64) {
        let fresh = self.window.iter().filter(|step| now.since(step.begins) < OutlierDetection::WINDOW);
        fresh.fold((0, 0), |(good, failed), step| (good + u64::from(step.good), failed + u64::from(step.failed)))
    }

    /// The next ejection begins: how long does it last?
    pub fn eject(&mut self, rule: &OutlierDetection, now: MonoTime) -> Duration {
        if self.restored.take().is_some_and(|restored| now.since(restored) > rule.max_ejection) {
            self.ejections = 0; // long ago: no longer the same trouble
        }
        self.ejections = self.ejections.saturating_add(1);
        rule.base_ejection.saturating_mul(self.ejections).min(rule.max_ejection)
    }

    /// A fresh start: what was counted is explained or paid for.
    pub fn absolve(&mut self) {
        self.streak = 0;
        self.window.clear();
    }

    /// It comes back from an ejection.
    pub fn restore(&mut self, now: MonoTime) {
        self.restored = Some(now);
    }

    /// For people.
    fn describe(&self, cause: Cause, now: MonoTime) -> String {
        match cause {
            Cause::Consecutive => format!("{} failures in a row", self.streak),
            _ => {
                let (good, failed) = self.within_window(now);
                format!(
                    "{failed} of {} exchanges failed within {} s",
                    good + failed,
                    OutlierDetection::WINDOW.as_secs()
                )
            }
        }
    }
}
