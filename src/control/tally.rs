//! What the control plane counts for `/metrics`. The engine is the only writer; a scrape gets a copy, whose histograms
//! are shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::audit::AuditCounts;
use super::journal::JournalCounts;
use super::records::record::{ChangeRecord, RecordedChange};
use super::records::sink::RecordSink;
use super::status::IncidentReport;
use crate::config::{Config, Name, Service};
use crate::decision::{
    Cause, ConditionKind, EndpointId, Held, ProbeFailure, ProbeOutcome, Standing, Succession, SwitchKind, Table,
};
use crate::sys::clock::{self, ClockPauses};
use crate::telemetry::instruments::{LatencyHistogram, RecoveryHistogram};

/// All counts since the start. Services and endpoints that the configuration no longer has are forgotten; a renamed service
/// keeps its counts.
#[derive(Clone, Debug, Default)]
pub struct ChangeTally {
    /// In the order of the configuration.
    pub services: Vec<(Name, ServiceTally)>,
    /// Probes by endpoint.
    pub probes: HashMap<EndpointId, ProbeTally>,
    /// Alerts by kind, in the order of [`ALERTS`].
    pub alerts: [u64; ALERTS.len()],
    /// Configurations put into force, the first included.
    pub generation: u64,
    /// Reloads that succeeded.
    pub reloads: u64,
    /// Reloads that changed nothing.
    pub reloads_refused: u64,
    /// When the configuration in force was loaded, in milliseconds since the Unix epoch.
    pub loaded_unix_ms: u64,
    /// Did the last reload succeed? True before the first.
    pub last_reload_ok: bool,
    /// Writes of the state file that succeeded.
    pub state_writes: u64,
    /// Writes of the state file that failed.
    pub state_writes_failed: u64,
    /// The journal; `None` = there is none.
    pub journal: Option<JournalCounts>,
    /// The audit log; `None` = there is none.
    pub audit: Option<AuditCounts>,
    /// Gaps in which the process did not run.
    pub pauses: ClockPauses,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceTally {
    /// By kind, in the order of [`SWITCHES`].
    pub switches: [u64; SWITCHES.len()],
    /// Switches that began an outage: those that `max_failovers` counts.
    pub outages: u64,
    /// Switches that a hold kept from being made.
    pub held_switches: u64,
    /// When the last one was, in milliseconds since the Unix epoch; 0 = never.
    pub last_switch_unix_ms: u64,
    /// Measured recovery times of failovers, rollbacks and recoveries.
    pub recovery: Arc<RecoveryHistogram>,
    /// The last of them.
    pub last_recovery: Option<Duration>,
    /// Endpoints condemned by real traffic, in the order of [`EJECTIONS`].
    pub ejections: [u64; EJECTIONS.len()],
    /// How often failures did not eject an endpoint, each reason at most once in ten seconds an endpoint, in the order of [`Held::ALL`].
    pub held: [u64; Held::ALL.len()],
    /// How long good probes took.
    pub probe_duration: Arc<LatencyHistogram>,
}

impl Default for ServiceTally {
    fn default() -> Self {
        ServiceTally {
            switches: Default::default(),
            outages: 0,
            held_switches: 0,
            last_switch_unix_ms: 0,
            recovery: Arc::new(RecoveryHistogram::recovery()),
            last_recovery: None,
            ejections: Default::default(),
            held: Default::default(),
            probe_duration: Arc::new(LatencyHistogram::latency(1)),
        }
    }
}

/// One endpoint's probes by outcome, in the order of [`PROBES`].
pub type ProbeTally = [u64; PROBES.len()];

/// Outcomes of probes as metric labels.
pub const PROBES: [&str; 10] =
    ["pass", "refused", "timeout", "reset", "mismatch", "malformed", "local", "not_serving", "busy", "blind"];
/// The first ones are shown of every endpoint; the rest, which only checks that log in can have, once they have been counted.
pub const PROBES_OF_ALL: usize = 7;
/// Kinds of alerts as metric labels. `order_refused` is retired and stays at 0: a refused command is an answer to its sender.
pub const ALERTS: [&str; 7] =
    ["frozen", "thawed", "all_down", "pinned_to_unusable", "objective_missed", "order_refused", "isolated"];
/// Kinds of switches as metric labels.
pub const SWITCHES: [&str; 6] = ["failover", "switchover", "failback", "rollback", "recovery", "follow"];
/// Causes of in-band verdicts as metric labels.
pub const EJECTIONS: [&str; 4] = ["refused", "consecutive", "failure_rate", "stalled"];

impl ChangeTally {
    /// Keep what this configuration continues of the one before.
    pub(super) fn configured(&mut self, succession: &Succession, config: &Config, table: &Table) {
        let mut counted: Vec<_> = self.services.drain(..).map(|(_, tally)| Some(tally)).collect();
        let kept = |(index, service): (usize, &Arc<Service>)| {
            let past = succession.service(index);
            let tally = past.and_then(|past| counted.get_mut(past.service)?.take());
            (service.name.clone(), tally.unwrap_or_default())
        };
        self.services = config.services.iter().enumerate().map(kept).collect();
        let mut probes = std::mem::take(&mut self.probes);
        let endpoints = table.services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.endpoints);
        self.probes = endpoints.map(|e| (e.id, probes.remove(&e.id).unwrap_or_default())).collect();
    }

    /// The state file's writer says how often it has succeeded and failed.
    pub(super) fn writes(&mut self, (written, failed): (u64, u64)) {
        (self.state_writes, self.state_writes_failed) = (written, failed);
    }

    pub(super) fn probed(&mut self, endpoint: EndpointId, outcome: &ProbeOutcome) {
        let index = match outcome {
            ProbeOutcome::Pass { .. } => 0,
            ProbeOutcome::Fail { kind: ProbeFailure::Refused, .. } => 1,
            ProbeOutcome::Fail { kind: ProbeFailure::Timeout, .. } => 2,
            ProbeOutcome::Fail { kind: ProbeFailure::Reset, .. } => 3,
            ProbeOutcome::Fail { kind: ProbeFailure::Mismatch, .. } => 4,
            ProbeOutcome::Fail { kind: ProbeFailure::Malformed, .. } => 5,
            ProbeOutcome::Local { .. } => 6,
            ProbeOutcome::Fail { kind: ProbeFailure::NotServing, .. } => 7,
            ProbeOutcome::Busy { .. } => 8,
            ProbeOutcome::Blind { .. } => 9,
        };
        if let Some(counts) = self.probes.get_mut(&endpoint) {
            counts[index] += 1;
        }
    }

    pub(super) fn probe_passed(&self, service: &Name, latency: Duration) {
        if let Some(tally) = self.service(service) {
            tally.probe_duration.record(0, latency);
        }
    }

    /// An endpoint was condemned, perhaps by real traffic.
    pub(super) fn ejected(&mut self, service: &Name, standing: &Standing) {
        if !standing.operational.has_fallen() {
            return;
        }
        let index = match standing.cause {
            Cause::Refused => 0,
            Cause::Consecutive => 1,
            Cause::FailureRate => 2,
            Cause::Stalled => 3,
            _ => return,
        };
        if let Some(tally) = self.service_mut(service) {
            tally.ejections[index] += 1;
        }
    }

    /// A configuration was put into force: the first, or another.
    pub(super) fn loaded(&mut self) {
        self.generation += 1;
        self.last_reload_ok = true;
        self.loaded_unix_ms = clock::unix_millis();
    }

    /// A switch began.
    fn switched(&mut self, incident: &IncidentReport) {
        if incident.held {
            if let Some(tally) = self.service_mut(&incident.service) {
                tally.held_switches += 1;
            }
            return;
        }
        let index = match incident.kind {
            SwitchKind::Failover => 0,
            SwitchKind::Switchover => 1,
            SwitchKind::Failback => 2,
            SwitchKind::Rollback => 3,
            SwitchKind::Recovery => 4,
            SwitchKind::Follow => 5,
        };
        if let Some(tally) = self.service_mut(&incident.service) {
            tally.switches[index] += 1;
            tally.outages += u64::from(incident.outage);
            tally.last_switch_unix_ms = incident.fault_unix_ms.saturating_add(incident.decided_ms as u64);
        }
    }

    /// A switch got its first good answer.
    fn answered(&mut self, incident: &IncidentReport) {
        let forced = incident.kind.is_forced();
        if let (true, Some(rto_ms), Some(tally)) = (forced, incident.rto_ms, self.service_mut(&incident.service)) {
            let rto = Duration::from_micros((rto_ms * 1000.0).round() as u64);
            tally.recovery.record(0, rto);
            tally.last_recovery = Some(rto);
        }
    }

    /// One more alert of this kind, which is one of [`ALERTS`].
    fn alert(&mut self, kind: &str) {
        if let Some(index) = ALERTS.iter().position(|known| *known == kind) {
            self.alerts[index] += 1;
        }
    }

    fn service(&self, name: &Name) -> Option<&ServiceTally> {
        self.services.iter().find(|(n, _)| n == name).map(|(_, tally)| tally)
    }

    fn service_mut(&mut self, name: &Name) -> Option<&mut ServiceTally> {
        self.services.iter_mut().find(|(n, _)| n == name).map(|(_, tally)| tally)
    }
}

impl RecordSink for ChangeTally {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        match (&record.change, &record.service) {
            (RecordedChange::Switched(incident), _) => self.switched(incident),
            (RecordedChange::Answered(incident), _) => self.answered(incident),
            (RecordedChange::ObjectiveMissed(_), _) => self.alert("objective_missed"),
            (RecordedChange::Standing(change), Some(service)) => self.ejected(service, &change.to),
            (RecordedChange::Held(held), Some(service)) => {
                if let Some(tally) = self.service_mut(service) {
                    tally.held[held.reason as usize] += 1;
                }
            }
            // (A missed objective has a record of its own.)
            (RecordedChange::ConditionRaised(condition), _) if condition.kind != ConditionKind::ObjectiveMissed => {
                self.alert(condition.kind.as_str());
            }
            // (A service that is renamed or gone has no counts under this name any more, and its freeze has not ended.)
            (RecordedChange::ConditionCleared(condition), Some(service))
                if condition.kind == ConditionKind::Frozen && self.service(service).is_some() =>
            {
                self.alert("thawed");
            }
            (RecordedChange::ConfigReloaded(_), _) => self.reloads += 1,
            (RecordedChange::ConfigRefused(_), _) => {
                self.reloads_refused += 1;
                self.last_reload_ok = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::record::{ConditionRecord, RecordId, RecordTime, begin_life};
    use super::*;

    #[test]
    fn a_freeze_of_a_service_that_is_renamed_or_gone_has_not_thawed() {
        let mut tally = ChangeTally { services: vec![("shop".into(), ServiceTally::default())], ..Default::default() };
        let mut counts = Vec::new();
        for service in ["gone", "shop"] {
            let (kind, text) = (ConditionKind::Frozen, String::new());
            let condition = ConditionRecord { kind, pool: None, since_unix_ms: 0, until_unix_ms: None, text };
            tally.take(&Arc::new(ChangeRecord {
                id: RecordId { life: begin_life(), number: 1 },
                at: RecordTime { unix_ms: 0, since_start_us: 0 },
                service: Some(service.into()),
                change: RecordedChange::ConditionCleared(condition),
            }));
            counts.push(tally.alerts[1]);
        }
        assert_eq!((ALERTS[1], counts), ("thawed", vec![0, 1]));
    }
}
