//! Claims about connects that are not answered, and openings that fail: refusals by another name.

use super::*;

const HEALTHY: (Operational, Cause) = (Operational::Healthy, Cause::ChecksPassed);
const REFUSED: (Operational, Cause) = (Operational::Unhealthy, Cause::Refused);

fn confirm(endpoint: EndpointId) -> Effect {
    Effect::ConfirmConnect { endpoint }
}

/// A request's connect is not answered, and neither is ours.
fn unanswered(rig: &mut Rig, id: u32) {
    rig.fails(id, Failure::ConnectTimeout, 1);
    assert!(rig.asked(confirm, id));
    rig.wait(Duration::from_millis(900));
    rig.confirmed(id, ConnectOutcome::Timeout);
}

#[test]
fn a_pool_that_answers_no_connect_is_left_with_and_without_checks() {
    for checks in [true, false] {
        let mut rig = Rig::new(|shop| {
            if !checks {
                shop.pools.iter_mut().for_each(|pool| pool.health_check = None);
            }
        });
        unanswered(&mut rig, 0);
        assert_eq!((rig.suspected(0), rig.active()), (true, "home".to_owned()), "its pool has another");
        unanswered(&mut rig, 1);
        assert_eq!((rig.stands(0), rig.stands(1), rig.active()), (REFUSED, REFUSED, "away".to_owned()));
        let evidence = rig.status().pools[0].endpoints[1].evidence.clone();
        assert_eq!(evidence, "a connect was not answered, and neither was the confirming connect");
    }
}

#[test]
fn an_endpoint_among_others_is_asked_twice() {
    let mut rig = Rig::new(|_| {});
    unanswered(&mut rig, 0);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true));
    rig.effects.clear();
    rig.wait(DOUBT);
    assert!(rig.asked(confirm, 0));
    rig.confirmed(0, ConnectOutcome::Timeout);
    assert_eq!((rig.stands(0), rig.active()), (REFUSED, "home".to_owned()));
}

#[test]
fn a_connect_of_ours_that_is_answered_ends_it() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::ConnectTimeout, 1);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false), "a slow SYN");
    unanswered(&mut rig, 0);
    rig.wait(DOUBT);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn connects_that_are_answered_sometimes_count_as_failures() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::ConnectTimeout, 4);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.fails(0, Failure::ConnectTimeout, 5);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}

#[test]
fn a_connect_of_ours_that_is_refused_says_more_than_one_that_is_not_answered() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], |rig, id| {
        rig.fails(id, Failure::ConnectTimeout, 1);
        rig.confirmed(id, ConnectOutcome::Refused);
    });
    assert_eq!((rig.stands(0), rig.stands(1), rig.active()), (REFUSED, REFUSED, "away".to_owned()));
}

#[test]
fn where_nothing_is_served_when_all_is_down_silence_is_no_refusal() {
    let mut rig = Rig::new(|shop| shop.failover.on_all_down = OnAllDown::FailClosed);
    rig.all(&[0, 1], |rig, id| rig.fails(id, Failure::ConnectTimeout, 1));
    assert!(!rig.asked(confirm, 0) && !rig.asked(confirm, 1));
    rig.all(&[0, 1], Rig::refuse);
    assert_eq!(rig.active(), "away", "a refusal is");
}

#[test]
fn a_reload_after_which_silence_is_no_refusal_ends_a_doubt() {
    let mut rig = Rig::new(|_| {});
    unanswered(&mut rig, 0);
    rig.shop().failover.on_all_down = OnAllDown::FailClosed;
    rig.configure();
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn an_opening_that_fails_for_us_too_is_a_refusal() {
    for sign in [Failure::Reset, Failure::Malformed] {
        let mut rig = Rig::new(|_| {});
        for id in [0, 1] {
            rig.fails(id, sign, 1);
            assert!(rig.asked(confirm, id));
            rig.confirmed(id, ConnectOutcome::Refused);
        }
        assert_eq!((rig.stands(0), rig.stands(1), rig.active()), (REFUSED, REFUSED, "away".to_owned()), "{sign:?}");
    }
}

#[test]
fn malformed_answers_over_connections_that_can_be_opened_are_failures() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Malformed, 5);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}
