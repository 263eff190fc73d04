//! [`ChangeNotice`]: a thin view of the records for subscribers inside the process.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast;

use super::record::{ChangeRecord, ConditionRecord, RecordedChange, StandingRecord};
use super::sink::RecordSink;
use crate::config::Name;
use crate::control::status::IncidentReport;
use crate::decision::{Alert, StandingChange};

/// Notices a slow subscriber may be behind; beyond, it is told how many it missed.
const NOTICES: usize = 256;

/// Something worth telling people, as it happens. It is made of the records and is the source of nothing: a reader that must miss
/// nothing reads [`ControlHandle::records`](crate::control::ControlHandle::records).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeNotice {
    /// An endpoint's standing changed.
    Standing {
        /// The endpoint's address.
        address: SocketAddr,
        /// What changed, and why.
        change: StandingChange,
    },
    /// A switch, or its first good answer (the same id again).
    Incident(IncidentReport),
    /// A condition began.
    ConditionRaised {
        /// The service.
        service: Name,
        /// The condition.
        condition: ConditionRecord,
    },
    /// A condition ended.
    ConditionCleared {
        /// The service.
        service: Name,
        /// The condition.
        condition: ConditionRecord,
    },
    /// An alert of the core.
    Alert(Alert),
    /// The control plane itself has a problem that needs an operator.
    Trouble(ControlTrouble),
}

/// A problem of the control plane itself. The text says what it is about. (What was wrong at the start, before there were listeners
/// yet, stands in [`Status::troubles`](crate::control::Status::troubles).) Only a refused reload is a record too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlTrouble {
    /// The state file cannot be written: decisions will not survive a restart.
    StateNotWritten(String),
    /// The journal cannot be written: decisions cannot be replayed.
    JournalNotWritten(String),
    /// The audit log cannot be written: acts are refused, or carried out without a record, as `audit.on_error` says.
    AuditNotWritten(String),
    /// A reload was refused; the configuration before it stays in force.
    ReloadRefused(String),
    /// A name of an endpoint has had no good answer for 5 minutes; the addresses of before stay.
    NameUnanswered(String),
}

/// Sends the notices.
#[derive(Clone, Debug)]
pub(in crate::control) struct NoticeSink(broadcast::Sender<ChangeNotice>);

impl NoticeSink {
    pub(in crate::control) fn new() -> NoticeSink {
        NoticeSink(broadcast::channel(NOTICES).0)
    }

    pub(in crate::control) fn subscribe(&self) -> broadcast::Receiver<ChangeNotice> {
        self.0.subscribe()
    }

    pub(in crate::control) fn trouble(&self, trouble: ControlTrouble) {
        let _ = self.0.send(ChangeNotice::Trouble(trouble));
    }
}

impl RecordSink for NoticeSink {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        if self.0.receiver_count() > 0
            && let Some(notice) = notice(record)
        {
            let _ = self.0.send(notice);
        }
    }
}

fn notice(record: &ChangeRecord) -> Option<ChangeNotice> {
    let refused = |problem: &String| ChangeNotice::Trouble(ControlTrouble::ReloadRefused(problem.clone()));
    Some(match (&record.change, record.service.clone()) {
        (RecordedChange::Switched(incident) | RecordedChange::Answered(incident), _) => {
            ChangeNotice::Incident(incident.clone())
        }
        (RecordedChange::Standing(change), Some(service)) => {
            let StandingRecord { pool, endpoint, endpoint_id, from, to, evidence, .. } = change.clone();
            let change = StandingChange { endpoint: endpoint_id, service, pool, from, to, evidence };
            ChangeNotice::Standing { address: endpoint, change }
        }
        (RecordedChange::ConditionRaised(condition), Some(service)) => {
            ChangeNotice::ConditionRaised { service, condition: condition.clone() }
        }
        (RecordedChange::ConditionCleared(condition), Some(service)) => {
            ChangeNotice::ConditionCleared { service, condition: condition.clone() }
        }
        (RecordedChange::ObjectiveMissed(missed), Some(service)) => {
            let (rto_ms, objective_ms) = (missed.rto_ms, missed.objective_ms);
            ChangeNotice::Alert(Alert::ObjectiveMissed { service, rto_ms, objective_ms })
        }
        (RecordedChange::ConfigRefused(refusal), _) => refused(&refusal.problem),
        _ => return None,
    })
}
