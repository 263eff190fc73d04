//! What the statements of the endpoints and the places of their data say that is to be done. Nothing is changed here.

use super::super::endpoint::Endpoint;
use super::super::position::PositionRelation;
use super::super::service::Service;
use super::super::timers::Timer;
use super::super::{DataPosition, DataRole, EndpointId, FollowVerdict, Serving};
use crate::config::{FollowRule, FollowedRole, OnMultiplePrimaries};
use crate::time::MonoTime;

/// What the statements and the places say that is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowCourse {
    /// The first answers are not in.
    Await,
    /// The holder serves.
    Serve(EndpointId),
    /// There is no holder that serves. `revokes`: its sessions end.
    Lose { revokes: bool },
    /// The same: there is one that could be followed, and it lacks too much.
    Withhold { revokes: bool },
    /// This one is to be followed.
    Follow(EndpointId),
}

/// What the holder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HolderState {
    /// It is primary.
    Serves,
    /// It is not, or its data is not what was followed.
    Abdicates,
    /// It does not answer, or is out of use.
    Gone,
}

impl Endpoint {
    /// It answers, it may be used, and says that it has this role.
    pub(super) fn states(&self, role: FollowedRole) -> Option<bool> {
        let reading = self.data.reading.as_ref().filter(|_| self.usable())?;
        let writable = role == FollowedRole::Primary || reading.writable == Some(true);
        match reading.role {
            DataRole::Primary => Some(writable),
            DataRole::Replica => Some(false),
            DataRole::Unknown => None,
        }
    }
}

impl Service {
    pub(super) fn course(&self, rule: FollowRule, now: MonoTime) -> FollowCourse {
        let over = |timer| self.timers.armed(timer).is_none_or(|at| at <= now);
        let unasked =
            || self.serving == Serving::Starting && !self.pools.iter().all(|pool| pool.first_round_complete());
        if !over(Timer::FirstRound) && (unasked() || self.is_reading_missing()) {
            return FollowCourse::Await;
        }
        let accepted = self.following.accepted.and_then(|accepted| self.endpoint_of(accepted));
        if let Some(accepted) = accepted.filter(|accepted| accepted.states(rule.role) == Some(true)) {
            return FollowCourse::Follow(accepted.id);
        }
        let holder = self.holder();
        let others = self.primaries(rule);
        let state = holder.map_or(HolderState::Gone, |holder| self.holder_state(rule, holder, &others));
        if let Some(holder) = holder.filter(|_| state == HolderState::Serves) {
            return self.beside_the_holder(rule, holder, &others, now);
        }
        let silent = self.following.silent_since.zip(rule.fence_after);
        let too_long = silent.is_some_and(|(since, after)| now.since(since) >= after);
        let revokes = state == HolderState::Abdicates || too_long;
        match self.heir(&others) {
            // (Operators keep it where it is, also without a holder that serves.)
            Some(_) if self.holds_all() && holder.is_some() => FollowCourse::Lose { revokes },
            // After a restart the holder before it is given up for as many failed probes as ever.
            Some(_) if self.awaits_its_holder(state) && !over(Timer::FirstChoice) => FollowCourse::Await,
            Some(next) if self.is_withheld(rule, next, now) => FollowCourse::Withhold { revokes },
            Some(next) => FollowCourse::Follow(next),
            None => FollowCourse::Lose { revokes },
        }
    }

    fn awaits_its_holder(&self, state: HolderState) -> bool {
        self.serving == Serving::Starting && self.following.holder.is_some() && state == HolderState::Gone
    }

    /// Has an endpoint that is well not said yet what its data is, though its check would let it?
    pub fn is_reading_missing(&self) -> bool {
        let silent = |e: &Endpoint| e.usable() && e.data.reading.is_none() && !e.checks.is_unseeing();
        self.every_endpoint().any(silent)
    }

    fn holder_state(&self, rule: FollowRule, holder: &Endpoint, others: &[(EndpointId, FollowVerdict)]) -> HolderState {
        match holder.states(rule.role) {
            // It lives, and has not let a probe look since this process was started: the last known role is in force.
            None if holder.usable() && holder.checks.is_unseeing() && others.is_empty() => HolderState::Serves,
            None => HolderState::Gone,
            Some(false) => HolderState::Abdicates,
            Some(true) => match self.relation_of(holder) {
                // It was restored, or set up again: its data is not what was followed.
                Some(PositionRelation::Older | PositionRelation::Foreign | PositionRelation::Diverged) => {
                    HolderState::Abdicates
                }
                _ => HolderState::Serves,
            },
        }
    }

    /// How its place stands to what is followed; `None` = one of them is not known.
    pub(super) fn relation_of(&self, endpoint: &Endpoint) -> Option<PositionRelation> {
        let followed = self.following.followed.as_ref()?;
        let same = followed.address == endpoint.address;
        let relation = endpoint.data.place()?.relation(&followed.position, same);
        // What is followed is of that lineage by another promotion: of another server, or of this one before it was made a replica again.
        let since = if same { followed.seen } else { MonoTime::ZERO };
        // Where lineages have no numbers, a promotion is known by having seen it: a replica of what is followed that is primary now.
        let behind = matches!(relation, PositionRelation::Same { lacks: 1.. } | PositionRelation::Diverged);
        let replica = endpoint.data.as_replica_since(self.following.arrived).filter(|_| behind && !same);
        let promoted = replica
            .zip(endpoint.data.place())
            .is_some_and(|(replica, place)| place.is_promoted_from(replica, &followed.position));
        if promoted {
            return Some(PositionRelation::Newer { lost: None });
        }
        let apart = matches!(relation, PositionRelation::Same { .. }) && endpoint.data.began_its_lineage_after(since);
        Some(if apart { PositionRelation::Diverged } else { relation })
    }

    /// Endpoints that say that they are primary, but for the holder.
    pub(super) fn primaries(&self, rule: FollowRule) -> Vec<(EndpointId, FollowVerdict)> {
        let says = |endpoint: &&Endpoint| {
            // (Of one that is silent or does not let a probe look, what it said before is no statement.)
            let is_heard = endpoint.checks.fails == 0 && endpoint.checks.answer_class().is_none();
            is_heard && endpoint.states(rule.role) == Some(true) && !self.is_holder(endpoint)
        };
        self.every_endpoint().filter(says).map(|endpoint| (endpoint.id, self.verdict_of(endpoint))).collect()
    }

    /// What a primary is that is not the holder.
    pub(super) fn verdict_of(&self, endpoint: &Endpoint) -> FollowVerdict {
        let in_cluster = endpoint.data.place().is_some_and(DataPosition::is_of_a_cluster);
        match self.relation_of(endpoint) {
            // (While the holder serves, one that is a moment behind has received what it will have.)
            Some(PositionRelation::Same { lacks }) if in_cluster && (lacks == 0 || self.serving.is_served()) => {
                FollowVerdict::Peer
            }
            None if self.following.followed.is_some() => FollowVerdict::Unknown,
            None | Some(PositionRelation::Newer { .. } | PositionRelation::Same { lacks: 0 }) => FollowVerdict::Rival,
            Some(PositionRelation::Same { .. } | PositionRelation::Older) => FollowVerdict::Stale,
            Some(PositionRelation::Diverged) => FollowVerdict::Diverged,
            Some(PositionRelation::Foreign) => FollowVerdict::Foreign,
        }
    }

    /// The holder answers, and is primary. Does another one that is primary too take its place?
    fn beside_the_holder(
        &self,
        rule: FollowRule,
        holder: &Endpoint,
        others: &[(EndpointId, FollowVerdict)],
        now: MonoTime,
    ) -> FollowCourse {
        let doubtful = |verdict: FollowVerdict| matches!(verdict, FollowVerdict::Rival | FollowVerdict::Diverged);
        if rule.on_multiple_primaries == OnMultiplePrimaries::Close && others.iter().any(|(_, other)| doubtful(*other))
        {
            return FollowCourse::Lose { revokes: true };
        }
        match self.heir(others).filter(|next| self.is_affordable(rule, *next, now)) {
            Some(next) if !self.holds_all() => FollowCourse::Follow(next),
            _ => FollowCourse::Serve(holder.id),
        }
    }

    /// Of these primaries the one that has all that the others have; `None` = there is none, or it cannot be told.
    pub(super) fn heir(&self, others: &[(EndpointId, FollowVerdict)]) -> Option<EndpointId> {
        let able = |verdict: FollowVerdict| matches!(verdict, FollowVerdict::Rival | FollowVerdict::Peer);
        let rivals = || others.iter().filter(|(_, verdict)| able(*verdict)).map(|(id, _)| *id);
        // (Of the members of one cluster it is the first, in the order of the configuration.)
        let goes_before = |one, other| self.continues(one, other) || self.are_peers(one, other);
        rivals().find(|one| rivals().all(|other| *one == other || goes_before(*one, other)))
    }

    fn are_peers(&self, one: EndpointId, other: EndpointId) -> bool {
        let place = |id| self.endpoint_of(id).and_then(|endpoint| endpoint.data.place());
        place(one).zip(place(other)).is_some_and(|(one, other)| one.is_of_the_cluster_of(other))
    }

    /// Is the lineage of the first one a later one than that of the second?
    fn continues(&self, one: EndpointId, other: EndpointId) -> bool {
        let place = |id| self.endpoint_of(id).and_then(|endpoint| endpoint.data.place());
        let relation = place(one).zip(place(other)).map(|(one, other)| one.relation(other, false));
        matches!(relation, Some(PositionRelation::Newer { .. }))
    }
}
