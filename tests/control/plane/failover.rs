//! From a fault to a published switch and its first good answer.

use standfast::control::{ChangeNotice, ControlError, IncidentReport};
use standfast::decision::{Act, ActCommand, ActId, ActOutcome, ActRefusal, Actor, Failure, Operational, SwitchKind};
use standfast::routing::InFlight;

use super::support::{LAZY, Manners, Plane, QUICK, Upstream, eventually, file, read, service};

async fn two_pools(more: &str) -> (Upstream, Upstream, String) {
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let text = file(&[("s", service("s", more, &[&[&a], &[&b]]))], "");
    (a, b, text)
}

fn operator() -> Actor {
    Actor::local("ada")
}

fn to(pool: &str) -> Act {
    let command = ActCommand::Switchover { service: "s".into(), pool: pool.into() };
    Act::new(ActId(fastrand::u128(..)), operator(), command)
}

/// Long enough for the engine to have looked at its fences many times.
async fn the_engine_looks_often(probed: &Upstream) {
    let asked = probed.asked();
    eventually("the engine is at work", || async { (probed.asked() > asked + 20).then_some(()) }).await;
}

/// A session has begun at `a` when an operator switches to `b`.
async fn leaves_a_session(plane: &Plane, a: &Upstream, b: &Upstream) -> InFlight {
    plane.active("s", "a").await;
    plane.stands(b, Operational::Healthy).await;
    let session = plane.stats(a).enter(None).unwrap();
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::Done));
    session
}

/// The last session at the pool that was left ends, and the incident tells of that and not before.
async fn ends(plane: &Plane, session: InFlight) -> IncidentReport {
    assert_eq!(plane.status().await.incidents.pop().unwrap().fenced_ms, None);
    drop(session);
    eventually("the end of the last session", || async {
        plane.status().await.incidents.pop().filter(|incident| incident.fenced_ms.is_some())
    })
    .await
}

#[tokio::test]
async fn a_refused_verdict_switches_without_waiting_for_checks() {
    let (mut a, b, text) = two_pools(LAZY).await;
    let plane = Plane::start(&text);
    let mut notices = plane.handle.subscribe();
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    let generation = plane.stats(&a).generation();

    a.die().await;
    plane.failed(&a, Failure::Refused);
    let service = plane.active("s", "b").await;
    assert_eq!(service.why, Some(SwitchKind::Failover));
    assert!(plane.stats(&a).generation() > generation, "idle connections of the left pool are not used again");

    plane.answered(1);
    let incident = eventually("the measured recovery", || async {
        plane.status().await.incidents.pop().filter(|incident| incident.rto_ms.is_some())
    })
    .await;
    assert_eq!((incident.from.as_deref(), incident.to.as_deref()), (Some("a"), Some("b")));
    assert!(
        incident.detected_ms <= incident.decided_ms && Some(incident.decided_ms) <= incident.rto_ms,
        "{incident:?}"
    );
    assert!(incident.evidence.iter().any(|e| e.address == a.address), "{incident:?}");

    let mut told = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        told.push(notice);
    }
    let incidents = told.iter().filter(|n| matches!(n, ChangeNotice::Incident(i) if i.id == incident.id)).count();
    assert_eq!(incidents, 2, "begun and answered");
    assert!(told.iter().any(|n| matches!(n, ChangeNotice::Standing { address, .. } if *address == a.address)));
    let tally = plane.handle.tally().await.unwrap();
    assert_eq!(tally.services[0].1.switches, [1, 0, 0, 0, 0, 0]);
    assert_eq!(tally.services[0].1.recovery.snapshot().count, 1);
}

#[tokio::test]
async fn a_refusal_that_the_confirming_connect_denies_switches_nothing() {
    let (a, b, text) = two_pools(LAZY).await;
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    let asked = a.asked();
    plane.failed(&a, Failure::Refused);
    eventually("the second opinion", || async { (a.asked() > asked).then_some(()) }).await;
    // Whatever follows from it has followed when the engine has answered.
    plane.status().await;
    assert_eq!(plane.service("s").await.active.as_deref(), Some("a"));
}

#[tokio::test]
async fn failing_checks_switch_and_recovery_brings_home_after_the_hold_down() {
    let more = format!("{QUICK}\nfailover: {{failback: {{mode: auto, hold_down: 50ms}}}}");
    let (mut a, b, text) = two_pools(&more).await;
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    a.die().await;
    plane.active("s", "b").await;
    a.revive().await;
    assert_eq!(plane.active("s", "a").await.why, Some(SwitchKind::Failback));
}

#[tokio::test]
async fn an_incident_tells_when_nothing_was_left_at_the_pool_that_was_left() {
    let (a, b, text) = two_pools(QUICK).await;
    let plane = Plane::start(&text);
    let session = leaves_a_session(&plane, &a, &b).await;
    the_engine_looks_often(&b).await;
    let incident = ends(&plane, session).await;
    assert!(incident.fenced_ms >= Some(incident.decided_ms), "{incident:?}");
}

#[tokio::test]
async fn what_a_reload_took_out_of_a_pool_is_awaited_with_the_pool_that_is_left() {
    let (a, b, _) = two_pools(QUICK).await;
    let gone = Upstream::start(Manners::ok()).await;
    let both = file(&[("s", service("s", QUICK, &[&[&a, &gone], &[&b]]))], "");
    let plane = Plane::start(&both);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    plane.stands(&gone, Operational::Healthy).await;
    let session = plane.stats(&gone).enter(None).unwrap();
    let one = read(&file(&[("s", service("s", QUICK, &[&[&a], &[&b]]))], ""));
    plane.handle.apply(one).await.unwrap();
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::Done));
    the_engine_looks_often(&b).await;
    ends(&plane, session).await;
}

#[tokio::test]
async fn the_end_of_sessions_is_told_though_the_service_is_renamed_meanwhile() {
    let (a, b, text) = two_pools(QUICK).await;
    let plane = Plane::start(&text);
    let session = leaves_a_session(&plane, &a, &b).await;
    let renamed = text.replace("{service: s}", "{service: t}").replace("services:\n  s:", "services:\n  t:");
    plane.handle.apply(read(&renamed)).await.unwrap();
    assert_eq!(&*plane.status().await.incidents.pop().unwrap().service, "t");
    ends(&plane, session).await;
}

#[tokio::test]
async fn what_an_endpoint_does_for_its_new_pool_is_not_awaited_for_the_one_it_was_taken_from() {
    let (a, b, _) = two_pools(QUICK).await;
    let moved = Upstream::start(Manners::ok()).await;
    let plane = Plane::start(&file(&[("s", service("s", QUICK, &[&[&a, &moved], &[&b]]))], ""));
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    plane.stands(&moved, Operational::Healthy).await;
    let session = plane.stats(&moved).enter(None).unwrap();
    let after = read(&file(&[("s", service("s", QUICK, &[&[&a], &[&b, &moved]]))], ""));
    plane.handle.apply(after).await.unwrap();
    let other = plane.stats(&moved).enter(None).unwrap();
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::Done));
    the_engine_looks_often(&b).await;
    ends(&plane, session).await;
    drop(other);
}

#[tokio::test]
async fn orders_are_obeyed_or_refused_with_a_reason() {
    let (_a, b, text) = two_pools(LAZY).await;
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::Done));
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::NoChange));
    let service = plane.service("s").await;
    assert_eq!((service.active.as_deref(), service.why), (Some("b"), Some(SwitchKind::Switchover)));
    let incident = plane.status().await.incidents.pop().unwrap();
    assert_eq!(incident.actor, operator());

    let refusal = plane.act(to("nowhere")).await.unwrap_err();
    assert!(matches!(&refusal, ControlError::Refused(ActRefusal::UnknownPool { .. })), "{refusal}");
    assert!(refusal.to_string().contains("nowhere"), "{refusal}");
    assert_eq!(plane.handle.tally().await.unwrap().alerts[5], 0, "a mistyped command is no alert");
}

#[tokio::test]
async fn old_tables_are_freed_when_the_worker_has_taken_up_the_new() {
    let (_a, b, text) = two_pools(LAZY).await;
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    let old = std::sync::Arc::downgrade(&plane.handle.published().load());
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::Done));
    assert_eq!(plane.act(to("b")).await, Ok(ActOutcome::NoChange));
    eventually("the old table is gone", || async { old.upgrade().is_none().then_some(()) }).await;
}

#[tokio::test]
async fn after_the_stop_everybody_is_told_that_there_is_nobody() {
    let (_a, _b, text) = two_pools(LAZY).await;
    let plane = Plane::start(&text);
    plane.handle.stop().await;
    plane.handle.ended().await;
    assert_eq!(plane.handle.status().await.unwrap_err(), ControlError::Stopped);
    assert_eq!(plane.act(to("b")).await.unwrap_err(), ControlError::Stopped);
}
