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
pub use callers::{RecentSources, SourceKey};
pub use endpoint::{DigestCursor, EndpointStats, EndpointTotals, InFlight};
pub use everywhere::FailsEverywhere;
pub use listener::{ConnRejection, ListenerPermit, ListenerStats};
pub use liveness::ResponseTracker;
pub use service::{FirstAnswer, Rejection, RetryReason, RetryReasons, ServiceStats};
