//! Faults that say nothing: processes that stand still or crawl, with health pages that tell it and that do not, and hosts that
//! are gone. Safe requests are answered elsewhere; others that were sent wait, and are never sent again.

use std::time::Duration;

use standfast::decision::{Cause, Operational, Serving, SwitchKind};

use super::load::{Ledger, Load};
use super::scene::{QUICK, Scene, good};
use crate::support::black_hole::BlackHole;
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, Upstream, post, until};

/// The fault has struck all of home: what holds from then on, up to the switch.
async fn home_is_left(scene: &Scene, load: &Load) -> usize {
    scene.proxy.serves("web", 1).await;
    let left = load.mark();
    load.goes_on(100).await;
    left
}

/// The fault is over: home serves again, and goes on to.
async fn home_is_well(scene: &Scene, load: Load) -> Ledger {
    scene.proxy.serves("web", 0).await;
    load.goes_on(50).await;
    load.stop().await
}

/// No GET failed, nothing that began after the switch did, and the POSTs before it waited out their time.
fn judge(scene: &mut Scene, ledger: &Ledger, left: usize, causes: &[Cause]) {
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(left).is_empty(), "{:?}", ledger.failed_since(left));
    for post in ledger.failed() {
        let elsewhere: usize = scene.standby.iter().map(|upstream| upstream.executed(&post.id)).sum();
        assert_eq!((post.status(), elsewhere), (504, 0), "{post:?}");
    }
    scene.audit(ledger);
    let news = scene.proxy.news();
    assert_eq!(news.switches, [SwitchKind::Failover, SwitchKind::Failback]);
    let found = news.causes(&scene.home());
    assert!(!found.is_empty() && found.iter().all(|cause| causes.contains(cause)), "{news:?}");
}

#[tokio::test]
async fn one_endpoint_that_freezes_is_left_to_itself() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    let frozen = scene.home[0].address;
    scene.home[0].freeze();
    until("it is out", || {
        scene.proxy.endpoint(frozen, |endpoint| endpoint.standing.operational) != Operational::Healthy
    })
    .await;
    let out = load.mark();
    load.goes_on(100).await;
    scene.home[0].thaw();
    scene.proxy.stand(&[frozen], Operational::Healthy).await;
    load.goes_on(50).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(out).is_empty(), "{:?}", ledger.failed_since(out));
    scene.audit(&ledger);
    let news = scene.proxy.news();
    assert_eq!(news.switches, []);
    assert_eq!(news.causes(&[scene.home[1].address]), []);
}

#[tokio::test]
async fn a_pool_that_freezes_is_left() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    scene.home.iter().for_each(Upstream::freeze);
    let left = home_is_left(&scene, &load).await;
    scene.home.iter().for_each(Upstream::thaw);
    let ledger = home_is_well(&scene, load).await;
    judge(&mut scene, &ledger, left, &[Cause::Stalled, Cause::ChecksFailed]);
}

#[tokio::test]
async fn a_pool_that_freezes_behind_a_green_check_is_left_and_not_gone_back_to() {
    let mut scene = Scene::start(&daring()).await;
    scene.home_behaves(&good("home").green());
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    scene.home_behaves(&Behaviour::Hang.green());
    let left = home_is_left(&scene, &load).await;
    home_fails_its_trials(&scene).await;
    scene.home_behaves(&good("home").green());
    let ledger = home_is_well(&scene, load).await;
    judge(&mut scene, &ledger, left, &[Cause::Stalled]);
}

#[tokio::test]
async fn a_pool_that_crawls_behind_a_green_check_is_left_and_not_gone_back_to() {
    let mut scene = Scene::start(&daring()).await;
    scene.home_behaves(&good("home").green());
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    scene.home_behaves(&good("home").after(Duration::from_secs(3)).green());
    let left = home_is_left(&scene, &load).await;
    home_fails_its_trials(&scene).await;
    scene.home_behaves(&good("home").green());
    let ledger = home_is_well(&scene, load).await;
    judge(&mut scene, &ledger, left, &[Cause::Stalled]);
}

/// With a budget that lets trials go out although the fault has just cost many hedges.
fn daring() -> String {
    format!("{QUICK}    retry: {{budget: 100%}}\n")
}

/// How many trials home has failed.
fn failed_trials(scene: &Scene) -> u64 {
    scene.home().iter().map(|address| scene.proxy.stats(*address).totals().trials_failed).sum()
}

/// Home's checks are green, and what they let in is tried and found wanting.
async fn home_fails_its_trials(scene: &Scene) {
    until("home was tried", || failed_trials(scene) >= 2).await;
}

#[tokio::test]
async fn a_pool_that_cannot_be_tried_while_the_budget_is_used_up_is_not_taken_for_well() {
    let scene = Scene::start(&format!("{QUICK}    retry: {{budget: 5%}}\n")).await;
    scene.home_behaves(&good("home").green());
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    scene.home_behaves(&Behaviour::Hang.green());
    scene.proxy.serves("web", 1).await;
    let published = scene.proxy.control.published();
    let serves = || published.load().services[0].serving == Serving::Active(0);
    until("home is tried, or serves", || failed_trials(&scene) > 0 || serves()).await;
    assert!(!serves(), "without a trial");
    load.stop().await;
}

#[tokio::test]
async fn a_pool_that_is_gone_without_a_word_is_left() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    load.goes_on(150).await; // what is usual is known
    let [first, second] = &mut scene.home;
    tokio::join!(first.vanish(), second.vanish());
    let left = home_is_left(&scene, &load).await;
    scene.home.iter_mut().for_each(Upstream::reappear);
    let ledger = home_is_well(&scene, load).await;
    judge(&mut scene, &ledger, left, &[Cause::Stalled, Cause::ChecksFailed]);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_without_a_word_costs_nobody_an_order_that_begins_then() {
    let mut scene = Scene::start(QUICK).await;
    scene.home[0].vanish().await;
    let load = scene.load();
    let gone = scene.home[0].address;
    until("it is out", || scene.proxy.endpoint(gone, |endpoint| endpoint.standing.operational) != Operational::Healthy)
        .await;
    let out = load.mark();
    load.goes_on(50).await;
    scene.home[0].reappear();
    scene.proxy.stand(&[gone], Operational::Healthy).await;
    load.goes_on(50).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(out).is_empty(), "{:?}", ledger.failed_since(out));
    scene.audit(&ledger);
    assert_eq!(scene.proxy.news().switches, []);
}

/// Two endpoints of which neither answers a connect, a standby, and no checks.
async fn without_checks(more: &str) -> (Instance, [BlackHole; 2], Upstream) {
    let (home, standby) =
        ([BlackHole::start().await, BlackHole::start().await], Upstream::start(good("standby")).await);
    let pools: [&[_]; 2] = [&[home[0].address, home[1].address], &[standby.address]];
    let proxy = Instance::start(&http_yaml(&pools, &format!("    timeouts: {{connect: 500ms}}\n{more}")));
    proxy.serves("web", 0).await;
    (proxy, home, standby)
}

#[tokio::test]
async fn an_order_to_a_pool_that_answers_no_connect_goes_to_the_next_pool_without_checks_too() {
    for retry in ["safe", "never"] {
        let (mut proxy, home, standby) = without_checks(&format!("    retry: {{cross_pool: {retry}}}\n")).await;
        let mut client = Client::connect(proxy.address("web")).await;
        assert_eq!(client.ask(post("/", "order", "x")).await.text(), "standby", "cross_pool: {retry}");
        assert_eq!(standby.executed("order"), 1);
        let news = proxy.news();
        assert_eq!(news.switches, [SwitchKind::Failover], "with the verdict, not before it");
        assert_eq!(news.causes(&[home[0].address, home[1].address]), [Cause::Refused]);
    }
}

#[tokio::test]
async fn where_nothing_is_served_when_all_is_down_an_unanswered_connect_moves_nothing() {
    let (mut proxy, _home, standby) = without_checks("    failover: {on_all_down: fail_closed}\n").await;
    let mut client = Client::connect(proxy.address("web")).await;
    assert_eq!(client.ask(post("/", "order", "x")).await.status(), 503);
    assert_eq!((standby.requests(), proxy.news().switches), (0, vec![]));
}
