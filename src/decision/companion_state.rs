//! What a service remembers of those that it [moves with](super::companions).

use serde::{Deserialize, Serialize};

use super::timeline::PoolFall;
use super::{Evidence, SwitchKind};
use crate::config::Name;

/// Its part in a group of services that move together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Companionship {
    /// Of a companion: its leader's place in the list of services.
    pub leader: Option<usize>,
    /// Of a companion: where its leader is.
    pub lead: Option<Lead>,
    /// Of a companion: its leader has just said that sessions at the pool that was left have no right to go on.
    pub is_revoked_now: bool,
    /// Of a leader: its companions.
    pub companions: Vec<Companion>,
    /// Of a leader: what its companions have against pools.
    pub votes: Vec<Vote>,
    /// Of a leader: sessions of a companion at the pool that was left have not ended.
    pub awaits_sessions: bool,
}

/// A companion, as its leader knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Companion {
    /// Its place in the list of services.
    pub place: usize,
    pub name: Name,
}

/// A companion has no endpoint in this pool that can serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Vote {
    pub by: Name,
    pub pool: Name,
    pub fall: PoolFall,
    pub evidence: Vec<Evidence>,
}

/// Where the leader is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Lead {
    /// It has not chosen yet.
    Starting,
    /// At this pool.
    At { pool: Name, kind: SwitchKind },
    /// No pool of it serves. `revoked`: the sessions at the last one have no right to go on.
    Nowhere { revoked: bool },
}
