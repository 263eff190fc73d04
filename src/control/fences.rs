//! Fences: when no session is left at a pool that was left, or that is fenced before it is.
//!
//! It is so when every worker has acknowledged the table that says so, and nothing is in flight at the pool's endpoints, those that
//! a reload took out of it included. After the acknowledgement no try begins under an older table
//! ([`protocol`](crate::routing::protocol)), and a try counts as in flight before it connects. So no request pays for this, and a
//! worker that is stuck never says so. What is sent to the pool on purpose meanwhile (trials, tries across pools) is in flight
//! there like all else.

use std::sync::Arc;

use crate::config::Name;
use crate::decision::Event;
use crate::routing::{EndpointStats, PoolView, Published, RoutingTable, ServiceView, TableIdentity};
use crate::time::MonoTime;

/// The pools whose last session is awaited.
#[derive(Debug, Default)]
pub(super) struct FenceWatch {
    open: Vec<Fence>,
    /// Endpoints that a reload took out of their pool while something was in flight there.
    removed: Vec<(TableIdentity, Arc<EndpointStats>)>,
}

#[derive(Debug)]
struct Fence {
    service: Name,
    pool: Name,
    id: TableIdentity,
    epoch: u64,
    endpoints: Vec<Arc<EndpointStats>>,
}

impl FenceWatch {
    /// A table took the place of another one.
    pub(super) fn published(&mut self, before: &RoutingTable, after: &RoutingTable) {
        self.removed.retain(|(_, stats)| stats.in_flight() > 0);
        if Arc::ptr_eq(&before.config, &after.config) {
            return;
        }
        for service in &before.services {
            let successor = after.successor(service);
            for (pool, endpoint) in service.pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |e| (pool, e)))
            {
                let stays = successor.is_some_and(|after| is_member(after, pool, endpoint.id));
                if !stays && endpoint.stats.in_flight() > 0 {
                    self.removed.push((pool.id, Arc::clone(&endpoint.stats)));
                }
            }
        }
    }

    /// A pool of the table before was left, or is fenced, by the table of this epoch. Its earlier fence is no longer awaited.
    pub(super) fn begin(&mut self, before: &RoutingTable, service: Name, pool: Name, epoch: u64) {
        let view = before.service(&service).and_then(|view| view.pools.iter().find(|view| view.name == pool));
        let Some(view) = view else { return };
        self.open.retain(|fence| fence.id != view.id);
        let removed = self.removed.iter().filter(|(id, _)| *id == view.id).map(|(_, stats)| Arc::clone(stats));
        let endpoints = view.endpoints.iter().map(|endpoint| Arc::clone(&endpoint.stats)).chain(removed).collect();
        self.open.push(Fence { service, pool, id: view.id, epoch, endpoints });
    }

    /// The fences at which nothing is left. One whose pool serves again is no longer awaited.
    pub(super) fn take(&mut self, published: &Published, now: MonoTime) -> Vec<Event> {
        let mut ended = Vec::new();
        if self.open.is_empty() {
            return ended;
        }
        let table = published.load();
        self.open.retain(|fence| {
            if serves_again(&table, fence) {
                return false;
            }
            let over = published.all_acknowledged(fence.epoch) && fence.endpoints.iter().all(|e| e.in_flight() == 0);
            if over {
                let (service, pool, epoch) = (fence.service.clone(), fence.pool.clone(), fence.epoch);
                ended.push(Event::SessionsEnded { service, pool, epoch, seen: now });
            }
            !over
        });
        ended
    }
}

fn is_member(service: &ServiceView, pool: &PoolView, endpoint: crate::decision::EndpointId) -> bool {
    service.pools.iter().any(|after| after.id == pool.id && after.endpoints.iter().any(|view| view.id == endpoint))
}

fn serves_again(table: &RoutingTable, fence: &Fence) -> bool {
    let again = |service: &Arc<ServiceView>| {
        let mut pools = service.pools.iter().filter(|pool| pool.id == fence.id);
        pools.any(|pool| service.serves(pool.index) && pool.sessions.present.is_none())
    };
    table.epoch >= fence.epoch && table.services.iter().any(again)
}
