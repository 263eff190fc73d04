//! Actors: client networks whose requests have a script, beside or instead of ordinary traffic. What must come of each attack and
//! each fault is in `tests/world/plays.rs`.

use std::time::Duration;

use standfast::decision::{RequestTarget, Source};
use standfast::routing::{PickChoice, RequestClass, ServiceView, TryFailure};
use standfast::wire::h1::Method;

use super::scene::ms;
use super::sim::{Ev, Verdict, World};

/// How a request of an actor ends at an endpoint; `None` = as the endpoint is, `Some(None)` = well.
pub type Fate = fn(pool: &str, endpoint: usize, target: u64) -> Option<Option<TryFailure>>;

/// One client network.
#[derive(Clone)]
pub struct Actor {
    pub source: Source,
    /// Between two requests; half as long to one and a half times as long.
    pub pause: Duration,
    pub method: Method,
    /// Its targets.
    pub targets: std::ops::Range<u64>,
    pub fate: Fate,
}

impl Actor {
    /// One that is answered as the endpoints are, from the network of this number.
    pub fn honest(network: u8, pause: Duration) -> Actor {
        let source = Source::of([203, 0, network, 1].into());
        Actor { source, pause, method: Method::Get, targets: 0..4, fate: |_, _, _| None }
    }
}

/// The cast, and how it fares.
#[derive(Default)]
pub struct Stage {
    pub actors: Vec<Actor>,
    /// Requests answered well, and the others, by actor.
    pub good: Vec<u32>,
    pub bad: Vec<u32>,
}

impl Stage {
    pub fn fate(
        &self,
        actor: usize,
        target: RequestTarget,
        view: &ServiceView,
        choice: &PickChoice,
    ) -> Option<Option<TryFailure>> {
        let pool = &view.pools[choice.pool];
        (self.actors[actor].fate)(&pool.name, choice.endpoint, target.0)
    }

    pub fn ended(&mut self, actor: usize, good: bool) {
        let list = if good { &mut self.good } else { &mut self.bad };
        list[actor] += 1;
    }
}

impl World {
    pub fn enters(&mut self, actor: Actor, after: Duration) -> usize {
        let place = self.stage.actors.len();
        self.stage.actors.push(actor);
        self.stage.good.push(0);
        self.stage.bad.push(0);
        self.plan(after, Ev::Act(place));
        place
    }

    pub fn act(&mut self, place: usize) -> Verdict {
        let actor = self.stage.actors[place].clone();
        let pause = actor.pause.mul_f64(0.5 + self.rng.f64()).max(ms(1));
        self.plan(pause, Ev::Act(place));
        let service = self.config.services[0].name.clone();
        let Some(view) = self.newest.service(&service).cloned() else { return Ok(()) };
        let request_class = RequestClass::of(actor.method, actor.method == Method::Post);
        let target = RequestTarget(self.rng.u64(actor.targets.clone()));
        self.ask(&view, request_class, actor.source, target, Some(place))
    }
}
