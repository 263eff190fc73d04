//! Claims about restarts, reloads and the state as plain data.

use super::*;
use crate::time::MonoTime;

/// Another process, whose clock began elsewhere, takes up what this one saved.
fn restart(rig: &mut Rig) {
    let text = serde_json::to_string(&rig.core.saved(rig.now)).expect("saved");
    let saved: Saved = serde_json::from_str(&text).expect("read");
    rig.now = MonoTime::from_micros(900_000_000_000);
    rig.core = Decision::new(Some(saved.aged(secs(5))), rig.now);
    rig.configure();
    rig.effects.clear();
}

#[test]
fn a_restart_stays_on_the_pool_that_was_active() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    restart(&mut rig);
    rig.all(&[0, 1], Rig::pass);
    assert_eq!(rig.serving(), Serving::Starting, "home is well, and not chosen");
    rig.pass(2);
    assert_eq!(rig.active(), "away");
    rig.wait(secs(59));
    assert_eq!(rig.active(), "away");
    rig.wait(secs(1));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
}

#[test]
fn a_restart_leaves_a_pool_that_died_meanwhile_by_a_switch() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(31)); // beyond the confirm window: no rollback
    restart(&mut rig);
    rig.all(&[0, 1], Rig::pass);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failover));
    assert_eq!(rig.last().from.as_deref(), Some("away"));
}

#[test]
fn a_restart_does_not_leave_a_pool_whose_first_probes_are_late() {
    for active in ["home", "away"] {
        let mut rig = Rig::new(|_| {});
        let (mine, other) = if active == "home" { ([0, 1], [2, 3]) } else { ([2, 3], [0, 1]) };
        if active == "away" {
            rig.all(&other, Rig::fall);
            rig.wait(secs(31));
        }
        let switches = rig.core.incidents().count();
        restart(&mut rig);
        rig.all(&other, Rig::pass);
        for _ in 0..2 {
            rig.wait(secs(1));
            rig.all(&mine, Rig::fail);
        }
        assert_eq!(rig.serving(), Serving::Starting, "two of three probes were late");
        rig.pass(mine[0]);
        assert_eq!((rig.active(), rig.core.incidents().count()), (active.to_owned(), switches));
    }
}

#[test]
fn a_restart_asks_the_others_before_nobody_serves() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(31));
    restart(&mut rig);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.serving(), Serving::Starting, "home has not been asked");
    rig.pass(0);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failover));
    assert_eq!(rig.core.incidents().count(), 2, "one choice, one incident");
}

#[test]
fn a_restart_waits_only_so_long_for_the_pool_that_was_active() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    restart(&mut rig);
    rig.all(&[0, 1], Rig::pass);
    rig.wait(Duration::from_millis(3499));
    assert_eq!(rig.serving(), Serving::Starting, "three probes may be late");
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.active(), "home");
}

#[test]
fn pins_freezes_orders_and_maintenance_survive_a_restart() {
    let mut rig = Rig::new(|shop| shop.failover.max_failovers.count = 0);
    rig.order(switchover("away"));
    rig.all(&[2, 3], Rig::fall); // one outage is one too many here
    rig.order(administer(0, Administrative::Drain));
    rig.order(pin("away"));
    restart(&mut rig);
    rig.all(&[0, 1, 2, 3], Rig::pass);
    let status = rig.status();
    assert_eq!((rig.active(), status.pinned.as_deref()), ("away".to_owned(), Some("away")));
    assert_eq!(status.frozen_for_ms, Some(595_000));
    assert_eq!(rig.endpoint(0).standing.administrative, Administrative::Drain);
}

#[test]
fn incidents_keep_their_numbers_and_their_recovery_time() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(3));
    rig.answered();
    let before = rig.last();
    restart(&mut rig);
    let after = rig.last();
    assert_eq!((after.id, after.rto()), (before.id, before.rto()));
    assert_eq!(rig.now.since(after.decided), secs(3 + 5));
}

#[test]
fn another_format_is_not_restored() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let mut saved = rig.core.saved(rig.now);
    saved.version += 1;
    assert_eq!(Decision::new(Some(saved), rig.now), Decision::new(None, rig.now));
}

#[test]
fn a_reload_keeps_identities_health_and_decisions() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let before = rig.core.table();
    rig.shop().pools[1].weight = 7;
    rig.wait(secs(1));
    rig.configure();
    let after = rig.core.table();
    assert_eq!((&after.services, after.epoch), (&before.services, before.epoch + 1));
}

#[test]
fn a_reload_with_other_addresses_waits_for_their_first_probes() {
    let moved = || {
        let mut rig = Rig::new(|_| {});
        rig.shop().pools[0] = pool("home", 7);
        rig.configure();
        assert_eq!(rig.serving(), Serving::Starting, "requests wait");
        rig
    };
    let mut rig = moved();
    rig.pass(4);
    assert_eq!((rig.active(), rig.core.incidents().count()), ("home".to_owned(), 0));

    let mut rig = moved();
    rig.all(&[4, 5], Rig::fail);
    rig.wait(Duration::from_millis(400));
    rig.pass(4);
    assert_eq!((rig.active(), rig.core.incidents().count()), ("home".to_owned(), 0), "they may come a little later");

    let mut rig = moved();
    rig.all(&[4, 5], Rig::fail);
    rig.wait(Duration::from_millis(900));
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Failover));
    assert_eq!(rig.last().from.as_deref(), Some("home"));

    let mut rig = moved();
    rig.wait(secs(2));
    assert_eq!(rig.active(), "away", "not for ever");
}

#[test]
fn endpoints_and_services_that_are_no_longer_named_vanish() {
    let mut rig = Rig::new(|_| {});
    let gone = rig.shop().pools.remove(1);
    rig.configure();
    assert_eq!(rig.core.table().services[0].pools.len(), 1);
    rig.all(&[2, 3], Rig::fall); // nobody is told about
    rig.shop().pools.push(gone);
    rig.configure();
    assert_eq!(rig.stands(4), (Operational::Checking, Cause::Start), "it returns as another");
    rig.config.services.clear();
    rig.configure();
    assert_eq!(rig.core.table().services, []);
}

#[test]
fn an_active_pool_that_a_reload_removes_is_left_by_a_switch() {
    let mut rig = Rig::new(|_| {});
    rig.shop().pools.remove(0);
    rig.configure();
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Switchover));
    assert!(!rig.status().ordered);
}

#[test]
fn another_check_keeps_the_standing_and_begins_its_streaks_anew() {
    let mut rig = Rig::new(|_| {});
    rig.fail(0);
    rig.fail(0);
    let check = rig.shop().pools[0].health_check.as_mut().expect("a check");
    check.interval = secs(3);
    rig.configure();
    rig.fail(0);
    rig.fail(0);
    assert_eq!(rig.stands(0).0, Operational::Healthy);
    rig.fail(0);
    assert_eq!(rig.stands(0).0, Operational::Unhealthy);
    rig.shop().pools[0].health_check = None;
    rig.configure();
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::Unchecked));
}

#[test]
fn the_state_is_plain_data() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], Rig::refuse);
    rig.fails(2, Failure::Gateway, 5);
    let text = serde_json::to_string(&rig.core).expect("serialized");
    assert_eq!(serde_json::from_str::<Decision>(&text).expect("read"), rig.core);
}

#[test]
fn effects_come_in_their_fixed_order() {
    let mut rig = Rig::new(|_| {});
    rig.core.handle(Event::Configured(Arc::new(rig.config.clone())), rig.now);
    for id in [0, 1] {
        let outcome = ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: String::new() };
        let event = Event::Probed { endpoint: EndpointId(id), seen: rig.now, began: None, outcome };
        (0..3).for_each(|_| rig.core.handle(event.clone(), rig.now));
    }
    let effects = rig.core.effects();
    let place = |what: fn(&Effect) -> bool| effects.iter().position(what).expect("it is there");
    assert_eq!(place(|e| *e == Effect::Publish), 0);
    let sessions = place(|e| matches!(e, Effect::Sessions { .. }));
    let incident = place(|e| matches!(e, Effect::Incident(_)));
    let persist = place(|e| *e == Effect::Persist);
    assert!(sessions < incident && incident < persist);
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Publish).count(), 1);
}

#[test]
fn a_restart_neither_raises_nor_clears_a_condition_that_goes_on() {
    let mut rig = Rig::new(|_| {});
    rig.order(pin("away"));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.conditions().0, [ConditionKind::PinnedToUnusable]);
    restart(&mut rig);
    assert_eq!(rig.alarms().len(), 1, "it is open while the service starts");
    rig.all(&[0, 1], Rig::pass);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.conditions()), ("away".to_owned(), (vec![], vec![])));
    assert!(rig.alarms()[0].for_ms >= 5_000, "it has been open since before");
    rig.all(&[2, 3], Rig::rise);
    assert_eq!(rig.conditions(), (vec![], vec![ConditionKind::PinnedToUnusable]));
    restart(&mut rig);
    assert_eq!(rig.alarms(), []);
}

#[test]
fn a_state_of_before_there_were_conditions_is_read() {
    let rig = Rig::new(|_| {});
    let mut saved = serde_json::to_value(rig.core.saved(rig.now)).expect("saved");
    saved["services"][0].as_object_mut().expect("a service").remove("conditions").expect("they are saved");
    let saved: Saved = serde_json::from_value(saved).expect("read");
    assert_eq!(saved.services[0].conditions, []);
}

#[test]
fn what_a_service_that_is_gone_has_left_open_is_cleared() {
    let cleared = |rig: &Rig| {
        let change = rig.effects.iter().find_map(|effect| match effect {
            Effect::Condition(ConditionChange::Cleared(ended)) if ended.kind == ConditionKind::AllDown => Some(ended),
            _ => None,
        });
        change.map(|condition| (condition.service.to_string(), condition.kind))
    };
    let down = || {
        let mut rig = Rig::new(|_| {});
        rig.all(&[0, 1, 2, 3], Rig::refuse);
        assert_eq!(rig.conditions().0, [ConditionKind::AllDown]);
        rig.effects.clear();
        rig
    };
    // By a reload …
    let mut rig = down();
    rig.config.services.clear();
    rig.configure();
    assert_eq!(cleared(&rig), Some(("shop".to_owned(), ConditionKind::AllDown)));
    // … by a restart with another configuration …
    let mut rig = down();
    let saved = rig.core.saved(rig.now);
    rig.core = Decision::new(Some(saved), rig.now);
    rig.config.services.clear();
    rig.configure();
    assert_eq!(cleared(&rig), Some(("shop".to_owned(), ConditionKind::AllDown)));
    // … and under another name it goes on.
    let mut rig = down();
    rig.shop().name = "store".into();
    rig.configure();
    assert_eq!(cleared(&rig), Some(("shop".to_owned(), ConditionKind::AllDown)));
    assert_eq!(rig.alarms()[0].kind, ConditionKind::AllDown);
}
