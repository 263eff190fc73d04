//! Answers that are wrong behind a green check: errors, cut bodies, resets, connections closed as they are used.

use standfast::decision::{Cause, Failure, SwitchKind};

use super::load::Ledger;
use super::scene::{QUICK, Scene, good};
use crate::support::{Behaviour, Then, until};

/// Larger than what is held until it is whole.
const LARGE: usize = 100_000;

/// Home answers like this, and its checks say that all is well: it is left, tried in vain while that lasts, and gone back to when
/// it is over. What clients saw; the number of the first request after the switch.
async fn struck(scene: &mut Scene, fault: Behaviour) -> (Ledger, usize) {
    scene.home_behaves(&good("home").green());
    let load = scene.load();
    load.goes_on(20).await;
    scene.home_behaves(&fault.green());
    scene.proxy.serves("web", 1).await;
    let left = load.mark();
    let stats = scene.home().map(|address| scene.proxy.stats(address));
    let tried = || stats.iter().map(|stats| stats.totals().trials_failed).sum::<u64>();
    until("home was tried in vain, and again", || tried() >= 3).await;
    load.goes_on(50).await;
    scene.home_behaves(&good("home").green());
    scene.proxy.serves("web", 0).await;
    load.goes_on(50).await;
    let ledger = load.stop().await;
    scene.audit(&ledger);
    let news = scene.proxy.news();
    assert_eq!(news.switches, [SwitchKind::Failover, SwitchKind::Failback]);
    assert_eq!(news.causes(&scene.home()), [Cause::Consecutive]);
    (ledger, left)
}

/// At most this many exchanges condemn both endpoints.
const TRIPPING: usize = 2 * 5;

#[tokio::test]
async fn errors_behind_a_green_check_cost_the_orders_that_found_them_and_nothing_later() {
    let mut scene = Scene::start(QUICK).await;
    let (ledger, left) = struck(&mut scene, Behaviour::answer(503, "sorry")).await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(left).is_empty(), "{:?}", ledger.failed_since(left));
    assert!(ledger.failed().iter().all(|post| post.status() == 503) && ledger.failed().len() <= TRIPPING);
}

#[tokio::test]
async fn short_answers_that_are_cut_are_asked_for_again() {
    let mut scene = Scene::start(QUICK).await;
    let (ledger, left) = struck(&mut scene, Behaviour::cut(1000, 500, Then::Fin)).await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(left).is_empty(), "{:?}", ledger.failed_since(left));
}

#[tokio::test]
async fn long_answers_that_are_cut_are_cut_for_the_client_too() {
    let mut scene = Scene::start(QUICK).await;
    let whole = Behaviour::ok(&"x".repeat(LARGE));
    scene.standby.iter().for_each(|upstream| upstream.behave(whole.clone()));
    let (ledger, left) = struck(&mut scene, Behaviour::cut(LARGE, LARGE / 2, Then::Reset)).await;
    let before: Vec<_> = ledger.failed().into_iter().filter(|outcome| outcome.number < left).collect();
    assert!(!before.is_empty() && before.iter().all(|outcome| outcome.status() == 0), "{before:?}");
}

#[tokio::test]
async fn resets_after_the_header_are_asked_for_again() {
    let mut scene = Scene::start(QUICK).await;
    let (ledger, left) = struck(&mut scene, Behaviour::cut(100, 0, Then::Reset)).await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(left).is_empty(), "{:?}", ledger.failed_since(left));
}

#[tokio::test]
async fn connections_that_are_closed_as_they_are_used_again_cost_no_get_and_condemn_nobody() {
    let mut scene = Scene::start(QUICK).await;
    let racing = Behaviour::Racing(10, Box::new(good("home")));
    scene.home_behaves(&racing);
    let load = scene.load();
    load.goes_on(300).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed().len() <= 2, "one an endpoint, until it is not trusted: {:?}", ledger.failed());
    scene.audit(&ledger);
    assert_eq!(scene.proxy.news(), Default::default());
    let stale = scene.proxy.service_stats("web").retries()[standfast::routing::RetryReason::Stale as usize];
    assert!(stale > 0, "nobody met a closed connection");
    let failed = scene.home().map(|address| scene.proxy.stats(address).totals().failed[Failure::Reset as usize]);
    assert_eq!(failed, [0, 0], "that is no failure of the endpoint");
}
