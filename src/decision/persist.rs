//! What survives a restart ([`Saved`]): all times as ages, so that another process, whose clock has another origin, can
//! restore it. Health is not among it: it is proven anew.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Administrative, Incident, SwitchKind};
use crate::config::Name;

/// The decisions worth keeping over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The format's number; another one is not restored.
    pub version: u32,
    /// The last epoch; the next process goes on from it.
    pub epoch: u64,
    /// The number of the next incident.
    pub next_incident: u64,
    /// By service.
    pub services: Vec<SavedService>,
    /// Newest last.
    pub incidents: Vec<SavedIncident>,
}

/// One service's decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedService {
    /// Its name.
    pub name: Name,
    /// The active pool; `None` = nobody served, or it is `active_active`.
    pub active: Option<Name>,
    /// Pools of an `active_active` service that lost their share.
    pub lost: Vec<Name>,
    /// An operator chose the active pool: no failback by itself.
    pub ordered: bool,
    /// The pin.
    pub pinned: Option<Name>,
    /// How long ago, which way and from where the last switch went.
    pub last_switch: Option<SavedSwitch>,
    /// How long ago the last failback was.
    pub failback_age_ms: Option<u64>,
    /// How often the hold-down has doubled.
    pub relapses: u32,
    /// Ages of the forced failovers and rollbacks that count towards a freeze, oldest first.
    pub forced_ages_ms: Vec<u64>,
    /// How long the freeze still lasts.
    pub frozen_for_ms: Option<u64>,
    /// Endpoints that an operator took out of use.
    pub administrative: Vec<(SocketAddr, Administrative)>,
}

/// The last switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSwitch {
    /// Why.
    pub kind: SwitchKind,
    /// The pool that was left.
    pub from: Option<Name>,
    /// How long ago.
    pub age_ms: u64,
}

/// An incident whose moments are ages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedIncident {
    /// The record; its moments are microseconds before the time of saving.
    pub incident: Incident,
}

impl Saved {
    /// The format this build writes and reads.
    pub const VERSION: u32 = 1;
}
