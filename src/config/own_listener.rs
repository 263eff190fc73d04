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
    pub by: OwnPort,
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
pub enum OwnPort {
    /// This listener.
    Listener(Name),
    /// The admin port, or the port of the metrics.
    Admin,
}

/// Every endpoint that is one of our own listeners, as far as the configuration shows it: by address, by an address of the
/// loopback network where a wildcard is bound, or by `localhost`. `is_ours`: further addresses of this machine.
pub fn own_listeners(config: &Config, is_ours: impl Fn(IpAddr) -> bool) -> Vec<OwnListener> {
    let doors = BoundAddresses::of(config);
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

/// Every address that is bound, by port.
struct BoundAddresses(HashMap<u16, BoundOnPort>);

/// What we bind on one port; the first one where several are bound to one address. The numbers are those of their order.
#[derive(Default)]
struct BoundOnPort {
    addresses: HashMap<IpAddr, (usize, OwnPort)>,
    /// What takes every IPv4 address.
    every_v4: Option<(usize, OwnPort)>,
    /// What takes every IPv6 address.
    every_v6: Option<(usize, OwnPort)>,
}

impl BoundAddresses {
    fn of(config: &Config) -> BoundAddresses {
        let listeners = config
            .listeners
            .iter()
            .flat_map(|listener| listener.bind.iter().map(|bind| (*bind, OwnPort::Listener(listener.name.clone()))));
        let admin = config.admin.iter().filter_map(|admin| admin.bind).chain(config.metrics);
        let all = listeners.chain(admin.map(|bind| (bind, OwnPort::Admin)));
        let mut doors: HashMap<u16, BoundOnPort> = HashMap::new();
        for (order, (bind, by)) in all.enumerate().filter(|(_, (bind, _))| bind.port() != 0) {
            let port = doors.entry(bind.port()).or_default();
            // (`*` stands here as the wildcards of both families.)
            for ip in bind.ips().map(|ip| ip.to_canonical()) {
                if ip.is_unspecified() {
                    port.everywhere_mut(ip).get_or_insert_with(|| (order, by.clone()));
                }
                port.addresses.entry(ip).or_insert_with(|| (order, by.clone()));
            }
        }
        BoundAddresses(doors)
    }

    /// What listens at this address, and whether only `is_ours` says so.
    fn at(&self, address: SocketAddr, is_ours: impl Fn(IpAddr) -> bool) -> Option<(&OwnPort, bool)> {
        let ip = address.ip().to_canonical();
        let port = self.0.get(&address.port())?;
        let own = port.addresses.get(&ip).map(|(order, by)| (*order, by, false));
        let everywhere = port.everywhere(ip).and_then(|(order, by)| {
            let is_first = own.is_none_or(|(own, ..)| *order < own);
            (is_first && (ip.is_loopback() || is_ours(ip))).then_some((*order, by, !ip.is_loopback()))
        });
        everywhere.or(own).map(|(_, by, only_here)| (by, only_here))
    }
}

impl BoundOnPort {
    /// A wildcard takes its own family only, see `net::bind`.
    fn everywhere(&self, ip: IpAddr) -> Option<&(usize, OwnPort)> {
        if ip.is_ipv4() { self.every_v4.as_ref() } else { self.every_v6.as_ref() }
    }

    fn everywhere_mut(&mut self, ip: IpAddr) -> &mut Option<(usize, OwnPort)> {
        if ip.is_ipv4() { &mut self.every_v4 } else { &mut self.every_v6 }
    }
}

/// Finds out for each whether its listener leads back to its service: whether both are on one circle of listeners that lead to
/// services and services that lead to listeners.
fn mark_circles(config: &Config, found: &mut [OwnListener]) {
    if found.is_empty() {
        return;
    }
    let matched = matched_fields(config);
    let mut ways = LeadsTo::default();
    for listener in &config.listeners {
        let from = ways.node(ServiceOrListener::Listener(&listener.name));
        for service in services_of(&listener.target, &matched) {
            let to = ways.node(ServiceOrListener::Service(service));
            ways.edges[from].push(to);
        }
    }
    let ends: Vec<Option<(usize, usize)>> = found
        .iter()
        .map(|own| {
            let OwnPort::Listener(listener) = &own.by else { return None };
            let (from, to) =
                (ways.node(ServiceOrListener::Service(&own.service)), ways.node(ServiceOrListener::Listener(listener)));
            ways.edges[from].push(to);
            Some((from, to))
        })
        .collect();
    let circles = circles(&ways.edges);
    for (own, ends) in found.iter_mut().zip(ends) {
        own.circle = ends.is_some_and(|(service, listener)| circles[service] == circles[listener]);
    }
}

/// A listener or a service, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ServiceOrListener<'c> {
    Listener(&'c str),
    Service(&'c str),
}

/// Which listener leads to which service, and which service to which listener.
#[derive(Default)]
struct LeadsTo<'c> {
    places: HashMap<ServiceOrListener<'c>, usize>,
    edges: Vec<Vec<usize>>,
}

impl<'c> LeadsTo<'c> {
    fn node(&mut self, node: ServiceOrListener<'c>) -> usize {
        let next = self.edges.len();
        let place = *self.places.entry(node).or_insert(next);
        if place == next {
            self.edges.push(Vec::new());
        }
        place
    }
}

/// For each node of a graph the number of its strongly connected component (Tarjan's algorithm, with a stack of its own: a chain
/// may be as long as the configuration).
fn circles(edges: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let (mut component, mut order, mut low) =
        (vec![NONE; edges.len()], vec![NONE; edges.len()], vec![NONE; edges.len()]);
    let (mut open, mut next, mut components) = (Vec::new(), 0, 0);
    for start in 0..edges.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if order[start] == NONE {
            path.push((start, 0));
        }
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 {
                (order[node], low[node]) = (next, next);
                next += 1;
                open.push(node);
            }
            if let Some(to) = edges[node].get(*edge).copied() {
                *edge += 1;
                if order[to] == NONE {
                    path.push((to, 0));
                } else if component[to] == NONE {
                    low[node] = low[node].min(order[to]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == order[node] {
                while let Some(member) = open.pop() {
                    component[member] = components;
                    if member == node {
                        break;
                    }
                }
                components += 1;
            }
        }
    }
    component
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
