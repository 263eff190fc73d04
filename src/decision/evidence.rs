//! What a failed exchange is about: a client network, a target, an endpoint. The data plane attributes, the core concludes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::time::MonoTime;

/// A client network: the unit in which clients corroborate each other. IPv4 /24 and IPv6 /48; private, loopback, link-local
/// and unique-local addresses are networks of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    network: IpAddr,
    prefix: u8,
}

impl Source {
    /// The network of this client.
    pub fn of(client: IpAddr) -> Source {
        match client.to_canonical() {
            IpAddr::V4(ip) if ip.is_private() || ip.is_loopback() || ip.is_link_local() => {
                Source { network: ip.into(), prefix: 32 }
            }
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Source { network: Ipv4Addr::new(a, b, c, 0).into(), prefix: 24 }
            }
            IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() => {
                Source { network: ip.into(), prefix: 128 }
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                Source { network: Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into(), prefix: 48 }
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.network, self.prefix) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "{}", self.network),
            (network, prefix) => write!(f, "{network}/{prefix}"),
        }
    }
}

/// What a request asked for: a hash of its service's route and its path without the query. All sessions of a TCP service have
/// the same target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestTarget(pub u64);

/// One failed exchange, attributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReport {
    /// The number of the streak it belongs to ([`Digest::streak_number`](super::Digest::streak_number)).
    pub streak: u32,
    /// The client's network; `None` = the failure is about no client: a connect.
    pub source: Option<Source>,
    /// The service answered that network well lately.
    pub caller: bool,
    /// What was asked for.
    pub target: RequestTarget,
    /// How it failed.
    pub kind: Failure,
    /// When.
    pub at: MonoTime,
    /// How the same request fared at other endpoints.
    pub elsewhere: Elsewhere,
    /// What else is known of it.
    pub mark: Mark,
}

/// What one client network met at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTally {
    /// The network.
    pub source: Source,
    /// The service answered it well lately.
    pub caller: bool,
    /// Good answers.
    pub good: u32,
    /// Failures, those that failed elsewhere too left out.
    pub failed: u32,
    /// Of them, those that were answered well elsewhere.
    pub contrasts: u32,
    /// Failures that failed elsewhere too.
    pub failed_elsewhere: u32,
}

impl SourceTally {
    /// Nothing yet.
    pub fn new(source: Source) -> SourceTally {
        SourceTally { source, caller: false, good: 0, failed: 0, contrasts: 0, failed_elsewhere: 0 }
    }

    /// Count a failure.
    pub fn count(&mut self, report: &FailureReport) {
        self.caller |= report.caller;
        match report.elsewhere {
            Elsewhere::Failed => self.failed_elsewhere = self.failed_elsewhere.saturating_add(1),
            Elsewhere::Answered => {
                self.failed = self.failed.saturating_add(1);
                self.contrasts = self.contrasts.saturating_add(1);
            }
            Elsewhere::Unknown => self.failed = self.failed.saturating_add(1),
            Elsewhere::Known => {}
        }
    }

    /// Add what it met at another time.
    pub fn add(&mut self, other: &SourceTally) {
        self.caller |= other.caller;
        self.good = self.good.saturating_add(other.good);
        self.failed = self.failed.saturating_add(other.failed);
        self.contrasts = self.contrasts.saturating_add(other.contrasts);
        self.failed_elsewhere = self.failed_elsewhere.saturating_add(other.failed_elsewhere);
    }

    /// Exchanges that say something about the endpoint.
    pub fn exchanges(&self) -> u64 {
        u64::from(self.good) + u64::from(self.failed)
    }
}

/// How a request that failed at one endpoint fared at others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// It was not asked elsewhere, or the other answer says nothing.
    #[default]
    Unknown,
    /// It was answered well: the request is not at fault (a contrast).
    Answered,
    /// It failed in the same way: the request's own fault, or one behind all endpoints.
    Failed,
    /// It was not asked elsewhere, because requests like it had failed everywhere.
    Known,
}

/// What weakens a failure as evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// The answer asked this client to come later: 503 with `Retry-After`.
    RetryLater,
    /// The endpoint closed the session without a byte, after the client had sent something.
    HungUp,
}

/// Why failures in a row did not eject an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Too few client networks see it, while others are answered well.
    OneSource,
    /// Only one target fails, and is answered well elsewhere.
    OneTarget,
    /// The endpoint asked these clients to come later.
    RetryLater,
    /// The endpoint hung up on what these clients sent.
    HungUp,
    /// The same requests fail everywhere.
    FailsEverywhere,
    /// One client network is not enough to leave a pool again so soon, or for a page.
    MayNotLeave,
    /// Only one target fails, at all endpoints of the pool.
    RouteFailing,
}

impl Held {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Held; 7] = [
        Held::OneSource,
        Held::OneTarget,
        Held::RetryLater,
        Held::HungUp,
        Held::FailsEverywhere,
        Held::MayNotLeave,
        Held::RouteFailing,
    ];

    /// As a metric label and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Held::OneSource => "one_source",
            Held::OneTarget => "one_target",
            Held::RetryLater => "retry_later",
            Held::HungUp => "hung_up",
            Held::FailsEverywhere => "fails_everywhere",
            Held::MayNotLeave => "may_not_leave",
            Held::RouteFailing => "route_failing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_clients_are_grouped_by_network_and_private_ones_are_not() {
        let source = |text: &str| Source::of(text.parse().unwrap()).to_string();
        assert_eq!(source("203.0.113.7"), "203.0.113.0/24");
        assert_eq!(source("::ffff:203.0.113.9"), "203.0.113.0/24");
        assert_eq!(source("2001:db8:7:1::9"), "2001:db8:7::/48");
        for alone in ["10.1.2.3", "172.16.0.9", "192.168.1.1", "127.0.0.2", "169.254.1.1", "::1", "fd00::7", "fe80::1"]
        {
            assert_eq!(source(alone), alone);
        }
    }
}
