//! `admin:` and `metrics:`

use crate::config::spanned::{OffOr, ReservedKey};
use crate::config::units::BindAddress;

map! { /// `admin:`
Admin = "admin" {
    bind: BindAddress,
    tokens_file: ReservedKey,
    tls: OffOr<ReservedKey>,
}}

map! { /// `metrics:`
Metrics = "metrics" {
    bind: BindAddress,
    detail: MetricsDetail,
}}

words! { /// `metrics.detail`
MetricsDetail { Full, Lean, }}
