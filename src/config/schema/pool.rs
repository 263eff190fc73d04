//! An item of `pools:`

use super::check::HealthCheck;
use super::endpoint::Endpoint;
use super::outlier::OutlierDetection;
use super::static_response::StaticResponse;
use crate::config::spanned::{OffOr, OneOrManyMaps, ReservedKey, ShorthandMap};
use crate::config::units::RangedCount;

map! { /// An item of `pools:`
Pool {
    name: String,
    priority: RangedCount<0, 1000>,
    weight: RangedCount<1, 1000>,
    zone: String,
    endpoints: OneOrManyMaps<ShorthandMap<Endpoint>>,
    static_response: ShorthandMap<StaticResponse>,
    health_check: OffOr<ShorthandMap<HealthCheck>>,
    outlier_detection: OffOr<OutlierDetection>,
    discovery: ReservedKey,
}}
