//! Model upstreams: what an address does with a probe, a connect and a request.

use std::time::Duration;

use fastrand::Rng;
use standfast::decision::{ConnectOutcome, ProbeFailure, ProbeOutcome};
use standfast::routing::TryFailure;
use standfast::time::MonoTime;

use super::scene::ms;

/// How an upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Well.
    Up,
    /// Its process is gone: connects are refused.
    Dead,
    /// Cut off: nothing is ever answered.
    Hang,
    /// Checks pass, real requests get 503.
    Lying,
    /// Checks fail, real requests are answered.
    Sick,
    /// Accepts and resets.
    Resetting,
    /// Checks pass, every second request or so gets 503.
    Flaky,
    /// Checks pass, one request of three gets 503.
    Shaky,
    /// Its process is stopped: its kernel accepts, nobody answers.
    Frozen,
    /// Checks pass, real requests are accepted and not answered.
    Stalled,
    /// Well, but most answers are late.
    Slow,
}

impl Mode {
    pub const BAD: [Mode; 9] = [
        Mode::Dead,
        Mode::Hang,
        Mode::Lying,
        Mode::Sick,
        Mode::Resetting,
        Mode::Flaky,
        Mode::Frozen,
        Mode::Stalled,
        Mode::Slow,
    ];

    /// Probes show that it is bad.
    pub fn seen_by_checks(self) -> bool {
        matches!(self, Mode::Dead | Mode::Hang | Mode::Sick | Mode::Resetting | Mode::Frozen)
    }

    /// Only traffic shows that it is bad.
    pub fn seen_by_traffic(self) -> bool {
        matches!(self, Mode::Lying | Mode::Stalled)
    }

    /// What it was asked stays unanswered for as long as it is so.
    pub fn silent(self) -> bool {
        matches!(self, Mode::Hang | Mode::Frozen | Mode::Stalled)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    pub mode: Mode,
    pub since: MonoTime,
}

/// How an exchange will end if the upstream stays as it is: after how long, how (`None` = well), and was it executed?
#[derive(Clone, Copy, Debug)]
pub struct Course {
    pub after: Duration,
    pub how: Option<TryFailure>,
    pub sent: bool,
    pub executed: bool,
}

impl Upstream {
    pub fn probe(&self, timeout: Duration, rng: &mut Rng) -> (Duration, ProbeOutcome) {
        let soon = ms(1 + rng.u64(..20));
        if rng.u8(..) < 3 {
            return (soon, ProbeOutcome::Local { detail: "no descriptors".to_owned() });
        }
        let fail = |kind| ProbeOutcome::Fail { kind, detail: String::new() };
        match self.mode {
            Mode::Up | Mode::Lying | Mode::Flaky | Mode::Shaky | Mode::Stalled | Mode::Slow => {
                (soon, ProbeOutcome::Pass { latency: soon, reading: None })
            }
            Mode::Dead => (ms(1), fail(ProbeFailure::Refused)),
            Mode::Hang | Mode::Frozen => (timeout, fail(ProbeFailure::Timeout)),
            Mode::Sick => (soon, fail(ProbeFailure::Mismatch)),
            Mode::Resetting => (soon, fail(ProbeFailure::Reset)),
        }
    }

    /// `None` = the answer is lost.
    pub fn connect(&self, rng: &mut Rng) -> Option<(Duration, ConnectOutcome)> {
        match rng.u8(..) {
            0..3 => return None,
            3..6 => return Some((ms(1), ConnectOutcome::Local)),
            _ => {}
        }
        Some(match self.mode {
            Mode::Dead => (ms(1), ConnectOutcome::Refused),
            Mode::Hang => (ms(50), ConnectOutcome::Timeout),
            _ => (ms(1), ConnectOutcome::Connected),
        })
    }

    /// Over an idle connection (`reused`) nobody notices at first that the other end is gone.
    pub fn exchange(&self, reused: bool, rng: &mut Rng) -> Course {
        let after = ms(2 + rng.u64(..15));
        let course = |after, how, sent, executed| Course { after, how, sent, executed };
        match self.mode {
            Mode::Up | Mode::Sick | Mode::Frozen | Mode::Stalled => course(after, None, true, true),
            Mode::Slow => course(ms(20 + rng.u64(..210)), None, true, true),
            Mode::Dead if reused => course(ms(1), Some(TryFailure::Reset), rng.bool(), false),
            Mode::Dead => course(ms(1), Some(TryFailure::Refused), false, false),
            Mode::Hang if reused => course(after, None, true, true),
            Mode::Hang => course(ms(100), Some(TryFailure::ConnectTimeout), false, false),
            Mode::Lying => course(after, Some(TryFailure::Status(503)), true, true),
            Mode::Resetting => course(after, Some(TryFailure::Reset), true, rng.bool()),
            Mode::Flaky if rng.bool() => course(after, Some(TryFailure::Status(503)), true, true),
            Mode::Shaky if rng.u8(..3) == 0 => course(after, Some(TryFailure::Status(503)), true, true),
            Mode::Flaky | Mode::Shaky => course(after, None, true, true),
        }
    }
}
