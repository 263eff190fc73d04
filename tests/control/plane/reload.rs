//! New configurations under a running control plane.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use standfast::control::{ChangeNotice, ControlError, ControlTrouble};
use standfast::decision::{Admission, Operational};

use crate::support::reload_permit;

use super::support::{LAZY, Manners, Plane, Upstream, eventually, file, read, service};

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_reload_keeps_health_and_schedule_and_the_epoch_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    put(&path, &file(&[("s", service("s", LAZY, &[&[&a]]))], ""));
    let plane = Plane::from_file(&path);
    plane.active("s", "a").await;
    let before = plane.endpoint(a.address).await.state;
    let (status, stats) = (plane.status().await, plane.stats(&a));

    let more = format!("{LAZY}\nbalance: random\nretry: {{attempts: 3}}");
    put(&path, &file(&[("s", service("s", &more, &[&[&a], &[&b]]))], ""));
    let reloaded = plane.handle.reload(reload_permit()).await.unwrap();
    assert!(reloaded.epoch > status.epoch && reloaded.warnings.is_empty(), "{reloaded:?}");
    let after = plane.endpoint(a.address).await.state;
    assert_eq!((after.id, after.standing, after.evidence), (before.id, before.standing, before.evidence));
    assert!(Arc::ptr_eq(&stats, &plane.stats(&a)), "the counters go on");
    // The new endpoint's first probe is due after the old one's would be, had its check begun anew.
    plane.stands(&b, Operational::Healthy).await;
    assert_eq!((a.asked(), b.asked()), (1, 1));
    let now = plane.status().await;
    assert_eq!(now.generation, 2);
    assert_eq!(now.last_reload.map(|reload| reload.ok), Some(true));
    assert_eq!(now.listeners, status.listeners);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_every_problem_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let a = Upstream::start(Manners::ok()).await;
    let good = file(&[("s", service("s", LAZY, &[&[&a]]))], "");
    put(&path, &good);
    let plane = Plane::from_file(&path);
    let mut notices = plane.handle.subscribe();
    plane.active("s", "a").await;
    let before = plane.status().await;

    put(
        &path,
        &good.replace("protocol: http", "protocol: htpp").replace("attempts", "atempts").replace("1h", "1 hour ago"),
    );
    let Err(ControlError::Reload(problem)) = plane.handle.reload(reload_permit()).await else { panic!("taken") };
    assert!(problem.contains("htpp") && problem.contains("hour ago"), "{problem}");
    let after = plane.status().await;
    assert_eq!((after.epoch, after.generation, &after.listeners), (before.epoch, 1, &before.listeners));
    let last = after.last_reload.unwrap();
    assert!(!last.ok && last.messages[0] == problem);
    let told = std::iter::from_fn(|| notices.try_recv().ok());
    assert!(told.into_iter().any(|n| n == ChangeNotice::Trouble(ControlTrouble::ReloadRefused(problem.clone()))));
    assert_eq!(plane.handle.tally().await.unwrap().reloads_refused, 1);

    std::fs::remove_file(&path).unwrap();
    let problem = plane.handle.reload(reload_permit()).await.unwrap_err().to_string();
    assert!(problem.contains("standfast.yaml"), "{problem}");
    put(&path, &good);
    plane.handle.reload(reload_permit()).await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let a = Upstream::start(Manners::ok()).await;
    let good = file(&[("s", service("s", LAZY, &[&[&a]]))], "");
    put(&path, &good);
    let plane = Plane::from_file(&path);
    plane.active("s", "a").await;
    let epoch = plane.status().await.epoch;
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = foreign.local_addr().unwrap().to_string();
    put(&path, &good.replace("\"127.0.0.1:0\"", &format!("[\"127.0.0.1:0\", \"{taken}\"]")));
    let problem = plane.handle.reload(reload_permit()).await.unwrap_err().to_string();
    assert!(problem.contains(&taken) && problem.contains("in use"), "{problem}");
    assert_eq!(plane.status().await.epoch, epoch);
}

#[tokio::test]
async fn both_families_in_place_of_one_take_two_reloads() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("SKIPPED: this machine has no IPv6");
    }
    let a = Upstream::start(Manners::ok()).await;
    let text = |bind: &str| file(&[("s", service("s", LAZY, &[&[&a]]))], "").replace("127.0.0.1:0", bind);
    let plane = Plane::start(&text("*:0"));
    let apply = async |bind: &str| plane.handle.apply(read(&text(bind))).await;
    let socket = || plane.handle.published().load().listener("s").unwrap().sockets.bound()[0].clone();
    let (both, port) = (socket(), socket().local.port());
    let every = format!("*:{port}");
    assert_eq!(plane.status().await.listeners[0].bound, [every.parse().unwrap()]);
    for bind in ["0.0.0.0", "127.0.0.1", "[::]"] {
        let problem = apply(&format!("{bind}:{port}")).await.unwrap_err().to_string();
        let sentence =
            format!("{bind}:{port} cannot be bound while this process listens on {every}: take the port away");
        assert!(problem.contains(&sentence), "{problem}");
    }
    apply("*:0").await.unwrap();
    assert!(Arc::ptr_eq(&socket(), &both), "unchanged, it is kept");
    // One family, and back to both.
    apply("0.0.0.0:0").await.unwrap();
    let held = socket().local;
    let problem = apply(&format!("*:{}", held.port())).await.unwrap_err().to_string();
    assert!(problem.contains(&format!("cannot be bound while this process listens on {held}")), "{problem}");
    apply("*:0").await.unwrap();
    assert_ne!(socket().local.port(), held.port());
}

#[tokio::test]
async fn unchanged_listeners_keep_their_sockets_even_under_another_name() {
    let a = Upstream::start(Manners::ok()).await;
    let services = [("s", service("s", LAZY, &[&[&a]])), ("t", service("t", LAZY, &[&[&a]]))];
    let text = file(&services, "");
    let plane = Plane::start(&text);
    let sockets = |name: &str| plane.handle.published().load().listener(name).unwrap().sockets.bound()[0].clone();
    let (s, t) = (sockets("s"), sockets("t"));
    assert_ne!(s.local, t.local);
    let renamed = text.replace("{name: s, bind", "{name: web, bind");
    plane.handle.apply(read(&renamed)).await.unwrap();
    assert!(Arc::ptr_eq(&sockets("web"), &s));
    assert!(Arc::ptr_eq(&sockets("t"), &t));
}

#[tokio::test]
async fn a_renamed_service_keeps_its_schedule_its_counters_and_its_counts() {
    let a = Upstream::start(Manners::ok()).await;
    let text = file(&[("s", service("s", LAZY, &[&[&a]]))], "");
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    let (before, stats) = (plane.endpoint(a.address).await.state, plane.stats(&a));
    let pool = text.replace("{name: a, endpoints", "{name: main, endpoints");
    let renamed = pool.replace("service: s}", "service: shop}").replace("\n  s:", "\n  shop:");
    assert!(pool != text && renamed.matches("shop").count() >= 2, "{renamed}");
    for text in [&pool, &renamed] {
        plane.handle.apply(read(text)).await.unwrap();
    }
    plane.active("shop", "main").await;
    let after = plane.endpoint(a.address).await.state;
    assert_eq!((after.id, after.standing, after.evidence), (before.id, before.standing, before.evidence));
    assert!(Arc::ptr_eq(&stats, &plane.stats(&a)), "the counters go on");
    assert_eq!(a.asked(), 1, "nothing is probed again");
    let tally = plane.handle.tally().await.unwrap();
    let (name, counts) = &tally.services[0];
    assert_eq!((&**name, counts.probe_duration.snapshot().count), ("shop", 1));
}

#[tokio::test]
async fn what_needs_a_restart_is_said() {
    let a = Upstream::start(Manners::ok()).await;
    let services = [("s", service("s", LAZY, &[&[&a]]))];
    let plane = Plane::start(&file(&services, ""));
    let wanted = read(&file(&services, "workers: 7\nadmin: {bind: \"127.0.0.1:1\"}\n"));
    let warnings = plane.handle.apply(wanted).await.unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("`workers`") && warnings[1].contains("`admin`"), "{warnings:?}");
    assert!(plane.handle.apply(read(&file(&services, ""))).await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn a_changed_check_begins_anew_and_a_removed_endpoint_is_forgotten() {
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let plane = Plane::start(&file(&[("s", service("s", LAZY, &[&[&a, &b]]))], ""));
    plane.stands(&a, Operational::Healthy).await;
    plane.stands(&b, Operational::Healthy).await;
    let gone = plane.endpoint(b.address).await.state.id;
    let changed = LAZY.replace("path: /", "path: /other");
    plane.handle.apply(read(&file(&[("s", service("s", &changed, &[&[&a]]))], ""))).await.unwrap();
    eventually("the changed check asks at once", || async { a.last_request().contains("GET /other").then_some(()) })
        .await;
    assert!(!plane.handle.tally().await.unwrap().probes.contains_key(&gone));
    assert!(plane.service("s").await.pools[0].endpoints.iter().all(|e| e.state.id != gone));
}

#[tokio::test]
async fn another_check_port_asks_there_and_keeps_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let (a, port) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::answer(503, "", "")).await);
    let text = file(&[("s", service("s", LAZY, &[&[&a]]))], "");
    put(&path, &text);
    let plane = Plane::from_file(&path);
    let before = plane.stands(&a, Operational::Healthy).await.state;

    let own = format!("{{address: \"{}\", check_port: {}}}", a.address, port.address.port());
    put(&path, &text.replace(&format!("\"{}\"", a.address), &own));
    plane.handle.reload(reload_permit()).await.unwrap();
    let after = plane.endpoint(a.address).await.state;
    assert_eq!((after.id, after.standing), (before.id, before.standing));
    eventually("the other port is asked", || async { (port.served() > 0).then_some(()) }).await;
    assert_eq!(a.asked(), 1);

    put(&path, &text);
    plane.handle.reload(reload_permit()).await.unwrap();
    eventually("its own port is asked", || async { (a.asked() > 1).then_some(()) }).await;
}

#[tokio::test]
async fn weight_0_takes_an_endpoint_out_of_use_and_a_weight_brings_it_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let text = file(&[("s", service("s", LAZY, &[&[&a, &b]]))], "");
    put(&path, &text);
    let plane = Plane::from_file(&path);
    plane.stands(&b, Operational::Healthy).await;
    let before = plane.stands(&a, Operational::Healthy).await;
    assert_eq!((before.weight, before.state.admission), (1, Admission::Open));
    let stats = plane.stats(&a);

    let drained = format!("{{address: \"{}\", weight: 0}}", a.address);
    put(&path, &text.replace(&format!("\"{}\"", a.address), &drained));
    plane.handle.reload(reload_permit()).await.unwrap();
    let now = plane.endpoint(a.address).await;
    assert_eq!((now.weight, now.state.admission), (0, Admission::Closed));
    assert_eq!((now.state.id, now.state.standing.operational), (before.state.id, Operational::Healthy));
    let report = plane.service("s").await;
    assert_eq!((report.active.as_deref(), report.pools[0].usable), (Some("a"), 1));

    put(&path, &text);
    plane.handle.reload(reload_permit()).await.unwrap();
    let after = plane.endpoint(a.address).await;
    assert_eq!(
        (after.weight, after.state.admission, after.state.standing),
        (1, Admission::Open, before.state.standing)
    );
    assert!(Arc::ptr_eq(&stats, &plane.stats(&a)), "the counters go on");
    assert_eq!((a.asked(), b.asked()), (1, 1), "nothing was checked again");
}

#[tokio::test]
async fn another_name_of_an_endpoint_changes_nothing_but_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let a = Upstream::start(Manners::ok()).await;
    let text = file(&[("s", service("s", LAZY, &[&[&a]]))], "");
    let called = |name: &str| {
        text.replace(&format!("\"{}\"", a.address), &format!("{{address: \"{}\", name: {name}}}", a.address))
    };
    put(&path, &called("app-1"));
    let plane = Plane::from_file(&path);
    let before = plane.stands(&a, Operational::Healthy).await;
    assert_eq!(before.name.as_deref(), Some("app-1"));
    let stats = plane.stats(&a);
    for (text, name) in [(called("app-2"), Some("app-2")), (text.clone(), None)] {
        put(&path, &text);
        plane.handle.reload(reload_permit()).await.unwrap();
        let after = plane.endpoint(a.address).await;
        assert_eq!(after.name.as_deref(), name);
        assert_eq!((after.state.id, after.state.standing), (before.state.id, before.state.standing));
        assert!(Arc::ptr_eq(&stats, &plane.stats(&a)), "the counters go on");
    }
    assert_eq!(a.asked(), 1, "it was not checked again");
}
