//! What out-of-band probes say about one endpoint: streaks against `fall` and `rise`.

use serde::{Deserialize, Serialize};

use super::{ProbeFailure, ProbeOutcome};
use crate::config::HealthCheck;
use crate::time::MonoTime;

/// The checks' own opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckVerdict {
    /// No probe has answered yet.
    Unknown,
    /// Good enough to take traffic; also when there is no check.
    Green,
    /// Condemned.
    Red,
}

/// Streaks of one endpoint's probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CheckStreaks {
    pub verdict: CheckVerdict,
    /// Good probes in a row.
    pub passes: u32,
    /// Bad probes in a row.
    pub fails: u32,
    /// It has been green before: from now on `rise` counts.
    proven: bool,
    /// When the newest probe counted was seen; an older one that comes late says nothing.
    newest: MonoTime,
    /// The last failure, for people.
    pub detail: String,
}

impl CheckStreaks {
    /// Before the first probe; without a check an endpoint is taken as green.
    pub fn new(check: Option<&HealthCheck>) -> CheckStreaks {
        let verdict = if check.is_some() { CheckVerdict::Unknown } else { CheckVerdict::Green };
        CheckStreaks { verdict, passes: 0, fails: 0, proven: false, newest: MonoTime::ZERO, detail: String::new() }
    }

    /// Another check asks from now on: what it found so far stands, the streaks begin again.
    pub fn replace(&mut self, check: Option<&HealthCheck>) {
        self.passes = 0;
        self.fails = 0;
        if check.is_none() {
            self.verdict = CheckVerdict::Green;
        }
        self.proven |= self.verdict == CheckVerdict::Green;
    }

    /// Count one probe, unless it comes late. A local error does not count. `eager`: one good probe is enough.
    pub fn fold(&mut self, check: &HealthCheck, outcome: &ProbeOutcome, seen: MonoTime, eager: bool) -> bool {
        if seen < self.newest {
            return false;
        }
        match outcome {
            ProbeOutcome::Pass { .. } => self.pass(check, eager),
            ProbeOutcome::Fail { kind, detail } => self.fail(check, *kind, detail),
            ProbeOutcome::Local { .. } => return false,
        }
        self.newest = seen;
        true
    }

    fn pass(&mut self, check: &HealthCheck, eager: bool) {
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        // Its very first good probe is enough: nothing has spoken against it yet that must be outweighed.
        let needed = if self.proven && !eager { check.rise } else { 1 };
        if self.verdict != CheckVerdict::Green && self.passes >= needed {
            self.verdict = CheckVerdict::Green;
            self.proven = true;
        }
    }

    fn fail(&mut self, check: &HealthCheck, kind: ProbeFailure, detail: &str) {
        self.passes = 0;
        self.fails = self.fails.saturating_add(1);
        self.detail = if detail.is_empty() { say(kind).to_owned() } else { format!("{}: {detail}", say(kind)) };
        let needed = if self.verdict == CheckVerdict::Unknown { 1 } else { check.fall };
        if self.fails >= needed {
            self.verdict = CheckVerdict::Red;
        }
    }

    /// Between two opinions: probes run at the fast pace.
    pub fn in_transition(&self, check: &HealthCheck) -> bool {
        match self.verdict {
            CheckVerdict::Unknown => true,
            CheckVerdict::Green => self.fails > 0,
            CheckVerdict::Red => self.passes > 0 || self.is_tentative(check),
        }
    }

    /// Red by fewer than `fall` probes, because it has never been green.
    fn is_tentative(&self, check: &HealthCheck) -> bool {
        self.verdict == CheckVerdict::Red && !self.proven && self.fails < check.fall
    }

    /// Neither green nor refuted by `fall` failed probes.
    pub fn is_unsettled(&self, check: Option<&HealthCheck>) -> bool {
        self.verdict == CheckVerdict::Unknown || check.is_some_and(|check| self.is_tentative(check))
    }

    /// Green by a whole streak that began after it was last forgotten ([`CheckStreaks::doubt`]).
    pub fn reassures(&self, check: Option<&HealthCheck>, eager: bool) -> bool {
        let needed = |check: &HealthCheck| if eager { 1 } else { check.rise };
        self.verdict == CheckVerdict::Green && check.is_none_or(|check| self.passes >= needed(check))
    }

    /// Other evidence spoke: only probes from now on count towards [`CheckStreaks::reassures`].
    pub fn doubt(&mut self) {
        self.passes = 0;
    }
}

fn say(kind: ProbeFailure) -> &'static str {
    match kind {
        ProbeFailure::Refused => "refused",
        ProbeFailure::Timeout => "timeout",
        ProbeFailure::Reset => "reset",
        ProbeFailure::Mismatch => "mismatch",
        ProbeFailure::Malformed => "malformed",
    }
}
