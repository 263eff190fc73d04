//! `outlier_detection:`

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// In-band detection from real traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// Connect and gateway failures in a row that eject an endpoint.
    pub consecutive_failures: u32,
    /// Share of failures within [`OutlierDetection::WINDOW`] that ejects (0.5 = 50 %); `None` = off. With
    /// [`EvidenceRule::Corroborated`] every client network has the same weight in it.
    pub failure_rate: Option<f64>,
    /// Exchanges within the window below which the rate says nothing.
    pub min_requests: u32,
    /// First ejection; the n-th lasts n times as long.
    pub base_ejection: Duration,
    /// Longest ejection.
    pub max_ejection: Duration,
    /// Largest share of a pool that may be ejected while no lower pool can serve (0.5 = half, at least one endpoint of
    /// a pool that has two).
    pub max_ejected: f64,
    /// What failures must have in common, and what not, before they eject.
    pub evidence: EvidenceRule,
    /// Which outcomes are failures at all.
    pub failures: Failures,
}

impl OutlierDetection {
    /// The window of the failure rate.
    pub const WINDOW: Duration = Duration::from_secs(10);
}

/// Which failures of exchanges eject an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceRule {
    /// Those that are about the endpoint: not about one client, one request or one route.
    #[default]
    Corroborated,
    /// All of them.
    Any,
}

/// The outcomes that count as failures of an endpoint. A refused or unanswered connect always does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The connection broke before an answer began.
    pub reset: bool,
    /// No answer in time.
    pub timeout: bool,
    /// The answer broke the protocol.
    pub malformed: bool,
    /// The answer began and broke off.
    pub cut: bool,
    /// Statuses, as ranges with both ends, in order, none of which meets another. `UNAVAILABLE` of gRPC counts as 503.
    pub statuses: Vec<(u16, u16)>,
}

impl Failures {
    /// Does an answer with this status count?
    #[inline]
    pub fn has_status(&self, status: u16) -> bool {
        status >= 400 && self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}
