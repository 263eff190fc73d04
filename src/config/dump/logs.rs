//! `log:` and `access_log:`

use serde_yaml::Value;

use super::written::{path, word};
use crate::config::model::{AccessLog, Log};

pub(super) fn log(log: &Log) -> Value {
    map! { "filter" => log.filter.as_str(), "format" => word(&log.format) }
}

pub(super) fn access_log(log: Option<&AccessLog>) -> Value {
    log.map_or("off".into(), |log| {
        map! { "path" => log.path.as_deref().map(path), "format" => word(&log.format) }
    })
}
