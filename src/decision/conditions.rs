//! [`Condition`]: an alert that lasts. The core raises it once when its reason begins, and clears it when the reason ends.
//!
//! Which conditions hold follows from the state of the service at the end of each turn (`Service::update_conditions`); nothing else
//! raises or clears one. While a service chooses its first pool, nothing is known about its pools: what is open stays open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::service::Service;
use super::turn::Turn;
use super::{Effect, Serving};
use crate::config::Name;
use crate::time::MonoTime;

/// The kind of a condition. A service has at most one open condition of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
}

impl ConditionKind {
    /// All kinds.
    pub const ALL: [ConditionKind; 4] =
        [ConditionKind::AllDown, ConditionKind::PinnedToUnusable, ConditionKind::Isolated, ConditionKind::Frozen];

    /// Its name in records, metrics and `/status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionKind::AllDown => "all_down",
            ConditionKind::PinnedToUnusable => "pinned_to_unusable",
            ConditionKind::Isolated => "isolated",
            ConditionKind::Frozen => "frozen",
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
        }
    }

    /// It follows from the state of the pools, of which nothing is known before the first choice.
    const fn needs_a_choice(self) -> bool {
        !matches!(self, ConditionKind::Frozen)
    }
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
    /// When it ends by itself, as far as that is known (a freeze).
    pub until: Option<MonoTime>,
    /// For people.
    pub text: String,
}

/// A condition begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionChange {
    /// Its reason began; or a further outage made a freeze longer, which is told again with its new end.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionStatus {
    /// Its kind.
    pub kind: ConditionKind,
    /// The pool that it is about; `None` = the whole service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
        let before = self.conditions.len();
        let stays = |open: &Condition| {
            undecided && open.kind.needs_a_choice()
                || holds.iter().any(|(kind, pool)| *kind == open.kind && *pool == open.pool)
        };
        let (open, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.conditions).into_iter().partition(stays);
        let mut changed = open.len() != before;
        if !renamed {
            clear(ended, turn.effects);
        }
        self.conditions = open;
        self.tell_again(renamed, turn);
        for (kind, pool) in holds {
            if !self.conditions.iter().any(|open| open.kind == kind) {
                let mut condition = Condition::new(kind, self.name(), pool, turn.now);
                condition.until = self.frozen_until().filter(|_| kind == ConditionKind::Frozen);
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

    /// Raises again what goes on under another name, or is a freeze that has become longer. (Its end is not known after a restart.)
    fn tell_again(&mut self, renamed: bool, turn: &mut Turn<'_>) {
        let frozen_until = self.frozen_until();
        for open in &mut self.conditions {
            let until = frozen_until.filter(|_| open.kind == ConditionKind::Frozen);
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
            (Serving::Down, None) => holds.push((ConditionKind::AllDown, None)),
            _ if self.failing_open => holds.push((ConditionKind::AllDown, None)),
            _ => {}
        }
        if self.isolated {
            holds.push((ConditionKind::Isolated, None));
        }
        if self.frozen_until().is_some() {
            holds.push((ConditionKind::Frozen, None));
        }
        holds
    }
}
