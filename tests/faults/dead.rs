//! Processes that die: what was not on their wire is saved, whatever its method.

use standfast::decision::{Cause, Operational, Serving, SwitchKind};

use crate::scene::{QUICK, Scene};
use crate::support::{Client, Upstream, get, until};

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
