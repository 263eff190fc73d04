//! `admin:` and `metrics:`

use crate::config::model::MetricsDetail;

/// Complete for the few endpoints of most files; thousands of them ask for lean.
pub const METRICS_DETAIL: MetricsDetail = MetricsDetail::Full;
