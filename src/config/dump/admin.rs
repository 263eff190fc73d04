//! `admin:` and `metrics:`

use serde_yaml::Value;

use super::written::word;
use crate::config::defaults;
use crate::config::model::{Admin, Config};

pub(super) fn admin(admin: Option<&Admin>) -> Value {
    admin.map_or("off".into(), |admin| map! { "bind" => admin.bind })
}

pub(super) fn metrics(config: &Config) -> Option<Value> {
    let is_said = config.metrics.is_some() || config.metrics_detail != defaults::METRICS_DETAIL;
    is_said.then(|| map! { "bind" => config.metrics, "detail" => word(&config.metrics_detail) })
}
