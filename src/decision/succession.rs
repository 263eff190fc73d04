//! [`Succession`]: which service and which pool of the former configuration each one of a new configuration continues.
//!
//! The name decides. A name that is new may be a *rename*, when nothing else can explain it:
//! * a pool is renamed when its set of endpoints is unchanged and no other pool of the service, before or after, has the same;
//! * a service is renamed when its pools, and the listeners and routes that lead to it, are otherwise unchanged, and no other
//!   service that came or went is like it.
//!
//! In doubt it is a new one.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Listener, Name, Pool, PoolMembers, Question, Route, Service, SniRoute, Target};

/// See the module. Indices are places in the two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Succession {
    services: Vec<Option<Predecessor>>,
}

/// The service of the former configuration that one of the new configuration continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Its index in the former configuration.
    pub service: usize,
    /// For each pool of the new configuration the index of the pool that it continues; `None` = it is new.
    pub pools: Vec<Option<usize>>,
}

/// A configuration as far as identities depend on it: its listeners and its services.
pub type Side<'a> = (&'a [Arc<Listener>], &'a [Arc<Service>]);

impl Succession {
    /// Compares two configurations.
    pub fn between(before: Side<'_>, after: Side<'_>) -> Succession {
        let places: HashMap<&Name, usize> = before.1.iter().zip(0..).map(|(service, at)| (&service.name, at)).collect();
        let mut found: Vec<Option<usize>> = after.1.iter().map(|service| places.get(&service.name).copied()).collect();
        for (new, old) in renamed_services(before, after, &found) {
            found[new] = Some(old);
        }
        let predecessor = |(service, old): (&Arc<Service>, Option<usize>)| {
            let old = old?;
            Some(Predecessor { service: old, pools: predecessors_of_pools(&before.1[old], service) })
        };
        Succession { services: after.1.iter().zip(found).map(predecessor).collect() }
    }

    /// What this service of the new configuration continues; `None` = it is new.
    pub fn service(&self, after: usize) -> Option<&Predecessor> {
        self.services.get(after)?.as_ref()
    }
}

impl Predecessor {
    /// For each of so many pools of the former configuration the one of the new configuration that continues it.
    pub fn successors(&self, pools: usize) -> Vec<Option<usize>> {
        let mut successors = vec![None; pools];
        for (new, old) in self.pools.iter().enumerate() {
            if let Some(successor) = old.and_then(|old| successors.get_mut(old)) {
                successor.get_or_insert(new);
            }
        }
        successors
    }
}

/// Renamed services as pairs (new, old).
fn renamed_services(before: Side<'_>, after: Side<'_>, found: &[Option<usize>]) -> Vec<(usize, usize)> {
    let came: Vec<usize> = (0..found.len()).filter(|new| found[*new].is_none()).collect();
    let mut stays = vec![false; before.1.len()];
    found.iter().flatten().for_each(|old| stays[*old] = true);
    let went: Vec<usize> = (0..stays.len()).filter(|old| !stays[*old]).collect();
    if came.is_empty() || went.is_empty() {
        return Vec::new();
    }
    unambiguous(&likeness(after, &came), &likeness(before, &went))
}

/// Services by everything that a rename leaves unchanged, as text: their pools, and what leads to them.
fn likeness(side: Side<'_>, wanted: &[usize]) -> BTreeMap<String, Vec<usize>> {
    let (listeners, services) = side;
    let mut ways: HashMap<&Name, ServiceRoutes> =
        wanted.iter().map(|at| (&services[*at].name, ServiceRoutes::default())).collect();
    for (place, listener) in listeners.iter().enumerate() {
        describe_ways(place, listener, &mut ways);
    }
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for at in wanted {
        let service = &services[*at];
        let ways = ways.get(&service.name).map_or("", |ways| &ways.text);
        alike.entry(format!("{:?} {:?} {ways}", service.protocol, service.pools)).or_default().push(*at);
    }
    alike
}

/// The listeners and routes that lead to one service, as text without its name.
#[derive(Default)]
struct ServiceRoutes {
    text: String,
    /// The listener that was described last: each is described once.
    listener: Option<usize>,
}

/// Adds how this listener leads to each of the services.
fn describe_ways(place: usize, listener: &Listener, ways: &mut HashMap<&Name, ServiceRoutes>) {
    let unnamed = || Name::from("");
    let mut bare = None;
    let mut describe = |service: &Name, route: &dyn Fn() -> String| {
        let Some(ways) = ways.get_mut(service) else { return };
        if ways.listener.replace(place) != Some(place) {
            ways.text.push_str(bare.get_or_insert_with(|| {
                format!("{:?}", Listener { target: Target::Service(unnamed()), ..Listener::clone(listener) })
            }));
        }
        ways.text.push_str(&route());
    };
    match &listener.target {
        Target::Service(service) => describe(service, &String::new),
        Target::Routes(routes) => {
            for route in routes {
                let text = || format!("{:?}", Route { service: unnamed(), ..Route::clone(route) });
                describe(&route.service, &text);
            }
        }
        Target::Sni(routes) => {
            for route in routes {
                let text = || format!("{:?}", SniRoute { service: unnamed(), ..SniRoute::clone(route) });
                describe(&route.service, &text);
            }
        }
    }
}

/// For each pool of `after` the index of the pool of `before` that it continues.
fn predecessors_of_pools(before: &Arc<Service>, after: &Arc<Service>) -> Vec<Option<usize>> {
    if Arc::ptr_eq(before, after) {
        return (0..after.pools.len()).map(Some).collect();
    }
    let places: BTreeMap<&Name, usize> = before.pools.iter().zip(0..).map(|(pool, at)| (&pool.name, at)).collect();
    let mut found: Vec<Option<usize>> = after.pools.iter().map(|pool| places.get(&pool.name).copied()).collect();
    if found.iter().any(Option::is_none) {
        let mut stays = vec![false; before.pools.len()];
        found.iter().flatten().for_each(|old| stays[*old] = true);
        for (new, old) in unambiguous(&by_endpoints(&after.pools), &by_endpoints(&before.pools)) {
            if found[new].is_none() && !stays[old] {
                found[new] = Some(old);
            }
        }
    }
    found
}

/// What a pool is besides its name: a static response or its set of endpoints; while that is empty, the names that stand for it.
type ServiceIdentity<'a> = (bool, Vec<SocketAddr>, Vec<&'a Question>);

fn by_endpoints(pools: &[Pool]) -> BTreeMap<ServiceIdentity<'_>, Vec<usize>> {
    let mut alike: BTreeMap<ServiceIdentity<'_>, Vec<usize>> = BTreeMap::new();
    for (at, pool) in pools.iter().enumerate() {
        let mut addresses: Vec<SocketAddr> = pool.members.endpoints().iter().map(|e| e.address).collect();
        addresses.sort_unstable();
        let names = if addresses.is_empty() { pool.names.iter().map(|n| &n.question).collect() } else { Vec::new() };
        alike.entry((matches!(pool.members, PoolMembers::Static(_)), addresses, names)).or_default().push(at);
    }
    alike
}

/// Pairs (new, old) of what stands alone under its key on both sides.
fn unambiguous<K: Ord>(after: &BTreeMap<K, Vec<usize>>, before: &BTreeMap<K, Vec<usize>>) -> Vec<(usize, usize)> {
    let pair = |(key, new): (&K, &Vec<usize>)| match (&new[..], before.get(key).map(Vec::as_slice)) {
        ([new], Some([old])) => Some((*new, *old)),
        _ => None,
    };
    after.iter().filter_map(pair).collect()
}
