//! Acts in the engine: each is compared with the state that it was meant for, and then carried out, or tried on a copy of the core.

use super::act_report::{ActOrder, ActReport, ServiceMark, SessionsReport};
use super::engine::{Engine, EngineInputs};
use super::status::{WallClock, service_report};
use crate::decision::{Act, ActOutcome, ActRefusal, Decision, Effect, Event, ServiceStatus, SessionAction};
use crate::routing::RoutingTable;

impl Engine {
    /// An act, and the core's answer to it, of which there is exactly one.
    pub(super) fn act(&mut self, order: ActOrder, inputs: &mut EngineInputs) -> Option<ActReport> {
        let ActOrder { act, expects, dry } = order;
        let wall = WallClock::now();
        if let Some(report) = self.unexpected(&act, expects, &wall) {
            if !dry {
                self.records.acted(act, &report.outcome, false);
            }
            return Some(report);
        }
        let event = Event::Ordered { seen: wall.now, act: act.clone() };
        if dry {
            let mut copy = self.decision.clone();
            copy.handle(event, wall.now);
            let effects = copy.effects();
            return self.report(&act, &effects, &copy, &self.published.load());
        }
        self.answered(act, event, inputs)
    }

    /// The core is told of an act; what it answers is carried out and put on record.
    pub(super) fn answered(&mut self, act: Act, event: Event, inputs: &mut EngineInputs) -> Option<ActReport> {
        let before = self.published.load();
        self.tell(event);
        let effects = self.decision.effects();
        let report = self.report(&act, &effects, &self.decision, &before);
        self.carry_out(effects, inputs);
        let report = ActReport { epoch: self.published.epoch(), ..report? };
        self.records.acted(act, &report.outcome, report.repeated);
        Some(report)
    }

    /// The refusal of an act that was meant for another state. One that was carried out before has changed the mark itself: it is
    /// only answered again.
    fn unexpected(&self, act: &Act, expects: Option<ServiceMark>, wall: &WallClock) -> Option<ActReport> {
        let expected = expects?;
        let service = act.command.service()?;
        let state = self.decision.service_status(service, wall.now)?;
        let mark = self.mark(&state);
        if mark == expected || self.decision.knows_act(act.id, wall.now) {
            return None;
        }
        let refusal = ActRefusal::MarkChanged { service: service.clone(), mark: mark.to_string() };
        Some(ActReport {
            outcome: ActOutcome::Refused(refusal),
            epoch: self.published.epoch(),
            switches: Vec::new(),
            sessions: Vec::new(),
            repeated: false,
            mark: Some(mark),
            warnings: Vec::new(),
            next: None,
        })
    }

    /// What these effects of an act come to, in this core.
    fn report(&self, act: &Act, effects: &[Effect], core: &Decision, table: &RoutingTable) -> Option<ActReport> {
        let (outcome, repeated) = effects.iter().find_map(|effect| match effect {
            Effect::Acted { act: id, outcome, repeated } if *id == act.id => Some((outcome.clone(), *repeated)),
            _ => None,
        })?;
        let switches = effects.iter().filter_map(|effect| match effect {
            Effect::Incident(incident) if !incident.held => Some(incident.clone()),
            _ => None,
        });
        let switches = switches.collect();
        let wall = WallClock::now();
        let sessions = effects.iter().filter_map(|effect| match effect {
            Effect::Sessions { service, pool, action, .. } => {
                let view = table.service(service)?.pools.iter().find(|view| view.name == *pool)?;
                let in_flight = view.endpoints.iter().map(|endpoint| endpoint.stats.in_flight() as u64).sum();
                let may_end_within_ms = match action {
                    SessionAction::Drain { until } => Some(until.since(wall.now).as_millis() as u64),
                    SessionAction::Close => None,
                };
                Some(SessionsReport { pool: pool.clone(), in_flight, may_end_within_ms })
            }
            _ => None,
        });
        let sessions = sessions.collect();
        let state = act.command.service().and_then(|service| core.service_status(service, wall.now));
        let mark = state.as_ref().map(|state| self.mark(state));
        let next = state.map(|state| {
            let config = self.config.services.iter().find(|config| config.name == state.name);
            let view = table.service(&state.name);
            service_report(state, config.map(|config| &**config), view.map(|view| &**view), &wall).what_follows()
        });
        let warnings = Vec::new();
        Some(ActReport { outcome, epoch: core.epoch(), switches, sessions, repeated, mark, warnings, next })
    }

    /// The mark of a service in this state.
    pub(super) fn mark(&self, state: &ServiceStatus) -> ServiceMark {
        ServiceMark::of(self.records.life(), self.records.tally.generation, state.decisions)
    }
}
