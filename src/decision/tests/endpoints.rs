//! Claims about one endpoint's standing.

use super::*;

const HEALTHY: (Operational, Cause) = (Operational::Healthy, Cause::ChecksPassed);

#[test]
fn traffic_begins_after_the_first_good_probe() {
    let mut rig = Rig::unprobed(|_| {});
    assert_eq!(rig.stands(0), (Operational::Checking, Cause::Start));
    rig.pass(0);
    assert_eq!((rig.stands(0), rig.active()), (HEALTHY, "home".to_owned()));
}

#[test]
fn fall_and_rise_count_in_a_row() {
    let mut rig = Rig::new(|_| {});
    for _ in 0..5 {
        rig.fail(0);
        rig.fail(0);
        rig.pass(0);
    }
    assert_eq!(rig.stands(0), HEALTHY);
    rig.fall(0);
    assert_eq!(rig.stands(0), (Operational::Unhealthy, Cause::ChecksFailed));
    rig.pass(0);
    assert_eq!(rig.stands(0).0, Operational::Unhealthy);
    rig.pass(0);
    assert_eq!(rig.stands(0), HEALTHY);
}

#[test]
fn a_prober_without_descriptors_is_evidence_about_nobody() {
    let mut rig = Rig::new(|_| {});
    (0..9).for_each(|_| rig.probed(0, ProbeOutcome::Local { detail: "EMFILE".to_owned() }));
    assert_eq!(rig.stands(0), HEALTHY);
}

#[test]
fn the_last_reading_is_part_of_the_status() {
    let mut rig = Rig::new(|_| {});
    let shown = |rig: &Rig| rig.core.status(rig.now)[0].pools[0].endpoints[0].clone();
    assert!(!serde_json::to_string(&shown(&rig)).unwrap().contains("reading"));
    let reading = Reading {
        role: DataRole::Replica,
        writable: Some(false),
        position: Some(DataPosition::Redis(RedisPosition {
            id: "3".to_owned(),
            former: None,
            forked: None,
            offset: 7,
            run: None,
        })),
        applied: None,
    };
    rig.probed(0, ProbeOutcome::Pass { latency: Duration::ZERO, reading: Some(reading.clone()) });
    rig.pass(0);
    rig.fail(0);
    assert_eq!(shown(&rig).reading, Some(reading));
    let json = r#""reading":{"role":"replica","writable":false,"position":{"redis":{"id":"3","offset":7}}}"#;
    assert!(serde_json::to_string(&shown(&rig)).unwrap().contains(json));
}

#[test]
fn a_probe_that_comes_late_says_nothing() {
    let mut rig = Rig::new(|_| {});
    rig.wait(secs(10));
    rig.pass(0);
    let old = rig.now.before(secs(5));
    let fail = ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: String::new() };
    (0..3).for_each(|_| {
        rig.tell(Event::Probed { endpoint: EndpointId(0), seen: old, began: None, outcome: fail.clone() })
    });
    assert_eq!(rig.stands(0), HEALTHY);
}

#[test]
fn a_refused_request_is_confirmed_before_it_counts() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Refused, 9);
    assert!(rig.effects.contains(&Effect::ConfirmConnect { endpoint: EndpointId(0) }));
    assert!(rig.effects.contains(&Effect::ProbeNow { endpoint: EndpointId(0) }));
    assert_eq!(rig.stands(0), HEALTHY);
    rig.confirmed(0, ConnectOutcome::Refused);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true), "a restart?");
    rig.wait(DOUBT);
    rig.confirmed(0, ConnectOutcome::Refused);
    assert_eq!(rig.stands(0), (Operational::Unhealthy, Cause::Refused));
}

#[test]
fn a_local_error_confirms_nothing() {
    let mut rig = Rig::new(|_| {});
    for outcome in [ConnectOutcome::Local, ConnectOutcome::Timeout, ConnectOutcome::Connected] {
        rig.fails(0, Failure::Refused, 1);
        rig.confirmed(0, outcome);
        assert_eq!(rig.stands(0), HEALTHY, "{outcome:?}");
    }
}

#[test]
fn a_lost_confirmation_leaves_the_failures_to_the_outlier_rule() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Refused, 9);
    rig.wait(secs(2));
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}

#[test]
fn with_on_refused_checks_no_connect_is_asked_for() {
    let mut rig = Rig::new(|shop| shop.failover.on_refused = OnRefused::Checks);
    rig.fails(0, Failure::Refused, 1);
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::ConfirmConnect { .. })));
}

#[test]
fn a_refusal_ends_with_green_checks_and_a_connect() {
    let mut rig = Rig::new(|_| {});
    rig.die(0);
    rig.effects.clear();
    rig.wait(secs(1));
    rig.pass(0);
    assert!(rig.effects.is_empty() || !rig.effects.contains(&Effect::ConfirmConnect { endpoint: EndpointId(0) }));
    rig.pass(0);
    assert!(rig.effects.contains(&Effect::ConfirmConnect { endpoint: EndpointId(0) }));
    assert_eq!(rig.stands(0).1, Cause::Refused, "the health page may live on another port");
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0), HEALTHY);
}

#[test]
fn without_a_check_connects_alone_end_a_refusal() {
    let mut rig = Rig::new(|shop| shop.pools[0].health_check = None);
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::Unchecked));
    rig.die(0);
    for _ in 0..3 {
        rig.effects.clear();
        rig.wait(Duration::from_millis(600));
        assert!(rig.effects.contains(&Effect::ConfirmConnect { endpoint: EndpointId(0) }));
        rig.confirmed(0, ConnectOutcome::Refused);
    }
    rig.wait(Duration::from_millis(600));
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::Unchecked));
}

#[test]
fn five_failures_in_a_row_eject_and_four_do_not() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 4);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.good(0);
    rig.fails(0, Failure::Gateway, 4);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.in_band(0, Digest { streak: 5, ..failures(1) });
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}

fn failures(times: u32) -> Digest {
    let mut digest = Digest { streak: times, ..Digest::default() };
    digest.failed.0[Failure::Gateway as usize] = times;
    digest
}

#[test]
fn the_failure_rate_needs_its_sample() {
    let mut rig = Rig::new(|_| {});
    rig.in_band(0, Digest { good: 9, streak: 0, ..failures(9) });
    assert_eq!(rig.stands(0), HEALTHY, "18 exchanges say nothing");
    rig.in_band(0, Digest { good: 1, streak: 1, ..failures(2) });
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::FailureRate));
}

#[test]
fn what_the_window_has_forgotten_does_not_count() {
    let mut rig = Rig::new(|_| {});
    rig.in_band(0, Digest { good: 9, streak: 0, ..failures(9) });
    rig.wait(secs(11));
    rig.in_band(0, Digest { good: 1, streak: 1, ..failures(2) });
    assert_eq!(rig.stands(0), HEALTHY);
}

#[test]
fn a_green_check_alone_does_not_restore_what_traffic_condemned() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.wait(secs(29));
    rig.pass(0);
    assert_eq!(rig.endpoint(0).admission, Admission::Closed);
    rig.wait(secs(2));
    rig.pass(0);
    assert_eq!((rig.stands(0).0, rig.endpoint(0).admission), (Operational::Ejected, Admission::Trial));
    (0..2).for_each(|_| rig.trial(0, true));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
    rig.trial(0, true);
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::TrialsPassed));
}

#[test]
fn a_failed_trial_ejects_for_longer() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    for n in 1..=12u64 {
        let out = (30 * n).min(300);
        rig.wait(secs(out - 1));
        assert_eq!(rig.endpoint(0).admission, Admission::Closed, "ejection {n}");
        rig.wait(secs(2));
        assert_eq!(rig.endpoint(0).admission, Admission::Trial, "ejection {n}");
        rig.trial(0, false);
    }
}

#[test]
fn an_ejection_long_ago_does_not_lengthen_the_next() {
    let mut rig = Rig::new(|_| {});
    for _ in 0..2 {
        rig.fails(0, Failure::Gateway, 5);
        rig.wait(secs(31));
        (0..3).for_each(|_| rig.trial(0, true));
        assert_eq!(rig.stands(0).0, Operational::Healthy);
        rig.wait(secs(301));
    }
}

#[test]
fn without_traffic_to_try_it_checks_alone_decide_later() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.wait(secs(59));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
    rig.wait(secs(2));
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::EjectionOver));
}

#[test]
fn a_red_check_stops_the_trials() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.wait(secs(31));
    rig.fall(0);
    assert_eq!(rig.endpoint(0).admission, Admission::Closed);
    rig.wait(secs(600));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
    rig.rise(0);
    assert_eq!(rig.endpoint(0).admission, Admission::Trial);
}

#[test]
fn an_ejection_that_the_checks_share_ends_with_them() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.fail(0);
    rig.fail(0);
    rig.rise(0);
    assert_eq!(rig.endpoint(0).admission, Admission::Closed, "they were not red");
    rig.fall(0);
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
    rig.pass(0);
    assert_eq!(rig.endpoint(0).admission, Admission::Closed);
    rig.pass(0);
    assert_eq!((rig.stands(0).0, rig.endpoint(0).admission), (Operational::Ejected, Admission::Trial));
    rig.trial(0, false);
    rig.wait(secs(59));
    assert_eq!(rig.endpoint(0).admission, Admission::Closed, "the next one is its own");
    rig.wait(secs(1));
    assert_eq!(rig.endpoint(0).admission, Admission::Trial);
}

#[test]
fn a_home_that_froze_is_tried_at_the_end_of_its_hold_down() {
    let mut rig = Rig::new(|shop| shop.failover.failback.hold_down = secs(10));
    rig.all(&[0, 1], |rig, id| rig.silent(id, 9, 0));
    rig.all(&[0, 1], Rig::fall);
    assert_eq!((rig.stands(0).1, rig.active()), (Cause::Stalled, "away".to_owned()));
    rig.wait(secs(5));
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(9));
    assert_eq!(rig.endpoint(0).admission, Admission::Closed);
    rig.wait(secs(1));
    assert_eq!(rig.endpoint(0).admission, Admission::Trial, "15 s after the fault, not 30");
    (0..3).for_each(|_| rig.trial(0, true));
    assert_eq!(rig.active(), "home");
}

#[test]
fn half_of_a_pool_is_kept_when_nobody_else_can_serve() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[2, 3], Rig::fall);
    rig.fails(0, Failure::Gateway, 5);
    rig.fails(1, Failure::Gateway, 5);
    assert_eq!((rig.stands(0).0, rig.stands(1).0), (Operational::Ejected, Operational::Healthy));
    rig.rise(2);
    assert_eq!((rig.stands(1).0, rig.active()), (Operational::Ejected, "away".to_owned()));
}

#[test]
fn an_endpoint_that_recovers_joins_slowly_and_one_that_switches_does_not() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(rig.endpoint(1).joined, None, "the first round begins together");
    rig.fall(0);
    rig.wait(secs(5));
    rig.rise(0);
    assert_eq!((rig.endpoint(0).joined, rig.endpoint(1).joined), (Some(rig.now), None));
    rig.all(&[0, 1], Rig::fall);
    assert_eq!((rig.active(), rig.endpoint(2).joined), ("away".to_owned(), None));
}

#[test]
fn nothing_is_published_when_nothing_changed() {
    let mut rig = Rig::new(|_| {});
    rig.good(0);
    rig.effects.clear();
    let epoch = rig.core.table().epoch;
    (0..10).for_each(|_| rig.good(0));
    rig.all(&[0, 1, 2, 3], Rig::pass);
    assert_eq!((rig.core.table().epoch, rig.effects.len()), (epoch, 0));
}

#[test]
fn probes_in_transition_run_fast() {
    let mut rig = Rig::new(|_| {});
    let pace = |fast| Effect::ProbePace { endpoint: EndpointId(0), fast };
    rig.fail(0);
    assert!(rig.effects.contains(&pace(true)));
    rig.effects.clear();
    rig.fail(0);
    rig.fail(0);
    assert!(rig.effects.contains(&pace(false)), "down is not a transition");
}

/// The configuration gives this endpoint of `home` (0 or 1) another weight.
fn weigh(rig: &mut Rig, place: usize, weight: u32) {
    let PoolMembers::Endpoints(endpoints) = &mut rig.shop().pools[0].members else { panic!("endpoints") };
    endpoints[place].weight = weight;
    rig.configure();
}

#[test]
fn weight_0_closes_an_endpoint_to_new_work_and_a_weight_opens_it_with_its_health() {
    let mut rig = Rig::new(|_| {});
    let before = rig.endpoint(0);
    weigh(&mut rig, 0, 0);
    let drained = rig.endpoint(0);
    assert_eq!((drained.id, rig.stands(0), drained.admission), (before.id, HEALTHY, Admission::Closed));
    assert_eq!(drained.standing.administrative, Administrative::Drain);
    assert_eq!((rig.endpoint(1).admission, rig.active()), (Admission::Open, "home".to_owned()));
    let pools = rig.status().pools;
    assert_eq!((pools[0].usable, pools[1].usable), (1, 2));
    // It is checked on.
    rig.fall(0);
    assert_eq!(rig.stands(0), (Operational::Unhealthy, Cause::ChecksFailed));
    rig.rise(0);
    assert_eq!((rig.stands(0), rig.endpoint(0).admission), (HEALTHY, Admission::Closed));
    weigh(&mut rig, 0, 7);
    assert_eq!((rig.stands(0), rig.endpoint(0).admission), (HEALTHY, Admission::Open));
    assert_eq!(rig.endpoint(0).standing.administrative, Administrative::Ready);
}

#[test]
fn an_endpoint_of_weight_0_does_not_count_for_its_pool() {
    let mut rig = Rig::new(|shop| shop.failover.on_all_down = OnAllDown::FailOpen);
    weigh(&mut rig, 0, 0);
    rig.fall(1);
    assert_eq!(rig.active(), "away", "no endpoint is left at home");
    assert!(!rig.status().pools[0].available);
    // Nor is it the last resort.
    rig.good(0);
    rig.all(&[0, 2, 3], Rig::fall);
    assert_ne!(rig.endpoint(0).admission, Admission::Open);
    assert_ne!(rig.endpoint(0).admission, Admission::Trial);
}

#[test]
fn a_start_does_not_wait_for_an_endpoint_of_weight_0() {
    let mut rig = Rig::unprobed(|shop| {
        let PoolMembers::Endpoints(endpoints) = &mut shop.pools[0].members else { panic!("endpoints") };
        endpoints[0].weight = 0;
    });
    rig.pass(1);
    assert_eq!((rig.active(), rig.endpoint(0).admission), ("home".to_owned(), Admission::Closed));
    rig.pass(0);
    assert_eq!((rig.stands(0), rig.endpoint(0).admission), (HEALTHY, Admission::Closed));
}

#[test]
fn a_pool_that_is_weighed_0_is_left_by_a_switchover_and_comes_home_after_its_hold_down() {
    let mut rig = Rig::new(|shop| shop.failover.max_failovers.count = 1);
    rig.wait(secs(100));
    let PoolMembers::Endpoints(endpoints) = &mut rig.shop().pools[0].members else { panic!("endpoints") };
    endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 0);
    rig.configure();
    let last = rig.last();
    assert_eq!((rig.active(), last.kind, last.fault), ("away".to_owned(), SwitchKind::Switchover, rig.now));
    assert_eq!(rig.status().frozen_for_ms, None);
    rig.wait(secs(100_000));
    assert_eq!(rig.active(), "away");
    weigh(&mut rig, 0, 1);
    assert_eq!((rig.active(), rig.endpoint(0).admission), ("away".to_owned(), Admission::Open));
    rig.wait(secs(61));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
}

#[test]
fn an_operators_drain_outlasts_weight_0() {
    let mut rig = Rig::new(|_| {});
    rig.order(administer(0, Administrative::Maint));
    weigh(&mut rig, 0, 0);
    assert_eq!(rig.endpoint(0).standing.administrative, Administrative::Maint);
    weigh(&mut rig, 0, 1);
    assert_eq!(rig.endpoint(0).standing.administrative, Administrative::Maint);
    rig.order(administer(0, Administrative::Ready));
    assert_eq!(rig.endpoint(0).admission, Admission::Open);
}
