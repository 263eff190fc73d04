//! Claims about silence and doubt: what only might be a failure.

use super::*;
use crate::routing::ResponseTracker;
use crate::time::MonoTime;

const HEALTHY: (Operational, Cause) = (Operational::Healthy, Cause::ChecksPassed);
const STALLED: (Operational, Cause) = (Operational::Ejected, Cause::Stalled);

fn probe_now(endpoint: EndpointId) -> Effect {
    Effect::ProbeNow { endpoint }
}

fn confirm(endpoint: EndpointId) -> Effect {
    Effect::ConfirmConnect { endpoint }
}

// ---- silence ------------------------------------------------------------------------------------------------------

#[test]
fn silence_is_avoided_and_probed_and_condemns_nobody() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 12, 2);
    assert_eq!((rig.stands(0), rig.suspected(0), rig.suspected(1)), (HEALTHY, true, false));
    assert!(rig.asked(probe_now, 0) && rig.effects.contains(&Effect::Publish));
    assert!(rig.effects.contains(&Effect::ProbePace { endpoint: EndpointId(0), fast: true }));
    let status = &rig.status().pools[0].endpoints[0];
    assert!(status.suspected && status.evidence.starts_with("12 requests without an answer for 1000 ms"));
    rig.wait(secs(60));
    assert_eq!((rig.stands(0), rig.active(), rig.core.incidents().count()), (HEALTHY, "home".to_owned(), 0));
}

#[test]
fn a_silence_that_lasts_is_one_suspicion() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 4, 0);
    let epoch = rig.core.table().epoch;
    rig.effects.clear();
    for unanswered in 5..20 {
        rig.wait(Duration::from_millis(50));
        rig.silent(0, unanswered, 0);
    }
    assert_eq!((rig.core.table().epoch, &rig.effects[..]), (epoch, &[][..]));
}

#[test]
fn a_probe_that_fails_while_it_is_suspected_makes_the_verdict() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 12, 0);
    rig.fail(0);
    assert_eq!((rig.stands(0), rig.suspected(0)), (STALLED, false));
    let evidence = &rig.status().pools[0].endpoints[0].evidence;
    assert_eq!(evidence, "12 requests without an answer for 1000 ms, and a probe failed");
    rig.wait(secs(20));
    rig.all(&[0], Rig::rise);
    assert_eq!(rig.stands(0), STALLED, "a green check alone does not restore it");
    rig.wait(secs(11));
    assert_eq!(rig.endpoint(0).admission, Admission::Trial);
    (0..3).for_each(|_| rig.trial(0, true));
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::TrialsPassed));
}

#[test]
fn a_probe_that_failed_before_is_no_confirmation() {
    let mut rig = Rig::new(|_| {});
    rig.fail(0);
    rig.silent(0, 12, 0);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.probed(0, ProbeOutcome::Local { detail: "EMFILE".to_owned() });
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true));
}

#[test]
fn three_witnesses_make_the_verdict_behind_a_green_check() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 9, 2);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.silent(0, 9, 3);
    assert_eq!(rig.stands(0), STALLED);
    let evidence = &rig.status().pools[0].endpoints[0].evidence;
    assert!(evidence.ends_with("3 of them answered elsewhere"), "{evidence}");
}

#[test]
fn a_pool_that_stalls_as_a_whole_is_left_and_the_fault_began_with_the_first_unanswered() {
    let mut rig = Rig::new(|_| {});
    let fault = rig.now.before(secs(1));
    rig.silent(0, 6, 0);
    rig.wait(Duration::from_millis(100));
    rig.silent(1, 6, 0);
    rig.wait(Duration::from_millis(400));
    rig.all(&[0, 1], Rig::fail);
    assert_eq!((rig.active(), rig.last().kind, rig.last().fault), ("away".to_owned(), SwitchKind::Failover, fault));
    assert!(rig.last().evidence.iter().all(|evidence| evidence.cause == Cause::Stalled));
}

#[test]
fn a_probe_that_passes_refutes_a_suspicion_until_somebody_is_late_again() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 6, 0);
    let old =
        Silence { since: rig.now.before(secs(1)), late: rig.now, unanswered: 7, witnesses: 3, ..Silence::default() };
    rig.wait(Duration::from_millis(20));
    rig.pass(0);
    assert!(!rig.suspected(0));
    rig.wait(Duration::from_millis(20));
    rig.in_band(0, Digest { silence: Some(old), ..Digest::default() });
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false), "nobody has been late since, whoever is a witness");
    rig.fail(0);
    assert_eq!(rig.stands(0), HEALTHY, "one bad probe of three, and nothing is suspected");
    rig.pass(0);
    rig.wait(Duration::from_millis(20));
    rig.silent(0, 8, 0);
    assert!(rig.suspected(0));
    rig.fail(0);
    assert_eq!(rig.stands(0), STALLED);
}

#[test]
fn an_answer_ends_a_suspicion_and_its_trouble() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], |rig, id| rig.silent(id, 6, 2));
    rig.all(&[0, 1], Rig::good);
    assert!(!rig.suspected(0) && !rig.suspected(1));
    rig.all(&[0, 1], Rig::fail);
    assert_eq!((rig.stands(0), rig.stands(1), rig.active()), (HEALTHY, HEALTHY, "home".to_owned()));
    rig.all(&[0, 1], Rig::pass);
    rig.wait(secs(1));
    let fault = rig.now;
    rig.all(&[0, 1], Rig::fall);
    assert_eq!(rig.last().fault, fault, "the old silence is another story");
}

#[test]
fn slow_requests_among_answered_ones_are_nobody_s_fault() {
    let mut rig = Rig::new(|_| {});
    let tracker = ResponseTracker::default();
    (0..8).for_each(|_| tracker.asked(rig.now)); // reports that take half a minute
    for _ in 0..100 {
        rig.wait(Duration::from_millis(250));
        tracker.asked(rig.now); // a page that takes 5 ms
        rig.wait(Duration::from_millis(5));
        tracker.heard(rig.now);
        rig.wait(Duration::from_millis(45));
        (0..3).for_each(|_| tracker.asked(rig.now));
        tracker.late(rig.now);
        (0..3).for_each(|_| _ = tracker.witnessed(MonoTime::from_micros(u64::MAX)));
        let digest = Digest { good: 1, silence: tracker.silence(), ..Digest::default() };
        rig.in_band(0, digest);
        assert!(!rig.suspected(0));
    }
    assert_eq!((rig.stands(0), rig.core.incidents().count()), (HEALTHY, 0));
    tracker.asked(rig.now);
    rig.in_band(0, Digest { silence: tracker.silence(), ..Digest::default() });
    assert_eq!(rig.stands(0), STALLED, "the fourth in a row without an answer");
}

#[test]
fn a_digest_that_comes_late_neither_suspects_nor_acquits() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 6, 0);
    let late = |digest| Event::InBand { endpoint: EndpointId(0), seen: rig.now.before(secs(1)), digest };
    let (answered, silent) = (
        late(Digest::default()),
        Silence { since: rig.now, late: rig.now, unanswered: 9, witnesses: 9, ..Silence::default() },
    );
    let silent = late(Digest { silence: Some(silent), ..Digest::default() });
    rig.tell(answered);
    assert!(rig.suspected(0));
    rig.good(0);
    rig.tell(silent);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn probes_for_a_suspicion_are_asked_for_once_per_fast_interval() {
    let mut rig = Rig::new(|_| {});
    let mut asked = 0;
    for _ in 0..20 {
        rig.effects.clear();
        rig.silent(0, 6, 0);
        asked += u32::from(rig.asked(probe_now, 0));
        rig.pass(0);
        rig.wait(Duration::from_millis(100)); // a fast interval is 500 ms
    }
    assert_eq!(asked, 4);
}

#[test]
fn without_outlier_detection_a_suspicion_only_avoids() {
    let mut rig = Rig::new(|shop| shop.pools[0].outlier_detection = None);
    rig.silent(0, 99, 50);
    rig.fail(0);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true));
}

#[test]
fn the_cap_holds_for_stalls_when_nobody_else_can_serve() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[2, 3], Rig::fall);
    rig.all(&[0, 1], |rig, id| rig.silent(id, 9, 3));
    assert_eq!((rig.stands(0), rig.stands(1), rig.suspected(1)), (STALLED, HEALTHY, true));
    rig.rise(2);
    assert_eq!((rig.stands(1), rig.active()), (STALLED, "away".to_owned()));
}

#[test]
fn a_suspicion_that_no_check_can_settle_any_more_is_dropped() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 6, 0);
    rig.configure();
    assert!(rig.suspected(0), "the same check goes on");
    rig.shop().pools[0].health_check = None;
    rig.configure();
    assert!(!rig.suspected(0));
}

#[test]
fn a_probe_that_passed_since_weighs_more_than_one_that_failed() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[1, 2, 3], Rig::fall);
    rig.silent(0, 6, 0);
    rig.fail(0); // the last one is not ejected
    let before = rig.now;
    rig.wait(Duration::from_millis(100));
    rig.silent(0, 7, 0);
    rig.tell(Event::Probed {
        began: None,
        endpoint: EndpointId(0),
        seen: before,
        outcome: ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None },
    });
    rig.rise(2);
    assert_eq!((rig.stands(0), rig.suspected(0), rig.active()), (HEALTHY, true, "home".to_owned()));
}

#[test]
fn without_a_check_a_suspicion_runs_out_and_may_come_again() {
    let mut rig = Rig::new(|shop| shop.pools[0].health_check = None);
    rig.silent(0, 6, 2);
    rig.wait(secs(4));
    rig.silent(0, 7, 2);
    rig.wait(Duration::from_millis(4999));
    assert!(rig.suspected(0) && !rig.asked(probe_now, 0));
    rig.wait(Duration::from_millis(1));
    assert!(!rig.suspected(0));
    rig.wait(secs(1));
    rig.silent(0, 8, 3);
    assert_eq!(rig.stands(0), STALLED);
}

#[test]
fn who_returns_is_not_condemned_for_the_silence_it_paid_for() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 9, 3);
    let old =
        Silence { since: rig.now.before(secs(1)), late: rig.now, unanswered: 10, witnesses: 3, ..Silence::default() };
    rig.wait(secs(61));
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::EjectionOver));
    rig.in_band(0, Digest { silence: Some(old), ..Digest::default() });
    assert_eq!((rig.stands(0).0, rig.suspected(0)), (Operational::Healthy, false));
}

// ---- doubt --------------------------------------------------------------------------------------------------------

#[test]
fn a_restart_within_50_ms_is_no_failure() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Refused, 9);
    rig.confirmed(0, ConnectOutcome::Refused);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true));
    rig.fails(0, Failure::Refused, 9);
    rig.effects.clear();
    rig.wait(DOUBT - Duration::from_millis(1));
    assert!(!rig.asked(confirm, 0));
    rig.wait(Duration::from_millis(1));
    assert!(rig.asked(confirm, 0));
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0), rig.active()), (HEALTHY, false, "home".to_owned()));
}

#[test]
fn a_restart_that_the_first_connect_finds_over_is_no_failure() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Refused, 9);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn a_pool_with_nobody_left_is_condemned_without_a_second_connect() {
    let mut rig = Rig::new(|_| {});
    rig.refuse(0);
    assert_eq!(rig.stands(0), HEALTHY);
    rig.fails(1, Failure::Refused, 1);
    assert_eq!((rig.stands(0).1, rig.active()), (Cause::Refused, "home".to_owned()));
    rig.confirmed(1, ConnectOutcome::Refused);
    assert_eq!((rig.stands(1).1, rig.active()), (Cause::Refused, "away".to_owned()));
}

#[test]
fn a_doubted_endpoint_is_condemned_when_the_others_become_suspect() {
    let mut rig = Rig::new(|_| {});
    rig.refuse(0);
    rig.silent(1, 9, 0);
    assert_eq!((rig.stands(0).1, rig.stands(1), rig.active()), (Cause::Refused, HEALTHY, "home".to_owned()));
}

#[test]
fn others_that_are_out_of_use_are_no_others() {
    let mut rig = Rig::new(|_| {});
    rig.order(administer(1, Administrative::Maint));
    rig.refuse(0);
    assert_eq!((rig.stands(0).1, rig.active()), (Cause::Refused, "away".to_owned()));
}

#[test]
fn the_answer_to_a_question_that_is_moot_restores_nobody() {
    let mut rig = Rig::new(|_| {});
    rig.refuse(0);
    rig.wait(DOUBT); // asked again
    rig.refuse(1); // nobody is left: condemned before the answer
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!(rig.stands(0).1, Cause::Refused);
}

#[test]
fn a_lost_second_connect_ends_the_doubt() {
    let mut rig = Rig::new(|_| {});
    rig.refuse(0);
    rig.wait(secs(2));
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn a_reload_to_on_refused_checks_ends_a_doubt() {
    let mut rig = Rig::new(|_| {});
    rig.refuse(0);
    rig.shop().failover.on_refused = OnRefused::Checks;
    rig.configure();
    rig.effects.clear();
    rig.wait(secs(1));
    assert_eq!((rig.suspected(0), rig.asked(confirm, 0)), (false, false));
}

// ---- resets -------------------------------------------------------------------------------------------------------

#[test]
fn cut_streams_of_a_killed_process_are_a_refusal_and_no_ejection() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Reset, 9);
    assert!(rig.asked(confirm, 0));
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false), "the outlier rule waits for the answer");
    rig.confirmed(0, ConnectOutcome::Refused);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, true));
    rig.fails(1, Failure::Reset, 9);
    rig.confirmed(1, ConnectOutcome::Refused);
    assert_eq!((rig.stands(0).1, rig.stands(1).1, rig.active()), (Cause::Refused, Cause::Refused, "away".to_owned()));
    let evidence = &rig.status().pools[0].endpoints[0].evidence;
    assert_eq!(evidence, "a connection was reset, and the confirming connect refused");
}

#[test]
fn who_resets_and_accepts_is_judged_by_its_failures() {
    for outcome in [ConnectOutcome::Connected, ConnectOutcome::Timeout, ConnectOutcome::Local] {
        let mut rig = Rig::new(|_| {});
        rig.fails(0, Failure::Reset, 4);
        rig.confirmed(0, outcome);
        assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
        rig.in_band(0, Digest { streak: 5, ..reset() });
        assert_eq!(rig.stands(0), HEALTHY);
        rig.confirmed(0, outcome);
        assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive), "{outcome:?}");
    }
}

fn reset() -> Digest {
    let mut digest = Digest::default();
    digest.failed.0[Failure::Reset as usize] = 1;
    digest
}

#[test]
fn a_reset_among_good_answers_and_one_under_on_refused_checks_are_not_asked_after() {
    let mut rig = Rig::new(|_| {});
    rig.in_band(0, Digest { good: 3, ..reset() });
    assert!(!rig.asked(confirm, 0));
    let mut rig = Rig::new(|shop| shop.failover.on_refused = OnRefused::Checks);
    rig.fails(0, Failure::Reset, 5);
    assert!(!rig.asked(confirm, 0));
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Consecutive));
}

#[test]
fn a_restart_that_cut_streams_and_refused_requests_is_no_failure() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Reset, 9);
    rig.fails(0, Failure::Refused, 1);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false), "the listener was gone and is there again");
    rig.fails(0, Failure::Reset, 9);
    rig.confirmed(0, ConnectOutcome::Refused);
    rig.wait(DOUBT);
    rig.confirmed(0, ConnectOutcome::Connected);
    assert_eq!((rig.stands(0), rig.suspected(0)), (HEALTHY, false));
}

#[test]
fn who_is_ejected_and_refuses_as_well_is_out_for_the_reason_that_is_told() {
    let mut rig = Rig::new(|_| {});
    rig.silent(0, 9, 3);
    rig.fails(0, Failure::Reset, 1);
    rig.fails(1, Failure::Refused, 1);
    rig.confirmed(0, ConnectOutcome::Refused);
    assert_eq!(rig.stands(0), STALLED);
    assert!(rig.status().pools[0].endpoints[0].evidence.starts_with("9 requests without an answer"));
}
