//! What the core is told. Every event carries the time at which it was *observed*.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{FailureReport, Source, SourceTally};
use super::{Act, EndpointId, Gate, GateOutcome, Reading, TransitionId};
use crate::config::{Config, Name};
use crate::time::MonoTime;

/// Something that happened. Events about endpoints that are gone are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A whole, valid configuration: the first one, or a reload.
    Configured(Arc<Config>),
    /// An out-of-band probe ended.
    Probed {
        /// The endpoint that was probed.
        endpoint: EndpointId,
        /// When its verdict was known.
        seen: MonoTime,
        /// When it began; `None` = not known.
        #[serde(default)]
        began: Option<MonoTime>,
        /// What it says.
        outcome: ProbeOutcome,
    },
    /// What real traffic said about an endpoint since the last digest.
    InBand {
        /// The endpoint.
        endpoint: EndpointId,
        /// When the digest was taken.
        seen: MonoTime,
        /// What it says.
        digest: Digest,
    },
    /// A confirming connect ([`Effect::ConfirmConnect`](super::Effect::ConfirmConnect)) ended.
    Confirmed {
        /// The endpoint.
        endpoint: EndpointId,
        /// When it ended.
        seen: MonoTime,
        /// What it met.
        outcome: ConnectOutcome,
    },
    /// A connect that says whether there is a way to the endpoint ([`Effect::CheckReach`](super::Effect::CheckReach), or the failed
    /// one of a probe) ended. It is no verdict on the endpoint.
    ReachChecked {
        /// The endpoint.
        endpoint: EndpointId,
        /// When it ended.
        seen: MonoTime,
        /// What it met.
        outcome: ConnectOutcome,
    },
    /// The agent of an endpoint stated its share. It is no verdict on the endpoint; one of 0 counts as a drain.
    ShareStated {
        /// The endpoint.
        endpoint: EndpointId,
        /// In percent of its weight.
        percent: u16,
    },
    /// The first good answer from the pool that a switch chose.
    Answered {
        /// The service.
        service: Name,
        /// The switch, by the epoch that published it.
        epoch: u64,
        /// When the answer's head arrived; time without a request is left out.
        seen: MonoTime,
    },
    /// A gate of a [transition](super::Effect::Transition) was opened or refused. The first answer about each counts, and none about
    /// another transition than the one that waits.
    GateAnswered {
        /// The transition, whatever its service is called by now.
        transition: TransitionId,
        /// When that was known.
        seen: MonoTime,
        /// The gate.
        gate: Gate,
        /// Whether it holds.
        outcome: GateOutcome,
    },
    /// No session is left at a pool that was left or fenced ([`Effect::Sessions`](super::Effect::Sessions)): every worker has taken
    /// up that table, and nothing is in flight there.
    SessionsEnded {
        /// The service, as it is called now.
        service: Name,
        /// The pool, as that effect called it.
        pool: Name,
        /// The epoch that published it.
        epoch: u64,
        /// When that was seen.
        seen: MonoTime,
    },
    /// An act is to be carried out; the answer is [`Effect::Acted`](super::Effect::Acted).
    Ordered {
        /// When it came.
        seen: MonoTime,
        /// The act.
        act: Act,
    },
    /// The act of a reload whose configuration cannot be put into force is refused; the answer is
    /// [`Effect::Acted`](super::Effect::Acted), too.
    ReloadRefused {
        /// When that was known.
        seen: MonoTime,
        /// The act.
        act: Box<Act>,
        /// Its problems, for people.
        problems: Vec<String>,
    },
}

/// What a probe says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// All that was asked for held.
    Pass {
        /// From the start of the connect (on a kept connection: of the question) to the verdict.
        latency: Duration,
        /// What the endpoint said of its data; `None` for probes that do not ask for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reading: Option<Reading>,
    },
    /// Something did not hold.
    Fail {
        /// The family of failure.
        kind: ProbeFailure,
        /// For people: at most 200 characters, no secrets.
        detail: String,
    },
    /// It is alive, and has no room for the probe (its connections are used up): no evidence that it serves, and none that it does
    /// not.
    Busy {
        /// For people: at most 200 characters, no secrets.
        detail: String,
    },
    /// It is alive, and does not let the probe look (a wrong password, a right that is missing): no evidence about the endpoint, and
    /// the check is to be mended.
    Blind {
        /// For people: at most 200 characters, no secrets.
        detail: String,
    },
    /// The prober itself could not ask (no descriptors, no ports): no evidence about the endpoint.
    Local {
        /// For people.
        detail: String,
    },
}

/// The family of a probe's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFailure {
    /// Connection refused, reset on connect, host or net unreachable.
    Refused,
    /// No verdict within the timeout.
    Timeout,
    /// Closed or reset after the connect.
    Reset,
    /// An answer that is not the one asked for.
    Mismatch,
    /// Bytes that are no answer.
    Malformed,
    /// It states that it does not serve: it starts, or stops. What a server states counts at once.
    NotServing,
}

/// How a connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectOutcome {
    /// Established.
    Connected,
    /// ECONNREFUSED or reset on connect. Of a confirming connect also: the TLS handshake or the opening of HTTP/2 failed.
    Refused,
    /// No answer in time.
    Timeout,
    /// A local error (EMFILE, ports exhausted, EPERM): never evidence against an endpoint.
    Local,
    /// This host has no way to it (no route, link down, no source address): no packet has left. Local, until it lasts while an
    /// endpoint of another pool is reached.
    NoRoute,
    /// The network says that host or net cannot be reached: as good as [`Refused`](ConnectOutcome::Refused).
    Unreachable,
}

/// How an exchange with an endpoint failed, as real traffic saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A fresh connect was refused, reset, or found host or net unreachable.
    Refused,
    /// A connect was not answered in time.
    ConnectTimeout,
    /// Reset or closed before the answer was complete, on a fresh connection or after part of an answer.
    Reset,
    /// The answer did not begin (or go on) in time.
    Timeout,
    /// The answer was not HTTP.
    Malformed,
    /// 502, 503 or 504.
    Gateway,
}

impl Failure {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Failure; 6] = [
        Failure::Refused,
        Failure::ConnectTimeout,
        Failure::Reset,
        Failure::Timeout,
        Failure::Malformed,
        Failure::Gateway,
    ];

    /// Its name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::Reset => "reset",
            Failure::Timeout => "timeout",
            Failure::Malformed => "malformed",
            Failure::Gateway => "gateway",
        }
    }
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCounts(pub [u32; Failure::ALL.len()]);

impl FailureCounts {
    /// How many of this kind.
    pub fn of(&self, kind: Failure) -> u32 {
        self.0[kind as usize]
    }
    /// How many of all kinds.
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What real traffic said about one endpoint since its last digest. Digests of a full queue are merged, never dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Whole exchanges that ended well (any status but 502, 503, 504; a TCP session that moved bytes back).
    pub good: u32,
    /// Exchanges that failed.
    pub failed: FailureCounts,
    /// Failures in a row at the end of the period (they may have begun before it); 0 = the last exchange was good.
    pub streak: u32,
    /// When the first failure of that streak was seen; meaningless when `streak` is 0.
    pub streak_since: MonoTime,
    /// Trial requests among them that ended well.
    pub trials_good: u32,
    /// Trial requests among them that failed.
    pub trials_failed: u32,
    /// There is traffic to try it with: a trial went out.
    #[serde(default)]
    pub triable: bool,
    /// This host had no way to it.
    #[serde(default)]
    pub no_route: bool,
    /// It is asked and says nothing; `None` = it answers, or is not asked.
    #[serde(default)]
    pub silence: Option<Silence>,
    /// The number of the streak: it grows when a good answer ends one.
    #[serde(default)]
    pub streak_number: u32,
    /// The failures of exchanges that are settled, attributed: a request that is retried is reported when it is known how it
    /// fared elsewhere. A sample where there are many.
    #[serde(default)]
    pub reports: Vec<FailureReport>,
    /// Exchanges by client network: failures, and good answers while the endpoint has failed lately.
    #[serde(default)]
    pub by_source: Vec<SourceTally>,
    /// Client networks that the service answered well in the last ten minutes, up to 64; `None` = as before.
    #[serde(default)]
    pub callers: Option<u32>,
}

/// Requests are outstanding for longer than usual, and the endpoint gives no answer: a suspected stall
/// ([manual::health](crate::manual::health)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When the first of those was asked who have no answer.
    pub since: MonoTime,
    /// When a request was last found to wait for too long.
    pub late: MonoTime,
    /// Asked since it was last heard.
    pub unanswered: u32,
    /// Of them, those that speak against the endpoint and not against the question: they were answered elsewhere meanwhile.
    pub witnesses: u32,
    /// The client networks of the witnesses, the first three.
    #[serde(default)]
    pub sources: [Option<Source>; 3],
    /// Different targets of the witnesses, counted up to three.
    #[serde(default)]
    pub targets: u32,
}

impl Silence {
    /// So many unanswered requests make a suspicion, when one of them waits for too long.
    pub const UNANSWERED: u32 = 4;
    /// So many witnesses make it a verdict …
    pub const WITNESSES: u32 = 3;
    /// … when they are of as many sources as are needed, or asked for so many targets.
    pub const TARGETS: u32 = 3;
}
