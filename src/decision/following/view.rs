//! What is told of following, and what is saved of it.

use std::time::Duration;

use super::super::endpoint::Endpoint;
use super::super::follow_state::FollowedPlace;
use super::super::service::Service;
use super::super::{EndpointId, FollowRecord, FollowVerdict, FollowingStatus, SavedFollowing};
use crate::config::{FollowRule, OnMultiplePrimaries};
use crate::time::MonoTime;

impl Service {
    /// What is to be recorded of the data when the next holder, or the former one again, takes the service.
    pub fn follow_record(&self, now: MonoTime) -> Option<FollowRecord> {
        let rule = self.follows()?;
        let next = self.endpoint_of(self.following.next.or(self.following.holder)?)?;
        let before = self.following.followed.as_ref();
        let loss = self.loss_by_following(next);
        Some(FollowRecord {
            from: before.map(|before| before.address),
            to: next.address,
            left_at: before.map(|before| before.position.clone()),
            age_ms: before.map(|before| now.since(before.seen).as_millis() as u64),
            joined_at: next.data.place().cloned(),
            lost_bytes: loss.bytes,
            lost_transactions: loss.transactions,
            lost_ms: loss.since.map(|since| now.since(since).as_millis() as u64),
            fence: self.following.fence.clone().filter(|_| self.following.next.is_some()),
            missed_rpo: before.is_some() && rule.rpo.is_some_and(|most| !loss.is_within(most, now)),
        })
    }

    pub(super) fn verdicts(&self, rule: FollowRule) -> Vec<(EndpointId, FollowVerdict)> {
        let mut verdicts = self.primaries(rule);
        let beyond = self.following.beyond_rpo_since.and_then(|_| self.heir(&verdicts));
        for (id, verdict) in &mut verdicts {
            if self.following.next == Some(*id) {
                *verdict = FollowVerdict::Next;
            } else if beyond == Some(*id) {
                *verdict = FollowVerdict::BeyondRpo;
            }
        }
        // A holder that may not serve any more for what its data is.
        let holder = self.holder().filter(|holder| !self.serving.is_served() && holder.states(rule.role) == Some(true));
        verdicts.extend(
            holder.map(|holder| (holder.id, self.verdict_of(holder))).filter(|(_, verdict)| verdict.is_refused()),
        );
        verdicts
    }

    /// What this endpoint is to the service; `None` where it follows no primary.
    pub fn follow_verdict(&self, endpoint: &Endpoint) -> Option<FollowVerdict> {
        let rule = self.follows()?;
        let told = self.following.others.iter().find(|(id, _)| *id == endpoint.id).map(|(_, verdict)| *verdict);
        Some(told.unwrap_or_else(|| match endpoint.states(rule.role) {
            _ if self.is_holder(endpoint) && self.serving.is_served() => FollowVerdict::Holder,
            Some(false) => FollowVerdict::Replica,
            None if self.is_holder(endpoint) => FollowVerdict::Silent,
            _ => FollowVerdict::Unknown,
        }))
    }

    /// Does a primary of this pool have data that is not followed?
    pub fn has_refused_primary(&self, pool: usize) -> bool {
        let of = |id: EndpointId| self.pools[pool].endpoints.iter().any(|endpoint| endpoint.id == id);
        self.following.others.iter().any(|(id, verdict)| verdict.is_refused() && of(*id))
    }

    /// Do several endpoints say that they are primary, where that is not settled?
    pub fn has_rivals(&self) -> bool {
        let Some(rule) = self.follows() else { return false };
        let closes = rule.on_multiple_primaries == OnMultiplePrimaries::Close;
        let is_rival =
            |verdict: FollowVerdict| verdict == FollowVerdict::Rival || closes && verdict == FollowVerdict::Diverged;
        let rivals = self.following.others.iter().filter(|(_, verdict)| is_rival(*verdict)).count();
        let holds = self.holder().is_some_and(|holder| holder.states(rule.role) == Some(true));
        rivals + usize::from(holds) > 1
    }

    /// For `/status`.
    pub fn following_status(&self, now: MonoTime) -> FollowingStatus {
        let address = |id: Option<EndpointId>| id.and_then(|id| self.endpoint_of(id)).map(|endpoint| endpoint.address);
        let followed = self.following.followed.as_ref();
        FollowingStatus {
            holder: address(self.following.holder),
            followed: followed.map(|followed| followed.position.clone()),
            followed_age_ms: followed.map(|followed| now.since(followed.seen).as_millis() as u64),
            beyond_rpo_ms: self.following.beyond_rpo_since.map(|since| now.since(since).as_millis() as u64),
            accepted: address(self.following.accepted),
        }
    }

    // ---- what survives a restart ---------------------------------------------------------------------------------

    /// For the state file.
    pub fn save_following(&self, now: MonoTime) -> Option<SavedFollowing> {
        let followed = self.following.followed.as_ref()?;
        Some(SavedFollowing {
            holder: self.holder().map(|holder| holder.address),
            address: followed.address,
            position: followed.position.clone(),
            age_us: now.since(followed.seen).as_micros() as u64,
            beyond_rpo_us: self.following.beyond_rpo_since.map(|since| now.since(since).as_micros() as u64),
        })
    }

    /// What an earlier process followed.
    pub fn restore_following(&mut self, saved: &SavedFollowing, now: MonoTime) {
        let holder = self.every_endpoint().find(|endpoint| Some(endpoint.address) == saved.holder);
        self.following.holder = holder.map(|endpoint| endpoint.id);
        self.following.arrived = now;
        let seen = now.before(Duration::from_micros(saved.age_us));
        let (address, position) = (saved.address, saved.position.clone());
        if let Some(offset) = position.offset() {
            self.following.history.note(offset, seen);
        }
        self.following.beyond_rpo_since = saved.beyond_rpo_us.map(|age| now.before(Duration::from_micros(age)));
        self.following.followed = Some(FollowedPlace { address, position, seen });
    }
}
