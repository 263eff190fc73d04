//! The published table. One writer builds it from the configuration and the core's conclusions; it never changes after that.

use std::collections::HashMap;
use std::sync::Arc;

use super::balance::Balancer;
use super::matching::Matcher;
use super::materials::TlsAssets;
use super::sockets::ListenerSockets;
use super::stats::{FirstAnswer, ListenerStats, ServiceStats};
use crate::config::{Config, Listener, Name, Pool, Protocol, Service, Sessions, StaticResponse};
use crate::decision::{EndpointId, PoolSessions, Serving, SessionAction, SessionRule};
use crate::net::tls::{ClientTls, ServerTls};
use crate::time::MonoTime;

mod build;
mod endpoint;

pub use endpoint::EndpointView;

/// The sockets of each listener, by its name.
pub type SocketMap = HashMap<Name, Arc<ListenerSockets>>;

/// Everything a request needs to know.
#[derive(Debug)]
pub struct RoutingTable {
    /// Grows with every publish.
    pub epoch: u64,
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// What its TLS was read from files.
    pub materials: Arc<TlsAssets>,
    /// In the order of the configuration.
    pub listeners: Vec<Arc<ListenerView>>,
    /// In the order of the configuration. A service about which nothing changed is the same `Arc` as in the table before.
    pub services: Vec<Arc<ServiceView>>,
    /// The next identity of a service or pool.
    next_identity: u64,
}

/// A service or a pool of this process's life: kept over reloads and renames, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableIdentity(u64);

impl RoutingTable {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceView>> {
        self.services.iter().find(|service| &*service.config.name == name)
    }

    /// A service of an older table as this table has it, perhaps under another name: it mostly stands where it stood.
    pub fn successor(&self, service: &ServiceView) -> Option<&Arc<ServiceView>> {
        self.at(service.index, service.id)
    }

    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<ListenerView>> {
        self.listeners.iter().find(|listener| &*listener.config.name == name)
    }

    /// What this table means for a session on this endpoint that began under an older one.
    pub fn verdict(&self, pool_term: &PoolTerm, endpoint: EndpointId, now: MonoTime) -> SessionVerdict {
        match self.at(pool_term.index, pool_term.service) {
            Some(service) => service.verdict(pool_term, endpoint, now),
            None => pool_term.rule.end(now).into(),
        }
    }

    fn at(&self, index: usize, id: TableIdentity) -> Option<&Arc<ServiceView>> {
        let same = |service: &&Arc<ServiceView>| service.id == id;
        self.services.get(index).filter(same).or_else(|| self.services.iter().find(same))
    }
}

/// A listener: its sockets, and where its work goes.
#[derive(Debug)]
pub struct ListenerView {
    /// As configured.
    pub config: Arc<Listener>,
    /// Where it accepts.
    pub sockets: Arc<ListenerSockets>,
    /// Where its work goes.
    pub target: ListenerTarget,
    /// How it speaks TLS. Where the configuration wants it and it is missing, every client is refused.
    pub tls: Option<Arc<ServerTls>>,
    /// Survives republishing.
    pub stats: Arc<ListenerStats>,
}

/// Where a listener's work goes.
#[derive(Clone, Debug)]
pub enum ListenerTarget {
    /// HTTP: by route.
    Routes(Arc<Matcher>),
    /// TCP: always this service, an index into [`RoutingTable::services`].
    Service(usize),
    /// TCP passed through: by what the ClientHello asks for, see [`sni`](super::sni).
    Sni,
}

/// A service as the data plane sees it.
#[derive(Debug)]
pub struct ServiceView {
    /// Its identity.
    pub id: TableIdentity,
    /// The epoch of the table it was built for.
    pub built: u64,
    /// Its index in [`RoutingTable::services`].
    pub index: usize,
    /// As configured.
    pub config: Arc<Service>,
    /// How its endpoints are spoken to over TLS; each has [its own](EndpointView::tls).
    pub tls: Option<Arc<ClientTls>>,
    /// What serves.
    pub serving: Serving,
    /// It serves no request: see [`ServiceRow::isolated`](crate::decision::ServiceRow::isolated).
    pub isolated: bool,
    /// The switch whose first good answer is awaited.
    pub awaiting: Option<Arc<FirstAnswer>>,
    /// In order of priority.
    pub pools: Vec<PoolView>,
    /// Survives republishing.
    pub stats: Arc<ServiceStats>,
    /// Where each endpoint stands.
    directory: EndpointDirectory,
}

impl ServiceView {
    /// Does this pool serve?
    pub fn serves(&self, pool: usize) -> bool {
        self.serving.serves(pool)
    }

    /// See [`Serving::shows_a_page`].
    pub fn shows_a_page(&self) -> bool {
        self.serving.shows_a_page(self.pools.iter().map(|pool| pool.static_response().is_some()))
    }

    /// Are endpoints spoken to as under that view, as far as TLS is concerned?
    pub fn has_tls_of(&self, other: &ServiceView) -> bool {
        self.tls.as_ref().map(Arc::as_ptr) == other.tls.as_ref().map(Arc::as_ptr)
    }

    /// The pool that holds this endpoint.
    pub fn pool_of(&self, endpoint: EndpointId) -> Option<usize> {
        self.directory.find(endpoint).map(|(pool, _)| pool)
    }

    /// This endpoint. Costs the logarithm of how many there are: sweeps ask it about every connection.
    pub fn find(&self, endpoint: EndpointId) -> Option<&EndpointView> {
        let (pool, place) = self.directory.find(endpoint)?;
        self.endpoint(pool, place)
    }

    /// The endpoint of a pick on this very view.
    pub fn endpoint(&self, pool: usize, endpoint: usize) -> Option<&EndpointView> {
        self.pools.get(pool)?.endpoints.get(endpoint)
    }

    /// Have checks or traffic condemned this endpoint, so that nothing new goes there? (An endpoint that an operator drains is
    /// not condemned: what it has begun it may finish. What goes on at one that a reload took away ends by the verdict.)
    pub fn condemns(&self, endpoint: EndpointId) -> bool {
        self.find(endpoint).is_some_and(|endpoint| endpoint.fenced || endpoint.is_condemned())
    }

    /// A good answer's head arrived from this pool for a request that began at `began`. `true`: it is the first after a
    /// switch, poke the engine.
    pub fn answered(&self, pool: usize, began: MonoTime, now: MonoTime) -> bool {
        self.awaiting.as_ref().is_some_and(|awaiting| self.serves(pool) && awaiting.answered(began, now))
    }

    /// What a session has to remember of its pool.
    pub fn pool_term(&self, pool: usize) -> PoolTerm {
        let view = self.pools.get(pool);
        PoolTerm {
            service: self.id,
            index: self.index,
            pool: view.map_or(TableIdentity(u64::MAX), |pool| pool.id),
            since: view.map_or(0, |pool| pool.pool_term),
            table: self.built,
            rule: SessionRule::of(&self.config.failover),
        }
    }

    fn verdict(&self, pool_term: &PoolTerm, endpoint: EndpointId, now: MonoTime) -> SessionVerdict {
        let rule = SessionRule::of(&self.config.failover);
        let Some(pool) = self.pools.iter().find(|pool| pool.id == pool_term.pool) else { return rule.end(now).into() };
        let there = self.directory.find(endpoint).filter(|(of, _)| *of == pool.index);
        let Some(view) =
            there.map(|(_, place)| &pool.endpoints[place]).filter(|view| view.member_since <= pool_term.table)
        else {
            return rule.end(now).into(); // a reload, or DNS, took the endpoint out of the pool
        };
        let stays = match (pool_term.since, pool.pool_term) {
            // A trial, or a try across pools: it is not over until another pool serves.
            (0, 0) => matches!(self.serving, Serving::Down | Serving::Starting),
            (0, _) => true,
            (then, today) => then == today,
        };
        // Only the primary that is followed may have sessions, and it keeps them while it is silent.
        if view.fenced {
            return SessionVerdict::Close;
        }
        let closes = rule.sessions == Sessions::Close && self.config.failover.following.is_none();
        if stays && closes && self.config.protocol == Protocol::Tcp && view.is_condemned() {
            return SessionVerdict::Close;
        }
        if stays {
            let stay = SessionVerdict::Stay { since: pool.pool_term };
            return pool.sessions.present.map_or(stay, SessionVerdict::from);
        }
        // One request that was sent there on purpose is no session to be fenced, and its time begins now: the pool may have
        // been left long before.
        let guest = pool_term.since == 0 && self.config.protocol == Protocol::Http;
        let left = pool.sessions.earlier.filter(|_| !guest);
        left.unwrap_or_else(|| if guest { rule.drain(now) } else { rule.end(now) }).into()
    }
}

/// Endpoints by number, each with its pool and its place there.
#[derive(Debug, Default)]
struct EndpointDirectory(Vec<(EndpointId, u32, u32)>);

impl EndpointDirectory {
    fn of(pools: &[PoolView]) -> EndpointDirectory {
        let mut all: Vec<_> = pools
            .iter()
            .zip(0..)
            .flat_map(|(pool, index)| pool.endpoints.iter().zip(0..).map(move |(view, place)| (view.id, index, place)))
            .collect();
        // They mostly stand in the order of their numbers, which costs one look at each.
        all.sort_unstable();
        EndpointDirectory(all)
    }

    fn find(&self, endpoint: EndpointId) -> Option<(usize, usize)> {
        let at = self.0.binary_search_by_key(&endpoint, |(id, ..)| *id).ok()?;
        let (_, pool, place) = self.0[at];
        Some((pool as usize, place as usize))
    }
}

/// The activation of a pool under which a session began, and what ends the session when its service is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTerm {
    /// The service.
    pub service: TableIdentity,
    /// Where the service stood in the table of that time: looked at first.
    pub index: usize,
    /// Its pool.
    pub pool: TableIdentity,
    /// The epoch at which the pool began to serve; 0 = it did not serve (a trial, a try across pools).
    pub since: u64,
    /// The epoch of the view it was made from: an endpoint that came into the pool later is not the session's.
    pub table: u64,
    /// The rule of that time.
    pub rule: SessionRule,
}

/// What becomes of a session under a newer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionVerdict {
    /// It goes on, from now on under this activation of its pool.
    Stay {
        /// See [`PoolTerm::since`].
        since: u64,
    },
    /// Its pool was left, or its endpoint taken away: reset what is left of it then.
    Drain {
        /// When.
        until: MonoTime,
    },
    /// Its pool was left, or its endpoint taken away: reset both sides at once.
    Close,
}

impl From<SessionAction> for SessionVerdict {
    fn from(action: SessionAction) -> SessionVerdict {
        match action {
            SessionAction::Drain { until } => SessionVerdict::Drain { until },
            SessionAction::Close => SessionVerdict::Close,
        }
    }
}

/// A pool as the data plane sees it.
#[derive(Debug)]
pub struct PoolView {
    /// Its identity.
    pub id: TableIdentity,
    /// Its name.
    pub name: Name,
    /// May it take the service.
    pub available: bool,
    /// Its service's configuration and its place in it.
    pub service: Arc<Service>,
    /// Index in `service.pools`.
    pub index: usize,
    /// Its number among all pools of the table: where a worker keeps its cursor.
    pub slot: usize,
    /// The epoch at which it began to serve; 0 = it does not serve. While the service is down, the pool that served last keeps
    /// its term: no other has taken over.
    pub pool_term: u64,
    /// What becomes of its sessions.
    pub sessions: PoolSessions,
    /// None for a static response.
    pub endpoints: Vec<EndpointView>,
    /// Indices of the endpoints that take a trial.
    pub trials: Vec<u32>,
    /// All of its open endpoints are suspected.
    pub suspected: bool,
    /// The balancing structure over the open endpoints.
    pub(super) balancer: Balancer,
}

impl PoolView {
    /// As configured.
    pub fn config(&self) -> &Pool {
        &self.service.pools[self.index]
    }

    /// The answer of a pool that is one.
    pub fn static_response(&self) -> Option<&Arc<StaticResponse>> {
        match &self.config().members {
            crate::config::PoolMembers::Static(response) => Some(response),
            crate::config::PoolMembers::Endpoints(_) => None,
        }
    }

    /// How many endpoints take new work.
    pub fn open(&self) -> usize {
        self.balancer.len()
    }
}

#[cfg(test)]
mod tests;
