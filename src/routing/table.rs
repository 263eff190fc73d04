//! The published table. One writer builds it from the configuration and the core's conclusions; nobody changes it after.

use std::net::SocketAddr;
use std::sync::Arc;

use super::stats::{EndpointStats, ServiceStats};
use crate::config::{Config, Listener, Name, Pool, Service};
use crate::decision::{Admission, EndpointId, Moment, Serving, Standing};

/// Everything a request needs to know.
#[derive(Debug)]
pub struct RoutingTable {
    /// Grows with every publish.
    pub epoch: u64,
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// In the order of the configuration.
    pub listeners: Vec<Arc<ListenerView>>,
    /// In the order of the configuration.
    pub services: Vec<Arc<ServiceView>>,
}

/// A listener's routes, prepared for matching.
#[derive(Debug)]
pub struct ListenerView {
    /// As configured.
    pub config: Arc<Listener>,
    // (the matcher; routes refer to services by index)
}

/// A service as the data plane sees it.
#[derive(Debug)]
pub struct ServiceView {
    /// Its index in [`RoutingTable::services`].
    pub index: usize,
    /// As configured.
    pub config: Arc<Service>,
    /// Who serves.
    pub serving: Serving,
    /// The epoch of the switch whose first good answer is awaited; see [`ServiceStats::answered`].
    pub awaiting_answer: Option<u64>,
    /// In order of priority.
    pub pools: Vec<PoolView>,
    /// Survives republishing.
    pub stats: Arc<ServiceStats>,
}

/// A pool as the data plane sees it.
#[derive(Debug)]
pub struct PoolView {
    /// Its name.
    pub name: Name,
    /// May it take the service.
    pub available: bool,
    /// Its service's configuration and its place in it.
    pub service: Arc<Service>,
    /// Index in `service.pools`.
    pub index: usize,
    /// None for a static response.
    pub endpoints: Vec<EndpointView>,
    // (the lot: the balancing structure over the open endpoints)
}

impl PoolView {
    /// As configured.
    pub fn config(&self) -> &Pool {
        &self.service.pools[self.index]
    }
}

/// An endpoint as the data plane sees it.
#[derive(Debug)]
pub struct EndpointView {
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Connections in use at once over all workers.
    pub max_connections: Option<usize>,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// Where its slow start begins.
    pub joined: Option<Moment>,
    /// Survives republishing.
    pub stats: Arc<EndpointStats>,
}
