//! What survives a process.

use std::path::Path;

use standfast::decision::{Act, ActCommand, ActId, Actor, Operational};

use super::support::{Manners, Plane, QUICK, Upstream, eventually, file, service};

fn text(state: &Path, failback: &str, pools: &[&[&Upstream]]) -> String {
    let more = format!("{QUICK}\nfailover: {{failback: {{{failback}}}}}");
    file(&[("s", service("s", &more, pools))], &format!("state: {{path: {}}}\n", state.display()))
}

async fn written(state: &Path, wanted: &str) {
    eventually("the state is on disk", || async {
        std::fs::read_to_string(state).ok().filter(|text| text.contains(wanted)).map(drop)
    })
    .await;
}

#[tokio::test]
async fn after_a_crash_the_active_pool_and_its_hold_down_hold() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let (mut a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let text = text(&state, "mode: auto, hold_down: 1h", &[&[&a], &[&b]]);

    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    a.die().await;
    plane.active("s", "b").await;
    let incident = plane.status().await.incidents.pop().unwrap();
    let epoch = plane.status().await.epoch;
    written(&state, r#""active":"b""#).await;
    drop(plane); // no stop, no last words

    a.revive().await;
    let plane = Plane::start(&text);
    plane.stands(&a, Operational::Healthy).await;
    let service = plane.active("s", "b").await;
    assert!(service.hold_down_left_ms.is_some_and(|left| left > 3_000_000), "{service:?}");
    let status = plane.status().await;
    assert!(status.epoch > epoch, "epochs go on from the last one");
    let restored = status.incidents.iter().find(|i| i.id == incident.id).expect("the incident is remembered");
    assert_eq!((&restored.from, &restored.to, restored.kind), (&incident.from, &incident.to, incident.kind));
    assert!(restored.fault_unix_ms.abs_diff(incident.fault_unix_ms) < 2_000, "{restored:?} {incident:?}");
    assert!(status.troubles.is_empty());
}

#[tokio::test]
async fn a_restart_does_not_leave_a_pool_whose_first_probe_fails() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let text = text(&state, "mode: auto, hold_down: 1h", &[&[&a], &[&b]]);
    let text = text.replace("interval: 20ms", "interval: 1s").replace("fast_interval: 10ms", "fast_interval: 1s");
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    written(&state, r#""active":"a""#).await;
    drop(plane);

    a.behave(Manners::answer(500, "", "not yet"));
    let asked = a.served();
    let plane = Plane::start(&text);
    plane.stands(&a, Operational::Unhealthy).await;
    plane.stands(&b, Operational::Healthy).await;
    a.behave(Manners::ok());
    plane.active("s", "a").await;
    assert!(plane.status().await.incidents.is_empty(), "it was left");
    assert!(a.served() > asked + 1);
}

#[tokio::test]
async fn a_quiet_process_gives_signs_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let upstream = Upstream::start(Manners::ok()).await;
    let quick = format!("state: {{path: {}, max_age: 1s}}\n", state.display());
    let plane = Plane::start(&file(&[("s", service("s", QUICK, &[&[&upstream]]))], &quick));
    plane.active("s", "a").await;
    written(&state, r#""active":"a""#).await;
    let saved_at = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok()?["saved_unix_ms"].as_u64();
    let first = std::fs::read_to_string(&state).ok().as_deref().and_then(saved_at).expect("a time");
    eventually("it is written again though nothing has changed", || async {
        let now = std::fs::read_to_string(&state).ok().as_deref().and_then(saved_at)?;
        (now > first + 500).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wanted_stop_has_the_last_state_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let text = text(&state, "mode: manual", &[&[&a], &[&b]]);
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    let pin = ActCommand::Pin { service: "s".into(), pool: "b".into(), until: None };
    plane.act(Act::new(ActId(1), Actor::local("ada"), pin)).await.unwrap();
    plane.handle.stop().await;
    drop(plane);

    let plane = Plane::start(&text);
    assert_eq!(plane.active("s", "b").await.pinned.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_damaged_state_is_said_loudly_and_the_start_goes_on_without() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    std::fs::write(&state, r#"{"saved_unix_ms": 17, "saved": {"version": 1, "epo"#).unwrap();
    let (mut a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    a.die().await;
    let plane = Plane::start(&text(&state, "mode: manual", &[&[&a], &[&b]]));
    plane.active("s", "b").await;
    let status = plane.status().await;
    assert!(status.troubles[0].contains("state.json"), "{:?}", status.troubles);
    assert!(folder.path().join("state.json.damaged").exists());
    written(&state, r#""active":"b""#).await;
}

#[tokio::test]
async fn a_state_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("missing/state.json");
    let a = Upstream::start(Manners::ok()).await;
    let plane = Plane::start(&text(&state, "mode: auto, hold_down: 1h", &[&[&a]]));
    plane.active("s", "a").await;
    eventually("the failure is counted", || async {
        (plane.handle.tally().await.unwrap().state_writes_failed > 0).then_some(())
    })
    .await;
    plane.handle.stop().await;
}
