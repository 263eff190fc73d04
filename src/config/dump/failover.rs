//! `failover:`

use serde_yaml::Value;

use super::written::word;
use crate::config::model::Failover;

pub(super) fn failover(failover: &Failover) -> Value {
    map! {
        "min_healthy" => failover.min_healthy,
        "on_refused" => word(&failover.on_refused),
        "on_all_down" => word(&failover.on_all_down),
        "sessions" => word(&failover.sessions),
        "drain_timeout" => failover.drain_timeout,
        "max_failovers" => map! { "count" => failover.max_failovers.count, "per" => failover.max_failovers.per },
        "failback" => map! { "mode" => word(&failover.failback.mode), "hold_down" => failover.failback.hold_down },
        "damping" => failover.damping,
        "confirm_window" => failover.confirm_window,
        "on_multiple_primaries" => failover.following.map(|rule| word(&rule.on_multiple_primaries)),
        "fallback" => failover.reads.map(|rule| word(&rule.fallback)),
        "fence_after" => failover.following.and_then(|rule| rule.fence_after),
    }
}
