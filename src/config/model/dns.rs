//! `dns:`

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// DNS servers, asked in this order; none = as `/etc/resolv.conf` says, which is read again every 30 s.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take to answer one question.
    pub timeout: Duration,
}
