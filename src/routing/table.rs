//! The published table. One writer builds it from the configuration and the core's conclusions; nobody changes it after.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Choice;
use super::balance::Lot;
use super::matching::Matcher;
use super::materials::Materials;
use super::sockets::Sockets;
use super::stats::{EndpointStats, FirstAnswer, ListenerStats, ServiceStats};
use crate::config::{Config, Listener, Name, Pool, Protocol, Service, Sessions, StaticResponse};
use crate::decision::{Admission, EndpointId, Moment, Serving, Standing};
use crate::net::tls::{ClientTls, ServerTls};

mod build;

/// The sockets of each listener, by its name.
pub type SocketMap = HashMap<Name, Arc<Sockets>>;

/// Everything a request needs to know.
#[derive(Debug)]
pub struct RoutingTable {
    /// Grows with every publish.
    pub epoch: u64,
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// What its TLS was read from files.
    pub materials: Arc<Materials>,
    /// In the order of the configuration.
    pub listeners: Vec<Arc<ListenerView>>,
    /// In the order of the configuration. A service about which nothing changed is the same `Arc` as in the table before.
    pub services: Vec<Arc<ServiceView>>,
}

impl RoutingTable {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceView>> {
        self.services.iter().find(|service| &*service.config.name == name)
    }

    /// What has become of a service of an older table: it mostly stands where it stood.
    pub fn successor(&self, service: &ServiceView) -> Option<&Arc<ServiceView>> {
        self.at(service.index, &service.config.name)
    }

    /// The listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<ListenerView>> {
        self.listeners.iter().find(|listener| &*listener.config.name == name)
    }

    /// What this table means for a session that began under an older one.
    pub fn verdict(&self, tenure: &Tenure, now: Moment) -> SessionVerdict {
        match self.at(tenure.index, &tenure.service) {
            Some(service) => service.verdict(tenure, self.config.drain_timeout, now),
            None => SessionVerdict::Drain { until: now.after(self.config.drain_timeout) },
        }
    }

    fn at(&self, index: usize, name: &Name) -> Option<&Arc<ServiceView>> {
        let same = |service: &&Arc<ServiceView>| service.config.name == *name;
        self.services.get(index).filter(same).or_else(|| self.service(name))
    }
}

/// A listener: its sockets, and where its work goes.
#[derive(Debug)]
pub struct ListenerView {
    /// As configured.
    pub config: Arc<Listener>,
    /// Where it accepts.
    pub sockets: Arc<Sockets>,
    /// Where its work goes.
    pub target: ListenerTarget,
    /// How it speaks TLS. Where the configuration wants it and it is missing, nobody is let in.
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
    /// Its index in [`RoutingTable::services`].
    pub index: usize,
    /// As configured.
    pub config: Arc<Service>,
    /// How its endpoints are spoken to over TLS; each has [its own](EndpointView::tls).
    pub tls: Option<Arc<ClientTls>>,
    /// Who serves.
    pub serving: Serving,
    /// The switch whose first good answer is awaited.
    pub awaiting: Option<Arc<FirstAnswer>>,
    /// In order of priority.
    pub pools: Vec<PoolView>,
    /// Survives republishing.
    pub stats: Arc<ServiceStats>,
    /// Where each endpoint stands.
    directory: Directory,
}

impl ServiceView {
    /// Does this pool serve?
    pub fn serves(&self, pool: usize) -> bool {
        match &self.serving {
            Serving::Active(active) => *active == pool,
            Serving::Shared(shares) => shares.get(pool).is_some_and(|share| *share > 0),
            Serving::Starting | Serving::Down => false,
        }
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

    /// Have checks or traffic condemned this endpoint, so that nothing new goes there? (An endpoint that is gone from the
    /// configuration, or drained by an operator, is not condemned: what it has begun it may finish.)
    pub fn condemns(&self, endpoint: EndpointId) -> bool {
        self.find(endpoint).is_some_and(|e| e.standing.operational.has_fallen() && e.admission == Admission::Closed)
    }

    /// A good answer's head arrived from this pool for a request that began at `began`. `true`: it is the first after a
    /// switch, poke the engine.
    pub fn answered(&self, pool: usize, began: Moment, now: Moment) -> bool {
        self.awaiting.as_ref().is_some_and(|awaiting| self.serves(pool) && awaiting.answered(began, now))
    }

    /// What a session has to remember of its pool.
    pub fn tenure(&self, pool: usize) -> Tenure {
        let view = self.pools.get(pool);
        Tenure {
            service: Arc::clone(&self.config.name),
            index: self.index,
            pool: view.map_or_else(|| Arc::from(""), |pool| Arc::clone(&pool.name)),
            since: view.map_or(0, |pool| pool.tenure),
            endpoint: None,
        }
    }

    /// What a TCP session has to remember of its pool, and of its endpoint.
    pub fn session(&self, choice: &Choice) -> Tenure {
        Tenure { endpoint: Some(choice.id), ..self.tenure(choice.pool) }
    }

    fn verdict(&self, tenure: &Tenure, drain: std::time::Duration, now: Moment) -> SessionVerdict {
        let Some(pool) = self.pools.iter().find(|pool| pool.name == tenure.pool) else {
            return match self.config.failover.sessions {
                Sessions::Close => SessionVerdict::Close,
                Sessions::Drain => SessionVerdict::Drain { until: now.after(drain) },
            };
        };
        let stays = match (tenure.since, pool.tenure) {
            // A trial, or a try across pools: nobody's reign is over for it until another pool serves.
            (0, 0) => matches!(self.serving, Serving::Down | Serving::Starting),
            (0, _) => true,
            (then, today) => then == today,
        };
        let fenced = tenure.endpoint.is_some_and(|endpoint| self.condemns(endpoint));
        if stays && fenced && self.config.failover.sessions == Sessions::Close {
            return SessionVerdict::Close;
        }
        if stays {
            return SessionVerdict::Stay { since: pool.tenure };
        }
        // One request that was sent there on purpose is no session to be fenced, and its time begins now: the pool may have
        // been left long before.
        let guest = tenure.since == 0 && self.config.protocol == Protocol::Http;
        let left = if guest { now } else { pool.left.unwrap_or(now) };
        match self.config.failover.sessions {
            Sessions::Close if !guest => SessionVerdict::Close,
            _ => SessionVerdict::Drain { until: left.after(self.config.failover.drain_timeout) },
        }
    }
}

/// Endpoints by number, each with its pool and its place there.
#[derive(Debug, Default)]
struct Directory(Vec<(EndpointId, u32, u32)>);

impl Directory {
    fn of(pools: &[PoolView]) -> Directory {
        let mut all: Vec<_> = pools
            .iter()
            .zip(0..)
            .flat_map(|(pool, index)| pool.endpoints.iter().zip(0..).map(move |(view, place)| (view.id, index, place)))
            .collect();
        // They mostly stand in the order of their numbers, which costs one look at each.
        all.sort_unstable();
        Directory(all)
    }

    fn find(&self, endpoint: EndpointId) -> Option<(usize, usize)> {
        let at = self.0.binary_search_by_key(&endpoint, |(id, ..)| *id).ok()?;
        let (_, pool, place) = self.0[at];
        Some((pool as usize, place as usize))
    }
}

/// Under whose reign a session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The service.
    pub service: Name,
    /// Where the service stood in the table of that time: looked at first.
    pub index: usize,
    /// Its pool.
    pub pool: Name,
    /// The epoch at which the pool began to serve; 0 = it did not serve (a trial, a try across pools).
    pub since: u64,
    /// The endpoint of a session that is fenced off it when it is condemned, though its pool serves on.
    pub endpoint: Option<EndpointId>,
}

/// What becomes of a session under a newer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionVerdict {
    /// It goes on, from now on under this reign of its pool.
    Stay {
        /// See [`Tenure::since`].
        since: u64,
    },
    /// Its pool was left: reset what is left of it then.
    Drain {
        /// When.
        until: Moment,
    },
    /// Its pool was left: reset both sides at once.
    Close,
}

/// A pool as the data plane sees it.
#[derive(Debug)]
pub struct PoolView {
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
    /// The epoch at which it began to serve; 0 = it does not serve. While the service is down, whoever served last keeps
    /// its tenure: nobody has taken over.
    pub tenure: u64,
    /// When it last ceased to serve.
    pub left: Option<Moment>,
    /// None for a static response.
    pub endpoints: Vec<EndpointView>,
    /// Indices of the endpoints that take a trial.
    pub trials: Vec<u32>,
    /// All of its open endpoints are suspected.
    pub suspected: bool,
    /// The balancing structure over the open endpoints.
    pub(super) lot: Lot,
}

impl PoolView {
    /// As configured.
    pub fn config(&self) -> &Pool {
        &self.service.pools[self.index]
    }

    /// The answer of a pool that is one.
    pub fn static_response(&self) -> Option<&Arc<StaticResponse>> {
        match &self.config().members {
            crate::config::Members::Static(response) => Some(response),
            crate::config::Members::Endpoints(_) => None,
        }
    }

    /// How many endpoints take new work.
    pub fn open(&self) -> usize {
        self.lot.len()
    }
}

/// An endpoint as the data plane sees it.
#[derive(Debug)]
pub struct EndpointView {
    /// The name that DNS resolved to it; `None` = the configuration says the address.
    pub host: Option<Name>,
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Connections in use at once over all workers.
    pub max_connections: Option<usize>,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// Where its slow start begins.
    pub joined: Option<Moment>,
    /// It is asked and says nothing: see [`EndpointRow::suspected`](crate::decision::EndpointRow::suspected).
    pub suspected: bool,
    /// Its good answers are counted by source: see [`EndpointRow::proving`](crate::decision::EndpointRow::proving).
    pub proving: bool,
    /// How it is spoken to over TLS. Where the configuration wants it and it is missing, it is not dialled.
    pub tls: Option<Arc<ClientTls>>,
    /// Survives republishing.
    pub stats: Arc<EndpointStats>,
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
