//! What is said and counted of what happens: for each change one log line, one count and one notice, from the same value.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::broadcast;

use super::handle::ChangeNotice;
use super::places::EndpointPlaces;
use super::status::{IncidentReport, millis};
use super::tally::ChangeTally;
use crate::config::{Config, Name};
use crate::decision::{
    Act, ActOutcome, Alert, EndpointId, Held, Incident, IncidentId, ProbeOutcome, StandingChange, Succession,
    SwitchKind, Table,
};
use crate::sys::clock::{self, ClockPauses};
use crate::time::MonoTime;

/// At most one line about our own failing probes in this time: they fail together.
const LOCAL_PAUSE: Duration = Duration::from_secs(10);

/// At most one line about pauses of the process in this time: a container that is short of CPU pauses several times a second.
const PAUSES_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the counts and what is needed to say everything once.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) tally: ChangeTally,
    /// The newest switch that was counted.
    newest: Option<IncidentId>,
    local_said: Option<MonoTime>,
    /// The pauses of the process that were told, and when.
    paused: (ClockPauses, MonoTime),
}

impl Records {
    /// Another configuration is in force: the counts follow what it renames, and each rename is said.
    pub(super) fn configured(&mut self, before: Option<&Config>, config: &Config, table: &Table) {
        let succession = before.map_or_else(Succession::default, |before| {
            Succession::between((&before.listeners, &before.services), (&config.listeners, &config.services))
        });
        self.tally.configured(&succession, config, table);
        for (index, service) in config.services.iter().enumerate() {
            let Some((past, before)) = succession.service(index).zip(before) else { continue };
            let old = &before.services[past.service];
            if old.name != service.name {
                let (from, to) = (&old.name, &service.name);
                tracing::info!(%from, %to, "service renamed: its sessions, health and decisions go on");
            }
            for (pool, old_pool) in service.pools.iter().zip(&past.pools) {
                let Some(old_pool) = old_pool.map(|old_pool| &old.pools[old_pool]) else { continue };
                if old_pool.name != pool.name {
                    let (service, from, to) = (&service.name, &old_pool.name, &pool.name);
                    tracing::info!(%service, %from, %to, "pool renamed: its sessions, health and hold-downs go on");
                }
            }
        }
    }

    /// A probe ended. Only our own failures are worth a line; the endpoint's are told when its standing changes.
    pub(super) fn probed(&mut self, endpoint: EndpointId, outcome: &ProbeOutcome, places: &EndpointPlaces) {
        self.tally.probed(endpoint, outcome);
        match outcome {
            ProbeOutcome::Pass { latency, .. } => {
                if let Some(place) = places.get(&endpoint) {
                    self.tally.probe_passed(&place.service, *latency);
                }
            }
            ProbeOutcome::Local { detail } => {
                let now = clock::now();
                if self.local_said.is_none_or(|said| now.since(said) >= LOCAL_PAUSE) {
                    self.local_said = Some(now);
                    tracing::warn!(%detail, "a probe could not be made: this says nothing about the endpoint");
                }
            }
            ProbeOutcome::Fail { detail, .. } => tracing::debug!(%detail, "probe failed"),
        }
    }

    /// Tells of pauses of the process that were not told yet.
    pub(super) fn paused(&mut self, now: MonoTime) {
        let (told, at) = self.paused;
        if clock::pauses_seen() == told.count || now.since(at) < PAUSES_PAUSE {
            return;
        }
        let pauses = clock::pauses();
        self.paused = (pauses, now);
        let (count, length) = (pauses.count - told.count, pauses.total.saturating_sub(told.total));
        tracing::warn!(
            count,
            paused_ms = millis(length),
            "the process was paused (stopped, frozen, or without CPU): deadlines moved by that time, and nothing that failed because \
             of it is held against an endpoint"
        );
    }

    /// An endpoint's standing changed.
    pub(super) fn standing(
        &mut self,
        change: StandingChange,
        places: &EndpointPlaces,
        notices: &broadcast::Sender<ChangeNotice>,
    ) {
        self.tally.standing(&change);
        let Some(place) = places.get(&change.endpoint) else { return };
        let StandingChange { service, pool, from, to, evidence, .. } = &change;
        let (endpoint, from, state) = (place.address, word(&from.operational), word(&to.operational));
        let (cause, administrative) = (word(&to.cause), word(&to.administrative));
        let endpoint_name = place.name.as_deref();
        if to.operational.has_fallen() {
            tracing::warn!(%service, %pool, %endpoint, endpoint_name, from, to = state, cause, administrative, evidence = &**evidence, "endpoint condemned");
        } else {
            tracing::info!(%service, %pool, %endpoint, endpoint_name, from, to = state, cause, administrative, evidence = &**evidence, "endpoint standing");
        }
        let _ = notices.send(ChangeNotice::Standing { address: place.address, change });
    }

    /// Failures in a row did not eject an endpoint.
    pub(super) fn held(&mut self, service: &Name, pool: &Name, endpoint: SocketAddr, reason: Held, detail: &str) {
        self.tally.held(service, reason);
        let reason = reason.as_str();
        tracing::info!(%service, %pool, %endpoint, reason, evidence = detail, "failures that do not condemn the endpoint");
    }

    /// A switch, or its first good answer.
    pub(super) fn incident(&mut self, incident: &Incident, notices: &broadcast::Sender<ChangeNotice>) {
        let now = clock::now();
        if self.newest.is_none_or(|newest| incident.id > newest) {
            self.newest = Some(incident.id);
            let unix_ms = clock::unix_millis().saturating_sub(now.since(incident.decided).as_millis() as u64);
            self.tally.switched(incident, unix_ms);
            say_switch(incident);
        }
        if incident.answered.is_some() {
            self.tally.answered(incident);
            say_answer(incident);
        }
        let _ = notices.send(ChangeNotice::Incident(IncidentReport::new(incident, now)));
    }

    /// The core wants people to know.
    pub(super) fn alert(&mut self, alert: Alert, notices: &broadcast::Sender<ChangeNotice>) {
        self.tally.alert(&alert);
        match &alert {
            Alert::Frozen { service, until } => {
                let wait = humantime::format_duration(Duration::from_secs(until.since(clock::now()).as_secs()));
                tracing::warn!(%service, for = %wait, "more outages than failover.max_failovers: failback and rollback are frozen");
            }
            Alert::Thawed { service } => tracing::info!(%service, "the freeze has ended"),
            Alert::AllDown { service } => tracing::error!(%service, "all pools are down"),
            Alert::Isolated { service } => tracing::error!(
                %service,
                "all pools became unreachable at once: the trouble is likely here (link, route, firewall), so no pool is left for it; \
                 requests wait or get 503 until an endpoint answers"
            ),
            Alert::PinnedToUnusable { service, pool } => {
                tracing::error!(%service, %pool, "the pin holds the service on a pool that cannot serve");
            }
            Alert::ObjectiveMissed { service, rto_ms, objective_ms } => {
                tracing::warn!(%service, rto_ms, objective_ms, "the recovery took longer than promised");
            }
        }
        let _ = notices.send(ChangeNotice::Alert(alert));
    }

    /// An act was carried out or refused.
    pub(super) fn acted(&mut self, act: &Act, outcome: &ActOutcome) {
        let Act { id, actor, reason, command, .. } = act;
        let (id, service, kind, reason) = (id.0, command.service(), word(&actor.kind), reason.as_deref());
        let (command, actor, origin) = (command.as_str(), &*actor.name, actor.origin.as_deref());
        match outcome {
            ActOutcome::Done => {
                tracing::info!(id, %service, command, actor, kind, origin, reason, "command carried out");
            }
            ActOutcome::NoChange => {
                tracing::info!(id, %service, command, actor, kind, origin, reason, "command: it is so already");
            }
            ActOutcome::Refused(refusal) => {
                let code = refusal.code();
                tracing::warn!(id, %service, command, actor, kind, origin, reason, code, %refusal, "command refused");
            }
        }
    }

    /// A configuration is in force.
    pub(super) fn reloaded(&mut self, epoch: u64, warnings: &[String]) {
        self.loaded();
        self.tally.reloads += 1;
        tracing::info!(epoch, "configuration reloaded");
        warnings.iter().for_each(|warning| tracing::warn!(%warning, "configuration"));
    }

    /// A configuration was put into force: the first, or another.
    pub(super) fn loaded(&mut self) {
        self.tally.generation += 1;
        self.tally.last_reload_ok = true;
        self.tally.loaded_unix_ms = clock::unix_millis();
    }

    /// A configuration was refused.
    pub(super) fn reload_refused(&mut self, problem: &str) {
        self.tally.reloads_refused += 1;
        self.tally.last_reload_ok = false;
        tracing::error!(%problem, "reload refused: nothing has changed");
    }
}

fn say_switch(incident: &Incident) {
    let Incident { service, epoch, .. } = incident;
    let none = "(none)".into();
    let (from, to) = (incident.from.as_ref().unwrap_or(&none), incident.to.as_ref().unwrap_or(&none));
    let (kind, id, actor) = (word(&incident.kind), incident.id.0, &*incident.actor.name);
    let evidence: Vec<String> =
        incident.evidence.iter().map(|e| format!("{} {}: {}", e.address, word(&e.cause), e.detail)).collect();
    let evidence = evidence.join("; ");
    let detected_ms = millis(incident.detected.since(incident.fault));
    let decided_ms = millis(incident.decided.since(incident.fault));
    match incident.kind {
        SwitchKind::Failover | SwitchKind::Rollback => tracing::warn!(
            id, %service, kind, %from, %to, actor, epoch, detected_ms, decided_ms, evidence, "switch"
        ),
        SwitchKind::Switchover | SwitchKind::Failback | SwitchKind::Recovery => {
            tracing::info!(id, %service, kind, %from, %to, actor, epoch, evidence, "switch");
        }
    }
}

fn say_answer(incident: &Incident) {
    let Incident { service, .. } = incident;
    let rto_ms = incident.rto().map(millis);
    tracing::info!(id = incident.id.0, %service, kind = word(&incident.kind), rto_ms, "first good answer after the switch");
}

/// A unit variant as it stands in JSON: one spelling everywhere.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
