//! `audit:`

use super::LargeCount;
use crate::config::units::{RangedCount, SizeInBytes, TypedDuration};

map! { /// `audit:`
Audit = "audit" {
    path: String,
    rotate: SizeInBytes,
    keep: RangedCount<1, 10_000>,
    on_error: AuditFailurePolicy,
    checkpoint: AuditCheckpoints,
}}

words! { /// `audit.on_error`
AuditFailurePolicy { Continue, RefuseActs, }}

map! { /// `audit.checkpoint`
AuditCheckpoints {
    every: LargeCount,
    interval: TypedDuration,
    key_file: String,
}}
