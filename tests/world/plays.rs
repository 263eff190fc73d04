//! Attacks and faults, each with what must come of it: the real core and the real pure parts of the data plane, a home of two
//! endpoints, a standby of two and a page, checks that pass unless a play says otherwise. Each is played with many seeds.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::*;
use standfast::decision::{Held, Operational, Source};
use standfast::routing::TryFailure;
use standfast::simulation::{ClientId, EndpointBehaviour, FateRule, ModelClient, RETRY_LATER_STATUS, RequestFate};
use standfast::time::MonoTime;
use standfast::wire::h1::Method;

use super::fixture;
use super::oracle;
use super::scene::{self, ms};
use super::stage;
use super::world::World;

const SEEDS: u64 = 24;
/// The service has been answering for so long when the play begins.
const OVERTURE: Duration = Duration::from_secs(4);

/// What is seen of a play.
struct Play {
    world: World,
    seed: u64,
    began: MonoTime,
}

/// The shape of the README: home, standby, page; nothing random about its rules.
fn house(change: impl FnOnce(&mut Service)) -> Config {
    let mut rng = Rng::with_seed(1);
    let mut config = scene::config(&mut rng);
    let usual = fixture::service("s0", "{pools: [{name: p, endpoints: ['10.0.0.1:80']}]}").failover;
    let mut service = Service {
        mode: Mode::ActivePassive,
        failover: Failover {
            drain_timeout: config.services[0].failover.drain_timeout,
            sessions: config.services[0].failover.sessions,
            ..usual
        },
        slow_start: Duration::ZERO,
        hold_requests: Duration::ZERO,
        pools: vec![pool("home", 0), pool("standby", 1), scene::sorry()],
        ..(*config.services[0]).clone()
    };
    service.retry.cross_pool = CrossPool::Safe;
    change(&mut service);
    config.services = vec![Arc::new(service)];
    config
}

fn pool(name: &str, place: usize) -> Pool {
    Pool {
        name: name.into(),
        members: PoolMembers::Endpoints((0..2).map(|n| scene::endpoint(0, place, n)).collect()),
        health_check: Some(scene::check(&mut Rng::with_seed(3))),
        ..fixture::pool("{name: p, endpoints: ['10.0.0.1:80']}")
    }
}

impl Play {
    fn of(seed: u64, change: impl FnOnce(&mut Service)) -> Play {
        let world = World::of(Arc::new(house(change)), Rng::with_seed(seed)).expect("a world");
        let began = world.now();
        let mut play = Play { world, seed, began };
        play.world.noise = false;
        play
    }

    /// So many honest client networks, each asking once in `pause`.
    fn honest(&mut self, networks: u8, pause: Duration) {
        self.crowd(networks, |n| stage::honest(n, pause));
    }

    /// So many actors from the beginning on.
    fn crowd(&mut self, networks: u8, actor: impl Fn(u8) -> ModelClient) {
        for n in 0..networks {
            self.world.sim.add_client(actor(n), ms(u64::from(n)));
        }
    }

    /// One whose requests have a fate, after the overture.
    fn enters(&mut self, actor: ModelClient) -> ClientId {
        self.world.sim.add_client(actor, OVERTURE)
    }

    fn run(&mut self, time: Duration) {
        self.world.run(time).unwrap_or_else(|why| panic!("seed {}: {why}", self.seed));
    }

    fn overture(&mut self) {
        self.run(OVERTURE);
        assert_eq!(self.active(), "home", "seed {}", self.seed);
        self.began = self.world.now();
    }

    /// All endpoints of a pool are like this from now on; the others are well.
    fn becomes(&mut self, pool: &str, endpoints: std::ops::Range<u8>, behaviour: EndpointBehaviour) {
        let place = if pool == "home" { 0 } else { 1 };
        for n in endpoints {
            let address = scene::endpoint(0, place, n.into()).address;
            self.world.sim.set_behaviour(address, behaviour);
        }
    }

    fn active(&self) -> String {
        let active = oracle::active(&self.world.sim.decision().table().services[0]);
        active.map_or_else(|| "-".to_owned(), |pool| pool.to_string())
    }

    fn ejected(&self) -> usize {
        let table = self.world.sim.decision().table();
        let endpoints = table.services[0].pools.iter().flat_map(|pool| &pool.endpoints);
        endpoints.filter(|endpoint| endpoint.standing.operational != Operational::Healthy).count()
    }

    fn switches(&self) -> usize {
        self.world.sim.decision().incidents().count()
    }

    /// Runs until the service is there, or fails.
    fn until(&mut self, pool: &str, within: Duration) -> Duration {
        let end = self.world.now().after(within);
        while self.active() != pool {
            assert!(
                self.world.now() < end,
                "seed {}: still on {} after {within:?}: {:?}",
                self.seed,
                self.active(),
                self.world.sim.decision().status(self.world.now())
            );
            self.world.step().unwrap_or_else(|why| panic!("seed {}: {why}", self.seed));
        }
        self.world.now().since(self.began)
    }

    /// Nothing has come of it.
    fn nothing(&self) {
        let all: Vec<_> = self.world.sim.decision().incidents().collect();
        assert_eq!(self.switches(), 0, "seed {}: {all:?}", self.seed);
        assert_eq!(self.ejected(), 0, "seed {}: {:?}", self.seed, self.world.sim.decision().status(self.world.now()));
    }
}

fn network(n: u8) -> Source {
    Source::of([198, 51, n, 1].into())
}

/// Fails like this where the condition holds, and is answered well elsewhere.
fn at_fault(condition: bool, failure: TryFailure) -> RequestFate {
    if condition { RequestFate::Fails(failure) } else { RequestFate::Good }
}

fn bad_url(_: &str, _: usize, _: u64) -> RequestFate {
    RequestFate::Fails(TryFailure::Status(503))
}

fn bad_at_home(pool: &str, _: usize, _: u64) -> RequestFate {
    at_fault(pool == "home", TryFailure::Status(503))
}

/// One network that asks this often for these targets, whose requests have this fate.
fn abuser(pause: u64, targets: std::ops::Range<u64>, fate: FateRule) -> ModelClient {
    ModelClient { targets, fate, ..ModelClient::new("s0".into(), network(1), ms(pause)) }
}

/// Beside so many honest networks, each asking once in `pause`, these actors move nothing in the time.
fn moves_nothing((networks, pause): (u8, Duration), actors: &[ModelClient], time: Duration) {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(networks, pause);
        for actor in actors {
            play.enters(actor.clone());
        }
        play.overture();
        play.run(time);
        play.nothing();
    });
}

fn played(play: impl Fn(u64)) {
    (0..SEEDS).for_each(play);
}

// ---- attacks: nothing must come of them ---------------------------------------------------------------------------

#[test]
fn one_client_with_a_bad_url_moves_nothing_however_fast_it_asks() {
    for (pause, method) in [(1, Method::Get), (40, Method::Get), (2, Method::Post), (300, Method::Post)] {
        moves_nothing((5, ms(50)), &[ModelClient { method, ..abuser(pause, 90..91, bad_url) }], ms(20_000));
    }
}

#[test]
fn one_client_with_several_bad_urls_moves_nothing() {
    for fate in [bad_url, bad_at_home] {
        moves_nothing((4, ms(60)), &[abuser(5, 90..120, fate)], ms(20_000));
    }
}

#[test]
fn an_abuser_of_a_limiter_at_home_moves_nothing_though_the_standby_answers_it() {
    fn limited(pool: &str, _: usize, _: u64) -> RequestFate {
        at_fault(pool == "home", TryFailure::Status(RETRY_LATER_STATUS))
    }
    for fate in [limited, bad_at_home] {
        moves_nothing((5, ms(80)), &[abuser(4, 90..92, fate)], ms(20_000));
    }
}

#[test]
fn three_hosts_among_ten_others_move_nothing() {
    let host = |n| ModelClient { source: network(n), method: Method::Post, ..abuser(8, 90..99, bad_url) };
    moves_nothing((10, ms(100)), &[1, 2, 3].map(host), ms(20_000));
}

#[test]
fn three_addresses_of_one_network_are_one_source() {
    moves_nothing((4, ms(60)), &[(); 3].map(|()| abuser(6, 90..93, bad_at_home)), ms(15_000));
}

#[test]
fn a_query_of_death_is_not_sent_again_once_it_failed_everywhere() {
    fn deadly(_: &str, _: usize, _: u64) -> RequestFate {
        RequestFate::Fails(TryFailure::Reset)
    }
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(5, ms(40));
        let actor = play.enters(abuser(100, 90..91, deadly));
        play.overture();
        play.run(ms(9_000));
        play.nothing();
        let client = &play.world.sim.clients()[actor.0];
        let (asked, tries) = (client.good + client.bad, client.exchanges);
        // (Sent again each time it would be twice as many and more.)
        assert!(tries <= asked + 10, "seed {seed}: {asked} requests killed {tries} workers");
    });
}

#[test]
fn a_database_down_behind_both_pools_is_no_reason_to_switch() {
    for networks in [1, 6] {
        played(|seed| {
            let mut play = Play::of(seed, |_| {});
            play.crowd(networks, |n| ModelClient { source: network(n), targets: 0..3, ..stage::honest(n, ms(30)) });
            play.overture();
            play.world.sim.clients_mut().iter_mut().for_each(|actor| actor.fate = bad_url);
            play.run(ms(20_000));
            assert_eq!(play.active(), "home", "seed {seed}");
            assert_eq!(play.switches(), 0, "seed {seed}");
        });
    }
}

#[test]
fn one_abuser_uses_half_of_the_retry_budget_at_most() {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(5, ms(20));
        play.enters(abuser(2, 90..200, bad_url));
        play.overture();
        play.run(ms(12_000));
        let view = play.world.sim.table().services[0].clone();
        assert!(view.stats.budget.extra(0.2, None, play.world.now()), "seed {seed}: nothing left for others");
        play.nothing();
    });
}

#[test]
fn a_lone_caller_may_move_the_service_once_and_never_to_a_page() {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(1, ms(40));
        play.overture();
        play.world.sim.clients_mut()[0].method = Method::Post;
        play.world.sim.clients_mut()[0].fate = bad_url;
        play.run(ms(200_000));
        assert!(play.switches() <= 2, "seed {seed}: {:?}", play.world.sim.decision().incidents().collect::<Vec<_>>());
        assert_eq!(play.active(), "home", "seed {seed}: it went home, and its word counts for nothing now");
    });
}

// ---- faults: each must be found -----------------------------------------------------------------------------------

#[test]
fn a_load_balancers_posts_find_a_home_whose_check_lies_after_five() {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        let lb = ModelClient { method: Method::Post, ..stage::honest(1, ms(20)) };
        play.world.sim.add_client(lb, ms(1));
        play.overture();
        play.becomes("home", 0..2, EndpointBehaviour::FailingTraffic);
        play.until("standby", ms(1_500));
        let bad = play.world.sim.clients()[0].bad;
        // (A probe whose answer is no evidence puts it off until the next one.)
        assert!(bad <= 25, "seed {seed}: {bad} failed until two endpoints were condemned");
    });
}

#[test]
fn a_load_balancer_whose_home_fails_twice_in_ten_minutes_leaves_it_twice() {
    played(|seed| {
        let mut play = Play::of(seed, |service| service.failover.failback.hold_down = ms(5_000));
        play.honest(1, ms(20));
        play.overture();
        for _ in 0..2 {
            play.becomes("home", 0..2, EndpointBehaviour::FailingTraffic);
            play.until("standby", ms(2_000));
            play.run(ms(3_000));
            play.becomes("home", 0..2, EndpointBehaviour::Up);
            play.until("home", ms(180_000));
            play.run(ms(40_000)); // longer than the time in which it would be rolled back
        }
    });
}

#[test]
fn many_clients_find_a_home_that_fails_all() {
    for method in [Method::Get, Method::Post] {
        played(|seed| {
            let mut play = Play::of(seed, |_| {});
            play.crowd(20, |n| ModelClient { method, ..stage::honest(n, ms(100)) });
            play.overture();
            play.becomes("home", 0..2, EndpointBehaviour::FailingTraffic);
            play.until("standby", ms(800));
        });
    }
}

#[test]
fn one_request_a_minute_finds_a_home_that_fails_all_after_five() {
    played(|seed| {
        let mut play = Play::of(seed, |service| service.pools[0] = one_endpoint(pool("home", 0)));
        play.honest(1, ms(200));
        play.overture();
        play.world.sim.clients_mut()[0].pause = ms(60_000);
        play.becomes("home", 0..1, EndpointBehaviour::FailingTraffic);
        let bad = play.world.sim.clients()[0].bad;
        play.until("standby", ms(8 * 60_000));
        let asked = play.world.sim.clients()[0].bad - bad;
        assert_eq!(asked, 0, "seed {seed}: safe requests are answered by the standby meanwhile");
    });
}

fn one_endpoint(mut pool: Pool) -> Pool {
    let PoolMembers::Endpoints(endpoints) = &mut pool.members else { unreachable!() };
    endpoints.truncate(1);
    pool
}

#[test]
fn a_third_of_503_at_all_endpoints_is_found_where_the_standby_is_well() {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(12, ms(60));
        play.overture();
        play.becomes("home", 0..2, EndpointBehaviour::Shaky);
        play.until("standby", ms(10_000));
    });
}

#[test]
fn one_endpoint_of_ten_that_fails_all_is_ejected() {
    played(|seed| {
        let mut play = Play::of(seed, |service| {
            let PoolMembers::Endpoints(endpoints) = &mut service.pools[0].members else { unreachable!() };
            *endpoints = (0..10).map(|n| scene::endpoint(0, 0, n)).collect();
        });
        play.honest(8, ms(30));
        play.overture();
        play.becomes("home", 3..4, EndpointBehaviour::FailingTraffic);
        play.run(ms(2_000));
        assert_eq!((play.ejected(), play.switches()), (1, 0), "seed {seed}");
    });
}

#[test]
fn a_dead_app_behind_a_server_that_still_answers_its_files_is_found() {
    fn files(pool: &str, _: usize, target: u64) -> RequestFate {
        at_fault(pool == "home" && target > 0, TryFailure::Status(502))
    }
    for networks in [1, 10] {
        played(|seed| {
            let mut play = Play::of(seed, |_| {});
            play.crowd(networks, |n| ModelClient { targets: 0..3, ..stage::honest(n, ms(50)) });
            play.overture();
            play.world.sim.clients_mut().iter_mut().for_each(|actor| actor.fate = files);
            play.until("standby", ms(10_000));
        });
    }
}

#[test]
fn a_home_that_is_silent_behind_one_route_is_left_though_its_check_passes() {
    for networks in [1, 10] {
        played(|seed| {
            let mut play = Play::of(seed, |_| {});
            play.crowd(networks, |n| ModelClient { targets: 0..1, ..stage::honest(n, ms(30)) });
            play.overture();
            play.becomes("home", 0..2, EndpointBehaviour::Stalled);
            play.until("standby", ms(1_500));
        });
    }
}

#[test]
fn a_refused_home_is_left_at_once_by_a_single_client() {
    played(|seed| {
        let mut play = Play::of(seed, |_| {});
        play.honest(1, ms(20));
        play.overture();
        play.becomes("home", 0..2, EndpointBehaviour::Dead);
        play.until("standby", ms(600));
    });
}

// ---- pages --------------------------------------------------------------------------------------------------------

#[test]
fn a_page_is_left_with_the_first_good_answer_after_a_restart() {
    played(|seed| {
        let mut play = Play::of(seed, |service| drop(service.pools.remove(1)));
        play.honest(3, ms(20));
        play.overture();
        play.becomes("home", 0..2, EndpointBehaviour::Dead);
        play.until("sorry", ms(2_000));
        play.run(ms(3_000));
        play.becomes("home", 0..2, EndpointBehaviour::Up);
        play.began = play.world.now();
        play.until("home", ms(700));
    });
}

#[test]
fn traffic_never_takes_the_last_pool_with_endpoints() {
    played(|seed| {
        let mut play = Play::of(seed, |service| drop(service.pools.remove(1)));
        play.honest(6, ms(20));
        play.overture();
        play.becomes("home", 0..2, EndpointBehaviour::FailingTraffic);
        play.run(ms(15_000));
        assert_eq!(play.active(), "home", "seed {seed}");
    });
}

#[test]
fn why_failures_do_not_condemn_is_said() {
    let mut play = Play::of(1, |_| {});
    play.honest(5, ms(50));
    play.enters(abuser(1, 90..91, bad_at_home));
    play.overture();
    play.run(ms(5_000));
    let said = Held::ALL.iter().any(|held| play.world.sim.observer.coverage.has(&format!("held {}", held.as_str())));
    assert!(said, "nothing was said");
}
