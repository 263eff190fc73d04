//! `log:` and `access_log:`

use crate::config::model::{AccessFormat, LogFormat};

/// State changes and everything worse; per-connection lines are for debugging.
pub const LOG_FILTER: &str = "info";
/// Read by people on a terminal and by machines elsewhere.
pub const LOG_FORMAT: LogFormat = LogFormat::Auto;
/// Carries tries, endpoint, pool, epoch and cause under names of their own.
pub const ACCESS_FORMAT: AccessFormat = AccessFormat::Json;
