//! What a passed probe read of an endpoint's data: role, writability and position.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DataPosition;

/// What an endpoint said of its data when a probe passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// Its part in a replicated set.
    pub role: DataRole,
    /// Whether it accepts writes; `None` = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// Where it is in the history of its data; `None` = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<DataPosition>,
    /// Up to where a client that reads there sees it, if that can be less; `None` = up to `position`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Box<DataPosition>>,
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
