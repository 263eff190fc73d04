//! What the core waits for, as plain data: every endpoint and every service has one table of armed timers, and all of them
//! together have one deadline.
//!
//! | timer | of | armed | when it fires |
//! |---|---|---|---|
//! | `Confirm` | endpoint | a confirming connect was asked for | the answer is lost: no verdict, ask again at the next refusal |
//! | `Reconnect` | endpoint | it refuses, and its checks (if any) are green; or it is doubted | try a connect |
//! | `Suspicion` | endpoint | it is suspected, and has no check that could ask it | no request waits for it any more: not suspected |
//! | `Ejection` | endpoint | real traffic condemned it, and its checks are not red since | with green checks it may be tried |
//! | `Trials` | endpoint | it may be tried, or only checks can speak for it | checks alone decide |
//! | `EndpointReach` | endpoint | nothing comes back from it, or this host has no way to it | other pools' ways are looked at, and its own again where there is none |
//! | `Isolation` | service | its pool is lost, and whether others are is not known yet | it is left |
//! | `Evidence` | endpoint | failures in a row have not lasted for long enough | they are judged again |
//! | `FirstRound` | service | it appeared, or a reload brought its active pool only strangers | the first choice is made with what is known; who joins later starts slowly |
//! | `FirstChoice` | service | with `FirstRound` | better pools are given up after one failed probe, no longer only after `fall` of them |
//! | `HoldDown` | service | a better pool is recovering | it may be tried or taken |
//! | `Freeze` | service | too many outages | elective switches are free again |
//! | `Transition` | service | a switch waits for its gates, or was given up | it is given up or taken; or it may be intended again |
//! | `Hold` | service | an operator holds it | switches are free again |
//! | `Pin` | service | an operator pinned it for a time | it decides freely again |
//! | `Evacuation` | service | a zone of its pools is evacuated | its pools are used as before |
//! | `RpoPatience` | service | a primary is not followed because it lacks too much, and `rpo_patience` is set | it is followed |
//! | `Silence` | service | the primary that it follows is silent, and `fence_after` is set | its sessions end |
//! | `Weight` | endpoint | an operator weighs it for a time | it has the configured weight again |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::MonoTime;

/// What is waited for; see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Timer {
    Confirm,
    Reconnect,
    Suspicion,
    Ejection,
    Evidence,
    Trials,
    Reach,
    Isolation,
    FirstRound,
    FirstChoice,
    HoldDown,
    Freeze,
    Transition,
    Hold,
    Pin,
    Evacuation,
    Weight,
    Silence,
    RpoPatience,
}

/// Armed timers of one endpoint or one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Timers(BTreeMap<Timer, MonoTime>);

impl Timers {
    /// Arm, or arm again.
    pub fn arm(&mut self, timer: Timer, at: MonoTime) {
        self.0.insert(timer, at);
    }

    /// Arm unless it is armed already.
    pub fn arm_once(&mut self, timer: Timer, at: MonoTime) {
        self.0.entry(timer).or_insert(at);
    }

    /// Arm it for then; `None` = disarm it.
    pub fn set(&mut self, timer: Timer, at: Option<MonoTime>) {
        match at {
            Some(at) => self.arm(timer, at),
            None => self.disarm(timer),
        }
    }

    pub fn disarm(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    pub fn armed(&self, timer: Timer) -> Option<MonoTime> {
        self.0.get(&timer).copied()
    }

    /// Has it come? If so it is disarmed.
    pub fn fired(&mut self, timer: Timer, now: MonoTime) -> bool {
        let due = self.armed(timer).is_some_and(|at| at <= now);
        if due {
            self.disarm(timer);
        }
        due
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        self.0.values().min().copied()
    }
}

/// The earlier of two deadlines.
pub(super) fn earliest(a: Option<MonoTime>, b: Option<MonoTime>) -> Option<MonoTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
