//! `retry:`

use crate::config::item::{Many, Switch};
use crate::config::units::{Bytes, Count, Delay, Share, Time};

map! { /// `retry:`
Retry {
    attempts: Count<1, 10>,
    on: Many<String>,
    per_try_timeout: Switch<Time>,
    budget: Share,
    cross_pool: CrossPool,
    replay_bytes: Bytes,
    hedge: Switch<Delay>,
}}

words! { /// `retry.cross_pool`
CrossPool { Safe, Idempotent, Never, }}
