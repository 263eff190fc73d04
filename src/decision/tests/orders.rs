//! What operators order beside switches: holds, evacuations, weights, ejections, and ends that come by themselves.

use super::*;

fn hold(rig: &mut Rig, scope: HoldScope, lasts: Duration) -> ActOutcome {
    let command = ActCommand::Hold { service: "shop".into(), scope, until: until(rig, lasts) };
    rig.order(command)
}

fn release(rig: &mut Rig) -> ActOutcome {
    rig.order(ActCommand::Release { service: "shop".into() })
}

fn code(outcome: ActOutcome) -> &'static str {
    match outcome {
        ActOutcome::Refused(refusal) => refusal.code(),
        outcome => outcome.as_str(),
    }
}

fn held_incidents(rig: &Rig) -> Vec<(SwitchKind, Option<String>)> {
    let held = rig.core.incidents().filter(|incident| incident.held);
    held.map(|incident| (incident.kind, incident.to.as_ref().map(|to| to.to_string()))).collect()
}

/// A hold of everything: the failover is recorded and not made, and is made as soon as the hold ends.
#[test]
fn a_failover_that_is_held_is_recorded_and_made_afterwards() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(hold(&mut rig, HoldScope::All, secs(60)), ActOutcome::Done);
    rig.lose_home();
    assert_eq!(rig.active(), "home");
    assert_eq!(held_incidents(&rig), [(SwitchKind::Failover, Some("away".to_owned()))]);
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::Sessions { .. })), "no session is touched");
    let open: Vec<_> = rig.status().conditions.iter().map(|open| open.kind).collect();
    assert!(open.contains(&ConditionKind::Held) && !open.contains(&ConditionKind::AllDown), "{open:?}");
    rig.wait(secs(30));
    rig.all(&[0, 1], Rig::fail);
    assert_eq!(held_incidents(&rig).len(), 1, "one incident as long as it is the same switch");
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(held_incidents(&rig)[1..], [(SwitchKind::Failover, None)], "now there is no pool to go to");
    rig.all(&[2, 3], Rig::rise);
    rig.wait(secs(31));
    assert_eq!((rig.active(), rig.last().kind, rig.last().held), ("away".to_owned(), SwitchKind::Failover, false));
    assert!(rig.last().outage && rig.status().frozen_for_ms.is_none());
    assert_eq!(rig.status().hold, None);
}

#[test]
fn a_hold_is_released_by_hand_and_ends_a_day_later_at_most() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(code(release(&mut rig)), "not_held");
    assert_eq!(code(hold(&mut rig, HoldScope::All, secs(24 * 3600 + 1))), "until_too_far");
    let past = ActUntil { at: rig.now, said: "1s ago".to_owned() };
    let command = ActCommand::Hold { service: "shop".into(), scope: HoldScope::All, until: past };
    assert_eq!(code(rig.order(command)), "until_passed");
    assert_eq!(code(hold(&mut rig, HoldScope::All, secs(24 * 3600))), "done");
    assert_eq!(code(hold(&mut rig, HoldScope::All, secs(24 * 3600))), "no_change");
    assert_eq!(code(rig.order(switchover("away"))), "held");
    assert_eq!(code(rig.order(pin("away"))), "held");
    assert_eq!(code(rig.order(pin("home"))), "done", "it moves nothing");
    assert_eq!(code(release(&mut rig)), "done");
    assert_eq!(rig.alarms(), []);
    assert_eq!(code(rig.order(pin("away"))), "done");
}

#[test]
fn an_elective_hold_keeps_the_service_from_going_home_and_not_from_failing_over() {
    let mut rig = Rig::new(|_| {});
    hold(&mut rig, HoldScope::Elective, secs(3600));
    rig.lose_home();
    assert_eq!((rig.active(), held_incidents(&rig)), ("away".to_owned(), vec![]));
    rig.wait(secs(31));
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(1800));
    assert_eq!(rig.active(), "away", "its hold-down is long over");
    let failback = rig.command(|service| ActCommand::Failback { service });
    assert_eq!(code(rig.order(failback)), "held");
    rig.wait(secs(1800));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
}

/// A service is never kept down by a hold.
#[test]
fn a_held_service_that_is_down_recovers() {
    let mut rig = Rig::new(|shop| shop.failover.on_all_down = OnAllDown::FailClosed);
    rig.lose_home();
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.serving(), Serving::Down);
    hold(&mut rig, HoldScope::All, secs(60));
    rig.all(&[2, 3], Rig::rise);
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Recovery));
}

#[test]
fn pools_that_share_keep_their_shares_while_held() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    hold(&mut rig, HoldScope::All, secs(60));
    rig.lose_home();
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 1]));
    assert_eq!(held_incidents(&rig), [(SwitchKind::Failover, Some("away".to_owned()))]);
    release(&mut rig);
    assert_eq!((rig.serving(), rig.last().held), (Serving::Shared(vec![0, 1]), false));
}

fn zoned(rig: impl FnOnce(&mut Service)) -> Rig {
    Rig::new(|shop| {
        shop.pools[0].zone = Some("west".into());
        shop.pools[1].zone = Some("north".into());
        rig(shop);
    })
}

fn evacuate(rig: &mut Rig, zone: &str, lasts: Duration, partial: bool) -> ActOutcome {
    let services = vec!["shop".into()];
    let until = until(rig, lasts);
    rig.order(ActCommand::Evacuate { zone: zone.into(), until, partial, services })
}

fn end_evacuation(rig: &mut Rig, zone: &str) -> ActOutcome {
    rig.order(ActCommand::Return { zone: zone.into(), services: vec!["shop".into()] })
}

#[test]
fn a_zone_is_left_and_the_service_comes_home_when_its_time_is_over() {
    let mut rig = zoned(|_| {});
    assert_eq!(evacuate(&mut rig, "west", secs(3600), false), ActOutcome::Done);
    assert_eq!(
        (rig.active(), rig.last().kind, rig.last().actor),
        ("away".to_owned(), SwitchKind::Switchover, Actor::local("ada"))
    );
    assert!(rig.status().conditions.iter().any(|open| open.kind == ConditionKind::Evacuated));
    rig.wait(secs(3599));
    assert_eq!(rig.active(), "away");
    assert_eq!(code(rig.order(switchover("home"))), "evacuated");
    let failback = rig.command(|service| ActCommand::Failback { service });
    assert_eq!(code(rig.order(failback)), "no_better_pool");
    rig.wait(secs(2));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
    assert_eq!(rig.status().evacuated, []);
}

#[test]
fn an_evacuated_pool_serves_only_where_no_other_can_and_is_left_again() {
    let mut rig = zoned(|_| {});
    evacuate(&mut rig, "west", secs(72 * 3600), false);
    rig.wait(secs(100));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failover));
    rig.wait(secs(40));
    rig.all(&[2, 3], Rig::rise);
    rig.wait(secs(3600));
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Failback), "it is evacuated still");
    assert_eq!(code(end_evacuation(&mut rig, "west")), "done");
    assert_eq!(code(end_evacuation(&mut rig, "west")), "not_evacuated");
    rig.wait(secs(1));
    assert_eq!(rig.active(), "home");
}

#[test]
fn a_standby_in_an_evacuated_zone_is_not_chosen() {
    let mut rig = zoned(|shop| {
        shop.pools.push(Pool { zone: Some("south".into()), ..pool("far", 3) });
    });
    rig.all(&[4, 5], Rig::pass);
    evacuate(&mut rig, "north", secs(3600), false);
    assert_eq!(rig.active(), "home", "it is not there");
    rig.lose_home();
    assert_eq!(rig.active(), "far");
    assert_eq!(code(evacuate(&mut rig, "east", secs(60), false)), "no_zone");
    assert_eq!(code(evacuate(&mut rig, "west", secs(72 * 3600 + 1), false)), "until_too_far");
}

#[test]
fn what_cannot_leave_is_named_and_nothing_moves() {
    let mut rig = zoned(|_| {});
    rig.all(&[2, 3], Rig::fall);
    let outcome = evacuate(&mut rig, "west", secs(60), false);
    assert_eq!(
        outcome.clone(),
        ActOutcome::Refused(ActRefusal::CannotEvacuate {
            zone: "west".into(),
            stays: vec![ServiceStays { service: "shop".into(), why: "no pool outside it is available".to_owned() }],
        })
    );
    assert_eq!(code(evacuate(&mut rig, "west", secs(60), true)), "partly");
    assert_eq!((rig.active(), rig.status().evacuated), ("home".to_owned(), vec![]));
    rig.all(&[2, 3], Rig::rise);
    rig.order(pin("home"));
    assert_eq!(code(evacuate(&mut rig, "west", secs(60), false)), "cannot_evacuate");
    rig.order(rig.command(|service| ActCommand::Unpin { service }));
    hold(&mut rig, HoldScope::Elective, secs(60));
    assert_eq!(code(evacuate(&mut rig, "west", secs(60), false)), "cannot_evacuate");
}

#[test]
fn shares_leave_a_zone_and_come_back() {
    let mut rig = zoned(|shop| shop.mode = Mode::ActiveActive);
    evacuate(&mut rig, "west", secs(60), false);
    assert_eq!((rig.serving(), rig.last().kind), (Serving::Shared(vec![0, 1]), SwitchKind::Switchover));
    assert_eq!(rig.last().from.as_deref(), Some("home"));
    rig.wait(secs(61));
    assert_eq!((rig.serving(), rig.last().kind), (Serving::Shared(vec![1, 1]), SwitchKind::Failback));
}

#[test]
fn several_services_leave_a_zone_under_one_epoch() {
    let mut rig = zoned(|_| {});
    let other = Service {
        name: "pay".into(),
        pools: vec![
            Pool { zone: Some("west".into()), ..pool("p0", 8) },
            Pool { zone: Some("north".into()), ..pool("p1", 9) },
        ],
        ..shop()
    };
    rig.config.services.push(Arc::new(other));
    rig.configure();
    rig.all(&[4, 5, 6, 7], Rig::pass);
    rig.effects.clear();
    let services = vec!["shop".into(), "pay".into()];
    let until = until(&rig, secs(60));
    rig.order(ActCommand::Evacuate { zone: "west".into(), until, partial: false, services });
    let moved: Vec<_> = rig.core.incidents().map(|incident| (incident.service.to_string(), incident.epoch)).collect();
    assert_eq!(moved.len(), 2);
    assert_eq!(moved[0].1, moved[1].1);
    assert_eq!(rig.effects.iter().filter(|effect| **effect == Effect::Publish).count(), 1);
}

fn weight(rig: &Rig, id: u8, weight: u32, lasts: Option<Duration>, force: bool) -> ActCommand {
    let address = std::net::SocketAddr::from(([10, 0, 1 + id / 2, 1 + id % 2], 80));
    let until = lasts.map(|lasts| until(rig, lasts));
    ActCommand::Weight { service: "shop".into(), address, weight, until, force }
}

#[test]
fn a_weight_by_order_applies_until_its_end_or_a_reload_that_changes_the_configured_one() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(code(rig.order(weight(&rig, 0, 1001, None, false))), "weight_too_large");
    assert_eq!(code(rig.order(weight(&rig, 0, 7, Some(secs(60)), false))), "done");
    assert_eq!(code(rig.order(weight(&rig, 0, 7, Some(secs(60)), false))), "no_change");
    assert_eq!(rig.endpoint(0).weight, Some(7));
    rig.configure();
    assert_eq!(rig.endpoint(0).weight, Some(7), "the configured one is as before");
    rig.wait(secs(60));
    assert_eq!(rig.endpoint(0).weight, None);
    rig.order(weight(&rig, 0, 0, None, false));
    assert_eq!((rig.endpoint(0).weight, rig.endpoint(0).admission), (Some(0), Admission::Closed));
    assert_eq!(code(rig.order(weight(&rig, 1, 0, None, false))), "last_endpoint");
    let PoolMembers::Endpoints(endpoints) = &mut rig.shop().pools[0].members else { panic!("endpoints") };
    endpoints[0].weight = 3;
    rig.configure();
    assert_eq!((rig.endpoint(0).weight, rig.endpoint(0).admission), (None, Admission::Open));
}

#[test]
fn the_last_endpoint_of_a_serving_pool_goes_by_force_alone_and_then_by_order() {
    let mut rig = Rig::new(|_| {});
    let drain = |endpoints, force| ActCommand::Administer {
        service: "shop".into(),
        endpoints,
        state: Administrative::Drain,
        force,
    };
    let home = || EndpointSelection::Pool("home".into());
    let refused = rig.order(drain(home(), false));
    let ActOutcome::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code(), "last_endpoint");
    assert!(refusal.to_string().ends_with("with force the service goes to away"), "{refusal}");
    assert_eq!(code(rig.order(drain(EndpointSelection::Pool("away".into()), false))), "done", "it does not serve");
    assert_eq!(code(rig.order(drain(EndpointSelection::Pool("nope".into()), true))), "no_pool");
    assert_eq!(code(rig.order(drain(EndpointSelection::Zone("nope".into()), true))), "no_zone");
    let ready = ActCommand::Administer {
        service: "shop".into(),
        endpoints: EndpointSelection::Pool("away".into()),
        state: Administrative::Ready,
        force: false,
    };
    rig.order(ready);
    assert_eq!(code(rig.order(drain(home(), true))), "done");
    assert_eq!(
        (rig.active(), rig.last().kind, rig.last().actor),
        ("away".to_owned(), SwitchKind::Switchover, Actor::local("ada"))
    );
    assert!(!rig.last().outage, "an order is no outage");
}

#[test]
fn an_endpoint_is_ejected_by_order_and_back_by_order_or_by_trials() {
    let mut rig = Rig::new(|_| {});
    let address = "10.0.1.1:80".parse().expect("an address");
    let eject = || ActCommand::Eject { service: "shop".into(), address, force: false };
    let uneject = || ActCommand::Uneject { service: "shop".into(), address };
    assert_eq!(code(rig.order(uneject())), "not_ejected");
    assert_eq!(code(rig.order(eject())), "done");
    assert_eq!(rig.stands(0), (Operational::Ejected, Cause::Ordered));
    assert_eq!(code(rig.order(eject())), "no_change");
    let other = "10.0.1.2:80".parse().expect("an address");
    let last = ActCommand::Eject { service: "shop".into(), address: other, force: false };
    assert_eq!(code(rig.order(last)), "last_endpoint");
    assert_eq!(code(rig.order(uneject())), "done");
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::Ordered));
    rig.order(eject());
    rig.wait(secs(61)); // the second ejection is longer
    (0..3).for_each(|_| rig.trial(0, true));
    assert_eq!(rig.stands(0), (Operational::Healthy, Cause::TrialsPassed));
}

#[test]
fn a_pin_ends_by_itself() {
    let mut rig = Rig::new(|_| {});
    let pinned = ActCommand::Pin { service: "shop".into(), pool: "away".into(), until: Some(until(&rig, secs(600))) };
    assert_eq!(code(rig.order(pinned.clone())), "done");
    rig.wait(secs(599));
    assert_eq!((rig.active(), rig.status().pinned.is_some()), ("away".to_owned(), true));
    rig.wait(secs(1));
    assert_eq!((rig.active(), rig.status().pinned), ("home".to_owned(), None));
    rig.order(ActCommand::Pin { service: "shop".into(), pool: "away".into(), until: Some(until(&rig, secs(600))) });
    rig.order(pin("away"));
    rig.wait(secs(6000));
    assert_eq!(rig.active(), "away", "the second one has no end");
}

/// Orders survive a restart with the time that is left of them.
#[test]
fn orders_survive_a_restart() {
    let mut rig = zoned(|_| {});
    hold(&mut rig, HoldScope::All, secs(100));
    rig.order(weight(&rig, 1, 5, Some(secs(200)), false));
    rig.order(weight(&rig, 2, 9, None, false));
    release(&mut rig);
    evacuate(&mut rig, "west", secs(300), false);
    hold(&mut rig, HoldScope::Elective, secs(100));
    rig.wait(secs(10));
    let text = serde_json::to_string(&rig.core.saved(rig.now)).expect("it is written");
    let saved: Saved = serde_json::from_str(&text).expect("it is read");
    let mut left_out = Vec::new();
    let saved = saved.checked(&mut left_out).expect("it is sound").aged(secs(20));
    assert_eq!(left_out, Vec::<String>::new());
    let now = MonoTime::from_micros(77_000_000);
    let mut next = Rig { core: Decision::new(Some(saved), now), now, effects: Vec::new(), ..rig };
    next.configure();
    next.all(&[0, 1, 2, 3], Rig::pass);
    let status = next.status();
    assert_eq!(status.hold, Some(HoldStatus { scope: HoldScope::Elective, left_ms: 70_000 }));
    assert_eq!(status.evacuated, [EvacuationStatus { zone: "west".into(), left_ms: 270_000 }]);
    assert_eq!((next.endpoint(1).weight, next.endpoint(2).weight), (Some(5), Some(9)));
    assert_eq!(next.active(), "away");
    next.wait(secs(71));
    assert_eq!(next.status().hold, None);
    next.wait(secs(100));
    assert_eq!(next.endpoint(1).weight, None, "30 s of its time were over");
    next.wait(secs(100));
    assert_eq!(next.active(), "home");
}

/// Every decision about a service has a number of its own, and probes have none.
#[test]
fn decisions_are_counted_and_probes_are_not() {
    let mut rig = Rig::new(|_| {});
    let count = |rig: &Rig| rig.status().decisions;
    let begun = count(&rig);
    rig.fail(0);
    rig.pass(0);
    assert_eq!(count(&rig), begun);
    rig.order(pin("home"));
    let pinned = count(&rig);
    rig.order(rig.command(|service| ActCommand::Unpin { service }));
    assert!(begun < pinned && pinned < count(&rig), "not the same state again");
    let unpinned = count(&rig);
    rig.order(administer(0, Administrative::Drain));
    assert!(unpinned < count(&rig));
    let drained = count(&rig);
    rig.lose_home();
    assert!(drained < count(&rig), "the failover");
}

#[test]
fn an_act_that_is_sent_again_is_the_same_whatever_its_end_is_by_the_clock() {
    let mut rig = Rig::new(|_| {});
    let act = |at: MonoTime| {
        let until = ActUntil { at, said: "1h".to_owned() };
        let command = ActCommand::Hold { service: "shop".into(), scope: HoldScope::All, until };
        Act::new(ActId(4711), Actor::local("ada"), command)
    };
    assert_eq!(rig.act(act(rig.now.after(secs(3600)))), ActOutcome::Done);
    rig.wait(secs(5));
    assert_eq!(rig.act(act(rig.now.after(secs(3600)))), ActOutcome::Done, "the answer of then");
    assert_eq!(rig.status().hold, Some(HoldStatus { scope: HoldScope::All, left_ms: 3_595_000 }));
}

/// What goes on in another process, which was told nothing but what was saved.
fn restarted(mut rig: Rig) -> Rig {
    let saved = rig.core.saved(rig.now);
    rig.core = Decision::new(Some(saved), rig.now);
    rig.effects.clear();
    rig.configure();
    rig
}

#[test]
fn a_hold_does_not_keep_a_service_down_over_a_restart() {
    let mut rig = Rig::new(|shop| shop.failover.on_all_down = OnAllDown::FailClosed);
    rig.all(&[2, 3, 0, 1], Rig::fall);
    assert_eq!(rig.serving(), Serving::Down);
    hold(&mut rig, HoldScope::All, secs(3600));
    let mut rig = restarted(rig);
    rig.all(&[0, 1], Rig::fall);
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(10));
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Recovery));
    // And one that a hold keeps on a dead pool stays there.
    let mut rig = Rig::new(|_| {});
    hold(&mut rig, HoldScope::All, secs(3600));
    rig.lose_home();
    let mut rig = restarted(rig);
    rig.all(&[0, 1], Rig::fall);
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(10));
    assert_eq!((rig.active(), rig.last().held), ("home".to_owned(), true));
}

#[test]
fn a_hold_keeps_a_drained_pool_and_says_what_it_costs() {
    let mut rig = Rig::new(|_| {});
    hold(&mut rig, HoldScope::All, secs(3600));
    let drain = ActCommand::Administer {
        service: "shop".into(),
        endpoints: EndpointSelection::Pool("home".into()),
        state: Administrative::Drain,
        force: true,
    };
    assert_eq!(code(rig.order(drain)), "done");
    assert_eq!(rig.active(), "home");
    assert_eq!(
        rig.alarms().iter().map(|open| open.kind).collect::<Vec<_>>(),
        [ConditionKind::Held, ConditionKind::HeldToUnusable]
    );
    release(&mut rig);
    assert_eq!((rig.active(), rig.alarms()), ("away".to_owned(), vec![]));
}

#[test]
fn an_evacuated_share_that_had_to_take_over_goes_on_until_another_pool_has_proven_itself() {
    let mut rig = zoned(|shop| shop.mode = Mode::ActiveActive);
    evacuate(&mut rig, "west", secs(72 * 3600), false);
    assert_eq!(rig.serving(), Serving::Shared(vec![0, 1]));
    rig.wait(secs(100));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 0]));
    rig.all(&[2, 3], Rig::rise);
    rig.wait(secs(30));
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 0]), "its hold-down is not over");
    rig.wait(secs(200));
    assert_eq!((rig.serving(), rig.last().kind), (Serving::Shared(vec![0, 1]), SwitchKind::Failback));
}

#[test]
fn a_share_does_not_move_at_the_end_of_a_pin_while_held() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    rig.order(pin("home"));
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 0]));
    hold(&mut rig, HoldScope::Elective, secs(60));
    rig.order(rig.command(|service| ActCommand::Unpin { service }));
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 0]));
    release(&mut rig);
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 1]));
}

#[test]
fn an_evacuated_pool_is_left_in_manual_mode_too() {
    let mut rig = zoned(|shop| shop.failover.failback.mode = FailbackMode::Manual);
    evacuate(&mut rig, "west", secs(72 * 3600), false);
    rig.wait(secs(100));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.active(), "home");
    rig.all(&[2, 3], Rig::rise);
    rig.wait(secs(200));
    assert_eq!(rig.active(), "away");
    assert_eq!(code(end_evacuation(&mut rig, "west")), "done");
    rig.wait(secs(3600));
    assert_eq!(rig.active(), "away", "the way home is for an operator");
}

#[test]
fn a_pool_that_a_reload_removes_is_not_left_for_an_evacuated_one() {
    let mut rig = zoned(|shop| {
        shop.pools.push(Pool { zone: Some("south".into()), ..pool("far", 3) });
    });
    rig.all(&[4, 5], Rig::pass);
    evacuate(&mut rig, "west", secs(3600), false);
    assert_eq!(rig.active(), "away");
    rig.shop().pools.remove(1);
    rig.configure();
    assert_eq!(rig.active(), "far");
}

#[test]
fn the_end_of_a_weight_is_a_decision_and_leaves_a_pool_by_order() {
    let mut rig = Rig::new(|shop| {
        let PoolMembers::Endpoints(endpoints) = &mut shop.pools[0].members else { panic!("endpoints") };
        endpoints.truncate(1);
        endpoints[0].weight = 0;
    });
    rig.all(&[0, 1, 2], Rig::pass);
    assert_eq!(rig.active(), "away", "home is drained");
    rig.order(weight(&rig, 0, 5, Some(secs(600)), false));
    rig.order(switchover("home"));
    assert_eq!(rig.active(), "home");
    let before = rig.status().decisions;
    rig.wait(secs(601));
    assert_eq!((rig.active(), rig.last().kind, rig.last().outage), ("away".to_owned(), SwitchKind::Switchover, false));
    assert!(before < rig.status().decisions);
}

#[test]
fn a_reload_that_was_refused_has_the_same_answer_when_it_is_sent_again() {
    let mut rig = Rig::new(|_| {});
    let act = Act::new(ActId(7), Actor::local("ada"), ActCommand::Reload);
    let problems = vec!["services: there is none".to_owned()];
    let refused = Event::ReloadRefused { seen: rig.now, act: Box::new(act.clone()), problems: problems.clone() };
    let answer = rig.answer_to(act.id, refused);
    assert_eq!(answer, ActOutcome::Refused(ActRefusal::ConfigRefused { problems }));
    assert_eq!(rig.act(act.clone()), answer, "though its file may be right by now");
    let other =
        Event::ReloadRefused { seen: rig.now, act: Box::new(act.clone()), problems: vec!["another".to_owned()] };
    assert_eq!(rig.answer_to(act.id, other), answer);
    assert_eq!(rig.act(Act { id: ActId(8), ..act }), ActOutcome::Done);
}
