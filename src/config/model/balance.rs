//! `balance:`

use serde::{Deserialize, Serialize};

/// How an endpoint is picked inside a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancePolicy {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Power of two choices on requests in flight, by weight.
    LeastRequest,
    /// By weight.
    Random,
    /// Maglev over the client address.
    HashSource,
    /// Maglev over a request header (lower-case name); without it, the client address.
    HashHeader(String),
    /// Maglev over a cookie; without it, the client address.
    HashCookie(String),
    /// Maglev over a parameter of the query, decoded; without it, the client address.
    HashQuery(String),
}
