//! An item of `endpoints:`

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::names::Name;

/// Endpoints that DNS resolves a name to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEndpoints {
    /// The DNS question.
    pub question: Question,
    /// Share of each inside the pool, 0..=1000; `None` = what an SRV record says, else 1.
    pub weight: Option<u32>,
    /// As of [`Endpoint`], for each of them.
    pub max_connections: Option<usize>,
    /// As of [`Endpoint`], for each of them.
    pub check_port: Option<u16>,
}

/// A DNS question. Equal questions are resolved once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    /// In lower case. One that ends in a dot is complete; others go through the search list of `/etc/resolv.conf`.
    pub name: Name,
    /// `None` = the name's SRV records say it (RFC 2782).
    pub port: Option<u16>,
    /// Which addresses count.
    pub family: Family,
}

impl Question {
    /// The name without the dot that ends a complete one.
    pub fn host(&self) -> &str {
        self.name.trim_end_matches('.')
    }
}

/// `app.internal:8080`, `_http._tcp.app.internal (SRV)`, `app.internal:8080 (IPv6)`
impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name)?,
            None => write!(f, "{} (SRV)", self.name)?,
        }
        match self.family {
            Family::Auto => Ok(()),
            Family::Ipv4 => f.write_str(" (IPv4)"),
            Family::Ipv6 => f.write_str(" (IPv6)"),
            Family::All => f.write_str(" (all)"),
        }
    }
}

/// Which addresses of a name count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4 where it has any, else IPv6: a host with both is one endpoint, not two.
    Auto,
    /// A records only.
    Ipv4,
    /// AAAA records only.
    Ipv6,
    /// Both, each an endpoint.
    All,
}

/// One upstream address. Within its service the address is its identity: whatever else changes, health and counters stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// Its name for operators; no two endpoints of a service have the same.
    pub name: Option<Name>,
    /// The name that DNS resolved to it; `None` = the configuration says the address. Certificates are verified for
    /// it, and checks ask for it.
    pub host: Option<Name>,
    /// Share inside the pool, 0..=1000; 0 = no new work, and what it has goes on.
    pub weight: u32,
    /// Connections in use at once over all workers; `None` = only the service's limit.
    pub max_connections: Option<usize>,
    /// The port that its checks ask, whatever the check says; `None` = the check's, else its own.
    pub check_port: Option<u16>,
}

impl Endpoint {
    /// An endpoint with an address and defaults.
    pub fn at(address: SocketAddr) -> Endpoint {
        Endpoint { address, name: None, host: None, weight: 1, max_connections: None, check_port: None }
    }
}
