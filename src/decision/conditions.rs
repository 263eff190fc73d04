//! [`Condition`]: an alert that lasts. The core raises it once when its reason begins, and clears it when the reason ends.
//!
//! Which conditions hold follows from the state of the service at the end of each turn (`Service::update_conditions`); nothing else
//! raises or clears one. While a service chooses its first pool, nothing is known about its pools: what is open stays open.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::service::Service;
use super::timers::Timer;
use super::turn::Turn;
use super::{CheckAnswerClass, Effect, Serving};
use crate::config::Name;
use crate::time::MonoTime;

/// The kind of a condition. A service has at most one open condition of each kind about each pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// No pool is available.
    AllDown,
    /// A pin holds the service on a pool that cannot serve.
    PinnedToUnusable,
    /// All pools became unreachable at once: the trouble is likely on this side, and no pool is left for it.
    Isolated,
    /// Too many outages: failback and rollback wait until the window has room, or for an operator's thaw.
    Frozen,
    /// Another pool than the first one serves, or a pool has lost its share.
    OnStandby,
    /// The pool that serves is not available, and serves because nothing better is left.
    FailingOpen,
    /// If the pool that serves failed, no other could take over.
    NoStandby,
    /// An operator's hold keeps the service from being switched.
    Held,
    /// A hold keeps the service on a pool that cannot serve, though another could.
    HeldToUnusable,
    /// Pools are avoided because their zone is evacuated.
    Evacuated,
    /// The last recovery took longer than `objectives.rto`.
    ObjectiveMissed,
    /// An endpoint of the pool is condemned by its checks or by traffic.
    EndpointOut,
    /// The check of an endpoint of the pool is not let in: nothing is known about that endpoint.
    CheckBlind,
    /// The service follows its primary, and there is none that it may follow.
    NoPrimary,
    /// Several endpoints say that they are primary, and which of them is right is not settled.
    MultiplePrimaries,
    /// An endpoint of the pool says that it is primary, and its data is old, of another branch or of another history: it gets nothing.
    StalePrimary,
    /// The primary is gone, and the next one is not followed: it lacks more than `objectives.rpo`.
    BeyondRpo,
    /// The last change of the primary lost more than `objectives.rpo`.
    RpoMissed,
    /// The fence hook did not say, when it was last run, that the former primary takes no more writes.
    Unfenced,
    /// The service reads at replicas, and none is known to be within `max_lag`.
    NoFreshReplica,
}

impl ConditionKind {
    /// All kinds.
    pub const ALL: [ConditionKind; 20] = [
        ConditionKind::AllDown,
        ConditionKind::PinnedToUnusable,
        ConditionKind::Isolated,
        ConditionKind::Frozen,
        ConditionKind::OnStandby,
        ConditionKind::FailingOpen,
        ConditionKind::NoStandby,
        ConditionKind::Held,
        ConditionKind::HeldToUnusable,
        ConditionKind::Evacuated,
        ConditionKind::ObjectiveMissed,
        ConditionKind::EndpointOut,
        ConditionKind::CheckBlind,
        ConditionKind::NoPrimary,
        ConditionKind::MultiplePrimaries,
        ConditionKind::StalePrimary,
        ConditionKind::BeyondRpo,
        ConditionKind::RpoMissed,
        ConditionKind::Unfenced,
        ConditionKind::NoFreshReplica,
    ];

    /// Its name in records, metrics and `/status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionKind::AllDown => "all_down",
            ConditionKind::PinnedToUnusable => "pinned_to_unusable",
            ConditionKind::Isolated => "isolated",
            ConditionKind::Frozen => "frozen",
            ConditionKind::OnStandby => "on_standby",
            ConditionKind::FailingOpen => "failing_open",
            ConditionKind::NoStandby => "no_standby",
            ConditionKind::Held => "held",
            ConditionKind::HeldToUnusable => "held_to_unusable",
            ConditionKind::Evacuated => "evacuated",
            ConditionKind::ObjectiveMissed => "objective_missed",
            ConditionKind::EndpointOut => "endpoint_out",
            ConditionKind::CheckBlind => "check_blind",
            ConditionKind::NoPrimary => "no_primary",
            ConditionKind::MultiplePrimaries => "multiple_primaries",
            ConditionKind::StalePrimary => "stale_primary",
            ConditionKind::BeyondRpo => "beyond_rpo",
            ConditionKind::RpoMissed => "rpo_missed",
            ConditionKind::Unfenced => "unfenced",
            ConditionKind::NoFreshReplica => "no_fresh_replica",
        }
    }

    /// For people: what it says.
    pub const fn text(self) -> &'static str {
        match self {
            ConditionKind::AllDown => "all pools are down",
            ConditionKind::PinnedToUnusable => "the pin holds the service on a pool that cannot serve",
            ConditionKind::Isolated => {
                "all pools became unreachable at once: the trouble is likely here (link, route, firewall), so no pool is left for \
                 it; requests wait or get 503 until an endpoint answers"
            }
            ConditionKind::Frozen => "more outages than failover.max_failovers: failback and rollback are frozen",
            ConditionKind::OnStandby => "a standby serves",
            ConditionKind::FailingOpen => "its checks fail, and it serves because nothing better is left",
            ConditionKind::NoStandby => "no other pool could take over",
            ConditionKind::Held => "an operator holds it: switches are not made",
            ConditionKind::HeldToUnusable => "the hold keeps the service on a pool that cannot serve",
            ConditionKind::Evacuated => "a zone of its pools is evacuated",
            ConditionKind::ObjectiveMissed => "the last recovery took longer than objectives.rto",
            ConditionKind::EndpointOut => "an endpoint is out: its checks or its traffic fail",
            ConditionKind::CheckBlind => {
                "the check of an endpoint is not let in: mend its login, its rights or its TLS"
            }
            ConditionKind::NoPrimary => "no primary that may be followed: new connections are held, then refused",
            ConditionKind::MultiplePrimaries => {
                "several endpoints say that they are primary: stop the wrong one, or say `standfast accept SERVICE ENDPOINT`"
            }
            ConditionKind::StalePrimary => {
                "a primary has data that is not followed: stop it and make it a replica, or say `standfast accept SERVICE ENDPOINT`"
            }
            ConditionKind::BeyondRpo => {
                "the next primary lacks more than objectives.rpo and is not followed: bring the former one back, or say `standfast accept SERVICE ENDPOINT`"
            }
            ConditionKind::RpoMissed => "the last change of the primary lost more than objectives.rpo",
            ConditionKind::Unfenced => {
                "the fence hook did not say that the former primary is fenced: it may take writes of others, so stop it by hand"
            }
            ConditionKind::NoFreshReplica => {
                "no replica is known to be within max_lag (the primary must be an endpoint, too): reads go to the primary, or are refused"
            }
        }
    }

    /// How much it matters.
    pub const fn severity(self) -> ConditionSeverity {
        match self {
            ConditionKind::AllDown
            | ConditionKind::PinnedToUnusable
            | ConditionKind::HeldToUnusable
            | ConditionKind::Isolated
            | ConditionKind::FailingOpen
            | ConditionKind::CheckBlind
            | ConditionKind::NoPrimary
            | ConditionKind::MultiplePrimaries
            | ConditionKind::StalePrimary
            | ConditionKind::BeyondRpo
            | ConditionKind::RpoMissed
            | ConditionKind::Unfenced => ConditionSeverity::Error,
            ConditionKind::Frozen
            | ConditionKind::NoFreshReplica
            | ConditionKind::NoStandby
            | ConditionKind::Held
            | ConditionKind::Evacuated
            | ConditionKind::ObjectiveMissed => ConditionSeverity::Warning,
            // (The switch and the standing that they follow from are told, too.)
            ConditionKind::OnStandby | ConditionKind::EndpointOut => ConditionSeverity::Notice,
        }
    }

    /// It follows from what was decided or ordered, also before the first choice; else from the state of the pools, of which nothing
    /// is known then.
    pub const fn is_decided(self) -> bool {
        matches!(
            self,
            ConditionKind::Frozen
                | ConditionKind::Held
                | ConditionKind::Evacuated
                | ConditionKind::ObjectiveMissed
                | ConditionKind::RpoMissed
                | ConditionKind::Unfenced
        )
    }
}

/// How much a condition matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionSeverity {
    /// As planned, and good to know.
    Notice,
    /// Served, with less in reserve than planned.
    Warning,
    /// Not served, or not as it should be.
    Error,
}

/// A state of one service that an operator should know of, as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Its kind.
    pub kind: ConditionKind,
    /// The service.
    pub service: Name,
    /// The pool that it is about; `None` = the whole service.
    pub pool: Option<Name>,
    /// When it was raised.
    pub since: MonoTime,
    /// When it ends by itself, as far as that is known (a freeze, a hold, an evacuation).
    pub until: Option<MonoTime>,
    /// For people.
    pub text: String,
}

/// A condition begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionChange {
    /// Its reason began; or it ends later than was told (a further outage, another hold), and is told again with its new end.
    Raised(Condition),
    /// Its reason ended, or its service is gone.
    Cleared(Condition),
}

impl ConditionChange {
    /// The condition.
    pub fn condition(&self) -> &Condition {
        match self {
            ConditionChange::Raised(condition) | ConditionChange::Cleared(condition) => condition,
        }
    }
}

/// An open condition as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConditionStatus {
    /// Its kind.
    pub kind: ConditionKind,
    /// The pool that it is about; `None` = the whole service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub pool: Option<Name>,
    /// How long it has been open, in milliseconds.
    pub for_ms: u64,
    /// For people.
    pub text: String,
}

/// An open condition in the saved state: a restart neither raises nor clears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCondition {
    /// Its kind.
    pub kind: ConditionKind,
    /// The pool that it is about; `None` = the whole service.
    #[serde(default)]
    pub pool: Option<Name>,
    /// How long ago it was raised, in microseconds.
    pub age_us: u64,
}

impl SavedCondition {
    /// The condition as this process goes on with it.
    pub(super) fn restored(&self, service: &Name, now: MonoTime) -> Condition {
        let since = now.before(Duration::from_micros(self.age_us));
        Condition::new(self.kind, service, self.pool.clone(), since)
    }
}

impl Condition {
    fn new(kind: ConditionKind, service: &Name, pool: Option<Name>, since: MonoTime) -> Condition {
        Condition { kind, service: service.clone(), pool, since, until: None, text: kind.text().to_owned() }
    }

    pub(super) fn status(&self, now: MonoTime) -> ConditionStatus {
        let for_ms = now.since(self.since).as_millis() as u64;
        ConditionStatus { kind: self.kind, pool: self.pool.clone(), for_ms, text: self.text.clone() }
    }

    pub(super) fn save(&self, now: MonoTime) -> SavedCondition {
        let age_us = now.since(self.since).as_micros() as u64;
        SavedCondition { kind: self.kind, pool: self.pool.clone(), age_us }
    }
}

/// What a service that is gone leaves open.
pub(super) fn clear(conditions: impl IntoIterator<Item = Condition>, effects: &mut Vec<Effect>) {
    effects.extend(conditions.into_iter().map(|condition| Effect::Condition(ConditionChange::Cleared(condition))));
}

impl Service {
    /// Raise what holds now and is not open; clear what is open and does not hold any more.
    pub(super) fn update_conditions(&mut self, turn: &mut Turn<'_>) {
        let renamed = self.follow_rename(turn);
        let holds = self.conditions_that_hold();
        let undecided = self.serving == Serving::Starting;
        let stays = |open: &Condition| {
            undecided && !open.kind.is_decided()
                || holds.iter().any(|(kind, pool)| *kind == open.kind && *pool == open.pool)
        };
        let ended: Vec<Condition> = self.conditions.extract_if(.., |open| !stays(open)).collect();
        let mut changed = !ended.is_empty();
        if !renamed {
            clear(ended, turn.effects);
        }
        self.tell_again(renamed, turn);
        for (kind, pool) in holds {
            if !self.conditions.iter().any(|open| open.kind == kind && open.pool == pool) {
                let mut condition = Condition::new(kind, self.name(), pool, turn.now);
                condition.until = self.condition_end(kind);
                turn.effects.push(Effect::Condition(ConditionChange::Raised(condition.clone())));
                self.conditions.push(condition);
                changed = true;
            }
        }
        if changed {
            turn.effects.push(Effect::Persist);
        }
    }

    /// A reload has renamed the service: what is open is cleared under its old name, and goes on under the new one.
    fn follow_rename(&mut self, turn: &mut Turn<'_>) -> bool {
        let renamed = self.row.name != *self.name();
        if renamed {
            clear(self.conditions.iter().cloned(), turn.effects);
            let name = self.name().clone();
            self.conditions.iter_mut().for_each(|open| open.service.clone_from(&name));
        }
        renamed
    }

    /// When a condition of this kind ends by itself.
    fn condition_end(&self, kind: ConditionKind) -> Option<MonoTime> {
        match kind {
            ConditionKind::Frozen => self.frozen_until(),
            ConditionKind::Held => self.timers.armed(Timer::Hold),
            ConditionKind::Evacuated => self.evacuated.values().max().copied(),
            _ => None,
        }
    }

    /// Raises again what goes on under another name, or ends later than was told. (The end is not known after a restart.)
    fn tell_again(&mut self, renamed: bool, turn: &mut Turn<'_>) {
        let ends: Vec<_> = self.conditions.iter().map(|open| self.condition_end(open.kind)).collect();
        for (open, until) in self.conditions.iter_mut().zip(ends) {
            let longer = open.until.is_some() && open.until < until;
            open.until = until;
            if renamed || longer {
                turn.effects.push(Effect::Condition(ConditionChange::Raised(open.clone())));
            }
        }
    }

    /// The conditions whose reason is given now.
    fn conditions_that_hold(&self) -> Vec<(ConditionKind, Option<Name>)> {
        let mut holds = Vec::new();
        let pinned = self.pinned.as_ref().filter(|pin| self.index_of(pin).is_some_and(|pool| !self.available(pool)));
        match (&self.serving, pinned) {
            (Serving::Starting, _) => {}
            (_, Some(pool)) => holds.push((ConditionKind::PinnedToUnusable, Some(pool.clone()))),
            (Serving::Down, None) if self.follows().is_some() => holds.push((ConditionKind::NoPrimary, None)),
            (Serving::Down, None) => holds.push((ConditionKind::AllDown, None)),
            _ if self.failing_open => holds.push((ConditionKind::AllDown, None)),
            _ => {}
        }
        let simple = [
            (ConditionKind::Isolated, self.isolated),
            (ConditionKind::Frozen, self.frozen_until().is_some()),
            (ConditionKind::FailingOpen, self.failing_open && self.serving.is_served()),
            (ConditionKind::NoStandby, self.has_no_standby()),
            (ConditionKind::Held, self.hold.is_some()),
            (ConditionKind::Evacuated, !self.evacuated.is_empty()),
            (ConditionKind::ObjectiveMissed, self.missed),
            (ConditionKind::MultiplePrimaries, self.has_rivals()),
            (ConditionKind::BeyondRpo, self.following.beyond_rpo_since.is_some()),
            (ConditionKind::RpoMissed, self.following.missed_rpo && self.has_rpo()),
            (ConditionKind::Unfenced, self.is_unfenced()),
        ];
        holds.extend(simple.into_iter().filter(|(_, holds)| *holds).map(|(kind, _)| (kind, None)));
        let about = |kind: ConditionKind, pool: usize| (kind, Some(self.pools[pool].name.clone()));
        let stuck = self.serving.active().filter(|active| self.holds_all() && !self.available(*active));
        let stuck = stuck.filter(|_| self.best_available().is_some());
        holds.extend(stuck.map(|pool| about(ConditionKind::HeldToUnusable, pool)));
        holds.extend(self.standby().map(|pool| about(ConditionKind::OnStandby, pool)));
        if self.serving != Serving::Starting {
            let any = |is: fn(&Endpoint) -> bool| {
                (0..self.pools.len()).filter(move |pool| self.pools[*pool].endpoints.iter().any(is))
            };
            let out = any(|endpoint| endpoint.standing.operational.has_fallen());
            let blind = any(|endpoint| endpoint.checks.answer_class() == Some(CheckAnswerClass::Blind));
            holds.extend(out.map(|pool| about(ConditionKind::EndpointOut, pool)));
            holds.extend(blind.map(|pool| about(ConditionKind::CheckBlind, pool)));
            if self.reads().is_some() && !self.has_fresh_replica() {
                holds.push((ConditionKind::NoFreshReplica, None));
            }
            let refused = (0..self.pools.len()).filter(|pool| self.has_refused_primary(*pool));
            holds.extend(refused.map(|pool| about(ConditionKind::StalePrimary, pool)));
        }
        holds
    }

    /// The pool that serves in the place of the first one; where pools share the traffic, the first one that serves while another has
    /// lost its share.
    fn standby(&self) -> Option<usize> {
        let serving = (0..self.pools.len()).find(|pool| self.serves(*pool) && self.follows().is_none())?;
        match self.serving {
            // (That the first pool is the primary's is as planned where replicas are read at.)
            Serving::Active(active) => {
                let min_healthy = self.config.failover.min_healthy;
                let better = |pool: usize| {
                    let pool = &self.pools[pool];
                    let is_as_planned = self.reads().is_some() && pool.is_well(min_healthy);
                    !pool.is_static && (pool.available(min_healthy) || !is_as_planned)
                };
                (0..active).any(better).then_some(active)
            }
            _ => (!self.lost.is_empty()).then_some(serving),
        }
    }

    /// If a pool that serves failed, would there be none? A service that has no other pool has planned for none.
    fn has_no_standby(&self) -> bool {
        let pools = || (0..self.pools.len()).filter(|pool| !self.pools[*pool].is_static);
        let able = pools().filter(|pool| self.pools[*pool].is_well(self.config.failover.min_healthy)).count();
        let serves = self.serving.is_served() && pools().any(|pool| self.serves(pool) && self.available(pool));
        serves && pools().count() > 1 && able < 2
    }
}
