//! What a passed probe read of an endpoint's data: role, writability, lineage and position. Plain data: nothing is concluded
//! from it yet; the last one of an endpoint is part of its status.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an endpoint said of its data when a probe passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// Its part in a replicated set.
    pub role: DataRole,
    /// Whether it accepts writes; `None` = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// The history that its data belongs to, such as a timeline or a replication id: positions of different lineages cannot be
    /// compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<String>,
    /// How much of that history it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<DataPosition>,
}

/// The part of an endpoint in a replicated set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataRole {
    /// The source of changes.
    Primary,
    /// It applies the changes of another one.
    Replica,
    /// It did not say, or said something else.
    #[default]
    Unknown,
}

/// How much of a lineage an endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataPosition {
    /// Counted from the beginning of the lineage.
    pub value: u64,
    /// What is counted. Positions of different units cannot be compared.
    pub unit: PositionUnit,
}

/// What a position counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionUnit {
    /// Bytes of a write-ahead log or replication stream.
    Bytes,
    /// Transactions.
    Transactions,
}
