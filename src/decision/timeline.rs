//! The record of switches: when the fault began, when it was detected, decided and over.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Effect, Incident, IncidentId, InstanceLife};
use crate::config::Name;
use crate::time::MonoTime;

/// Incidents kept.
const KEPT: usize = 64;
/// Signs of trouble closer to each other than this belong to one fault.
const ONE_FAULT: Duration = Duration::from_secs(10);

/// The last incidents of all services, newest last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Timeline {
    pub incidents: VecDeque<Incident>,
    pub next: u64,
    /// The life of the instance, which stands in each new record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<InstanceLife>,
}

impl Timeline {
    /// Open a record; its id and its life are set here.
    pub fn open(&mut self, mut incident: Incident, effects: &mut Vec<Effect>) {
        incident.id = IncidentId(self.next);
        incident.life = self.life;
        self.next += 1;
        while self.incidents.len() >= KEPT {
            self.incidents.pop_front();
        }
        effects.push(Effect::Incident(incident.clone()));
        self.incidents.push_back(incident);
    }

    /// A service has another name now: its records go on under that.
    pub fn rename(&mut self, before: &Name, after: &Name) {
        for incident in self.incidents.iter_mut().filter(|incident| incident.service == *before) {
            incident.service = after.clone();
        }
    }

    /// The newest record of a switch of a service that was made.
    pub fn last(&self, service: &Name) -> Option<&Incident> {
        self.incidents.iter().rev().find(|incident| incident.service == *service && !incident.held)
    }

    /// The first good answer after the switch that this epoch published.
    pub fn answered(
        &mut self,
        service: &Name,
        epoch: u64,
        seen: MonoTime,
        effects: &mut Vec<Effect>,
    ) -> Option<&Incident> {
        let wanted = |i: &&mut Incident| i.service == *service && i.epoch == epoch && i.answered.is_none();
        let incident = self.incidents.iter_mut().rev().find(wanted)?;
        incident.answered = Some(seen.max(incident.decided));
        effects.push(Effect::Incident(incident.clone()));
        Some(incident)
    }

    /// No session is left at the pool that this epoch's switch left. Returns whether that was not known.
    pub fn fenced(&mut self, service: &Name, pool: &Name, epoch: u64, seen: MonoTime) -> bool {
        let wanted = |i: &&mut Incident| i.service == *service && i.from.as_ref() == Some(pool) && i.epoch == epoch;
        let incident = self.incidents.iter_mut().rev().find(wanted).filter(|incident| incident.fenced.is_none());
        incident.map(|incident| incident.fenced = Some(seen.max(incident.decided))).is_some()
    }
}

/// One endpoint's part in a pool's fall: its first sign of trouble, and when its standing fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PoolFall {
    pub sign: MonoTime,
    pub fell: MonoTime,
}

/// When the fault began that took a pool of `size` endpoints below `needed`, and when it was first detected.
///
/// The pool could serve until the first sign at the endpoint that made it one too few. Signs shortly before that one
/// belong to the same fault; an endpoint that had been dead for long does not.
pub(super) fn fault(mut falls: Vec<PoolFall>, size: usize, needed: usize, now: MonoTime) -> PoolFall {
    falls.sort_by_key(|fall| fall.sign);
    let Some(last) = falls.len().checked_sub(1) else { return PoolFall { sign: now, fell: now } };
    let mut first = size.saturating_sub(needed).min(last);
    let decisive = first;
    while first > 0 && falls[first].sign.since(falls[first - 1].sign) <= ONE_FAULT {
        first -= 1;
    }
    let fell = falls[first..=decisive].iter().map(|fall| fall.fell).min().unwrap_or(now);
    PoolFall { sign: falls[first].sign, fell }
}
