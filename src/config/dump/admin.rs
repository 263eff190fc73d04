//! `admin:` and `metrics:`

use serde_yaml::Value;

use crate::config::Bind;
use crate::config::model::Admin;

pub(super) fn admin(admin: Option<&Admin>) -> Value {
    admin.map_or("off".into(), |admin| map! { "bind" => admin.bind })
}

pub(super) fn metrics(metrics: Option<Bind>) -> Option<Value> {
    metrics.map(|bind| map! { "bind" => bind })
}
