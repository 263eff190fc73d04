//! `failover.fence:`

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is run before another primary gets the traffic: it keeps the former one from taking writes of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceHook {
    /// What it is.
    pub action: HookAction,
    /// It is killed, or no longer waited for, after this time.
    pub timeout: Duration,
    /// What becomes of the switch where it fails or is late.
    pub on_failure: OnFenceFailure,
}

/// A program or a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAction {
    /// A program by its whole path, and what it is given; no shell. It says yes by ending with 0.
    Exec(Vec<String>),
    /// A POST of JSON. It says yes by a status of 2xx.
    Webhook(Webhook),
}

/// An address to which JSON is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `https` or `http`.
    pub url: String,
    /// Trusted certificate authorities: a PEM file; `None` = the system's roots.
    pub ca: Option<PathBuf>,
}

/// What becomes of a switch whose fence fails or is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFenceFailure {
    /// The next primary is followed nevertheless: it has been promoted already.
    GoOn,
    /// The service waits, and the hook is run again.
    Wait,
}
