//! The refusal machine of an endpoint: a failed request is a suspicion, and connects of our own confirm it, end it, and find out
//! when it is over.
//!
//! ```text
//! No ── a request could not connect ─▶ Suspected ── refused ─▶ Doubted ── refused again, or its pool has no other ─▶ Confirmed
//!  ◀──────────────── connected, or no answer ───────┴───────────┘                                    │
//!  ◀──────────────────────────────────── connected, and its checks are green ────────────────────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::timers::{Timer, Timers};
use super::super::{ConnectOutcome, Digest, Failure};
use super::rules::EndpointRules;
use crate::config::OnRefused;
use crate::time::MonoTime;

/// An answer to a confirming connect that is later than this is lost.
pub(in crate::decision) const CONFIRM_WITHIN: Duration = Duration::from_secs(1);
/// After that a doubted endpoint is asked again: longer than most listeners need to be there again.
pub(in crate::decision) const DOUBT: Duration = Duration::from_millis(50);
/// Pause between two connects to an endpoint that refuses and has no check whose pace could be taken.
const RECONNECT: Duration = Duration::from_millis(500);

/// Does it refuse connections, or leave them unanswered?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::decision) enum Refusal {
    /// Not that we know.
    No,
    /// A request could not connect, or its connection was reset or made no sense; one connect of our own is to confirm it.
    Suspected,
    /// Confirmed once. It may be a restart, and its pool has others meanwhile: it is avoided, and asked once more.
    Doubted,
    /// Confirmed. It ends with a connect that succeeds while the checks are green.
    Confirmed,
}

/// What follows from the end of a confirming connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decision) enum ConfirmedRefusal {
    /// It was not awaited (any more).
    Unasked,
    /// The state of the refusal has changed, or another connect will be tried.
    Noted,
    /// The refusal is confirmed: the endpoint is to be condemned.
    Refuses,
    /// It did not refuse for long.
    Accepts(ExplainedFailures),
    /// A confirmed refusal is over.
    Over,
}

/// Which failures of real traffic a refusal explains that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decision) enum ExplainedFailures {
    /// None: connects that are answered sometimes, and resets, are no restart.
    Nothing,
    /// The row of refused requests.
    Streak,
    /// All: it was proven to refuse.
    Everything,
}

/// Its state, and what raised the suspicion. It waits with the endpoint's timers `Confirm` and `Reconnect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::decision) struct RefusalMachine {
    state: Refusal,
    /// What the endpoint was last asked for a connect for: one of [`EndpointRules::signs_of_refusal`].
    sign: Failure,
}

impl Default for RefusalMachine {
    fn default() -> Self {
        RefusalMachine { state: Refusal::No, sign: Failure::Refused }
    }
}

impl RefusalMachine {
    pub fn state(&self) -> Refusal {
        self.state
    }

    /// Requests failed. Is a confirming connect to be asked for?
    pub fn observe(&mut self, rules: EndpointRules<'_>, digest: &Digest) -> bool {
        let told = |sign: &Failure| digest.streak > 0 && digest.failed.of(*sign) > 0;
        let Some(sign) = rules.signs_of_refusal().find(told) else { return false };
        match self.state {
            Refusal::No if rules.on_refused == OnRefused::Verdict => {
                self.state = Refusal::Suspected;
                self.sign = sign;
                true
            }
            Refusal::Suspected if !self.could_not_connect() => {
                self.sign = sign;
                false
            }
            _ => false,
        }
    }

    /// Is it asked for a connect because a request's connect failed, not because a connection did?
    fn could_not_connect(&self) -> bool {
        matches!(self.sign, Failure::Refused | Failure::ConnectTimeout)
    }

    /// Is a connect due that no event has asked for? `reassured`: the checks speak for the endpoint.
    pub fn is_due(&self, reassured: bool, timers: &Timers) -> bool {
        let quiet = timers.armed(Timer::Confirm).is_none() && timers.armed(Timer::Reconnect).is_none();
        quiet
            && match self.state {
                Refusal::No | Refusal::Suspected => false,
                Refusal::Doubted => true,
                Refusal::Confirmed => reassured,
            }
    }

    /// A confirming connect ended. `green`: what the checks say.
    pub fn connected(
        &mut self,
        rules: EndpointRules<'_>,
        outcome: ConnectOutcome,
        green: bool,
        timers: &mut Timers,
        now: MonoTime,
    ) -> ConfirmedRefusal {
        if timers.armed(Timer::Confirm).is_none() {
            return ConfirmedRefusal::Unasked;
        }
        timers.disarm(Timer::Confirm);
        let says_the_same = match outcome {
            ConnectOutcome::Refused | ConnectOutcome::Unreachable => true,
            ConnectOutcome::Timeout => self.sign == Failure::ConnectTimeout,
            _ => false,
        };
        match (self.state, outcome) {
            (Refusal::Suspected, _) if says_the_same => self.doubt(timers, now),
            (Refusal::Doubted, _) if says_the_same => return ConfirmedRefusal::Refuses,
            (Refusal::Suspected | Refusal::Doubted, ConnectOutcome::Connected) => {
                return ConfirmedRefusal::Accepts(self.accept());
            }
            (Refusal::Suspected | Refusal::Doubted, _) => self.state = Refusal::No,
            (Refusal::Confirmed, ConnectOutcome::Connected) if green => {
                self.state = Refusal::No;
                return ConfirmedRefusal::Over;
            }
            (Refusal::Confirmed, _) => await_reconnect(rules, timers, now),
            (Refusal::No, _) => return ConfirmedRefusal::Unasked,
        }
        ConfirmedRefusal::Noted
    }

    /// It refuses, but for how long? (Where its pool has no other endpoint, its service condemns it in the same turn.)
    fn doubt(&mut self, timers: &mut Timers, now: MonoTime) {
        self.state = Refusal::Doubted;
        timers.arm(Timer::Reconnect, now.after(DOUBT));
    }

    /// It did not refuse for long: a restart. That ends a row of refused requests; those of one that was proven to refuse are
    /// explained. Resets, and connects that are answered sometimes, are no restart: those failures count.
    fn accept(&mut self) -> ExplainedFailures {
        let before = std::mem::replace(&mut self.state, Refusal::No);
        match self.sign {
            Failure::ConnectTimeout => ExplainedFailures::Nothing,
            _ if before == Refusal::Doubted => ExplainedFailures::Everything,
            Failure::Refused => ExplainedFailures::Streak,
            _ => ExplainedFailures::Nothing,
        }
    }

    /// It is confirmed: from now on connects find out when it is over.
    pub fn confirm(&mut self, rules: EndpointRules<'_>, timers: &mut Timers, now: MonoTime) {
        self.state = Refusal::Confirmed;
        timers.disarm(Timer::Confirm);
        await_reconnect(rules, timers, now);
    }

    /// The answer to a confirming connect is lost if it has not come by now.
    pub fn tick(&mut self, rules: EndpointRules<'_>, timers: &mut Timers, now: MonoTime) {
        if timers.fired(Timer::Confirm, now) {
            match self.state {
                Refusal::Confirmed => await_reconnect(rules, timers, now),
                _ => self.state = Refusal::No,
            }
        }
    }

    /// It is over, whatever it was.
    pub fn end(&mut self, timers: &mut Timers) {
        self.state = Refusal::No;
        timers.disarm(Timer::Reconnect);
        timers.disarm(Timer::Confirm);
    }

    /// The configuration changed: what is no sign of a refusal any more is not looked into.
    pub fn reconfigure(&mut self, after: EndpointRules<'_>, timers: &mut Timers) {
        let unasked =
            after.on_refused == OnRefused::Checks || (self.sign == Failure::ConnectTimeout && !after.silence_refuses);
        if unasked && matches!(self.state, Refusal::Suspected | Refusal::Doubted) {
            self.end(timers);
        }
    }

    /// For people: what was seen of it.
    pub fn describe(&self) -> &'static str {
        match self.sign {
            Failure::Reset => "a connection was reset, and the confirming connect refused",
            Failure::Malformed => "an answer was malformed, and the confirming connect refused",
            Failure::ConnectTimeout => "a connect was not answered, and neither was the confirming connect",
            _ => "a request was refused, and so was the confirming connect",
        }
    }
}

fn await_reconnect(rules: EndpointRules<'_>, timers: &mut Timers, now: MonoTime) {
    let pause = rules.check.map_or(RECONNECT, |check| check.fast_interval);
    timers.arm(Timer::Reconnect, now.after(pause));
}
