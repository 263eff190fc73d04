//! Conditions that follow from where the service is and how its pools are: each is raised once, and cleared when its reason ends.

use super::*;

/// What was told since the effects were last taken: `+kind pool` where one was raised, `-kind pool` where one was cleared.
fn told(rig: &mut Rig) -> Vec<String> {
    let mut told = Vec::new();
    for effect in std::mem::take(&mut rig.effects) {
        let Effect::Condition(change) = effect else { continue };
        let condition = change.condition();
        let sign = if matches!(change, ConditionChange::Raised(_)) { "+" } else { "-" };
        let pool = condition.pool.as_ref().map(|pool| format!(" {pool}")).unwrap_or_default();
        told.push(format!("{sign}{}{pool}", condition.kind.as_str()));
    }
    told.sort();
    told
}

#[test]
fn a_failover_and_the_way_home_raise_and_clear_each_condition_once() {
    let mut rig = Rig::new(|_| {});
    rig.fall(0);
    assert_eq!(told(&mut rig), ["+endpoint_out home"]);
    rig.fall(1);
    assert_eq!(told(&mut rig), ["+no_standby", "+on_standby away"]);
    rig.all(&[0, 1], Rig::fail);
    rig.wait(secs(600));
    assert_eq!(told(&mut rig), Vec::<String>::new(), "nothing is told again meanwhile");
    rig.all(&[0, 1], Rig::rise);
    assert_eq!(told(&mut rig), ["-endpoint_out home", "-no_standby"]);
    rig.wait(secs(61));
    assert_eq!((rig.active(), told(&mut rig)), ("home".to_owned(), vec!["-on_standby away".to_owned()]));
    assert_eq!(rig.status().conditions, []);
}

#[test]
fn a_service_with_one_pool_has_planned_for_no_standby() {
    let mut rig = Rig::new(|shop| shop.pools.truncate(1));
    assert_eq!(rig.status().conditions, []);
    rig.fall(0);
    assert_eq!(told(&mut rig), ["+endpoint_out home"]);
}

#[test]
fn a_standby_that_falls_leaves_none() {
    let mut rig = Rig::new(|shop| shop.failover.min_healthy = 2);
    rig.fall(2);
    assert_eq!(told(&mut rig), ["+endpoint_out away", "+no_standby"]);
    rig.rise(2);
    assert_eq!(told(&mut rig), ["-endpoint_out away", "-no_standby"]);
    rig.order(administer(2, Administrative::Maint));
    assert_eq!(told(&mut rig), ["+no_standby"], "an endpoint that an operator takes out is not out");
}

#[test]
fn a_share_that_is_lost_is_a_standby_that_serves() {
    let mut rig = Rig::new(|shop| shop.mode = Mode::ActiveActive);
    rig.lose_home();
    assert_eq!(told(&mut rig), ["+endpoint_out home", "+no_standby", "+on_standby away"]);
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(61));
    assert_eq!(told(&mut rig), ["-endpoint_out home", "-no_standby", "-on_standby away"]);
}

#[test]
fn a_recovery_that_took_too_long_stays_known_until_the_next_one() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(11));
    rig.answered();
    assert!(told(&mut rig).contains(&"+objective_missed".to_owned()));
    let saved = rig.core.saved(rig.now);
    rig.core = Decision::new(Some(saved), rig.now);
    rig.configure();
    rig.all(&[2, 3], Rig::pass);
    assert!(rig.status().missed, "a restart knows it");
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(61));
    rig.answered();
    assert!(rig.status().missed, "a failback is no recovery");
    rig.wait(secs(31));
    rig.lose_home();
    rig.answered();
    assert!(told(&mut rig).contains(&"-objective_missed".to_owned()));
}
