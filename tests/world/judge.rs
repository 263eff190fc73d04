//! The observer of a world: it asks the oracle about everything that happens, counts the coverage, and keeps the journal and the
//! state file.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use standfast::config::{Name, Retry};
use standfast::decision::{Decision, Digest, Effect, EndpointId, Event, Saved};
use standfast::routing::ServiceView;
use standfast::simulation::{
    AnswerKind, DecisionTurn, DigestDelivery, OutstandingChange, REQUEST_DEADLINE, RequestEvent, SimulationObserver,
    TryStart,
};
use standfast::time::MonoTime;

use super::conditions::ConditionJudge;
use super::coverage::Coverage;
use super::journal::{self, LifeJournal};
use super::oracle::Oracle;
use super::world::{Verdict, ensure};

#[derive(Default)]
pub struct Judge {
    pub oracle: Oracle,
    pub coverage: Coverage,
    /// The first thing that was wrong.
    pub failure: Option<String>,
    /// As the state file holds it.
    pub saved: Option<(MonoTime, String)>,
    /// How this life of the process began; `None` = as the first, with its first event.
    born: Option<(Saved, MonoTime)>,
    conditions: ConditionJudge,
    journal: LifeJournal,
    spending: BTreeMap<Name, Spending>,
}

/// The requests of a service, and its exchanges beyond the first of each.
#[derive(Default)]
struct Spending {
    requests: VecDeque<MonoTime>,
    extras: VecDeque<MonoTime>,
}

impl Judge {
    fn keep(&mut self, verdict: Verdict) {
        if let Err(why) = verdict {
            self.failure.get_or_insert(why);
        }
    }

    /// A new process starts with what was saved, at this time.
    pub fn restarts(&mut self, saved: &Saved, born_at: MonoTime) {
        self.coverage.hit("restart");
        let verdict = self.conditions.restarts(saved);
        self.keep(verdict);
        self.oracle.restarts(saved);
        self.spending.clear();
        self.journal.clear();
        self.born = Some((saved.clone(), born_at));
    }

    /// What the journal of this life gives.
    pub fn replayed(&mut self) -> Decision {
        let first = self.journal.first().map_or(MonoTime::ZERO, |(at, _)| *at);
        let (saved, born_at) = self.born.clone().map_or((None, first), |(saved, at)| (Some(saved), at));
        self.coverage.hit("replay");
        journal::replayed(Decision::new(saved, born_at), &self.journal)
    }

    /// All exchanges of a request but the first are covered by the budget. A grant is used before the request's deadline, so
    /// that much is left out on one side of the window and added on the other.
    fn spend(&mut self, view: &ServiceView, now: MonoTime) -> Verdict {
        let window = Duration::from_secs(10);
        let spending = self.spending.entry(view.config.name.clone()).or_default();
        spending.extras.push_back(now);
        spending.extras.retain(|at| now.since(*at) < window - REQUEST_DEADLINE);
        spending.requests.retain(|at| now.since(*at) < window + REQUEST_DEADLINE);
        let floor = Retry::BUDGET_FLOOR as usize;
        let allowed = (view.config.retry.budget * spending.requests.len() as f64) as usize + floor;
        let (extras, requests) = (spending.extras.len(), spending.requests.len());
        ensure!(extras <= allowed, "{extras} further exchanges for {requests} requests of {}", view.config.name);
        Ok(())
    }

    fn allowed(&mut self, event: &RequestEvent<'_>, now: MonoTime) -> Verdict {
        match event {
            RequestEvent::Arrived { service } => {
                self.spending.entry((*service).clone()).or_default().requests.push_back(now);
                Ok(())
            }
            RequestEvent::FurtherExchange { view } => self.spend(view, now),
            RequestEvent::MissingEndpoint => Err("picked an endpoint that is not there".to_owned()),
            RequestEvent::Executed { request, times, class } if *times > 1 && !class.idempotent() => {
                Err(format!("request {request}, which is not idempotent, was executed twice"))
            }
            RequestEvent::LeavesEndpoint { request, sent: true, class } if !class.safe() => {
                Err(format!("request {request}, which is not safe, was given up while it may still be answered"))
            }
            _ => Ok(()),
        }
    }
}

impl SimulationObserver for Judge {
    fn event(&mut self, event: Option<&Event>, now: MonoTime) {
        self.oracle.hears(event);
        self.journal.push((now, event.cloned()));
    }

    fn turn(&mut self, turn: &DecisionTurn<'_>) {
        for effect in turn.effects {
            self.coverage.effect(effect);
        }
        let suspected = self.oracle.suspected.clone();
        let verdict = self.oracle.judge(turn.config, turn.before, turn.decision, turn.effects, turn.now);
        self.keep(verdict);
        let verdict = self.conditions.judge(turn.decision, turn.effects, turn.now, &mut self.coverage);
        self.keep(verdict);
        self.coverage.suspicions(&suspected, &self.oracle.suspected, turn.effects);
        if turn.effects.contains(&Effect::Persist) {
            match serde_json::to_string(&turn.decision.saved(turn.now)) {
                Ok(text) => self.saved = Some((turn.now, text)),
                Err(error) => self.keep(Err(error.to_string())),
            }
        }
    }

    fn digest(&mut self, endpoint: EndpointId, digest: &Digest, delivery: DigestDelivery) {
        let verdict = self.oracle.swept(endpoint, digest);
        self.keep(verdict);
        match delivery {
            DigestDelivery::Lost => self.coverage.hit("digest dropped"),
            DigestDelivery::Late => self.coverage.hit("digest late"),
            DigestDelivery::Immediate => {}
        }
    }

    fn outstanding(&mut self, endpoint: EndpointId, kind: AnswerKind, change: OutstandingChange) {
        match change {
            OutstandingChange::Begun(now) => self.oracle.asked(endpoint, kind, now),
            OutstandingChange::Answered(now) => self.oracle.heard(endpoint, kind, now),
            OutstandingChange::Withdrawn(began) => self.oracle.excused(endpoint, kind, began),
            OutstandingChange::AnsweredElsewhere(began) => self.oracle.witnessed(endpoint, kind, began),
        }
    }

    fn try_starts(&mut self, start: &TryStart<'_>) {
        let verdict = self.oracle.tries(start);
        self.keep(verdict);
    }

    fn request(&mut self, event: &RequestEvent<'_>, now: MonoTime) {
        let verdict = self.allowed(event, now);
        self.keep(verdict);
        self.coverage.request(event);
    }
}
