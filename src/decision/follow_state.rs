//! What a service remembers of the primary that it follows, and how that is told and saved. Plain data; the rules are in
//! [`following`](super::following).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::position_history::PositionHistory;
use super::{DataPosition, EndpointId};
use crate::time::MonoTime;

/// What is followed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Following {
    /// The endpoint that has the traffic, also while it is silent; `None` = none had it yet, or a reload has removed it.
    pub holder: Option<EndpointId>,
    /// The holder's sessions have no right to go on: it is no primary, or another one is followed.
    #[serde(default)]
    pub is_revoked: bool,
    /// The endpoint that is followed as soon as the holder's sessions have ended.
    #[serde(default)]
    pub next: Option<EndpointId>,
    /// The highest place that was ever followed.
    #[serde(default)]
    pub followed: Option<FollowedPlace>,
    /// Since when the holder is that; of one of before a restart, since then.
    #[serde(default)]
    pub arrived: MonoTime,
    /// Where the holder was, and when, in the lineage that is followed.
    #[serde(default)]
    pub history: PositionHistory,
    /// Since when a primary has not been followed because it lacks more than the objective allows.
    #[serde(default)]
    pub beyond_rpo_since: Option<MonoTime>,
    /// The last change of the holder lost more than the objective allows.
    #[serde(default)]
    pub missed_rpo: bool,
    /// What came of the fence hook of the switch that waits.
    #[serde(default)]
    pub fence: Option<FenceReport>,
    /// The fence hook did not say yes when it was last run.
    #[serde(default)]
    pub is_unfenced: bool,
    /// Since when the holder has not answered, while its sessions go on.
    #[serde(default)]
    pub silent_since: Option<MonoTime>,
    /// When the place was last saved.
    #[serde(default)]
    pub saved: Option<MonoTime>,
    /// An operator said that the data of this primary is the right one: it is followed as soon as the sessions of the holder have ended.
    #[serde(default)]
    pub accepted: Option<EndpointId>,
    /// What primaries that are not followed are, as last concluded.
    #[serde(default)]
    pub others: Vec<(EndpointId, FollowVerdict)>,
}

/// A place that was followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FollowedPlace {
    pub address: SocketAddr,
    pub position: DataPosition,
    pub seen: MonoTime,
}

/// What an endpoint is to a service that follows its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FollowVerdict {
    /// It has the traffic.
    Holder,
    /// It had the traffic, and does not answer.
    Silent,
    /// It is no primary.
    Replica,
    /// It is the next holder, and waits until the sessions of the former one have ended.
    Next,
    /// It says that it is primary, in the lineage that is followed or a later one, while another one is.
    Rival,
    /// It takes writes too, as all members of its cluster do: it is the next one when the holder is gone.
    Peer,
    /// It says that it is primary, and would be followed if it did not lack more than the objective allows.
    BeyondRpo,
    /// It says that it is primary, and is behind what was followed already.
    Stale,
    /// It says that it is primary, in another branch of the history.
    Diverged,
    /// Its data is of another history.
    Foreign,
    /// Nothing was heard of its role.
    Unknown,
}

impl FollowVerdict {
    /// It says that it is primary and is not followed.
    pub(super) fn is_refused(self) -> bool {
        matches!(self, FollowVerdict::Stale | FollowVerdict::Diverged | FollowVerdict::Foreign)
    }
}

/// What was said of the data when a holder was left for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowRecord {
    /// The holder before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<SocketAddr>,
    /// The next holder.
    #[schema(value_type = String)]
    pub to: SocketAddr,
    /// The last place that was seen of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<DataPosition>,
    /// How old that was, in milliseconds: what was written in this time is not in what was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Where the next one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<DataPosition>,
    /// Bytes of the log that the next one does not have of the one before; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_bytes: Option<u64>,
    /// Transactions that the next one does not have of the one before, at most, where the servers count these; absent = they do not, or it is
    /// not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_transactions: Option<u64>,
    /// The same as a time, in milliseconds: what was written after that is lost, or may be. It counts up to the moment of this record, so
    /// it is never less than `age_ms`; absent = not known, or nothing is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<u64>,
    /// What came of the fence hook; absent = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceReport>,
    /// That is more than `objectives.rpo`, or it is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed_rpo: bool,
}

/// What came of the fence hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FenceReport {
    /// Whether it said that the former primary is fenced.
    pub outcome: FenceOutcome,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// For people: why not; absent where it said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether the fence hook said that the former primary is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FenceOutcome {
    /// It did.
    Fenced,
    /// It did not, or could not be run.
    Failed,
    /// It had no answer in time.
    Late,
}

/// What is followed, in the saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFollowing {
    /// The endpoint that had the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<SocketAddr>,
    /// The endpoint at that place.
    pub address: SocketAddr,
    /// The highest place that was ever followed.
    pub position: DataPosition,
    /// How long ago it was read, in microseconds.
    pub age_us: u64,
    /// How long a primary has not been followed because it lacks too much, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_rpo_us: Option<u64>,
}
