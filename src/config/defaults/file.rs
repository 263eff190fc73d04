//! The keys of the file itself.

use std::time::Duration;

use super::s;

/// What is in flight at a stop, a reload or a switch gets as long as the response timeout lets one request live.
pub const DRAIN_TIMEOUT: Duration = s(30);
