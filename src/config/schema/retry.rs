//! `retry:`

use crate::config::spanned::{OffOr, OneOrMany};
use crate::config::units::{AutoOrDuration, FractionOfOne, RangedCount, SizeInBytes, TypedDuration};

map! { /// `retry:`
Retry {
    attempts: RangedCount<1, 10>,
    on: OneOrMany<String>,
    per_try_timeout: OffOr<TypedDuration>,
    budget: FractionOfOne,
    cross_pool: CrossPool,
    replay_bytes: SizeInBytes,
    hedge: OffOr<AutoOrDuration>,
}}

words! { /// `retry.cross_pool`
CrossPool { Safe, Idempotent, Never, }}
