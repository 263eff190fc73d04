//! Picks on tables as the core publishes them.

use std::time::Duration;

use super::*;
use crate::config::{BalancePolicy, Mode, PoolMembers, Service};
use crate::decision::Admission;
use crate::routing::RoutingTable;
use crate::routing::fixture::{at, id, service, state, table};

fn want(tried: &TriedEndpoints) -> PickRequest<'_> {
    PickRequest {
        now: at(0),
        safe: true,
        trial: true,
        hash: 1,
        tried,
        avoided: &[],
        scope: PickScope::Serving,
        bold: false,
    }
}

fn counts(table: &RoutingTable, want: &PickRequest<'_>, picks: u32) -> Vec<Vec<u32>> {
    let view = &table.services[0];
    let mut counts: Vec<Vec<u32>> = view.pools.iter().map(|pool| vec![0; pool.endpoints.len()]).collect();
    let mut state = state(7);
    for n in 0..picks {
        let want = PickRequest { hash: mix(u64::from(n)), ..*want };
        match view.pick(&want, &mut state) {
            Pick::Endpoint(choice) => counts[choice.pool][choice.endpoint] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

const ALL: [BalancePolicy; 4] =
    [BalancePolicy::RoundRobin, BalancePolicy::LeastRequest, BalancePolicy::Random, BalancePolicy::HashSource];

fn with(balance: BalancePolicy, pools: &[&[u32]]) -> Service {
    Service { balance, ..service("s", pools) }
}

#[test]
fn only_the_active_pool_and_its_open_endpoints_are_picked() {
    for balance in ALL {
        let table = table(with(balance, &[&[1; 3], &[1; 4]]), |row| {
            row.serving = Serving::Active(1);
            row.pools[1].endpoints[2].admission = Admission::Closed;
        });
        let counts = counts(&table, &want(&TriedEndpoints::new()), 400);
        assert_eq!(counts[0], [0, 0, 0]);
        assert_eq!(counts[1][2], 0);
        assert!(counts[1].iter().filter(|count| **count > 40).count() == 3, "{counts:?}");
    }
}

#[test]
fn who_fails_what_is_asked_for_is_asked_only_where_nobody_else_is_left() {
    for balance in ALL {
        let table = table(with(balance.clone(), &[&[1; 3], &[1; 1]]), |_| {});
        let tried = TriedEndpoints::new();
        let avoided = [id(0, 0), id(0, 2)];
        let one_is_left = PickRequest { avoided: &avoided, ..want(&tried) };
        assert_eq!(counts(&table, &one_is_left, 100), [vec![0, 100, 0], vec![0]], "{balance:?}");
        let all = [id(0, 0), id(0, 1), id(0, 2)];
        let none_is_left = counts(&table, &PickRequest { avoided: &all, ..want(&tried) }, 400);
        assert!(none_is_left[0].iter().all(|count| *count > 40) && none_is_left[1] == [0], "{none_is_left:?}");
        let mut asked = TriedEndpoints::new();
        asked.add(id(0, 1), false);
        let view = &table.services[0];
        let second = view.pick(&PickRequest { avoided: &avoided, ..want(&asked) }, &mut state(1));
        assert!(matches!(second, Pick::Endpoint(choice) if choice.id != id(0, 1)), "{second:?}");
    }
}

#[test]
fn whoever_was_tried_comes_last_and_whoever_refused_not_at_all() {
    for balance in ALL {
        let table = table(with(balance, &[&[1; 5]]), |_| {});
        let view = &table.services[0];
        let (mut tried, mut state) = (TriedEndpoints::new(), state(1));
        for n in 0..5 {
            let Pick::Endpoint(choice) = view.pick(&want(&tried), &mut state) else { panic!() };
            assert!(!choice.again && !tried.contains(choice.id));
            tried.add(choice.id, n >= 2);
        }
        let first = (0..5).map(|place| id(0, place)).find(|id| tried.order(*id) == Some(0)).unwrap();
        let Pick::Endpoint(choice) = view.pick(&want(&tried), &mut state) else { panic!() };
        assert!(choice.again);
        assert_eq!(choice.id, first, "the one asked longest ago");
        (0..5).for_each(|place| tried.add(id(0, place), true));
        assert_eq!(view.pick(&want(&tried), &mut state), Pick::Exhausted);
    }
}

#[test]
fn a_full_endpoint_is_passed_over() {
    let mut config = service("s", &[&[1, 1]]);
    if let PoolMembers::Endpoints(endpoints) = &mut config.pools[0].members {
        endpoints.iter_mut().for_each(|endpoint| endpoint.max_connections = Some(1));
    }
    let table = table(config, |_| {});
    let view = &table.services[0];
    let tried = TriedEndpoints::new();
    let _held = view.pools[0].endpoints[0].stats.enter(Some(1)).unwrap();
    assert_eq!(counts(&table, &want(&tried), 10), [vec![0, 10]]);
    let _both = view.pools[0].endpoints[1].stats.enter(Some(1)).unwrap();
    assert_eq!(view.pick(&want(&tried), &mut state(1)), Pick::Full);
}

#[test]
fn a_safe_first_try_takes_the_trial_and_the_rest_does_not() {
    let table = table(service("s", &[&[1, 1]]), |row| row.pools[0].endpoints[0].admission = Admission::Trial);
    let view = &table.services[0];
    let (tried, mut state) = (TriedEndpoints::new(), state(1));
    let trial = |want: PickRequest<'_>, state: &mut PickState| match view.pick(&want, state) {
        Pick::Endpoint(choice) => choice.trial,
        other => panic!("{other:?}"),
    };
    (0..100).for_each(|_| view.stats.budget.request(0, at(0)));
    assert!(!trial(PickRequest { safe: false, ..want(&tried) }, &mut state));
    assert!(!trial(PickRequest { trial: false, ..want(&tried) }, &mut state));
    assert!(trial(want(&tried), &mut state));
    assert!(!trial(want(&tried), &mut state), "the gate is closed for 100 ms");
    assert!(trial(PickRequest { now: at(100), ..want(&tried) }, &mut state));
    while view.stats.budget.extra(0.2, None, at(100)) {}
    assert!(!trial(PickRequest { now: at(200), ..want(&tried) }, &mut state), "no budget for a failed trial");
}

#[test]
fn a_service_that_is_down_takes_one_trial_a_gate_and_nothing_else() {
    let table = table(service("s", &[&[1], &[1]]), |row| {
        row.serving = Serving::Down;
        row.pools[0].endpoints[0].admission = Admission::Closed;
        row.pools[1].endpoints[0].admission = Admission::Trial;
    });
    let view = &table.services[0];
    let (tried, mut state) = (TriedEndpoints::new(), state(1));
    let post = PickRequest { safe: false, ..want(&tried) };
    assert!(matches!(view.pick(&post, &mut state), Pick::Endpoint(PickChoice { pool: 1, trial: true, .. })));
    assert_eq!(view.pick(&want(&tried), &mut state), Pick::Down);
    let inside = PickRequest { scope: PickScope::PoolOf(id(0, 0)), now: at(500), ..want(&tried) };
    assert_eq!(view.pick(&inside, &mut state), Pick::Down, "it may not leave its pool");
}

#[test]
fn a_service_that_is_starting_waits() {
    let table = table(service("s", &[&[1]]), |row| row.serving = Serving::Starting);
    assert_eq!(table.services[0].pick(&want(&TriedEndpoints::new()), &mut state(1)), Pick::Wait);
}

#[test]
fn pools_share_by_weight_and_a_lost_share_goes_to_the_others() {
    for balance in ALL {
        let config = Service { mode: Mode::ActiveActive, ..with(balance.clone(), &[&[1; 2], &[1; 2], &[1; 2]]) };
        let table = table(config, |row| row.serving = Serving::Shared(vec![3, 0, 1]));
        let tried = TriedEndpoints::new();
        let by_pool: Vec<u32> = counts(&table, &want(&tried), 4000).iter().map(|pool| pool.iter().sum()).collect();
        assert_eq!(by_pool[1], 0);
        assert!((2800..3200).contains(&by_pool[0]), "{balance:?} {by_pool:?}");
        let mut tried = TriedEndpoints::new();
        tried.add(id(0, 0), true);
        tried.add(id(0, 1), true);
        let by_pool: Vec<u32> = counts(&table, &want(&tried), 100).iter().map(|pool| pool.iter().sum()).collect();
        assert_eq!(by_pool, [0, 0, 100], "whoever finds its pool exhausted asks the other");
    }
}

#[test]
fn a_static_pool_answers() {
    let mut config = service("s", &[&[1]]);
    let page = crate::config::fixture::pool("{name: p, static_response: {status: 503, body: sorry}}");
    config.pools[0].members = page.members;
    let table = table(config, |_| {});
    assert_eq!(table.services[0].pick(&want(&TriedEndpoints::new()), &mut state(1)), Pick::Static { pool: 0 });
    assert_eq!(table.services[0].pools[0].static_response().unwrap().status, 503);
}

#[test]
fn scopes_hold() {
    let table = table(service("s", &[&[1], &[1], &[1]]), |row| {
        row.serving = Serving::Active(1);
        row.pools[2].available = false;
    });
    let view = &table.services[0];
    let (tried, mut state) = (TriedEndpoints::new(), state(1));
    let mut pool = |scope| match view.pick(&PickRequest { scope, ..want(&tried) }, &mut state) {
        Pick::Endpoint(choice) => Some(choice.pool),
        Pick::Exhausted => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(pool(PickScope::PoolOf(id(1, 0))), Some(1));
    assert_eq!(pool(PickScope::PoolOf(id(0, 0))), None, "its pool serves no longer");
    assert_eq!(pool(PickScope::Beyond(id(0, 0))), Some(1));
    assert_eq!(pool(PickScope::Beyond(id(1, 0))), Some(0), "the next is not available");
}

#[test]
fn slow_start_grows_from_a_tenth_to_all() {
    for balance in ALL {
        let config = Service { slow_start: Duration::from_secs(10), ..with(balance.clone(), &[&[1, 1]]) };
        let table = table(config, |row| row.pools[0].endpoints[1].joined = Some(at(0)));
        let tried = TriedEndpoints::new();
        let share = |millis| counts(&table, &PickRequest { now: at(millis), ..want(&tried) }, 2000)[0][1];
        let (cold, middle, warm) = (share(0), share(5_000), share(10_000));
        assert!(cold < 400, "{balance:?}: {cold}");
        assert!(cold < middle && middle < 900, "{balance:?}: {middle}");
        assert!((850..1150).contains(&warm), "{balance:?}: {warm}");
    }
}

#[test]
fn the_same_hash_finds_the_same_endpoint_on_every_worker() {
    let table = table(with(BalancePolicy::HashSource, &[&[1; 9]]), |_| {});
    let tried = TriedEndpoints::new();
    for hash in 0..200 {
        let want = PickRequest { hash: mix(hash), ..want(&tried) };
        let picks: Vec<_> = (0..4).map(|seed| table.services[0].pick(&want, &mut state(seed))).collect();
        assert!(picks.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn who_is_suspected_comes_after_who_was_late() {
    for balance in ALL {
        let table = table(with(balance, &[&[1; 4]]), |row| {
            row.pools[0].endpoints.iter_mut().take(3).for_each(|endpoint| endpoint.suspected = true);
        });
        let late = &table.services[0].pools[0].endpoints[3].stats;
        late.replies().asked(at(0));
        late.replies().late(at(0));
        for millis in 0..50 {
            assert_eq!(
                counts(&table, &PickRequest { now: at(millis), ..want(&TriedEndpoints::new()) }, 10),
                [vec![0, 0, 0, 10]]
            );
        }
    }
}
