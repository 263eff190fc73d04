//! Claims about the active pool.

use super::*;
use crate::time::MonoTime;

/// Home has been well again for so long that nothing but the given rule keeps the service away.
fn lose_home(rig: &mut Rig) {
    rig.lose_home();
    assert_eq!(rig.active(), "away");
}

fn come_home(rig: &mut Rig) {
    rig.all(&[0, 1], Rig::rise);
    let hold_down = rig.status().hold_down_left_ms.expect("home is recovering");
    rig.wait(Duration::from_millis(hold_down));
    assert_eq!(rig.active(), "home");
}

#[test]
fn the_first_choice_waits_for_the_best_pool_or_for_all() {
    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[2, 3], Rig::pass);
    rig.fall(0);
    assert_eq!(rig.serving(), Serving::Starting);
    rig.fall(1);
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.core.incidents().count(), 0, "the first choice is not a switch");
}

#[test]
fn the_first_choice_does_not_wait_for_lower_pools() {
    let mut rig = Rig::unprobed(|shop| shop.pools.push(pool("last", 3)));
    rig.pass(4);
    rig.lose_home();
    assert_eq!(rig.serving(), Serving::Starting, "away has not been asked");
    rig.pass(2);
    assert_eq!(rig.active(), "away");
}

#[test]
fn lost_first_probes_delay_the_first_choice_only_so_long() {
    let mut rig = Rig::unprobed(|_| {});
    rig.pass(2);
    rig.wait(Duration::from_millis(1499));
    assert_eq!(rig.serving(), Serving::Starting);
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.active(), "away");
}

#[test]
fn one_refusing_endpoint_of_two_closes_without_a_switch() {
    let mut rig = Rig::new(|_| {});
    rig.die(0);
    assert_eq!((rig.endpoint(0).admission, rig.active()), (Admission::Closed, "home".to_owned()));
}

#[test]
fn a_pool_that_refuses_as_a_whole_is_left_at_once() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], Rig::refuse);
    assert_eq!(rig.active(), "away");
    let kinds: Vec<_> = rig.effects.iter().filter(|e| matches!(e, Effect::Sessions { .. })).collect();
    let until = rig.now.after(secs(30));
    let action = SessionAction::Drain { until };
    let epoch = rig.last().epoch;
    assert_eq!(kinds, [&Effect::Sessions { service: "shop".into(), pool: "home".into(), epoch, action }]);
}

#[test]
fn min_healthy_endpoints_make_a_pool() {
    let mut rig = Rig::new(|shop| shop.failover.min_healthy = 2);
    rig.die(0);
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_pool_that_lies_falls_by_its_traffic_and_comes_home_only_over_trials() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.fails(1, Failure::Gateway, 5);
    assert_eq!(rig.active(), "away");
    for _ in 0..89 {
        rig.wait(secs(1));
        rig.all(&[0, 1], Rig::pass);
        assert_eq!((rig.active(), rig.endpoint(0).admission), ("away".to_owned(), Admission::Closed));
    }
    rig.wait(secs(1)); // 30 s of ejection, and 60 s of hold-down from then
    assert_eq!((rig.active(), rig.endpoint(0).admission), ("away".to_owned(), Admission::Trial));
    rig.trial(0, false);
    rig.trial(1, false);
    assert_eq!((rig.active(), rig.endpoint(0).admission), ("away".to_owned(), Admission::Closed));
    rig.wait(secs(60 + 60));
    (0..3).for_each(|_| rig.trial(0, true));
    assert_eq!(rig.active(), "home");
}

#[test]
fn checks_alone_do_not_bring_a_pool_home_that_traffic_could_try() {
    let mut rig = Rig::new(|_| {});
    rig.fails(0, Failure::Gateway, 5);
    rig.fails(1, Failure::Gateway, 5);
    rig.wait(secs(30 + 60));
    assert_eq!(rig.endpoint(0).admission, Admission::Trial);
    for _ in 0..20 {
        rig.wait(secs(10));
        rig.all(&[0, 1], |rig, id| rig.in_band(id, Digest { triable: true, ..Digest::default() }));
        assert_eq!(rig.active(), "away", "the budget has no room for trials, and that proves nothing");
    }
    rig.wait(secs(30));
    assert_eq!(rig.active(), "home", "nobody is there to try it");
}

#[test]
fn failback_waits_for_the_hold_down_from_the_recovery() {
    let mut rig = Rig::new(|_| {});
    lose_home(&mut rig);
    rig.wait(secs(601)); // beyond the damping: no flapping
    rig.rise(0);
    rig.wait(secs(59));
    assert_eq!(rig.active(), "away");
    rig.fall(0);
    rig.wait(secs(10));
    rig.rise(0);
    rig.wait(secs(59));
    assert_eq!(rig.active(), "away", "it counts from the last recovery");
    rig.wait(secs(1));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
}

#[test]
fn nobody_comes_home_to_a_pool_whose_last_probe_failed() {
    let mut rig = Rig::new(|_| {});
    lose_home(&mut rig);
    rig.wait(secs(601));
    rig.rise(0);
    rig.wait(secs(59));
    rig.fail(0);
    rig.wait(secs(5));
    assert_eq!(rig.active(), "away", "one lost probe is no fall, but no time to come home either");
    rig.pass(0);
    rig.wait(secs(59));
    assert_eq!(rig.active(), "away", "it was not well for the whole hold-down");
    rig.wait(secs(1));
    assert_eq!(rig.active(), "home");
}

#[test]
fn relapses_double_the_hold_down_up_to_eight_times() {
    let mut rig = Rig::new(|shop| shop.failover.max_failovers.count = 99);
    let mut held = Vec::new();
    for _ in 0..6 {
        lose_home(&mut rig);
        rig.wait(secs(601)); // beyond the damping: no flapping
        rig.all(&[0, 1], Rig::rise);
        held.push(rig.status().hold_down_left_ms.unwrap() / 1000);
        rig.wait(secs(held.last().copied().unwrap()));
        assert_eq!(rig.active(), "home");
        rig.wait(secs(31)); // beyond the confirm window: no rollback
    }
    assert_eq!(held, [60, 120, 240, 480, 480, 480]);
    rig.wait(secs(601));
    lose_home(&mut rig);
    rig.all(&[0, 1], Rig::rise);
    assert_eq!(rig.status().hold_down_left_ms, Some(60_000), "what held for longer than the damping is forgiven");
}

#[test]
fn too_many_failovers_freeze_failback_but_not_failover() {
    let mut rig = Rig::new(|shop| {
        shop.failover.failback.hold_down = secs(1);
        shop.failover.max_failovers = MaxFailovers { count: 1, per: secs(600) };
    });
    lose_home(&mut rig);
    come_home(&mut rig);
    rig.wait(secs(31));
    lose_home(&mut rig);
    assert_eq!(rig.conditions(), (vec![ConditionKind::Frozen], vec![]));
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(300));
    assert_eq!(rig.active(), "away");
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failover));
    rig.all(&[2, 3], Rig::rise);
    rig.order(rig.command(|service| ActCommand::Thaw { service }));
    assert_eq!(rig.status().frozen_for_ms, None);
}

/// The freezes that were told: when each began and ends.
fn freezes(rig: &Rig) -> Vec<(MonoTime, Option<MonoTime>)> {
    let told = rig.effects.iter().filter_map(|effect| match effect {
        Effect::Condition(ConditionChange::Raised(told)) if told.kind == ConditionKind::Frozen => Some(told),
        _ => None,
    });
    told.map(|told| (told.since, told.until)).collect()
}

#[test]
fn a_freeze_that_becomes_longer_is_told_again_with_its_new_end_and_keeps_its_beginning() {
    let mut rig = Rig::new(|shop| shop.failover.max_failovers = MaxFailovers { count: 1, per: secs(600) });
    lose_home(&mut rig);
    rig.all(&[0, 1], Rig::rise);
    let first = rig.now;
    rig.wait(secs(100));
    assert_eq!(rig.active(), "home");
    lose_home(&mut rig);
    rig.all(&[0, 1], Rig::rise);
    let second = rig.now;
    rig.wait(secs(100));
    assert_eq!(freezes(&rig), [(second, Some(first.after(secs(600))))]);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(freezes(&rig)[1..], [(second, Some(second.after(secs(600))))]);

    // It goes on under another name of the service, and after a restart its end is known again.
    rig.effects.clear();
    rig.shop().name = "store".into();
    rig.configure();
    assert_eq!(freezes(&rig), [(second, Some(second.after(secs(600))))]);
    assert_eq!(rig.conditions().1, [ConditionKind::Frozen]);
    let saved = rig.core.saved(rig.now);
    (rig.core, rig.effects) = (Decision::new(Some(saved), rig.now), Vec::new());
    rig.configure();
    assert_eq!(freezes(&rig), []);
    rig.wait(secs(600));
    let ended = rig.effects.iter().find_map(|effect| match effect {
        Effect::Condition(ConditionChange::Cleared(ended)) if ended.kind == ConditionKind::Frozen => Some(ended),
        _ => None,
    });
    let ended = ended.expect("it ends");
    assert_eq!((ended.since, ended.until), (second, Some(second.after(secs(600)))));
}

#[test]
fn a_new_pool_that_fails_soon_is_rolled_back_once_and_nothing_freezes() {
    let mut rig = Rig::new(|_| {});
    rig.order(switchover("away"));
    rig.wait(secs(29));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Rollback));
    rig.all(&[2, 3], Rig::rise);
    rig.lose_home();
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Failover), "not a second time");
    assert_eq!((rig.status().frozen_for_ms, rig.conditions().0.len()), (None, 0));
}

fn outages(rig: &Rig) -> usize {
    rig.core.incidents().filter(|incident| incident.outage).count()
}

/// A page.
fn sorry() -> Pool {
    Pool { members: page_members(), ..pool("sorry", 9) }
}

/// Home with a standby and a page.
fn three(count: u32) -> Rig {
    Rig::new(|shop| {
        shop.failover.max_failovers.count = count;
        shop.pools.push(sorry());
    })
}

#[test]
fn a_total_outage_is_one_and_so_is_a_failover_that_is_rolled_back() {
    let mut rig = three(1);
    rig.lose_home();
    rig.wait(secs(20));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("sorry".to_owned(), SwitchKind::Failover));
    rig.wait(secs(300));
    rig.all(&[2, 3], Rig::rise);
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Recovery));
    assert_eq!((outages(&rig), rig.conditions().0.len()), (1, 0), "and nothing freezes");

    let mut rig = three(1);
    rig.lose_home();
    rig.wait(secs(5));
    rig.all(&[0, 1], Rig::rise);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Rollback));
    assert_eq!((outages(&rig), rig.status().frozen_for_ms), (1, None));
}

#[test]
fn pools_that_fail_in_turn_are_counted_however_fast() {
    let mut rig = three(3);
    let (mut here, mut there) = ([0, 1], [2, 3]);
    for _ in 0..12 {
        rig.all(&here, Rig::fall);
        rig.wait(secs(10));
        rig.all(&here, Rig::rise);
        std::mem::swap(&mut here, &mut there);
    }
    assert_eq!(outages(&rig), 3, "one in each window of 30 s, the first switch of the next one after it");
    assert!(rig.status().frozen_for_ms.is_none());
    rig.all(&here, Rig::fall);
    assert!(rig.status().frozen_for_ms.is_some(), "{} outages", outages(&rig));
}

#[test]
fn later_than_the_window_it_is_a_failover() {
    let mut rig = Rig::new(|_| {});
    rig.order(switchover("away"));
    rig.wait(secs(31));
    rig.all(&[2, 3], Rig::fall);
    assert_eq!(rig.last().kind, SwitchKind::Failover);
}

#[test]
fn an_ordered_switchover_is_not_undone() {
    let mut rig = Rig::new(|_| {});
    rig.order(switchover("away"));
    rig.wait(secs(100_000));
    assert_eq!((rig.active(), rig.status().ordered), ("away".to_owned(), true));
    rig.order(rig.command(|service| ActCommand::Failback { service }));
    assert_eq!((rig.active(), rig.last().actor), ("home".to_owned(), Actor::local("ada")));
}

#[test]
fn a_pin_wins_and_is_alerted_when_it_points_at_nothing_usable() {
    let mut rig = Rig::new(|_| {});
    rig.order(pin("away"));
    rig.all(&[2, 3], Rig::refuse);
    rig.wait(secs(1000));
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.conditions(), (vec![ConditionKind::PinnedToUnusable], vec![]));
    assert_eq!(rig.alarms()[0].pool.as_deref(), Some("away"));
    rig.order(pin("away"));
    assert_eq!(rig.conditions().0.len(), 1, "the same pin is no other reason");
    rig.order(rig.command(|service| ActCommand::Unpin { service }));
    assert_eq!(rig.active(), "home");
    assert_eq!(rig.conditions().1, [ConditionKind::PinnedToUnusable]);
    assert_eq!(rig.alarms(), []);
}

#[test]
fn acts_that_cannot_be_carried_out_say_why() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[2, 3], Rig::fall);
    let refusals: [(ActCommand, &str); 5] = [
        (switchover("away"), "not_available"),
        (switchover("moon"), "no_pool"),
        (rig.command(|service| ActCommand::Unpin { service }), "not_pinned"),
        (administer(77, Administrative::Maint), "no_endpoint"),
        (ActCommand::Thaw { service: "barn".into() }, "no_service"),
    ];
    for (command, code) in refusals {
        let outcome = rig.order(command);
        assert!(matches!(&outcome, ActOutcome::Refused(refusal) if refusal.code() == code), "{outcome:?}");
    }
    assert_eq!(
        (rig.alerts().len(), rig.active()),
        (0, "home".to_owned()),
        "no alert: the answer is told to its sender"
    );
    let unknown = ActRefusal::UnknownPool { service: "shop".into(), pool: "moon".into(), known: vec!["home".into()] };
    assert_eq!(unknown.to_string(), "shop has no pool moon: it has home");
    let json = serde_json::to_value(&unknown).expect("plain data");
    assert_eq!(json["code"], unknown.code());
}

#[test]
fn an_act_that_changes_nothing_says_so() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(rig.order(switchover("home")), ActOutcome::NoChange);
    assert_eq!(rig.order(switchover("away")), ActOutcome::Done);
    assert_eq!(rig.order(switchover("away")), ActOutcome::NoChange);
    assert_eq!(rig.order(pin("away")), ActOutcome::Done);
    assert_eq!(rig.order(pin("away")), ActOutcome::NoChange);
    assert_eq!(rig.order(administer(0, Administrative::Drain)), ActOutcome::Done);
    assert_eq!(rig.order(administer(0, Administrative::Drain)), ActOutcome::NoChange);
}

#[test]
fn an_act_whose_time_has_passed_is_refused() {
    let mut rig = Rig::new(|_| {});
    let act =
        |id, expires| Act { expires: Some(expires), ..Act::new(ActId(id), Actor::local("ada"), switchover("away")) };
    let now = rig.now;
    assert_eq!(rig.act(act(103, now)), ActOutcome::Refused(ActRefusal::Expired));
    assert_eq!(rig.active(), "home");
    assert_eq!(rig.act(act(104, now.after(secs(1)))), ActOutcome::Done);
    assert_eq!(rig.active(), "away");
}

#[test]
fn an_act_that_is_sent_again_is_answered_again_and_does_nothing() {
    let mut rig = Rig::new(|_| {});
    let act = |pool: &str| Act::new(ActId(100), Actor::local("ada"), switchover(pool));
    assert_eq!(rig.act(act("away")), ActOutcome::Done);
    assert_eq!(rig.order(ActCommand::Failback { service: "shop".into() }), ActOutcome::Done);
    let before = (rig.active(), rig.core.incidents().count());
    assert_eq!(rig.act(act("away")), ActOutcome::Done, "the answer of then");
    assert_eq!(rig.act(act("home")), ActOutcome::Refused(ActRefusal::IdReused));
    assert_eq!((rig.active(), rig.core.incidents().count()), before);
    // The same holds after a restart.
    let saved = rig.core.saved(rig.now);
    assert_eq!(saved.acts.len(), 2);
    let mut next = Rig { core: Decision::new(Some(saved), rig.now), ..rig };
    next.configure();
    assert_eq!(next.act(act("away")), ActOutcome::Done);
    assert_eq!(next.act(act("home")), ActOutcome::Refused(ActRefusal::IdReused));
}

#[test]
fn actors_are_read_as_they_were_written_before() {
    let read = |text: &str| serde_json::from_str::<Actor>(text).expect("an actor");
    assert_eq!(read("\"standfast\""), Actor::standfast());
    assert_eq!(read("{\"operator\":\"ada\"}"), Actor::local("ada"));
    let token = Actor { kind: ActorKind::Token, name: "ci".to_owned(), origin: Some("10.0.0.9".to_owned()) };
    for actor in [Actor::standfast(), Actor::local("ada"), token] {
        assert_eq!(read(&serde_json::to_string(&actor).expect("plain data")), actor);
    }
    assert_eq!(serde_json::to_string(&Actor::standfast()).expect("plain data"), "\"standfast\"");
}

#[test]
fn manual_failback_waits_for_its_operator() {
    let mut rig = Rig::new(|shop| shop.failover.failback.mode = FailbackMode::Manual);
    lose_home(&mut rig);
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(100_000));
    assert_eq!(rig.active(), "away");
    rig.order(rig.command(|service| ActCommand::Failback { service }));
    assert_eq!(rig.active(), "home");
}

#[test]
fn endpoints_that_fail_only_their_checks_go_on_when_all_are_down() {
    let mut rig = Rig::new(|_| {});
    rig.good(0);
    rig.all(&[2, 3, 0, 1], Rig::fall);
    assert_eq!((rig.active(), rig.status().failing_open), ("home".to_owned(), true));
    assert_eq!((rig.endpoint(0).admission, rig.endpoint(1).admission), (Admission::Open, Admission::Closed));
    assert_eq!(rig.conditions(), (vec![ConditionKind::AllDown], vec![]));
    rig.rise(3);
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.conditions().1, [ConditionKind::AllDown]);
}

#[test]
fn with_nobody_left_one_good_trial_ends_the_outage() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1, 2, 3], Rig::refuse);
    assert_eq!(rig.serving(), Serving::Down);
    assert_eq!(rig.endpoint(3).admission, Admission::Trial);
    rig.trial(3, true);
    assert_eq!(rig.active(), "away");
}

#[test]
fn fail_closed_serves_nothing_that_its_checks_condemn() {
    let mut rig = Rig::new(|shop| shop.failover.on_all_down = OnAllDown::FailClosed);
    rig.good(0);
    rig.all(&[2, 3, 0, 1], Rig::fall);
    assert_eq!(rig.serving(), Serving::Down);
    assert!((0..4).all(|id| rig.endpoint(id).admission == Admission::Closed));
    rig.rise(0);
    assert_eq!(rig.active(), "home");
}

#[test]
fn a_static_response_never_fails() {
    let mut rig = Rig::new(|shop| shop.pools.push(sorry()));
    rig.all(&[2, 3, 0, 1], Rig::refuse);
    assert_eq!(rig.active(), "sorry");
    let outage = rig.last().fault;
    rig.answered(); // a page was shown: that did not end the outage
    rig.wait(secs(40));
    rig.rise(2);
    rig.confirmed(2, ConnectOutcome::Connected);
    assert_eq!((rig.active(), rig.last().kind), ("away".to_owned(), SwitchKind::Recovery), "a page is not service");
    assert_eq!(rig.last().fault, outage);
    rig.order(switchover("sorry"));
    rig.wait(secs(100));
    assert_eq!(rig.active(), "sorry", "an operator wanted it");
}

#[test]
fn an_outage_ends_when_its_pool_is_well_also_when_nothing_was_asked_in_between() {
    let outages_begin_at = |proven: bool| {
        let mut rig = Rig::new(|_| {});
        let first = rig.now;
        rig.all(&[0, 1], Rig::refuse);
        assert_eq!(rig.active(), "away");
        rig.wait(secs(2));
        if proven {
            rig.pass(2);
        }
        rig.rise(0);
        rig.confirmed(0, ConnectOutcome::Connected);
        rig.wait(secs(14));
        let second = rig.now;
        rig.all(&[2, 3], Rig::refuse);
        assert_eq!(rig.active(), "home");
        (rig.last().fault, first, second)
    };
    let (fault, _, second) = outages_begin_at(true);
    assert_eq!(fault, second, "a probe found the new pool well: this is another outage");
    let (fault, first, _) = outages_begin_at(false);
    assert_eq!(fault, first, "no answer and no probe: the first outage may never have ended");
}

/// The service has failed over, nothing has asked the new pool, and home could serve again. And when home failed.
fn failed_over() -> (Rig, MonoTime) {
    let mut rig = Rig::new(|_| {});
    let first = rig.now;
    rig.all(&[0, 1], Rig::refuse);
    rig.wait(secs(1));
    rig.rise(0);
    rig.confirmed(0, ConnectOutcome::Connected);
    (rig, first)
}

#[test]
fn a_probe_that_passes_during_the_trouble_ends_no_outage() {
    let (mut rig, first) = failed_over();
    // Checks of the new pool pass, and its traffic fails from the beginning.
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Gateway, 2));
    rig.wait(secs(1));
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(1));
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Gateway, 20));
    assert_eq!((rig.active(), rig.last().fault), ("home".to_owned(), first));
}

#[test]
fn checks_that_pass_while_nothing_is_answered_end_no_outage() {
    let (mut rig, first) = failed_over();
    // The new pool accepts and says nothing, behind checks that pass.
    rig.all(&[2, 3], |rig, id| rig.silent(id, 9, 0));
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(8));
    rig.all(&[2, 3], Rig::pass);
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Timeout, 20));
    assert_eq!((rig.active(), rig.last().fault), ("home".to_owned(), first));
    // Where one request only was asked, its timeout alone says so.
    let (mut rig, first) = failed_over();
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(8));
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Timeout, 20));
    assert_eq!((rig.active(), rig.last().fault), ("home".to_owned(), first));
}

#[test]
fn what_checks_say_during_a_trouble_does_not_hide_that_all_was_well_before() {
    let (mut rig, _) = failed_over();
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(1));
    let second = rig.now;
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Gateway, 2));
    rig.wait(secs(1));
    rig.all(&[2, 3], Rig::pass);
    rig.all(&[2, 3], |rig, id| rig.fails(id, Failure::Gateway, 20));
    assert_eq!((rig.active(), rig.last().fault), ("home".to_owned(), second));
}

#[test]
fn a_lost_share_goes_to_the_others_and_comes_back_after_the_hold_down() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    assert_eq!(rig.serving(), Serving::Shared(vec![1, 1]));
    rig.all(&[0, 1], Rig::refuse);
    assert_eq!(rig.serving(), Serving::Shared(vec![0, 1]));
    rig.wait(secs(1));
    rig.all(&[0, 1], Rig::rise);
    rig.all(&[0, 1], |rig, id| rig.confirmed(id, ConnectOutcome::Connected));
    rig.wait(secs(59));
    assert_eq!(rig.serving(), Serving::Shared(vec![0, 1]));
    rig.wait(secs(1));
    assert_eq!((rig.serving(), rig.last().kind), (Serving::Shared(vec![1, 1]), SwitchKind::Failback));
}

#[test]
fn maintenance_of_the_whole_pool_moves_the_service() {
    let mut rig = Rig::new(|_| {});
    for id in [0, 1] {
        rig.order(administer(id, Administrative::Maint));
    }
    assert_eq!((rig.active(), rig.endpoint(0).admission), ("away".to_owned(), Admission::Closed));
}
