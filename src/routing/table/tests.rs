//! What a table takes over from the one before, what a switch means for sessions, and the publishing of both.

use std::time::Duration;

use super::*;
use crate::config::{RouteMatch, Target};
use crate::decision::{Admission, Table};
use crate::routing::fixture::{at, conclusions, config, id, listener, route, service};
use crate::routing::{BoundSocket, Handle, Published, SessionRegister, WorkerId, WorkerView};

const DRAIN: Duration = Duration::from_secs(30);

fn two_services() -> Arc<Config> {
    let listener = listener("web", vec![route(RouteMatch::default(), "b")]);
    config(vec![service("a", &[&[1, 2], &[1]]), service("b", &[&[1], &[1]])], vec![listener])
}

/// The next table, at the time of its epoch. As the core does, it says of each pool what becomes of the sessions of its earlier terms.
fn build(config: &Arc<Config>, table: &Table, previous: &RoutingTable) -> RoutingTable {
    let mut table = table.clone();
    for (row, service) in table.services.iter_mut().zip(&config.services) {
        let rule = SessionRule::of(&service.failover);
        let former = previous.services.iter().find(|former| former.config.name == service.name);
        let served = !matches!(row.serving, Serving::Starting | Serving::Down);
        for (index, pool) in row.pools.iter_mut().enumerate() {
            let former = former.and_then(|former| former.pools.iter().find(|former| former.name == pool.name));
            let left = served && !row.serving.serves(index) && former.is_some_and(|former| former.pool_term != 0);
            pool.sessions.earlier = match left {
                true => Some(rule.end(at(table.epoch))),
                false => former.and_then(|former| former.sessions.earlier),
            };
        }
    }
    RoutingTable::build(config, &table, Some(previous), &SocketMap::new(), &Arc::default(), 2, at(table.epoch))
}

fn first(config: &Arc<Config>) -> RoutingTable {
    RoutingTable::build(config, &conclusions(config, 1), None, &SocketMap::new(), &Arc::default(), 2, at(1))
}

/// Conclusions in which service 0 is served so.
fn served(config: &Config, epoch: u64, serving: Serving) -> Table {
    let mut table = conclusions(config, epoch);
    table.services[0].serving = serving;
    table
}

#[test]
fn a_publish_about_one_service_leaves_the_other_as_it_is() {
    let config = two_services();
    let one = first(&config);
    let two = build(&config, &served(&config, 2, Serving::Active(1)), &one);
    assert!(!Arc::ptr_eq(&one.services[0], &two.services[0]));
    assert!(Arc::ptr_eq(&one.services[1], &two.services[1]));
    let (ListenerTarget::Routes(before), ListenerTarget::Routes(after)) =
        (&one.listeners[0].target, &two.listeners[0].target)
    else {
        panic!()
    };
    assert!(Arc::ptr_eq(before, after));
}

#[test]
fn counters_survive_a_reload_that_moves_and_adds_things() {
    let config_1 = two_services();
    let one = first(&config_1);
    let b = Arc::clone(&config_1.services[1]);
    let mut reloaded = (*config_1).clone();
    reloaded.services = vec![Arc::new(service("new", &[&[1]])), b];
    let config_2 = Arc::new(reloaded);
    let two = build(&config_2, &conclusions(&config_2, 2), &one);
    let (before, after) = (&one.services[1], &two.services[1]);
    assert!(Arc::ptr_eq(&before.stats, &after.stats));
    assert!(Arc::ptr_eq(&before.pools[0].endpoints[0].stats, &after.pools[0].endpoints[0].stats));
    assert!(Arc::ptr_eq(&one.listeners[0].stats, &two.listeners[0].stats));
    let ListenerTarget::Routes(matcher) = &two.listeners[0].target else { panic!() };
    assert_eq!(matcher.routes()[0].service, 1);
}

#[test]
fn a_matcher_follows_its_service_to_another_place() {
    let config_1 = two_services();
    let one = first(&config_1);
    let mut reloaded = (*config_1).clone();
    reloaded.services.reverse();
    let config_2 = Arc::new(reloaded);
    let two = build(&config_2, &conclusions(&config_2, 2), &one);
    let ListenerTarget::Routes(matcher) = &two.listeners[0].target else { panic!() };
    assert_eq!(&*two.services[matcher.routes()[0].service].config.name, "b");
    assert_eq!(two.services[0].index, 0);
}

#[test]
fn a_reload_resizes_the_limits_of_a_kept_service() {
    let config_1 = two_services();
    let one = first(&config_1);
    let mut smaller = (*config_1.services[0]).clone();
    smaller.limits.max_connections = 1;
    let mut reloaded = (*config_1).clone();
    reloaded.services[0] = Arc::new(smaller);
    let config_2 = Arc::new(reloaded);
    let two = build(&config_2, &conclusions(&config_2, 2), &one);
    let limits = &two.services[0].stats.limits;
    let _held = limits.try_enter().unwrap();
    assert!(limits.try_enter().is_none());
}

#[test]
fn sockets_are_kept_until_others_are_given() {
    let config = two_services();
    let bound = |port| {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets =
            ListenerSockets::new(vec![Arc::new(BoundSocket::new(([127, 0, 0, 1], port).into(), vec![socket]))]);
        SocketMap::from([("web".into(), Arc::new(sockets))])
    };
    let one = RoutingTable::build(&config, &conclusions(&config, 1), None, &bound(1), &Arc::default(), 1, at(1));
    let two = build(&config, &conclusions(&config, 2), &one);
    assert!(Arc::ptr_eq(&one.listeners[0].sockets, &two.listeners[0].sockets));
    let three =
        RoutingTable::build(&config, &conclusions(&config, 3), Some(&two), &bound(2), &Arc::default(), 1, at(3));
    assert_eq!(three.listeners[0].sockets.bound()[0].requested.port(), 2);
    assert!(three.listeners[0].sockets.bound()[0].local.port() > 2);
}

#[test]
fn a_tcp_listener_knows_its_service() {
    let mut tcp = listener("pg", vec![]);
    tcp.target = Target::Service("b".into());
    let config = config(vec![service("a", &[&[1]]), service("b", &[&[1]])], vec![tcp]);
    assert!(matches!(first(&config).listeners[0].target, ListenerTarget::Service(1)));
}

#[test]
fn conclusions_that_are_missing_leave_a_service_starting() {
    let config = two_services();
    let table = RoutingTable::build(
        &config,
        &Table { epoch: 1, services: vec![] },
        None,
        &SocketMap::new(),
        &Arc::default(),
        1,
        at(1),
    );
    assert!(table.services.iter().all(|service| service.serving == Serving::Starting));
}

#[test]
fn the_first_answer_after_a_switch_is_awaited_over_later_publishes() {
    let config = two_services();
    let one = first(&config);
    let mut says = served(&config, 2, Serving::Active(1));
    says.services[0].awaiting_answer = Some(2);
    let two = build(&config, &says, &one);
    let late = Arc::clone(&one.services[0]);
    assert!(!late.answered(0, at(0), at(5)), "an answer under the old table is not it");
    says.epoch = 3;
    says.services[0].pools[0].endpoints[0].admission = Admission::Closed;
    let three = build(&config, &says, &two);
    assert!(!three.services[0].answered(0, at(0), at(6)), "nor one from another pool");
    assert!(two.services[0].answered(1, at(0), at(7)));
    assert!(!three.services[0].answered(1, at(0), at(8)), "the first only");
    assert_eq!(three.services[0].awaiting.as_ref().unwrap().seen(), Some(at(7)));
}

#[test]
fn a_session_ends_when_its_pool_was_left_even_if_the_pool_came_back() {
    let config = two_services();
    let one = first(&config);
    let pool_term = one.services[0].pool_term(0);
    assert_eq!(one.verdict(&pool_term, id(0, 0), at(1)), SessionVerdict::Stay { since: 1 });
    let two = build(&config, &served(&config, 2, Serving::Active(1)), &one);
    assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Drain { until: at(2).after(DRAIN) });
    let three = build(&config, &served(&config, 3, Serving::Active(0)), &two);
    assert_eq!(three.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Drain { until: at(2).after(DRAIN) });
    assert_eq!(three.verdict(&three.services[0].pool_term(0), id(0, 0), at(9)), SessionVerdict::Stay { since: 3 });
}

#[test]
fn a_service_that_goes_down_and_comes_back_keeps_its_sessions() {
    let config = two_services();
    let one = first(&config);
    let pool_term = one.services[0].pool_term(0);
    let two = build(&config, &served(&config, 2, Serving::Down), &one);
    let three = build(&config, &served(&config, 3, Serving::Active(0)), &two);
    assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });
    assert_eq!(three.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });
    let four = build(&config, &served(&config, 4, Serving::Active(1)), &two);
    assert_eq!(four.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Drain { until: at(4).after(DRAIN) });
}

#[test]
fn sessions_of_a_fenced_pool_end_and_stay_again_when_the_fence_is_taken_away() {
    let config = two_services();
    let one = first(&config);
    let register = SessionRegister::new();
    let _session = register.register(one.services[0].pool_term(0), id(0, 0), "session");
    let swept = |table: &RoutingTable| {
        let mut told = vec![];
        register.sweep(table, at(9), |_, verdict| told.push(verdict));
        told
    };
    let end = SessionAction::Drain { until: at(7) };
    let mut fenced = served(&config, 2, Serving::Active(0));
    fenced.services[0].pools[0].sessions =
        PoolSessions { present: Some(end), fence: Some(2), ..PoolSessions::default() };
    let two = build(&config, &fenced, &one);
    let pool_term = one.services[0].pool_term(0);
    assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Drain { until: at(7) });
    assert_eq!(swept(&two), [SessionVerdict::Drain { until: at(7) }]);
    let three = build(&config, &served(&config, 3, Serving::Active(0)), &two);
    assert_eq!(swept(&three), [SessionVerdict::Stay { since: 1 }]);
    assert_eq!(swept(&three), []);
}

#[test]
fn a_fenced_endpoint_has_no_session_whether_its_pool_serves_or_not() {
    let config = two_services();
    let one = first(&config);
    let pool_term = one.services[0].pool_term(0);
    for serving in [Serving::Active(0), Serving::Down] {
        let mut row = served(&config, 2, serving);
        row.services[0].pools[0].endpoints[0].fenced = true;
        let two = build(&config, &row, &one);
        assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Close);
        assert_eq!(two.verdict(&pool_term, id(0, 1), at(9)), SessionVerdict::Stay { since: 1 }, "the holder's stay");
        assert!(two.services[0].condemns(id(0, 0)) && !two.services[0].condemns(id(0, 1)));
        let three = build(&config, &served(&config, 3, Serving::Active(0)), &two);
        assert_eq!(three.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });
    }
}

#[test]
fn a_trials_session_goes_with_its_pool() {
    let config = two_services();
    let one = build(&config, &served(&config, 2, Serving::Down), &first(&config));
    let pool_term = one.services[0].pool_term(1);
    assert_eq!(pool_term.since, 0);
    assert_eq!(one.verdict(&pool_term, id(1, 0), at(9)), SessionVerdict::Stay { since: 0 });
    let chosen = build(&config, &served(&config, 3, Serving::Active(1)), &one);
    assert_eq!(chosen.verdict(&pool_term, id(1, 0), at(9)), SessionVerdict::Stay { since: 3 });
    let other = build(&config, &served(&config, 3, Serving::Active(0)), &one);
    assert!(matches!(other.verdict(&pool_term, id(1, 0), at(9)), SessionVerdict::Drain { .. }));
}

#[test]
fn a_request_sent_to_a_pool_long_left_has_its_own_time_to_finish() {
    let config = two_services();
    let one = first(&config);
    let away = build(&config, &served(&config, 2, Serving::Active(1)), &one);
    let guest = away.services[0].pool_term(0);
    assert_eq!(guest.since, 0);
    let later = build(&config, &served(&config, 3, Serving::Active(1)), &away);
    assert_eq!(later.verdict(&guest, id(0, 0), at(9_999)), SessionVerdict::Drain { until: at(9_999).after(DRAIN) });
}

#[test]
fn sessions_of_services_pools_and_policies_that_are_gone_end() {
    let config_1 = two_services();
    let one = first(&config_1);
    let (a, b) = (one.services[0].pool_term(0), one.services[1].pool_term(1));
    let mut closing = service("b", &[&[1]]);
    closing.failover.sessions = Sessions::Close;
    let config_2 = config(vec![closing], vec![]);
    let two = build(&config_2, &conclusions(&config_2, 2), &one);
    assert_eq!(two.verdict(&a, id(0, 0), at(9)), SessionVerdict::Drain { until: at(9).after(DRAIN) });
    assert_eq!(two.verdict(&b, id(1, 0), at(9)), SessionVerdict::Close);
    let mut closing = (*config_1).clone();
    let mut changed = (*closing.services[0]).clone();
    changed.failover.sessions = Sessions::Close;
    closing.services[0] = Arc::new(changed);
    let config_3 = Arc::new(closing);
    let three = build(&config_3, &served(&config_3, 3, Serving::Active(1)), &one);
    assert_eq!(three.verdict(&a, id(0, 0), at(9)), SessionVerdict::Close);
}

/// A table in which service 0 has other pools, whose endpoints keep the numbers of the same addresses.
fn with_pools(before: &RoutingTable, pools: Vec<Pool>, change: impl FnOnce(&mut Service, &mut Table)) -> RoutingTable {
    let mut next = (*before.config).clone();
    let mut service = (*next.services[0]).clone();
    service.pools = pools;
    let epoch = before.epoch + 1;
    let (mut says, mut number) = (conclusions(&next, epoch), 900);
    next.services[0] = Arc::new(service.clone());
    says.services[0].pools = conclusions(&next, epoch).services[0].pools.clone();
    for row in says.services[0].pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
        let known = before.services[0].pools.iter().flat_map(|pool| &pool.endpoints);
        number += 1;
        row.id = known.into_iter().find(|e| e.address == row.address).map_or(EndpointId(number), |e| e.id);
    }
    change(&mut service, &mut says);
    next.services[0] = Arc::new(service);
    build(&Arc::new(next), &says, before)
}

fn pools(table: &RoutingTable) -> Vec<Pool> {
    table.services[0].config.pools.clone()
}

fn members(pool: &mut Pool) -> &mut Vec<crate::config::Endpoint> {
    match &mut pool.members {
        crate::config::PoolMembers::Endpoints(members) => members,
        crate::config::PoolMembers::Static(_) => panic!("a pool of endpoints"),
    }
}

#[test]
fn sessions_on_an_endpoint_that_was_removed_replaced_or_moved_end_by_the_rule() {
    let config = two_services();
    let one = first(&config);
    let pool_term = one.services[0].pool_term(0);
    let removed = |pools: &mut Vec<Pool>| drop(members(&mut pools[0]).remove(0));
    let replaced = |pools: &mut Vec<Pool>| members(&mut pools[0])[0].address = ([10, 9, 9, 9], 80).into();
    let moved = |pools: &mut Vec<Pool>| {
        let endpoint = members(&mut pools[0]).remove(0);
        members(&mut pools[1]).push(endpoint);
    };
    for change in [removed, replaced, moved] {
        for sessions in [Sessions::Drain, Sessions::Close] {
            let mut next = pools(&one);
            change(&mut next);
            let two = with_pools(&one, next, |service, _| service.failover.sessions = sessions);
            let ended = match sessions {
                Sessions::Drain => SessionVerdict::Drain { until: at(9).after(DRAIN) },
                Sessions::Close => SessionVerdict::Close,
            };
            assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), ended);
            assert_eq!(two.verdict(&pool_term, id(0, 1), at(9)), SessionVerdict::Stay { since: 1 }, "the other stays");
        }
    }
}

#[test]
fn an_endpoint_that_moved_away_and_back_does_not_keep_its_old_sessions() {
    let one = first(&two_services());
    let pool_term = one.services[0].pool_term(0);
    let mut moved = pools(&one);
    let endpoint = members(&mut moved[0]).remove(0);
    members(&mut moved[1]).push(endpoint);
    let two = with_pools(&one, moved, |_, _| {});
    let three = with_pools(&two, pools(&one), |_, _| {});
    assert_eq!(three.services[0].pool_of(id(0, 0)), Some(0));
    assert!(matches!(three.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Drain { .. }));
    let new = three.services[0].pool_term(0);
    assert_eq!(three.verdict(&new, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });
}

#[test]
fn a_renamed_pool_and_a_renamed_service_keep_their_sessions_counters_and_connections() {
    let one = first(&two_services());
    let pool_term = one.services[0].pool_term(0);
    let (stats, endpoint) =
        (Arc::clone(&one.services[0].stats), Arc::clone(&one.services[0].pools[0].endpoints[0].stats));
    let mut renamed = pools(&one);
    renamed[0].name = "casa".into();
    let published = Published::new(one, 1);
    published.publish(with_pools(&published.load(), renamed, |_, _| {}));
    let two = published.load();
    assert_eq!(two.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });

    let again = |service: &mut Service, says: &mut Table| {
        service.name = "store".into();
        says.services[0].name = "store".into();
    };
    published.publish(with_pools(&two, pools(&two), again));
    let three = published.load();
    assert_eq!(three.verdict(&pool_term, id(0, 0), at(9)), SessionVerdict::Stay { since: 1 });
    let now = three.successor(&two.services[0]).expect("it goes on");
    assert_eq!(&*now.config.name, "store");
    assert!(Arc::ptr_eq(&now.stats, &stats) && Arc::ptr_eq(&now.pools[0].endpoints[0].stats, &endpoint));
    assert_eq!(endpoint.generation(), 0, "idle connections are used on");
}

#[test]
fn sessions_of_a_service_that_is_gone_end_by_its_own_rule() {
    let mut closing = service("b", &[&[1]]);
    closing.failover.sessions = Sessions::Close;
    let mut draining = service("c", &[&[1]]);
    draining.failover.drain_timeout = Duration::from_secs(7);
    let one = first(&config(vec![service("a", &[&[1]]), closing, draining], vec![]));
    let two_config = config(vec![service("a", &[&[1]])], vec![]);
    let two = build(&two_config, &conclusions(&two_config, 2), &one);
    let verdict = |service: usize| two.verdict(&one.services[service].pool_term(0), id(0, 0), at(9));
    assert_eq!(verdict(1), SessionVerdict::Close);
    assert_eq!(verdict(2), SessionVerdict::Drain { until: at(9).after(Duration::from_secs(7)) });
}

#[test]
fn the_sweep_finds_whom_the_verdict_is_about_once() {
    let config = two_services();
    let one = first(&config);
    let register = SessionRegister::new();
    let left = register.register(one.services[0].pool_term(0), id(0, 0), "left");
    let _stays = register.register(one.services[1].pool_term(0), id(0, 0), "stays");
    drop(register.register(one.services[0].pool_term(0), id(0, 0), "over"));
    let two = build(&config, &served(&config, 2, Serving::Active(1)), &one);
    let swept = |table: &RoutingTable| {
        let mut ended = vec![];
        register.sweep(table, at(9), |session, verdict| ended.push((*session, verdict)));
        ended
    };
    assert_eq!(swept(&two), [("left", SessionVerdict::Drain { until: at(2).after(DRAIN) })]);
    assert_eq!(swept(&two), [], "it knows already");
    assert_eq!(register.len(), 2);
    drop(left);
    assert_eq!(register.len(), 1);
}

#[test]
fn a_switch_retires_the_idle_connections_of_the_pool_it_leaves_and_no_others() {
    let config = two_services();
    let one = first(&config);
    let generations = |table: &RoutingTable| {
        let pools = table.services.iter().flat_map(|service| &service.pools);
        pools.flat_map(|pool| &pool.endpoints).map(|endpoint| endpoint.stats.generation()).collect::<Vec<_>>()
    };
    let two = build(&config, &served(&config, 2, Serving::Active(1)), &one);
    let published = Published::new(one, 1);
    published.publish(two);
    assert_eq!(generations(&published.load()), [1, 1, 0, 0, 0]);
    let three = build(&config, &served(&config, 3, Serving::Active(1)), &published.load());
    published.publish(three);
    assert_eq!(generations(&published.load()), [1, 1, 0, 0, 0]);
}

#[tokio::test]
async fn workers_wake_take_up_and_acknowledge_and_the_engine_frees() {
    let config = two_services();
    let published = Published::new(first(&config), 2);
    let views: Vec<_> = (0..2).map(|worker| WorkerView::new(Arc::clone(&published), WorkerId(worker))).collect();
    for view in &views {
        view.changed().await;
        view.catch_up(|_| {});
    }
    assert!(published.all_acknowledged(1));
    let held: Handle = views[0].current();
    let asked = Arc::clone(&held.services[0]);
    let untouched = Arc::clone(&held.services[1]);
    published.publish(build(&config, &served(&config, 2, Serving::Active(1)), &published.load()));
    assert!(!views[0].is_current(&held));
    assert!(!views[0].still_holds(&held, &asked));
    assert!(views[0].still_holds(&held, &untouched), "nothing changed about this service");
    assert_eq!(published.reap(), 1, "not acknowledged yet");
    for view in &views {
        view.changed().await;
        view.catch_up(|_| {});
    }
    assert!(published.all_acknowledged(2));
    assert_eq!(published.reap(), 1, "a request still holds it");
    drop(held);
    assert_eq!(published.reap(), 0);
}

#[tokio::test]
async fn a_poke_before_the_wait_counts() {
    let published = Published::new(first(&two_services()), 1);
    published.urgent();
    published.wait_urgent().await;
}

#[test]
fn weight_0_leaves_the_sessions_of_an_endpoint_alone() {
    for sessions in [Sessions::Close, Sessions::Drain] {
        let weighed = |weight: u32| {
            let mut service = service("a", &[&[weight, 1], &[1]]);
            service.protocol = Protocol::Tcp;
            service.failover.sessions = sessions;
            config(vec![service], Vec::new())
        };
        let one = first(&weighed(1));
        let pool_term = one.services[0].pool_term(0);
        let drained = weighed(0);
        let mut table = conclusions(&drained, 2);
        let row = &mut table.services[0].pools[0].endpoints[0];
        row.admission = Admission::Closed;
        row.standing.administrative = crate::decision::Administrative::Drain;
        let two = build(&drained, &table, &one);
        assert_eq!(two.services[0].pools[0].open(), 1);
        for place in [0, 1] {
            let verdict = two.verdict(&pool_term, id(0, place), at(2));
            assert!(matches!(verdict, SessionVerdict::Stay { .. }), "{verdict:?}");
        }
        assert!(!two.services[0].condemns(id(0, 0)));
    }
}
