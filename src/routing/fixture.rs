//! Configurations and tables for the tests of this room.

use crate::time::MonoTime;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use super::*;
use crate::config::{self, *};
use crate::decision::*;

/// A service with pools of endpoints of these weights; pool p's endpoint e has the address 10.0.p.e:80 and the id 100 p + e.
pub fn service(name: &str, pools: &[&[u32]]) -> Service {
    static SERVICE: LazyLock<Service> = LazyLock::new(|| {
        let keys = "{balance: round_robin, outlier_detection: off, pools: [{name: p, endpoints: ['10.0.0.1:80']}]}";
        config::fixture::service("s", keys)
    });
    let endpoint =
        |pool, (place, weight): (usize, &u32)| Endpoint { weight: *weight, ..Endpoint::at(address(pool, place)) };
    let pools = pools.iter().enumerate().map(|(pool, weights)| Pool {
        name: format!("pool-{pool}").into(),
        members: PoolMembers::Endpoints(weights.iter().enumerate().map(|member| endpoint(pool, member)).collect()),
        ..SERVICE.pools[0].clone()
    });
    Service { name: name.into(), pools: pools.collect(), ..SERVICE.clone() }
}

pub fn address(pool: usize, place: usize) -> SocketAddr {
    ([10, pool as u8, (place / 256) as u8, (place % 256) as u8], 80).into()
}

pub fn id(pool: usize, place: usize) -> EndpointId {
    EndpointId((pool * 100_000 + place) as u32)
}

pub fn config(services: Vec<Service>, listeners: Vec<Listener>) -> Arc<Config> {
    let listeners = listeners.into_iter().map(Arc::new).collect();
    Arc::new(Config { workers: Some(2), listeners, ..config::fixture::with_services(services) })
}

pub fn listener(name: &str, routes: Vec<Route>) -> Listener {
    let keys = "{name: web, bind: '127.0.0.1:0', service: http, limits: {max_connections: 10}}";
    let target = Target::Routes(routes.into_iter().map(Arc::new).collect());
    Listener { name: name.into(), target, ..config::fixture::listener(keys) }
}

pub fn route(matches: RouteMatch, service: &str) -> Route {
    static ROUTE: LazyLock<Route> = LazyLock::new(|| config::fixture::route("{service: http, upgrades: off}"));
    Route { matches, service: service.into(), ..ROUTE.clone() }
}

/// What a core would say of this configuration: every endpoint open, pool 0 active.
pub fn conclusions(config: &Config, epoch: u64) -> Table {
    let row = |service: &Arc<Service>| ServiceRow {
        name: Arc::clone(&service.name),
        serving: Serving::Active(0),
        awaiting_answer: None,
        isolated: false,
        pools: service.pools.iter().enumerate().map(|(pool, config)| pool_row(pool, config)).collect(),
    };
    Table { epoch, services: config.services.iter().map(row).collect() }
}

fn pool_row(pool: usize, config: &Pool) -> PoolRow {
    let standing =
        Standing { operational: Operational::Healthy, administrative: Administrative::Ready, cause: Cause::Unchecked };
    PoolRow {
        name: Arc::clone(&config.name),
        available: true,
        sessions: PoolSessions::default(),
        endpoints: config
            .members
            .endpoints()
            .iter()
            .enumerate()
            .map(|(place, endpoint)| EndpointRow {
                weight: None,
                id: id(pool, place),
                address: endpoint.address,
                standing,
                admission: Admission::Open,
                joined: None,
                suspected: false,
                proving: false,
                fenced: false,
            })
            .collect(),
    }
}

/// A table for tests about one service; `says` changes what the core says.
pub fn table(service: Service, says: impl FnOnce(&mut ServiceRow)) -> RoutingTable {
    let config = config(vec![service], vec![]);
    let mut table = conclusions(&config, 1);
    says(&mut table.services[0]);
    RoutingTable::build(&config, &table, None, &SocketMap::new(), &Arc::default(), 2, at(0))
}

/// A moment this many milliseconds after the tests began (which is 100 s after the origin).
pub fn at(millis: u64) -> MonoTime {
    MonoTime::from_micros(100_000_000 + millis * 1000)
}

pub fn state(seed: u64) -> PickState {
    PickState::new(fastrand::Rng::with_seed(seed))
}
