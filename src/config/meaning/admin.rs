//! `admin:` and `metrics:`

use super::address;
use super::diagnostics::Room;
use crate::config::Bind;
use crate::config::item::{Item, Short, Switch};
use crate::config::model::{Admin, MetricsDetail};
use crate::config::schema;

pub(super) fn admin(room: &mut Room, admin: &Item<Switch<Short<schema::Admin>>>) -> Option<Admin> {
    match admin.found()? {
        (at, Switch::On(admin)) => address::bind(room, &admin.0.bind, at).map(|bind| Admin { bind }),
        (_, Switch::Off) => None,
    }
}

/// The port of its own; it may be left out where only the detail is meant.
pub(super) fn metrics_bind(room: &mut Room, metrics: &Item<Short<schema::Metrics>>) -> Option<Bind> {
    let (at, metrics) = metrics.found()?;
    let only_detail = metrics.0.bind.at().is_none() && metrics.0.detail.at().is_some();
    if only_detail { None } else { address::bind(room, &metrics.0.bind, at) }
}

pub(super) fn metrics_detail(metrics: Option<&Short<schema::Metrics>>) -> MetricsDetail {
    match metrics.and_then(|metrics| metrics.0.detail.get()) {
        None | Some(schema::MetricsDetail::Full) => MetricsDetail::Full,
        Some(schema::MetricsDetail::Lean) => MetricsDetail::Lean,
    }
}
