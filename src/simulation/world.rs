//! One simulation: a virtual clock, a queue of planned events, the decision core and everything around it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::agenda::{Agenda, Due, DueKind, PlannedEvent};
use super::model_client::{ClientId, ModelClient, TrafficMix};
use super::model_endpoint::{EndpointBehaviour, ModelEndpoint, ModelEndpoints};
use super::model_request::{ServiceAnswers, Traffic, WORKERS};
use super::observer::SimulationObserver;
use crate::config::Config;
use crate::decision::{Act, ActOutcome, Decision, Effect, EndpointId, Event, Gate, GateOutcome};
use crate::routing::{DigestCursor, RoutingTable, SocketMap};
use crate::time::MonoTime;

/// What the virtual clock shows when a new process starts. Not zero: that stands for "never".
const START: MonoTime = MonoTime::from_micros(1_000_000_000);

/// A proxy before model endpoints on a virtual clock. See the [room](super).
///
/// It is not `Clone`: the counters of its routing table are shared atomics. To compare two futures, make two simulations of
/// clones of one [`Decision`] with generators of one seed.
#[derive(Debug)]
pub struct Simulation<O> {
    /// The observer.
    pub observer: O,
    pub(super) rng: Rng,
    pub(super) agenda: Agenda,
    pub(super) config: Arc<Config>,
    pub(super) core: Decision,
    /// The published table.
    pub(super) newest: Arc<RoutingTable>,
    pub(super) endpoints: ModelEndpoints,
    pub(super) traffic: Traffic,
    pub(super) clients: Vec<ModelClient>,
    pub(super) probers: BTreeMap<EndpointId, Prober>,
    pub(super) cursors: BTreeMap<EndpointId, DigestCursor>,
    pub(super) sweep_at: Option<MonoTime>,
}

/// The probes of one endpoint.
#[derive(Debug)]
pub(super) struct Prober {
    pub fast: bool,
    pub busy: bool,
    /// When the probe that is under way began.
    pub began: Option<MonoTime>,
    /// When its next probe is planned; an older plan is void.
    pub next: MonoTime,
}

/// What one step of a simulation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is planned: the clock stands still.
    Idle,
    /// Something happened.
    Happened,
    /// A wake-up of the caller came ([`Simulation::schedule`]).
    Scheduled(u64),
}

impl<O: SimulationObserver> Simulation<O> {
    /// A new process that starts with this configuration and without a state file. All endpoints are up; there is no
    /// traffic yet. The generator decides latencies, picks and jitter.
    pub fn new(config: Arc<Config>, rng: Rng, observer: O) -> Simulation<O> {
        let mut simulation = Simulation::around(Decision::new(None, START), config, START, rng, observer);
        simulation.meet_endpoints();
        simulation.start();
        simulation
    }

    /// The future of a running process: `decision` is a clone of its core at `now` on its clock, and `config` the
    /// configuration in force (the addresses of endpoints as resolved).
    ///
    /// Conclusions go on as they are. Counters of traffic, outstanding requests and connects begin empty; probes begin at
    /// the normal interval; confirming connects under way are never answered, which the core awaits no longer than a second.
    pub fn of_running(decision: Decision, config: Arc<Config>, now: MonoTime, rng: Rng, observer: O) -> Simulation<O> {
        let mut simulation = Simulation::around(decision, config, now, rng, observer);
        simulation.meet_endpoints();
        simulation.follow_endpoints();
        simulation
    }

    fn around(core: Decision, config: Arc<Config>, now: MonoTime, mut rng: Rng, observer: O) -> Simulation<O> {
        let newest = build_table(&config, &core, None, now);
        Simulation {
            observer,
            traffic: Traffic::new(&mut rng),
            rng,
            agenda: Agenda::new(now),
            config,
            core,
            newest,
            endpoints: ModelEndpoints::default(),
            clients: Vec::new(),
            probers: BTreeMap::new(),
            cursors: BTreeMap::new(),
            sweep_at: None,
        }
    }

    // ---- what there is --------------------------------------------------------------------------------------------

    /// The virtual time.
    pub fn now(&self) -> MonoTime {
        self.agenda.now
    }

    /// The generator, for what the caller leaves to chance.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The decision core: its table, incidents and status.
    pub fn decision(&self) -> &Decision {
        &self.core
    }

    /// The published routing table.
    pub fn table(&self) -> &Arc<RoutingTable> {
        &self.newest
    }

    /// The endpoint at this address. An address that the configuration has never named is up.
    pub fn endpoint(&self, address: SocketAddr) -> ModelEndpoint {
        self.endpoints.at(address)
    }

    /// What the clients of a service got so far.
    pub fn answers(&self, service: &str) -> ServiceAnswers {
        self.traffic.answers.get(service).copied().unwrap_or_default()
    }

    /// The clients, in the order in which they were added.
    pub fn clients(&self) -> &[ModelClient] {
        &self.clients
    }

    /// The clients, to change what they do from now on.
    pub fn clients_mut(&mut self) -> &mut [ModelClient] {
        &mut self.clients
    }

    // ---- traffic and faults ---------------------------------------------------------------------------------------

    /// Ordinary traffic begins after this time.
    pub fn add_traffic(&mut self, mix: TrafficMix, after: Duration) {
        self.plan(after, PlannedEvent::Mix(mix));
    }

    /// A client sends its first request after this time.
    pub fn add_client(&mut self, client: ModelClient, after: Duration) -> ClientId {
        let id = ClientId(self.clients.len());
        self.clients.push(client);
        self.plan(after, PlannedEvent::Client(id));
        id
    }

    /// The endpoint at this address behaves so from now on.
    pub fn set_behaviour(&mut self, address: SocketAddr, behaviour: EndpointBehaviour) {
        self.endpoints.set(address, ModelEndpoint { behaviour, since: self.now() });
    }

    /// The endpoint at this address behaves so for this long, and is up then, unless its behaviour is set again before.
    pub fn set_behaviour_for(&mut self, address: SocketAddr, behaviour: EndpointBehaviour, lasts: Duration) {
        self.set_behaviour(address, behaviour);
        self.plan(lasts, PlannedEvent::Repair(address, self.now()));
    }

    /// All endpoints are up from now on.
    pub fn repair_all(&mut self) {
        self.endpoints.set_all(ModelEndpoint { behaviour: EndpointBehaviour::Up, since: self.now() });
    }

    fn repair(&mut self, address: SocketAddr, since: MonoTime) {
        if self.endpoint(address).since == since {
            self.set_behaviour(address, EndpointBehaviour::Up);
        }
    }

    // ---- operators ------------------------------------------------------------------------------------------------

    /// An operator's act reaches the core now. Returns its answer.
    pub fn order(&mut self, act: Act) -> Option<ActOutcome> {
        let id = act.id;
        let effects = self.feed(Some(Event::Ordered { seen: self.now(), act }));
        effects.into_iter().find_map(|effect| match effect {
            Effect::Acted { act, outcome, .. } if act == id => Some(outcome),
            _ => None,
        })
    }

    /// A new configuration is in force now. Endpoints that it brings are up.
    pub fn reload(&mut self, config: Arc<Config>) {
        self.config = config;
        self.meet_endpoints();
        self.start();
    }

    /// The process ends and is there again after `pause` with this core, which does not know the configuration yet: requests,
    /// counters and what was planned for them are gone. `decision` gets the time of its start; it is
    /// [`Decision::new`] with what a state file would hold, or without.
    pub fn restart(&mut self, pause: Duration, decision: impl FnOnce(MonoTime) -> Decision) {
        self.agenda.restart();
        self.agenda.move_to(self.now().after(pause));
        self.traffic.clear();
        self.probers.clear();
        self.cursors.clear();
        self.sweep_at = None;
        self.core = decision(self.now());
        self.newest = build_table(&self.config, &Decision::new(None, self.now()), None, self.now());
        self.start();
    }

    /// Another value takes the place of the core, and goes on as the core was. It has to be equal: the proxy around it stays.
    pub fn replace_decision(&mut self, decision: Decision) {
        self.core = decision;
    }

    /// The core learns the configuration.
    fn start(&mut self) {
        self.feed(Some(Event::Configured(self.config.clone())));
    }

    fn meet_endpoints(&mut self) {
        let fresh = ModelEndpoint { behaviour: EndpointBehaviour::Up, since: self.now() };
        for service in &self.config.services {
            for endpoint in service.pools.iter().flat_map(|pool| pool.members.endpoints()) {
                self.endpoints.meet(endpoint.address, fresh);
            }
        }
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    pub(super) fn plan(&mut self, after: Duration, event: PlannedEvent) {
        self.agenda.plan(after, event);
    }

    /// A wake-up of the caller: after this time a step returns [`Step::Scheduled`] with this key. It survives restarts.
    pub fn schedule(&mut self, after: Duration, key: u64) {
        self.plan(after, PlannedEvent::Scheduled(key));
    }

    /// When the next thing happens.
    pub fn next_time(&self) -> Option<MonoTime> {
        [self.agenda.next(), self.core.deadline()].into_iter().flatten().min().map(|at| at.max(self.now()))
    }

    /// Moves the clock to the next thing that is due, and returns it. `None`: nothing is planned.
    ///
    /// [`step`](Simulation::step) is this and [`perform`](Simulation::perform); in between the caller may look.
    pub fn advance(&mut self) -> Option<Due> {
        let coming = self.agenda.next().unwrap_or(MonoTime::from_micros(u64::MAX));
        match self.core.deadline().filter(|deadline| *deadline <= coming) {
            Some(deadline) => {
                self.agenda.move_to(deadline);
                Some(Due(DueKind::Deadline))
            }
            None => self.agenda.take(),
        }
    }

    /// Lets happen what is due.
    pub fn perform(&mut self, due: Due) {
        match due.0 {
            DueKind::Deadline => drop(self.feed(None)),
            DueKind::Void => {}
            DueKind::Planned(event) => self.happen(event),
        }
    }

    /// One thing happens.
    pub fn step(&mut self) -> Step {
        let Some(due) = self.advance() else { return Step::Idle };
        let key = due.scheduled();
        self.perform(due);
        key.map_or(Step::Happened, Step::Scheduled)
    }

    /// Everything happens that is due before or at this time. Returns early, with its key, at a wake-up of the caller.
    pub fn run_until(&mut self, time: MonoTime) -> Option<u64> {
        while self.next_time().is_some_and(|next| next <= time) {
            if let Step::Scheduled(key) = self.step() {
                return Some(key);
            }
        }
        self.agenda.move_to(time);
        None
    }

    /// [`run_until`](Simulation::run_until) this much later.
    pub fn run_for(&mut self, span: Duration) -> Option<u64> {
        self.run_until(self.now().after(span))
    }

    fn happen(&mut self, event: PlannedEvent) {
        match event {
            PlannedEvent::Mix(mix) => self.mixed_request(mix),
            PlannedEvent::Client(client) => self.client_request(client),
            PlannedEvent::Request(id) => self.request_is_due(id),
            PlannedEvent::Sweep => self.sweep(),
            PlannedEvent::Digest(endpoint, seen, digest) => self.tell(Event::InBand { endpoint, seen, digest }),
            PlannedEvent::ProbeStart(endpoint) => self.start_probe(endpoint),
            PlannedEvent::ProbeEnd(endpoint, outcome) => self.end_probe(endpoint, outcome),
            PlannedEvent::Confirmed(endpoint, outcome) => {
                self.tell(Event::Confirmed { endpoint, seen: self.now(), outcome });
            }
            PlannedEvent::Fenced(transition) => {
                let (seen, gate, outcome) = (self.now(), Gate::FenceHook, GateOutcome::Open);
                self.tell(Event::GateAnswered { transition, seen, gate, outcome });
            }
            PlannedEvent::Answered(service, epoch, seen) => self.tell(Event::Answered { service, epoch, seen }),
            PlannedEvent::LateConnect(worker, view, choice) => self.late_connect_ends(worker, &view, choice),
            PlannedEvent::Repair(address, since) => self.repair(address, since),
            PlannedEvent::Scheduled(_) => {}
        }
    }
}

/// The routing table of what the core says.
pub(super) fn build_table(
    config: &Arc<Config>,
    core: &Decision,
    previous: Option<&RoutingTable>,
    now: MonoTime,
) -> Arc<RoutingTable> {
    let (sockets, assets) = (SocketMap::new(), Arc::default());
    Arc::new(RoutingTable::build(config, &core.table(), previous, &sockets, &assets, WORKERS, now))
}
