//! `hedge:` and `stall:`: a delay, learned or given.

use crate::config::model::{DelayThreshold, Protocol};

/// For an answer that is late, and for a hedge. Learned from the route's own answers: no number fits a cache and a report alike.
/// A TCP session may be silent for as long as it likes, and its bytes never go anywhere twice.
pub const fn patience(protocol: Protocol) -> DelayThreshold {
    match protocol {
        Protocol::Http => DelayThreshold::Auto,
        Protocol::Tcp => DelayThreshold::Off,
    }
}
