//! An item of `pools:`

use super::check::HealthCheck;
use super::endpoint::Endpoint;
use super::outlier::OutlierDetection;
use super::static_response::StaticResponse;
use crate::config::spanned::{OffOr, OneOrManyMaps, ReservedKey, Shorthand};
use crate::config::units::RangedCount;

map! { /// An item of `pools:`
Pool {
    name: String,
    priority: RangedCount<0, 1000>,
    weight: RangedCount<1, 1000>,
    endpoints: OneOrManyMaps<Shorthand<Endpoint>>,
    static_response: Shorthand<StaticResponse>,
    health_check: OffOr<Shorthand<HealthCheck>>,
    outlier_detection: OffOr<OutlierDetection>,
    discovery: ReservedKey,
}}
