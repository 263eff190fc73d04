//! Following the primary: of a service whose check asks for the role, one endpoint at most has the traffic, the *holder*, in whichever
//! pool it is. What a server states counts at once; silence does not move the service by itself, and the positions of the data decide who
//! may be followed. The rules are in [manual::following](crate::manual::following).
//!
//! A holder is left before another one is followed: first no pool serves, the sessions of the holder end, and when that is
//! acknowledged (or two seconds are over) the next one serves. So there is a moment without a holder between any two.

mod course;
mod loss;
mod view;

use std::time::Duration;

use self::course::FollowCourse;
use super::endpoint::Endpoint;
use super::follow_state::FollowedPlace;
use super::position::PositionRelation;
use super::service::Service;
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::turn::Turn;
use super::{Effect, EndpointId, Serving, SwitchKind};
use crate::config::FollowRule;
use crate::time::MonoTime;

/// How often the place that is followed is saved while nothing else is.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// How long the end of the former holder's sessions is waited for.
pub(super) const FENCE_LIMIT: Duration = Duration::from_secs(2);

impl Service {
    /// The rule by which it follows its primary.
    pub fn follows(&self) -> Option<FollowRule> {
        self.config.failover.following
    }

    /// Is this the endpoint that has the traffic?
    pub fn is_holder(&self, endpoint: &Endpoint) -> bool {
        self.following.holder == Some(endpoint.id)
    }

    /// The endpoint that has the traffic, or had it last.
    fn holder(&self) -> Option<&Endpoint> {
        self.endpoint_of(self.following.holder?)
    }

    /// Where this endpoint is, as what is followed; `None`: it does not say.
    fn place_of(&self, id: EndpointId) -> Option<FollowedPlace> {
        let endpoint = self.endpoint_of(id)?;
        let position = endpoint.data.place()?.clone();
        Some(FollowedPlace { address: endpoint.address, position, seen: endpoint.data.read_at })
    }

    fn endpoint_of(&self, id: EndpointId) -> Option<&Endpoint> {
        self.every_endpoint().find(|endpoint| endpoint.id == id)
    }

    fn pool_of(&self, id: EndpointId) -> Option<usize> {
        self.pools.iter().position(|pool| pool.endpoints.iter().any(|endpoint| endpoint.id == id))
    }

    /// One decision of a service that follows its primary.
    pub fn decide_following(&mut self, rule: FollowRule, turn: &mut Turn<'_>) {
        self.following.holder = self.holder().map(|holder| holder.id);
        // (What is accepted is what it is now.)
        let accepted = self.following.accepted.and_then(|accepted| self.endpoint_of(accepted));
        self.following.accepted = accepted.filter(|e| e.states(rule.role) == Some(true)).map(|e| e.id);
        let course = self.course(rule, turn.now);
        if self.serving == Serving::Starting && course != FollowCourse::Await {
            self.last_active = self.resume.take().or(self.last_active.take());
        }
        self.following.next = match course {
            FollowCourse::Follow(next) => Some(next),
            _ => None,
        };
        let intended = match course {
            FollowCourse::Await => return,
            FollowCourse::Serve(holder) => self.serve(holder, turn),
            FollowCourse::Lose { revokes } | FollowCourse::Withhold { revokes } => {
                self.lose_holder(revokes, turn);
                None
            }
            FollowCourse::Follow(next) => self.follow(next, turn),
        };
        self.pursue(intended, turn);
        self.failing_open = false;
        self.keep_time_of_silence(rule, turn.now);
        self.keep_time_beyond_rpo(rule, course, turn);
        self.advance_followed(turn);
        self.following.others = self.verdicts(rule);
    }

    /// The holder serves, perhaps again.
    fn serve(&mut self, holder: EndpointId, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let pool = self.pool_of(holder)?;
        match self.serving {
            Serving::Active(active) if active == pool => None,
            Serving::Starting => {
                self.following.is_revoked = false;
                self.begin(Serving::Active(pool), turn);
                None
            }
            _ => Some(IntendedSwitch::own(SwitchKind::Recovery, Some(pool))),
        }
    }

    /// No holder serves.
    fn lose_holder(&mut self, revokes: bool, turn: &mut Turn<'_>) {
        let revokes = revokes && !self.following.is_revoked;
        self.following.is_revoked |= revokes;
        match self.serving {
            Serving::Active(_) => self.take(IntendedSwitch::own(SwitchKind::Failover, None), turn),
            Serving::Starting => self.begin(Serving::Down, turn),
            Serving::Shared(_) => {}
            Serving::Down if revokes => self.fence_left(turn),
            Serving::Down => {}
        }
    }

    /// Another one than the holder is to be followed: the holder's sessions end first.
    fn follow(&mut self, next: EndpointId, turn: &mut Turn<'_>) -> Option<IntendedSwitch> {
        let pool = self.pool_of(next)?;
        if self.serving == Serving::Starting && self.following.followed.is_none() {
            self.arrive(next, turn.now);
            self.begin(Serving::Active(pool), turn);
            return None;
        }
        self.lose_holder(true, turn);
        Some(IntendedSwitch::own(SwitchKind::Follow, Some(pool)))
    }

    /// The sessions of the pool that served last end.
    pub fn fence_left(&mut self, turn: &mut Turn<'_>) {
        let left = self.left.as_ref().and_then(|left| left.pool.clone()).and_then(|pool| self.index_of(&pool));
        if let Some(pool) = left {
            self.end_sessions(pool, turn);
            if let Some(left) = &mut self.left {
                left.told.clone_from(&self.pools[pool].name);
                (left.epoch, left.since) = (turn.epoch, turn.now);
            }
        }
    }

    /// A switch to a pool was taken: its holder is the one that was to be followed, or the one that was silent.
    pub fn arrive_where_it_follows(&mut self, now: MonoTime) {
        let has_missed = self.follow_record(now).is_some_and(|record| record.missed_rpo);
        if let Some(next) = self.following.next.take().or(self.following.holder) {
            // (That the same one is back says nothing of what was lost before.)
            self.following.missed_rpo = has_missed || self.following.missed_rpo && self.following.holder == Some(next);
            self.arrive(next, now);
        }
    }

    fn arrive(&mut self, holder: EndpointId, now: MonoTime) {
        self.following.accepted = None;
        self.following.fence = None;
        if self.following.holder != Some(holder) {
            self.following.arrived = now;
            // Its place is what is followed now, wherever it is.
            self.following.followed = self.place_of(holder).or(self.following.followed.take());
            self.following.history.clear();
        }
        self.following.holder = Some(holder);
        self.following.is_revoked = false;
        self.following.next = None;
    }

    // ---- what is remembered --------------------------------------------------------------------------------------

    /// The holder has gone on: so has what is followed.
    fn advance_followed(&mut self, turn: &mut Turn<'_>) {
        let holder = self.following.holder.filter(|_| self.serving.is_served());
        let Some(mut place) = holder.and_then(|holder| self.place_of(holder)) else { return };
        let before = self.following.followed.take();
        let renewed = before.as_ref().is_none_or(|before| {
            let relation = place.position.relation(&before.position, before.address == place.address);
            matches!(relation, PositionRelation::Newer { .. })
        });
        // (A process that was started since has not seen its promotion.)
        match before.as_ref().filter(|before| place.position.is_of_the_lineage_of(&before.position)) {
            Some(before) => place.position = place.position.keep_fork_of(&before.position),
            None => self.following.history.clear(),
        }
        if let Some(offset) = place.position.offset() {
            self.following.history.note(offset, place.seen);
        }
        let moved = before.is_none_or(|before| before.position != place.position);
        self.following.followed = Some(place);
        let due = self.following.saved.is_none_or(|saved| turn.now.since(saved) >= SAVE_EVERY);
        if renewed || moved && due {
            self.following.saved = Some(turn.now);
            turn.effects.push(Effect::Persist);
        }
    }

    fn keep_time_of_silence(&mut self, rule: FollowRule, now: MonoTime) {
        let silent = self.serving == Serving::Down && !self.following.is_revoked && self.following.holder.is_some();
        self.following.silent_since = silent.then(|| self.following.silent_since.unwrap_or(now));
        let due = self.following.silent_since.zip(rule.fence_after).map(|(since, after)| since.after(after));
        self.timers.set(Timer::Silence, due.filter(|due| *due > now));
    }

    // ---- an operator's word --------------------------------------------------------------------------------------

    /// An operator takes the data of this endpoint for the right one, whatever was followed before. `false`: it is no primary now, and its
    /// data at a later time is not known.
    pub fn accept(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoint_of(id) else { return false };
        if self.follows().is_none_or(|rule| endpoint.states(rule.role) != Some(true)) {
            return false;
        }
        if self.following.holder == Some(id) {
            self.following.followed = self.place_of(id);
            self.following.history.clear();
        } else {
            self.following.accepted = Some(id);
        }
        true
    }
}
