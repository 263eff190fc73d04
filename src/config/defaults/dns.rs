//! `dns:`

use std::time::Duration;

use super::s;
use crate::config::model::Dns;

/// Resolvers answer in milliseconds; the next one is asked after two lost packets.
pub const DNS_TIMEOUT: Duration = s(2);

impl Default for Dns {
    fn default() -> Dns {
        Dns { servers: Vec::new(), timeout: DNS_TIMEOUT }
    }
}
