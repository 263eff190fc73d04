//! [`Decision`]: the whole brain as one value. Its shell calls `handle`, `tick`, `deadline` and `effects`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::companions::{align, group};
use super::conditions;
use super::recent_acts::RecentActs;
use super::reload::{NewEndpoints, strangers};
use super::service::Service;
use super::succession::Succession;
use super::timeline::Timeline;
use super::turn::Turn;
use super::{
    Act, ActCommand, ActId, ActOutcome, ActRefusal, Alert, Effect, EndpointId, Event, GateRules, Incident,
    InstanceLife, Saved, SavedService, ServiceStatus, Table, TransitionStage,
};
use crate::config::{Config, Listener, Name};
use crate::time::MonoTime;

/// The failover brain: plain data, deterministic, without a clock of its own.
///
/// ```text
/// loop { select(event arrives, deadline() comes) → handle(event, now) or tick(now) → obey effects() }
/// ```
/// Every call is one turn: evidence goes in, everything that follows is concluded at once, and `table()` is the result. The
/// same events at the same times give an equal value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    epoch: u64,
    /// The newest time it was told; it never goes back.
    clock: MonoTime,
    services: Vec<Service>,
    /// Of the configuration in force: they tell a renamed service from a new one.
    listeners: Vec<Arc<Listener>>,
    /// Where each endpoint stands: service, pool and place.
    directory: BTreeMap<EndpointId, EndpointPlace>,
    next_endpoint: u32,
    timeline: Timeline,
    /// What an earlier process decided about services that have not appeared yet; forgotten after the first configuration.
    restored: Vec<SavedService>,
    effects: Vec<Effect>,
    /// Acts that may be sent again.
    #[serde(default)]
    recent_acts: RecentActs,
    /// Of every switch.
    #[serde(default, skip_serializing_if = "GateRules::is_empty")]
    gates: GateRules,
    /// Transitions that have begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    transitions: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct EndpointPlace {
    service: usize,
    pool: usize,
    index: usize,
}

impl Decision {
    /// A brain that knows no configuration yet; what `saved` remembers is taken up by the first [`Event::Configured`].
    /// A `saved` of another version is ignored: the shell should have said so.
    pub fn new(saved: Option<Saved>, now: MonoTime) -> Decision {
        let saved = saved.filter(|saved| saved.version == Saved::VERSION);
        let timeline = saved.as_ref().map(|saved| saved.timeline(now)).unwrap_or_default();
        let epoch = saved.as_ref().map_or(0, |saved| saved.epoch);
        let recent_acts = saved.as_ref().map(|saved| RecentActs::restore(&saved.acts, now)).unwrap_or_default();
        Decision {
            epoch,
            clock: now,
            services: Vec::new(),
            listeners: Vec::new(),
            directory: BTreeMap::new(),
            next_endpoint: 0,
            timeline,
            restored: saved.map(|saved| saved.services).unwrap_or_default(),
            effects: Vec::new(),
            recent_acts,
            gates: GateRules::default(),
            transitions: 0,
        }
    }

    /// The same with gates before the switches of every `active_passive` service. No key of the configuration asks for any.
    pub fn with_gates(self, gates: GateRules) -> Decision {
        Decision { gates: gates.normalized(), ..self }
    }

    /// The same in this life of the instance: its incidents are named by it.
    pub fn of_life(mut self, life: InstanceLife) -> Decision {
        self.timeline.life = Some(life);
        self
    }

    /// Take in one event; `Configured` comes first. Times of observation that lie in the future count as now.
    pub fn handle(&mut self, event: Event, now: MonoTime) {
        let now = self.at(now);
        match event {
            Event::Configured(config) => self.configure(&config, now),
            Event::Probed { endpoint, seen, began, outcome } => self.about(endpoint, now, |service, place, turn| {
                let (endpoint, rules) = service.endpoint(place.pool, place.index);
                let way = endpoint.way(|reach| reach.probed(&outcome, seen.min(turn.now)), turn.now);
                let news = endpoint.probed(rules, &outcome, seen.min(turn.now), began) || way;
                endpoint.advance(rules, turn.now, turn.effects);
                news || service.heeds_readings()
            }),
            Event::InBand { endpoint, seen, digest } => self.about(endpoint, now, |service, place, turn| {
                let (out, distrusted) = (service.is_out(), service.distrusted());
                service.callers = digest.callers.unwrap_or(service.callers);
                service.observe_few_sources(place.pool, &digest);
                let (endpoint, rules) = service.endpoint(place.pool, place.index);
                let way = endpoint.way(|reach| reach.in_band(&digest, seen.min(turn.now)), turn.now);
                endpoint.in_band(rules, &digest, seen.min(turn.now), (out, &distrusted), turn) || way
            }),
            Event::Confirmed { endpoint, seen, outcome } => self.about(endpoint, now, |service, place, turn| {
                let (endpoint, rules) = service.endpoint(place.pool, place.index);
                let way = endpoint.way(|reach| reach.connected(outcome, seen.min(turn.now)), turn.now);
                endpoint.connected(rules, outcome, turn.now) || way
            }),
            Event::ReachChecked { endpoint, seen, outcome } => self.about(endpoint, now, |service, place, turn| {
                let (endpoint, _) = service.endpoint(place.pool, place.index);
                endpoint.way(|reach| reach.connected(outcome, seen.min(turn.now)), turn.now);
                true
            }),
            Event::ShareStated { endpoint, percent } => self.about(endpoint, now, |service, place, _| {
                service.endpoint(place.pool, place.index).0.state_share(percent)
            }),
            Event::Answered { service, epoch, seen } => self.answered(&service, epoch, seen.min(now), now),
            Event::GateAnswered { transition, gate, outcome, seen } => {
                if let Some(service) = self.services.iter().position(|service| service.awaits(transition)) {
                    self.turn(service, now, |service, turn| service.gate_answered(&gate, &outcome, seen.min(turn.now)));
                }
            }
            Event::SessionsEnded { service, pool, epoch, seen } => {
                if let Some(place) = self.find(&service) {
                    self.turn(place, now, |state, turn| {
                        if turn.timeline.fenced(&service, &pool, epoch, seen.min(turn.now)) {
                            turn.effects.push(Effect::Persist);
                        }
                        state.sessions_ended(&pool, epoch)
                    });
                }
            }
            Event::Ordered { act, .. } => self.ordered(act, None, now),
            Event::ReloadRefused { act, problems, .. } => {
                self.ordered(*act, Some(ActRefusal::ConfigRefused { problems }), now);
            }
        }
    }

    /// Do what is due; to be called when [`Decision::deadline`] has come (earlier is harmless).
    pub fn tick(&mut self, now: MonoTime) {
        let now = self.at(now);
        for service in 0..self.services.len() {
            if self.services[service].deadline().is_some_and(|at| at <= now) {
                self.turn(service, now, |_, _| true);
            }
        }
    }

    /// The earliest time at which [`Decision::tick`] has something to do.
    pub fn deadline(&self) -> Option<MonoTime> {
        self.services.iter().filter_map(Service::deadline).min()
    }

    /// What the shell must do since the last call, in the fixed order: publish, sessions, probes, incidents, records.
    pub fn effects(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        effects.sort_by_key(order);
        effects.dedup_by(|a, b| a == b && matches!(a, Effect::Publish | Effect::Persist));
        effects
    }

    /// All conclusions, under the newest epoch.
    pub fn table(&self) -> Table {
        Table { epoch: self.epoch, services: self.services.iter().map(|service| service.row.clone()).collect() }
    }

    /// What is worth keeping over a restart.
    pub fn saved(&self, now: MonoTime) -> Saved {
        let now = now.max(self.clock);
        Saved { acts: self.recent_acts.save(now), ..Saved::take(self.epoch, &self.services, &self.timeline, now) }
    }

    /// The last incidents (at most 64), newest last.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.timeline.incidents.iter()
    }

    /// The state for people.
    pub fn status(&self, now: MonoTime) -> Vec<ServiceStatus> {
        self.services.iter().map(|service| service.status(now.max(self.clock))).collect()
    }

    /// The number of the newest conclusions.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The state of one service for people.
    pub fn service_status(&self, name: &Name, now: MonoTime) -> Option<ServiceStatus> {
        self.find(name).map(|service| self.services[service].status(now.max(self.clock)))
    }

    /// Is this the id of an act of the last minutes? Then it is only answered again.
    pub fn knows_act(&self, id: ActId, now: MonoTime) -> bool {
        self.recent_acts.knows(id, now.max(self.clock))
    }

    fn at(&mut self, now: MonoTime) -> MonoTime {
        self.clock = self.clock.max(now);
        self.clock
    }

    // ---- turns ----------------------------------------------------------------------------------------------------

    /// One turn about one service: take in, and if that says something new, conclude and publish.
    fn turn(&mut self, service: usize, now: MonoTime, take_in: impl FnOnce(&mut Service, &mut Turn<'_>) -> bool) {
        self.turns([(service, take_in)], now, |service, take_in, turn| take_in(service, turn));
    }

    /// One turn about each of these services, under one epoch.
    fn turns<T>(
        &mut self,
        services: impl IntoIterator<Item = (usize, T)>,
        now: MonoTime,
        mut take_in: impl FnMut(&mut Service, T, &mut Turn<'_>) -> bool,
    ) {
        let epoch = self.epoch + 1;
        let (gates, transitions) = (&self.gates, &mut self.transitions);
        let mut turn =
            Turn { now, epoch, effects: &mut self.effects, timeline: &mut self.timeline, gates, transitions };
        let mut changed = false;
        for (place, about) in services {
            let service = &mut self.services[place];
            if take_in(service, about, &mut turn) {
                changed |= service.settle(&mut turn);
                changed |= align(&mut self.services, place, &mut turn);
            }
        }
        if changed {
            self.publish(epoch);
        }
    }

    fn publish(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.effects.push(Effect::Publish);
    }

    fn about(
        &mut self,
        id: EndpointId,
        now: MonoTime,
        take_in: impl FnOnce(&mut Service, EndpointPlace, &mut Turn<'_>) -> bool,
    ) {
        if let Some(place) = self.directory.get(&id).copied() {
            self.turn(place.service, now, |service, turn| take_in(service, place, turn));
        }
    }

    fn find(&self, name: &Name) -> Option<usize> {
        self.services.iter().position(|service| service.name() == name)
    }

    // ---- configuration --------------------------------------------------------------------------------------------

    /// A configuration is always published, under one epoch for all services.
    fn configure(&mut self, config: &Arc<Config>, now: MonoTime) {
        let epoch = self.epoch + 1;
        let configs: Vec<_> = self.services.iter().map(|service| service.config.clone()).collect();
        let succession = Succession::between((&self.listeners, &configs), (&config.listeners, &config.services));
        let strangers = strangers(config, &configs, &succession);
        let mut newcomers = NewEndpoints::new(&mut self.next_endpoint, &strangers, &self.services);
        let (gates, transitions) = (&self.gates, &mut self.transitions);
        let mut turn =
            Turn { now, epoch, effects: &mut self.effects, timeline: &mut self.timeline, gates, transitions };
        let mut before: Vec<Option<Service>> = self.services.drain(..).map(Some).collect();
        let restored: BTreeMap<Name, SavedService> =
            self.restored.drain(..).rev().map(|saved| (saved.name.clone(), saved)).collect();
        for (index, wanted) in config.services.iter().enumerate() {
            let past = succession.service(index);
            let known = past.and_then(|past| Some((before.get_mut(past.service)?.take()?, past)));
            let mut service = match known {
                Some((mut service, past)) => {
                    service.reconfigure(wanted, past, &mut newcomers, &mut turn);
                    service
                }
                None => Service::appear(wanted, &mut newcomers, &turn),
            };
            if let Some(saved) = restored.get(&wanted.name) {
                service.restore(saved, now);
            }
            service.settle(&mut turn);
            self.services.push(service);
        }
        group(&mut self.services);
        for place in 0..self.services.len() {
            align(&mut self.services, place, &mut turn);
        }
        // What services that are gone have left open is cleared.
        for mut gone in before.into_iter().flatten() {
            gone.end_transition(TransitionStage::Withdrawn, &mut turn);
            conditions::clear(gone.conditions, turn.effects);
        }
        let wanted = |name: &Name| config.services.iter().any(|service| service.name == *name);
        for saved in restored.values().filter(|saved| !wanted(&saved.name)) {
            conditions::clear(saved.conditions.iter().map(|open| open.restored(&saved.name, now)), turn.effects);
        }
        self.listeners.clone_from(&config.listeners);
        self.index();
        self.publish(epoch);
        self.effects.push(Effect::Persist);
    }

    fn index(&mut self) {
        self.directory.clear();
        for (service, row) in self.services.iter().enumerate() {
            for (pool, row) in row.pools.iter().enumerate() {
                for (index, endpoint) in row.endpoints.iter().enumerate() {
                    self.directory.insert(endpoint.id, EndpointPlace { service, pool, index });
                }
            }
        }
    }

    // ---- answers and acts -----------------------------------------------------------------------------------------

    /// The first good answer after a switch closes its incident and yields the recovery time.
    fn answered(&mut self, name: &Name, epoch: u64, seen: MonoTime, now: MonoTime) {
        let Some(service) = self.find(name) else { return };
        self.turn(service, now, |service, turn| {
            if service.awaiting_answer != Some(epoch) {
                return false;
            }
            service.awaiting_answer = None;
            if let Some(incident) = turn.timeline.answered(name, epoch, seen, turn.effects) {
                let forced = incident.kind.is_forced();
                let missed =
                    incident.rto().zip(service.config.objectives.rto).filter(|(rto, goal)| forced && rto > goal);
                if forced {
                    service.missed = missed.is_some();
                }
                if let Some((rto, goal)) = missed {
                    let (rto_ms, objective_ms) = (rto.as_millis() as u64, goal.as_millis() as u64);
                    let service = name.clone();
                    turn.effects.push(Effect::Alert(Alert::ObjectiveMissed { service, rto_ms, objective_ms }));
                }
                turn.effects.push(Effect::Persist);
            }
            true
        });
    }

    /// An act is carried out or refused: one answer, after what it has brought about. One that is sent again is answered again.
    fn ordered(&mut self, act: Act, refused: Option<ActRefusal>, now: MonoTime) {
        let (outcome, repeated) = match self.recent_acts.answer(&act, now) {
            Ok(Some(outcome)) => (outcome, true),
            Err(()) => (ActOutcome::Refused(ActRefusal::IdReused), true),
            Ok(None) => {
                let outcome = refused.map_or_else(|| self.carry_out(&act, now), ActOutcome::Refused);
                self.recent_acts.answered(&act, &outcome, now);
                self.effects.push(Effect::Persist);
                (outcome, false)
            }
        };
        self.effects.push(Effect::Acted { act: act.id, outcome, repeated });
    }

    fn carry_out(&mut self, act: &Act, now: MonoTime) -> ActOutcome {
        if act.expires.is_some_and(|end| end <= now) {
            return ActOutcome::Refused(ActRefusal::Expired);
        }
        match (&act.command, act.command.service()) {
            (_, Some(name)) => match self.find(name) {
                Some(service) => self.order_one(service, act, now),
                None => ActOutcome::Refused(ActRefusal::UnknownService { service: name.clone() }),
            },
            (ActCommand::Evacuate { zone, until, partial, services }, None) => {
                let answer = act.command.check_until(now);
                let answer = answer.and_then(|()| self.evacuate(act, (zone, until.at), *partial, services, now));
                answer.unwrap_or_else(ActOutcome::Refused)
            }
            (ActCommand::Return { zone, services }, None) => {
                self.end_evacuation(zone, services, now).unwrap_or_else(ActOutcome::Refused)
            }
            // (A reload is in force when the core is told of its act.)
            _ => ActOutcome::Done,
        }
    }

    fn order_one(&mut self, service: usize, act: &Act, now: MonoTime) -> ActOutcome {
        let (actor, mut outcome) = (act.actor.clone(), ActOutcome::NoChange);
        self.turn(service, now, |service, turn| {
            outcome = service.obey(actor, &act.command, turn);
            true
        });
        outcome
    }

    /// The services of these names that have a pool in the zone. `Err`: no service has.
    fn services_in(&self, zone: &Name, names: &[Name]) -> Result<Vec<usize>, ActRefusal> {
        if !self.services.iter().any(|service| service.config.is_in(zone)) {
            return Err(ActRefusal::unknown_zone(zone, self.services.iter().map(|service| &*service.config)));
        }
        let named: HashSet<&Name> = names.iter().collect();
        // (Where a service goes that moves with another one, that one says.)
        let concerned =
            |service: &Service| service.config.is_in(zone) && named.contains(service.name()) && !service.is_led();
        Ok((0..self.services.len()).filter(|service| concerned(&self.services[*service])).collect())
    }

    /// Leave a zone with every service that is there, under one epoch. Unless `partial`, no service moves if one cannot.
    fn evacuate(
        &mut self,
        act: &Act,
        (zone, until): (&Name, MonoTime),
        partial: bool,
        names: &[Name],
        now: MonoTime,
    ) -> Result<ActOutcome, ActRefusal> {
        let mut ways = Vec::new();
        let mut stays = Vec::new();
        for service in self.services_in(zone, names)? {
            match self.services[service].way_out_of(zone) {
                Ok(way) => ways.push((service, way)),
                Err(reason) => stays.push(reason),
            }
        }
        if !stays.is_empty() && !partial {
            return Err(ActRefusal::CannotEvacuate { zone: zone.clone(), stays });
        }
        self.turns(ways, now, |service, way, turn| {
            service.evacuate(zone, until, way, &act.actor, turn);
            true
        });
        Ok(if stays.is_empty() { ActOutcome::Done } else { ActOutcome::Partly { stays } })
    }

    /// The evacuation of a zone is over: services come home by the ordinary rules.
    fn end_evacuation(&mut self, zone: &Name, names: &[Name], now: MonoTime) -> Result<ActOutcome, ActRefusal> {
        let mut ended = false;
        let services = self.services_in(zone, names)?;
        self.turns(services.into_iter().map(|service| (service, ())), now, |service, (), _| {
            let ends = service.end_evacuation(zone);
            ended |= ends;
            ends
        });
        if ended { Ok(ActOutcome::Done) } else { Err(ActRefusal::NotEvacuated { zone: zone.clone() }) }
    }
}

/// The fixed order of effects: nothing optional stands before the publish.
fn order(effect: &Effect) -> u8 {
    match effect {
        Effect::Publish => 0,
        Effect::Sessions { .. } => 1,
        Effect::ConfirmConnect { .. }
        | Effect::CheckReach { .. }
        | Effect::ProbeNow { .. }
        | Effect::ProbePace { .. } => 2,
        Effect::Incident(_) | Effect::Transition(_) | Effect::RunFence { .. } => 3,
        Effect::Standing(_) | Effect::Held { .. } | Effect::Acted { .. } | Effect::Condition(_) | Effect::Alert(_) => 4,
        Effect::Persist => 5,
    }
}
