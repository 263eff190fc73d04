//! What out-of-band probes say about one endpoint: streaks against `fall` and `rise`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// The newest answer, when it was no pass.
    #[serde(default)]
    pub answer: Option<CheckAnswer>,
    /// It is green for no other reason than that it lives.
    #[serde(default)]
    unproven: bool,
}

impl CheckStreaks {
    /// Before the first probe; without a check an endpoint is taken as green.
    pub fn new(check: Option<&HealthCheck>) -> CheckStreaks {
        let verdict = if check.is_some() { CheckVerdict::Unknown } else { CheckVerdict::Green };
        CheckStreaks {
            verdict,
            passes: 0,
            fails: 0,
            proven: false,
            newest: MonoTime::ZERO,
            detail: String::new(),
            answer: None,
            unproven: false,
        }
    }

    /// Another check asks from now on: what it found so far stands, the streaks begin again.
    pub fn replace(&mut self, check: Option<&HealthCheck>) {
        self.passes = 0;
        self.fails = 0;
        self.answer = None;
        if check.is_none() {
            self.verdict = CheckVerdict::Green;
        }
        self.proven |= self.verdict == CheckVerdict::Green;
    }

    /// Count one probe, unless it comes late. A local error does not count; an answer that is no evidence refutes the silence before
    /// it. `eager`: one good probe is enough.
    pub fn fold(&mut self, check: &HealthCheck, outcome: &ProbeOutcome, seen: MonoTime, eager: bool) -> bool {
        if seen < self.newest {
            return false;
        }
        match outcome {
            ProbeOutcome::Pass { .. } => self.pass(check, eager),
            ProbeOutcome::Fail { kind, detail } => self.fail(check, *kind, detail),
            ProbeOutcome::Busy { .. } | ProbeOutcome::Blind { .. } => self.answered(),
            ProbeOutcome::Local { .. } => return false,
        }
        self.answer = CheckAnswer::of(outcome);
        self.newest = seen;
        true
    }

    fn pass(&mut self, check: &HealthCheck, eager: bool) {
        self.unproven = false;
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        // Its very first good probe is enough: nothing has spoken against it yet that must be outweighed.
        let needed = if self.proven && !eager { check.rise } else { 1 };
        if self.verdict != CheckVerdict::Green && self.passes >= needed {
            self.verdict = CheckVerdict::Green;
            self.proven = true;
        }
    }

    /// It is alive, and whether it serves is not known. If that is all that was ever heard of it, it is taken as an endpoint without a
    /// check is: what clients meet will tell. Silence before is refuted, unless it was condemned for it.
    fn answered(&mut self) {
        if self.verdict == CheckVerdict::Unknown {
            self.verdict = CheckVerdict::Green;
            (self.proven, self.unproven) = (true, true);
        }
        if self.verdict == CheckVerdict::Green {
            self.fails = 0;
        }
    }

    /// The class of the newest answer, when it was no pass.
    pub fn answer_class(&self) -> Option<CheckAnswerClass> {
        self.answer.as_ref().map(|answer| answer.class)
    }

    /// Is that it lives all that is known of it now? Then traffic speaks as it does where there is no check.
    pub fn is_unseeing(&self) -> bool {
        matches!(self.answer_class(), Some(CheckAnswerClass::Busy | CheckAnswerClass::Blind))
    }

    /// Is it green for no other reason than that it lives?
    pub fn is_unproven(&self) -> bool {
        self.unproven
    }

    fn fail(&mut self, check: &HealthCheck, kind: ProbeFailure, detail: &str) {
        self.passes = 0;
        self.fails = self.fails.saturating_add(1);
        // What a server states counts like all the silence that it takes to condemn it.
        if kind == ProbeFailure::NotServing {
            self.fails = self.fails.max(check.fall);
        }
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
        let seen = |check: &HealthCheck| self.is_unseeing() || self.passes >= needed(check);
        self.verdict == CheckVerdict::Green && check.is_none_or(seen)
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
        ProbeFailure::NotServing => "not serving",
    }
}

/// What the newest probe was answered, when it did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckAnswer {
    /// Its class.
    pub class: CheckAnswerClass,
    /// For people.
    pub detail: String,
}

/// The class of an answer that is no pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckAnswerClass {
    /// Silence, an error, or another answer than the one asked for: `fall` in a row condemn.
    Failing,
    /// It states that it does not serve: it starts, or stops. That condemns at once.
    NotServing,
    /// It has no room for the probe: no evidence.
    Busy,
    /// It does not let the probe look: no evidence, and the check is to be mended.
    Blind,
}

impl CheckAnswer {
    /// `None`: it passed, or there was no answer because the prober could not ask.
    pub(super) fn of(outcome: &ProbeOutcome) -> Option<CheckAnswer> {
        let (class, detail) = match outcome {
            ProbeOutcome::Pass { .. } | ProbeOutcome::Local { .. } => return None,
            ProbeOutcome::Fail { kind: ProbeFailure::NotServing, detail } => (CheckAnswerClass::NotServing, detail),
            ProbeOutcome::Fail { detail, .. } => (CheckAnswerClass::Failing, detail),
            ProbeOutcome::Busy { detail } => (CheckAnswerClass::Busy, detail),
            ProbeOutcome::Blind { detail } => (CheckAnswerClass::Blind, detail),
        };
        Some(CheckAnswer { class, detail: detail.clone() })
    }
}
