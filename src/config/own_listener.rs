//! Endpoints that are listeners of the same configuration: requests come back to the process that sent them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::model::{Config, HeaderChanges, Name, Question, Target};

/// An endpoint at whose address this configuration listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnListener {
    /// The service.
    pub service: Name,
    /// Its pool.
    pub pool: Name,
    /// The endpoint, as the configuration says it.
    pub endpoint: OwnEndpoint,
    /// What listens there: a listener, or the admin port.
    pub by: ListensThere,
    /// What the listener gets comes back to this service: each request would go round in a circle.
    pub circle: bool,
    /// The configuration alone does not show it, but the addresses of this machine do.
    pub only_here: bool,
}

/// How an endpoint is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnEndpoint {
    /// By its address.
    Address(SocketAddr),
    /// By a name that stands for this machine everywhere.
    Name(Question),
}

/// What of this configuration listens at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListensThere {
    /// This listener.
    Listener(Name),
    /// The admin port, or the port of the metrics.
    Admin,
}

/// Every endpoint that is one of our own listeners, as far as the configuration shows it: by address, by an address of the
/// loopback network where a wildcard is bound, or by `localhost`. `is_ours`: further addresses of this machine.
pub fn own_listeners(config: &Config, is_ours: impl Fn(IpAddr) -> bool) -> Vec<OwnListener> {
    let doors = Doors::of(config);
    let mut found = Vec::new();
    for service in &config.services {
        for pool in &service.pools {
            let addresses = pool.members.endpoints().iter().map(|e| (OwnEndpoint::Address(e.address), vec![e.address]));
            let names = pool.names.iter().map(|name| (OwnEndpoint::Name(name.question.clone()), local(&name.question)));
            for (endpoint, addresses) in addresses.chain(names) {
                let there = addresses.iter().find_map(|address| doors.at(*address, &is_ours));
                let Some((by, only_here)) = there else { continue };
                let (service, pool, by) = (service.name.clone(), pool.name.clone(), by.clone());
                found.push(OwnListener { service, pool, endpoint, by, circle: false, only_here });
            }
        }
    }
    mark_circles(config, &mut found);
    found
}

/// The addresses that a name of this machine stands for (RFC 6761 §6.3); none for all other names.
fn local(question: &Question) -> Vec<SocketAddr> {
    let host = question.host();
    match question.port {
        Some(port) if host == "localhost" || host.ends_with(".localhost") => {
            vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
        }
        _ => Vec::new(),
    }
}

/// Everything that we bind, by port.
struct Doors(HashMap<u16, Vec<(IpAddr, ListensThere)>>);

impl Doors {
    fn of(config: &Config) -> Doors {
        let listeners = config.listeners.iter().flat_map(|listener| {
            listener.bind.iter().map(|bind| (*bind, ListensThere::Listener(listener.name.clone())))
        });
        let admin = config.admin.iter().map(|admin| admin.bind).chain(config.metrics);
        let mut doors: HashMap<u16, Vec<_>> = HashMap::new();
        for (bind, by) in listeners.chain(admin.map(|bind| (bind, ListensThere::Admin))) {
            if bind.port() != 0 {
                doors.entry(bind.port()).or_default().push((bind.ip().to_canonical(), by));
            }
        }
        Doors(doors)
    }

    /// What listens at this address, and whether only `is_ours` says so.
    fn at(&self, address: SocketAddr, is_ours: impl Fn(IpAddr) -> bool) -> Option<(&ListensThere, bool)> {
        let ip = address.ip().to_canonical();
        // A wildcard takes its own family only, see `net::bind`.
        let wildcard = |bound: IpAddr| bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4();
        self.0.get(&address.port())?.iter().find_map(|(bound, by)| {
            let everywhere = *bound == ip || wildcard(*bound) && ip.is_loopback();
            (everywhere || wildcard(*bound) && is_ours(ip)).then_some((by, !everywhere))
        })
    }
}

/// Finds out for each whether its listener leads back to its service.
fn mark_circles(config: &Config, found: &mut [OwnListener]) {
    let mut leads: HashMap<&Name, Vec<&Name>> = HashMap::new();
    let matched = matched_fields(config);
    for listener in &config.listeners {
        leads.insert(&listener.name, services_of(&listener.target, &matched));
    }
    let mut enters: HashMap<Name, Vec<Name>> = HashMap::new();
    for own in found.iter() {
        if let ListensThere::Listener(listener) = &own.by {
            enters.entry(own.service.clone()).or_default().push(listener.clone());
        }
    }
    let mut reached: HashMap<Name, HashSet<&Name>> = HashMap::new();
    for own in found {
        let ListensThere::Listener(listener) = &own.by else { continue };
        let services = reached.entry(listener.clone()).or_insert_with(|| reach(listener, &leads, &enters));
        own.circle = services.contains(&own.service);
    }
}

/// All services that what this listener gets can come to.
fn reach<'c>(
    listener: &Name,
    leads: &HashMap<&'c Name, Vec<&'c Name>>,
    enters: &HashMap<Name, Vec<Name>>,
) -> HashSet<&'c Name> {
    let mut services = HashSet::new();
    let mut seen = HashSet::from([listener.clone()]);
    let mut open = vec![listener.clone()];
    while let Some(listener) = open.pop() {
        for service in leads.get(&listener).into_iter().flatten() {
            if services.insert(*service) {
                let further = enters.get(*service).into_iter().flatten();
                open.extend(further.filter(|next| seen.insert((*next).clone())).cloned());
            }
        }
    }
    services
}

/// Where a listener leads, leaving out routes that make another request of it: one with another Host, or with another field
/// that routes look at. It may find another route when it comes back.
fn services_of<'c>(target: &'c Target, matched: &HashSet<String>) -> Vec<&'c Name> {
    let changes_match = |changes: &HeaderChanges| {
        let written = changes.set.iter().chain(&changes.add).map(|(name, _)| name.to_ascii_lowercase());
        written.chain(changes.remove.iter().cloned()).any(|name| name == "host" || matched.contains(&name))
    };
    match target {
        Target::Service(service) => vec![service],
        Target::Sni(routes) => routes.iter().map(|route| &route.service).collect(),
        Target::Routes(routes) => {
            let same = routes.iter().filter(|route| !changes_match(&route.request_headers));
            same.map(|route| &route.service).collect()
        }
    }
}

/// The header fields that any route looks at, in lower case.
fn matched_fields(config: &Config) -> HashSet<String> {
    let routes = config.listeners.iter().filter_map(|listener| match &listener.target {
        Target::Routes(routes) => Some(routes),
        Target::Service(_) | Target::Sni(_) => None,
    });
    routes.flatten().flat_map(|route| &route.matches.headers).map(|(name, _)| name.clone()).collect()
}
