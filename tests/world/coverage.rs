//! What happened in all worlds together: a run that does not reach every edge often proves little, so it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use standfast::decision::{ActOutcome, Effect, EndpointId, Incident, Operational, StandingChange};
use standfast::simulation::RequestEvent;

#[derive(Debug, Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub fn hit(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// Was it seen?
    pub fn has(&self, what: &str) -> bool {
        self.0.contains_key(what)
    }

    pub fn merge(&mut self, other: Coverage) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Standing(change) => self.standing(change),
            Effect::Incident(incident) => self.incident(incident),
            Effect::Alert(alert) => self.hit(format!("alert {}", variant(alert))),
            Effect::Acted { outcome: ActOutcome::Refused(refusal), .. } => {
                self.hit(format!("act refused {}", refusal.code()))
            }
            Effect::Acted { outcome, .. } => self.hit(format!("act {outcome:?}")),
            Effect::Sessions { action, .. } => self.hit(format!("sessions {}", variant(action))),
            Effect::ProbePace { fast, .. } => self.hit(format!("pace fast={fast}")),
            Effect::ConfirmConnect { .. } => self.hit("confirm"),
            Effect::CheckReach { .. } => self.hit("check reach"),
            Effect::ProbeNow { .. } => self.hit("probe now"),
            Effect::Transition(record) => self.hit(format!("transition {:?}", record.kind)),
            Effect::RunFence { .. } => self.hit("fence hook"),
            Effect::Held { reason, .. } => self.hit(format!("held {}", reason.as_str())),
            Effect::Publish | Effect::Persist | Effect::Condition(_) => {}
        }
    }

    pub fn request(&mut self, event: &RequestEvent<'_>) {
        self.hit(match event {
            RequestEvent::Arrived { .. }
            | RequestEvent::Executed { .. }
            | RequestEvent::FurtherExchange { .. }
            | RequestEvent::MissingEndpoint => return,
            RequestEvent::AvoidsEndpoints => "avoids who fails the target",
            RequestEvent::CrossesPool => "crosses rather than asking again",
            RequestEvent::AwaitsVerdict => "waits for the verdict on a suspicion",
            RequestEvent::StaleTry => "stale try picks again",
            RequestEvent::FailsEverywhere => "fails everywhere",
            RequestEvent::Hedged => "hedge",
            RequestEvent::HedgePutOff => "hedge put off",
            RequestEvent::HedgeWon => "hedge won",
            RequestEvent::HedgeFailed => "hedge came to nothing",
            RequestEvent::FirstTryAnswered => "first try answered beside its hedge",
            RequestEvent::FirstTryLost => "first try left to its hedge",
            RequestEvent::RaceWon => "race won",
            RequestEvent::LeavesEndpoint { sent: true, .. } => "leaves the condemned",
            RequestEvent::LeavesEndpoint { sent: false, .. } => "connect given up",
            RequestEvent::Ended { good: true, .. } => "request good",
            RequestEvent::Ended { good: false, .. } => "request bad",
        });
    }

    /// The suspicions that began in a turn, and those that ended.
    pub fn suspicions(&mut self, before: &BTreeSet<EndpointId>, after: &BTreeSet<EndpointId>, effects: &[Effect]) {
        after.difference(before).for_each(|_| self.hit("suspected"));
        for id in before.difference(after) {
            let falls = |effect: &Effect| match effect {
                Effect::Standing(change) => change.endpoint == *id && change.to.operational != Operational::Healthy,
                _ => false,
            };
            self.hit(if effects.iter().any(falls) { "suspicion proven" } else { "suspicion over" });
        }
    }

    fn standing(&mut self, change: &StandingChange) {
        let (from, to) = (change.from, change.to);
        if (from.operational, from.cause) != (to.operational, to.cause) {
            self.hit(format!("{:?}/{:?} -> {:?}/{:?}", from.operational, from.cause, to.operational, to.cause));
        }
        if from.administrative != to.administrative {
            self.hit(format!("{:?} -> {:?}", from.administrative, to.administrative));
        }
    }

    fn incident(&mut self, incident: &Incident) {
        if incident.answered.is_some() {
            return self.hit(format!("answered {:?}", incident.kind));
        }
        let actor = if incident.actor.is_own() { "own" } else { "ordered" };
        let way = match (&incident.from, &incident.to) {
            (Some(_), Some(_)) => "pool to pool",
            (Some(_), None) => "to nobody",
            (None, _) => "from nobody",
        };
        self.hit(format!("{:?} {actor} {way}", incident.kind));
        for evidence in &incident.evidence {
            self.hit(format!("{:?} because {:?}", incident.kind, evidence.cause));
        }
    }

    pub fn print(&self) {
        for (what, count) in &self.0 {
            println!("{count:>8}  {what}");
        }
    }

    /// What was not seen as often as it should have been.
    pub fn missing(&self, wanted: &[(&str, u64)]) -> Vec<String> {
        let seen = |what: &str| self.0.get(what).copied().unwrap_or(0);
        let missing = wanted.iter().filter(|(what, least)| seen(what) < *least);
        missing.map(|(what, least)| format!("{what}: {} of at least {least}", seen(what))).collect()
    }
}

/// The name of a variant, without what it holds.
pub fn variant(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}
