//! A running data plane without a control plane: the test writes the table.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use standfast::config::{self, Config};
use standfast::control::materials;
use standfast::decision::{
    Administrative, Admission, Cause, EndpointId, EndpointRow, Operational, PoolRow, PoolSessions, ServiceRow, Serving,
    Standing, Table,
};
use standfast::net::listen;
use standfast::proxy::{self, DrainReport, ProxyHandle, ProxySetup};
use standfast::routing::{BoundSocket, ListenerSockets, Published, RoutingTable, ServiceStats, SocketMap, TlsAssets};
use standfast::sys::clock;
use standfast::telemetry::access::AccessLog;

/// The data plane under test.
pub struct Plane {
    pub published: Arc<Published>,
    pub config: Arc<Config>,
    handle: Option<ProxyHandle>,
    materials: Arc<TlsAssets>,
    table: Table,
    workers: usize,
}

impl Plane {
    /// One worker, everything open, the first pool of every service active. Listeners bind port 0.
    pub fn start(yaml: &str) -> Plane {
        Plane::start_with(yaml, 1)
    }

    /// With this many workers.
    pub fn start_with(yaml: &str, workers: usize) -> Plane {
        Plane::start_changed(yaml, workers, |_| {})
    }

    /// With a configuration that the test changes first.
    pub fn start_changed(yaml: &str, workers: usize, change: impl FnOnce(&mut Config)) -> Plane {
        let mut config = parsed(yaml);
        change(&mut config);
        Plane::start_config(config, workers)
    }

    /// With this configuration.
    pub fn start_config(config: Config, workers: usize) -> Plane {
        let config = Arc::new(config);
        let materials = Arc::new(read(&config, &TlsAssets::default()));
        let table = all_open(&config, 1);
        let first =
            RoutingTable::build(&config, &table, None, &bind(&config, workers), &materials, workers, clock::now());
        let published = Published::new(first, workers);
        let access_log = AccessLog::start(config.access_log.as_ref()).expect("the access log opens");
        let setup = ProxySetup { published: Arc::clone(&published), access_log };
        let handle = Some(proxy::start(setup).expect("threads"));
        Plane { published, config, handle, materials, table, workers }
    }

    /// The address of this listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.published.load().listener(listener).expect("a listener of this name").sockets.bound()[0].local
    }

    /// Publishes the next table after a change by the test.
    pub fn publish(&mut self, change: impl FnOnce(&mut Table)) -> u64 {
        change(&mut self.table);
        self.table.epoch += 1;
        let previous = self.published.load();
        let next = RoutingTable::build(
            &self.config,
            &self.table,
            Some(&previous),
            &SocketMap::new(),
            &self.materials,
            self.workers,
            clock::now(),
        );
        self.published.publish(next);
        self.table.epoch
    }

    /// Publishes that this pool of the first service serves, and waits until all workers have taken it up.
    pub async fn switch(&mut self, pool: usize) -> u64 {
        let epoch = self.publish(|table| table.services[0].serving = Serving::Active(pool));
        let published = Arc::clone(&self.published);
        super::until("all workers have taken the switch up", || published.all_acknowledged(epoch)).await;
        epoch
    }

    /// A reload with another configuration (its services keep their numbers).
    pub fn reload(&mut self, yaml: &str) {
        self.reload_config(parsed(yaml));
    }

    /// The same with a configuration.
    pub fn reload_config(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.materials = Arc::new(read(&self.config, &self.materials));
        let epoch = self.table.epoch + 1;
        self.table = all_open(&self.config, epoch);
        // An endpoint's number is never given to another one.
        let rows = self.table.services.iter_mut().flat_map(|service| &mut service.pools);
        rows.flat_map(|pool| &mut pool.endpoints).for_each(|row| row.id.0 += 1000 * epoch as u32);
        let previous = self.published.load();
        let kept = previous.listeners.iter().map(|listener| (listener.config.name.clone(), listener.sockets.clone()));
        let mut sockets: SocketMap = kept.collect();
        for (name, bound) in bind_new(&self.config, self.workers, &sockets) {
            sockets.insert(name, bound);
        }
        let next = RoutingTable::build(
            &self.config,
            &self.table,
            Some(&previous),
            &sockets,
            &self.materials,
            self.workers,
            clock::now(),
        );
        self.published.publish(next);
    }

    /// A reload after which all endpoints are the same as before: something else has changed.
    pub fn reload_kept(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.materials = Arc::new(read(&self.config, &self.materials));
        self.publish(|_| {});
    }

    /// The counters of a service.
    pub fn stats(&self, service: &str) -> Arc<ServiceStats> {
        Arc::clone(&self.published.load().service(service).expect("a service of this name").stats)
    }

    /// Stops it, off the test's runtime.
    pub async fn drain(&mut self, timeout: Duration) -> DrainReport {
        let handle = self.handle.take().expect("running");
        tokio::task::spawn_blocking(move || handle.drain(timeout)).await.expect("no panic")
    }

    /// Begins to stop it.
    pub fn draining(&mut self, timeout: Duration) -> tokio::task::JoinHandle<DrainReport> {
        let handle = self.handle.take().expect("running");
        tokio::task::spawn_blocking(move || handle.drain(timeout))
    }
}

/// What this YAML means.
pub fn parsed(yaml: &str) -> Config {
    config::parse(yaml, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn read(config: &Config, before: &TlsAssets) -> TlsAssets {
    materials::load(config, before).unwrap_or_else(|problems| panic!("{problems:?}")).materials
}

fn bind(config: &Config, workers: usize) -> SocketMap {
    bind_new(config, workers, &HashMap::new()).collect()
}

fn bind_new<'a>(
    config: &'a Config,
    workers: usize,
    have: &SocketMap,
) -> impl Iterator<Item = (config::Name, Arc<ListenerSockets>)> + use<'a> {
    let missing: Vec<_> = config.listeners.iter().filter(|listener| !have.contains_key(&listener.name)).collect();
    missing.into_iter().map(move |listener| {
        let bound = listener
            .bind
            .iter()
            .map(|address| Arc::new(BoundSocket::new(*address, listen::bind(*address, workers).expect("a free port"))));
        (listener.name.clone(), Arc::new(ListenerSockets::new(bound.collect())))
    })
}

fn all_open(config: &Config, epoch: u64) -> Table {
    let mut next = 0;
    let services = config
        .services
        .iter()
        .map(|service| ServiceRow {
            name: service.name.clone(),
            serving: Serving::Active(0),
            awaiting_answer: None,
            isolated: false,
            pools: service
                .pools
                .iter()
                .map(|pool| PoolRow {
                    name: pool.name.clone(),
                    available: true,
                    sessions: PoolSessions::default(),
                    endpoints: pool
                        .members
                        .endpoints()
                        .iter()
                        .map(|endpoint| {
                            next += 1;
                            open_row(EndpointId(next), endpoint.address)
                        })
                        .collect(),
                })
                .collect(),
        })
        .collect();
    Table { epoch, services }
}

fn open_row(id: EndpointId, address: SocketAddr) -> EndpointRow {
    let standing =
        Standing { operational: Operational::Healthy, administrative: Administrative::Ready, cause: Cause::Unchecked };
    EndpointRow {
        id,
        address,
        standing,
        admission: Admission::Open,
        joined: None,
        suspected: false,
        proving: false,
        fenced: false,
        weight: None,
    }
}

/// YAML of one HTTP service `web` behind a listener `web` on a free port: the pools' endpoints, and more lines for the
/// service (indented by four spaces).
pub fn http_yaml(pools: &[&[SocketAddr]], more: &str) -> String {
    yaml("http", pools, "", more)
}

/// The same with more lines for the listener (indented by four spaces).
pub fn yaml(protocol: &str, pools: &[&[SocketAddr]], listener: &str, more: &str) -> String {
    let target = if protocol == "http" { "routes: [{service: web}]" } else { "service: web" };
    let mut text = format!(
        "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    protocol: {protocol}\n    {target}\n{listener}services:\n  web:\n    protocol: {protocol}\n{more}    pools:\n"
    );
    for (index, pool) in pools.iter().enumerate() {
        let endpoints: Vec<_> = pool.iter().map(|address| format!("\"{address}\"")).collect();
        text += &format!("      - {{name: p{index}, endpoints: [{}]}}\n", endpoints.join(", "));
    }
    text
}
