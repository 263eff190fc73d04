//! The ejection machine of an endpoint: real traffic condemned it; its time runs, then trials decide, or checks alone where
//! there is nothing to try it with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::timers::{Timer, Timers};
use super::super::{Cause, Digest, Source};
use super::rules::EndpointRules;
use crate::time::MonoTime;

/// Good trials that end an ejection.
const TRIALS: u32 = 3;
/// Checks alone must be green for so long at least, so that a trial can have come and gone.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// How long checks alone must be green where the pool has no in-band rule (any more) that could say it.
pub(in crate::decision) const PATIENCE: Duration = Duration::from_secs(30);

/// Has real traffic condemned it?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decision) enum Ejection {
    /// No.
    #[default]
    None,
    /// Yes; it stays out until the timer has fired and the checks are green.
    Out(Cause),
    /// Its time is over and the checks are green: trials decide, or checks alone where there is nothing to try it with.
    Tried {
        /// Why it had been ejected.
        cause: Cause,
        /// Good trials so far.
        good: u32,
    },
}

/// What trial requests say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decision) enum TrialVerdict {
    /// Not enough yet, or it is not being tried.
    Open,
    /// So many good ones: it is restored.
    Passed(u32),
    /// It is out again, for the same cause.
    Failed(Cause),
}

/// Its state, and the sources on whose evidence it is out. It waits with the endpoint's timers `Ejection` and `Trials`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::decision) struct EjectionMachine {
    state: Ejection,
    /// The few sources on whose evidence it was ejected; empty = it does not hang on which they were, or it is not ejected.
    accusers: Vec<Source>,
}

impl EjectionMachine {
    pub fn state(&self) -> Ejection {
        self.state
    }

    /// Is it out, or being tried?
    pub fn holds(&self) -> bool {
        self.state != Ejection::None
    }

    /// Is it being tried?
    pub fn is_tried(&self) -> bool {
        matches!(self.state, Ejection::Tried { .. })
    }

    /// Out it goes, for so long at least.
    pub fn begin(&mut self, cause: Cause, wait: Duration, timers: &mut Timers, now: MonoTime) {
        self.state = Ejection::Out(cause);
        self.accusers.clear();
        timers.disarm(Timer::Trials);
        timers.arm(Timer::Ejection, now.after(wait));
    }

    /// It was ejected on the evidence of these few sources.
    pub fn rests_on(&mut self, few: Vec<Source>) {
        self.accusers = few;
    }

    /// Is one of these sources among those on whose evidence it was ejected?
    pub fn is_accused_by(&self, sources: &[Source]) -> bool {
        self.accusers.iter().any(|source| sources.contains(source))
    }

    /// Is it out on the evidence of these sources alone?
    pub fn hangs_on(&self, sources: &[Source]) -> bool {
        let alone = !self.accusers.is_empty() && self.accusers.iter().all(|accuser| sources.contains(accuser));
        alone && self.holds()
    }

    /// Its time is over and the checks are green: it may be tried. While they are not it may not.
    pub fn advance(&mut self, green: bool, timers: &mut Timers) {
        match self.state {
            Ejection::Out(cause) if green && timers.armed(Timer::Ejection).is_none() => {
                self.state = Ejection::Tried { cause, good: 0 };
            }
            Ejection::Tried { cause, .. } if !green => {
                self.state = Ejection::Out(cause);
                timers.disarm(Timer::Trials);
            }
            _ => {}
        }
    }

    /// Trials may begin, or only time can speak for it: from now on its patience runs. Otherwise it waits.
    pub fn run_patience(&mut self, rules: EndpointRules<'_>, run: bool, timers: &mut Timers, now: MonoTime) {
        if run && self.is_tried() {
            let patience = rules.outlier.map_or(PATIENCE, |rule| rule.base_ejection.max(LEAST_PATIENCE));
            timers.arm_once(Timer::Trials, now.after(patience));
        } else {
            timers.disarm(Timer::Trials);
        }
    }

    /// Trial requests ended.
    pub fn tried(&mut self, digest: &Digest) -> TrialVerdict {
        let Ejection::Tried { cause, good } = self.state else { return TrialVerdict::Open };
        let good = good.saturating_add(digest.trials_good);
        if digest.trials_failed > 0 {
            TrialVerdict::Failed(cause)
        } else if good >= TRIALS {
            TrialVerdict::Passed(good)
        } else {
            self.state = Ejection::Tried { cause, good };
            TrialVerdict::Open
        }
    }

    /// It is over.
    pub fn end(&mut self, timers: &mut Timers) {
        self.state = Ejection::None;
        self.accusers.clear();
        timers.disarm(Timer::Ejection);
        timers.disarm(Timer::Trials);
    }
}
