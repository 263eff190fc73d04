//! One world: a simulation under noise (faults, operators, reloads, restarts), with a judge of every step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::{Config, Name, Pool};
use standfast::decision::{
    Act, ActCommand, ActId, ActUntil, Actor, Administrative, Decision, EndpointSelection, HoldScope, Saved,
};
use standfast::routing::ServiceView;
use standfast::simulation::{EndpointBehaviour, Simulation, TrafficMix};
use standfast::time::MonoTime;

use super::journal;
use super::judge::Judge;
use super::scene::{self, ZONES, ms};
use super::vigil::Vigil;

/// What the noise consists of: keys of the simulation's wake-ups.
const FAULT: u64 = 0;
const OPERATOR: u64 = 1;
const RELOAD: u64 = 2;
const RESTART: u64 = 3;

pub struct World {
    pub sim: Simulation<Judge>,
    pub vigil: Vigil,
    /// Faults, operators, reloads and restarts go on.
    pub noise: bool,
    /// Acts so far.
    acts: u64,
}

pub type Verdict = Result<(), String>;

/// Ends a judgement whose condition does not hold, with the reason.
macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}
pub(crate) use ensure;

impl World {
    pub fn new(seed: u64) -> Result<World, String> {
        let mut rng = Rng::with_seed(seed);
        let config = Arc::new(scene::config(&mut rng));
        let mut world = World::of(config.clone(), rng)?;
        let networks = 3 + (seed % 5) as u8;
        for service in &config.services {
            world.sim.add_traffic(TrafficMix::new(service.name.clone(), networks), ms(5));
        }
        for (after, noise) in [(200, FAULT), (900, OPERATOR), (2500, RELOAD), (4000, RESTART)] {
            world.sim.schedule(ms(after), noise);
        }
        Ok(world)
    }

    /// One in which nothing is planned yet.
    pub fn of(config: Arc<Config>, rng: Rng) -> Result<World, String> {
        let sim = Simulation::new(config, rng, Judge::default());
        let mut world = World { sim, vigil: Vigil::default(), noise: true, acts: 0 };
        world.judged()?;
        Ok(world)
    }

    pub fn now(&self) -> MonoTime {
        self.sim.now()
    }

    /// What the judge found since it was last looked at.
    fn judged(&mut self) -> Verdict {
        self.sim.observer.failure.take().map_or(Ok(()), Err)
    }

    /// One thing happens.
    pub fn step(&mut self) -> Verdict {
        let Some(due) = self.sim.advance() else { return Err("nothing will ever happen".to_owned()) };
        if due.is_deadline() || due.is_void() {
            self.sim.perform(due);
            return self.judged();
        }
        if self.sim.rng().u16(..) < 300 {
            self.hand_over()?;
        }
        match due.scheduled() {
            Some(noise) if self.noise => self.noise(noise)?,
            _ => self.sim.perform(due),
        }
        self.judged()?;
        self.keep_vigil()
    }

    // ---- noise ----------------------------------------------------------------------------------------------------

    fn noise(&mut self, noise: u64) -> Verdict {
        match noise {
            FAULT => {
                self.fault();
                Ok(())
            }
            OPERATOR => self.operator(),
            RELOAD => self.reload(),
            RESTART => self.restart(),
            other => Err(format!("an unknown wake-up: {other}")),
        }
    }

    /// An endpoint, or a whole pool, begins to misbehave for a while.
    fn fault(&mut self) {
        let services = self.sim.config().services.clone();
        let rng = self.sim.rng();
        let service = &services[rng.usize(..services.len())];
        let pool = &service.pools[if rng.bool() { 0 } else { rng.usize(..service.pools.len()) }];
        let behaviour = EndpointBehaviour::FAULTS[rng.usize(..EndpointBehaviour::FAULTS.len())];
        let lasts = match rng.u8(..8) {
            0 => 5 + rng.u64(..40), // a restart
            1..4 => 100 + rng.u64(..600),
            _ => 600 + rng.u64(..3500),
        };
        let whole = rng.bool();
        let endpoints = pool.members.endpoints();
        let chosen = rng.usize(..endpoints.len().max(1));
        for (_, endpoint) in endpoints.iter().enumerate().filter(|(n, _)| whole || *n == chosen) {
            self.sim.set_behaviour_for(endpoint.address, behaviour, ms(lasts));
            self.sim.observer.coverage.hit(format!("fault {behaviour:?}"));
        }
        let rng = self.sim.rng();
        let pause = if rng.u8(..4) == 0 { 4000 } else { 200 + rng.u64(..1500) };
        self.sim.schedule(ms(pause), FAULT);
    }

    fn operator(&mut self) -> Verdict {
        let pause = ms(300 + self.sim.rng().u64(..3500));
        self.sim.schedule(pause, OPERATOR);
        let services = self.sim.config().services.clone();
        let place = self.sim.rng().usize(..services.len());
        let service = services[place].name.clone();
        let pools = &services[place].pools;
        let pool = pools[self.sim.rng().usize(..pools.len())].name.clone();
        let until = self.some_time();
        let command = match self.sim.rng().u8(..20) {
            0 | 1 => ActCommand::Switchover { service, pool },
            2 => ActCommand::Failback { service },
            3 => ActCommand::Pin { service, pool, until: Some(until).filter(|_| self.acts.is_multiple_of(2)) },
            4..7 => ActCommand::Unpin { service },
            7 => ActCommand::Thaw { service },
            8 => ActCommand::Hold { service, scope: HoldScope::Elective, until },
            9 => ActCommand::Hold { service, scope: HoldScope::All, until },
            10 => ActCommand::Release { service },
            11 | 12 => self.evacuation(until),
            _ => match self.endpoint_command(until) {
                Some(command) => command,
                None => return Ok(()),
            },
        };
        self.order(command)
    }

    fn evacuation(&mut self, until: ActUntil) -> ActCommand {
        let rng = self.sim.rng();
        let (zone, partial, back) = (Name::from(ZONES[rng.usize(..ZONES.len())]), rng.bool(), rng.u8(..3) == 0);
        let services = self.services_in(&zone);
        match back {
            true => ActCommand::Return { zone, services },
            false => ActCommand::Evacuate { zone, until, partial, services },
        }
    }

    fn endpoint_command(&mut self, until: ActUntil) -> Option<ActCommand> {
        let endpoints = self.addresses();
        let rng = self.sim.rng();
        let (service, address) = endpoints.get(rng.usize(..endpoints.len().max(1)))?.clone();
        let force = rng.bool();
        Some(match rng.u8(..10) {
            0 => ActCommand::Weight { service, address, weight: 0, until: Some(until), force },
            1 => ActCommand::Weight { service, address, weight: 3, until: Some(until).filter(|_| force), force },
            2 => ActCommand::Eject { service, address, force },
            3 => ActCommand::Uneject { service, address },
            _ => {
                let states =
                    [Administrative::Drain, Administrative::Maint, Administrative::Ready, Administrative::Ready];
                let (endpoints, state) = (EndpointSelection::Address(address), states[rng.usize(..4)]);
                ActCommand::Administer { service, endpoints, state, force }
            }
        })
    }

    /// Some seconds from now.
    fn some_time(&mut self) -> ActUntil {
        let at = self.now().after(ms(500 + self.sim.rng().u64(..8000)));
        ActUntil { at, said: format!("{at:?}") }
    }

    /// The services that have a pool in this zone.
    pub fn services_in(&self, zone: &Name) -> Vec<Name> {
        let services = self.sim.config().services.iter();
        let is_in = |pool: &Pool| pool.zone.as_ref() == Some(zone);
        services.filter(|service| service.pools.iter().any(is_in)).map(|service| service.name.clone()).collect()
    }

    pub fn order(&mut self, command: ActCommand) -> Verdict {
        self.acts += 1;
        let act = Act::new(ActId(self.acts.into()), Actor::local("ada"), command);
        // While there is noise, some arrive too late, and some in time.
        let expires = match self.acts % 16 {
            3 if self.noise => Some(self.now().before(ms(1))),
            5 => Some(self.now().after(ms(1))),
            _ => None,
        };
        let act = Act { expires, ..act };
        let outcome = self.sim.order(act.clone());
        self.judged()?;
        // Some are sent again, as if the answer had been lost.
        if self.acts % 16 == 9 {
            let epoch = self.sim.table().epoch;
            let again = self.sim.order(act);
            self.judged()?;
            if again != outcome || self.sim.table().epoch != epoch {
                return Err(format!("an act that was sent again is {again:?}, after {outcome:?}"));
            }
        }
        outcome.map(drop).ok_or_else(|| "an act has no answer".to_owned())
    }

    /// Every endpoint as it is named outside: by service and address.
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        let of = |service: &Arc<ServiceView>| {
            let name = service.config.name.clone();
            let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints);
            endpoints.map(|endpoint| (name.clone(), endpoint.address)).collect::<Vec<_>>()
        };
        self.sim.table().services.iter().flat_map(of).collect()
    }

    fn reload(&mut self) -> Verdict {
        let config = self.sim.config().clone();
        let (next, what) = scene::change(&config, self.sim.rng());
        self.sim.observer.coverage.hit(format!("reload {what}"));
        let pause = ms(1000 + self.sim.rng().u64(..8000));
        self.sim.schedule(pause, RELOAD);
        self.sim.reload(Arc::new(next));
        Ok(())
    }

    /// The process is killed and starts again from its state file.
    fn restart(&mut self) -> Verdict {
        self.replay()?;
        let (saved_at, text) = self.sim.observer.saved.clone().ok_or("nothing was ever saved")?;
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let down = ms(20 + self.sim.rng().u64(..500));
        let pause = ms(3000 + self.sim.rng().u64(..12_000));
        self.sim.schedule(down + pause, RESTART);
        self.vigil = Vigil::default();
        let born_at = self.now().after(down);
        let saved = saved.aged(born_at.since(saved_at));
        self.sim.observer.restarts(&saved, born_at);
        self.sim.restart(down, |now| Decision::new(Some(saved), now));
        Ok(())
    }

    // ---- the state is plain data ----------------------------------------------------------------------------------

    /// Another process takes over in the middle: the state goes through its serialized form.
    fn hand_over(&mut self) -> Verdict {
        let taken = journal::handed_over(self.sim.decision())?;
        self.sim.replace_decision(taken);
        self.sim.observer.coverage.hit("hand-over");
        Ok(())
    }

    /// The journal of this life gives the same state again.
    pub fn replay(&mut self) -> Verdict {
        let again = self.sim.observer.replayed();
        journal::same_by_journal(&again, self.sim.decision())
    }

    pub fn run(&mut self, time: Duration) -> Verdict {
        let end = self.now().after(time);
        while self.now() < end {
            self.step()?;
        }
        Ok(())
    }
}
