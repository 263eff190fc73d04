//! Switches, reloads and stops under work in flight.
mod reloads;

use std::time::Duration;

use tokio::net::TcpStream;

use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Plane, Upstream, get, post, until};

#[tokio::test]
async fn after_a_switch_no_request_reaches_the_old_pool() {
    let old = Upstream::start(Behaviour::ok("old")).await;
    let new = Upstream::start(Behaviour::ok("new")).await;
    let mut plane = Plane::start_with(&http_yaml(&[&[old.address], &[new.address]], ""), 2);
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "old");
        clients.push(client);
    }
    plane.switch(1).await;
    let before = old.requests();
    for client in &mut clients {
        assert_eq!(client.ask(get("/", "g")).await.text(), "new");
        assert_eq!(client.ask(post("/", "p", "x")).await.text(), "new");
    }
    assert_eq!(old.requests(), before);
    until("idle connections to the old pool are closed", || old.open() == 0).await;
}

#[tokio::test]
async fn with_sessions_drain_a_request_in_flight_finishes_in_the_old_pool() {
    let old = Upstream::start(Behaviour::ok("old").after(Duration::from_millis(300))).await;
    let new = Upstream::start(Behaviour::ok("new")).await;
    let mut plane = Plane::start(&http_yaml(&[&[old.address], &[new.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "x")).await;
    until("the request is there", || old.requests() == 1).await;
    plane.switch(1).await;
    assert_eq!(client.answer().await.unwrap().text(), "old");
    assert_eq!(client.ask(get("/", "g")).await.text(), "new");
    until("its connection is not kept", || old.open() == 0).await;
}

#[tokio::test]
async fn with_sessions_close_a_request_in_flight_is_reset_at_the_switch() {
    a_request_in_flight_is_reset_after_a_switch("    failover: {sessions: close}\n").await;
}

#[tokio::test]
async fn a_drained_request_is_reset_when_its_time_is_over() {
    a_request_in_flight_is_reset_after_a_switch("    failover: {drain_timeout: 200ms}\n").await;
}

async fn a_request_in_flight_is_reset_after_a_switch(more: &str) {
    let old = Upstream::start(Behaviour::Hang).await;
    let new = Upstream::start(Behaviour::ok("new")).await;
    let mut plane = Plane::start(&http_yaml(&[&[old.address], &[new.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "x")).await;
    until("the request is there", || old.requests() == 1).await;
    plane.switch(1).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    until("the upstream was reset too", || old.open() == 0).await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let upstream = Upstream::start(Behaviour::ok("done").after(Duration::from_millis(300))).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let address = plane.address("web");
    let mut busy = Client::connect(address).await;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.ask(get("/", "1")).await.text(), "done");
    busy.send(post("/", "2", "x")).await;
    until("the request is there", || upstream.requests() == 2).await;
    let report = plane.draining(Duration::from_secs(5));
    assert_eq!(idle.rest().await, (Vec::new(), None));
    let answer = busy.answer().await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("done", Some("close")));
    assert_eq!(busy.rest().await, (Vec::new(), None));
    let report = crate::support::within(report).await.unwrap();
    assert_eq!((report.finished, report.cut), (1, 0));
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_finish_in_time() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the request is there", || upstream.requests() == 1).await;
    let report = plane.drain(Duration::from_millis(100)).await;
    assert_eq!((report.finished, report.cut), (0, 1));
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reload_opens_new_listeners_and_closes_removed_ones() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let first = http_yaml(&[&[upstream.address]], "");
    let mut plane = Plane::start(&first);
    let old = plane.address("web");
    let mut client = Client::connect(old).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    plane.reload(&first.replace("name: web\n", "name: other\n"));
    let new = plane.address("other");
    assert_ne!(old, new);
    let mut second = Client::connect(new).await;
    assert_eq!(second.ask(get("/", "2")).await.text(), "ok");
    assert_eq!(client.rest().await, (Vec::new(), None));
    assert!(TcpStream::connect(old).await.is_err(), "the old port is closed");
}

#[tokio::test]
async fn a_reload_keeps_connections_of_unchanged_listeners() {
    let (a, b) = (Upstream::start(Behaviour::ok("a")).await, Upstream::start(Behaviour::ok("b")).await);
    let mut plane = Plane::start(&http_yaml(&[&[a.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "a");
    plane.reload(&http_yaml(&[&[b.address]], ""));
    let published = plane.published.clone();
    until("taken up", || published.all_acknowledged(published.epoch())).await;
    assert_eq!(client.ask(get("/", "2")).await.text(), "b");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let listener = "    limits: {max_connections: 2}\n";
    let plane = Plane::start_with(&yaml("http", &[&[upstream.address]], listener, ""), 2);
    let address = plane.address("web");
    let mut clients = Vec::new();
    for n in 0..2 {
        let mut client = Client::connect(address).await;
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "ok");
        clients.push(client);
    }
    let mut third = Client::connect(address).await;
    third.send(get("/", "3")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(upstream.requests(), 2);
    clients.pop();
    assert_eq!(third.answer().await.unwrap().text(), "ok");
}
