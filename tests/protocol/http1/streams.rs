//! Streams: what passes promptly, what stops when the other side stops, and what may never look complete.

use std::time::Duration;

use standfast::wire::h1::AskedMethod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{Raw, read_reply};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Plane, Then, Upstream, post, until, within};

async fn raw_plane(more: &str) -> (Raw, Plane, TcpStream) {
    let upstream = Raw::start().await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.set_nodelay(true).unwrap();
    (upstream, plane, client)
}

/// Reads until these bytes have come.
async fn expect(stream: &mut TcpStream, input: &mut Vec<u8>, text: &str) {
    within(async {
        while !input.windows(text.len()).any(|window| window == text.as_bytes()) {
            let n = stream.read_buf(input).await.unwrap();
            assert!(n > 0, "ended before {text:?}: {}", input.escape_ascii());
        }
        input.clear();
    })
    .await;
}

#[tokio::test]
async fn data_and_trailers_pass_promptly_in_both_directions_at_once() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    let mut input = Vec::new();
    client.write_all(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.until("one\r\n").await;
    conn.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    expect(&mut client, &mut input, "103 Early Hints").await;
    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    expect(&mut client, &mut input, "first\r\n").await;
    client.write_all(b"3\r\ntwo\r\n").await.unwrap();
    conn.until("two\r\n").await;
    conn.send("6\r\nsecond\r\n").await;
    expect(&mut client, &mut input, "second\r\n").await;
    client.write_all(b"0\r\nX-Up: 1\r\n\r\n").await.unwrap();
    conn.until("0\r\nX-Up: 1\r\n\r\n").await;
    conn.send("0\r\nX-Down: 2\r\n\r\n").await;
    expect(&mut client, &mut input, "0\r\nX-Down: 2\r\n\r\n").await;
}

#[tokio::test]
async fn an_early_reply_reaches_a_client_that_still_uploads() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nstart").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.until("start").await;
    conn.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
    drop(conn);
    let reply = read_reply(&mut client, AskedMethod::Other, &mut Vec::new()).await;
    assert_eq!((reply.status, reply.body.as_slice(), reply.whole), (413, &b"no"[..], true));
}

#[tokio::test]
async fn a_client_that_waits_with_its_body_is_told_to_go_on_by_the_upstream_alone() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    let mut input = Vec::new();
    client.write_all(b"PUT / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    assert!(conn.head().await.contains("Expect: 100-continue\r\n"));
    conn.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    expect(&mut client, &mut input, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"body").await.unwrap();
    conn.until("body").await;
    conn.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await.status, 204);
}

#[tokio::test]
async fn a_refused_expectation_leaves_no_body_to_be_taken_for_a_request() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    let mut input = Vec::new();
    client.write_all(b"PUT / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await.status, 403);
    // The client may send the body now or not; neither side may read it as the next request.
    let _ = client.write_all(b"GET /smuggled HTTP/1.1\r\nHost: t\r\nXX: \r\n\r\n").await;
    let second = read_reply(&mut client, AskedMethod::Other, &mut input).await;
    assert_eq!(second.status, 0, "{second:?}");
    assert!(!String::from_utf8_lossy(&conn.rest().await).contains("smuggled HTTP/1.1\r\nHost: t\r\nX-"));
}

#[tokio::test]
async fn an_upload_cut_short_never_looks_complete_upstream() {
    for (head, body) in [
        ("Content-Length: 10\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX: y\r\n"),
    ] {
        for reset in [false, true] {
            let (upstream, _plane, mut client) = raw_plane("").await;
            client.write_all(format!("POST / HTTP/1.1\r\nHost: t\r\n{head}\r\n{body}").as_bytes()).await.unwrap();
            let mut conn = upstream.accept().await;
            conn.until("hel").await;
            if reset {
                client.set_zero_linger().unwrap();
                drop(client);
            } else {
                client.shutdown().await.unwrap();
            }
            let rest = conn.rest().await;
            assert!(rest.len() < 5 && !rest.ends_with(b"0\r\n\r\n"), "{body:?}: {}", rest.escape_ascii());
        }
    }
}

#[tokio::test]
async fn a_client_that_closes_only_its_own_side_gets_its_answer() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let reply = read_reply(&mut client, AskedMethod::Other, &mut Vec::new()).await;
    assert_eq!((reply.body.as_slice(), reply.whole), (&b"hello"[..], true));
}

#[tokio::test]
async fn an_upstream_learns_within_two_seconds_that_the_client_is_gone() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    client.set_zero_linger().unwrap();
    drop(client);
    let waited = Duration::from_secs(2);
    #[allow(clippy::disallowed_methods, reason = "the deadline is what is tested")]
    let rest = tokio::time::timeout(waited, conn.rest()).await.expect("the upstream is told");
    assert!(rest.is_empty());
}

/// Writes until the other side stops reading; how much it took.
async fn fill(stream: &mut TcpStream, most: usize) -> usize {
    let block = vec![b'x'; 64 * 1024];
    let mut taken = 0;
    while taken < most {
        #[allow(clippy::disallowed_methods, reason = "a writer that waits this long is stuck")]
        match tokio::time::timeout(Duration::from_millis(700), stream.write(&block)).await {
            Ok(Ok(n)) => taken += n,
            Ok(Err(error)) => panic!("the connection broke: {error}"),
            Err(_) => return taken,
        }
    }
    taken
}

/// More than all socket buffers on the way can hold.
const FLOOD: usize = 256 << 20;

#[tokio::test]
async fn an_upstream_is_not_read_when_the_client_does_not_read() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n")).await;
    let taken = fill(&mut conn.stream, FLOOD).await;
    assert!(taken < FLOOD / 4, "{taken} bytes were read though nobody takes them");
}

#[tokio::test]
async fn a_client_is_not_read_when_the_upstream_does_not_read() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    client.write_all(format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {FLOOD}\r\n\r\n").as_bytes()).await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    let taken = fill(&mut client, FLOOD).await;
    assert!(taken < FLOOD / 4, "{taken} bytes were read though nobody takes them");
}

#[tokio::test]
async fn a_flood_of_pipelined_requests_waits_for_its_answers() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    let requests = "GET / HTTP/1.1\r\nHost: t\r\n\r\n".repeat(2000);
    let mut taken = 0;
    while taken < FLOOD / 4 {
        #[allow(clippy::disallowed_methods, reason = "a writer that waits this long is stuck")]
        match tokio::time::timeout(Duration::from_millis(700), client.write(requests.as_bytes())).await {
            Ok(n) => taken += n.unwrap(),
            Err(_) => break,
        }
    }
    assert!(taken < FLOOD / 4, "{taken} bytes were read");
    assert_eq!(upstream.heads().len(), 1, "one request at a time");
}

#[tokio::test]
async fn unsolicited_bytes_cost_the_idle_connection_and_no_client_sees_them() {
    let (upstream, _plane, mut client) = raw_plane("").await;
    let mut input = Vec::new();
    for rubbish in ["HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled", "x", "HTTP/1.1 408 Request Timeout\r\n\r\n"]
    {
        client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
        let mut conn = upstream.accept().await;
        conn.head().await;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await.body, b"ok");
        conn.send(rubbish).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
        let mut fresh = upstream.accept().await;
        fresh.head().await;
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfresh").await;
        assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await.body, b"fresh");
        assert!(conn.rest().await.is_empty(), "nothing was sent over the spoilt connection");
    }
}

/// An upstream that takes one request per connection and then closes without an answer, though it promised to stay.
async fn warmed(then: Then) -> (Upstream, Plane, Client) {
    let upstream = Upstream::start(Behaviour::ok("warm")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(post("/", "warm", "x")).await.status(), 200);
    upstream.behave(Behaviour::Say(Vec::new(), then));
    (upstream, plane, client)
}

#[tokio::test]
async fn a_request_that_is_not_idempotent_is_never_sent_twice() {
    for then in [Then::Close, Then::Reset] {
        for method in ["POST", "PATCH", "LOCK"] {
            let (upstream, _plane, mut client) = warmed(then).await;
            let request =
                format!("{method} / HTTP/1.1\r\nHost: t\r\nX-Request-Id: once\r\nContent-Length: 4\r\n\r\nbody");
            let answer = client.ask(request).await;
            assert_eq!((answer.status(), upstream.executed("once")), (502, 1), "{method} {then:?}");
        }
    }
}

#[tokio::test]
async fn a_stale_connection_is_hidden_from_idempotent_requests() {
    let upstream = Upstream::start(Behaviour::Say(crate::support::response(200, "ok"), Then::Close)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..20 {
        let answer = client.ask(format!("DELETE /{n} HTTP/1.1\r\nHost: t\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.text()), (200, "ok"));
    }
    assert_eq!(upstream.requests(), 20);
    until("no connection is left over", || upstream.open() == 0).await;
}

#[tokio::test]
async fn clients_of_http_1_0_get_what_they_can_read() {
    let (upstream, plane, _) = raw_plane("").await;
    for (asked, reply, ends) in [
        (
            "",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "Connection: close\r\n\r\nhello",
        ),
        ("", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "\r\n\r\nhello"),
        (
            "Connection: keep-alive\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "Connection: keep-alive\r\n\r\nhello",
        ),
    ] {
        let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
        client.write_all(format!("GET / HTTP/1.0\r\nHost: t\r\n{asked}\r\n").as_bytes()).await.unwrap();
        let mut conn = upstream.accept().await;
        conn.head().await;
        conn.send(reply).await;
        drop(conn);
        client.shutdown().await.unwrap();
        let mut got = String::new();
        within(client.read_to_string(&mut got)).await.unwrap();
        assert!(got.ends_with(ends) && !got.contains("103") && !got.contains("chunked"), "{got}");
    }
}

#[tokio::test]
async fn a_reply_until_close_that_is_cut_resets_a_client_of_http_1_0() {
    let (upstream, _plane, mut client) = raw_plane("    hold_response: 0\n").await;
    client.write_all(b"GET / HTTP/1.0\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut input = Vec::new();
    expect(&mut client, &mut input, "hello").await;
    conn.reset();
    let end = within(client.read_to_end(&mut input)).await;
    assert!(end.is_err(), "a clean end looks complete: {}", input.escape_ascii());
}
