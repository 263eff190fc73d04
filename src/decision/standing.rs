//! An endpoint's standing: operational × administrative, with a cause; and what the data plane may do with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What checks and traffic say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operational {
    /// No probe has answered yet.
    Checking,
    /// Takes traffic.
    Healthy,
    /// Out-of-band checks condemn it (or it refused connections).
    Unhealthy,
    /// Real traffic condemns it.
    Ejected,
}

impl Operational {
    /// Checks or traffic have condemned it.
    pub fn has_fallen(self) -> bool {
        matches!(self, Operational::Unhealthy | Operational::Ejected)
    }
}

/// What an operator says, or the configuration by a weight of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Administrative {
    /// In use.
    #[default]
    Ready,
    /// No new work; work in flight goes on. Also what a weight of 0 says.
    Drain,
    /// Out of use.
    Maint,
}

/// Why an endpoint stands as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Not probed yet.
    Start,
    /// It has no check.
    Unchecked,
    /// Probes passed.
    ChecksPassed,
    /// Probes failed.
    ChecksFailed,
    /// Connections were refused or not answered, or could not be opened, and so was the confirming connect.
    Refused,
    /// Failures in a row from real traffic.
    Consecutive,
    /// The share of failures in the window.
    FailureRate,
    /// Requests found no answer, and a probe or other endpoints' answers confirmed that it is the endpoint's fault.
    Stalled,
    /// Trial requests passed.
    TrialsPassed,
    /// The ejection ran out where there is no traffic to try it with.
    EjectionOver,
    /// It was ejected on the evidence of one source, which turned out to be wrong.
    EvidenceWithdrawn,
    /// An operator ejected it, or ended its ejection.
    Ordered,
}

/// An endpoint's state with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// What checks and traffic say.
    pub operational: Operational,
    /// What an operator says.
    pub administrative: Administrative,
    /// Why.
    pub cause: Cause,
}

impl Standing {
    /// Healthy, and an operator lets it be used.
    pub fn is_usable(&self) -> bool {
        self.operational == Operational::Healthy && self.administrative == Administrative::Ready
    }
}

/// What the data plane may send to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// New work.
    Open,
    /// One live request per 100 ms (`routing` holds the gate), safe methods first; its outcome decides.
    Trial,
    /// Nothing new.
    Closed,
}
