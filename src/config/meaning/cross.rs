//! What spans the parts: addresses that meet, services that nobody uses, and what needs a state file.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Room;
use super::service::ServicesByName;
use crate::config::item::{Item, Switch};
use crate::config::model::{Config, FailbackMode, Name, Target};
use crate::config::schema;
use crate::config::tree::NodeId;

pub(super) fn check(room: &mut Room, file: &schema::File, config: &Config) {
    addresses_meet(room, file);
    unused_services(room, file, config);
    state_matters(room, file, config);
}

/// The same address twice, or an address that a wildcard of the same port covers.
fn addresses_meet(room: &mut Room, file: &schema::File) {
    // By port: what is taken address by address, and what takes every address of a family, or any of it first.
    let mut taken: HashMap<SocketAddr, String> = HashMap::new();
    let mut everywhere: HashMap<(u16, bool), (SocketAddr, String)> = HashMap::new();
    let mut anywhere: HashMap<(u16, bool), (SocketAddr, String)> = HashMap::new();
    for (at, address, user) in addresses(file) {
        if address.port() == 0 {
            continue; // each gets a port of its own
        }
        let family = (address.port(), address.is_ipv4());
        let is_wildcard = address.ip().is_unspecified();
        let meets = if is_wildcard { anywhere.get(&family) } else { everywhere.get(&family) };
        let what = match (taken.get(&address), meets) {
            (Some(by), _) => Some(format!("{address} is already taken by {by}")),
            (None, Some((other, by))) => Some(format!("{address} meets {other}, which {by} takes")),
            (None, None) => None,
        };
        if let Some(what) = what {
            room.problem(at, what, "give it another port");
        }
        if is_wildcard {
            everywhere.entry(family).or_insert_with(|| (address, user.clone()));
        }
        anywhere.entry(family).or_insert_with(|| (address, user.clone()));
        taken.entry(address).or_insert(user);
    }
}

/// Every address that we bind, with who binds it.
fn addresses(file: &schema::File) -> Vec<(NodeId, SocketAddr, String)> {
    let mut found = Vec::new();
    if let Some(Switch::On(admin)) = file.admin.get() {
        found.extend(admin.0.bind.found().map(|(at, address)| (at, address.0, "`admin`".to_owned())));
    }
    if let Some(metrics) = file.metrics.get() {
        found.extend(metrics.0.bind.found().map(|(at, address)| (at, address.0, "`metrics`".to_owned())));
    }
    for listener in file.listeners.get().into_iter().flatten().filter_map(Item::get) {
        let user = match listener.name.get() {
            Some(name) => format!("listener `{}`", crate::config::tree::shorten(name)),
            None => "another listener".into(),
        };
        let bind = listener.bind.get().map_or(&[][..], |list| &list.0);
        found.extend(bind.iter().filter_map(Item::found).map(|(at, address)| (at, address.0, user.clone())));
    }
    found
}

/// A service that no listener leads to is probed and never used.
fn unused_services(room: &mut Room, file: &schema::File, config: &Config) {
    // A listener that was refused may be the one that uses it.
    let typed = file.listeners.get().map_or(0, Vec::len);
    if typed != config.listeners.len() {
        return;
    }
    let mut used: Vec<&Name> = Vec::new();
    for listener in &config.listeners {
        match &listener.target {
            Target::Service(name) => used.push(name),
            Target::Routes(routes) => used.extend(routes.iter().map(|route| &route.service)),
            Target::Sni(routes) => used.extend(routes.iter().map(|route| &route.service)),
        }
    }
    let used: std::collections::HashSet<&str> = used.into_iter().map(|name| &**name).collect();
    for (at, name) in file.services.get().into_iter().flat_map(|entries| &entries.0).filter_map(|(key, _)| key.found())
    {
        if !used.contains(name.as_str()) {
            let what = format!("no listener leads to service `{}`", crate::config::tree::shorten(name));
            room.warning(at, what, "add a route to it, or remove it");
        }
    }
}

/// A service that waits for an operator's word must not come home by a restart.
fn state_matters(room: &mut Room, file: &schema::File, config: &Config) {
    if config.state.is_some() || matches!(file.state.get(), Some(Switch::On(_))) {
        return;
    }
    let typed = ServicesByName::of(file);
    for service in &config.services {
        if service.failover.failback.mode == FailbackMode::Manual && service.pools.len() > 1 {
            let Some(at) = place(&typed, &service.name) else { continue };
            let what = format!("service `{}` fails back manually, and there is no `state`", service.name);
            let advice =
                "a restart would forget which pool is active: add `state: {path: /var/lib/standfast/state.json}`";
            room.warning(at, what, advice);
        }
    }
}

/// Where a service's failback stands, or its name.
fn place(services: &ServicesByName<'_>, name: &Name) -> Option<NodeId> {
    let (key, service) = services.find(name)?;
    let failback = service.get().and_then(|service| service.failover.get()).and_then(|failover| failover.failback.at());
    failback.or(key.at())
}
