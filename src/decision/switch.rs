//! [`IntendedSwitch`]: a decision to change the active pool, and what later decisions remember of the last one that was taken.

use serde::{Deserialize, Serialize};

use super::{Actor, SwitchKind};
use crate::config::Name;
use crate::time::MonoTime;

/// The last switch, as far as later decisions depend on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastSwitch {
    pub kind: SwitchKind,
    pub from: Option<Name>,
    pub at: MonoTime,
}

/// The switch that a hold keeps from being made: recorded once as long as it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldSwitch {
    pub kind: SwitchKind,
    pub from: Option<Name>,
    pub to: Option<Name>,
}

/// A decision to change the active pool: taken at once, or [when its gates are open](super::transition).
#[derive(Clone, Debug)]
pub(super) struct IntendedSwitch {
    pub kind: SwitchKind,
    pub to: Option<usize>,
    pub actor: Actor,
    /// It undoes a switch that was made on wrong evidence: neither a relapse nor flapping.
    pub undoes: bool,
    /// The service stays there: no failback by itself.
    pub stays: bool,
    /// The service is pinned there.
    pub pins: bool,
    /// When the pin ends by itself.
    pub pinned_until: Option<MonoTime>,
}

impl IntendedSwitch {
    pub fn own(kind: SwitchKind, to: Option<usize>) -> IntendedSwitch {
        IntendedSwitch {
            kind,
            to,
            actor: Actor::standfast(),
            undoes: false,
            stays: false,
            pins: false,
            pinned_until: None,
        }
    }

    /// An operator wants it. (A pin of before a restart is taken by Standfast itself.)
    pub fn is_ordered(&self) -> bool {
        self.pins || !self.actor.is_own()
    }
}
