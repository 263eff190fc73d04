//! The fence hook: run when the former primary's sessions have ended, and before the next one gets the traffic.

use super::*;

const GOES_ON: &str = "failover: {fence: {exec: [/sbin/fence], timeout: 5s}},";
const WAITS: &str = "failover: {fence: {exec: [/sbin/fence], timeout: 5s, on_failure: wait}},";

impl Rig {
    /// The hook that was asked since it was last looked at: its transition, and the servers it was told of.
    fn asked_to_fence(&mut self) -> Option<(TransitionId, String)> {
        let asked: Vec<_> = self.effects.extract_if(.., |effect| matches!(effect, Effect::RunFence { .. })).collect();
        assert!(asked.len() < 2, "{asked:?}");
        asked.into_iter().next().map(|effect| match effect {
            Effect::RunFence { transition, from, to, .. } => (transition, format!("{from:?} {to}")),
            _ => panic!("an effect that was not taken out"),
        })
    }

    fn hook_says(&mut self, transition: TransitionId, outcome: GateOutcome) {
        let seen = self.now;
        self.tell(Event::GateAnswered { transition, seen, gate: Gate::FenceHook, outcome });
    }

    fn fence(&self) -> Option<FenceReport> {
        self.last().following.and_then(|record| record.fence)
    }
}

fn no() -> GateOutcome {
    GateOutcome::Refused { detail: "it ended with 1".into() }
}

/// The holder is gone, another one was promoted, and the sessions have ended.
fn asked(keys: &str) -> (Rig, TransitionId) {
    let mut rig = pair(ONE_POOL, keys);
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    assert_eq!(rig.asked_to_fence(), None, "sessions may be left");
    rig.sessions_end();
    let (transition, told) = rig.asked_to_fence().expect("the hook is asked");
    assert_eq!(told, "Some(10.0.1.1:5432) 10.0.2.1:5432");
    assert_eq!((rig.holder(), rig.verdict(1), rig.present(0)), (None, FollowVerdict::Next, Some(SessionAction::Close)));
    (rig, transition)
}

#[test]
fn the_next_one_is_followed_when_the_hook_has_agreed() {
    for keys in [GOES_ON, WAITS] {
        let (mut rig, transition) = asked(keys);
        rig.wait(secs(3));
        assert_eq!(rig.holder(), None);
        rig.says(1, promoted(2, 120, 100));
        assert_eq!(rig.asked_to_fence(), None, "it is asked once");
        rig.hook_says(TransitionId(transition.0 + 1), GateOutcome::Open);
        assert_eq!(rig.holder(), None, "an answer about something else");
        rig.hook_says(transition, GateOutcome::Open);
        assert_eq!(rig.holder(), Some(1));
        let wanted = FenceReport { outcome: FenceOutcome::Fenced, took_ms: 3000, detail: None };
        assert_eq!((rig.last().kind, rig.fence()), (SwitchKind::Follow, Some(wanted)));
        assert!(!rig.has(ConditionKind::Unfenced));
    }
}

#[test]
fn a_hook_that_fails_does_not_undo_a_promotion_that_has_happened() {
    let (mut rig, transition) = asked(GOES_ON);
    rig.hook_says(transition, no());
    assert_eq!(rig.holder(), Some(1));
    let wanted = FenceReport { outcome: FenceOutcome::Failed, took_ms: 0, detail: Some("it ended with 1".into()) };
    assert_eq!(rig.fence(), Some(wanted));
    assert!(rig.has(ConditionKind::Unfenced), "and is told loudly");
    let saved = Some(rig.core.saved(rig.now));
    let mut rig = Rig { core: Decision::new(saved, rig.now), effects: Vec::new(), ..rig };
    rig.configure();
    rig.says(0, primary(1, 100));
    rig.says(1, promoted(2, 120, 100));
    assert!(rig.has(ConditionKind::Unfenced), "also after a restart");
    // Until the hook says yes again.
    rig.says(0, replica(2, 120));
    rig.fall(1);
    rig.says(0, promoted(3, 130, 120));
    rig.sessions_end();
    let (transition, _) = rig.asked_to_fence().expect("the hook is asked");
    rig.hook_says(transition, GateOutcome::Open);
    assert_eq!((rig.holder(), rig.has(ConditionKind::Unfenced)), (Some(0), false));
}

#[test]
fn a_hook_without_an_answer_is_waited_for_no_longer_than_its_time() {
    let (mut rig, transition) = asked(GOES_ON);
    rig.wait(Duration::from_millis(5999));
    assert_eq!(rig.holder(), None, "its time, and a second for the answer to come");
    rig.wait(Duration::from_millis(1));
    assert_eq!((rig.holder(), rig.fence().map(|fence| fence.outcome)), (Some(1), Some(FenceOutcome::Late)));
    assert!(rig.has(ConditionKind::Unfenced));
    rig.hook_says(transition, GateOutcome::Open);
    assert!(rig.has(ConditionKind::Unfenced), "it comes too late");
}

#[test]
fn where_the_service_waits_for_its_hook_it_is_run_again() {
    let (mut rig, transition) = asked(WAITS);
    rig.hook_says(transition, no());
    assert_eq!((rig.holder(), rig.has(ConditionKind::Unfenced)), (None, true));
    rig.wait(Duration::from_millis(5999));
    assert_eq!((rig.holder(), rig.asked_to_fence()), (None, None));
    rig.wait(Duration::from_millis(1));
    rig.says(1, promoted(2, 120, 100));
    let (again, _) = rig.asked_to_fence().expect("the hook is asked again");
    rig.wait(secs(6));
    assert_eq!(rig.holder(), None, "also where it has no answer");
    rig.hook_says(again, GateOutcome::Open);
    assert_eq!(rig.holder(), None, "what comes too late is of an earlier time");
    rig.wait(secs(6));
    rig.says(1, promoted(2, 120, 100));
    let (third, _) = rig.asked_to_fence().expect("the hook is asked for the third time");
    rig.hook_says(third, GateOutcome::Open);
    assert_eq!((rig.holder(), rig.has(ConditionKind::Unfenced)), (Some(1), false));
    assert_eq!(rig.fence().map(|fence| fence.outcome), Some(FenceOutcome::Fenced));
}

#[test]
fn a_worker_that_does_not_acknowledge_does_not_keep_the_hook_from_being_run() {
    for keys in [GOES_ON, WAITS] {
        let mut rig = pair(ONE_POOL, keys);
        rig.fall(0);
        rig.says(1, promoted(2, 110, 100));
        rig.wait(Duration::from_millis(1999));
        assert_eq!(rig.asked_to_fence(), None);
        rig.wait(Duration::from_millis(1));
        let (transition, _) = rig.asked_to_fence().expect("the hook is asked");
        rig.hook_says(transition, GateOutcome::Open);
        assert_eq!(rig.holder(), Some(1));
        let mut ends = rig.effects.iter().rev().filter_map(|effect| match effect {
            Effect::Transition(record) => Some(record.stage.clone()),
            _ => None,
        });
        assert_eq!(ends.next(), Some(TransitionStage::WentAhead { closed: vec![Gate::FenceAcknowledged] }));
    }
}

#[test]
fn a_holder_that_is_back_calls_the_hook_off() {
    let (mut rig, transition) = asked(GOES_ON);
    rig.says(0, primary(1, 100));
    assert_eq!((rig.holder(), rig.last().kind, rig.fence()), (Some(0), SwitchKind::Recovery, None));
    rig.hook_says(transition, no());
    assert_eq!((rig.holder(), rig.has(ConditionKind::Unfenced)), (Some(0), false));
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    rig.sessions_end();
    assert!(rig.asked_to_fence().is_some_and(|(again, _)| again != transition), "and it is run for the next switch");
}

#[test]
fn when_another_one_is_the_next_the_hook_is_asked_again() {
    let mut rig = rig("{name: all, endpoints: ['10.0.1.1:5432', '10.0.2.1:5432', '10.0.3.1:5432']}", WAITS);
    rig.says(0, primary(1, 100));
    rig.says(1, replica(1, 90));
    rig.says(2, replica(1, 90));
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    rig.sessions_end();
    let (first, _) = rig.asked_to_fence().expect("the hook is asked");
    rig.says(2, promoted(3, 130, 120));
    let (second, told) = rig.asked_to_fence().expect("the hook is asked about another one");
    assert_eq!(told, "Some(10.0.1.1:5432) 10.0.3.1:5432");
    rig.hook_says(first, GateOutcome::Open);
    assert_eq!(rig.holder(), None);
    rig.hook_says(second, GateOutcome::Open);
    assert_eq!(rig.holder(), Some(2));
}

#[test]
fn a_restart_between_the_hook_and_the_next_table_runs_it_again() {
    let (rig, _) = asked(WAITS);
    let saved = Some(rig.core.saved(rig.now));
    let mut rig = Rig { core: Decision::new(saved, rig.now), effects: Vec::new(), ..rig };
    rig.configure();
    rig.says(1, promoted(2, 110, 100));
    rig.fall(0);
    rig.wait(secs(5));
    let (transition, _) = rig.asked_to_fence().expect("the hook is asked");
    assert_eq!(rig.holder(), None);
    rig.hook_says(transition, GateOutcome::Open);
    assert_eq!(rig.holder(), Some(1));
}

#[test]
fn the_first_choice_and_the_same_primary_need_no_hook() {
    let mut rig = pair(ONE_POOL, WAITS);
    assert_eq!(rig.asked_to_fence(), None);
    rig.fall(0);
    rig.says(0, primary(1, 100));
    assert_eq!((rig.holder(), rig.asked_to_fence()), (Some(0), None));
}
