//! An item of `pools:`

use serde_yaml::Value;

use super::check::health_check;
use super::endpoint::endpoints;
use super::outlier::outlier_detection;
use super::static_response::static_response;
use crate::config::defaults;
use crate::config::model::{Mode, Pool, PoolMembers};

pub(super) fn pool(pool: &Pool, mode: Mode) -> Value {
    let endpoints = matches!(pool.members, PoolMembers::Endpoints(_));
    map! {
        "name" => &*pool.name,
        // In active_passive it has no effect, and the reader says so.
        "weight" => (mode == Mode::ActiveActive || pool.weight != defaults::WEIGHT).then_some(pool.weight),
        "zone" => pool.zone.as_deref(),
        "endpoints" => match &pool.members {
            PoolMembers::Endpoints(endpoints) => Some(self::endpoints(endpoints, &pool.names)),
            PoolMembers::Static(_) => None,
        },
        "static_response" => match &pool.members {
            PoolMembers::Endpoints(_) => None,
            PoolMembers::Static(response) => Some(static_response(response)),
        },
        "health_check" => endpoints.then(|| pool.health_check.as_ref().map_or("off".into(), health_check)),
        "outlier_detection" => endpoints.then(|| pool.outlier_detection.as_ref().map_or("off".into(), outlier_detection)),
    }
}
