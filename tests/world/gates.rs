//! Worlds whose switches have gates: answers that come late, twice, never, or about another transition; refusals; operators, reloads
//! and restarts while a switch waits; workers that acknowledge a fence late, twice, never, or for an earlier term. Endpoints only pass or fail probes here: what traffic sees is in the other worlds.
//!
//! `STANDFAST_SEED=17 cargo test --test world gates` replays one world.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::{Config, Mode, Name};
use standfast::decision::*;
use standfast::time::MonoTime;

use super::calm::is_home;
use super::coverage::{Coverage, variant};
use super::gates_oracle::GateOracle;
use super::journal::{self, LifeJournal};
use super::oracle::endpoints_of;
use super::prove::prove;
use super::scene::{self, ms};
use super::world::{Verdict, ensure};

const SEEDS: u64 = 96;
const STEPS: u32 = 3000;
const PROBES: Duration = ms(60);
/// After the noise: the longest hold-down, a pause after a transition that was given up, and some slack.
const BOUND: Duration = Duration::from_secs(40);

/// Everything that must be seen in each run, and how often at least.
const WANTED: &[(&str, u64)] = &[
    ("Taken Failover", 100),
    ("Taken Failback", 100),
    ("Taken Switchover", 50),
    ("Taken Rollback", 10),
    ("Taken Recovery", 50),
    ("WentAhead Failover", 50),
    ("Expired Failover", 50),
    ("Expired Switchover", 10),
    ("Refused Failover", 20),
    ("Withdrawn Failover", 50),
    ("Withdrawn Failback", 10),
    ("Withdrawn Switchover", 5),
    ("Replaced Failover", 20),
    ("Replaced Failback", 5),
    ("Replaced Switchover", 5),
    ("answer late", 500),
    ("answer lost", 200),
    ("answer twice", 200),
    ("answer about another transition", 200),
    ("fence late", 300),
    ("fence lost", 100),
    ("fence twice", 100),
    ("fence of an earlier term", 100),
    ("operator while one waits", 200),
    ("act Waiting", 100),
    ("reload while one waits", 50),
    ("restart while one waits", 50),
    ("restart", 100),
    ("replay", 100),
    ("hand-over", 500),
];

#[derive(Debug)]
enum Ev {
    Probes,
    Fault,
    Repair(SocketAddr, MonoTime),
    Operator,
    Reload,
    Restart,
    /// Of this process's life.
    Answer(u32, Event),
}

struct GatedWorld {
    rng: Rng,
    now: MonoTime,
    config: Arc<Config>,
    rules: GateRules,
    core: Decision,
    oracle: GateOracle,
    coverage: Coverage,
    /// By time, then by when it was planned.
    queue: BTreeMap<(MonoTime, u64), Ev>,
    planned: u64,
    down: BTreeMap<SocketAddr, MonoTime>,
    noise: bool,
    life: u32,
    acts: u64,
    saved: Option<(MonoTime, String)>,
    born: (Option<Saved>, MonoTime),
    journal: LifeJournal,
}

fn rules(rng: &mut Rng) -> GateRules {
    let external = |name: &str| Gate::External { name: name.into() };
    let gates = match rng.u8(..4) {
        0 => vec![external("first")],
        1 => vec![external("first"), external("second")],
        2 => vec![Gate::FenceAcknowledged],
        _ => vec![Gate::FenceAcknowledged, external("first")],
    };
    GateRules {
        gates,
        limit: ms([150, 600, 1500][rng.usize(..3)]),
        at_limit: if rng.u8(..3) == 0 { LimitAction::GoAhead } else { LimitAction::GiveUp },
    }
}

impl GatedWorld {
    fn new(seed: u64) -> Result<GatedWorld, String> {
        let mut rng = Rng::with_seed(seed);
        let config = Arc::new(checked(scene::config(&mut rng), &mut rng));
        let now = MonoTime::from_micros(1_000_000_000);
        let rules = rules(&mut rng);
        let mut world = GatedWorld {
            core: Decision::new(None, now).with_gates(rules.clone()),
            oracle: GateOracle::new(rules.clone()),
            rng,
            now,
            config,
            rules,
            coverage: Coverage::default(),
            queue: BTreeMap::new(),
            planned: 0,
            down: BTreeMap::new(),
            noise: true,
            life: 0,
            acts: 0,
            saved: None,
            born: (None, now),
            journal: Vec::new(),
        };
        world.feed(Some(Event::Configured(world.config.clone())))?;
        for (after, ev) in
            [(5, Ev::Probes), (300, Ev::Fault), (900, Ev::Operator), (2500, Ev::Reload), (4000, Ev::Restart)]
        {
            world.plan(ms(after), ev);
        }
        Ok(world)
    }

    fn plan(&mut self, after: Duration, ev: Ev) {
        self.planned += 1;
        self.queue.insert((self.now.after(after), self.planned), ev);
    }

    fn step(&mut self) -> Verdict {
        let coming = self.queue.first_key_value().map_or(MonoTime::from_micros(u64::MAX), |((at, _), _)| *at);
        if let Some(deadline) = self.core.deadline().filter(|deadline| *deadline <= coming) {
            self.now = self.now.max(deadline);
            return self.feed(None);
        }
        let Some(((at, _), ev)) = self.queue.pop_first() else { return Err("nothing will happen".into()) };
        self.now = self.now.max(at);
        if self.rng.u8(..) < 4 {
            self.hand_over()?;
        }
        match ev {
            Ev::Probes => self.probes(),
            Ev::Fault => self.fault(),
            Ev::Repair(address, since) => {
                if self.down.get(&address) == Some(&since) {
                    self.down.remove(&address);
                }
                Ok(())
            }
            Ev::Answer(life, event) if life == self.life => self.feed(Some(event)),
            Ev::Answer(..) => Ok(()),
            Ev::Operator if self.noise => self.operator(),
            Ev::Reload if self.noise => self.reload(),
            Ev::Restart if self.noise => self.restart(),
            Ev::Operator | Ev::Reload | Ev::Restart => Ok(()),
        }
    }

    fn feed(&mut self, event: Option<Event>) -> Verdict {
        let before = self.core.table();
        self.oracle.hears(event.as_ref(), self.now);
        self.journal.push((self.now, event.clone()));
        match event {
            Some(event) => self.core.handle(event, self.now),
            None => self.core.tick(self.now),
        }
        let effects = self.core.effects();
        self.oracle.judge(&self.config, &before, &self.core, &effects, self.now)?;
        for effect in effects {
            match effect {
                Effect::Persist => {
                    let text = serde_json::to_string(&self.core.saved(self.now)).map_err(|error| error.to_string())?;
                    self.saved = Some((self.now, text));
                }
                Effect::Transition(record) => self.answer(&record),
                Effect::Sessions { service, pool, epoch, .. } => self.end_sessions(&service, &pool, epoch),
                Effect::Acted { outcome, .. } => self.coverage.hit(format!("act {outcome:?}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Each gate of a transition is asked for, and the answer may come as it likes.
    fn answer(&mut self, record: &TransitionRecord) {
        self.coverage.hit(format!("{} {:?}", variant(&record.stage), record.kind));
        let TransitionStage::Waiting { closed, until } = &record.stage else { return };
        let limit = until.since(self.now);
        for gate in closed.iter().filter(|gate| matches!(gate, Gate::External { .. })) {
            if self.noise && self.rng.u8(..6) == 0 {
                self.coverage.hit("answer lost");
                continue;
            }
            let refused = GateOutcome::Refused { detail: "no".into() };
            let outcome = if self.noise && self.rng.u8(..10) == 0 { refused.clone() } else { GateOutcome::Open };
            let late = self.noise && self.rng.u8(..4) == 0;
            let after = limit.mul_f64(if late { self.rng.f64() * 1.5 } else { self.rng.f64() * 0.3 });
            let answer = |transition, outcome| Event::GateAnswered {
                transition: TransitionId(transition),
                seen: self.now.after(after),
                gate: gate.clone(),
                outcome,
            };
            let (right, again) = (answer(record.id.0, outcome), answer(record.id.0, refused.clone()));
            let others = [answer(record.id.0.wrapping_sub(1), GateOutcome::Open), answer(record.id.0 + 1, refused)];
            if late {
                self.coverage.hit("answer late");
            }
            if self.rng.u8(..3) == 0 {
                self.coverage.hit("answer about another transition");
                let early = after.mul_f64(self.rng.f64());
                others.into_iter().for_each(|other| self.plan(early, Ev::Answer(self.life, other)));
            }
            self.plan(after, Ev::Answer(self.life, right));
            if self.rng.u8(..3) == 0 {
                self.coverage.hit("answer twice");
                self.plan(after + ms(1), Ev::Answer(self.life, again));
            }
        }
    }

    /// Workers say that no session is left, as it may happen.
    fn end_sessions(&mut self, service: &Name, pool: &Name, epoch: u64) {
        if self.noise && self.rng.u8(..5) == 0 {
            return self.coverage.hit("fence lost");
        }
        let late = self.noise && self.rng.u8(..3) == 0;
        let after = self.rules.limit.mul_f64(if late { self.rng.f64() * 2.0 } else { self.rng.f64() * 0.3 });
        let ended = |epoch| Event::SessionsEnded {
            service: service.clone(),
            pool: pool.clone(),
            epoch,
            seen: self.now.after(after),
        };
        let (right, again, earlier) = (ended(epoch), ended(epoch), ended(epoch.saturating_sub(1 + self.rng.u64(..3))));
        if late {
            self.coverage.hit("fence late");
        }
        if self.rng.u8(..3) == 0 {
            self.coverage.hit("fence of an earlier term");
            self.plan(after / 2, Ev::Answer(self.life, earlier));
        }
        self.plan(after, Ev::Answer(self.life, right));
        if self.rng.u8(..3) == 0 {
            self.coverage.hit("fence twice");
            self.plan(after + ms(1), Ev::Answer(self.life, again));
        }
    }

    fn probes(&mut self) -> Verdict {
        self.plan(PROBES, Ev::Probes);
        let table = self.core.table();
        for endpoint in endpoints_of(&table) {
            let outcome = match self.down.contains_key(&endpoint.address) {
                true => ProbeOutcome::Fail { kind: ProbeFailure::Reset, detail: String::new() },
                false => ProbeOutcome::Pass { latency: ms(1), reading: None },
            };
            self.feed(Some(Event::Probed { endpoint: endpoint.id, seen: self.now, began: Some(self.now), outcome }))?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Verdict {
        if !self.noise {
            return Ok(());
        }
        let services = self.config.services.clone();
        let service = &services[self.rng.usize(..services.len())];
        let pool = &service.pools[if self.rng.bool() { 0 } else { self.rng.usize(..service.pools.len()) }];
        let lasts = if self.rng.bool() { 150 + self.rng.u64(..600) } else { 500 + self.rng.u64(..4000) };
        let whole = self.rng.u8(..4) > 0;
        for endpoint in pool.members.endpoints().iter().take(if whole { usize::MAX } else { 1 }) {
            self.down.insert(endpoint.address, self.now);
            self.plan(ms(lasts), Ev::Repair(endpoint.address, self.now));
        }
        let pause = ms(200 + self.rng.u64(..2500));
        self.plan(pause, Ev::Fault);
        Ok(())
    }

    fn waits(&self) -> bool {
        self.core.status(self.now).iter().any(|status| status.transition.is_some())
    }

    fn operator(&mut self) -> Verdict {
        let pause = ms(100 + self.rng.u64(..1500));
        self.plan(pause, Ev::Operator);
        if self.waits() {
            self.coverage.hit("operator while one waits");
        }
        let services = self.config.services.clone();
        let place = self.rng.usize(..services.len());
        let service = services[place].name.clone();
        let pools = &services[place].pools;
        let pool = pools[self.rng.usize(..pools.len())].name.clone();
        let command = match self.rng.u8(..10) {
            0..3 => ActCommand::Switchover { service, pool },
            3 => ActCommand::Failback { service },
            4 => ActCommand::Pin { service, pool, until: None },
            5..9 => ActCommand::Unpin { service },
            _ => ActCommand::Thaw { service },
        };
        self.order(command)
    }

    fn order(&mut self, command: ActCommand) -> Verdict {
        self.acts += 1;
        let act = Act::new(ActId(self.acts.into()), Actor::local("ada"), command);
        self.feed(Some(Event::Ordered { seen: self.now, act }))
    }

    fn reload(&mut self) -> Verdict {
        let pause = ms(1000 + self.rng.u64(..5000));
        self.plan(pause, Ev::Reload);
        if self.waits() {
            self.coverage.hit("reload while one waits");
        }
        let next = scene::change(&self.config, &mut self.rng).0;
        self.config = Arc::new(checked(next, &mut self.rng));
        self.feed(Some(Event::Configured(self.config.clone())))
    }

    fn restart(&mut self) -> Verdict {
        self.replay()?;
        let pause = ms(2000 + self.rng.u64(..6000));
        self.plan(pause, Ev::Restart);
        self.coverage.hit("restart");
        if self.waits() {
            self.coverage.hit("restart while one waits");
        }
        let (saved_at, text) = self.saved.clone().ok_or("nothing was ever saved")?;
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        self.life += 1;
        self.now = self.now.after(ms(20 + self.rng.u64(..300)));
        let saved = saved.aged(self.now.since(saved_at));
        self.oracle.restarts();
        self.core = Decision::new(Some(saved.clone()), self.now).with_gates(self.rules.clone());
        self.born = (Some(saved), self.now);
        self.journal.clear();
        self.feed(Some(Event::Configured(self.config.clone())))
    }

    fn hand_over(&mut self) -> Verdict {
        self.core = journal::handed_over(&self.core)?;
        self.coverage.hit("hand-over");
        Ok(())
    }

    fn replay(&mut self) -> Verdict {
        let born = Decision::new(self.born.0.clone(), self.born.1).with_gates(self.rules.clone());
        self.coverage.hit("replay");
        journal::same_by_journal(&journal::replayed(born, &self.journal), &self.core)
    }

    /// All endpoints are well and every gate opens: the service comes home, and nothing waits.
    fn calm(&mut self) -> Verdict {
        self.noise = false;
        self.down.clear();
        for service in self.config.services.clone().iter() {
            self.order(ActCommand::Unpin { service: service.name.clone() })?;
        }
        let end = self.now.after(BOUND);
        while self.now < end {
            self.step()?;
        }
        for (status, config) in self.core.status(self.now).iter().zip(&self.config.services) {
            let home = is_home(config, &status.serving, status.ordered);
            ensure!(home && status.transition.is_none(), "{} is not home: {status:?}", status.name);
        }
        Ok(())
    }
}

/// One active pool, and checks everywhere.
fn checked(mut config: Config, rng: &mut Rng) -> Config {
    for service in &mut config.services {
        let service = Arc::make_mut(service);
        service.mode = Mode::ActivePassive;
        for pool in service.pools.iter_mut().filter(|pool| pool.health_check.is_none()) {
            pool.health_check = (!pool.members.endpoints().is_empty()).then(|| scene::check(rng));
        }
    }
    config
}

fn live(seed: u64) -> Result<Coverage, String> {
    let tell = |world: &GatedWorld, why: String| format!("seed {seed}, at {:?}, {:?}: {why}", world.now, world.rules);
    let mut world = GatedWorld::new(seed).map_err(|why| format!("seed {seed}, at the start: {why}"))?;
    for _ in 0..STEPS {
        world.step().map_err(|why| tell(&world, why))?;
    }
    world.calm().map_err(|why| tell(&world, why))?;
    world.replay().map_err(|why| tell(&world, why))?;
    Ok(world.coverage)
}

#[test]
fn a_switch_with_gates_waits_for_them_and_no_longer_than_its_time() {
    prove(SEEDS, live, WANTED);
}
