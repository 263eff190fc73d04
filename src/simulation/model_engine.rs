//! The control plane of a simulation: feeds the decision core, obeys its effects, probes endpoints and sweeps counters.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::agenda::{PlannedEvent, ms, scaled};
use super::observer::{DecisionTurn, DigestDelivery, SimulationObserver};
use super::world::{Prober, Simulation, build_table};
use crate::config::HealthCheck;
use crate::decision::{Effect, EndpointId, Event, ProbeOutcome};

/// How long a sweep waits after something was counted, urgently or not.
const SWEEP_AFTER: (Duration, Duration) = (ms(1), ms(50));

impl<O: SimulationObserver> Simulation<O> {
    pub(super) fn tell(&mut self, event: Event) {
        self.feed(Some(event));
    }

    /// An event (or, without one, the deadline) goes into the core, and its effects are obeyed and returned.
    pub(super) fn feed(&mut self, event: Option<Event>) -> Vec<Effect> {
        let now = self.now();
        let before = self.core.table();
        self.observer.event(event.as_ref(), now);
        match event {
            Some(event) => self.core.handle(event, now),
            None => self.core.tick(now),
        }
        let effects = self.core.effects();
        let (config, decision) = (&*self.config, &self.core);
        self.observer.turn(&DecisionTurn { config, before: &before, decision, effects: &effects, now });
        for effect in &effects {
            self.obey(effect);
        }
        effects
    }

    fn obey(&mut self, effect: &Effect) {
        match effect {
            Effect::Publish => self.publish(),
            Effect::ConfirmConnect { endpoint } => {
                let model = self.address(*endpoint).map(|address| self.endpoints.at(address));
                if let Some((after, outcome)) = model.and_then(|model| model.connect(&mut self.rng)) {
                    self.plan(after, PlannedEvent::Confirmed(*endpoint, outcome));
                }
            }
            Effect::ProbeNow { endpoint } => self.hurry_probe(*endpoint, ms(0)),
            Effect::ProbePace { endpoint, fast } => {
                if let Some(prober) = self.probers.get_mut(endpoint) {
                    prober.fast = *fast;
                }
                let pause = if *fast { self.check_of(*endpoint).map(|check| check.fast_interval) } else { None };
                if let Some(pause) = pause {
                    self.hurry_probe(*endpoint, pause);
                }
            }
            // (Nothing is run. The hook of a model says yes.)
            Effect::RunFence { transition, .. } => self.plan(ms(0), PlannedEvent::Fenced(*transition)),
            // (Reachability checks are never answered: every model endpoint can be reached, or is silent by itself.)
            Effect::CheckReach { .. }
            | Effect::Persist
            | Effect::Sessions { .. }
            | Effect::Acted { .. }
            | Effect::Held { .. }
            | Effect::Standing(_)
            | Effect::Incident(_)
            | Effect::Transition(_)
            | Effect::Condition(_)
            | Effect::Alert(_) => {}
        }
    }

    fn publish(&mut self) {
        let previous = (self.newest.epoch > 0).then_some(&*self.newest);
        let next = build_table(&self.config, &self.core, previous, self.now());
        let old = std::mem::replace(&mut self.newest, next);
        self.follow_endpoints();
        self.take_up(&old);
    }

    /// Probers and cursors follow the table.
    pub(super) fn follow_endpoints(&mut self) {
        let table = self.newest.clone();
        let pools = || table.services.iter().flat_map(|service| &service.pools);
        let listed: BTreeSet<EndpointId> = pools().flat_map(|pool| &pool.endpoints).map(|e| e.id).collect();
        self.cursors.retain(|id, _| listed.contains(id));
        let checked = || pools().filter(|pool| pool.config().health_check.is_some()).flat_map(|pool| &pool.endpoints);
        let probed: BTreeSet<EndpointId> = checked().map(|e| e.id).collect();
        self.probers.retain(|id, _| probed.contains(id));
        for endpoint in checked() {
            if !self.probers.contains_key(&endpoint.id) {
                let first = ms(self.rng.u64(..40));
                let next = self.now().after(first);
                self.probers.insert(endpoint.id, Prober { fast: false, busy: false, began: None, next });
                self.plan(first, PlannedEvent::ProbeStart(endpoint.id));
            }
        }
    }

    fn address(&self, id: EndpointId) -> Option<SocketAddr> {
        self.newest.services.iter().find_map(|service| service.find(id)).map(|endpoint| endpoint.address)
    }

    fn check_of(&self, id: EndpointId) -> Option<HealthCheck> {
        let pool = self.newest.services.iter().find_map(|service| service.pools.get(service.pool_of(id)?))?;
        pool.config().health_check.clone()
    }

    // ---- probes ---------------------------------------------------------------------------------------------------

    fn hurry_probe(&mut self, id: EndpointId, after: Duration) {
        let at = self.now().after(after);
        let Some(prober) = self.probers.get_mut(&id).filter(|prober| !prober.busy && prober.next > at) else { return };
        prober.next = at;
        self.plan(after, PlannedEvent::ProbeStart(id));
    }

    pub(super) fn start_probe(&mut self, id: EndpointId) {
        let now = self.now();
        let (Some(check), Some(address)) = (self.check_of(id), self.address(id)) else { return };
        let Some(prober) = self.probers.get_mut(&id).filter(|p| !p.busy && p.next <= now) else { return };
        (prober.busy, prober.began) = (true, Some(now));
        let (after, outcome) = self.endpoints.at(address).probe(check.timeout, &mut self.rng);
        self.plan(after, PlannedEvent::ProbeEnd(id, outcome));
    }

    pub(super) fn end_probe(&mut self, id: EndpointId, outcome: ProbeOutcome) {
        let now = self.now();
        let began = self.probers.get(&id).and_then(|prober| prober.began);
        self.tell(Event::Probed { endpoint: id, seen: now, began, outcome });
        let Some(check) = self.check_of(id) else { return };
        let Some(prober) = self.probers.get_mut(&id) else { return };
        let pause = if prober.fast { check.fast_interval } else { check.interval };
        let pause = scaled(pause, 0.9 + 0.2 * self.rng.f64());
        prober.busy = false;
        prober.next = now.after(pause);
        self.plan(pause, PlannedEvent::ProbeStart(id));
    }

    // ---- in-band --------------------------------------------------------------------------------------------------

    /// Something was counted: a sweep will find it, at once if it is urgent.
    pub(super) fn counted(&mut self, urgent: bool) {
        let after = if urgent { SWEEP_AFTER.0 } else { SWEEP_AFTER.1 };
        let at = self.now().after(after);
        if self.sweep_at.is_none_or(|planned| planned > at) {
            self.sweep_at = Some(at);
            self.plan(after, PlannedEvent::Sweep);
        }
    }

    pub(super) fn sweep(&mut self) {
        let now = self.now();
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        self.sweep_at = None;
        let table = self.newest.clone();
        let endpoints = table.services.iter().flat_map(|service| {
            let callers = service.stats.callers.count(now);
            service.pools.iter().flat_map(|pool| &pool.endpoints).map(move |endpoint| (endpoint, callers))
        });
        for (endpoint, callers) in endpoints.collect::<Vec<_>>() {
            let Some(mut digest) = endpoint.stats.take_digest(self.cursors.entry(endpoint.id).or_default()) else {
                continue;
            };
            digest.callers = Some(callers);
            let delivery = match self.rng.u8(..) {
                0..2 => DigestDelivery::Lost,
                2..10 => DigestDelivery::Late,
                _ => DigestDelivery::Immediate,
            };
            self.observer.digest(endpoint.id, &digest, delivery);
            match delivery {
                DigestDelivery::Lost => {}
                DigestDelivery::Late => {
                    let late = ms(self.rng.u64(..150));
                    self.plan(late, PlannedEvent::Digest(endpoint.id, now, digest));
                }
                DigestDelivery::Immediate => self.tell(Event::InBand { endpoint: endpoint.id, seen: now, digest }),
            }
        }
    }
}
