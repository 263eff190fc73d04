//! Simulation of a proxy on a virtual clock: the real decision core, the real routing table and the real rules of the data
//! plane before model endpoints, with model clients. It answers "if I did this now, what would happen?" without a socket.
//!
//! # What is real and what is modelled
//!
//! | real | modelled |
//! |---|---|
//! | [`Decision`](crate::decision::Decision): every conclusion and every effect | time: a virtual clock, in microseconds |
//! | [`RoutingTable`](crate::routing::RoutingTable), pick, balancing, epoch check before the first byte | endpoints: a [behaviour](EndpointBehaviour) for each address |
//! | retry rule, retry budget, hedges, connect races, leaving of condemned endpoints | probes: latency and outcome by behaviour, no protocol |
//! | outlier counters, response trackers, digests, sweeps | requests: method, target, client network; no bytes, no bodies |
//!
//! Not modelled: bytes, TLS, kernels, connections and their pools (every fourth exchange counts as one on a reused
//! connection), TCP sessions (a session is one exchange), latency estimates (an answer is late after
//! [`LATE_AFTER`]), the state file (see [`Simulation::restart`]), DNS, several instances. Reachability
//! checks are never answered. There are always two workers. Latencies are a few milliseconds of virtual time.
//!
//! # Use
//!
//! A [`Simulation`] starts as a [new process](Simulation::new) or from [a clone of a running
//! core](Simulation::of_running). It gets traffic ([`TrafficMix`], [`ModelClient`]), faults
//! ([`Simulation::set_behaviour`]), [acts](Simulation::order), [reloads](Simulation::reload) and
//! [restarts](Simulation::restart), and is stepped. An [observer](SimulationObserver) sees every event, effect, table and
//! try while it happens. The same configuration, calls and seed give the same run.
//!
//! ```
//! use std::{path::Path, sync::Arc, time::Duration};
//! use fastrand::Rng;
//! use standfast::config;
//! use standfast::simulation::{EndpointBehaviour, Simulation, TrafficMix};
//!
//! let text = "
//! listeners: [{name: web, bind: '127.0.0.1:8080', service: shop}]
//! services:
//!   shop:
//!     pools:
//!       - {name: primary, endpoints: ['10.0.0.1:80']}
//!       - {name: standby, endpoints: ['10.0.1.1:80']}
//! ";
//! let config = config::parse(text, Path::new(".")).expect("a configuration").config;
//! let mut simulation = Simulation::new(Arc::new(config), Rng::with_seed(7), ());
//! simulation.add_traffic(TrafficMix::new("shop".into(), 3), Duration::ZERO);
//! simulation.run_for(Duration::from_secs(5));
//!
//! let primary = "10.0.0.1:80".parse().expect("an address");
//! simulation.set_behaviour(primary, EndpointBehaviour::Dead);
//! simulation.run_for(Duration::from_secs(1));
//!
//! let switch = simulation.decision().incidents().last().expect("a switch");
//! assert_eq!(switch.to.as_deref(), Some("standby"));
//! let answers = simulation.answers("shop");
//! assert!(answers.good > 100 && answers.bad == 0);
//! ```
//!
//! # The way through this room
//!
//! * [`world`]: [`Simulation`]: the virtual clock, faults, acts, steps; [`agenda`]: what is planned on that clock.
//! * [`model_endpoint`], [`model_client`]: the models; [`observer`]: what a run hands out.
//! * `model_engine`: the control plane around the core: effects, probes, sweeps.
//! * `model_traffic`: a request from its arrival to the first byte of a try; `exchange_end`: how a try ends;
//!   `late_answers`: hedges and connect races; `model_request`: the values that they share.
//!
//! `tests/world` is its largest user: an oracle judges every step of 256 simulations under faults, acts, reloads and
//! restarts. See [`manual::verification`](crate::manual::verification).
pub mod agenda;
mod exchange_end;
mod late_answers;
pub mod model_client;
pub mod model_endpoint;
mod model_engine;
mod model_request;
mod model_traffic;
pub mod observer;
pub mod world;

#[cfg(test)]
mod tests;

pub use agenda::Due;
pub use model_client::{ClientId, FateRule, ModelClient, RequestFate, TrafficMix};
pub use model_endpoint::{EndpointBehaviour, ExchangeCourse, ModelEndpoint};
pub use model_request::{LATE_AFTER, REQUEST_DEADLINE, RETRY_LATER_STATUS, ServiceAnswers};
pub use observer::{
    AnswerKind, DecisionTurn, DigestDelivery, OutstandingChange, RequestEvent, SimulationObserver, TryStart,
};
pub use world::{Simulation, Step};
