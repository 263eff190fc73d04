//! An item of `pools:`

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::check::HealthCheck;
use super::endpoint::{Endpoint, NamedEndpoints};
use super::names::Name;
use super::outlier::OutlierDetection;
use super::static_response::StaticResponse;

/// A set of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Unique in its service.
    pub name: Name,
    /// Its share in `active_active`.
    pub weight: u32,
    /// The zone that it is in, for `evacuate` and for commands about all endpoints of a zone; `None` = not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// What it is made of.
    pub members: PoolMembers,
    /// Names that DNS turns into endpoints beside those.
    pub names: Vec<NamedEndpoints>,
    /// The effective check (service's, or the pool's own); `None` = endpoints are taken as healthy.
    pub health_check: Option<HealthCheck>,
    /// The effective in-band rule (service's, or the pool's own); `None` = off.
    pub outlier_detection: Option<OutlierDetection>,
}

impl Pool {
    /// The pool is a static response and has no endpoints.
    pub fn is_static(&self) -> bool {
        matches!(self.members, PoolMembers::Static(_))
    }
}

/// What a pool is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolMembers {
    /// At least one, unless the pool has names. An address stands at most once in a service.
    Endpoints(Vec<Endpoint>),
    /// A response of the proxy itself: it never fails.
    Static(Arc<StaticResponse>),
}

impl PoolMembers {
    /// The endpoints; none for a static response.
    pub fn endpoints(&self) -> &[Endpoint] {
        match self {
            PoolMembers::Endpoints(list) => list,
            PoolMembers::Static(_) => &[],
        }
    }
}
