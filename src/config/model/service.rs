//! A value under `services:`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::balance::BalancePolicy;
use super::check::CheckKind;
use super::failover::Failover;
use super::names::Name;
use super::patience::DelayThreshold;
use super::pool::Pool;
use super::protocol::Protocol;
use super::retry::Retry;
use super::upstream::Upstream;

/// The unit that fails over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Unique.
    pub name: Name,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// One active pool, or weighted pools.
    pub mode: Mode,
    /// Recovery objectives.
    pub objectives: Objectives,
    /// How an endpoint is picked inside a pool.
    pub balance: BalancePolicy,
    /// When a try is made again.
    pub retry: Retry,
    /// The circuit breaker.
    pub limits: ServiceLimits,
    /// Deadlines towards the upstream.
    pub timeouts: ServiceTimeouts,
    /// When and how the active pool changes.
    pub failover: Failover,
    /// An endpoint that joins a serving pool grows to its full weight over this time; zero = off.
    pub slow_start: Duration,
    /// How long requests and TCP sessions may wait for a pool to come back when all are down; zero = not at all.
    pub hold_requests: Duration,
    /// Answers to safe methods with a known length up to this size are held until complete (bytes); 0 = off.
    pub hold_response: usize,
    /// How a TCP session is refused for which there is no endpoint.
    #[serde(default)]
    pub refusals: Refusals,
    /// Protocol and TLS towards its endpoints.
    pub upstream: Upstream,
    /// In order of priority; at least one.
    pub pools: Vec<Pool>,
}

impl Service {
    /// The zones of its pools; one of several pools comes several times.
    pub fn zones(&self) -> impl Iterator<Item = &Name> {
        self.pools.iter().filter_map(|pool| pool.zone.as_ref())
    }

    /// The language in which a TCP session is refused; `None`: it is reset.
    pub fn refusal_language(&self) -> Option<RefusalLanguage> {
        match self.refusals {
            Refusals::Native => RefusalLanguage::of(&self.pools),
            Refusals::Reset => None,
        }
    }

    /// Has it a pool in this zone?
    pub fn is_in(&self, zone: &str) -> bool {
        self.zones().any(|of| **of == *zone)
    }
}

/// How the pools of a service share its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Exactly one pool at a time.
    ActivePassive,
    /// By pool weight; a lost pool's share goes to the others.
    ActiveActive,
}

/// How a TCP session is refused for which there is no endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusals {
    /// By an error of the protocol that the service's checks speak.
    Native,
    /// By a reset.
    #[default]
    Reset,
}

/// A protocol in which clients can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalLanguage {
    /// PostgreSQL.
    Postgres,
    /// Redis and Valkey.
    Redis,
}

impl RefusalLanguage {
    /// The one that the checks of these pools speak; `None`: they speak none of them, or not all the same.
    pub fn of(pools: &[Pool]) -> Option<RefusalLanguage> {
        let mut spoken = pools.iter().filter_map(|pool| pool.health_check.as_ref()).map(|check| match check.kind {
            CheckKind::Postgres(_) => Some(RefusalLanguage::Postgres),
            CheckKind::Redis(_) => Some(RefusalLanguage::Redis),
            _ => None,
        });
        let first = spoken.next()??;
        spoken.all(|other| other == Some(first)).then_some(first)
    }
}

/// The recovery objectives of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// Recovery time objective: time without service.
    pub rto: Option<Duration>,
}

/// The circuit breaker, per service over all workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceLimits {
    /// Upstream connections in use at once.
    pub max_connections: usize,
    /// Requests waiting for one, and TCP sessions that are held.
    pub max_pending: usize,
    /// How long one may wait (default: the connect timeout).
    pub queue_timeout: Duration,
    /// TCP sessions that were held and connect at once.
    #[serde(default = "ServiceLimits::default_release")]
    pub release: usize,
}

impl ServiceLimits {
    /// For decisions that were written before there was this limit.
    fn default_release() -> usize {
        crate::config::defaults::SERVICE_RELEASE
    }
}

/// Deadlines towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceTimeouts {
    /// TCP connect.
    pub connect: Duration,
    /// From *request fully sent* to the first byte of the final response head.
    pub response: Duration,
    /// Longest pause between two reads of a response body, or two writes of a request body.
    pub body: Duration,
    /// Longest silence of a TCP session in both directions.
    pub tunnel: Duration,
    /// Longest silence of a TCP session's client while something is due from it; `None` = only `tunnel` holds.
    pub client: Option<Duration>,
    /// The same of its endpoint.
    pub upstream: Option<Duration>,
    /// Longest life of an unused upstream connection.
    pub idle: Duration,
    /// From *request fully sent* to the first byte of the response: beyond it the endpoint is suspected.
    pub stall: DelayThreshold,
}
