//! Endpoints that are listeners of this file, with the place where they stand.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::diagnostics::Diagnostics;
use super::services::{PoolsByName, ServicesByName};
use crate::config::model::{Config, Name};
use crate::config::own_listener::{OwnEndpoint, OwnListener, OwnPort, own_listeners};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::NodeId;

/// Notes them: a circle is an error, another way through this proxy is to be looked at.
pub(super) fn check(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config) {
    let found = own_listeners(config, |_| false);
    if found.is_empty() {
        return;
    }
    let places = OwnEndpointPlaces::of(file, &found);
    for own in &found {
        let Some(at) = places.find(own) else { continue };
        let endpoint = match &own.endpoint {
            OwnEndpoint::Address(address) => address.to_string(),
            OwnEndpoint::Name(question) => question.to_string(),
        };
        match (&own.by, own.circle) {
            (OwnPort::Listener(listener), true) => {
                let service = &own.service;
                let what = format!(
                    "{endpoint} is our own listener `{listener}`, which leads back to service `{service}`: requests \
                     would go round in a circle"
                );
                diagnostics.problem(at, what, "write the address of the server behind this proxy");
            }
            (OwnPort::Listener(listener), false) => {
                let what =
                    format!("{endpoint} is our own listener `{listener}`: requests pass through this proxy twice");
                let advice = "lead the route to the service behind that listener, unless it has to end TLS in between";
                diagnostics.warning(at, what, advice);
            }
            (OwnPort::Admin, _) => {
                let what = format!("{endpoint} is our own admin port: clients could reach it by this service");
                diagnostics.warning(at, what, "write the address of the server behind this proxy");
            }
        }
    }
}

/// Where endpoints stand: those of the pools in which one is of our own.
struct OwnEndpointPlaces<'t>(HashMap<(&'t Name, &'t Name), PoolPlaces>);

/// Where the endpoints of one pool stand, by address and by name with port, in lower case.
#[derive(Default)]
struct PoolPlaces {
    addresses: HashMap<SocketAddr, NodeId>,
    names: HashMap<String, NodeId>,
}

impl<'t> OwnEndpointPlaces<'t> {
    fn of(file: &schema::File, found: &'t [OwnListener]) -> OwnEndpointPlaces<'t> {
        let services = ServicesByName::of(file);
        let mut pools: HashMap<&Name, PoolsByName<'_>> = HashMap::new();
        let mut places = HashMap::new();
        for own in found {
            let Some(service) = services.find(&own.service).and_then(|(_, service)| service.get()) else { continue };
            let pools = pools.entry(&own.service).or_insert_with(|| PoolsByName::of(service));
            places.entry((&own.service, &own.pool)).or_insert_with(|| {
                let pool = pools.find(&own.pool).and_then(Spanned::get);
                pool.map(PoolPlaces::of).unwrap_or_default()
            });
        }
        OwnEndpointPlaces(places)
    }

    fn find(&self, own: &OwnListener) -> Option<NodeId> {
        let pool = self.0.get(&(&own.service, &own.pool))?;
        match &own.endpoint {
            OwnEndpoint::Address(address) => pool.addresses.get(address).copied(),
            OwnEndpoint::Name(wanted) => pool.names.get(&format!("{}:{}", wanted.name, wanted.port?)).copied(),
        }
    }
}

impl PoolPlaces {
    fn of(pool: &schema::Pool) -> PoolPlaces {
        let mut places = PoolPlaces::default();
        for (at, endpoint) in pool.endpoints.get().into_iter().flat_map(|list| &list.0).filter_map(Spanned::found) {
            if let Some(address) = endpoint.0.address.get() {
                places.addresses.entry(address.0).or_insert(at);
            }
            if let Some(name) = endpoint.0.dns.get() {
                places.names.entry(name.to_ascii_lowercase()).or_insert(at);
            }
        }
        places
    }
}
