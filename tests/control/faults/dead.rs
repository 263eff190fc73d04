//! Processes that die: what was not on their wire is saved, whatever its method.

use std::time::Duration;

use standfast::decision::{Cause, Operational, Serving, SwitchKind};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::scene::{CALM, QUICK, Scene, good};
use crate::support::{Client, Upstream, get, post, until};

async fn kill(upstreams: &mut [Upstream; 2]) {
    let [first, second] = upstreams;
    tokio::join!(first.refuse(), second.refuse());
}

async fn revive(upstreams: &mut [Upstream; 2]) {
    for upstream in upstreams {
        upstream.listen_again().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_dies_takes_only_what_was_on_its_wire() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(20).await;
    scene.home[0].refuse().await;
    let dead = load.mark();
    let condemned = [scene.home[0].address];
    scene.proxy.stand(&condemned, Operational::Unhealthy).await;
    load.goes_on(50).await;
    scene.home[0].listen_again().await;
    scene.proxy.stand(&condemned, Operational::Healthy).await;
    load.goes_on(50).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(dead).is_empty(), "{:?}", ledger.failed_since(dead));
    scene.audit(&ledger);
    let news = scene.proxy.news();
    assert_eq!(news.switches, []);
    assert!(news.causes(&scene.home()).contains(&Cause::Refused), "{news:?}");
    assert!(news.verdicts.iter().all(|(address, _)| *address == condemned[0]), "{news:?}");
}

#[tokio::test]
async fn a_pool_that_dies_takes_only_what_was_on_its_wire_and_nothing_is_lost_on_the_way_home() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(20).await;
    kill(&mut scene.home).await;
    let dead = load.mark();
    scene.proxy.serves("web", 1).await;
    load.goes_on(50).await;
    revive(&mut scene.home).await;
    scene.proxy.serves("web", 0).await;
    load.goes_on(50).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(dead).is_empty(), "{:?}", ledger.failed_since(dead));
    scene.audit(&ledger);
    let news = scene.proxy.news();
    assert_eq!(news.switches, [SwitchKind::Failover, SwitchKind::Failback]);
    assert!(news.causes(&scene.home()).contains(&Cause::Refused), "{news:?}");
}

#[tokio::test]
async fn a_lone_request_that_crossed_before_the_switch_ends_the_incident_with_its_answer() {
    let mut scene = Scene::start(CALM).await;
    let (tell, _) = tokio::sync::watch::channel(false);
    let waits = good("standby").but("/lone", good("standby").when(&tell));
    scene.standby.iter().for_each(|upstream| upstream.behave(waits.clone()));
    kill(&mut scene.home).await;
    let mut client = Client::connect(scene.proxy.address("web")).await;
    let asked = tokio::spawn(async move { client.ask(get("/lone", "lone")).await });
    scene.proxy.serves("web", 1).await;
    let control = scene.proxy.control.clone();
    let rto = async || control.status().await.ok()?.incidents.pop()?.rto_ms;
    assert_eq!(rto().await, None, "nothing was answered yet");
    tell.send_replace(true);
    assert_eq!(asked.await.expect("an answer").text(), "standby");
    for _ in 0..2_000 {
        if rto().await.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the answer ends no incident");
}

#[tokio::test]
async fn with_everybody_dead_the_answer_is_503_and_the_first_who_returns_serves() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(20).await;
    tokio::join!(kill(&mut scene.home), kill(&mut scene.standby));
    let published = scene.proxy.control.published().clone();
    let down = || published.load().services[0].serving == Serving::Down;
    until("nobody serves", down).await;
    let mut client = Client::connect(scene.proxy.address("web")).await;
    let answer = client.ask(get("/", "nobody")).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
    scene.home[1].listen_again().await;
    scene.proxy.serves("web", 0).await;
    let back = load.mark();
    load.goes_on(100).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_since(back).is_empty(), "{:?}", ledger.failed_since(back));
    scene.audit(&ledger);
}

#[tokio::test]
async fn a_pool_that_flaps_is_left_once_and_gone_back_to_when_it_has_stopped() {
    let mut scene = Scene::start(&QUICK.replace("hold_down: 200ms", "hold_down: 1500ms")).await;
    let load = scene.load();
    load.goes_on(20).await;
    kill(&mut scene.home).await;
    let dead = load.mark();
    scene.proxy.serves("web", 1).await;
    for _ in 0..4 {
        load.goes_on(20).await;
        revive(&mut scene.home).await;
        scene.proxy.stand(&scene.home(), Operational::Healthy).await;
        load.goes_on(20).await;
        kill(&mut scene.home).await;
    }
    revive(&mut scene.home).await;
    scene.proxy.serves("web", 0).await;
    load.goes_on(20).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(dead).is_empty(), "{:?}", ledger.failed_since(dead));
    scene.audit(&ledger);
    assert_eq!(scene.proxy.news().switches, [SwitchKind::Failover, SwitchKind::Failback]);
}

/// A client that asks again as soon as it is answered, whatever the answer: a GET, an order, a GET, …
async fn asks_on(address: std::net::SocketAddr) {
    let mut client = Client::connect(address).await;
    for request in [get("/", "r"), post("/", "r", "order")].iter().cycle() {
        let sent = client.stream.write_all(request.as_bytes()).await;
        let kept =
            sent.is_ok() && client.answer().await.is_some_and(|answer| answer.header("connection") != Some("close"));
        if !kept {
            client = Client::connect(address).await;
        }
    }
}

#[tokio::test]
async fn connections_to_an_endpoint_that_was_killed_and_came_back_are_used_again_at_once() {
    const CLIENTS: usize = 20;
    let mut scene = Scene::start(QUICK).await;
    let address = scene.proxy.address("web");
    let clients: JoinSet<()> = (0..CLIENTS).map(|_| asks_on(address)).collect();
    for death in 0..2 {
        let wanted = scene.home[0].requests() + 200;
        until("it is under load", || scene.home[0].requests() >= wanted).await;
        let killed = scene.home[0].address;
        scene.home[0].refuse().await;
        scene.proxy.stand(&[killed], Operational::Unhealthy).await;
        scene.home[0].listen_again().await;
        scene.proxy.stand(&[killed], Operational::Healthy).await;
        let (before, wanted) = (scene.home[0].accepted(), scene.home[0].requests() + 1000);
        until("it is under load again", || scene.home[0].requests() >= wanted).await;
        let connects = scene.home[0].accepted() - before;
        // (Its checks connect as well.)
        assert!(connects <= 5 * CLIENTS, "{connects} connects for 1000 requests after death {death}");
        let idle = scene.proxy.stats(killed).totals().idle;
        assert!(idle <= 2 * CLIENTS as u64, "{idle} idle connections for {CLIENTS} clients");
    }
    drop(clients);
}
