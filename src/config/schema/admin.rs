//! `admin:` and `metrics:`

use crate::config::item::{Later, Switch};
use crate::config::units::BindAddress;

map! { /// `admin:`
Admin = "admin" {
    bind: BindAddress,
    tokens_file: Later,
    tls: Switch<Later>,
}}

map! { /// `metrics:`
Metrics = "metrics" {
    bind: BindAddress,
    detail: MetricsDetail,
}}

words! { /// `metrics.detail`
MetricsDetail { Full, Lean, }}
