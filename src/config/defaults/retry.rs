//! `retry:`

use crate::config::model::{CrossPool, Protocol, RetryOn};

/// The first try and one more: a third one rarely helps and doubles the load of a bad moment.
pub const ATTEMPTS: u32 = 2;
/// The gateway failures: the upstream did not do the work, or says that it cannot now.
pub const RETRY_STATUSES: (u16, u16) = (502, 504);
/// Enough for one dying pool's requests to move once, too little for a storm.
pub const BUDGET: f64 = 0.2;
/// Before the switch only what may be repeated anywhere leaves its pool; a TCP session's bytes never do.
pub const fn cross_pool(protocol: Protocol) -> CrossPool {
    match protocol {
        Protocol::Http => CrossPool::Safe,
        Protocol::Tcp => CrossPool::Never,
    }
}
/// Nearly all API requests; larger bodies are streamed and not repeated.
pub const REPLAY_BYTES: usize = 64 << 10;

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn { reset: true, timeout: false, statuses: vec![RETRY_STATUSES] }
    }
}
