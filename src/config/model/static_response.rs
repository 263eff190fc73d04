//! `static_response:`

use serde::{Deserialize, Serialize};

/// A response of the proxy itself, without an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaticResponse {
    /// 200..=599.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// The body: given inline, or read from `body_file` when the configuration was loaded.
    pub body: String,
}
