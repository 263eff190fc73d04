//! Counters beside the table: written by workers without locks, read by the control plane, kept while the configuration
//! still names their endpoint, service or listener.
mod endpoint;
mod hearing;
mod listener;
mod reuse;
mod service;

pub use endpoint::{DigestCursor, EndpointStats, EndpointTotals, InFlight};
pub use hearing::Hearing;
pub use listener::{Connections, ListenerStats, Turned};
pub use service::{FirstAnswer, Reasons, Rejection, RetryReason, ServiceStats};
