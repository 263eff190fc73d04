//! gRPC through the proxy: errors in its own terms, streams that pause, health checks.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use standfast::config;
use standfast::control::{self, ControlSetup};
use standfast::decision::Failure;
use standfast::proxy::{self, ProxySetup};
use standfast::telemetry::access::AccessLog;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::http2_upstream::{AskedMethod, Http2Upstream};
use crate::support::plane::http_yaml;
use crate::support::{Answer, Behaviour, Client, Plane, Upstream, until, within};

const HTTP2: &str = "    upstream: {protocol: http2}\n    balance: round_robin\n";

fn call(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /shop.Cart/Add HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\nConnection: TE\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn status(answer: &Answer) -> (u16, Option<&str>, Option<&str>, Option<&str>) {
    let field = |name| answer.header(name);
    (answer.status(), field("content-type"), field("grpc-status"), field("standfast-cause"))
}

#[tokio::test]
async fn errors_of_ours_are_said_in_grpcs_own_terms() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hanging = Upstream::start(Behaviour::Hang).await;
    let resetting = Upstream::start(Behaviour::reset()).await;
    let babbling = Upstream::start(Behaviour::Say(b"SMTP\r\n\r\n".to_vec(), crate::support::Then::Close)).await;
    let grpc = Some("application/grpc");
    for (address, code, cause) in [
        (gone, "14", "upstream_connect"),
        (hanging.address, "4", "upstream_timeout"),
        (resetting.address, "14", "upstream_reset"),
        (babbling.address, "13", "upstream_malformed"),
    ] {
        let plane = Plane::start(&http_yaml(&[&[address]], "    timeouts: {response: 200ms}\n"));
        let mut client = Client::connect(plane.address("web")).await;
        let answer = client.ask(call("x")).await;
        assert_eq!(status(&answer), (200, grpc, Some(code), Some(cause)));
        assert!(answer.header("grpc-message").is_some() && answer.body.is_empty(), "{}", answer.head);
    }
}

#[tokio::test]
async fn what_is_no_call_gets_plain_http() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plane = Plane::start(&http_yaml(&[&[gone]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(call("x").replace("application/grpc", "application/json")).await;
    assert_eq!((answer.status(), answer.header("grpc-status")), (503, None));
}

#[tokio::test]
async fn a_call_may_pause_longer_than_a_body_and_its_status_comes_in_trailers() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut send = asked.respond.send_response(response, false).unwrap();
        send.send_data(Bytes::from_static(b"first"), false).unwrap();
        let (body, _) = asked.body().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        send.send_data(Bytes::from(body), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        send.send_trailers(trailers).unwrap();
    })
    .await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], &format!("{HTTP2}    timeouts: {{body: 100ms}}\n")));
    let mut client = Client::connect(plane.address("web")).await;
    let head = call("").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    client.send(head).await;
    let mut seen = Vec::new();
    read_until(&mut client, &mut seen, "first").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;
    read_until(&mut client, &mut seen, "second").await;
    read_until(&mut client, &mut seen, "0\r\ngrpc-status: 0\r\n\r\n").await;
}

async fn read_until(client: &mut Client, seen: &mut Vec<u8>, what: &str) {
    while !String::from_utf8_lossy(seen).contains(what) {
        let mut bytes = [0; 1024];
        let count = within(client.stream.read(&mut bytes)).await.unwrap();
        assert!(count > 0, "no {what} in {}", String::from_utf8_lossy(seen));
        seen.extend_from_slice(&bytes[..count]);
    }
}

#[tokio::test]
async fn a_call_that_is_unavailable_at_once_counts_against_its_endpoint_and_is_passed_on() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "14");
        asked.respond.send_response(response.body(()).unwrap(), true).unwrap();
    })
    .await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], HTTP2));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(call("x")).await.header("grpc-status"), Some("14"));
    assert_eq!(upstream.requests(), 1);
    let totals = plane.published.load().services[0].pools[0].endpoints[0].stats.totals();
    assert_eq!(totals.failed[Failure::Gateway as usize], 1);
}

/// A server whose health is `health`, and which says `name` to everything else.
async fn server(name: &'static str, health: &Arc<AtomicU8>) -> Http2Upstream {
    let health = Arc::clone(health);
    Http2Upstream::start(move |mut asked: AskedMethod| {
        let health = Arc::clone(&health);
        async move {
            if asked.request.uri().path() != "/grpc.health.v1.Health/Check" {
                return asked.say(name);
            }
            let (body, _) = asked.body().await;
            assert_eq!(body, b"\0\0\0\0\x06\x0a\x04cart");
            let response = Response::builder().header("content-type", "application/grpc+proto").body(()).unwrap();
            let mut send = asked.respond.send_response(response, false).unwrap();
            send.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, health.load(Ordering::SeqCst)]), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send_trailers(trailers).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_health_check_that_no_longer_serves_moves_the_service() {
    moves("off").await;
    // Probes share a connection while all is well.
    moves("1h").await;
}

async fn moves(reuse: &str) {
    let (home_health, standby_health) = (Arc::new(AtomicU8::new(1)), Arc::new(AtomicU8::new(1)));
    let home = server("home", &home_health).await;
    let standby = server("standby", &standby_health).await;
    let check = format!(
        "    health_check: {{grpc: {{service: cart, reuse: {reuse}}}, interval: 20ms, timeout: 2s, fast_interval: 10ms, fall: 2, rise: 1}}\n"
    );
    let text = http_yaml(&[&[home.address], &[standby.address]], &format!("{HTTP2}{check}"));
    let config = config::parse(&text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).config;
    let handle = control::start(ControlSetup { config, path: None, workers: 1 }).unwrap();
    let published = Arc::clone(handle.published());
    let access_log = AccessLog::start(None).unwrap();
    let proxy = proxy::start(ProxySetup { published: Arc::clone(&published), access_log }).unwrap();
    let address = published.load().listener("web").unwrap().sockets.bound()[0].local;
    let mut client = Client::connect(address).await;
    assert_eq!(client.ask(call("x")).await.text(), "home");
    if reuse != "off" {
        let share = || standby.accepted() > 0 && standby.requests() >= 2 * standby.accepted();
        until("probes share a connection", share).await;
    }
    home_health.store(2, Ordering::SeqCst);
    until("the standby serves", || published.load().services[0].serving == standfast::decision::Serving::Active(1))
        .await;
    let mut client = Client::connect(address).await;
    until("the worker has taken it up", || published.all_acknowledged(published.epoch())).await;
    assert_eq!(client.ask(call("x")).await.text(), "standby");
    let status = handle.status().await.unwrap();
    let evidence = &status.services[0].pools[0].endpoints[0].state.evidence;
    assert!(evidence.contains("NOT_SERVING"), "{evidence}");
    tokio::task::spawn_blocking(move || proxy.drain(Duration::ZERO)).await.unwrap();
}
