//! `outlier_detection:`

use serde_yaml::Value;

use super::written::{outcomes, word};
use crate::config::model::{Failures, OutlierDetection};

pub(super) fn outlier_detection(rule: &OutlierDetection) -> Value {
    map! {
        "consecutive_failures" => rule.consecutive_failures,
        "failure_rate" => rule.failure_rate.map_or(Value::from("off"), Value::from),
        "min_requests" => rule.min_requests,
        "base_ejection" => rule.base_ejection,
        "max_ejection" => rule.max_ejection,
        "max_ejected" => rule.max_ejected,
        "evidence" => word(&rule.evidence),
        "failures" => failures(&rule.failures),
    }
}

fn failures(failures: &Failures) -> Value {
    let kinds = [
        ("reset", failures.reset),
        ("timeout", failures.timeout),
        ("malformed", failures.malformed),
        ("cut", failures.cut),
    ];
    outcomes(&kinds, &failures.statuses)
}
