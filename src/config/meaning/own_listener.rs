//! Endpoints that are listeners of this file, with the place where they stand.

use super::{Room, service};
use crate::config::model::Config;
use crate::config::own_listener::{ListensThere, OwnEndpoint, OwnListener, own_listeners};
use crate::config::schema;
use crate::config::tree::NodeId;

/// Notes them: a circle is an error, another way through this proxy is to be looked at.
pub(super) fn check(room: &mut Room, file: &schema::File, config: &Config) {
    for own in own_listeners(config, |_| false) {
        let Some(at) = place(file, &own) else { continue };
        let endpoint = match &own.endpoint {
            OwnEndpoint::Address(address) => address.to_string(),
            OwnEndpoint::Name(question) => question.to_string(),
        };
        match (&own.by, own.circle) {
            (ListensThere::Listener(listener), true) => {
                let service = &own.service;
                let what = format!(
                    "{endpoint} is our own listener `{listener}`, which leads back to service `{service}`: requests \
                     would go round in a circle"
                );
                room.problem(at, what, "write the address of the server behind this proxy");
            }
            (ListensThere::Listener(listener), false) => {
                let what =
                    format!("{endpoint} is our own listener `{listener}`: requests pass through this proxy twice");
                let advice = "lead the route to the service behind that listener, unless it has to end TLS in between";
                room.warning(at, what, advice);
            }
            (ListensThere::Admin, _) => {
                let what = format!("{endpoint} is our own admin port: clients could reach it by this service");
                room.warning(at, what, "write the address of the server behind this proxy");
            }
        }
    }
}

/// Where this endpoint stands.
fn place(file: &schema::File, own: &OwnListener) -> Option<NodeId> {
    let (_, service) = service::service_of(file, &own.service)?;
    let pool = service::pool_of(service.get()?, &own.pool)?.get()?;
    let is_it = |endpoint: &schema::Endpoint| match &own.endpoint {
        OwnEndpoint::Address(wanted) => endpoint.address.get().is_some_and(|address| address.0 == *wanted),
        OwnEndpoint::Name(wanted) => endpoint.dns.get().is_some_and(|dns| {
            wanted.port.is_some_and(|port| dns.eq_ignore_ascii_case(&format!("{}:{port}", wanted.name)))
        }),
    };
    let endpoints = pool.endpoints.get()?;
    endpoints.iter().find(|item| item.get().is_some_and(|endpoint| is_it(&endpoint.0)))?.at()
}
