//! Building a table: the configuration, the core's conclusions and what the table before it had.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::config::{Endpoint, Target};
use crate::decision::{Admission, EndpointRow, PoolRow, ServiceRow, Succession, Table};
use crate::net::tls::ClientTls;
use crate::routing::EndpointStats;
use crate::routing::balance::BalancerShape;

impl RoutingTable {
    /// Builds the next table. Pure but for the limits of a kept service, which take their configured size.
    ///
    /// `table` speaks of `config`'s services and pools in the same order (the core made it from the same configuration); a
    /// row that is missing leaves its service [`Serving::Starting`]. Carried over from `previous`: counters by identity
    /// (endpoint id, the service that this one continues, listener name), matchers of unchanged listeners, balancing structures and whole services
    /// about which nothing changed, and the sockets of listeners that `sockets` does not name. What is spoken over TLS is
    /// only what `materials` holds.
    pub fn build(
        config: &Arc<Config>,
        table: &Table,
        previous: Option<&RoutingTable>,
        sockets: &SocketMap,
        materials: &Arc<TlsAssets>,
        workers: usize,
        now: MonoTime,
    ) -> RoutingTable {
        let before = FormerTable::of(previous, config);
        let next_identity = Cell::new(previous.map_or(0, |previous| previous.next_identity));
        let turn = TableBuild { epoch: table.epoch, workers, now, materials, next_identity: &next_identity };
        let mut slot = 0;
        let services: Vec<_> = config
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| {
                let row = table.services.get(index).filter(|row| row.name == service.name);
                let old = before.service(index);
                let first_slot = slot;
                slot += service.pools.len();
                service_view(service, row, old, &turn, index, first_slot)
            })
            .collect();
        let places = services.iter().map(|service| (&*service.config.name, service.index)).collect();
        let listeners = config
            .listeners
            .iter()
            .map(|listener| {
                let old = before.listeners.get(&*listener.name).copied();
                listener_view(listener, old, sockets, &places, &turn)
            })
            .collect();
        let (config, materials, next_identity) = (Arc::clone(config), Arc::clone(materials), next_identity.get());
        RoutingTable { epoch: table.epoch, config, materials, listeners, services, next_identity }
    }
}

/// What one build is about.
struct TableBuild<'a> {
    epoch: u64,
    workers: usize,
    now: MonoTime,
    materials: &'a TlsAssets,
    next_identity: &'a Cell<u64>,
}

impl TableBuild<'_> {
    fn new_identity(&self) -> TableIdentity {
        let next = self.next_identity.get();
        self.next_identity.set(next + 1);
        TableIdentity(next)
    }
}

/// The table before.
#[derive(Default)]
struct FormerTable<'a> {
    services: &'a [Arc<ServiceView>],
    /// What continues what; `None` = the configuration is the same.
    succession: Option<Succession>,
    /// By name.
    listeners: HashMap<&'a str, &'a Arc<ListenerView>>,
}

/// The service of the table before that a service continues.
#[derive(Clone, Copy)]
struct FormerService<'a> {
    view: &'a Arc<ServiceView>,
    /// Which pool continues which; `None` = each the one in the same place.
    pools: Option<&'a [Option<usize>]>,
}

impl<'a> FormerTable<'a> {
    fn of(previous: Option<&'a RoutingTable>, config: &Arc<Config>) -> FormerTable<'a> {
        let Some(table) = previous else { return FormerTable::default() };
        let succession = (!Arc::ptr_eq(&table.config, config)).then(|| {
            let before = (&table.config.listeners[..], &table.config.services[..]);
            Succession::between(before, (&config.listeners, &config.services))
        });
        let listeners = table.listeners.iter().map(|listener| (&*listener.config.name, listener)).collect();
        FormerTable { services: &table.services, succession, listeners }
    }

    /// What the service in this place continues.
    fn service(&self, index: usize) -> Option<FormerService<'_>> {
        let Some(succession) = &self.succession else {
            return self.services.get(index).map(|view| FormerService { view, pools: None });
        };
        let past = succession.service(index)?;
        self.services.get(past.service).map(|view| FormerService { view, pools: Some(&past.pools) })
    }
}

impl<'a> FormerService<'a> {
    /// What the pool in this place continues.
    fn pool(&self, index: usize) -> Option<&'a PoolView> {
        let index = self.pools.map_or(Some(index), |pools| pools.get(index).copied().flatten())?;
        self.view.pools.get(index)
    }
}

fn listener_view(
    config: &Arc<Listener>,
    old: Option<&Arc<ListenerView>>,
    sockets: &SocketMap,
    places: &HashMap<&str, usize>,
    turn: &TableBuild<'_>,
) -> Arc<ListenerView> {
    let sockets = match (sockets.get(&config.name), old) {
        (Some(sockets), _) => Arc::clone(sockets),
        (None, Some(old)) => Arc::clone(&old.sockets),
        (None, None) => Arc::default(),
    };
    let target = match &config.target {
        Target::Service(name) => ListenerTarget::Service(places.get(&**name).copied().unwrap_or(usize::MAX)),
        Target::Sni(_) => ListenerTarget::Sni,
        Target::Routes(routes) => {
            let matcher = |route: &Name| places.get(&**route).copied().unwrap_or(usize::MAX);
            match old.map(|old| &old.target) {
                Some(ListenerTarget::Routes(old)) if old.is_of(routes, matcher) => {
                    ListenerTarget::Routes(Arc::clone(old))
                }
                old => {
                    let old = match old {
                        Some(ListenerTarget::Routes(old)) => Some(&**old),
                        _ => None,
                    };
                    ListenerTarget::Routes(Arc::new(Matcher::new(routes, turn.workers, old, matcher)))
                }
            }
        }
    };
    let stats = old.map_or_else(|| Arc::new(ListenerStats::new(turn.workers)), |old| Arc::clone(&old.stats));
    let tls = turn.materials.listener(config).cloned();
    Arc::new(ListenerView { config: Arc::clone(config), sockets, target, tls, stats })
}

fn service_view(
    config: &Arc<Service>,
    row: Option<&ServiceRow>,
    before: Option<FormerService<'_>>,
    turn: &TableBuild<'_>,
    index: usize,
    first_slot: usize,
) -> Arc<ServiceView> {
    let old = before.map(|before| before.view);
    let reconfigured = old.is_none_or(|old| !Arc::ptr_eq(&old.config, config) && old.config != *config);
    let tls = turn.materials.service(config).cloned();
    let same_tls = old.is_some_and(|old| old.tls.as_ref().map(Arc::as_ptr) == tls.as_ref().map(Arc::as_ptr));
    if let (Some(old), Some(row)) = (old, row)
        && !reconfigured
        && same_tls
        && old.index == index
        && old.pools.first().is_none_or(|pool| pool.slot == first_slot)
        && says_the_same(old, row)
    {
        return Arc::clone(old);
    }
    let stats = match old {
        Some(old) => Arc::clone(&old.stats),
        None => Arc::new(ServiceStats::new(turn.workers, config)),
    };
    if reconfigured {
        stats.limits.resize(&config.limits);
    }
    let serving = row.map_or(Serving::Starting, |row| row.serving.clone());
    let config = Arc::clone(config);
    let mut view = ServiceView {
        id: old.map_or_else(|| turn.new_identity(), |old| old.id),
        built: turn.epoch,
        index,
        config,
        tls,
        serving,
        isolated: row.is_some_and(|row| row.isolated),
        awaiting: None,
        pools: Vec::new(),
        stats,
        directory: EndpointDirectory::default(),
    };
    view.awaiting = row.and_then(|row| row.awaiting_answer).map(|epoch| awaiting(old, epoch, turn.now));
    view.pools = (0..view.config.pools.len())
        .map(|pool| {
            let name = &view.config.pools[pool].name;
            let row = row.and_then(|row| row.pools.get(pool)).filter(|row| row.name == *name);
            pool_view(&view, row, before, turn, pool, first_slot + pool)
        })
        .collect();
    view.directory = EndpointDirectory::of(&view.pools);
    Arc::new(view)
}

/// Do these conclusions say what the view already says?
fn says_the_same(view: &ServiceView, row: &ServiceRow) -> bool {
    view.serving == row.serving
        && view.isolated == row.isolated
        && view.awaiting.as_ref().map(|awaiting| awaiting.epoch) == row.awaiting_answer
        && view.pools.len() == row.pools.len()
        && view.pools.iter().zip(&row.pools).all(|(pool, row)| {
            pool.name == row.name
                && pool.available == row.available
                && pool.sessions == row.sessions
                && pool.endpoints.len() == row.endpoints.len()
                && pool.endpoints.iter().zip(&row.endpoints).enumerate().all(|(place, (endpoint, row))| {
                    let configured = view.config.pools.get(pool.index).map(|pool| pool.members.endpoints());
                    endpoint.id == row.id
                        && endpoint.weight == weight_in_force(meant(configured.unwrap_or_default(), place, row), row)
                        && endpoint.standing == row.standing
                        && endpoint.admission == row.admission
                        && endpoint.joined == row.joined
                        && endpoint.suspected == row.suspected
                        && endpoint.fenced == row.fenced
                        && endpoint.proving == row.proving
                })
        })
}

/// The endpoint of the configuration that this row speaks of.
fn meant<'a>(configured: &'a [Endpoint], place: usize, row: &EndpointRow) -> Option<&'a Endpoint> {
    let in_its_place = configured.get(place).filter(|endpoint| endpoint.address == row.address);
    in_its_place.or_else(|| configured.iter().find(|endpoint| endpoint.address == row.address))
}

/// What the row says of its weight, else what the configuration says.
fn weight_in_force(meant: Option<&Endpoint>, row: &EndpointRow) -> u32 {
    row.weight.unwrap_or_else(|| meant.map_or(1, |endpoint| endpoint.weight))
}

fn awaiting(old: Option<&Arc<ServiceView>>, epoch: u64, now: MonoTime) -> Arc<FirstAnswer> {
    match old.and_then(|old| old.awaiting.as_ref()) {
        Some(awaiting) if awaiting.epoch == epoch => Arc::clone(awaiting),
        _ => Arc::new(FirstAnswer::new(epoch, now)),
    }
}

fn pool_view(
    service: &ServiceView,
    row: Option<&PoolRow>,
    before: Option<FormerService<'_>>,
    turn: &TableBuild<'_>,
    index: usize,
    slot: usize,
) -> PoolView {
    let config = &service.config.pools[index];
    let old = before.and_then(|before| before.pool(index));
    let before = before.map(|before| &**before.view);
    let endpoints: Vec<EndpointView> =
        row.map_or_else(Vec::new, |row| endpoint_views(service, config, row, (before, old), turn));
    let trials = places(&endpoints, Admission::Trial);
    let open = places(&endpoints, Admission::Open);
    let shape = BalancerShape { balance: &service.config.balance, endpoints: &endpoints };
    let suspected = !open.is_empty() && open.iter().all(|place| endpoints[*place as usize].suspected);
    let balancer = Balancer::build(&shape, open, old.map(|old| (&old.balancer, &*old.endpoints)));
    let pool_term = term(service, old, turn, index);
    PoolView {
        id: old.map_or_else(|| turn.new_identity(), |old| old.id),
        name: Arc::clone(&config.name),
        available: row.is_some_and(|row| row.available),
        service: Arc::clone(&service.config),
        index,
        slot,
        pool_term,
        sessions: row.map_or_else(PoolSessions::default, |row| row.sessions),
        endpoints,
        trials,
        suspected,
        balancer,
    }
}

/// Since when the pool serves.
fn term(service: &ServiceView, old: Option<&PoolView>, turn: &TableBuild<'_>, index: usize) -> u64 {
    let pool_term = old.map_or(0, |old| old.pool_term);
    let unserved = matches!(service.serving, Serving::Starting | Serving::Down);
    match (service.serves(index), pool_term) {
        (true, 0) => turn.epoch.max(1),
        (true, since) => since,
        (false, since) if unserved => since,
        (false, _) => 0,
    }
}

fn endpoint_views(
    service: &ServiceView,
    config: &Pool,
    row: &PoolRow,
    (before, pool_before): (Option<&ServiceView>, Option<&PoolView>),
    turn: &TableBuild<'_>,
) -> Vec<EndpointView> {
    let configured = config.members.endpoints();
    let trip = config.outlier_detection.as_ref().map_or(5, |rule| rule.consecutive_failures);
    row.endpoints
        .iter()
        .enumerate()
        .map(|(place, row)| {
            let meant = meant(configured, place, row);
            let old = before.and_then(|before| before.find(row.id));
            let same_pool = before.and_then(|before| before.pool_of(row.id)) == pool_before.map(|pool| pool.index);
            let stats = match old {
                Some(old) => {
                    old.stats.set_trip(trip);
                    Arc::clone(&old.stats)
                }
                None => Arc::new(EndpointStats::new(turn.workers, trip, Arc::clone(&service.stats.freed))),
            };
            stats.prove(row.proving);
            EndpointView {
                id: row.id,
                address: row.address,
                name: meant.and_then(|endpoint| endpoint.name.clone()),
                member_since: old.filter(|_| same_pool).map_or(turn.epoch, |old| old.member_since),
                weight: weight_in_force(meant, row),
                max_connections: meant.and_then(|endpoint| endpoint.max_connections),
                standing: row.standing,
                admission: row.admission,
                joined: row.joined,
                suspected: row.suspected,
                proving: row.proving,
                fenced: row.fenced,
                tls: endpoint_tls(service.tls.as_ref(), meant.and_then(|e| e.host.as_deref()), old),
                host: meant.and_then(|endpoint| endpoint.host.clone()),
                stats,
            }
        })
        .collect()
}

/// An endpoint's own, with the sessions that it has given us: kept as long as it is the service's.
fn endpoint_tls(
    service: Option<&Arc<ClientTls>>,
    host: Option<&str>,
    old: Option<&EndpointView>,
) -> Option<Arc<ClientTls>> {
    let service = service?;
    let same_name = old.filter(|old| old.host.as_deref() == host);
    match same_name.and_then(|old| old.tls.as_ref()) {
        Some(old) if old.is_same(service) => Some(Arc::clone(old)),
        _ => Some(Arc::new(service.for_one_endpoint(host))),
    }
}

fn places(endpoints: &[EndpointView], admission: Admission) -> Vec<u32> {
    endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| endpoint.admission == admission)
        .map(|(place, _)| place as u32)
        .collect()
}
