//! TCP sessions through the proxy on real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::plane::yaml;
use crate::support::{Client, Plane, Upstream, until, within};

/// Echoes until the client closes its side, then says goodbye.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.write_all(b"bye").await;
            });
        }
    });
    address
}

#[tokio::test]
async fn half_close_travels_through_and_the_answer_comes_back() {
    let plane = Plane::start(&yaml("tcp", &[&[echo().await]], "", ""));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"hellobye");
}

#[tokio::test]
async fn a_refused_endpoint_is_passed_over_within_the_same_connection() {
    let mut refusing = Upstream::start(crate::support::Behaviour::Hang).await;
    refusing.refuse().await;
    let plane = Plane::start(&yaml("tcp", &[&[refusing.address, echo().await]], "", ""));
    for _ in 0..8 {
        let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut answer = [0; 1];
        within(client.read_exact(&mut answer)).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_waits_for_the_verdict_and_goes_on_in_the_next_pool() {
    let mut refusing = Upstream::start(crate::support::Behaviour::Hang).await;
    refusing.refuse().await;
    let mut plane = Plane::start(&yaml("tcp", &[&[refusing.address], &[echo().await]], "", ""));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let refused = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    until("the connect was refused", || refused.totals().connects[1] > 0).await;
    plane.switch(1).await;
    let mut answer = [0; 1];
    within(client.read_exact(&mut answer)).await.unwrap();
}

#[tokio::test]
async fn with_sessions_close_a_switch_resets_both_sides() {
    let more = "    failover: {sessions: close}\n";
    let mut plane = Plane::start(&yaml("tcp", &[&[echo().await], &[echo().await]], "", more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("x").await;
    let mut answer = [0; 1];
    within(client.stream.read_exact(&mut answer)).await.unwrap();
    plane.switch(1).await;
    let (rest, error) = client.rest().await;
    assert_eq!((rest.as_slice(), error), (&b""[..], Some(std::io::ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn with_sessions_drain_a_session_goes_on_until_the_drain_timeout() {
    let more = "    failover: {sessions: drain, drain_timeout: 300ms}\n";
    let mut plane = Plane::start(&yaml("tcp", &[&[echo().await], &[echo().await]], "", more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("x").await;
    let mut answer = [0; 1];
    within(client.stream.read_exact(&mut answer)).await.unwrap();
    plane.switch(1).await;
    client.send("y").await;
    within(client.stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"y");
    let (_, error) = client.rest().await;
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_silent_session_ends_after_the_tunnel_timeout() {
    let more = "    timeouts: {tunnel: 200ms}\n";
    let plane = Plane::start(&yaml("tcp", &[&[echo().await]], "", more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("x").await;
    let mut answer = [0; 1];
    within(client.stream.read_exact(&mut answer)).await.unwrap();
    let (_, error) = client.rest().await;
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions() {
    let plane = Plane::start(&yaml("tcp", &[&[echo().await]], "", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("hello").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await.0, b"hellobye");
    let table = plane.published.load();
    let endpoint = &table.services[0].pools[0].endpoints[0].stats;
    until("the session was counted", || endpoint.totals().bytes_in == 8).await;
    assert_eq!(endpoint.totals().bytes_out, 5);
    assert_eq!(endpoint.totals().good, 1);
}

#[tokio::test]
async fn a_stop_resets_what_does_not_end_in_time() {
    let mut plane = Plane::start(&yaml("tcp", &[&[echo().await]], "", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("x").await;
    let mut answer = [0; 1];
    within(client.stream.read_exact(&mut answer)).await.unwrap();
    let address = plane.address("web");
    let report = plane.drain(Duration::from_millis(100)).await;
    assert_eq!((report.finished, report.cut), (0, 1));
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

/// How the only session of this plane is said to have ended, once it has.
async fn termination(path: &std::path::Path) -> String {
    let mut word = String::new();
    until("the session is logged", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        word = line.map(|line| line["termination"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
        !word.is_empty()
    })
    .await;
    word
}

/// A session whose endpoint sends for as long as it is taken, or nothing.
async fn silenced(timeouts: &str, sends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while sends && stream.write_all(&[b'x'; 65536]).await.is_ok() {}
        // Until it is reset.
        let _ = stream.read(&mut [0]).await;
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let text = yaml("tcp", &[&[address]], "", &format!("    timeouts: {{{timeouts}}}\n"));
    let mut plane = Plane::start(&(text + &format!("access_log: {{path: {}, format: json}}\n", path.display())));
    let mut client = Client::connect(plane.address("web")).await;
    // It reads only after the session has ended.
    let stats = plane.stats("web");
    until("the session has begun", || stats.limits.in_use() == 1).await;
    until("the session has ended", || stats.limits.in_use() == 0).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    plane.drain(Duration::from_secs(1)).await;
    termination(&path).await
}

#[tokio::test]
async fn a_silent_side_ends_a_session_and_is_named_in_the_access_log() {
    for (timeouts, sends, expected) in [
        ("client: 200ms", false, "client_idle"),
        ("upstream: 200ms", false, "upstream_idle"),
        ("client: 10s, upstream: 200ms", false, "upstream_idle"),
        ("tunnel: 200ms", false, "idle"),
        ("client: 900ms, upstream: 600ms", true, "client_idle"),
    ] {
        assert_eq!(silenced(timeouts, sends).await, expected, "{timeouts}");
    }
}
