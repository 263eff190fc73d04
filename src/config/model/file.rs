//! The whole configuration.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admin::{Admin, MetricsDetail};
use super::audit::AuditFile;
use super::dns::Dns;
use super::journal::JournalFile;
use super::listener::Listener;
use super::logs::{AccessLog, Log};
use super::names::Name;
use super::service::Service;
use super::state::StateFile;
use crate::config::Bind;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The name of this instance; `None` = that of the host. Changes only by restart.
    #[serde(default)]
    pub instance: Option<Name>,
    /// Data-plane threads; `None` = one per available core. Changes only by restart.
    pub workers: Option<usize>,
    /// How long work in flight may go on after a stop, a reload or a switch.
    pub drain_timeout: Duration,
    /// The admin port: `/metrics`, `/livez`, `/readyz`, `/status`. `None` = no admin port.
    pub admin: Option<Admin>,
    /// A port of its own for `/metrics`; `None` = on the admin port.
    pub metrics: Option<Bind>,
    /// How much `/metrics` tells of each endpoint.
    #[serde(default)]
    pub metrics_detail: MetricsDetail,
    /// Where decisions survive a restart; `None` = nothing persists.
    pub state: Option<StateFile>,
    /// Where what the core was told is kept; `None` = nowhere.
    #[serde(default)]
    pub journal: Option<JournalFile>,
    /// The audit log; `None` = there is none.
    #[serde(default)]
    pub audit: Option<AuditFile>,
    /// The application log.
    pub log: Log,
    /// The access log; `None` = off (the default).
    pub access_log: Option<AccessLog>,
    /// Addresses we accept on, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// Units of failover, in the order of the file.
    pub services: Vec<Arc<Service>>,
    /// How names of endpoints are looked up.
    pub dns: Dns,
}
