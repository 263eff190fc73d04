//! The core's state for people: what `/status` shows. Times are ages in milliseconds, so that they mean something in
//! another process.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Admission, EndpointId, Serving, Standing, SwitchKind};
use crate::config::{Mode, Name};

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: Name,
    /// One active pool, or weighted pools.
    pub mode: Mode,
    /// Who serves (pools by index, as in the table).
    pub serving: Serving,
    /// The active pool's name; `None` while starting, when nobody serves, and in `active_active`.
    pub active: Option<Name>,
    /// How long it has been so.
    pub for_ms: u64,
    /// The kind of the last switch; `None` = it still stands on its first choice.
    pub why: Option<SwitchKind>,
    /// No pool is available, and the active one carries traffic because nothing better is left.
    pub failing_open: bool,
    /// How long the pool that would be failed back to still has to prove itself; `None` = no such pool.
    pub hold_down_left_ms: Option<u64>,
    /// How long elective switches stay frozen; `None` = they are not.
    pub frozen_for_ms: Option<u64>,
    /// The pool an operator pinned the service to.
    pub pinned: Option<Name>,
    /// In the order of the configuration.
    pub pools: Vec<PoolStatus>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: Name,
    /// May it take the service.
    pub available: bool,
    /// Endpoints that are healthy and in use.
    pub usable: usize,
    /// None for a static response.
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// How long it has stood so.
    pub for_ms: u64,
    /// For people: counts and the last detail.
    pub evidence: String,
    /// How long the ejection lasts at least; `None` = not ejected, or waiting for trials.
    pub ejected_for_ms: Option<u64>,
}
