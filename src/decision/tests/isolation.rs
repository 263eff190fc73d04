//! Claims about trouble on this side: no way out of here, and nothing that comes back.

use super::*;

const STEP: Duration = Duration::from_millis(250);

fn reach(endpoint: EndpointId) -> Effect {
    Effect::CheckReach { endpoint }
}

/// A probe whose connect is not answered.
fn unanswered(rig: &mut Rig, id: u32) {
    rig.way(id, ConnectOutcome::Timeout);
    rig.fail(id);
}

/// Probes to all of them go unanswered three times, the rounds half a second apart.
fn silence(rig: &mut Rig, ids: &[u32]) {
    for _ in 0..3 {
        rig.all(ids, unanswered);
        rig.wait(Duration::from_millis(500));
    }
}

fn isolated(rig: &Rig) -> bool {
    rig.conditions().0.contains(&ConditionKind::Isolated)
}

#[test]
fn no_route_for_a_moment_is_no_evidence() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], Rig::no_route);
    assert!(rig.asked(reach, 0) && rig.asked(reach, 2), "both ways are looked at");
    rig.wait(Duration::from_millis(30));
    rig.all(&[0, 1, 2], |rig, id| rig.way(id, ConnectOutcome::Connected));
    rig.wait(secs(10));
    assert_eq!((rig.active(), rig.core.incidents().count()), ("home".to_owned(), 0));
    assert!([0, 1].iter().all(|id| rig.stands(*id).0 == Operational::Healthy));
}

#[test]
fn no_route_that_lasts_while_another_pool_is_reached_is_evidence() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], Rig::no_route);
    rig.way(2, ConnectOutcome::NoRoute);
    for _ in 0..3 {
        rig.wait(STEP);
        rig.way(2, ConnectOutcome::Connected);
        assert_eq!(rig.active(), "home");
        rig.all(&[0, 1], |rig, id| rig.way(id, ConnectOutcome::NoRoute));
    }
    rig.wait(STEP);
    assert_eq!((rig.active().as_str(), rig.stands(0)), ("away", (Operational::Unhealthy, Cause::Refused)));
    assert!(rig.last().evidence[0].detail.contains("no route"), "{:?}", rig.last().evidence);
}

#[test]
fn where_all_ways_come_back_the_first_convicts_nobody() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1, 2, 3], Rig::no_route);
    // An answer to what was asked before comes in without a way out.
    rig.wait(Duration::from_millis(5));
    rig.pass(2);
    for _ in 0..12 {
        rig.wait(STEP);
        rig.all(&[0, 1, 2, 3], |rig, id| rig.way(id, ConnectOutcome::NoRoute));
    }
    rig.effects.clear();
    rig.wait(Duration::from_millis(100));
    rig.way(2, ConnectOutcome::Connected);
    assert!(rig.asked(reach, 0), "home is looked at once more");
    rig.all(&[0, 1], |rig, id| rig.way(id, ConnectOutcome::Connected));
    rig.wait(secs(5));
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("home", 0));
}

#[test]
fn one_endpoint_without_a_route_is_avoided_and_its_pool_is_not_left() {
    let mut rig = Rig::new(|_| {});
    rig.no_route(0);
    rig.way(2, ConnectOutcome::Connected);
    rig.wait(STEP);
    rig.way(2, ConnectOutcome::Connected);
    rig.wait(secs(1));
    assert_eq!(rig.stands(0).0, Operational::Healthy, "it was not looked at since the other was reached");
    rig.way(0, ConnectOutcome::NoRoute);
    assert_eq!((rig.active().as_str(), rig.stands(0).0), ("home", Operational::Unhealthy));
    rig.all(&[0], Rig::rise);
    rig.wait(secs(1));
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
}

#[test]
fn no_route_to_anybody_moves_nothing_and_is_told() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1, 2, 3], Rig::no_route);
    rig.wait(Duration::from_millis(900));
    assert!(!isolated(&rig));
    rig.wait(secs(5));
    assert!(isolated(&rig));
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("home", 0));
    assert!(rig.stands(0).0 == Operational::Healthy && rig.stands(2).0 == Operational::Healthy);
    rig.effects.clear();
    rig.all(&[0, 1, 2, 3], Rig::pass);
    rig.wait(secs(5));
    assert!(!isolated(&rig) && rig.core.incidents().count() == 0);
}

#[test]
fn pools_that_fall_silent_together_are_not_left() {
    let mut rig = Rig::new(|_| {});
    silence(&mut rig, &[0, 1, 2, 3]);
    assert!(isolated(&rig));
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("home", 0));
    rig.wait(secs(30));
    // ARP is not answered any more: what was silence is no route.
    rig.all(&[0, 1, 2, 3], Rig::no_route);
    rig.wait(secs(30));
    assert!(rig.status().isolated);
    // Home is back first: nothing has happened.
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(1));
    assert!(!rig.status().isolated);
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("home", 0));
}

#[test]
fn the_first_that_answers_after_a_silence_of_all_serves() {
    let mut rig = Rig::new(|_| {});
    silence(&mut rig, &[0, 1, 2, 3]);
    rig.wait(secs(60));
    rig.all(&[2, 3], Rig::rise);
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("away", 1));
}

#[test]
fn a_pool_that_falls_silent_alone_is_left_as_before() {
    let mut rig = Rig::new(|_| {});
    for _ in 0..3 {
        rig.all(&[0, 1], unanswered);
        rig.all(&[2, 3], Rig::pass);
        rig.wait(Duration::from_millis(100));
    }
    assert_eq!(rig.active(), "away");
    let mut rig = Rig::new(|_| {});
    silence(&mut rig, &[0, 1]);
    assert_eq!(rig.active(), "away", "the other pool was not checked, and was well");
}

#[test]
fn pools_that_fall_at_different_times_are_no_trouble_of_ours() {
    let mut rig = Rig::new(|_| {});
    silence(&mut rig, &[2, 3]);
    rig.wait(secs(60));
    silence(&mut rig, &[0, 1]);
    assert!(!isolated(&rig));
    assert_eq!(rig.core.incidents().count(), 1);
}

#[test]
fn where_the_network_says_unreachable_the_other_pool_is_asked_before_it_gets_the_service() {
    let unreachable = |rig: &mut Rig| {
        for id in [0, 1] {
            rig.fails(id, Failure::Refused, 1);
            rig.confirmed(id, ConnectOutcome::Unreachable);
        }
        rig.wait(DOUBT);
        rig.all(&[0, 1], |rig, id| rig.confirmed(id, ConnectOutcome::Unreachable));
    };
    let mut rig = Rig::new(|_| {});
    unreachable(&mut rig);
    assert!(rig.asked(reach, 2));
    assert_eq!(rig.active(), "home");
    rig.way(2, ConnectOutcome::Connected);
    assert_eq!(rig.active(), "away");

    let mut rig = Rig::new(|_| {});
    unreachable(&mut rig);
    rig.way(2, ConnectOutcome::Unreachable);
    rig.wait(secs(10));
    assert!(isolated(&rig));
    assert_eq!((rig.active().as_str(), rig.core.incidents().count()), ("home", 0));

    let mut rig = Rig::new(|_| {});
    unreachable(&mut rig);
    rig.wait(secs(1));
    assert_eq!(rig.active(), "away", "an answer that is lost is not waited for");
}

#[test]
fn shares_stay_where_they_are_while_no_pool_can_be_reached() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    silence(&mut rig, &[0, 1, 2, 3]);
    assert!(isolated(&rig) && rig.status().isolated);
    assert_eq!((rig.serving(), rig.core.incidents().count()), (Serving::Shared(vec![1, 1]), 0));
    // The first that answers shows that it is the other one.
    rig.all(&[2, 3], |rig, id| rig.way(id, ConnectOutcome::Connected));
    for _ in 0..10 {
        rig.all(&[2, 3], Rig::pass);
        rig.wait(secs(3));
    }
    assert_eq!((rig.serving(), rig.status().isolated), (Serving::Shared(vec![0, 1]), false));
}

#[test]
fn shares_are_as_before_when_all_pools_are_back_though_not_at_once() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    silence(&mut rig, &[0, 1, 2, 3]);
    assert!(rig.status().isolated);
    for round in 0..4 {
        rig.all(&[0, 1], |rig, id| rig.way(id, ConnectOutcome::Connected));
        rig.all(&[0, 1], Rig::pass);
        rig.wait(Duration::from_millis(50));
        if round > 0 {
            rig.all(&[2, 3], |rig, id| rig.way(id, ConnectOutcome::Connected));
            rig.all(&[2, 3], Rig::pass);
        }
        rig.wait(Duration::from_millis(450));
    }
    assert_eq!((rig.serving(), rig.core.incidents().count()), (Serving::Shared(vec![1, 1]), 0));
    rig.wait(secs(30));
    assert_eq!((rig.status().isolated, rig.core.incidents().count()), (false, 0));
}

#[test]
fn a_share_that_falls_silent_alone_goes_to_the_others() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    for _ in 0..3 {
        rig.all(&[0, 1], unanswered);
        rig.all(&[2, 3], Rig::pass);
        rig.wait(Duration::from_millis(500));
    }
    assert!(!isolated(&rig));
    assert_eq!(rig.serving(), Serving::Shared(vec![0, 1]));
}
