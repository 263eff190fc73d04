//! Claims about the first choice: how long a better pool is waited for that does not pass its first probe.

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn starting(rig: &Rig) -> bool {
    rig.serving() == Serving::Starting
}

fn manual(service: &mut Service) {
    service.failover.failback.mode = FailbackMode::Manual;
}

#[test]
fn a_start_does_not_settle_on_the_standby_because_home_listens_a_little_later() {
    for change in [|_: &mut Service| {}, manual] {
        let mut rig = Rig::unprobed(change);
        rig.all(&[2, 3], Rig::pass);
        rig.all(&[0, 1], Rig::fail);
        rig.wait(ms(450));
        rig.fail(1);
        assert!(starting(&rig), "home has failed two probes at most");
        rig.pass(0);
        assert_eq!((rig.active(), rig.core.incidents().count()), ("home".to_owned(), 0));
    }
}

#[test]
fn a_start_takes_the_standby_as_soon_as_home_has_failed_all_its_probes() {
    for change in [|_: &mut Service| {}, manual] {
        let mut rig = Rig::unprobed(change);
        rig.all(&[2, 3], Rig::pass);
        for _ in 0..2 {
            rig.all(&[0, 1], Rig::fail);
            rig.wait(ms(250));
        }
        rig.fail(0);
        assert!(starting(&rig), "1 may still pass");
        rig.fail(1);
        assert_eq!((rig.active(), rig.core.incidents().count()), ("away".to_owned(), 0));
    }
}

#[test]
fn with_automatic_failback_the_standby_is_taken_before_requests_have_waited_in_vain() {
    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[2, 3], Rig::pass);
    rig.all(&[0, 1], Rig::fail);
    rig.wait(ms(899));
    assert!(starting(&rig));
    rig.wait(ms(1));
    assert_eq!((rig.active(), rig.core.incidents().count()), ("away".to_owned(), 0));
}

#[test]
fn with_manual_failback_late_probes_of_home_are_all_waited_for() {
    let mut rig = Rig::unprobed(manual);
    rig.all(&[2, 3], Rig::pass);
    for _ in 0..2 {
        rig.wait(secs(1));
        rig.all(&[0, 1], Rig::fail);
    }
    assert!(starting(&rig), "two probes were late");
    rig.wait(secs(1));
    rig.all(&[0, 1], Rig::fail);
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_home_that_never_answers_holds_a_start_for_the_first_round_and_no_longer() {
    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[2, 3], Rig::pass);
    rig.wait(secs(1));
    assert!(starting(&rig), "it has not been asked to the end");
    rig.all(&[0, 1], Rig::fail); // its timeout
    assert_eq!(rig.active(), "away");

    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[2, 3], Rig::pass);
    rig.wait(ms(1500));
    assert_eq!(rig.active(), "away", "nothing is heard of its probes");

    let mut rig = Rig::unprobed(manual);
    rig.all(&[2, 3], Rig::pass);
    rig.wait(ms(3499));
    assert!(starting(&rig));
    rig.wait(ms(1));
    assert_eq!(rig.active(), "away");
}

#[test]
fn probes_that_are_far_apart_do_not_hold_a_start_for_ever() {
    let mut rig = Rig::unprobed(|shop| {
        manual(shop);
        for pool in &mut shop.pools {
            pool.health_check.as_mut().expect("a check").fast_interval = secs(3600);
        }
    });
    rig.all(&[2, 3], Rig::pass);
    rig.all(&[0, 1], Rig::fail);
    rig.wait(ms(11_500));
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_service_that_is_all_down_at_the_start_goes_home_when_that_comes_first() {
    let mut rig = Rig::unprobed(|_| {});
    rig.all(&[0, 1, 2, 3], Rig::fail);
    rig.wait(ms(300));
    rig.pass(2);
    assert!(starting(&rig), "home may still pass its second probe");
    rig.wait(ms(100));
    rig.pass(0);
    assert_eq!(rig.active(), "home");
}
