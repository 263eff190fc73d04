//! Checks across sections: conflicting addresses, unused services, manual failback without a state file.

use std::collections::HashMap;

use super::diagnostics::Diagnostics;
use super::services::ServicesByName;
use crate::config::Bind;
use crate::config::model::{Config, FailbackMode, Name, Target};
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};
use crate::config::tree::NodeId;

pub(super) fn check(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config) {
    check_address_conflicts(diagnostics, file);
    check_unused_services(diagnostics, file, config);
    check_manual_failback_state(diagnostics, file, config);
}

/// The same address twice, or an address that a wildcard of the same port covers.
fn check_address_conflicts(diagnostics: &mut Diagnostics, file: &schema::File) {
    // By port: what is taken bind by bind, and what takes every address of a family, or any of it first.
    let mut taken: HashMap<Bind, String> = HashMap::new();
    let mut everywhere: HashMap<(u16, bool), (Bind, String)> = HashMap::new();
    let mut anywhere: HashMap<(u16, bool), (Bind, String)> = HashMap::new();
    for (at, bind, user) in binds(file) {
        if bind.port() == 0 {
            continue; // each gets a port of its own
        }
        let meets = bind.ips().find_map(|ip| {
            let others = if ip.is_unspecified() { &anywhere } else { &everywhere };
            others.get(&(bind.port(), ip.is_ipv4()))
        });
        let what = match (taken.get(&bind), meets) {
            (Some(by), _) => Some(format!("{bind} is already taken by {by}")),
            (None, Some((other, by))) => Some(format!("{bind} meets {other}, which {by} takes")),
            (None, None) => None,
        };
        if let Some(what) = what {
            diagnostics.problem(at, what, "give it another port");
        }
        for ip in bind.ips() {
            let family = (bind.port(), ip.is_ipv4());
            if ip.is_unspecified() {
                everywhere.entry(family).or_insert_with(|| (bind, user.clone()));
            }
            anywhere.entry(family).or_insert_with(|| (bind, user.clone()));
        }
        taken.entry(bind).or_insert(user);
    }
}

/// Every address that is bound, with the section that binds it.
fn binds(file: &schema::File) -> Vec<(NodeId, Bind, String)> {
    let mut found = Vec::new();
    if let Some(OffOr::Value(admin)) = file.admin.get() {
        found.extend(admin.0.bind.found().map(|(at, bind)| (at, bind.0, "`admin`".to_owned())));
    }
    if let Some(metrics) = file.metrics.get() {
        found.extend(metrics.0.bind.found().map(|(at, bind)| (at, bind.0, "`metrics`".to_owned())));
    }
    for listener in file.listeners.get().into_iter().flatten().filter_map(Spanned::get) {
        let user = match listener.name.get() {
            Some(name) => format!("listener `{}`", crate::config::tree::shorten(name)),
            None => "another listener".into(),
        };
        let bind = listener.bind.get().map_or(&[][..], |list| &list.0);
        found.extend(bind.iter().filter_map(Spanned::found).map(|(at, bind)| (at, bind.0, user.clone())));
    }
    found
}

/// A service that no listener leads to is probed and never used.
fn check_unused_services(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config) {
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
            diagnostics.warning(at, what, "add a route to it, or remove it");
        }
    }
}

/// A service that waits for an operator's word must not come home by a restart.
fn check_manual_failback_state(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config) {
    if config.state.is_some() || matches!(file.state.get(), Some(OffOr::Value(_))) {
        return;
    }
    let typed = ServicesByName::of(file);
    for service in &config.services {
        if service.failover.following.is_some() {
            let Some(at) = place(&typed, &service.name) else { continue };
            let what = format!("service `{}` follows its primary, and there is no `state`", service.name);
            let advice = "a restart would forget what was followed, and could follow a primary of the past: add \
                          `state: {path: /var/lib/standfast/state.json}`";
            diagnostics.warning(at, what, advice);
        } else if service.failover.failback.mode == FailbackMode::Manual
            && service.failover.leader.is_none()
            && service.pools.len() > 1
        {
            let Some(at) = place(&typed, &service.name) else { continue };
            let what = format!("service `{}` fails back manually, and there is no `state`", service.name);
            let advice =
                "a restart would forget which pool is active: add `state: {path: /var/lib/standfast/state.json}`";
            diagnostics.warning(at, what, advice);
        }
    }
}

/// Where a service's failback stands, or its name.
fn place(services: &ServicesByName<'_>, name: &Name) -> Option<NodeId> {
    let (key, service) = services.find(name)?;
    let failback = service.get().and_then(|service| service.failover.get()).and_then(|failover| failover.failback.at());
    failback.or(key.at())
}
