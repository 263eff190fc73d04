//! `audit:`

use std::time::Duration;

use super::s;
use crate::config::model::AuditFailurePolicy;

/// A file of this size is copied and verified in a second.
pub const AUDIT_ROTATE: u64 = 64 << 20;

/// Below it files would have hardly more than a few records, of which each may have 64 KiB.
pub const AUDIT_LEAST_ROTATE: u64 = 1 << 20;

/// With the newest one a gigabyte: years of a quiet instance.
pub const AUDIT_KEEP: usize = 16;

/// In an outage the operator's act is worth more than its record.
pub const AUDIT_ON_ERROR: AuditFailurePolicy = AuditFailurePolicy::Continue;

/// So many records can be lost without a trace to one who cuts the end off, at most.
pub const AUDIT_CHECKPOINT_EVERY: u64 = 1000;

/// So long at most they wait for a witness.
pub const AUDIT_CHECKPOINT_INTERVAL: Duration = s(60);

/// More often checkpoints would be most of the log.
pub const AUDIT_CHECKPOINT_LEAST_INTERVAL: Duration = s(1);
