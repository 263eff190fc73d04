//! A whole instance in this process: the engine with its probes, and the data plane under it.

use std::net::SocketAddr;
use std::sync::Arc;

use standfast::App;
use standfast::access::{ActPermit, Grant, authorise};
use standfast::control::{ChangeNotice, ControlHandle};
use standfast::decision::{Act, ActCommand, ActId, Actor, Cause, Operational, Serving, SwitchKind};
use standfast::routing::{EndpointStats, EndpointView, ServiceStats};
use tokio::sync::broadcast;

use super::plane::parsed;
use super::until;

/// One worker; listeners bind port 0.
pub struct Instance {
    pub control: ControlHandle,
    notices: broadcast::Receiver<ChangeNotice>,
    /// Dropped last: what is in flight is reset.
    app: App,
}

/// What people were told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// In their order.
    pub switches: Vec<SwitchKind>,
    /// Endpoints that were condemned, and why.
    pub verdicts: Vec<(SocketAddr, Cause)>,
}

impl News {
    /// Why one of these was condemned, without repetition.
    pub fn causes(&self, of: &[SocketAddr]) -> Vec<Cause> {
        let mut causes: Vec<_> =
            self.verdicts.iter().filter(|(address, _)| of.contains(address)).map(|(_, cause)| *cause).collect();
        causes.sort();
        causes.dedup();
        causes
    }
}

impl Instance {
    pub fn start(yaml: &str) -> Instance {
        let mut config = parsed(yaml);
        config.workers = Some(1);
        let app = App::builder(config).start().expect("free ports and threads");
        let control = app.control().clone();
        Instance { notices: control.subscribe(), control, app }
    }

    /// The address of this listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.app.listener_address(listener).expect("a listener of this name")
    }

    /// Waits until this pool serves the service, and every worker knows.
    pub async fn serves(&self, service: &str, pool: usize) {
        let published = self.control.published();
        until(&format!("pool {pool} of {service} serves"), || {
            let table = published.load();
            let serving = &table.service(service).expect("a service of this name").serving;
            *serving == Serving::Active(pool) && published.all_acknowledged(table.epoch)
        })
        .await;
    }

    /// Waits until all these stand so, and every worker knows.
    pub async fn stand(&self, endpoints: &[SocketAddr], wanted: Operational) {
        let published = self.control.published();
        until(&format!("{endpoints:?} are {wanted:?}"), || {
            let table = published.load();
            let stands = |address| self.endpoint(address, |endpoint| endpoint.standing.operational == wanted);
            endpoints.iter().all(|address| stands(*address)) && published.all_acknowledged(table.epoch)
        })
        .await;
    }

    /// This of it, as it is published.
    pub fn endpoint<T>(&self, address: SocketAddr, read: impl FnOnce(&EndpointView) -> T) -> T {
        let table = self.control.published().load();
        let mut endpoints = table.services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.endpoints);
        read(endpoints.find(|endpoint| endpoint.address == address).expect("an endpoint of this address"))
    }

    /// What workers count of it.
    pub fn stats(&self, address: SocketAddr) -> Arc<EndpointStats> {
        self.endpoint(address, |endpoint| endpoint.stats.clone())
    }

    /// What workers count of the service.
    pub fn service_stats(&self, service: &str) -> Arc<ServiceStats> {
        self.control.published().load().service(service).expect("a service of this name").stats.clone()
    }

    /// An operator's order.
    pub async fn order(&self, command: ActCommand) {
        let act = Act::new(ActId(fastrand::u128(..)), Actor::local("ada"), command);
        let permit = authorise(&[Grant::admin()], act).expect("an admin may");
        self.control.act(permit, None).await.expect("it can be done");
    }

    /// What was told since the last time.
    pub fn news(&mut self) -> News {
        let mut news = News::default();
        loop {
            match self.notices.try_recv() {
                // It is told again when it is answered.
                Ok(ChangeNotice::Incident(incident)) if incident.rto_ms.is_none() => news.switches.push(incident.kind),
                Ok(ChangeNotice::Standing { address, change })
                    if matches!(change.to.operational, Operational::Unhealthy | Operational::Ejected) =>
                {
                    news.verdicts.push((address, change.to.cause));
                }
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Empty) => return news,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The permit of a reload.
pub fn reload_permit() -> ActPermit {
    let act = Act::new(ActId(fastrand::u128(..)), Actor::local("ada"), ActCommand::Reload);
    authorise(&[Grant::admin()], act).unwrap()
}
