//! [`EndpointPlaces`]: where each endpoint of the configuration in force stands.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::config::{Config, Name};
use crate::decision::{EndpointId, Table};

/// Where an endpoint of the configuration stands.
#[derive(Clone, Debug)]
pub(super) struct EndpointPlace {
    pub(super) service: Name,
    pub(super) address: SocketAddr,
    pub(super) name: Option<Name>,
}

pub(super) type EndpointPlaces = HashMap<EndpointId, EndpointPlace>;

/// Every endpoint of a table, whose rows stand in the order of the configuration.
pub(super) fn places(config: &Config, table: &Table) -> EndpointPlaces {
    let mut places = EndpointPlaces::new();
    for (service, row) in config.services.iter().zip(&table.services) {
        for (pool, row) in service.pools.iter().zip(&row.pools) {
            for (endpoint, row) in pool.members.endpoints().iter().zip(&row.endpoints) {
                let (service, name) = (service.name.clone(), endpoint.name.clone());
                places.insert(row.id, EndpointPlace { service, address: row.address, name });
            }
        }
    }
    places
}
