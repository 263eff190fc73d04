//! `retry:`

use serde_yaml::Value;

use super::written::{outcomes, word};
use crate::config::model::Retry;
use crate::config::units::write_time;

pub(super) fn retry(retry: &Retry) -> Value {
    map! {
        "attempts" => retry.attempts,
        "on" => outcomes(&[("reset", retry.on.reset), ("timeout", retry.on.timeout)], &retry.on.statuses),
        "per_try_timeout" => retry.per_try_timeout.map_or_else(|| "off".to_owned(), write_time),
        "budget" => retry.budget,
        "cross_pool" => word(&retry.cross_pool),
        "replay_bytes" => retry.replay_bytes,
        "hedge" => retry.hedge,
    }
}
