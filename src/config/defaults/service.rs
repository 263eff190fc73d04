//! A value under `services:`

use std::time::Duration;

use super::{HOUR, s};
use crate::config::model::Mode;

/// Inside a region a connect takes milliseconds; two seconds ride over one lost SYN (1 s) and not over a dead host.
pub const CONNECT: Duration = s(2);
/// The slowest page that a user still waits for.
pub const RESPONSE: Duration = s(30);
/// Between two reads or writes, as towards the client.
pub const UPSTREAM_BODY: Duration = s(30);
/// Database sessions and shells are silent for long; keep-alives of the kernel find the dead ones.
pub const TUNNEL: Duration = s(HOUR);
/// As towards the client. Most servers close after 60 to 75 s, and a close that crosses our request is retried.
pub const UPSTREAM_IDLE: Duration = s(60);
/// The promise of the project: exactly one pool serves.
pub const MODE: Mode = Mode::ActivePassive;
/// The circuit breaker: more at once than one service with a handful of endpoints serves well.
pub const SERVICE_CONNECTIONS: usize = 1024;
/// As many may wait as may run: each waits about one service time.
pub const SERVICE_PENDING: usize = 1024;
/// A database accepts so many connections in a few milliseconds, and no listen queue is shorter.
pub const SERVICE_RELEASE: usize = 64;
/// Joining endpoints take their full share at once; with caches to warm, the time is known to the operator.
pub const SLOW_START: Duration = Duration::ZERO;
/// With all pools down an immediate 503 is the honest answer; waiting is a promise that the service's owner makes.
pub const HOLD_REQUESTS: Duration = Duration::ZERO;
/// A promotion takes seconds; clients of a database that wait for a silent server give up after 5 s (pgjdbc).
pub const HOLD_FOR_PRIMARY: Duration = s(4);
/// Most API answers fit, so that a cut one can be asked again; a download is streamed.
pub const HOLD_RESPONSE: usize = 16 << 10;
