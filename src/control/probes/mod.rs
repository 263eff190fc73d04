//! Out-of-band checks: every endpoint's check is a task of its own, so that the slowest dead endpoint delays no other.
//! Here: which tasks run, also after a reload. [`task`] holds the schedule of one, [`probe`] its probe, of one of the kinds
//! `tcp`, `http`, `grpc`, `postgres`, `mysql`, `redis`, `exec`, `agent`, `dns` and `udp`; `kept` and `stream` are their connections.
mod agent;
mod answer;
mod connect;
mod datagram;
mod dns;
mod error;
mod exec;
mod expected;
mod grpc;
mod http;
mod http_client;
mod kept;
mod login;
pub(super) mod mysql;
pub(super) mod password;
mod postgres;
mod probe;
mod redis;
mod scram;
mod stream;
mod task;
mod tcp;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::exec::CheckedPlace;
#[doc(hidden)]
pub use self::grpc::answer as grpc_answer;
use self::probe::Probe;
use self::task::ProbeNudge;
use crate::config::{CheckKind, Config, Endpoint, HealthCheck, Name};
use crate::decision::{EndpointId, Event, Table};
use crate::net::tls::ClientTls;
use crate::routing::TlsAssets;

/// The first probes after a start (or of what a reload added) are sent within this time.
const FIRST_ROUND: Duration = Duration::from_millis(200);
/// … and no further apart than this, so that a small configuration starts at once.
const FIRST_STEP: Duration = Duration::from_millis(2);

/// All running checks. Dropping it ends them.
pub(super) struct RunningProbes {
    events: mpsc::Sender<Event>,
    running: HashMap<EndpointId, RunningCheck>,
}

struct RunningCheck {
    check: HealthCheck,
    host: Option<Name>,
    port: Option<u16>,
    tls: Option<Arc<ClientTls>>,
    /// The names of its service, its pool and its endpoint, where a program is told them.
    told: Option<(Name, Name, Option<Name>)>,
    nudge: Arc<ProbeNudge>,
    task: AbortHandle,
}

impl RunningCheck {
    fn is(&self, wanted: &WantedCheck<'_>, tls: Option<&Arc<ClientTls>>) -> bool {
        let WantedCheck { endpoint, check, .. } = wanted;
        self.check == **check
            && self.told == wanted.told()
            && self.host == endpoint.host
            && self.port == endpoint.check_port
            && self.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr)
    }
}

impl Drop for RunningCheck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RunningProbes {
    /// No checks yet; their outcomes will be sent to `events`.
    pub(super) fn new(events: mpsc::Sender<Event>) -> RunningProbes {
        RunningProbes { events, running: HashMap::new() }
    }

    /// Run exactly the checks of this configuration. A check keeps its task and its schedule if neither it nor the
    /// files of its TLS have changed. A changed one starts again at its old pace; the check of an endpoint that is gone ends.
    /// Must run inside a runtime.
    pub(super) fn reconcile(&mut self, config: &Config, table: &Table, materials: &TlsAssets) {
        let mut before = std::mem::take(&mut self.running);
        let mut fresh = Vec::new();
        for wanted in wanted(config, table) {
            let tls = materials.check(&wanted.check.kind);
            match before.remove(&wanted.id) {
                Some(running) if running.is(&wanted, tls) => drop(self.running.insert(wanted.id, running)),
                changed => fresh.push((wanted, tls, changed.is_some_and(|old| old.nudge.is_fast()))),
            }
        }
        let step = FIRST_STEP.min(FIRST_ROUND / u32::try_from(fresh.len().max(1)).unwrap_or(u32::MAX));
        let mut wait = Duration::ZERO;
        for (wanted, tls, fast) in fresh {
            let WantedCheck { id, endpoint, check, .. } = wanted;
            let nudge = Arc::new(ProbeNudge::new(fast));
            let probe = Probe::new(endpoint, check, tls, CheckedPlace { service: wanted.service, pool: wanted.pool });
            let run = task::run(id, probe, check.clone(), nudge.clone(), wait, self.events.clone());
            let task = tokio::spawn(run).abort_handle();
            let (check, tls) = (check.clone(), tls.cloned());
            let (host, port, told) = (endpoint.host.clone(), endpoint.check_port, wanted.told());
            self.running.insert(id, RunningCheck { check, host, port, tls, told, nudge, task });
            wait += step;
        }
    }

    /// Probe this endpoint now; nothing happens when it has no check.
    pub(super) fn now(&self, endpoint: EndpointId) {
        if let Some(running) = self.running.get(&endpoint) {
            running.nudge.now();
        }
    }

    /// Probe this endpoint at its `fast_interval`, or at its `interval` again.
    pub(super) fn pace(&self, endpoint: EndpointId, fast: bool) {
        if let Some(running) = self.running.get(&endpoint) {
            running.nudge.pace(fast);
        }
    }
}

/// A check that is to run.
struct WantedCheck<'a> {
    id: EndpointId,
    endpoint: &'a Endpoint,
    check: &'a HealthCheck,
    service: &'a Name,
    pool: &'a Name,
}

impl WantedCheck<'_> {
    /// The names that its program is told.
    fn told(&self) -> Option<(Name, Name, Option<Name>)> {
        let names = || (self.service.clone(), self.pool.clone(), self.endpoint.name.clone());
        matches!(self.check.kind, CheckKind::Exec(_)).then(names)
    }
}

/// Every endpoint that has a check, highest priority first. The table's rows stand in the order of the configuration.
fn wanted<'a>(config: &'a Config, table: &'a Table) -> impl Iterator<Item = WantedCheck<'a>> {
    config.services.iter().zip(&table.services).flat_map(|(service, row)| {
        service.pools.iter().zip(&row.pools).flat_map(|(pool, row)| {
            let check = pool.health_check.as_ref();
            let endpoints = row.endpoints.iter().zip(pool.members.endpoints());
            let (service, pool) = (&service.name, &pool.name);
            endpoints.filter_map(move |(row, endpoint)| {
                Some(WantedCheck { id: row.id, endpoint, check: check?, service, pool })
            })
        })
    })
}
