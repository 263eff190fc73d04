//! The services of a file by name, read or as typed.

use std::collections::HashMap;

use super::diagnostics::Diagnostics;
use crate::config::advice::nearest;
use crate::config::model::{Name, Protocol, Service};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::{NodeId, shorten};

/// A service that the file names, be it right or wrong: routes may point at it.
pub(super) struct NamedService {
    pub(super) name: Name,
    pub(super) protocol: Protocol,
    pub(super) meaning: Option<Service>,
}

/// All services that the file names, in its order, and by name.
#[derive(Default)]
pub(super) struct ServiceIndex {
    pub(super) list: Vec<NamedService>,
    pub(super) places: HashMap<Name, usize>,
    /// There are none in the file, and the advice on another key gives them: that a name is unknown need not be told too.
    pub(super) supplied: bool,
}

impl ServiceIndex {
    pub(super) fn of(list: Vec<NamedService>) -> ServiceIndex {
        let places = list.iter().zip(0..).map(|(named, at)| (named.name.clone(), at)).collect();
        ServiceIndex { list, places, supplied: false }
    }

    pub(super) fn find(&self, name: &str) -> Option<&NamedService> {
        self.places.get(name).map(|at| &self.list[*at])
    }

    /// A service for an example.
    pub(super) fn sample(&self) -> &str {
        self.list.first().map_or("web", |service| &service.name)
    }
}

/// The services of a file as they were typed, by name; of several with one name the first.
pub(super) struct ServicesByName<'t>(HashMap<&'t str, &'t (Spanned<String>, Spanned<schema::Service>)>);

impl<'t> ServicesByName<'t> {
    pub(super) fn of(file: &'t schema::File) -> ServicesByName<'t> {
        let mut services = HashMap::new();
        for entry in file.services.get().map_or(&[][..], |services| &services.0) {
            if let Some(name) = entry.0.get() {
                services.entry(name.as_str()).or_insert(entry);
            }
        }
        ServicesByName(services)
    }

    pub(super) fn find(&self, name: &str) -> Option<&'t (Spanned<String>, Spanned<schema::Service>)> {
        self.0.get(name).copied()
    }
}

/// The pools of a service as they were typed, by name; of several with one name the first.
pub(super) struct PoolsByName<'t>(HashMap<&'t str, &'t Spanned<schema::Pool>>);

impl<'t> PoolsByName<'t> {
    pub(super) fn of(typed: &'t schema::Service) -> PoolsByName<'t> {
        let mut pools = HashMap::new();
        for item in typed.pools.get().into_iter().flatten() {
            if let Some(name) = item.get().and_then(|pool| pool.name.get()) {
                pools.entry(name.as_str()).or_insert(item);
            }
        }
        PoolsByName(pools)
    }

    pub(super) fn find(&self, name: &str) -> Option<&'t Spanned<schema::Pool>> {
        self.0.get(name).copied()
    }
}

/// The service of this name, which must exist and speak the listener's protocol.
pub(super) fn service(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    name: &str,
    protocol: Protocol,
    services: &ServiceIndex,
) -> Option<Name> {
    let Some(service) = services.find(name) else {
        if services.supplied {
            return None;
        }
        let advice = if services.list.is_empty() || diagnostics.is_full() {
            "add it under `services`".into()
        } else {
            nearest(name, &services.list.iter().map(|service| &*service.name).collect::<Vec<_>>())
        };
        diagnostics.problem(at, format!("there is no service `{}`", shorten(name)), advice);
        return None;
    };
    if service.protocol != protocol {
        let (ours, its) = (word(protocol), word(service.protocol));
        let what = format!("the listener speaks {ours} and the service `{name}` {its}");
        diagnostics.problem(at, what, format!("give both the same `protocol: {ours}` or `protocol: {its}`"));
        return None;
    }
    Some(service.name.clone())
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
    }
}
