//! The control plane's IO: the engine that alone owns the decisions, and the probes that feed it.
#![allow(dead_code)]
mod confirm;
mod handle;
mod probes;
mod state;
mod status;
pub mod tally;

pub use handle::{ControlError, ControlHandle, Notice, Reloaded, Trouble};
pub use status::{
    EndpointReport, EvidenceReport, IncidentReport, ListenerStatus, PoolReport, ReloadStatus, ServiceReport, Status,
};
pub use tally::Tally;

use std::path::PathBuf;

use crate::config::Config;
use crate::net::BindError;

/// What the control plane starts with.
#[derive(Debug)]
pub struct ControlSetup {
    /// The first configuration.
    pub config: Config,
    /// The file it came from, for reloads; `None` = there is none.
    pub path: Option<PathBuf>,
    /// Data-plane threads.
    pub workers: usize,
}

/// Why the control plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread could not be started.
    #[error("cannot start the control thread: {0}")]
    Thread(#[from] std::io::Error),
}
