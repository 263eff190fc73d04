//! The recovery point objective.

use super::*;

const HOLD: &str = "objectives: {rpo: 1KiB}, failover: {on_rpo_exceeded: hold},";

/// The holder is gone at 2000, and another one was promoted at that place of its log.
fn promoted_at(fork: u64, keys: &str) -> Rig {
    let mut rig = pair(ONE_POOL, keys);
    rig.says(0, primary(1, 2000));
    rig.fall(0);
    rig.says(1, promoted(2, 2100, fork));
    rig
}

fn record(rig: &Rig) -> FollowRecord {
    *rig.last().following.expect("what was said of the data")
}

/// The same after a restart of this process.
fn restarted(rig: Rig) -> Rig {
    let saved = serde_json::to_string(&rig.core.saved(rig.now)).expect("a state");
    let saved = serde_json::from_str(&saved).expect("a saved state");
    let mut rig = Rig { core: Decision::new(Some(saved), rig.now), effects: Vec::new(), ..rig };
    rig.configure();
    rig
}

#[test]
fn beyond_the_objective_it_is_followed_and_told() {
    let mut rig = promoted_at(900, "objectives: {rpo: 1KiB},");
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1), "what an orchestrator has promoted is followed");
    assert_eq!((record(&rig).lost_bytes, record(&rig).missed_rpo), (Some(1100), true));
    assert!(rig.has(ConditionKind::RpoMissed) && !rig.has(ConditionKind::BeyondRpo));
    rig.fall(1);
    rig.says(1, promoted(2, 2200, 900));
    assert!(rig.has(ConditionKind::RpoMissed), "that the same one is back changes nothing");
    let mut rig = restarted(rig);
    rig.says(0, replica(2, 2200));
    rig.says(1, promoted(2, 2200, 900));
    assert!(rig.has(ConditionKind::RpoMissed), "nor does a restart");
    rig.says(0, replica(2, 2200));
    rig.fall(1);
    rig.says(0, promoted(3, 2300, 2200));
    rig.sessions_end();
    assert_eq!((rig.holder(), record(&rig).missed_rpo, rig.has(ConditionKind::RpoMissed)), (Some(0), false, false));
}

#[test]
fn within_the_objective_nothing_is_told() {
    for keys in ["objectives: {rpo: 1KiB},", HOLD] {
        let mut rig = promoted_at(976, keys);
        rig.sessions_end();
        assert_eq!((rig.holder(), record(&rig).missed_rpo), (Some(1), false), "1024 bytes");
        assert!(!rig.has(ConditionKind::RpoMissed));
    }
}

#[test]
fn a_hold_lasts_until_an_operator_accepts_what_is_lost() {
    let mut rig = promoted_at(975, HOLD);
    assert_eq!((rig.holder(), rig.verdict(1), rig.serving()), (None, FollowVerdict::BeyondRpo, Serving::Down));
    assert!(rig.has(ConditionKind::BeyondRpo) && !rig.has(ConditionKind::MultiplePrimaries));
    assert_eq!(rig.present(0), None, "the sessions of a silent holder go on");
    rig.wait(secs(86_400));
    assert_eq!(rig.holder(), None);
    assert_eq!(rig.accept("10.0.2.1:5432"), ActOutcome::Done);
    rig.sessions_end();
    assert_eq!((rig.holder(), record(&rig).lost_bytes, record(&rig).missed_rpo), (Some(1), Some(1025), true));
    assert!(!rig.has(ConditionKind::BeyondRpo));
    // The holder itself may come back instead, and the other one is a rival.
    let mut rig = promoted_at(975, HOLD);
    rig.says(0, primary(1, 2000));
    assert_eq!(
        (rig.holder(), rig.verdict(1), rig.has(ConditionKind::BeyondRpo)),
        (Some(0), FollowVerdict::Rival, false)
    );
}

#[test]
fn what_is_not_known_is_too_much() {
    let mut rig = pair(ONE_POOL, HOLD);
    rig.fall(0);
    rig.says(1, primary(3, 500)); // (another promotion in between: nothing says where it forked)
    assert_eq!((rig.holder(), rig.verdict(1)), (None, FollowVerdict::BeyondRpo));
}

#[test]
fn a_hold_does_not_last_for_ever_where_there_is_a_patience() {
    let keys = "objectives: {rpo: 1KiB}, failover: {on_rpo_exceeded: hold, rpo_patience: 30s},";
    let mut rig = promoted_at(975, keys);
    rig.wait(secs(20));
    assert_eq!(rig.status().following.and_then(|following| following.beyond_rpo_ms), Some(20_000));
    // It is told how long it has waited over a restart, too.
    let mut rig = restarted(rig);
    rig.says(1, primary(2, 2100));
    rig.fall(0);
    rig.wait(Duration::from_millis(9_999));
    assert_eq!((rig.holder(), rig.verdict(1)), (None, FollowVerdict::BeyondRpo));
    rig.wait(Duration::from_millis(1));
    assert_eq!((rig.holder(), record(&rig).missed_rpo), (Some(1), true));
    // Not after a restart: the sessions are waited for, and the time that passes meanwhile begins no other hold.
    let mut rig = promoted_at(975, keys);
    rig.wait(secs(30));
    assert_eq!((rig.holder(), rig.verdict(1)), (None, FollowVerdict::Next));
    rig.wait(secs(1));
    assert_eq!(rig.verdict(1), FollowVerdict::Next);
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1));
}

/// The holder writes 100 bytes each second for ten seconds, and is silent since then; another one is promoted at that place.
fn written_for_ten_seconds(fork: u64, silent: Duration, keys: &str) -> Rig {
    let mut rig = pair(ONE_POOL, keys);
    for second in 1..=10 {
        rig.wait(secs(1));
        rig.says(0, primary(1, 100 + second * 100));
        rig.says(1, replica(1, second * 100));
    }
    rig.wait(silent);
    rig.fall(0);
    rig.says(1, promoted(2, 2000, fork.max(1000)));
    rig
}

#[test]
fn a_time_counts_from_when_the_former_holder_was_there() {
    // Where it forked the holder was two seconds before its last sample, which is one second old.
    let mut rig = written_for_ten_seconds(1000, secs(1), "objectives: {rpo: 2s},");
    rig.sessions_end();
    let found = record(&rig);
    assert_eq!(
        (found.lost_bytes, found.lost_ms, found.age_ms, found.missed_rpo),
        (Some(100), Some(2000), Some(1000), false)
    );
    let mut rig = written_for_ten_seconds(1000, Duration::from_millis(1001), "objectives: {rpo: 2s},");
    rig.sessions_end();
    assert_eq!((record(&rig).lost_ms, record(&rig).missed_rpo), (Some(2001), true));
    let hold = "objectives: {rpo: 2s}, failover: {on_rpo_exceeded: hold},";
    let rig = written_for_ten_seconds(1000, Duration::from_millis(1001), hold);
    assert_eq!(rig.verdict(1), FollowVerdict::BeyondRpo);
    // What waits for the end of the sessions is not given up for the time that this takes.
    let mut rig = written_for_ten_seconds(1000, secs(1), hold);
    rig.wait(secs(1));
    assert_eq!(rig.verdict(1), FollowVerdict::Next);
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1));
    // All that was seen of it is there: the age of the last sample is what may be lost.
    let mut rig = written_for_ten_seconds(1100, secs(3), "objectives: {rpo: 2s},");
    rig.sessions_end();
    assert_eq!((record(&rig).lost_bytes, record(&rig).lost_ms, record(&rig).missed_rpo), (Some(0), Some(3000), true));
}

#[test]
fn a_holder_that_is_back_with_all_it_had_has_lost_nothing() {
    let mut rig = pair(ONE_POOL, "objectives: {rpo: 2s},");
    rig.fall(0);
    rig.wait(secs(60));
    rig.says(0, primary(1, 100));
    let found = record(&rig);
    assert_eq!((found.lost_bytes, found.lost_ms, found.missed_rpo), (Some(0), None, false));
}

#[test]
fn an_idle_primary_does_not_fall_behind_itself() {
    let mut rig = pair(ONE_POOL, "objectives: {rpo: 2s},");
    for _ in 0..600 {
        rig.wait(secs(1));
        rig.says(0, primary(1, 100));
        rig.says(1, replica(1, 100));
    }
    // Two that answer: the other one has all but what was written in the last second.
    rig.says(0, primary(1, 160));
    rig.says(1, promoted(2, 200, 100));
    assert_eq!((rig.holder(), rig.verdict(1)), (None, FollowVerdict::Next));
    rig.sessions_end();
    assert_eq!((rig.holder(), record(&rig).missed_rpo), (Some(1), false));
    let mut rig = pair(ONE_POOL, "objectives: {rpo: 2s},");
    rig.wait(Duration::from_millis(2001));
    rig.says(0, primary(1, 160));
    rig.says(1, promoted(2, 200, 100));
    assert_eq!((rig.holder(), rig.verdict(1)), (Some(0), FollowVerdict::Rival), "more than two seconds");
}
