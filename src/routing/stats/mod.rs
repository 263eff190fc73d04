//! Counters beside the table: written by workers without locks, read by the control plane, kept while the configuration
//! still names their endpoint, service or listener.
mod attribution;
mod avoidance;
mod callers;
mod endpoint;
mod everywhere;
mod listener;
mod liveness;
mod reuse;
mod service;

pub use avoidance::Avoidance;
pub use callers::{Callers, SourceKey};
pub use endpoint::{DigestCursor, EndpointStats, EndpointTotals, InFlight};
pub use everywhere::FailsEverywhere;
pub use listener::{ConnRejection, Connections, ListenerStats};
pub use liveness::ResponseTracker;
pub use service::{FirstAnswer, Reasons, Rejection, RetryReason, ServiceStats};
