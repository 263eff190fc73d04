//! How a probe ends on the wire: the endpoint sees the end of the connection in order, whatever the verdict.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::decision::{ProbeFailure, ProbeOutcome};
use crate::sys::clock;

const HERE: CheckedPlace<'_> = CheckedPlace { service: "s", pool: "a" };

/// One probe of this endpoint, in a service with these keys.
async fn probe(address: SocketAddr, keys: &str) -> ProbeOutcome {
    prepared(address, keys).run(Duration::from_secs(5), true).await.outcome
}

/// The check of this endpoint, in a service with these keys.
fn prepared(address: SocketAddr, keys: &str) -> Probe {
    let text = format!(
        "listeners: [{{name: in, bind: '127.0.0.1:0', routes: [{{service: s}}]}}]\n\
         services: {{s: {{{keys}, pools: [{{name: a, endpoints: ['{address}']}}]}}}}"
    );
    let read = crate::config::parse(&text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    let pool = &read.config.services[0].pools[0];
    Probe::new(&pool.members.endpoints()[0], pool.health_check.as_ref().unwrap(), None, HERE)
}

/// Serves one connection: reads until `asked`, sends the answer, and reads what comes until the end. An error is a reset.
async fn serve(listener: &TcpListener, asked: &[u8], answer: &[u8]) -> io::Result<Vec<u8>> {
    let (mut stream, _) = listener.accept().await?;
    let mut request = Vec::new();
    while !request.ends_with(asked) {
        assert_ne!(stream.read_buf(&mut request).await?, 0, "a request");
    }
    stream.write_all(answer).await?;
    let mut more = Vec::new();
    stream.read_to_end(&mut more).await?;
    Ok(more)
}

/// A probe with this check is answered like this: its outcome, and what came until the end.
async fn answered(check: &str, asked: &[u8], answer: &[u8]) -> (ProbeOutcome, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = format!("health_check: {{{check}}}");
    let (outcome, more) = tokio::join!(probe(address, &keys), serve(&listener, asked, answer));
    (outcome, more.expect("an end in order, no reset"))
}

fn is_mismatch(outcome: &ProbeOutcome) -> bool {
    matches!(outcome, ProbeOutcome::Fail { kind: ProbeFailure::Mismatch, .. })
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

const HEAD: &[u8] = b"\r\n\r\n";

#[tokio::test]
async fn an_http_probe_that_passes_ends_in_order() {
    for body in ["", "fine", &"x".repeat(20_000)] {
        let (outcome, more) = answered("http: {path: /, status: 200}", HEAD, &response(200, body)).await;
        assert!(matches!(outcome, ProbeOutcome::Pass { reading: None, .. }), "{outcome:?}");
        assert!(more.is_empty());
    }
}

#[tokio::test]
async fn an_http_probe_that_fails_by_its_status_ends_in_order() {
    for body in ["", "not fine", &"x".repeat(200_000)] {
        let (outcome, _) = answered("http: {path: /, status: 200}", HEAD, &response(503, body)).await;
        assert!(is_mismatch(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_body_longer_than_a_check_reads_is_no_reset() {
    let body = "x".repeat(800_000);
    let (outcome, _) = answered("http: {path: /, body: needle}", HEAD, &response(200, &body)).await;
    assert!(is_mismatch(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_tcp_probe_ends_in_order_although_the_endpoint_speaks_first() {
    let (outcome, more) = answered("tcp: {}", b"", b"220 mail.example ESMTP\r\n").await;
    assert!(matches!(outcome, ProbeOutcome::Pass { .. }) && more.is_empty(), "{outcome:?}");
}

/// An HTTP/2 server behind a socket that shows what came in and how it ended: the frames' types, and the last frame.
async fn serve_http2(listener: &TcpListener, status: u16) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (stream, _) = listener.accept().await?;
    let (mut from_client, mut to_client) = stream.into_split();
    let (inside, outside) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(inside).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let response = ::http::Response::builder().status(status).body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data(Bytes::from_static(b"a body"), false).unwrap();
        }
    });
    let (mut from_server, mut to_server) = tokio::io::split(outside);
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if from_client.read_buf(&mut bytes).await? == 0 {
            break;
        }
        // (It may have ended after the GOAWAY.)
        let _ = to_server.write_all(&bytes[before..]).await;
    }
    let (mut kinds, mut last) = (Vec::new(), Vec::new());
    let mut rest = &bytes[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()..];
    while let Some((head, more)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        kinds.push(head[3]);
        last = more[..length].to_vec();
        rest = &more[length..];
    }
    Ok((kinds, last))
}

#[tokio::test]
async fn probes_over_http2_end_with_goaway_and_in_order() {
    /// RFC 9113, section 6.8.
    const GOAWAY: u8 = 7;
    const HTTP2: &str = "upstream: {protocol: http2}, health_check: {http: {path: /, status: 200}}";
    for (keys, status) in [(HTTP2, 200), (HTTP2, 503), ("health_check: {grpc: {}}", 503)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (outcome, served) = tokio::join!(probe(address, keys), serve_http2(&listener, status));
        let (kinds, last) = served.expect("an end in order, no reset");
        assert_eq!(matches!(outcome, ProbeOutcome::Pass { .. }), status == 200, "{outcome:?}");
        assert_eq!(kinds.last(), Some(&GOAWAY), "{kinds:?}");
        assert_eq!(last[4..8], [0; 4], "NO_ERROR");
    }
}

// ---- logins that have no answer ------------------------------------------------------------------------------------

/// A check that logs in at an endpoint of which only the kernel answers leaves a few connections there, and logs in again as soon as one
/// of them ends.
#[tokio::test]
async fn logins_without_an_answer_are_few() {
    for check in ["postgres: {user: probe}", "redis: {}", "mysql: {user: probe}"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut probe = prepared(address, &format!("health_check: {{{check}}}"));
        let mut queue = Vec::new();
        for round in 0..login::MOST + 3 {
            let outcome = probe.run(Duration::from_millis(20), false).await.outcome;
            let ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail } = outcome else { panic!("{outcome:?}") };
            assert_eq!(detail.contains("no answer to 4 logins"), round + 1 >= login::MOST, "{round}: {detail}");
            let mut listening = std::pin::pin!(async {
                loop {
                    queue.push(listener.accept().await.unwrap().0);
                }
            });
            tokio::select! {
                () = &mut listening => {}
                () = clock::sleep_until(clock::now().after(Duration::from_millis(5))) => {}
            }
        }
        assert_eq!(queue.len(), login::MOST, "{check}");

        // It goes on, and closes the oldest: there is a new login within the same probe.
        let probing = tokio::spawn(async move { probe.run(Duration::from_secs(5), false).await.outcome });
        drop(queue.remove(0));
        let (mut stream, _) = listener.accept().await.unwrap();
        let nonsense = b"x\r\n\0\0\0\0\0\0\0\0\0\0\0\0";
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let outcome = probing.await.unwrap();
        assert!(matches!(outcome, ProbeOutcome::Fail { kind, .. } if kind != ProbeFailure::Timeout), "{outcome:?}");
    }
}

/// An endpoint that takes no connection has none that wait: each probe connects again.
#[tokio::test]
async fn what_does_not_connect_does_not_wait() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut probe = prepared(closed, "health_check: {redis: {}}");
    for _ in 0..login::MOST + 2 {
        let outcome = probe.run(Duration::from_secs(5), false).await.outcome;
        assert!(matches!(outcome, ProbeOutcome::Fail { kind: ProbeFailure::Refused, .. }), "{outcome:?}");
    }
}
