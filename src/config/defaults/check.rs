//! `health_check:`

use std::time::Duration;

use super::{ms, s};

/// One GET per endpoint every two seconds is invisible load, and finds a silent fault within ten.
pub const INTERVAL: Duration = s(2);
/// A health page that takes a second is not healthy.
pub const CHECK_TIMEOUT: Duration = s(1);
/// Doubt is settled quickly, in both directions.
pub const FAST_INTERVAL: Duration = ms(500);
/// Two lost probes happen on a good network; three do not.
pub const FALL: u32 = 3;
/// A server that is starting may answer once and fail again.
pub const RISE: u32 = 2;
/// Checks of many endpoints (and of many proxies) must not march in step.
pub const JITTER: f64 = 0.1;
/// Every service has it.
pub const CHECK_PATH: &str = "/";
/// Every PostgreSQL server has it.
pub const CHECK_DATABASE: &str = "postgres";
/// Every server answers it, and it changes nothing.
pub const CHECK_METHOD: &str = "GET";
/// A redirect is usually the way to a login or a maintenance page, so it is not taken for health.
pub const CHECK_STATUS: (u16, u16) = (200, 299);
/// Off: a probe that makes no connection does not see an endpoint that takes no new one.
pub const CHECK_REUSE: Duration = Duration::ZERO;
