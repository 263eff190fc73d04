//! What a service that reads at replicas knows of its endpoints, and how that is told. Plain data; the rules are in [`reads`](super::reads).

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lag::{PositionTrack, ReplicaLag};
use super::{DataPosition, EndpointId};
use crate::config::{MaxLag, ReplicaCheck};
use crate::time::MonoTime;

/// The primary that the lag of replicas is measured against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LagSource {
    /// The endpoint that says that it is primary, or was the last one to say so.
    pub primary: Option<EndpointId>,
    /// Where it was over time.
    pub track: PositionTrack,
}

/// What an endpoint is to the reads of its service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ReplicaState {
    /// Its lag when it was last read.
    pub lag: Option<ReplicaLag>,
    /// The reading that the lag is of, and the lineage that it was measured against.
    pub measured: Option<(MonoTime, MonoTime)>,
    /// `None` = its service does not read at replicas.
    pub verdict: Option<ReadVerdict>,
    /// The first choice of its service waits for its lag.
    pub is_awaited: bool,
}

/// What an endpoint is to a service that reads at replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadVerdict {
    /// It is a replica within `max_lag`: it gets connections.
    Replica,
    /// It is a replica, and too far behind.
    Stale,
    /// It says that it is primary.
    Primary,
    /// It is the primary, and gets connections because no fresh replica is left.
    Fallback,
    /// Its role or its lag is not known, which counts as too much.
    Unknown,
}

/// What an endpoint is to the reads of its service, for `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaStatus {
    /// What it is to a service that reads at replicas; absent = its service does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ReadVerdict>,
    /// How far it is behind the primary; absent = it is none of its replicas, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<ReplicaLag>,
    /// The same in words.
    pub text: String,
}

/// The primary that lags are measured against, for `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LagSourceStatus {
    /// The endpoint.
    #[schema(value_type = String)]
    pub primary: SocketAddr,
    /// Where it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<DataPosition>,
    /// How long ago that was, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

impl ReadVerdict {
    fn is_eligible(self) -> bool {
        matches!(self, ReadVerdict::Replica | ReadVerdict::Fallback)
    }
}

impl fmt::Display for ReadVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadVerdict::Replica => "replica",
            ReadVerdict::Stale => "stale replica",
            ReadVerdict::Primary => "primary",
            ReadVerdict::Fallback => "primary, in the place of replicas",
            ReadVerdict::Unknown => "role or lag not known",
        })
    }
}

impl ReplicaState {
    /// May it get connections as far as its role and its lag are concerned?
    pub fn is_eligible(&self) -> bool {
        self.verdict.is_none_or(ReadVerdict::is_eligible)
    }

    /// For people: `stale replica: 12 s behind`.
    pub fn describe(&self) -> Option<String> {
        let verdict = self.verdict?;
        Some(match self.lag.filter(|_| matches!(verdict, ReadVerdict::Replica | ReadVerdict::Stale)) {
            Some(lag) => format!("{verdict}: {lag} behind"),
            None => verdict.to_string(),
        })
    }

    /// What it is as a replica, by the last known lag.
    pub fn as_replica(&self, check: ReplicaCheck) -> ReadVerdict {
        let Some(limit) = check.max_lag else { return ReadVerdict::Replica };
        let was_stale = self.verdict == Some(ReadVerdict::Stale);
        let unknown = if was_stale { ReadVerdict::Stale } else { ReadVerdict::Unknown };
        let Some(lag) = self.lag else { return unknown };
        // One that was too far behind comes back at half of the limit: around the limit it would come and go.
        let (behind, most, is_known) = match (limit, lag.bytes) {
            (MaxLag::Bytes(most), Some(bytes)) => (bytes, most, true),
            (MaxLag::Bytes(_), None) => return unknown,
            (MaxLag::Time(most), _) => (lag.ms, most.as_millis() as u64, !lag.longer),
        };
        match (behind > most, is_known) {
            (true, _) => ReadVerdict::Stale,
            (false, false) => unknown,
            (false, true) if was_stale && behind > most / 2 => ReadVerdict::Stale,
            (false, true) => ReadVerdict::Replica,
        }
    }
}
