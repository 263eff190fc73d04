//! Deadlines: none of them is extended by one byte at a time.

use std::time::{Duration, Instant};

use standfast::wire::h1::AskedMethod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{Raw, read_reply};
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Plane, Upstream};

/// Far below the bound that a deadline of 300 ms may reach with a coarse sweep, far above what the tests need.
const LATE: Duration = Duration::from_secs(3);

#[allow(clippy::disallowed_methods, reason = "the test measures")]
fn now() -> Instant {
    Instant::now()
}

/// Writes a byte every 20 ms until the connection ends; how long that took, and what came back.
async fn drip(stream: TcpStream, bytes: &[u8]) -> (Duration, Vec<u8>) {
    let began = now();
    let (mut read, mut write) = stream.into_split();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        let _ = read.read_to_end(&mut got).await;
        got
    });
    for byte in bytes.iter().cycle() {
        if reader.is_finished() || began.elapsed() > LATE || write.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    drop(write);
    (took, reader.await.unwrap())
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_extend_the_header_deadline() {
    let upstream = Upstream::start(Behaviour::ok("x")).await;
    let timeouts = "    timeouts: {header: 300ms}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], timeouts, ""));
    for (start, bytes) in [("", "G"), ("GET / HTTP/1.1\r\nHost: t\r\n", "X-A: b\r\n"), ("GET / HTTP/1.1\r\nX: ", "y")] {
        let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let (took, got) = drip(stream, bytes.as_bytes()).await;
        assert!(took < LATE, "{start:?} was waited for");
        assert!(took > Duration::from_millis(200), "{start:?} was cut at once: {took:?}");
        assert!(got.is_empty() || got.starts_with(b"HTTP/1.1 408 "), "{}", got.escape_ascii());
    }
    assert!(upstream.heads().is_empty());
}

#[tokio::test]
async fn the_header_deadline_holds_for_later_requests_of_a_connection_too() {
    let upstream = Upstream::start(Behaviour::ok("x")).await;
    let timeouts = "    timeouts: {header: 300ms, idle: 60s}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], timeouts, ""));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    assert_eq!(read_reply(&mut stream, AskedMethod::Other, &mut Vec::new()).await.status, 200);
    let (took, _) = drip(stream, b"G").await;
    assert!(took < LATE, "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence() {
    let upstream = Upstream::start(Behaviour::ok("x")).await;
    let timeouts = "    timeouts: {idle: 300ms}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], timeouts, ""));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut input = Vec::new();
    assert_eq!(read_reply(&mut stream, AskedMethod::Other, &mut input).await.status, 200);
    let more = read_reply(&mut stream, AskedMethod::Other, &mut input).await;
    assert_eq!(more.heads, "", "closed without a word");
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_and_never_looks_complete() {
    let upstream = Raw::start().await;
    let timeouts = "    timeouts: {body: 300ms}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], timeouts, ""));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.until("hello").await;
    assert!(conn.rest().await.is_empty());
    let reply = read_reply(&mut stream, AskedMethod::Other, &mut Vec::new()).await;
    assert!(matches!(reply.status, 0 | 408), "{reply:?}");
}

#[tokio::test]
async fn a_reply_that_stalls_is_cut_and_never_looks_complete() {
    let upstream = Raw::start().await;
    let more = "    timeouts: {body: 300ms}\n    retry: {attempts: 1, cross_pool: never}\n    hold_response: 0\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", more));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    let reply = read_reply(&mut stream, AskedMethod::Other, &mut Vec::new()).await;
    assert_eq!((reply.status, reply.whole), (200, false));
    assert!(conn.rest().await.is_empty());
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_given_up() {
    let upstream = Raw::start().await;
    let more = "    timeouts: {response: 300ms}\n    retry: {attempts: 1, cross_pool: never}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", more));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    // Interim replies, one after the other, do not extend the wait.
    let began = now();
    let (mut read, mut write) = conn.stream.split();
    let mut end = Vec::new();
    tokio::select! {
        _ = read.read_to_end(&mut end) => {}
        () = async {
            while began.elapsed() < LATE && write.write_all(b"HTTP/1.1 103 Hints\r\n\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } => {}
    }
    assert!(began.elapsed() < LATE);
    let reply = read_reply(&mut stream, AskedMethod::Other, &mut Vec::new()).await;
    assert!(matches!(reply.status, 502 | 504), "{reply:?}");
}

/// An answer that pauses for longer than `timeouts.body`; true: all of it came.
async fn pauses(content_type: &str) -> (bool, u64) {
    let upstream = Raw::start().await;
    let more = "    timeouts: {body: 200ms, tunnel: 8s}\n    hold_response: 0\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let mut stream = TcpStream::connect(plane.address("web")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    ))
    .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let _ = conn.stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await;
    let reply = read_reply(&mut stream, AskedMethod::Other, &mut Vec::new()).await;
    let table = plane.published.load();
    let failed = table.services[0].pools[0].endpoints[0].stats.totals().failed.iter().sum();
    (reply.whole && reply.body == b"firstsecond", failed)
}

#[tokio::test]
async fn only_event_streams_and_grpc_calls_may_pause_for_long() {
    for content_type in ["text/event-stream", "Text/Event-Stream; charset=utf-8", "application/grpc+proto"] {
        assert_eq!(pauses(content_type).await, (true, 0), "{content_type}");
    }
    assert_eq!(pauses("text/plain").await, (false, 1));
}
