//! An item of `pools:`

use super::check::HealthCheck;
use super::endpoint::Endpoint;
use super::outlier::OutlierDetection;
use super::static_response::StaticResponse;
use crate::config::item::{Later, Listed, Short, Switch};
use crate::config::units::Count;

map! { /// An item of `pools:`
Pool {
    name: String,
    priority: Count<0, 1000>,
    weight: Count<1, 1000>,
    endpoints: Listed<Short<Endpoint>>,
    static_response: Short<StaticResponse>,
    health_check: Switch<Short<HealthCheck>>,
    outlier_detection: Switch<OutlierDetection>,
    discovery: Later,
}}
