//! What happens becomes one numbered [`ChangeRecord`], and every sink takes it: the log, the counts, the ring for live readers, and
//! the notices. [manual::records](crate::manual::records) has the words.

mod log;
pub(super) mod notices;
pub(super) mod record;
pub(super) mod ring;
pub(super) mod sink;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::log::LogSink;
use self::notices::{ControlTrouble, NoticeSink};
use self::record::{
    ActRecord, ChangeRecord, ConditionRecord, HeldRecord, InstanceRecord, ObjectiveRecord, RecordId, RecordTime,
    RecordedChange, RefusalRecord, ReloadActor, ReloadRecord, StandingRecord, TransitionReport, begin_life,
};
use self::ring::{RecordFeed, RecordReader};
use self::sink::RecordSink;
use super::audit::AuditHandle;
use super::places::EndpointPlaces;
use super::status::{IncidentReport, WallClock, millis};
use super::tally::ChangeTally;
use crate::config::{Config, Name};
use crate::decision::{
    Act, ActCommand, ActOutcome, Alert, ConditionChange, EndpointId, Held, Incident, InstanceLife, ProbeOutcome,
    StandingChange, Succession, Table, TransitionRecord,
};
use crate::sys::clock::{self, ClockPauses};
use crate::time::MonoTime;

/// At most one line about our own failing probes in this time: they fail together.
const LOCAL_PAUSE: Duration = Duration::from_secs(10);

/// At most one line about pauses of the process in this time: a container that is short of CPU pauses several times a second.
const PAUSES_PAUSE: Duration = Duration::from_secs(1);

/// Makes the records and hands each to the sinks.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) tally: ChangeTally,
    /// The name of the instance.
    instance: Name,
    life: InstanceLife,
    /// The number of the last record; 0 = none yet.
    number: u64,
    started: MonoTime,
    feed: RecordFeed,
    notices: NoticeSink,
    audit: Option<AuditHandle>,
    local_said: Option<MonoTime>,
    /// The pauses of the process that were told, and when.
    paused: (ClockPauses, MonoTime),
}

impl Records {
    /// Those of a new life.
    pub(super) fn begin(instance: Name, notices: NoticeSink) -> Records {
        let life = begin_life();
        Records {
            tally: ChangeTally::default(),
            instance,
            life,
            number: 0,
            started: clock::now(),
            feed: RecordFeed::new(life),
            notices,
            audit: None,
            local_said: None,
            paused: Default::default(),
        }
    }

    /// The newest records, for readers.
    pub(super) fn reader(&self) -> RecordReader {
        self.feed.reader()
    }

    /// The name of the instance that these records are of.
    pub(super) fn instance(&self) -> &Name {
        &self.instance
    }

    /// The life that these records are of.
    pub(super) fn life(&self) -> InstanceLife {
        self.life
    }

    /// A new record: every sink takes it.
    fn record(&mut self, service: Option<&Name>, change: RecordedChange) {
        self.number += 1;
        let id = RecordId { life: self.life, number: self.number };
        let since_start_us = clock::now().since(self.started).as_micros() as u64;
        let at = RecordTime { unix_ms: clock::unix_millis(), since_start_us };
        let record = Arc::new(ChangeRecord { id, at, service: service.cloned(), change });
        let sinks: [&mut dyn RecordSink; 4] = [&mut LogSink, &mut self.tally, &mut self.feed, &mut self.notices];
        sinks.into_iter().for_each(|sink| sink.take(&record));
        self.audit.iter_mut().for_each(|audit| audit.take(&record));
    }

    /// From now on the audit log takes every record, too.
    pub(super) fn audit(&mut self, audit: AuditHandle) {
        self.audit = Some(audit);
    }

    /// What the audit log has to tell.
    pub(super) fn audited(&mut self) {
        let news = self.audit.as_ref().map(AuditHandle::news).unwrap_or_default();
        news.into_iter().for_each(|change| self.record(None, change));
    }

    /// The control plane starts.
    pub(super) fn started(&mut self, epoch: u64) {
        self.record(None, RecordedChange::InstanceStarted(instance(epoch)));
    }

    /// It is about to end, as it was told.
    pub(super) fn stopping(&mut self, epoch: u64) {
        self.record(None, RecordedChange::InstanceStopping(instance(epoch)));
    }

    /// The control plane itself has a problem.
    pub(super) fn trouble(&self, trouble: ControlTrouble) {
        self.notices.trouble(trouble);
    }

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
            ProbeOutcome::Busy { detail } => tracing::debug!(%detail, "probe found no room"),
            // (The condition that it raises is loud.)
            ProbeOutcome::Blind { detail } => tracing::debug!(%detail, "probe was not let in"),
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
    pub(super) fn standing(&mut self, change: StandingChange, places: &EndpointPlaces) {
        let Some(place) = places.get(&change.endpoint) else { return self.tally.ejected(&change.service, &change.to) };
        let (service, record) = standing_record(change, place.address, place.name.clone());
        self.record(Some(&service), record);
    }

    /// Failures in a row did not eject an endpoint.
    pub(super) fn held(&mut self, service: &Name, pool: Name, endpoint: SocketAddr, reason: Held, evidence: String) {
        self.record(Some(service), RecordedChange::Held(HeldRecord { pool, endpoint, reason, evidence }));
    }

    /// A switch, or its first good answer.
    pub(super) fn incident(&mut self, incident: &Incident) {
        self.record(Some(&incident.service), incident_record(incident, &WallClock::now(), &self.instance));
    }

    /// A switch waits for its gates, or waits no longer.
    pub(super) fn transition(&mut self, transition: &TransitionRecord) {
        self.record(Some(&transition.service), transition_record(transition));
    }

    /// A condition begins or ends.
    pub(super) fn condition(&mut self, change: &ConditionChange) {
        self.record(Some(&change.condition().service), condition_record(change, &WallClock::now()));
    }

    /// The core wants people to know.
    pub(super) fn alert(&mut self, alert: Alert) {
        let (service, record) = objective_record(alert);
        self.record(Some(&service), record);
    }

    /// An act was carried out or refused. `repeated`: it was sent before, and did nothing now.
    pub(super) fn acted(&mut self, act: Act, outcome: &ActOutcome, repeated: bool) {
        let Act { id, actor, reason, command, .. } = act;
        let command = command.recorded();
        let service = command.service().cloned();
        let refusal = match outcome {
            ActOutcome::Refused(refusal) => Some(refusal),
            _ => None,
        };
        let record = ActRecord {
            act: id,
            command,
            actor,
            reason,
            changed: matches!(outcome, ActOutcome::Done | ActOutcome::Partly { .. }) && !repeated,
            stays: match outcome {
                ActOutcome::Partly { stays } => stays.iter().take(ActCommand::MOST_RECORDED).cloned().collect(),
                _ => Vec::new(),
            },
            repeated,
            waiting: *outcome == ActOutcome::Waiting,
            code: refusal.map(|refusal| refusal.code().to_owned()),
            refusal: refusal.map(ToString::to_string),
        };
        let refused = refusal.is_some();
        let change = if refused { RecordedChange::ActRefused(record) } else { RecordedChange::ActDone(record) };
        self.record(service.as_ref(), change);
    }

    /// A configuration is in force. `act`: it was asked for.
    pub(super) fn reloaded(&mut self, epoch: u64, warnings: &[String], act: Option<&Act>) {
        self.tally.loaded();
        let (generation, warnings) = (self.tally.generation, warnings.to_vec());
        let by = act.map(ReloadActor::of);
        self.record(None, RecordedChange::ConfigReloaded(ReloadRecord { epoch, generation, warnings, by }));
    }

    /// A configuration was refused.
    pub(super) fn reload_refused(&mut self, problem: &str, act: Option<&Act>) {
        let (problem, by) = (problem.to_owned(), act.map(ReloadActor::of));
        self.record(None, RecordedChange::ConfigRefused(RefusalRecord { problem, by }));
    }
}

fn instance(epoch: u64) -> InstanceRecord {
    InstanceRecord { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), epoch }
}

/// The record of a switch, or of its first good answer: the core tells of both, each once.
pub(super) fn incident_record(incident: &Incident, wall: &WallClock, instance: &str) -> RecordedChange {
    let report = IncidentReport::told_by(incident, wall, instance);
    if incident.answered.is_some() { RecordedChange::Answered(report) } else { RecordedChange::Switched(report) }
}

/// The record of a recovery that took too long, and its service.
pub(super) fn objective_record(alert: Alert) -> (Name, RecordedChange) {
    let Alert::ObjectiveMissed { service, rto_ms, objective_ms } = alert;
    (service, RecordedChange::ObjectiveMissed(ObjectiveRecord { rto_ms, objective_ms }))
}

/// The record of a standing, and its service.
pub(super) fn standing_record(
    change: StandingChange,
    address: SocketAddr,
    endpoint_name: Option<Name>,
) -> (Name, RecordedChange) {
    let StandingChange { endpoint: endpoint_id, service, pool, from, to, evidence } = change;
    let record = StandingRecord { pool, endpoint: address, endpoint_name, endpoint_id, from, to, evidence };
    (service, RecordedChange::Standing(record))
}

/// The record of a transition.
pub(super) fn transition_record(transition: &TransitionRecord) -> RecordedChange {
    RecordedChange::Transition(TransitionReport {
        transition: transition.id.0,
        kind: transition.kind,
        from: transition.from.clone(),
        to: transition.to.clone(),
        actor: transition.actor.clone(),
        stage: transition.stage.as_str().to_owned(),
        given_up: transition.is_given_up(),
        text: transition.stage.to_string(),
    })
}

/// The record of a condition.
pub(super) fn condition_record(change: &ConditionChange, wall: &WallClock) -> RecordedChange {
    let condition = change.condition();
    let record = ConditionRecord {
        kind: condition.kind,
        pool: condition.pool.clone(),
        since_unix_ms: wall.unix_ms(condition.since),
        until_unix_ms: condition.until.map(|until| wall.unix_ms(until)),
        text: condition.text.clone(),
    };
    match change {
        ConditionChange::Raised(_) => RecordedChange::ConditionRaised(record),
        ConditionChange::Cleared(_) => RecordedChange::ConditionCleared(record),
    }
}
