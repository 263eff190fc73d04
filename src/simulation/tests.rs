//! What a dry run promises: the same seed gives the same run, a clone of a running core goes on, and nothing that a caller gives
//! stops it.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::config::Config;
use crate::config::fixture;
use crate::decision::{Act, ActCommand, ActId, Actor, Decision, Effect, Source, SwitchKind};
use crate::time::MonoTime;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Arc<Config> {
    with_keys("")
}

fn with_keys(keys: &str) -> Arc<Config> {
    let pools =
        "[{name: primary, endpoints: ['10.0.0.1:80', '10.0.0.2:80']}, {name: standby, endpoints: ['10.0.1.1:80']}]";
    Arc::new(fixture::with_services(vec![fixture::service("shop", &format!("{{{keys} pools: {pools}}}"))]))
}

fn running(seed: u64) -> Simulation<()> {
    let mut simulation = Simulation::new(config(), Rng::with_seed(seed), ());
    simulation.add_traffic(TrafficMix::new("shop".into(), 4), Duration::ZERO);
    simulation.run_for(5 * SECOND);
    simulation
}

fn kill_primary<O: SimulationObserver>(simulation: &mut Simulation<O>) {
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        simulation.set_behaviour(address.parse().expect("an address"), EndpointBehaviour::Dead);
    }
}

fn switchover(pool: &str) -> Act {
    let command = ActCommand::Switchover { service: "shop".into(), pool: pool.into() };
    Act::new(ActId(fastrand::u128(..)), Actor::local("ada"), command)
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let mut simulation = running(seed);
        kill_primary(&mut simulation);
        simulation.run_for(3 * SECOND);
        (simulation.decision().clone(), simulation.answers("shop"))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_clone_of_a_running_core_goes_on_where_it_was_and_leaves_the_original_alone() {
    let original = running(3);
    let before = original.decision().clone();
    let clone = (before.clone(), original.config().clone());
    let mut dry = Simulation::of_running(clone.0, clone.1, original.now(), Rng::with_seed(9), ());
    assert_eq!(dry.table().epoch, before.table().epoch);
    dry.add_traffic(TrafficMix::new("shop".into(), 4), Duration::ZERO);
    let outcome = dry.order(switchover("standby")).expect("an answer");
    assert!(!outcome.is_refused(), "{outcome:?}");
    dry.run_for(SECOND);
    let switch = dry.decision().incidents().last().expect("a switch");
    assert_eq!((switch.kind, switch.to.as_deref()), (SwitchKind::Switchover, Some("standby")));
    assert!(switch.answered.is_some(), "the standby has answered");
    assert_eq!(dry.answers("shop").bad, 0);
    assert_eq!(*original.decision(), before);
}

#[test]
fn a_clone_probes_its_endpoints_and_fails_over_without_traffic() {
    let mut original = Simulation::new(with_keys("health_check: {tcp: {}},"), Rng::with_seed(4), ());
    original.run_for(5 * SECOND);
    let (core, config) = (original.decision().clone(), original.config().clone());
    let mut dry = Simulation::of_running(core, config, original.now(), Rng::with_seed(9), ());
    kill_primary(&mut dry);
    dry.run_for(60 * SECOND);
    let switch = dry.decision().incidents().last().expect("a switch");
    assert_eq!((switch.kind, switch.to.as_deref()), (SwitchKind::Failover, Some("standby")));
}

#[test]
fn an_act_is_answered_and_a_wrong_one_refused() {
    let mut simulation = running(5);
    assert!(simulation.order(switchover("nowhere")).expect("an answer").is_refused());
    assert!(!simulation.order(switchover("standby")).expect("an answer").is_refused());
}

#[test]
fn a_restart_forgets_requests_and_goes_on_with_what_was_saved() {
    let mut simulation = running(6);
    simulation.order(switchover("standby"));
    simulation.run_for(SECOND);
    let saved = simulation.decision().saved(simulation.now());
    let began = simulation.now();
    simulation.restart(SECOND, |now| Decision::new(Some(saved.aged(SECOND)), now));
    assert_eq!(simulation.now(), began.after(SECOND));
    let before = simulation.answers("shop");
    simulation.run_for(5 * SECOND);
    assert!(simulation.answers("shop").good > before.good + 50, "the traffic goes on");
    let table = simulation.decision().table();
    assert_eq!(table.services[0].serving, crate::decision::Serving::Active(1), "and the operator's choice holds");
}

#[test]
fn a_client_has_its_fate_and_wake_ups_come_in_time() {
    let mut simulation = running(7);
    let client = ModelClient::new("shop".into(), Source::of([203, 0, 113, 1].into()), SECOND / 10);
    let failing =
        ModelClient { fate: |_, _, _| RequestFate::Fails(crate::routing::TryFailure::Status(503)), ..client.clone() };
    let stranger = ModelClient { service: "none".into(), targets: 5..5, ..client.clone() };
    let clients = [client, failing, stranger].map(|client| simulation.add_client(client, Duration::ZERO));
    let began = simulation.now();
    simulation.schedule(2 * SECOND, 42);
    assert_eq!(simulation.run_for(10 * SECOND), Some(42));
    assert_eq!(simulation.now(), began.after(2 * SECOND));
    let fared = clients.map(|id| (simulation.clients()[id.0].good > 0, simulation.clients()[id.0].bad > 0));
    assert_eq!(fared, [(true, false), (false, true), (false, false)]);
}

#[test]
fn a_fault_with_an_end_is_repaired_unless_another_follows() {
    let mut simulation = running(8);
    let [first, second] = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().expect("an address"));
    simulation.set_behaviour_for(first, EndpointBehaviour::Frozen, SECOND);
    simulation.set_behaviour_for(second, EndpointBehaviour::Frozen, SECOND);
    simulation.run_for(SECOND / 2);
    simulation.set_behaviour(second, EndpointBehaviour::Slow);
    simulation.run_for(SECOND);
    assert_eq!(simulation.endpoint(first).behaviour, EndpointBehaviour::Up);
    assert_eq!(simulation.endpoint(second).behaviour, EndpointBehaviour::Slow);
}

#[test]
fn a_reload_brings_endpoints_that_are_up() {
    let mut simulation = running(9);
    let service = fixture::service("shop", "{pools: [{name: other, endpoints: ['10.0.9.1:80']}]}");
    simulation.reload(Arc::new(fixture::with_services(vec![service])));
    let before = simulation.answers("shop");
    simulation.run_for(3 * SECOND);
    let after = simulation.answers("shop");
    assert!(after.good > before.good + 20 && after.bad <= before.bad + 1, "{before:?} {after:?}");
}

#[test]
fn the_observer_sees_every_published_table_and_every_end() {
    #[derive(Default)]
    struct Seen {
        epochs: Vec<u64>,
        ended: u64,
        at: MonoTime,
    }
    impl SimulationObserver for Seen {
        fn turn(&mut self, turn: &DecisionTurn<'_>) {
            if turn.effects.contains(&Effect::Publish) {
                self.epochs.push(turn.decision.table().epoch);
            }
        }
        fn request(&mut self, event: &RequestEvent<'_>, now: MonoTime) {
            assert!(now >= self.at, "the clock never goes back");
            self.at = now;
            self.ended += u64::from(matches!(event, RequestEvent::Ended { .. }));
        }
    }
    let mut simulation = Simulation::new(config(), Rng::with_seed(10), Seen::default());
    simulation.add_traffic(TrafficMix::new("shop".into(), 4), Duration::ZERO);
    simulation.run_for(5 * SECOND);
    kill_primary(&mut simulation);
    simulation.run_for(5 * SECOND);
    let (seen, answers) = (&simulation.observer, simulation.answers("shop"));
    assert_eq!(seen.epochs.last(), Some(&simulation.table().epoch));
    assert!(seen.epochs.is_sorted() && seen.epochs.len() > 1, "{:?}", seen.epochs);
    assert_eq!(seen.ended, answers.good + answers.bad);
}
