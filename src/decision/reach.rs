//! The way to an endpoint: does anything come back from it, and have we a way to it at all?
//!
//! What never left this host says nothing about the endpoint; what is not answered says something about the endpoint *or* the
//! way to it. So both are kept apart from health: a service looks at the ways of all its pools before it believes that one of
//! them is gone ([`Service::judge_routes`](super::service::Service), [`Service::is_cut_off`](super::service::Service)).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConnectOutcome, Digest, Failure, ProbeFailure, ProbeOutcome};
use crate::config::HealthCheck;
use crate::time::MonoTime;

/// Having no way to an endpoint is a passing trouble of this host for so long.
pub(super) const PASSING: Duration = Duration::from_secs(1);
/// How often a way is looked for while there is none.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// In so long silence is found where no check says how long that takes.
const UNCHECKED: Duration = Duration::from_secs(5);

/// What is known of the way to one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EndpointReach {
    /// When anything last came from it, a refusal included.
    heard: Option<MonoTime>,
    /// Since when nothing comes back.
    lost: Option<LostWay>,
    /// This host has no way to it: connects fail before a packet leaves.
    no_route: Option<NoRoute>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct NoRoute {
    since: MonoTime,
    /// When that was last found.
    found: MonoTime,
    /// Since when it is known that another pool can be reached meanwhile.
    reached: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct LostWay {
    since: MonoTime,
    /// Found at once, not by waiting: others may be lost as well and not know it yet.
    at_once: bool,
}

impl EndpointReach {
    pub fn heard(&self) -> Option<MonoTime> {
        self.heard
    }

    /// Since when nothing comes back; `None` when it was heard since, or is not asked.
    pub fn lost(&self) -> Option<MonoTime> {
        self.lost.map(|lost| lost.since)
    }

    pub fn is_lost_at_once(&self) -> bool {
        self.lost.is_some_and(|lost| lost.at_once)
    }

    /// Since when this host has no way to it.
    pub fn no_route(&self) -> Option<MonoTime> {
        self.no_route.map(|gap| gap.since)
    }

    /// Another pool can be reached, or cannot (any more). True when that is news: then it is looked once more whether there is still
    /// no way to this endpoint, for where all ways come back, one is the first.
    pub fn compare(&mut self, elsewhere: Option<MonoTime>, now: MonoTime) -> bool {
        let Some(gap) = &mut self.no_route else { return false };
        let before = gap.reached;
        gap.reached = before.or(Some(now)).filter(|_| elsewhere > Some(gap.since));
        before.is_none() && gap.reached.is_some()
    }

    /// There is no way to this one only: that lasts, and was found again after another pool was reached.
    pub fn is_cut(&self, now: MonoTime) -> bool {
        let found_again = |gap: NoRoute| gap.reached.is_some_and(|reached| gap.found > reached);
        self.no_route.is_some_and(|gap| now.since(gap.since) >= PASSING && found_again(gap))
    }

    fn state(&self) -> (Option<LostWay>, Option<MonoTime>) {
        (self.lost, self.no_route())
    }

    fn hear(&mut self, at: MonoTime) {
        *self = EndpointReach { heard: self.heard.max(Some(at)), lost: None, no_route: None };
    }

    fn lose(&mut self, since: MonoTime, at_once: bool) {
        self.no_route = None;
        self.lost.get_or_insert(LostWay { since, at_once });
    }

    fn lose_route(&mut self, at: MonoTime) {
        let gap = self.no_route.get_or_insert(NoRoute { since: at, found: at, reached: None });
        gap.found = gap.found.max(at);
        self.lost.get_or_insert(LostWay { since: at, at_once: true });
    }

    /// Something is learnt. Is the state of the way another one now?
    pub fn learn(&mut self, learn: impl FnOnce(&mut EndpointReach)) -> bool {
        let before = self.state();
        learn(self);
        before != self.state()
    }

    /// A connect ended.
    pub fn connected(&mut self, outcome: ConnectOutcome, at: MonoTime) {
        match outcome {
            ConnectOutcome::Connected | ConnectOutcome::Refused => self.hear(at),
            ConnectOutcome::Timeout => self.lose(at, false),
            ConnectOutcome::Unreachable => self.lose(at, true),
            ConnectOutcome::NoRoute => self.lose_route(at),
            ConnectOutcome::Local => {}
        }
    }

    /// A probe ended. (Whether a timeout or refusal came of the way is told by its connect.)
    pub fn probed(&mut self, outcome: &ProbeOutcome, at: MonoTime) {
        match outcome {
            ProbeOutcome::Pass { .. } | ProbeOutcome::Busy { .. } | ProbeOutcome::Blind { .. } => self.hear(at),
            ProbeOutcome::Fail { kind: ProbeFailure::Timeout | ProbeFailure::Refused, .. } => {}
            ProbeOutcome::Fail { .. } => self.hear(at),
            ProbeOutcome::Local { .. } => {}
        }
    }

    /// Real traffic spoke.
    pub fn in_band(&mut self, digest: &Digest, at: MonoTime) {
        let answers = [Failure::Gateway, Failure::Malformed].iter().any(|kind| digest.failed.of(*kind) > 0);
        if digest.good > 0 || answers {
            self.hear(at);
        } else if digest.no_route {
            self.lose_route(at);
        } else if digest.failed.of(Failure::ConnectTimeout) > 0 {
            self.lose(at, false);
        }
    }
}

/// How long it takes at most to find an endpoint silent.
pub(super) fn detection_time(check: Option<&HealthCheck>) -> Duration {
    check.map_or(UNCHECKED, |check| {
        check.interval.mul_f64(1.0 + check.jitter)
            + check.timeout * check.fall
            + check.fast_interval * check.fall.saturating_sub(1)
    })
}
