//! What keeps a replica from being promoted: each precondition that is missing has a name.

use std::fmt;
use std::time::Duration;

use super::super::EndpointId;
use super::PromotionRule;
use crate::config::RecoveryPoint;
use crate::time::MonoTime;

/// A receiver asks its primary for a sign of life when it has heard nothing for half of its `wal_receiver_timeout`. So long after that an
/// answer would have come.
const ANSWER: Duration = Duration::from_secs(5);

/// What is known in a turn.
#[derive(Clone, Debug)]
pub(in crate::decision) struct PromotionFacts<'a> {
    /// Since when every fresh login at the holder has failed; `None` = the last one did not, or was no evidence (busy, blind).
    pub holder_fails_since: Option<MonoTime>,
    /// An endpoint that says that it is primary, of whatever data, and its timeline.
    pub primary: Option<(EndpointId, u32)>,
    /// An endpoint has the traffic.
    pub is_served: bool,
    /// An operator holds the service.
    pub is_held: bool,
    /// Replicas that answer and are of the lineage that is followed.
    pub candidates: &'a [PromotionCandidate],
    /// Every worker has acknowledged the end of the holder's sessions.
    pub fenced: bool,
    /// There is a fence hook.
    pub has_hook: bool,
}

/// A replica that could be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decision) struct PromotionCandidate {
    pub endpoint: EndpointId,
    /// Its timeline as a replica.
    pub timeline: u32,
    /// Up to where it has the log.
    pub offset: u64,
    /// What it says of the primary.
    pub witness: WitnessReport,
    /// What is lost by promoting it, in bytes; `None` = not known.
    pub lost_bytes: Option<u64>,
    /// … and since when that was written; `None` = not known.
    pub lost_since: Option<MonoTime>,
}

/// What a replica says of the primary that it receives from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decision) enum WitnessReport {
    /// The user of the check may not see it (`pg_monitor` is missing), or it was not asked lately.
    Unreadable,
    /// It has no receiver; when it last heard something.
    NoReceiver {
        heard: MonoTime,
        /// Its `wal_receiver_timeout`; `None` = off.
        timeout: Option<Duration>,
    },
    /// It has a receiver, whose last message came then.
    Receiver {
        heard: MonoTime,
        /// Its `wal_receiver_timeout`; `None` = off.
        timeout: Option<Duration>,
    },
}

/// What keeps a replica from being promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decision) enum Obstacle {
    /// The file does not say that this instance is the only one.
    NotSole,
    /// There is no objective for what may be lost.
    NoObjective,
    /// An operator holds the service.
    Held,
    /// The holder lets logins in, or they are no evidence.
    HolderAnswers,
    /// The holder has failed logins for a shorter time than `after`.
    HolderFailsBriefly,
    /// An endpoint says that it is primary.
    PrimaryHeard,
    /// No replica of the lineage answers.
    NoCandidate,
    /// The candidate's user may not see whether it hears the primary.
    WitnessUnreadable,
    /// The candidate hears the primary, or has heard it a shorter time ago than `after`.
    WitnessHears,
    /// The candidate's receiver would not notice for long that its primary is gone.
    WitnessUnsure,
    /// The candidate had lost the primary before the holder failed here: its silence says nothing of that.
    WitnessLostBefore,
    /// It is not known what is lost.
    LossUnknown,
    /// More is lost than the objective allows.
    BeyondRpo,
    /// Another replica has more of the log than the one that was chosen.
    AnotherIsAhead,
    /// A worker has not acknowledged the end of the holder's sessions.
    NotFenced,
    /// The fence hook said no.
    HookFailed(String),
    /// One was promoted, or may have been, since a primary served.
    Spent,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::NotSole => "the configuration does not say `sole_instance: true`",
            Obstacle::NoObjective => "there is no `objectives.rpo`",
            Obstacle::Held => "an operator holds the service",
            Obstacle::HolderAnswers => "the primary answers, or what it answers is no evidence",
            Obstacle::HolderFailsBriefly => "the primary has not failed logins for long enough",
            Obstacle::PrimaryHeard => "a server says that it is primary",
            Obstacle::NoCandidate => "no replica of the same timeline answers",
            Obstacle::WitnessUnreadable => {
                "the replica does not show whether it hears the primary: grant pg_monitor to the check's user"
            }
            Obstacle::WitnessHears => "the replica hears the primary, or has heard it too lately",
            Obstacle::WitnessUnsure => {
                "the replica's receiver has not had the time to notice that its primary is silent"
            }
            Obstacle::WitnessLostBefore => "the replica had lost the primary before that failed here: it is no witness",
            Obstacle::LossUnknown => "it is not known what would be lost",
            Obstacle::BeyondRpo => "more would be lost than `objectives.rpo` allows",
            Obstacle::AnotherIsAhead => "another replica has more of the log by now",
            Obstacle::NotFenced => "the end of the former primary's sessions is not acknowledged by every worker",
            Obstacle::HookFailed(detail) => return write!(f, "the fence hook failed: {detail}"),
            Obstacle::Spent => "a promotion was ordered already since a primary served",
        })
    }
}

impl PromotionFacts<'_> {
    pub(super) fn candidate(&self, id: EndpointId) -> Option<&PromotionCandidate> {
        self.candidates.iter().find(|candidate| candidate.endpoint == id)
    }
}

/// The replica that has most of the log; of equal ones the first.
pub(super) fn best<'a>(facts: &'a PromotionFacts<'_>) -> Option<&'a PromotionCandidate> {
    let ahead = |best: &'a PromotionCandidate, other: &'a PromotionCandidate| {
        if (other.timeline, other.offset) > (best.timeline, best.offset) { other } else { best }
    };
    facts.candidates.iter().reduce(ahead)
}

/// The first obstacle to the promotion of this replica, besides the fence.
pub(super) fn to_this(
    rule: PromotionRule,
    facts: &PromotionFacts<'_>,
    candidate: EndpointId,
    now: MonoTime,
) -> Option<Obstacle> {
    let is_best = best(facts).is_none_or(|best| best.endpoint == candidate);
    let found = before_the_fence(rule, facts, now).into_iter().next();
    found.or((!is_best).then_some(Obstacle::AnotherIsAhead))
}

/// What must hold before the holder's sessions are ended for a promotion, and until the call.
pub(super) fn before_the_fence(rule: PromotionRule, facts: &PromotionFacts<'_>, now: MonoTime) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut unless = |holds: bool, obstacle: Obstacle| {
        if !holds {
            found.push(obstacle);
        }
    };
    unless(rule.sole_instance, Obstacle::NotSole);
    unless(rule.rpo.is_some(), Obstacle::NoObjective);
    unless(!facts.is_held, Obstacle::Held);
    match facts.holder_fails_since {
        None => unless(false, Obstacle::HolderAnswers),
        Some(since) => unless(now.since(since) >= rule.after, Obstacle::HolderFailsBriefly),
    }
    unless(facts.primary.is_none(), Obstacle::PrimaryHeard);
    let Some(best) = best(facts) else {
        unless(false, Obstacle::NoCandidate);
        return found;
    };
    // Every replica that shows it is a witness, whichever is promoted: one that hears the primary proves that it lives.
    let objection = |candidate: &PromotionCandidate| witness(candidate.witness, facts, rule.after, now);
    let hears = |candidate: &PromotionCandidate| objection(candidate) == Some(Obstacle::WitnessHears);
    match objection(best) {
        Some(obstacle) => unless(false, obstacle),
        None => unless(!facts.candidates.iter().any(hears), Obstacle::WitnessHears),
    }
    if let Some(most) = rule.rpo {
        match loss(best, most, now) {
            None => unless(false, Obstacle::LossUnknown),
            Some(is_within) => unless(is_within, Obstacle::BeyondRpo),
        }
    }
    found
}

/// What this witness has against a promotion.
fn witness(report: WitnessReport, facts: &PromotionFacts<'_>, after: Duration, now: MonoTime) -> Option<Obstacle> {
    let (heard, has_receiver, timeout) = match report {
        WitnessReport::Unreadable => return Some(Obstacle::WitnessUnreadable),
        WitnessReport::NoReceiver { heard, timeout } => (heard, false, timeout),
        WitnessReport::Receiver { heard, timeout } => (heard, true, timeout),
    };
    // (An idle primary says nothing by itself.)
    let longest = timeout.map(|timeout| timeout / 2 + ANSWER);
    let lost_before = facts.holder_fails_since.map(|since| since.since(heard));
    match longest {
        _ if now.since(heard) < after => Some(Obstacle::WitnessHears),
        None if has_receiver => Some(Obstacle::WitnessUnsure),
        Some(longest) if has_receiver && now.since(heard) < longest => Some(Obstacle::WitnessUnsure),
        _ if lost_before.is_some_and(|before| before > longest.unwrap_or(ANSWER)) => Some(Obstacle::WitnessLostBefore),
        _ => None,
    }
}

/// Is the loss within the objective? `None` = it is not known.
fn loss(candidate: &PromotionCandidate, most: RecoveryPoint, now: MonoTime) -> Option<bool> {
    match most {
        RecoveryPoint::Bytes(most) => candidate.lost_bytes.map(|bytes| bytes <= most),
        RecoveryPoint::Time(most) => candidate.lost_since.map(|since| now.since(since) <= most),
    }
}
