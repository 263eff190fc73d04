//! Sessions at a pool that was left, or that is fenced before it is.

use super::*;

fn drain(until: MonoTime) -> Option<SessionAction> {
    Some(SessionAction::Drain { until })
}

impl Rig {
    fn sessions(&self, pool: usize) -> PoolSessions {
        self.core.table().services[0].pools[pool].sessions
    }

    fn sessions_ended(&mut self, pool: &str, epoch: u64) {
        self.tell(Event::SessionsEnded { service: "shop".into(), pool: pool.into(), epoch, seen: self.now });
    }
}

/// A switch waits until the sessions of the pool that it leaves have ended.
fn fenced() -> Rig {
    gated(Rig::new(|_| {}), vec![Gate::FenceAcknowledged], LimitAction::GiveUp)
}

#[test]
fn the_table_says_what_becomes_of_sessions_of_earlier_terms() {
    let mut rig = Rig::new(|service| service.failover.drain_timeout = secs(9));
    assert_eq!(rig.sessions(0), PoolSessions::default());
    rig.lose_home();
    let left = rig.now;
    assert_eq!(rig.sessions(0), PoolSessions { earlier: drain(left.after(secs(9))), ..PoolSessions::default() });
    assert_eq!(rig.sessions(1), PoolSessions::default());
    rig.wait(secs(1));
    rig.shop().failover.sessions = Sessions::Close;
    rig.configure();
    assert_eq!(rig.sessions(0).earlier, Some(SessionAction::Close), "the rule in force");
}

#[test]
fn a_pool_keeps_its_term_while_no_other_serves() {
    let mut rig = Rig::new(|service| service.failover.on_all_down = OnAllDown::FailClosed);
    rig.all(&[2, 3], Rig::fall);
    rig.lose_home();
    assert_eq!((rig.active().as_str(), rig.sessions(0)), ("-", PoolSessions::default()));
    rig.wait(secs(3));
    rig.all(&[2, 3], Rig::rise);
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.sessions(0).earlier, drain(rig.now.after(rig.config.services[0].failover.drain_timeout)));
}

#[test]
fn an_incident_knows_when_the_last_session_of_the_left_pool_had_ended() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let epoch = rig.last().epoch;
    rig.wait(secs(2));
    rig.sessions_ended("home", epoch - 1);
    rig.sessions_ended("away", epoch);
    assert_eq!(rig.last().fenced, None);
    rig.sessions_ended("home", epoch);
    let ended = rig.now;
    rig.wait(secs(1));
    rig.sessions_ended("home", epoch);
    assert_eq!(rig.last().fenced, Some(ended), "the first time counts");
    let saved = serde_json::to_string(&rig.core.saved(rig.now)).expect("a state");
    let later = rig.now.after(secs(60));
    let core = Decision::new(Some(serde_json::from_str(&saved).expect("a saved state")), later);
    assert_eq!(core.incidents().last().and_then(|incident| incident.fenced), Some(later.before(secs(1))));
}

#[test]
fn an_incident_of_a_state_file_of_before_has_no_end_of_sessions() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let saved = serde_json::to_string(&rig.core.saved(rig.now)).expect("a state");
    assert!(!saved.contains("fenced"), "{saved}");
    let core = Decision::new(Some(serde_json::from_str(&saved).expect("a saved state")), rig.now);
    assert_eq!(core.incidents().last().map(|incident| incident.fenced), Some(None));
}

#[test]
fn a_fenced_pool_gets_no_work_until_the_switch_is_taken_when_its_last_session_has_ended() {
    let mut rig = fenced();
    rig.order(switchover("away"));
    let table = rig.core.table();
    let home = &table.services[0].pools[0];
    assert_eq!((rig.active().as_str(), home.available), ("home", true));
    assert_eq!(home.sessions.present, drain(rig.now.after(rig.config.services[0].failover.drain_timeout)));
    assert!(home.endpoints.iter().all(|endpoint| endpoint.admission == Admission::Closed), "{home:?}");
    let told = rig.effects.iter().find_map(|effect| match effect {
        Effect::Sessions { pool, epoch, .. } => Some((pool.to_string(), *epoch)),
        _ => None,
    });
    assert_eq!(told, Some(("home".to_owned(), table.epoch)));
    let id = rig.waiting().id;
    let outcome = GateOutcome::Open;
    let gate = Gate::FenceAcknowledged;
    rig.tell(Event::GateAnswered { transition: id, seen: rig.now, gate, outcome });
    rig.sessions_ended("home", table.epoch - 1);
    rig.sessions_ended("away", table.epoch);
    assert_eq!(rig.active(), "home", "an acknowledgement of something else");
    rig.sessions_ended("home", table.epoch);
    assert_eq!(rig.active(), "away");
    assert_eq!(rig.sessions(0).present, None);
}

#[test]
fn a_fence_ends_with_the_transition_that_asked_for_it() {
    let mut rig = fenced();
    rig.order(switchover("away"));
    let epoch = rig.core.table().epoch;
    rig.wait(secs(5));
    assert_eq!((rig.active().as_str(), rig.sessions(0).present), ("home", None));
    assert_eq!(rig.endpoint(0).admission, Admission::Open);
    rig.order(switchover("away"));
    rig.sessions_ended("home", epoch);
    assert_eq!(rig.active(), "home", "the earlier fence was another one");
}

#[test]
fn the_fence_of_a_pool_that_a_reload_took_away_is_awaited_before_the_next_one_serves() {
    let mut rig = fenced();
    rig.shop().pools.remove(0);
    rig.configure();
    let epoch = rig.last().epoch;
    rig.sessions_ended("home", epoch - 1);
    assert_eq!((rig.active().as_str(), rig.last().from.as_deref()), ("-", Some("home")));
    rig.wait(secs(11)); // given up once, and intended again
    rig.sessions_ended("home", epoch);
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_fence_in_the_place_of_another_is_published_too() {
    let rig = Rig::new(|service| {
        service.failover.sessions = Sessions::Close;
        service.pools.push(pool("third", 3));
    });
    let mut rig = gated(rig, vec![Gate::FenceAcknowledged], LimitAction::GiveUp);
    rig.all(&[4, 5], Rig::pass);
    let mut epochs = Vec::new();
    for to in ["away", "third"] {
        rig.order(switchover(to));
        epochs.push(rig.sessions(0).fence);
        assert_eq!(rig.sessions(0).fence, Some(rig.core.table().epoch));
    }
    assert_ne!(epochs[0], epochs[1]);
    rig.sessions_ended("home", epochs[0].expect("a fence"));
    assert_eq!(rig.active(), "home");
    rig.sessions_ended("home", epochs[1].expect("a fence"));
    assert_eq!(rig.active(), "third");
}

#[test]
fn an_order_whose_gates_are_open_from_the_beginning_is_done_at_once() {
    let mut rig = fenced();
    rig.shop().pools[0].members = page_members();
    rig.configure();
    rig.order(pin("home"));
    assert_eq!(rig.active(), "home");
    assert_eq!(rig.order(pin("away")), ActOutcome::Done);
    assert_eq!(rig.active(), "away", "a page has no sessions that could write");
}

#[test]
fn there_is_nothing_to_fence_where_the_service_comes_back_to_the_pool_that_served_last() {
    let mut rig = fenced();
    rig.all(&[2, 3], Rig::fall);
    rig.lose_home();
    rig.shop().failover.on_all_down = OnAllDown::FailClosed;
    rig.configure();
    assert_eq!(rig.active(), "-");
    rig.all(&[0, 1], Rig::rise);
    assert_eq!(rig.active(), "home");
}

#[test]
fn the_end_of_sessions_is_told_under_the_name_of_the_pool_that_was_left_whatever_it_is_called_now() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    let epoch = rig.last().epoch;
    rig.shop().pools[0].name = "casa".into();
    rig.configure();
    rig.shop().name = "store".into();
    rig.configure();
    rig.tell(Event::SessionsEnded { service: "store".into(), pool: "home".into(), epoch, seen: rig.now });
    assert_eq!(rig.last().fenced, Some(rig.now));

    let mut rig = fenced();
    rig.lose_home();
    let epoch = rig.core.table().epoch;
    rig.shop().pools[0].name = "casa".into();
    rig.configure();
    assert!(rig.sessions(0).present.is_some(), "fenced under its new name");
    rig.sessions_ended("home", epoch);
    assert_eq!(rig.active(), "away");
}

#[test]
fn a_pool_of_the_name_of_a_removed_one_is_not_taken_for_it() {
    let mut rig = fenced();
    let gone = rig.shop().pools.remove(0);
    rig.configure();
    let epoch = rig.last().epoch;
    rig.shop().pools.push(Pool { name: gone.name, ..pool("third", 3) });
    rig.configure();
    rig.wait(secs(11)); // given up once, and intended again
    assert_eq!((rig.active().as_str(), rig.sessions(1).present), ("-", None), "it has no sessions to end");
    rig.sessions_ended("home", rig.core.table().epoch);
    assert_eq!(rig.active(), "-");
    rig.sessions_ended("home", epoch);
    assert_eq!(rig.active(), "away");
}

#[test]
fn the_sessions_of_a_switch_that_is_intended_again_have_no_more_time_than_at_first() {
    let mut rig = fenced();
    rig.shop().failover.drain_timeout = secs(9);
    rig.configure();
    rig.lose_home();
    let end = drain(rig.now.after(secs(9)));
    assert_eq!(rig.sessions(0).present, end);
    rig.wait(secs(5));
    assert_eq!(rig.sessions(0).present, None, "given up");
    rig.wait(secs(5));
    assert_eq!(rig.sessions(0).present, end);
    rig.wait(secs(10));
    assert_eq!(rig.sessions(0).present, end);
    rig.sessions_ended("home", rig.core.table().epoch);
    assert_eq!(rig.active(), "away");
}

#[test]
fn no_trial_goes_to_another_pool_while_the_way_there_waits_for_its_gates() {
    let mut rig = gated(Rig::new(|_| {}), vec![gate("hook")], LimitAction::GiveUp);
    rig.fall(3);
    rig.shop().pools.remove(0);
    rig.configure();
    assert_eq!((rig.active().as_str(), rig.status().transition.is_some()), ("-", true));
    assert_eq!(rig.endpoint(3).admission, Admission::Closed);
    rig.wait(secs(5));
    assert_eq!((rig.status().transition, rig.endpoint(3).admission), (None, Admission::Closed), "nor in the pause");
}

#[test]
fn a_pool_that_waits_for_its_strangers_is_left_with_its_sessions_when_it_is_removed() {
    let mut rig = fenced();
    let PoolMembers::Endpoints(endpoints) = &mut rig.shop().pools[0].members else { unreachable!() };
    for (endpoint, host) in endpoints.iter_mut().zip(1..) {
        endpoint.address = std::net::SocketAddr::from(([10, 0, 9, host], 80));
    }
    rig.configure();
    assert_eq!(rig.serving(), Serving::Starting);
    rig.shop().pools.remove(0);
    rig.configure();
    assert_eq!((rig.active().as_str(), rig.last().from.as_deref()), ("-", Some("home")));
    rig.sessions_ended("home", rig.last().epoch);
    assert_eq!(rig.active(), "away");
}
