//! `admin:` and `metrics:`

use super::address;
use super::diagnostics::Diagnostics;
use crate::config::Bind;
use crate::config::defaults;
use crate::config::model::{Admin, MetricsDetail};
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};

pub(super) fn admin(
    diagnostics: &mut Diagnostics,
    admin: &Spanned<OffOr<ShorthandMap<schema::Admin>>>,
) -> Option<Admin> {
    match admin.found()? {
        (at, OffOr::Value(admin)) => address::bind(diagnostics, &admin.0.bind, at).map(|bind| Admin { bind }),
        (_, OffOr::Off) => None,
    }
}

/// The port of its own; it may be left out where only the detail is meant.
pub(super) fn metrics_bind(
    diagnostics: &mut Diagnostics,
    metrics: &Spanned<ShorthandMap<schema::Metrics>>,
) -> Option<Bind> {
    let (at, metrics) = metrics.found()?;
    let only_detail = metrics.0.bind.at().is_none() && metrics.0.detail.at().is_some();
    if only_detail { None } else { address::bind(diagnostics, &metrics.0.bind, at) }
}

pub(super) fn metrics_detail(metrics: Option<&ShorthandMap<schema::Metrics>>) -> MetricsDetail {
    match metrics.and_then(|metrics| metrics.0.detail.get()) {
        None => defaults::METRICS_DETAIL,
        Some(schema::MetricsDetail::Full) => MetricsDetail::Full,
        Some(schema::MetricsDetail::Lean) => MetricsDetail::Lean,
    }
}
