//! `protocol:` of a listener or a service.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a listener or a service speaks. (`udp` is refused as not supported yet.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Layer 7: HTTP/1.
    Http,
    /// Layer 4: bytes.
    Tcp,
}
