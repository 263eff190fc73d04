//! What looks like a fault and is none: no switch, no verdict.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use standfast::decision::{ConnectOutcome, Operational};
use standfast::sys::clock;
use tokio::sync::watch;

use super::scene::{CALM, Scene, good};
use crate::support::http2_upstream::{AskedMethod, Http2Upstream};
use crate::support::instance::News;
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, get, post, until, within};

/// Longer than an answer may take before it is late, with what scenes are acquainted with.
const LONG: Duration = Duration::from_millis(600);

/// Everybody answers on this path when told, and elsewhere as ever.
fn slow_path(scene: &Scene, path: &'static str) -> watch::Sender<bool> {
    let (tell, _) = watch::channel(false);
    for upstream in scene.upstreams() {
        upstream.behave(good("quick").but(path, Behaviour::ok("at last").when(&tell)));
    }
    tell
}

/// So many clients who ask this and wait.
async fn waiting(scene: &Scene, requests: impl IntoIterator<Item = String>) -> Vec<Client> {
    let mut clients = Vec::new();
    for request in requests {
        let mut client = Client::connect(scene.proxy.address("web")).await;
        client.send(request).await;
        clients.push(client);
    }
    clients
}

async fn are_answered(clients: Vec<Client>) {
    for mut client in clients {
        let answer = client.answer().await.expect("a whole answer");
        assert_eq!((answer.status(), answer.text()), (200, "at last"));
    }
}

/// Gets and posts to this path, in turn.
fn mixed(path: &str, count: usize) -> Vec<String> {
    let request = |n: usize| match n % 2 {
        0 => get(path, &format!("slow-{n}")),
        _ => post(path, &format!("slow-{n}"), "order"),
    };
    (0..count).map(request).collect()
}

fn late(scene: &Scene) -> bool {
    scene.home().iter().any(|address| scene.proxy.stats(*address).replies().was_late(clock::now()))
}

fn assert_each_post_was_executed_once(scene: &Scene, count: usize) {
    for n in (1..count).step_by(2) {
        assert_eq!(scene.executed(&format!("slow-{n}")), 1);
    }
}

#[tokio::test]
async fn long_polls_are_suspected_and_cleared_by_a_probe() {
    let mut scene = Scene::start(CALM).await;
    let tell = slow_path(&scene, "/poll");
    let probes = scene.probes();
    let polls = waiting(&scene, mixed("/poll", 16)).await;
    until("a probe was asked for", || scene.probes() > probes).await;
    until("nobody is suspected", || scene.home().iter().all(|home| !scene.proxy.endpoint(*home, |e| e.suspected)))
        .await;
    tell.send_replace(true);
    are_answered(polls).await;
    assert_each_post_was_executed_once(&scene, 16);
    assert_eq!(scene.proxy.news(), News::default());
}

#[tokio::test]
async fn long_polls_of_a_route_that_says_so_are_not_even_suspected() {
    let polls = "routes: [{service: web, match: {path_prefix: /poll}, timeouts: {stall: off}}, {service: web}]";
    let mut scene = Scene::start_with(CALM, |yaml| yaml.replace("routes: [{service: web}]", polls)).await;
    let tell = slow_path(&scene, "/poll");
    let probes = scene.probes();
    let polls = waiting(&scene, mixed("/poll", 16)).await;
    tokio::time::sleep(LONG).await;
    tell.send_replace(true);
    are_answered(polls).await;
    assert_eq!(scene.probes(), probes);
    for n in 0..16 {
        assert_eq!(scene.executed(&format!("slow-{n}")), 1, "nobody was asked twice");
    }
    assert_eq!(scene.proxy.news(), News::default());
}

#[tokio::test]
async fn reports_among_quick_answers_condemn_nobody() {
    let mut scene = Scene::start(CALM).await;
    let tell = slow_path(&scene, "/report");
    let load = scene.load();
    let reports = waiting(&scene, mixed("/report", 8)).await;
    until("they are late", || late(&scene)).await;
    load.goes_on(100).await;
    tell.send_replace(true);
    are_answered(reports).await;
    assert_each_post_was_executed_once(&scene, 8);
    let ledger = load.stop().await;
    scene.assert_calm(&ledger);
}

#[tokio::test]
async fn event_streams_may_be_silent_before_their_head_and_after() {
    let mut scene = Scene::start(CALM).await;
    let (tell, _) = watch::channel(false);
    let begun = Behaviour::Say(b"7\r\nat last\r\n0\r\n\r\n".to_vec(), crate::support::Then::Keep).when(&tell);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for upstream in scene.upstreams() {
        let waits = Behaviour::ok("at last").when(&tell);
        let begins = Behaviour::Begin(head.clone(), Box::new(begun.clone()));
        upstream.behave(good("quick").but("/waits", waits).but("/begins", begins));
    }
    let events = |path: &str| get(path, "e").replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n");
    let probes = scene.probes();
    let requests = (0..16).map(|n| if n % 2 == 0 { events("/waits") } else { events("/begins") });
    let streams = waiting(&scene, requests).await;
    tokio::time::sleep(LONG).await;
    tell.send_replace(true);
    are_answered(streams).await;
    assert_eq!((scene.probes(), scene.executed("e")), (probes, 16), "nobody was suspected, nobody asked twice");
    assert_eq!(scene.proxy.news(), News::default());
}

#[tokio::test]
async fn slow_uploads_are_not_waited_for() {
    let mut scene = Scene::start(CALM).await;
    let probes = scene.probes();
    let head = |n| post("/", &format!("slow-{n}"), "").replace("Content-Length: 0", "Content-Length: 12");
    let mut uploads = waiting(&scene, (0..12).map(head)).await;
    for part in ["four", "five", "done"] {
        tokio::time::sleep(LONG / 2).await;
        for upload in &mut uploads {
            upload.send(part).await;
        }
    }
    for mut upload in uploads {
        assert_eq!(upload.answer().await.expect("a whole answer").status(), 200);
    }
    assert_eq!(scene.probes(), probes, "nobody was suspected");
    assert_each_post_was_executed_once(&scene, 12);
    assert_eq!(scene.proxy.news(), News::default());
}

#[tokio::test]
async fn watches_of_grpc_may_be_silent() {
    let (tell, told) = watch::channel(false);
    let upstream = || async {
        let told = told.clone();
        Http2Upstream::start(move |asked| answer_call(asked, told.clone())).await
    };
    let (home, standby) = ([upstream().await, upstream().await], upstream().await);
    let addresses = [home[0].address, home[1].address];
    let more = "    upstream: {protocol: http2}\n    health_check: {grpc: {}, interval: 9s, timeout: 5s, fast_interval: 100ms}\n";
    let mut proxy = Instance::start(&http_yaml(&[&addresses, &[standby.address]], more));
    proxy.stand(&[addresses[0], addresses[1], standby.address], Operational::Healthy).await;
    proxy.serves("web", 0).await;
    proxy.news();
    let probed = home[0].requests() + home[1].requests();
    let call = |path| {
        let head = "Content-Type: application/grpc\r\nTE: trailers\r\nConnection: TE\r\nContent-Length: 1";
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\nx")
    };
    let address = proxy.address("web");
    let mut client = Client::connect(address).await;
    // Were calls counted, this would acquaint it with quick ones.
    for _ in 0..160 {
        assert_eq!(client.ask(call("/shop.Cart/Add")).await.status(), 200);
    }
    let mut watches = Vec::new();
    for _ in 0..16 {
        let mut watch = Client::connect(address).await;
        watch.send(call("/shop.Cart/Watch")).await;
        watches.push(watch);
    }
    tokio::time::sleep(2 * LONG).await;
    tell.send_replace(true);
    for mut watch in watches {
        assert_eq!(within(watch.answer()).await.expect("a whole answer").text(), "answer");
    }
    let asked = home[0].requests() + home[1].requests() - probed;
    assert_eq!((asked, standby.requests()), (160 + 16, 1), "nobody was probed out of turn, nobody asked twice");
    assert_eq!(proxy.news(), News::default());
}

/// Health is well, watches are answered when told, everything else at once.
async fn answer_call(mut asked: AskedMethod, mut told: watch::Receiver<bool>) {
    let path = asked.request.uri().path().to_owned();
    asked.body().await;
    if path.ends_with("/Watch") {
        let _ = told.wait_for(|told| *told).await;
    }
    let body = if path.ends_with("/Check") { Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]) } else { "answer".into() };
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    // Whoever asked may have left.
    let Ok(mut send) = asked.respond.send_response(head, false) else { return };
    let _ = send.send_data(body, false);
    let _ = send.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]));
}

#[tokio::test]
async fn a_listener_that_restarts_is_no_failure() {
    for _ in 0..10 {
        if restarts_a_listener_in_time().await {
            return;
        }
    }
    panic!("this machine never managed to restart a listener within the time of the doubt");
}

/// False: the machine was busy, and the restart took longer than a restart may.
async fn restarts_a_listener_in_time() -> bool {
    let mut scene = Scene::start(CALM).await;
    let address = scene.home[0].address;
    let stats = scene.proxy.stats(address);
    let load = scene.load();
    load.goes_on(20).await;
    let refused = || stats.totals().connects[ConnectOutcome::Refused as usize] > 0;
    let doubted = || scene.proxy.endpoint(address, |endpoint| endpoint.suspected);
    let began = clock::now();
    scene.home[0].refuse().await;
    let dead = load.mark();
    until("somebody was refused, or cut off", || refused() || doubted()).await;
    scene.home[0].listen_again().await;
    if clock::now().since(began) > Duration::from_millis(40) {
        return false;
    }
    until("it is trusted again", || !scene.proxy.endpoint(address, |endpoint| endpoint.suspected)).await;
    let before = scene.home[0].requests();
    until("it is used again", || scene.home[0].requests() > before + 20).await;
    let ledger = load.stop().await;
    assert!(ledger.failed_gets().is_empty(), "{:?}", ledger.failed_gets());
    assert!(ledger.failed_since(dead).is_empty(), "{:?}", ledger.failed_since(dead));
    scene.audit(&ledger);
    assert_eq!(scene.proxy.news(), News::default());
    true
}
