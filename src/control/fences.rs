//! Fences: when no session is left at a pool that was left, or that is fenced before it is.
//!
//! It is so when every worker has acknowledged the table that says so, and nothing is in flight at the pool's endpoints, those that
//! a reload took out of it included. After the acknowledgement no try begins under an older table
//! ([`protocol`](crate::routing::protocol)), and a try counts as in flight before it connects. So no request pays for this, and a
//! worker that is stuck never says so. What is sent to the pool on purpose meanwhile (trials, tries across pools) is in flight
//! there like all else. What an endpoint does for another pool, into which a reload moved it, is not.
//!
//! A service may be renamed meanwhile: it is known by its identity, and told of under its present name. The pool is told of under
//! the name that it had when its fence began.

use std::sync::Arc;

use crate::config::Name;
use crate::decision::{EndpointId, Event};
use crate::routing::{EndpointStats, PoolView, Published, RoutingTable, ServiceView, TableIdentity};
use crate::time::MonoTime;

/// The pools whose last session is awaited.
#[derive(Debug, Default)]
pub(super) struct FenceWatch {
    open: Vec<Fence>,
    /// Endpoints that a reload took out of their pool while something was in flight there.
    removed: Vec<(TableIdentity, AwaitedEndpoint)>,
    /// Until when they are looked at often.
    pressing: Option<MonoTime>,
}

/// What one endpoint does for the pool that it is, or was, a member of.
#[derive(Clone, Debug)]
struct AwaitedEndpoint {
    stats: Arc<EndpointStats>,
    /// See [`EndpointStats::in_flight_of`].
    stay: usize,
}

impl AwaitedEndpoint {
    fn of(stats: &Arc<EndpointStats>) -> AwaitedEndpoint {
        AwaitedEndpoint { stats: Arc::clone(stats), stay: stats.stay() }
    }

    fn is_busy(&self) -> bool {
        self.stats.in_flight_of(self.stay) > 0
    }
}

#[derive(Debug)]
struct Fence {
    service: TableIdentity,
    /// What the service was called when it was last seen.
    service_name: Name,
    pool: TableIdentity,
    /// What the pool was called when the fence began.
    pool_name: Name,
    epoch: u64,
    endpoints: Vec<AwaitedEndpoint>,
}

impl FenceWatch {
    /// A table has taken the place of another one: what begins at a moved endpoint from now on is its new pool's.
    pub(super) fn published(&mut self, before: &RoutingTable, after: &RoutingTable) {
        self.removed.retain(|(_, endpoint)| endpoint.is_busy());
        if Arc::ptr_eq(&before.config, &after.config) {
            return;
        }
        for service in &before.services {
            let successor = after.successor(service);
            for (pool, endpoint) in service.pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |e| (pool, e)))
            {
                if successor.is_some_and(|after| is_member(after, pool, endpoint.id)) {
                    continue;
                }
                let awaited = AwaitedEndpoint::of(&endpoint.stats);
                if successor.is_some_and(|after| after.pool_of(endpoint.id).is_some()) {
                    endpoint.stats.begin_stay();
                }
                if awaited.is_busy() {
                    self.removed.push((pool.id, awaited));
                }
            }
        }
    }

    /// A pool was left, or is fenced, by the table of this epoch, which has taken the place of another one. Its earlier fence is no
    /// longer awaited. (A pool or a service that is gone is named as the table before named it, any other one as this table does.)
    pub(super) fn begin(
        &mut self,
        (before, after): (&RoutingTable, &RoutingTable),
        service: &Name,
        pool: Name,
        epoch: u64,
    ) {
        let Some(new) = after.service(service).or_else(|| before.service(service)) else { return };
        let old = of_identity(before, new.id);
        let named = |view: &Arc<ServiceView>| view.pools.iter().find(|view| view.name == pool).map(|view| view.id);
        let Some(id) = named(new).or_else(|| old.and_then(named)) else { return };
        let now = of_identity(after, new.id);
        self.open.retain(|fence| fence.pool != id);
        let members = now.into_iter().flat_map(|view| &view.pools).filter(|view| view.id == id);
        let members = members.flat_map(|view| &view.endpoints).map(|endpoint| AwaitedEndpoint::of(&endpoint.stats));
        let removed = self.removed.iter().filter(|(of, _)| *of == id).map(|(_, endpoint)| endpoint.clone());
        let endpoints = members.chain(removed).collect();
        let service_name = Arc::clone(service);
        self.open.push(Fence { service: new.id, service_name, pool: id, pool_name: pool, epoch, endpoints });
    }

    /// Sessions were told to end at once: they are looked at often until then.
    pub(super) fn press_until(&mut self, end: MonoTime) {
        self.pressing = Some(end);
    }

    /// Are sessions awaited that were just told to end at once?
    pub(super) fn are_pressing(&self, now: MonoTime) -> bool {
        !self.open.is_empty() && self.pressing.is_some_and(|end| now < end)
    }

    /// The fences at which nothing is left, by the newest table. One whose pool serves again is no longer awaited.
    pub(super) fn take(&mut self, published: &Published, table: &RoutingTable, now: MonoTime) -> Vec<Event> {
        let mut ended = Vec::new();
        self.open.retain_mut(|fence| {
            if let Some(service) = of_identity(table, fence.service) {
                fence.service_name = Arc::clone(&service.config.name);
            }
            if serves_again(table, fence) {
                return false;
            }
            let over = published.all_acknowledged(fence.epoch) && !fence.endpoints.iter().any(AwaitedEndpoint::is_busy);
            if over {
                let (service, pool, epoch) = (fence.service_name.clone(), fence.pool_name.clone(), fence.epoch);
                ended.push(Event::SessionsEnded { service, pool, epoch, seen: now });
            }
            !over
        });
        ended
    }
}

/// The service of this identity, whatever it is called.
fn of_identity(table: &RoutingTable, id: TableIdentity) -> Option<&Arc<ServiceView>> {
    table.services.iter().find(|service| service.id == id)
}

fn is_member(service: &ServiceView, pool: &PoolView, endpoint: EndpointId) -> bool {
    service.pools.iter().any(|after| after.id == pool.id && after.endpoints.iter().any(|view| view.id == endpoint))
}

fn serves_again(table: &RoutingTable, fence: &Fence) -> bool {
    let again = |service: &Arc<ServiceView>| {
        let mut pools = service.pools.iter().filter(|pool| pool.id == fence.pool);
        pools.any(|pool| service.serves(pool.index) && pool.sessions.present.is_none())
    };
    table.epoch >= fence.epoch && table.services.iter().any(again)
}
