//! Deadlines: everybody who makes others wait is given up in time, and the right one is blamed.
mod support;

use standfast::decision::Failure;
use support::plane::{http_yaml, yaml};
use support::{Behaviour, Client, Plane, Then, Upstream, get, until};

fn failed(plane: &Plane, kind: Failure) -> u64 {
    plane.published.load().services[0].pools[0].endpoints[0].stats.totals().failed[kind as usize]
}

#[tokio::test]
async fn an_upstream_that_stalls_in_its_answer_is_given_up_and_the_client_reset() {
    let upstream = Upstream::start(Behaviour::cut(1_000_000, 100, Then::Stall)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    timeouts: {body: 200ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    until("it is counted", || failed(&plane, Failure::Timeout) == 1).await;
    until("the upstream was told", || upstream.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_given_up_and_nobody_else_blamed() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(50_000_000))).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 300ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the exchange is given up", || upstream.requests() == 1 && upstream.open() == 0).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(Failure::ALL.iter().map(|kind| failed(&plane, *kind)).sum::<u64>(), 0);
}

#[tokio::test]
async fn an_upstream_that_does_not_take_a_body_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let deaf = tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let plane = Plane::start(&http_yaml(&[&[address]], "    timeouts: {body: 300ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    let body = vec![b'x'; 50_000_000];
    let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).await;
    let (mut read, mut write) = client.stream.split();
    let mut answer = vec![0; 1024];
    let upload = async {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut write, &body).await;
        std::future::pending::<()>().await;
    };
    let count = tokio::select! {
        () = upload => unreachable!(),
        count = support::within(tokio::io::AsyncReadExt::read(&mut read, &mut answer)) => count.unwrap(),
    };
    assert!(answer[..count].starts_with(b"HTTP/1.1 504"), "{}", String::from_utf8_lossy(&answer[..count]));
    assert_eq!(failed(&plane, Failure::Timeout), 1);
    deaf.abort();
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_elsewhere() {
    let hanging = Upstream::start(Behaviour::Hang).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let more = "    balance: round_robin\n    retry: {on: [timeout], per_try_timeout: 150ms, budget: 100%}\n";
    let plane = Plane::start(&http_yaml(&[&[hanging.address, good.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..4 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
    }
    assert!(hanging.requests() > 0);
    until("slow exchanges are reset", || hanging.open() == 0).await;
}

#[tokio::test]
async fn an_idle_client_connection_is_closed_in_order() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {idle: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    assert_eq!(client.rest().await, (Vec::new(), None));
}

#[tokio::test]
async fn an_idle_upstream_connection_is_closed_in_time() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    timeouts: {idle: 200ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    assert_eq!(upstream.open(), 1);
    until("it is closed", || upstream.open() == 0).await;
    assert_eq!(client.ask(get("/", "2")).await.text(), "ok");
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed_after_the_header_deadline() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {header: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.rest().await, (Vec::new(), None));
}
