//! `outlier_detection:`

use std::time::Duration;

use super::s;
use crate::config::model::Failures;

/// Five failures in a row do not happen to an endpoint that works, at any rate of requests.
pub const CONSECUTIVE_FAILURES: u32 = 5;
/// An endpoint that fails every second request is not worth its share, at any rate of requests.
pub const FAILURE_RATE: Option<f64> = Some(0.5);
/// Below it a rate over ten seconds is noise.
pub const MIN_REQUESTS: u32 = 20;
/// Long enough for a restart.
pub const BASE_EJECTION: Duration = s(30);
/// Ten times as long: then it is a matter for the checks.
pub const MAX_EJECTION: Duration = s(300);
/// The other half must carry the load of all; beyond it the load itself is the likely cause.
pub const MAX_EJECTED: f64 = 0.5;

impl Default for Failures {
    fn default() -> Failures {
        Failures { reset: true, timeout: true, malformed: true, cut: true, statuses: vec![(502, 504)] }
    }
}
