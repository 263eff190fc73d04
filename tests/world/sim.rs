//! One world: a virtual clock, a queue of things to come, the engine's shell around the real core, and noise.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use standfast::config::{Config, HealthCheck, Name};
use standfast::decision::{
    Act, ActCommand, ActId, Actor, Administrative, ConnectOutcome, Decision, Digest, Effect, EndpointId, Event,
    ProbeOutcome, Saved,
};
use standfast::routing::{DigestCursor, PickChoice, RoutingTable, ServiceView, SocketMap};
use standfast::time::MonoTime;

use super::conditions::ConditionJudge;
use super::coverage::Coverage;
use super::oracle::Oracle;
use super::scene::{self, ms};
use super::stage::Stage;
use super::traffic::Traffic;
use super::upstream::{Mode, Upstream};
use super::vigil::Vigil;

/// Something that will happen.
#[derive(Debug)]
pub enum Ev {
    Arrive(Name),
    /// An actor of the stage asks.
    Act(usize),
    /// The try of a request begins or ends.
    Request(u64),
    Sweep,
    Digest(EndpointId, MonoTime, Digest),
    ProbeStart(EndpointId),
    ProbeEnd(EndpointId, ProbeOutcome),
    Confirmed(EndpointId, ConnectOutcome),
    Answered(Name, u64, MonoTime),
    /// A connect that was overtaken comes to its end.
    Proof(usize, Arc<ServiceView>, PickChoice),
    Fault,
    Repair(SocketAddr, MonoTime),
    Operator,
    Reload,
    Restart,
}

/// Ordered by time, then by when it was planned.
#[derive(Debug)]
struct Planned {
    at: MonoTime,
    number: u64,
    /// Which process planned it: what an earlier one waited for is gone.
    life: u32,
    ev: Ev,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.number == other.number
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct Prober {
    fast: bool,
    busy: bool,
    /// When the probe that is under way began.
    began: Option<MonoTime>,
    /// When its next probe is planned; an older plan is void.
    next: MonoTime,
}

pub struct World {
    pub rng: Rng,
    pub now: MonoTime,
    pub config: Arc<Config>,
    pub core: Decision,
    pub newest: Arc<RoutingTable>,
    pub upstreams: BTreeMap<SocketAddr, Upstream>,
    pub traffic: Traffic,
    pub coverage: Coverage,
    pub oracle: Oracle,
    conditions: ConditionJudge,
    pub vigil: Vigil,
    /// Faults, operators, reloads and restarts go on.
    pub noise: bool,
    /// Client networks that ask.
    pub sources: u8,
    /// Requests with a script.
    pub stage: Stage,
    /// As the state file holds it.
    saved: Option<(MonoTime, String)>,
    born_of: Option<Saved>,
    born_at: MonoTime,
    journal: Vec<(MonoTime, Option<Event>)>,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    /// Acts that were told.
    acts: u64,
    life: u32,
    probers: BTreeMap<EndpointId, Prober>,
    cursors: BTreeMap<EndpointId, DigestCursor>,
    sweep_at: Option<MonoTime>,
}

pub type Verdict = Result<(), String>;

impl World {
    pub fn new(seed: u64) -> Result<World, String> {
        let mut rng = Rng::with_seed(seed);
        let config = Arc::new(scene::config(&mut rng));
        let mut world = World::of(config.clone(), rng, seed)?;
        for service in config.services.clone().iter() {
            world.plan(ms(5), Ev::Arrive(service.name.clone()));
        }
        world.plan(ms(200), Ev::Fault);
        world.plan(ms(900), Ev::Operator);
        world.plan(ms(2500), Ev::Reload);
        world.plan(ms(4000), Ev::Restart);
        Ok(world)
    }

    /// One in which nothing is planned yet.
    pub fn of(config: Arc<Config>, mut rng: Rng, seed: u64) -> Result<World, String> {
        let now = MonoTime::from_micros(1_000_000_000);
        let core = Decision::new(None, now);
        let newest =
            Arc::new(RoutingTable::build(&config, &core.table(), None, &SocketMap::new(), &Arc::default(), 2, now));
        let mut world = World {
            traffic: Traffic::new(&mut rng),
            rng,
            now,
            oracle: Oracle::new(),
            conditions: ConditionJudge::default(),
            vigil: Vigil::default(),
            config: config.clone(),
            core,
            newest,
            upstreams: BTreeMap::new(),
            coverage: Coverage::default(),
            noise: true,
            sources: 3 + (seed % 5) as u8,
            stage: Stage::default(),
            saved: None,
            born_of: None,
            born_at: now,
            journal: Vec::new(),
            queue: BinaryHeap::new(),
            planned: 0,
            acts: 0,
            life: 0,
            probers: BTreeMap::new(),
            cursors: BTreeMap::new(),
            sweep_at: None,
        };
        world.meet_upstreams();
        world.start()?;
        Ok(world)
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    pub fn plan(&mut self, after: std::time::Duration, ev: Ev) {
        self.planned += 1;
        let at = self.now.after(after);
        self.queue.push(Reverse(Planned { at, number: self.planned, life: self.life, ev }));
    }

    /// One thing happens.
    pub fn step(&mut self) -> Verdict {
        let coming = self.queue.peek().map_or(MonoTime::from_micros(u64::MAX), |planned| planned.0.at);
        if let Some(deadline) = self.core.deadline().filter(|deadline| *deadline <= coming) {
            self.now = self.now.max(deadline);
            return self.feed(None);
        }
        let Some(Reverse(planned)) = self.queue.pop() else { return Err("nothing will ever happen".to_owned()) };
        self.now = self.now.max(planned.at);
        let outlives =
            matches!(planned.ev, Ev::Arrive(_) | Ev::Fault | Ev::Repair(..) | Ev::Operator | Ev::Reload | Ev::Restart);
        if planned.life != self.life && !outlives {
            return Ok(());
        }
        if self.rng.u16(..) < 300 {
            self.hand_over()?;
        }
        self.happen(planned.ev)?;
        self.keep_vigil()
    }

    fn happen(&mut self, ev: Ev) -> Verdict {
        match ev {
            Ev::Arrive(service) => self.arrive(service),
            Ev::Request(id) => self.request(id),
            Ev::Act(actor) => self.act(actor),
            Ev::Sweep => self.sweep(),
            Ev::Digest(endpoint, seen, digest) => self.feed(Some(Event::InBand { endpoint, seen, digest })),
            Ev::ProbeStart(endpoint) => self.start_probe(endpoint),
            Ev::ProbeEnd(endpoint, outcome) => self.end_probe(endpoint, outcome),
            Ev::Confirmed(endpoint, outcome) => self.feed(Some(Event::Confirmed { endpoint, seen: self.now, outcome })),
            Ev::Answered(service, epoch, seen) => self.feed(Some(Event::Answered { service, epoch, seen })),
            Ev::Proof(worker, view, choice) => {
                self.prove(worker, &view, choice);
                Ok(())
            }
            Ev::Fault => self.fault(),
            Ev::Repair(address, since) => {
                let upstream = self.upstreams.get_mut(&address).filter(|upstream| upstream.since == since);
                if let Some(upstream) = upstream {
                    *upstream = Upstream { mode: Mode::Up, since: self.now };
                }
                Ok(())
            }
            Ev::Operator => self.operator(),
            Ev::Reload => self.reload(),
            Ev::Restart => self.restart(),
        }
    }

    // ---- the engine's shell ---------------------------------------------------------------------------------------

    /// An event (or, without one, the deadline) goes into the core, and its effects are obeyed.
    pub fn feed(&mut self, event: Option<Event>) -> Verdict {
        let before = self.core.table();
        self.oracle.hears(event.as_ref());
        self.journal.push((self.now, event.clone()));
        match event {
            Some(event) => self.core.handle(event, self.now),
            None => self.core.tick(self.now),
        }
        let effects = self.core.effects();
        for effect in &effects {
            self.coverage.effect(effect);
        }
        let suspected = self.oracle.suspected.clone();
        self.oracle.judge(&self.config, &before, &self.core, &effects, self.now)?;
        self.conditions.judge(&self.core, &effects, self.now, &mut self.coverage)?;
        self.coverage.suspicions(&suspected, &self.oracle.suspected, &effects);
        effects.into_iter().try_for_each(|effect| self.obey(effect))
    }

    fn obey(&mut self, effect: Effect) -> Verdict {
        match effect {
            Effect::Publish => self.publish()?,
            Effect::ConfirmConnect { endpoint } => {
                let answer = self.address(endpoint).and_then(|at| self.upstreams[&at].connect(&mut self.rng));
                if let Some((after, outcome)) = answer {
                    self.plan(after, Ev::Confirmed(endpoint, outcome));
                }
            }
            // (Always lost here: every upstream can be reached, or is silent by itself.)
            Effect::CheckReach { .. } => {}
            Effect::ProbeNow { endpoint } => self.hurry_probe(endpoint, ms(0)),
            Effect::ProbePace { endpoint, fast } => {
                if let Some(prober) = self.probers.get_mut(&endpoint) {
                    prober.fast = fast;
                }
                let pause = if fast { self.check_of(endpoint).map(|check| check.fast_interval) } else { None };
                if let Some(pause) = pause {
                    self.hurry_probe(endpoint, pause);
                }
            }
            Effect::Persist => {
                let text = serde_json::to_string(&self.core.saved(self.now)).map_err(|e| e.to_string())?;
                self.saved = Some((self.now, text));
            }
            Effect::Sessions { .. }
            | Effect::Acted { .. }
            | Effect::Held { .. }
            | Effect::Standing(_)
            | Effect::Incident(_)
            | Effect::Condition(_)
            | Effect::Alert(_) => {}
        }
        Ok(())
    }

    fn publish(&mut self) -> Verdict {
        let table = self.core.table();
        let previous = (self.newest.epoch > 0).then_some(&*self.newest);
        let next = RoutingTable::build(&self.config, &table, previous, &SocketMap::new(), &Arc::default(), 2, self.now);
        if next.epoch <= self.newest.epoch {
            return Err(format!("epoch {} after {}", next.epoch, self.newest.epoch));
        }
        let old = std::mem::replace(&mut self.newest, Arc::new(next));
        self.follow_endpoints();
        self.take_up(&old)
    }

    fn start(&mut self) -> Verdict {
        self.feed(Some(Event::Configured(self.config.clone())))
    }

    /// Probers and cursors follow the table.
    fn follow_endpoints(&mut self) {
        let ids: Vec<EndpointId> = self.endpoints().map(|(id, _)| id).collect();
        self.cursors.retain(|id, _| ids.contains(id));
        let checked: Vec<EndpointId> = ids.iter().copied().filter(|id| self.check_of(*id).is_some()).collect();
        self.probers.retain(|id, _| checked.contains(id));
        for id in checked {
            if !self.probers.contains_key(&id) {
                let first = ms(self.rng.u64(..40));
                self.probers.insert(id, Prober { fast: false, busy: false, began: None, next: self.now.after(first) });
                self.plan(first, Ev::ProbeStart(id));
            }
        }
    }

    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointId, SocketAddr)> + '_ {
        let pools = self.newest.services.iter().flat_map(|service| &service.pools);
        pools.flat_map(|pool| &pool.endpoints).map(|endpoint| (endpoint.id, endpoint.address))
    }

    /// Every endpoint as it is named outside: by service and address.
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        let of = |service: &Arc<ServiceView>| {
            let name = service.config.name.clone();
            let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints);
            endpoints.map(|endpoint| (name.clone(), endpoint.address)).collect::<Vec<_>>()
        };
        self.newest.services.iter().flat_map(of).collect()
    }

    fn address(&self, id: EndpointId) -> Option<SocketAddr> {
        self.endpoints().find(|(other, _)| *other == id).map(|(_, address)| address)
    }

    fn check_of(&self, id: EndpointId) -> Option<HealthCheck> {
        let pools = self.newest.services.iter().flat_map(|service| &service.pools);
        let pool = pools.into_iter().find(|pool| pool.endpoints.iter().any(|endpoint| endpoint.id == id))?;
        pool.config().health_check.clone()
    }

    // ---- probes ---------------------------------------------------------------------------------------------------

    fn hurry_probe(&mut self, id: EndpointId, after: std::time::Duration) {
        let at = self.now.after(after);
        let Some(prober) = self.probers.get_mut(&id).filter(|prober| !prober.busy && prober.next > at) else { return };
        prober.next = at;
        self.plan(after, Ev::ProbeStart(id));
    }

    fn start_probe(&mut self, id: EndpointId) -> Verdict {
        let (Some(check), Some(address)) = (self.check_of(id), self.address(id)) else { return Ok(()) };
        let Some(prober) = self.probers.get_mut(&id).filter(|p| !p.busy && p.next <= self.now) else { return Ok(()) };
        (prober.busy, prober.began) = (true, Some(self.now));
        let (after, outcome) = self.upstreams[&address].probe(check.timeout, &mut self.rng);
        self.plan(after, Ev::ProbeEnd(id, outcome));
        Ok(())
    }

    fn end_probe(&mut self, id: EndpointId, outcome: ProbeOutcome) -> Verdict {
        let began = self.probers.get(&id).and_then(|prober| prober.began);
        self.feed(Some(Event::Probed { endpoint: id, seen: self.now, began, outcome }))?;
        let Some(check) = self.check_of(id) else { return Ok(()) };
        let Some(prober) = self.probers.get_mut(&id) else { return Ok(()) };
        let pause = if prober.fast { check.fast_interval } else { check.interval };
        let pause = pause.mul_f64(0.9 + 0.2 * self.rng.f64());
        prober.busy = false;
        prober.next = self.now.after(pause);
        self.plan(pause, Ev::ProbeStart(id));
        Ok(())
    }

    // ---- in-band --------------------------------------------------------------------------------------------------

    /// Something was counted: a sweep will find it, at once if it is urgent.
    pub fn counted(&mut self, urgent: bool) {
        let after = if urgent { ms(1) } else { ms(50) };
        let at = self.now.after(after);
        if self.sweep_at.is_none_or(|planned| planned > at) {
            self.sweep_at = Some(at);
            self.plan(after, Ev::Sweep);
        }
    }

    fn sweep(&mut self) -> Verdict {
        if self.sweep_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.sweep_at = None;
        let table = self.newest.clone();
        let endpoints = table.services.iter().flat_map(|service| {
            let callers = service.stats.callers.count(self.now);
            service.pools.iter().flat_map(|pool| &pool.endpoints).map(move |endpoint| (endpoint, callers))
        });
        for (endpoint, callers) in endpoints.collect::<Vec<_>>() {
            let Some(mut digest) = endpoint.stats.take_digest(self.cursors.entry(endpoint.id).or_default()) else {
                continue;
            };
            digest.callers = Some(callers);
            self.oracle.swept(endpoint.id, &digest)?;
            match self.rng.u8(..) {
                0..2 => self.coverage.hit("digest dropped"),
                2..10 => {
                    let late = ms(self.rng.u64(..150));
                    self.plan(late, Ev::Digest(endpoint.id, self.now, digest));
                    self.coverage.hit("digest late");
                }
                _ => self.feed(Some(Event::InBand { endpoint: endpoint.id, seen: self.now, digest }))?,
            }
        }
        Ok(())
    }

    // ---- noise ----------------------------------------------------------------------------------------------------

    fn meet_upstreams(&mut self) {
        for service in &self.config.services {
            for endpoint in service.pools.iter().flat_map(|pool| pool.members.endpoints()) {
                let fresh = Upstream { mode: Mode::Up, since: self.now };
                self.upstreams.entry(endpoint.address).or_insert(fresh);
            }
        }
    }

    /// An endpoint, or a whole pool, begins to misbehave for a while.
    fn fault(&mut self) -> Verdict {
        if !self.noise {
            return Ok(());
        }
        let services = self.config.services.clone();
        let service = &services[self.rng.usize(..services.len())];
        let pool = &service.pools[if self.rng.bool() { 0 } else { self.rng.usize(..service.pools.len()) }];
        let mode = Mode::BAD[self.rng.usize(..Mode::BAD.len())];
        let lasts = match self.rng.u8(..8) {
            0 => 5 + self.rng.u64(..40), // a restart
            1..4 => 100 + self.rng.u64(..600),
            _ => 600 + self.rng.u64(..3500),
        };
        let whole = self.rng.bool();
        let endpoints = pool.members.endpoints();
        let chosen = self.rng.usize(..endpoints.len().max(1));
        for (n, endpoint) in endpoints.iter().enumerate().filter(|(n, _)| whole || *n == chosen) {
            let _ = n;
            self.upstreams.insert(endpoint.address, Upstream { mode, since: self.now });
            self.plan(ms(lasts), Ev::Repair(endpoint.address, self.now));
            self.coverage.hit(format!("fault {mode:?}"));
        }
        let pause = if self.rng.u8(..4) == 0 { 4000 } else { 200 + self.rng.u64(..1500) };
        self.plan(ms(pause), Ev::Fault);
        Ok(())
    }

    fn operator(&mut self) -> Verdict {
        if !self.noise {
            return Ok(());
        }
        let pause = ms(300 + self.rng.u64(..3500));
        self.plan(pause, Ev::Operator);
        let services = self.config.services.clone();
        let place = self.rng.usize(..services.len());
        let service = services[place].name.clone();
        let pools = &services[place].pools;
        let pool = pools[self.rng.usize(..pools.len())].name.clone();
        let command = match self.rng.u8(..12) {
            0 | 1 => ActCommand::Switchover { service, pool },
            2 => ActCommand::Failback { service },
            3 => ActCommand::Pin { service, pool },
            4..7 => ActCommand::Unpin { service },
            7 => ActCommand::Thaw { service },
            _ => {
                let endpoints = self.addresses();
                if endpoints.is_empty() {
                    return Ok(());
                }
                let (service, address) = endpoints[self.rng.usize(..endpoints.len())].clone();
                let states =
                    [Administrative::Drain, Administrative::Maint, Administrative::Ready, Administrative::Ready];
                ActCommand::Administer { service, address, state: states[self.rng.usize(..4)] }
            }
        };
        self.order(command)
    }

    pub fn order(&mut self, command: ActCommand) -> Verdict {
        self.acts += 1;
        let act = Act::new(ActId(self.acts), Actor::local("ada"), command);
        // While there is noise, some arrive too late, and some in time.
        let expires = match self.acts % 16 {
            3 if self.noise => Some(self.now.before(ms(1))),
            5 => Some(self.now.after(ms(1))),
            _ => None,
        };
        self.feed(Some(Event::Ordered { seen: self.now, act: Act { expires, ..act } }))
    }

    fn reload(&mut self) -> Verdict {
        if !self.noise {
            return Ok(());
        }
        let (next, what) = scene::change(&self.config, &mut self.rng);
        self.coverage.hit(format!("reload {what}"));
        self.config = Arc::new(next);
        self.meet_upstreams();
        let pause = ms(1000 + self.rng.u64(..8000));
        self.plan(pause, Ev::Reload);
        self.feed(Some(Event::Configured(self.config.clone())))
    }

    /// The process is killed and starts again from its state file.
    fn restart(&mut self) -> Verdict {
        if !self.noise {
            return Ok(());
        }
        self.replay()?;
        let (saved_at, text) = self.saved.clone().ok_or("nothing was ever saved")?;
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        self.coverage.hit("restart");
        self.life += 1;
        self.now = self.now.after(ms(20 + self.rng.u64(..500)));
        self.traffic.forget();
        self.probers.clear();
        self.cursors.clear();
        self.sweep_at = None;
        self.vigil = Vigil::default();
        let saved = saved.aged(self.now.since(saved_at));
        self.conditions.restarts(&saved)?;
        self.oracle.restarts(&saved);
        self.core = Decision::new(Some(saved.clone()), self.now);
        self.born_of = Some(saved);
        self.born_at = self.now;
        self.journal.clear();
        let nobody = Decision::new(None, self.now).table();
        self.newest =
            Arc::new(RoutingTable::build(&self.config, &nobody, None, &SocketMap::new(), &Arc::default(), 2, self.now));
        let pause = ms(3000 + self.rng.u64(..12_000));
        self.plan(pause, Ev::Restart);
        self.start()
    }

    // ---- the state is plain data ----------------------------------------------------------------------------------

    /// Another process takes over in the middle: the state goes through its serialized form.
    fn hand_over(&mut self) -> Verdict {
        let text = serde_json::to_string(&self.core).map_err(|error| error.to_string())?;
        let taken: Decision = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if taken != self.core {
            return Err("a deserialized state differs from the one that was serialized".to_owned());
        }
        self.core = taken;
        self.coverage.hit("hand-over");
        Ok(())
    }

    /// The journal of this life gives the same state again.
    pub fn replay(&mut self) -> Verdict {
        let mut again = Decision::new(self.born_of.clone(), self.born_at);
        for (now, event) in &self.journal {
            match event {
                Some(event) => again.handle(event.clone(), *now),
                None => again.tick(*now),
            }
            again.effects();
        }
        self.coverage.hit("replay");
        if again == self.core { Ok(()) } else { Err("the journal replayed gives another state".to_owned()) }
    }
}
