//! Claims about a home that flaps.

use super::*;

/// Home falls now and is back after `down`; how long must it be well?
fn fall_for(rig: &mut Rig, down: Duration) -> Option<u64> {
    rig.lose_home();
    rig.wait(down);
    rig.all(&[0, 1], Rig::rise);
    rig.status().hold_down_left_ms
}

#[test]
fn home_that_flaps_must_be_well_for_twice_its_longest_period() {
    let mut rig = Rig::new(|shop| shop.failover.failback.hold_down = secs(15));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(15_000), "one fall is no rhythm");
    rig.wait(secs(10));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(30_000));
    rig.wait(secs(10));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(30_000));
    rig.wait(secs(25));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(60_000));
    rig.wait(secs(1));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(60_000), "the longest counts");
    assert_eq!((rig.active(), rig.core.incidents().count()), ("away".to_owned(), 1), "one switch while it flaps");
    rig.wait(secs(60));
    assert_eq!(rig.active(), "home");
}

#[test]
fn the_rhythm_is_forgotten_after_the_damping_without_a_fall_and_never_asks_for_more() {
    let mut rig = Rig::new(|shop| shop.failover.damping = secs(100));
    fall_for(&mut rig, secs(5));
    rig.wait(secs(45));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(100_000));
    rig.wait(secs(40));
    assert_eq!(fall_for(&mut rig, secs(101)), Some(60_000), "it has been down for longer than anybody remembers");
    assert_eq!(fall_for(&mut rig, secs(5)), Some(60_000));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(60_000), "5 s: less than the hold-down");
}

#[test]
fn the_rhythm_asks_for_no_more_than_eight_hold_downs() {
    let mut rig = Rig::new(|shop| shop.failover.failback.hold_down = secs(10));
    fall_for(&mut rig, secs(5));
    rig.wait(secs(34));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(78_000));
    rig.wait(secs(60));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(80_000));
}

#[test]
fn a_reload_keeps_the_rhythm() {
    let mut rig = Rig::new(|_| {});
    fall_for(&mut rig, secs(5));
    rig.wait(secs(45));
    assert_eq!(fall_for(&mut rig, secs(5)), Some(100_000));
    rig.configure();
    assert_eq!(rig.status().hold_down_left_ms, Some(100_000));
}
