//! What is lost by following another one, and whether the recovery point objective allows that.
//!
//! In bytes it is what the former holder had at its last sample and the next one has not. As a time it is how long ago the former holder
//! was where the next one's log leaves its own; that includes the age of its last sample, because what it wrote after that is not known.

use super::super::endpoint::Endpoint;
use super::super::position::PositionRelation;
use super::super::service::Service;
use super::super::timers::Timer;
use super::super::turn::Turn;
use super::super::{Effect, EndpointId};
use super::course::FollowCourse;
use crate::config::{FollowRule, OnRpoExceeded, RecoveryPoint};
use crate::time::MonoTime;

/// What is lost by following an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DataLoss {
    /// Bytes of the log; `None` = not known.
    pub bytes: Option<u64>,
    /// Transactions at most, where the servers count these.
    pub transactions: Option<u64>,
    /// What was written since then; `None` = not known, or the endpoint has all that it had.
    pub since: Option<MonoTime>,
}

impl DataLoss {
    /// Does the objective allow it? What is not known is too much.
    pub fn is_within(self, most: RecoveryPoint, now: MonoTime) -> bool {
        match most {
            RecoveryPoint::Bytes(most) => self.bytes.is_some_and(|bytes| bytes <= most),
            RecoveryPoint::Time(most) => match self.since {
                Some(since) => now.since(since) <= most,
                None => self.bytes == Some(0),
            },
        }
    }
}

impl Service {
    /// Is there an objective?
    pub fn has_rpo(&self) -> bool {
        self.follows().is_some_and(|rule| rule.rpo.is_some())
    }

    /// What of the data that is followed this endpoint has not.
    pub(super) fn loss_by_following(&self, endpoint: &Endpoint) -> DataLoss {
        let Some(followed) = self.following.followed.as_ref() else { return DataLoss::default() };
        let place = endpoint.data.place();
        let transactions = place.and_then(|place| place.lacks_transactions(&followed.position));
        let bytes = match (transactions, self.relation_of(endpoint)) {
            // (How large they were is not known.)
            (Some(lacks), _) => Some(0).filter(|_| lacks == 0),
            (None, Some(PositionRelation::Same { lacks })) => Some(lacks),
            (None, Some(PositionRelation::Newer { lost })) => lost,
            (None, _) => None,
        };
        // (What the same server has still, it has lost nothing of, however long it was silent.)
        let is_whole = followed.address == endpoint.address && bytes == Some(0);
        let place = followed.position.offset().zip(bytes).map(|(offset, bytes)| offset.saturating_sub(bytes));
        let since = place.filter(|_| !is_whole).and_then(|place| self.following.history.last_at(place));
        DataLoss { bytes, transactions, since }
    }

    /// A living holder is left for this one: only if the objective allows what is lost.
    pub(super) fn is_affordable(&self, rule: FollowRule, next: EndpointId, now: MonoTime) -> bool {
        let Some((most, next)) = rule.rpo.zip(self.endpoint_of(next)) else { return false };
        // (Where it forked is known: what the holder goes on to write is beyond that.)
        let is_newer = matches!(self.relation_of(next), Some(PositionRelation::Newer { lost: Some(_) }));
        is_newer && (self.is_underway(next.id) || self.loss_by_following(next).is_within(most, now))
    }

    /// The holder is gone, and this one is not followed because it lacks more than the objective allows.
    pub(super) fn is_withheld(&self, rule: FollowRule, next: EndpointId, now: MonoTime) -> bool {
        let since = self.following.beyond_rpo_since.unwrap_or(now);
        let is_over = rule.rpo_patience.is_some_and(|patience| now.since(since) >= patience);
        let (OnRpoExceeded::Hold, Some(_), Some(most)) = (rule.on_rpo_exceeded, &self.following.followed, rule.rpo)
        else {
            return false;
        };
        let next = self.endpoint_of(next).filter(|next| !is_over && !self.is_underway(next.id));
        next.is_some_and(|next| !self.loss_by_following(next).is_within(most, now))
    }

    /// It was decided already, and waits for the end of the holder's sessions: the time that passes meanwhile does not undo it.
    fn is_underway(&self, next: EndpointId) -> bool {
        (self.transition.is_some() || self.given_up.is_some()) && self.following.next == Some(next)
    }

    /// How long a primary has waited because it lacks too much.
    pub(super) fn keep_time_beyond_rpo(&mut self, rule: FollowRule, course: FollowCourse, turn: &mut Turn<'_>) {
        let is_withheld = matches!(course, FollowCourse::Withhold { .. });
        let since = is_withheld.then(|| self.following.beyond_rpo_since.unwrap_or(turn.now));
        if std::mem::replace(&mut self.following.beyond_rpo_since, since).is_some() != since.is_some() {
            turn.effects.push(Effect::Persist);
        }
        let due = since.zip(rule.rpo_patience).map(|(since, patience)| since.after(patience));
        self.timers.set(Timer::RpoPatience, due.filter(|due| *due > turn.now));
    }
}
