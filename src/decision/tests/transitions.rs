//! Switches that wait for gates.

use super::*;

/// Two gates, which a switch waits for.
fn gates() -> Vec<Gate> {
    vec![gate("hook"), gate("copy")]
}

fn hooked(at_limit: LimitAction, change: impl FnOnce(&mut Service)) -> Rig {
    gated(Rig::new(change), gates(), at_limit)
}

impl Rig {
    fn gate_answered(&mut self, id: TransitionId, name: &str, outcome: GateOutcome) {
        let event = Event::GateAnswered { transition: id, seen: self.now, gate: gate(name), outcome };
        self.tell(event);
    }

    fn open(&mut self) {
        let id = self.waiting().id;
        self.gate_answered(id, "hook", GateOutcome::Open);
        self.gate_answered(id, "copy", GateOutcome::Open);
    }

    /// How transitions went, since this was last asked.
    fn stages(&mut self) -> Vec<TransitionStage> {
        let effects = std::mem::take(&mut self.effects).into_iter();
        let stages = effects.filter_map(|effect| match effect {
            Effect::Transition(record) => Some(record.stage),
            _ => None,
        });
        stages.filter(|stage| !matches!(stage, TransitionStage::Waiting { .. })).collect()
    }
}

#[test]
fn a_switch_waits_until_all_of_its_gates_are_open() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    let waiting = rig.waiting();
    assert_eq!((rig.active().as_str(), waiting.kind), ("home", SwitchKind::Failover));
    assert_eq!((waiting.from.as_deref(), waiting.to.as_deref(), waiting.left_ms), (Some("home"), Some("away"), 5000));
    rig.wait(secs(2));
    rig.gate_answered(waiting.id, "hook", GateOutcome::Open);
    rig.gate_answered(waiting.id, "hook", GateOutcome::Open);
    assert_eq!(rig.active(), "home");
    let open: Vec<bool> = rig.waiting().gates.iter().map(|gate| gate.open).collect();
    assert_eq!((open, rig.waiting().for_ms, rig.waiting().left_ms), (vec![true, false], 2000, 3000));
    rig.gate_answered(waiting.id, "copy", GateOutcome::Open);
    assert_eq!((rig.active().as_str(), rig.status().transition), ("away", None));
    assert_eq!((rig.last().decided, rig.last().kind), (rig.now, SwitchKind::Failover));
    assert_eq!(rig.stages(), [TransitionStage::Taken]);
}

#[test]
fn a_switch_whose_reason_is_gone_is_withdrawn_and_not_taken_later() {
    let mut rig = hooked(LimitAction::GoAhead, |_| {});
    rig.lose_home();
    let id = rig.waiting().id;
    rig.all(&[0, 1], Rig::rise);
    assert_eq!(rig.stages(), [TransitionStage::Withdrawn]);
    for name in ["hook", "copy"] {
        rig.gate_answered(id, name, GateOutcome::Open);
    }
    rig.wait(secs(20));
    assert_eq!((rig.active().as_str(), rig.status().transition, rig.core.incidents().count()), ("home", None, 0));
}

#[test]
fn a_better_target_takes_the_place_of_the_one_that_fails_while_it_is_waited_for() {
    let mut rig = hooked(LimitAction::GiveUp, |service| service.pools.push(pool("third", 3)));
    rig.all(&[4, 5], Rig::pass);
    rig.lose_home();
    let before = rig.waiting();
    rig.wait(secs(3));
    rig.all(&[2, 3], Rig::fall);
    let after = rig.waiting();
    assert_eq!((after.to.as_deref(), after.left_ms), (Some("third"), 5000));
    assert_eq!(rig.stages(), [TransitionStage::Replaced]);
    for name in ["hook", "copy"] {
        rig.gate_answered(before.id, name, GateOutcome::Open);
    }
    assert_eq!(rig.active(), "home", "what was granted was another switch");
    rig.open();
    assert_eq!(rig.active(), "third");
}

#[test]
fn a_switch_whose_time_is_over_is_given_up_and_intended_again_after_a_pause() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    rig.wait(secs(5));
    assert_eq!(rig.stages(), [TransitionStage::Expired { closed: vec![gate("hook"), gate("copy")] }]);
    rig.wait(Duration::from_millis(4999));
    rig.fail(0);
    assert_eq!((rig.active().as_str(), rig.status().transition), ("home", None));
    rig.wait(Duration::from_millis(1));
    rig.open();
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_switch_that_may_go_ahead_is_taken_when_its_time_is_over() {
    let mut rig = hooked(LimitAction::GoAhead, |_| {});
    rig.lose_home();
    let id = rig.waiting().id;
    rig.gate_answered(id, "copy", GateOutcome::Open);
    rig.wait(Duration::from_millis(4999));
    assert_eq!(rig.active(), "home");
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.stages(), [TransitionStage::WentAhead { closed: vec![gate("hook")] }]);
}

#[test]
fn a_refused_gate_ends_the_wait_at_once_whatever_applies_at_its_end() {
    let mut rig = hooked(LimitAction::GoAhead, |_| {});
    rig.lose_home();
    let id = rig.waiting().id;
    rig.gate_answered(id, "hook", GateOutcome::Refused { detail: "exit status 1".into() });
    assert_eq!(rig.stages(), [TransitionStage::Refused { gate: gate("hook"), detail: "exit status 1".into() }]);
    assert_eq!((rig.active().as_str(), rig.status().transition), ("home", None));
    rig.wait(secs(5));
    assert_ne!(rig.waiting().id, id);
}

#[test]
fn an_order_waits_in_the_place_of_an_own_switch_and_is_not_replaced_by_one() {
    let mut rig = hooked(LimitAction::GiveUp, |service| service.pools.push(pool("third", 3)));
    rig.all(&[4, 5], Rig::pass);
    rig.lose_home();
    assert_eq!(rig.order(switchover("third")), ActOutcome::Waiting);
    assert_eq!(rig.stages(), [TransitionStage::Replaced]);
    rig.wait(secs(2));
    rig.fail(0);
    assert_eq!(rig.order(switchover("third")), ActOutcome::Waiting);
    let waiting = rig.waiting();
    assert_eq!((waiting.to.as_deref(), waiting.actor, waiting.left_ms), (Some("third"), Actor::local("ada"), 3000));
    rig.open();
    assert_eq!((rig.active().as_str(), rig.status().ordered), ("third", true));
}

#[test]
fn an_order_that_is_given_up_is_over() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    assert_eq!(rig.order(switchover("away")), ActOutcome::Waiting);
    rig.wait(secs(60));
    assert_eq!((rig.active().as_str(), rig.status().transition, rig.status().ordered), ("home", None, false));
    assert_eq!(rig.stages().len(), 1);
}

#[test]
fn an_order_to_stay_calls_off_what_waits() {
    for stay in [switchover("home"), ActCommand::Failback { service: "shop".into() }, pin("home")] {
        let mut rig = hooked(LimitAction::GoAhead, |_| {});
        rig.order(switchover("away"));
        assert_eq!(rig.order(stay), ActOutcome::Done);
        assert_eq!(rig.stages(), [TransitionStage::Withdrawn]);
        rig.wait(secs(20));
        assert_eq!(rig.active(), "home");
    }
}

#[test]
fn a_pin_holds_from_the_time_its_switch_is_taken() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    assert_eq!(rig.order(pin("away")), ActOutcome::Waiting);
    assert_eq!((rig.status().pinned, rig.core.saved(rig.now).services[0].pinned.clone()), (None, None));
    rig.open();
    assert_eq!((rig.active().as_str(), rig.status().pinned.as_deref()), ("away", Some("away")));

    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.order(pin("away"));
    assert_eq!(rig.order(ActCommand::Unpin { service: "shop".into() }), ActOutcome::Done);
    assert_eq!((rig.status().transition, rig.active().as_str()), (None, "home"));
}

#[test]
fn after_a_restart_the_old_pool_serves_and_the_decision_is_made_again() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    rig.waiting();
    let saved = serde_json::to_string(&rig.core.saved(rig.now)).expect("a state");
    assert!(!saved.contains("transition"), "{saved}");
    let saved = serde_json::from_str(&saved).expect("a saved state");
    rig = gated(Rig { core: Decision::new(Some(saved), rig.now), ..rig }, gates(), LimitAction::GiveUp);
    rig.configure();
    rig.all(&[0, 1], Rig::fall);
    rig.all(&[2, 3], Rig::pass);
    assert_eq!((rig.active().as_str(), rig.waiting().to.as_deref()), ("home", Some("away")));
    rig.open();
    assert_eq!(rig.last().from.as_deref(), Some("home"));
}

#[test]
fn a_pin_of_the_time_before_the_first_choice_waits_like_a_switch_after_a_restart() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    let saved = rig.core.saved(rig.now);
    rig = gated(Rig { core: Decision::new(Some(saved), rig.now), ..rig }, gates(), LimitAction::GiveUp);
    rig.configure();
    assert_eq!(rig.order(pin("away")), ActOutcome::Done);
    rig.all(&[0, 1, 2, 3], Rig::pass);
    assert_eq!((rig.active().as_str(), rig.waiting().to.as_deref()), ("home", Some("away")));
    rig.open();
    assert_eq!((rig.active().as_str(), rig.status().pinned.as_deref()), ("away", Some("away")));
}

#[test]
fn a_reload_goes_on_with_what_waits_under_its_new_name() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.order(switchover("away"));
    rig.shop().pools[1].name = "south".into();
    rig.wait(secs(1));
    rig.configure();
    assert_eq!((rig.waiting().to.as_deref(), rig.waiting().left_ms), (Some("south"), 4000));
    rig.open();
    assert_eq!(rig.active(), "south");
}

#[test]
fn a_reload_that_removes_the_target_ends_the_wait() {
    let mut rig = hooked(LimitAction::GiveUp, |service| service.pools.push(pool("third", 3)));
    rig.all(&[4, 5], Rig::pass);
    rig.order(switchover("third"));
    rig.shop().pools.truncate(2);
    rig.configure();
    assert_eq!(rig.stages(), [TransitionStage::Withdrawn]);
    assert_eq!((rig.active().as_str(), rig.status().transition), ("home", None));
}

#[test]
fn no_pool_serves_while_the_way_from_a_removed_one_has_closed_gates() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.shop().pools.remove(0);
    rig.configure();
    assert_eq!((rig.active().as_str(), rig.waiting().kind), ("-", SwitchKind::Recovery));
    rig.open();
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_pool_that_a_reload_drains_by_weight_is_left_by_no_failover_though_that_waits() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    let PoolMembers::Endpoints(endpoints) = &mut rig.shop().pools[0].members else { unreachable!() };
    endpoints.iter_mut().for_each(|endpoint| endpoint.weight = 0);
    rig.configure();
    rig.wait(secs(1));
    rig.pass(2);
    assert_eq!((rig.waiting().kind, rig.waiting().left_ms), (SwitchKind::Switchover, 4000));
    rig.open();
    assert_eq!((rig.active().as_str(), rig.last().kind), ("away", SwitchKind::Switchover));
}

#[test]
fn a_switch_to_a_page_or_to_no_pool_has_no_gates() {
    let mut rig = hooked(LimitAction::GiveUp, |service| {
        service.failover.on_all_down = OnAllDown::FailClosed;
    });
    rig.all(&[2, 3], Rig::fall);
    rig.lose_home();
    assert_eq!((rig.active().as_str(), rig.status().transition), ("-", None));
}

#[test]
fn a_core_without_gates_says_nothing_of_transitions() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let text = serde_json::to_string(&rig.core).expect("a state");
    assert!(!text.contains("transition") && !text.contains("gates"), "{text}");
    assert_eq!((rig.active().as_str(), rig.stages()), ("away", Vec::new()));
}

#[test]
fn what_was_given_up_is_forgotten_when_a_reload_shares_the_traffic() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    rig.wait(secs(5));
    assert_eq!(rig.stages().len(), 1);
    rig.shop().mode = Mode::ActiveActive;
    rig.configure();
    rig.wait(secs(20)); // (each deadline is later than the one before)
    assert!(matches!(rig.serving(), Serving::Shared(_)));
    rig.shop().mode = Mode::ActivePassive;
    rig.configure();
    rig.wait(secs(20));
}

#[test]
fn a_limit_of_nothing_is_a_short_one_and_one_without_gates_is_none() {
    let mut rig = Rig::new(|_| {});
    let rules = GateRules { gates: gates(), limit: Duration::ZERO, at_limit: LimitAction::GiveUp };
    rig.core = rig.core.with_gates(rules.clone());
    rig.lose_home();
    rig.wait(secs(1));
    assert!((2..20).contains(&rig.stages().len()));
    let none = Decision::new(None, rig.now).with_gates(GateRules { gates: Vec::new(), ..rules });
    assert_eq!(none, Decision::new(None, rig.now));
}

#[test]
fn a_number_is_never_used_again_even_by_a_service_that_was_removed_and_added_again() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    let before = rig.waiting().id;
    let services = rig.config.services.clone();
    let mut other = (*services[0]).clone();
    (other.name, other.pools) = ("other".into(), vec![pool("third", 3)]);
    rig.config.services = vec![Arc::new(other)];
    rig.configure();
    rig.config.services = services;
    rig.configure();
    let ids: Vec<u32> = rig.core.table().services[0].pools[0].endpoints.iter().map(|row| row.id.0).collect();
    rig.all(&[ids[0], ids[1], ids[1] + 1, ids[1] + 2], Rig::pass);
    rig.all(&ids, Rig::fall);
    assert_ne!(rig.waiting().id, before);
    for name in ["hook", "copy"] {
        rig.gate_answered(before, name, GateOutcome::Open);
    }
    assert_eq!(rig.active(), "home", "what was granted was another switch");
}

#[test]
fn an_answer_finds_its_transition_under_another_name_of_the_service() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    rig.shop().name = "store".into();
    rig.configure();
    rig.open();
    assert_eq!(rig.active(), "away");
}

#[test]
fn failback_at_home_leaves_a_failover_alone_that_waits() {
    let mut rig = hooked(LimitAction::GiveUp, |_| {});
    rig.lose_home();
    let id = rig.waiting().id;
    assert_eq!(rig.order(ActCommand::Failback { service: "shop".into() }), ActOutcome::NoChange);
    assert_eq!((rig.waiting().id, rig.stages()), (id, vec![]));
}

#[test]
fn a_service_with_a_pool_that_could_serve_is_not_all_down_while_the_switch_waits() {
    let mut rig = hooked(LimitAction::GiveUp, |service| service.failover.min_healthy = 2);
    rig.fall(2);
    rig.fall(0);
    assert!(rig.status().failing_open);
    rig.rise(2);
    assert_eq!((rig.active().as_str(), rig.waiting().to.as_deref()), ("home", Some("away")));
    assert!(!rig.status().failing_open);
    assert_eq!(rig.conditions(), (vec![ConditionKind::AllDown], vec![ConditionKind::AllDown]));
}
