//! The rows of the rule, one claim a test; what must come of whole attacks is in `tests/world/plays.rs`.

use super::*;

/// A rig whose rule is the default one, with so many callers; the standby is `away`.
fn corroborated(callers: u32) -> Rig {
    let mut rig = Rig::new(|service| {
        for pool in &mut service.pools {
            let rule = pool.outlier_detection.as_mut().expect("a rule");
            rule.evidence = EvidenceRule::Corroborated;
        }
    });
    rig.in_band(0, Digest { callers: Some(callers), ..Digest::default() });
    rig.callers = callers > 0;
    rig
}

fn source(n: u8) -> Source {
    Source::of([203, 0, n, 1].into())
}

/// Just now; nothing more is known of it.
fn failure(rig: &Rig, source: Option<Source>, kind: Failure) -> FailureReport {
    let caller = source.is_some() && rig.callers;
    let (elsewhere, mark) = (Elsewhere::Unknown, Mark::None);
    FailureReport { streak: 0, source, caller, target: RequestTarget(0), kind, at: rig.now, elsewhere, mark }
}

impl Rig {
    /// One settled failure of this source at this endpoint.
    fn report(&mut self, id: u32, n: u8, target: u64, elsewhere: Elsewhere, mark: Mark) {
        let target = RequestTarget(target);
        let report = FailureReport { target, elsewhere, mark, ..failure(self, Some(source(n)), Failure::Gateway) };
        let mut failed = FailureCounts::default();
        failed.0[Failure::Gateway as usize] = 1;
        let mut tally = SourceTally::new(source(n));
        tally.count(&report);
        let digest = Digest {
            failed,
            streak: 5,
            streak_since: self.now,
            reports: vec![report],
            by_source: vec![tally],
            ..Digest::default()
        };
        self.in_band(id, digest);
        self.wait(Duration::from_millis(20));
    }

    /// So many failures of these sources in turn.
    fn reports(&mut self, id: u32, times: u8, sources: &[u8]) {
        for n in 0..times {
            self.report(id, sources[n as usize % sources.len()], 7, Elsewhere::Unknown, Mark::None);
        }
    }

    fn held(&self, reason: Held) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Held { reason: told, .. } if *told == reason))
    }
}

#[test]
fn five_of_as_many_sources_as_the_service_has_eject() {
    for (callers, sources, ejects) in
        [(1, &[1][..], true), (2, &[1], false), (2, &[1, 2], true), (3, &[1, 2], false), (9, &[1, 2, 3], true)]
    {
        let mut rig = corroborated(callers);
        rig.reports(0, 6, sources);
        assert_eq!(rig.stands(0).0 == Operational::Ejected, ejects, "{callers} callers, sources {sources:?}");
    }
}

#[test]
fn where_few_of_many_sources_see_it_no_good_answer_must_come_for_longer() {
    let mut rig = corroborated(9);
    rig.in_band(0, Digest { good: 200, ..Digest::default() });
    rig.wait(secs(2)); // a hundred good answers a second
    rig.reports(0, 6, &[1, 2, 3]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.reports(0, 10, &[1, 2, 3]);
    assert_eq!(rig.stands(0).0, Operational::Ejected, "sixteen good answers have not come");
}

#[test]
fn before_the_service_answered_anybody_three_sources_are_needed() {
    let mut rig = corroborated(0);
    rig.reports(0, 9, &[1, 2]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.reports(0, 1, &[3]);
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_good_answer_in_between_ends_the_streak() {
    let mut rig = corroborated(1);
    rig.reports(0, 4, &[1]);
    rig.good(0);
    rig.reports(0, 4, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
}

#[test]
fn a_burst_between_two_good_answers_is_nothing() {
    let mut rig = corroborated(1);
    rig.in_band(0, Digest { good: 20, ..Digest::default() });
    rig.wait(secs(2)); // ten good answers a second: five take half a second
    let one = failure(&rig, Some(source(1)), Failure::Gateway);
    let reports = (0..9).map(|n| FailureReport { target: RequestTarget(n), ..one }).collect();
    let burst = Digest { streak: 9, streak_since: rig.now, reports, ..Digest::default() };
    rig.in_band(0, burst);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.wait(Duration::from_millis(600));
    rig.reports(0, 1, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Ejected, "and no good answer has come for as long as five take");
}

#[test]
fn a_probe_that_began_after_the_first_failure_and_fails_confirms_any_source() {
    let mut rig = corroborated(5);
    rig.reports(0, 5, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.fail(0);
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}

#[test]
fn one_source_over_three_targets_that_are_answered_elsewhere_ejects_one_endpoint_a_pool() {
    let mut rig = corroborated(5);
    for id in [0, 1] {
        (0..6).for_each(|n| rig.report(id, 1, n % 3, Elsewhere::Answered, Mark::None));
    }
    assert_eq!(rig.stands(0).0, Operational::Ejected);
    assert_eq!(rig.stands(1).0, Operational::Healthy, "on the evidence of the same source");
    assert!(rig.held(Held::OneSource));
}

#[test]
fn one_target_only_is_about_the_target() {
    let mut rig = corroborated(5);
    (0..40).for_each(|_| rig.report(0, 1, 7, Elsewhere::Answered, Mark::None));
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    assert!(rig.held(Held::OneTarget) && !rig.held(Held::RouteFailing), "the other endpoint answers it");
}

#[test]
fn one_target_that_all_of_the_pool_fail_is_said() {
    let mut rig = corroborated(5);
    for _ in 0..6 {
        [0, 1].iter().for_each(|id| rig.report(*id, 1, 7, Elsewhere::Answered, Mark::None));
    }
    assert_eq!([rig.stands(0).0, rig.stands(1).0], [Operational::Healthy; 2]);
    assert!(rig.held(Held::RouteFailing));
}

#[test]
fn what_fails_everywhere_is_about_the_request() {
    let mut rig = corroborated(1);
    (0..40).for_each(|n| rig.report(0, 1, n, Elsewhere::Failed, Mark::None));
    rig.reports(0, 10, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Healthy, "also where it was not sent again");
    assert!(rig.held(Held::FailsEverywhere));
}

#[test]
fn an_answer_that_asks_to_come_later_counts_from_as_many_sources_as_are_needed() {
    let mut rig = corroborated(4);
    (0..20).for_each(|n| rig.report(0, 1, n, Elsewhere::Answered, Mark::RetryLater));
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    assert!(rig.held(Held::RetryLater));
    let mut rig = corroborated(4);
    (0..20).for_each(|n| rig.report(0, 1 + n % 4, 7, Elsewhere::Unknown, Mark::RetryLater));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_session_hung_up_on_says_something_of_its_client_unless_two_say_it() {
    let mut rig = corroborated(1);
    (0..20).for_each(|_| rig.report(0, 1, 0, Elsewhere::Unknown, Mark::HungUp));
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    (0..5).for_each(|_| rig.report(0, 2, 0, Elsewhere::Unknown, Mark::HungUp));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn twenty_of_one_source_over_ten_seconds_eject_where_there_is_nothing_to_compare_with() {
    let mut rig = corroborated(5);
    for _ in 0..19 {
        rig.reports(0, 1, &[1]);
        rig.wait(Duration::from_millis(600));
    }
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.reports(0, 1, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_failed_connect_is_about_no_client() {
    let mut rig = corroborated(9);
    rig.shop().failover.on_refused = OnRefused::Checks;
    rig.configure();
    for _ in 0..5 {
        let report = failure(&rig, None, Failure::ConnectTimeout);
        let digest = Digest { streak: 1, streak_since: rig.now, reports: vec![report], ..Digest::default() };
        rig.in_band(0, digest);
        rig.wait(Duration::from_millis(10));
    }
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_pool_is_left_on_one_sources_evidence_and_proven_right_by_what_it_meets() {
    let mut rig = corroborated(1);
    rig.reports(0, 6, &[1]);
    rig.reports(1, 6, &[1]);
    assert_eq!(rig.active(), "away");
    assert!(rig.endpoint(2).proving, "good answers of the new pool are counted by source");
    let good = SourceTally { good: 12, ..SourceTally::new(source(1)) };
    rig.in_band(2, Digest { good: 12, by_source: vec![good], ..Digest::default() });
    assert!(!rig.endpoint(2).proving);
    // so it may say it again
    let switches = rig.core.incidents().count();
    rig.shop().pools.push(pool("far", 3));
    rig.configure();
    rig.all(&[4, 5], Rig::pass);
    for id in [2, 3] {
        rig.reports(id, 30, &[1]);
    }
    assert_eq!(rig.core.incidents().count(), switches + 1, "{:?}", rig.last());
}

#[test]
fn a_source_that_fails_there_as_well_is_wrong_and_the_service_goes_home_without_a_freeze() {
    let mut rig = corroborated(1);
    rig.reports(0, 6, &[1]);
    rig.reports(1, 6, &[1]);
    assert_eq!(rig.active(), "away");
    rig.reports(2, 5, &[1]);
    assert_eq!((rig.active().as_str(), rig.last().kind), ("home", SwitchKind::Rollback));
    assert_eq!(rig.status().frozen_for_ms, None);
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::EvidenceWithdrawn));
    for _ in 0..3 {
        rig.reports(0, 30, &[1]);
        rig.reports(1, 30, &[1]);
    }
    assert_eq!(rig.active(), "home", "its evidence counts for nothing");
    rig.reports(0, 6, &[2]);
    assert_eq!(rig.stands(0).0, Operational::Ejected, "that of another source does");
}

#[test]
fn what_was_wrong_is_history_after_damping() {
    let mut rig = corroborated(1);
    rig.reports(0, 6, &[1]);
    rig.reports(1, 6, &[1]);
    rig.reports(2, 5, &[1]);
    assert_eq!((rig.active().as_str(), rig.last().kind), ("home", SwitchKind::Rollback));
    rig.wait(secs(601));
    rig.reports(0, 6, &[1]);
    rig.reports(1, 6, &[1]);
    assert_eq!(rig.active(), "away");
}

#[test]
fn five_in_a_row_are_judged_when_the_doubt_is_over_though_nothing_else_comes() {
    let mut rig = corroborated(1);
    rig.in_band(0, Digest { good: 20, ..Digest::default() });
    rig.wait(secs(2));
    rig.reports(0, 5, &[1]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.wait(secs(1));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_stranger_does_not_speak_for_the_only_caller() {
    let mut rig = corroborated(1);
    rig.callers = false;
    rig.reports(0, 12, &[5]);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.reports(0, 12, &[5, 6, 7]);
    assert_eq!(rig.stands(0).0, Operational::Ejected, "three do");
}

#[test]
fn one_connect_that_fails_does_not_make_one_source_many() {
    let mut rig = corroborated(5);
    rig.reports(0, 5, &[1]);
    let connect = failure(&rig, None, Failure::ConnectTimeout);
    rig.in_band(0, Digest { streak: 6, streak_since: rig.now, reports: vec![connect], ..Digest::default() });
    assert_eq!(rig.stands(0).0, Operational::Healthy);
}

#[test]
fn a_bad_url_does_not_hide_the_failed_orders_of_the_same_load_balancer() {
    let mut rig = corroborated(1);
    (0..3).for_each(|_| rig.report(0, 1, 7, Elsewhere::Failed, Mark::None));
    (0..12).for_each(|n| rig.report(0, 1, 100 + n, Elsewhere::Unknown, Mark::None));
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn a_port_forwarder_without_its_server_is_found_in_the_end() {
    let mut rig = corroborated(1);
    for _ in 0..21 {
        rig.report(0, 1, 0, Elsewhere::Unknown, Mark::HungUp);
        rig.wait(Duration::from_millis(600));
    }
    assert_eq!(rig.stands(0).0, Operational::Ejected);
}

#[test]
fn one_source_leaves_a_pool_once_in_damping_and_never_onwards() {
    let mut rig = corroborated(1);
    rig.shop().pools.push(pool("far", 3));
    rig.configure();
    rig.all(&[4, 5], Rig::pass);
    rig.reports(0, 6, &[1]);
    rig.reports(1, 6, &[1]);
    assert_eq!(rig.active(), "away");
    rig.reports(2, 6, &[2]);
    rig.reports(3, 6, &[2]);
    assert_eq!(rig.active(), "away", "another single source does not move it on");
    assert!(rig.held(Held::MayNotLeave));
}

#[test]
fn no_evidence_of_traffic_leaves_the_last_pool_for_a_page() {
    let mut rig = corroborated(3);
    rig.shop().pools[1] = page();
    rig.configure();
    for id in [0, 1] {
        rig.reports(id, 30, &[1, 2, 3]);
    }
    assert_eq!(rig.active(), "home");
    assert_eq!(rig.stands(1).0, Operational::Healthy, "half of it is kept");
}

#[test]
fn a_page_is_left_with_the_first_green_probe() {
    let mut rig = corroborated(3);
    rig.shop().pools[1] = page();
    rig.configure();
    rig.all(&[0, 1], Rig::fall);
    assert_eq!(rig.active(), "sorry");
    rig.pass(0);
    assert_eq!(rig.active(), "home");
}

#[test]
fn a_pool_that_is_late_for_the_first_choice_has_no_hold_down() {
    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[0, 1], Rig::fail);
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(2));
    assert_eq!(rig.active(), "away");
    rig.all(&[0, 1], Rig::rise);
    assert_eq!((rig.active().as_str(), rig.last().kind), ("home", SwitchKind::Failback));
}

fn page() -> Pool {
    Pool { members: page_members(), health_check: None, outlier_detection: None, ..pool("sorry", 9) }
}
