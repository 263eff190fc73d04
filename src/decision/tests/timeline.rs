//! Claims about incidents and the measured recovery time.

use super::super::timeline::{PoolFall, fault};
use super::*;
use crate::time::MonoTime;

fn fall(sign: u64, fell: u64) -> PoolFall {
    PoolFall { sign: MonoTime::from_micros(sign * 1_000_000), fell: MonoTime::from_micros(fell * 1_000_000) }
}

const NOW: MonoTime = MonoTime::from_micros(2_000_000_000);

#[test]
fn an_endpoint_dead_since_yesterday_is_not_part_of_the_fault() {
    assert_eq!(fault(vec![fall(1, 4), fall(1000, 1003)], 2, 1, NOW), fall(1000, 1003));
}

#[test]
fn signs_close_to_each_other_are_one_fault() {
    assert_eq!(fault(vec![fall(1001, 1004), fall(1000, 1003)], 2, 1, NOW), fall(1000, 1003));
}

#[test]
fn what_fell_after_the_pool_was_lost_does_not_count() {
    assert_eq!(fault(vec![fall(1000, 1003), fall(1500, 1503)], 2, 2, NOW), fall(1000, 1003));
}

#[test]
fn recovery_time_runs_from_the_first_sign_to_the_first_good_answer() {
    let mut rig = Rig::new(|shop| shop.objectives.rto = Some(secs(5)));
    let first_sign = rig.now;
    for _ in 0..3 {
        rig.all(&[0, 1], Rig::fail);
        rig.wait(secs(2));
    }
    assert_eq!((rig.active(), rig.last().fault, rig.last().answered), ("away".to_owned(), first_sign, None));
    rig.effects.clear();
    rig.answered();
    assert_eq!(rig.last().rto(), Some(secs(6)));
    assert!(matches!(rig.alerts()[..], [Alert::ObjectiveMissed { rto_ms: 6000, objective_ms: 5000, .. }]));
    assert_eq!(rig.core.table().services[0].awaiting_answer, None);
}

#[test]
fn trouble_that_passed_is_not_the_first_sign() {
    let mut rig = Rig::new(|_| {});
    rig.all(&[0, 1], Rig::fail);
    rig.wait(secs(2));
    rig.all(&[0, 1], Rig::pass);
    rig.wait(secs(2));
    let fault = rig.now;
    rig.lose_home();
    assert_eq!(rig.last().fault, fault);
}

#[test]
fn an_outage_counts_from_its_beginning() {
    let mut rig = Rig::new(|_| {});
    let fault = rig.now;
    rig.all(&[2, 3, 0, 1], Rig::refuse);
    rig.wait(secs(8));
    rig.trial(0, true);
    assert_eq!((rig.active(), rig.last().fault, rig.last().from.clone()), ("home".to_owned(), fault, None));
}

#[test]
fn an_answer_of_an_older_switch_closes_nothing() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let epoch = rig.last().epoch;
    rig.tell(Event::Answered { service: "shop".into(), epoch: epoch - 1, seen: rig.now });
    assert_eq!(rig.last().answered, None);
}

#[test]
fn the_last_64_incidents_are_kept() {
    let mut rig = Rig::new(|shop| shop.failover.max_failovers.count = 1000);
    for n in 0..100 {
        rig.order(switchover(if n % 2 == 0 { "away" } else { "home" }));
    }
    assert_eq!((rig.core.incidents().count(), rig.last().id), (64, IncidentId(99)));
}
