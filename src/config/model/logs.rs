//! `log:` and `access_log:`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The application log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// A `tracing` filter directive such as `info` or `standfast::control=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One readable line an event.
    Human,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessLog {
    /// A file to append to; `None` = standard output.
    pub path: Option<PathBuf>,
    /// How lines look.
    pub format: AccessFormat,
}

/// How access-log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessFormat {
    /// One JSON object a line, with tries, endpoint, pool, epoch and termination cause.
    Json,
    /// The Common Log Format (NCSA), followed by the same as `key=value`.
    Common,
    /// Apache's combined log format: the Common Log Format, `Referer` and `User-Agent`, and nothing else.
    Combined,
}
