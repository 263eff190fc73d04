//! Endpoints that speak HTTP/2, on real sockets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use http::{HeaderMap, Response};
use standfast::config;
use standfast::control::{self, ControlSetup};
use standfast::decision::Operational;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::support::http2_upstream::{
    AskedMethod, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Upstream, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, block,
};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, Plane, Upstream, get, post, until, within};

const HTTP2: &str = "    upstream: {protocol: http2}\n    balance: round_robin\n";

fn plane(pools: &[&[std::net::SocketAddr]], more: &str) -> Plane {
    Plane::start(&http_yaml(pools, &format!("{HTTP2}{more}")))
}

/// Says what it was asked.
async fn echo(mut asked: AskedMethod) {
    let (body, trailers) = asked.body().await;
    let parts = asked.request.into_parts().0;
    let mut lines: Vec<_> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    let trailers = trailers.unwrap_or_default();
    let text = format!(
        "{} {} over {}\n{}\n\n{}\n{trailers:?}",
        parts.method,
        parts.uri,
        asked.connection,
        lines.join("\n"),
        String::from_utf8_lossy(&body)
    );
    let mut respond = asked.respond;
    let mut send = respond.send_response(Response::new(()), false).unwrap();
    send.send_data(Bytes::from(text), true).unwrap();
}

async fn hang(mut asked: AskedMethod) {
    asked.reset().await;
}

#[tokio::test]
async fn requests_go_over_one_connection_and_mean_the_same() {
    let upstream = Http2Upstream::start(echo).await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask("GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nTE: trailers\r\nConnection: TE, X-Gone\r\nX-Gone: 1\r\nUpgrade: h2c\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.head.starts_with("HTTP/1.1 200 OK"), "{}", answer.head);
    let text = answer.text();
    assert!(
        text.starts_with(
            "GET http://shop.example/a/b?c=d over 1\nstandfast-hops: 1\nte: trailers\nx-forwarded-for: 127.0.0.1\n"
        ),
        "{text}"
    );
    assert!(text.contains("\nx-one: 1\n") && !text.contains("gone") && !text.contains("h2c"), "{text}");
    let answer = client.ask(post("/p", "id-1", "hello")).await;
    assert!(answer.text().starts_with("POST http://test/p over 1\ncontent-length: 5\n"), "{}", answer.text());
    assert!(answer.text().contains("\nx-request-id: id-1\n\nhello\n"), "{}", answer.text());
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_reply_that_ends_with_its_head_has_a_length_for_a_client_of_http_1() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let status = if asked.request.uri().path() == "/none" { 204 } else { 200 };
        let response = Response::builder().status(status).header("grpc-status", "0").body(()).unwrap();
        asked.respond.send_response(response, true).unwrap();
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    for method in ["GET", "HEAD"] {
        let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.header("grpc-status")), (200, Some("0")));
        assert_eq!(answer.header("content-length"), (method == "GET").then_some("0"));
    }
    let answer = client.ask(get("/none", "1")).await;
    assert_eq!((answer.status(), answer.header("content-length")), (204, None));
}

#[tokio::test]
async fn bodies_stream_both_ways_with_trailers() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let mut send = asked.respond.send_response(Response::new(()), false).unwrap();
        let body = asked.request.body_mut();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            send.send_data(data, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        let came = body.trailers().await.unwrap().unwrap();
        trailers.insert("x-sum", came["x-sum"].clone());
        send.send_trailers(trailers).unwrap();
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .await;
    let mut seen = Vec::new();
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        // The answer to each comes before the next is sent.
        while !seen.ends_with(format!("{word}\r\n").as_bytes()) {
            let mut bytes = [0; 1024];
            let count = within(client.stream.read(&mut bytes)).await.unwrap();
            assert!(count > 0);
            seen.extend_from_slice(&bytes[..count]);
        }
    }
    client.send("0\r\nX-Sum: 42\r\n\r\n").await;
    while !seen.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let count = within(client.stream.read(&mut bytes)).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..count]);
    }
    let text = String::from_utf8(seen).unwrap();
    assert!(text.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let (body, _) = asked.body().await;
        let mut send = asked.respond.send_response(Response::new(()), false).unwrap();
        let mut rest = Bytes::from(body);
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
            send.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
        }
        send.send_data(Bytes::new(), true).unwrap();
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let body: String = (0..300_000).map(|n| format!("{n:07}\n")).collect();
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(post("/", "big", &body)).await;
    assert!(answer.text() == body, "{} of {} bytes", answer.body.len(), body.len());
}

#[tokio::test]
async fn interim_replies_pass() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let hints = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
        asked.respond.send_informational(hints).unwrap();
        asked.say("done");
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    let hints = client.ask(get("/", "1")).await;
    assert_eq!((hints.status(), hints.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer().await.unwrap().text(), "done");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_by_the_endpoint() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        assert_eq!(asked.request.headers()["expect"], "100-continue");
        asked.respond.send_informational(Response::builder().status(100).body(()).unwrap()).unwrap();
        let (body, _) = asked.body().await;
        asked.say(&String::from_utf8(body).unwrap());
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.ask(head).await.status(), 100);
    assert_eq!(client.ask("body").await.text(), "body");
}

#[tokio::test]
async fn an_early_answer_passes_while_the_upload_goes_on() {
    let upstream = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("enough") }).await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart").await;
    assert_eq!((answer.status(), answer.text()), (200, "enough"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_stream_and_no_other() {
    let (told, mut reasons) = mpsc::channel(1);
    let upstream = Http2Upstream::start(move |mut asked: AskedMethod| {
        let told = told.clone();
        async move {
            match asked.request.uri().path() {
                "/hang" => told.send(asked.reset().await).await.unwrap(),
                _ => asked.say("fine"),
            }
        }
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut leaver = Client::connect(plane.address("web")).await;
    leaver.send(get("/hang", "1")).await;
    until("the request is there", || upstream.requests() == 1).await;
    let mut other = Client::connect(plane.address("web")).await;
    assert_eq!(other.ask(get("/", "2")).await.text(), "fine");
    socket2::SockRef::from(&leaver.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(leaver);
    assert_eq!(within(reasons.recv()).await, Some(Reason::CANCEL));
    assert_eq!(other.ask(get("/", "3")).await.text(), "fine");
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn many_requests_wait_for_one_dial_and_share_its_connection() {
    let all_there = Arc::new(Notify::new());
    let count = Arc::new(AtomicUsize::new(0));
    let upstream = Http2Upstream::start({
        let all_there = Arc::clone(&all_there);
        move |asked: AskedMethod| {
            let (all_there, count) = (Arc::clone(&all_there), Arc::clone(&count));
            async move {
                let there = all_there.notified();
                if count.fetch_add(1, Ordering::SeqCst) + 1 == 20 {
                    all_there.notify_waiters();
                } else {
                    there.await;
                }
                asked.say("together");
            }
        }
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/", &n.to_string())).await;
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(client.answer().await.unwrap().text(), "together");
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_full_connection_gets_another_beside_it() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let upstream = Http2Upstream::start_with(builder, hang).await;
    let plane = plane(&[&[upstream.address]], "");
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/", &n.to_string())).await;
        clients.push(client);
    }
    until("all requests are there", || upstream.requests() == 5).await;
    assert_eq!(upstream.accepted(), 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_blocks_nobody_else() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        if asked.request.uri().path() != "/flood" {
            return asked.say("fine");
        }
        let mut send = asked.respond.send_response(Response::new(()), false).unwrap();
        loop {
            send.reserve_capacity(64 * 1024);
            let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else { return };
            if send.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                return;
            }
        }
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut stalled = Vec::new();
    for n in 0..5 {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/flood", &n.to_string())).await;
        stalled.push(client);
    }
    until("the floods have begun", || upstream.requests() == 5).await;
    let mut other = Client::connect(plane.address("web")).await;
    // More than the default window of a connection, many times over.
    for n in 0..300 {
        assert_eq!(other.ask(get("/", &n.to_string())).await.text(), "fine");
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_even_if_it_is_a_post() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        if asked.number == 1 {
            return asked.respond.send_reset(Reason::REFUSED_STREAM);
        }
        let (body, _) = asked.body().await;
        asked.say(&String::from_utf8(body).unwrap());
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(post("/", "p", "once")).await.text(), "once");
    assert_eq!(upstream.requests(), 2);
    let failures = plane.published.load().services[0].pools[0].endpoints[0].stats.totals().failed;
    assert_eq!(failures.iter().sum::<u64>(), 0, "one refused stream is no evidence");
}

#[tokio::test]
async fn a_stream_above_the_last_id_of_a_goaway_is_sent_again_even_if_it_is_a_post() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = plane(&[&[listener.local_addr().unwrap()]], "");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "once")).await;
    let mut first = Raw::accept(&listener).await;
    assert_eq!(first.next(HEADERS).await.unwrap().stream, 1);
    first.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]).await;
    let mut second = Raw::accept(&listener).await;
    assert_eq!(second.next(HEADERS).await.unwrap().stream, 1);
    assert_eq!(second.next(DATA).await.unwrap().payload, b"once");
    second.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "201")])).await;
    assert_eq!(client.answer().await.unwrap().status(), 201);
    assert!(first.next(HEADERS).await.is_none(), "nothing more over the connection that goes away");
}

#[tokio::test]
async fn after_a_goaway_streams_in_flight_finish_and_new_ones_go_elsewhere() {
    let gate = Arc::new(Notify::new());
    let upstream = Http2Upstream::start({
        let gate = Arc::clone(&gate);
        move |asked: AskedMethod| {
            let gate = Arc::clone(&gate);
            async move {
                let connection = asked.connection;
                if asked.request.uri().path() == "/slow" {
                    gate.notified().await;
                }
                asked.say(&format!("over {connection}"));
            }
        }
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut slow = Client::connect(plane.address("web")).await;
    slow.send(post("/slow", "1", "x")).await;
    until("the request is there", || upstream.requests() == 1).await;
    upstream.go_away();
    let mut other = Client::connect(plane.address("web")).await;
    let mut over = String::new();
    while over != "over 2" {
        over = other.ask(post("/", "2", "x")).await.text().to_owned();
    }
    gate.notify_one();
    assert_eq!(slow.answer().await.unwrap().text(), "over 1");
    until("the first connection is closed", || upstream.open() == 1).await;
}

#[tokio::test]
async fn a_post_is_not_repeated_when_its_endpoint_dies_and_a_get_goes_to_the_standby() {
    let dying = Http2Upstream::start(hang).await;
    let standby = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("standby") }).await;
    let plane = plane(&[&[dying.address], &[standby.address]], "");
    let mut asks = Vec::new();
    for n in 0..6 {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(if n % 2 == 0 { get("/", "g") } else { post("/", "p", "x") }).await;
        asks.push(client);
    }
    until("the requests are there", || dying.requests() == 6).await;
    dying.die();
    for (n, client) in asks.iter_mut().enumerate() {
        let answer = client.answer().await.unwrap();
        if n % 2 == 0 {
            assert_eq!(answer.text(), "standby");
        } else {
            assert_eq!((answer.status(), answer.header("standfast-cause")), (502, Some("upstream_reset")));
        }
    }
    assert_eq!(standby.requests(), 3);
}

#[tokio::test]
async fn a_switch_moves_new_requests_and_lets_old_streams_finish() {
    let gate = Arc::new(Notify::new());
    let old = Http2Upstream::start({
        let gate = Arc::clone(&gate);
        move |asked: AskedMethod| {
            let gate = Arc::clone(&gate);
            async move {
                if asked.request.uri().path() == "/slow" {
                    gate.notified().await;
                }
                asked.say("old");
            }
        }
    })
    .await;
    let new = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("new") }).await;
    let mut plane = plane(&[&[old.address], &[new.address]], "");
    let mut slow = Client::connect(plane.address("web")).await;
    slow.send(post("/slow", "1", "x")).await;
    let mut other = Client::connect(plane.address("web")).await;
    assert_eq!(other.ask(get("/", "2")).await.text(), "old");
    until("the request is there", || old.requests() == 2).await;
    plane.switch(1).await;
    assert_eq!(other.ask(post("/", "3", "x")).await.text(), "new");
    assert_eq!((old.requests(), old.open()), (2, 1));
    gate.notify_one();
    assert_eq!(slow.answer().await.unwrap().text(), "old");
    until("the old connection is closed with its last stream", || old.open() == 0).await;
}

#[tokio::test]
async fn nothing_waits_at_a_full_socket_to_leave_after_the_switch() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("new") }).await;
    let mut plane = plane(&[&[listener.local_addr().unwrap()], &[new.address]], "");
    let mut upload = Client::connect(plane.address("web")).await;
    upload.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n").await;
    let mut old = Raw::accept(&listener).await;
    // It would take everything, but does not read: what fills up is its socket.
    let most = (1u32 << 31) - 1;
    old.send(SETTINGS, 0, 0, &[&[0, 4][..], &most.to_be_bytes()].concat()).await;
    old.send(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes()).await;
    assert_eq!(old.next(HEADERS).await.unwrap().stream, 1);
    let piece = vec![b'x'; 64 * 1024];
    loop {
        tokio::select! {
            written = upload.stream.write_all(&piece) => written.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(300)) => break,
        }
    }
    // The first finds no room and has another connection dialled; none of the others waits on the first one either.
    let mut others = Vec::new();
    for n in 0..5 {
        let mut other = Client::connect(plane.address("web")).await;
        other.send(format!("DELETE /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        others.push(other);
    }
    let mut second = Raw::accept_silent(&listener).await;
    plane.switch(1).await;
    for other in &mut others {
        assert_eq!(other.answer().await.unwrap().text(), "new");
    }
    assert_eq!(new.requests(), 5);
    // It reads again: there is the upload, its end, and nothing else.
    let (mut bytes, mut upload) = (0, Some(upload));
    while let Some(frame) = old.frame().await {
        assert!(frame.kind != HEADERS, "{frame:?}");
        bytes += frame.payload.len();
        if bytes > 1 << 20 {
            upload.take();
        }
    }
    assert!(upload.is_none(), "{bytes}");
    second.send(SETTINGS, 0, 0, &[]).await;
    assert!(second.next(HEADERS).await.is_none());
}

#[tokio::test]
async fn with_sessions_close_streams_in_flight_are_reset_at_the_switch() {
    let old = Http2Upstream::start(hang).await;
    let new = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("new") }).await;
    let mut plane = plane(&[&[old.address], &[new.address]], "    failover: {sessions: close}\n");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "x")).await;
    until("the request is there", || old.requests() == 1).await;
    plane.switch(1).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    until("the upstream was reset too", || old.open() == 0).await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_body_cuts_the_clients_answer() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        let mut send = asked.respond.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        send.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (bytes, error) = client.rest().await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_short_answer_that_is_cut_is_asked_for_again() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        if asked.number > 1 {
            return asked.say("whole");
        }
        let response = Response::builder().header("content-length", "10").body(()).unwrap();
        let mut send = asked.respond.send_response(response, false).unwrap();
        send.send_data(Bytes::from_static(b"half"), false).unwrap();
        send.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let plane = plane(&[&[upstream.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "whole");
}

#[tokio::test]
async fn a_try_that_timed_out_takes_its_connection_out_of_use() {
    let upstream = Http2Upstream::start(|mut asked: AskedMethod| async move {
        match asked.connection {
            1 => drop(asked.reset().await),
            _ => asked.say("second"),
        }
    })
    .await;
    let plane = plane(&[&[upstream.address]], "    retry: {per_try_timeout: 100ms, on: [timeout]}\n");
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "second");
    until("the first connection is closed", || upstream.open() == 1).await;
}

#[tokio::test]
async fn an_unused_connection_is_closed_in_its_time() {
    let upstream = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("fine") }).await;
    let plane = plane(&[&[upstream.address]], "    timeouts: {idle: 100ms}\n");
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "fine");
    until("it is closed", || upstream.open() == 0).await;
    assert_eq!(client.ask(get("/", "2")).await.text(), "fine");
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn an_endpoint_that_speaks_http_1_only_is_passed_over_before_a_byte_of_the_request_is_sent() {
    let wrong = Upstream::start(Behaviour::ok("http/1")).await;
    let right = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("http/2") }).await;
    let plane = plane(&[&[wrong.address, right.address]], "");
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..4 {
        assert_eq!(client.ask(post("/", &n.to_string(), "x")).await.text(), "http/2");
    }
    assert_eq!(right.requests(), 4);
}

#[tokio::test]
async fn an_endpoint_that_never_sends_settings_is_one_that_does_not_answer_a_connect() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = plane(&[&[silent.local_addr().unwrap()]], "    timeouts: {connect: 100ms}\n");
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(get("/", "1")).await;
    assert_eq!((answer.status(), answer.header("standfast-cause")), (503, Some("upstream_connect")));
}

#[tokio::test]
async fn an_endpoint_that_does_not_open_http_2_is_out_at_once_and_the_order_goes_on() {
    let (speaks_http_1, silent) =
        (Upstream::start(Behaviour::ok("http/1")).await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    for home in [speaks_http_1.address, silent.local_addr().unwrap()] {
        let standby = Http2Upstream::start(|asked: AskedMethod| async move { asked.say("standby") }).await;
        let more = format!("{HTTP2}    timeouts: {{connect: 500ms}}\n");
        let instance = Instance::start(&http_yaml(&[&[home], &[standby.address]], &more));
        instance.serves("web", 0).await;
        let mut client = Client::connect(instance.address("web")).await;
        assert_eq!(client.ask(post("/", "1", "order")).await.text(), "standby");
        assert_eq!(standby.requests(), 1);
    }
}

#[tokio::test]
async fn auto_in_the_clear_is_http_1() {
    let upstream = Upstream::start(Behaviour::ok("http/1")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    upstream: {protocol: auto}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "http/1");
}

/// What a client is answered when the endpoint writes these frames for the stream of its GET.
async fn hostile(frames: &[(u8, u8, Vec<u8>)]) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = plane(&[&[listener.local_addr().unwrap()]], "    retry: {attempts: 1}\n");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let mut raw = Raw::accept(&listener).await;
    let stream = raw.next(HEADERS).await.unwrap().stream;
    for (kind, flags, payload) in frames {
        raw.send(*kind, *flags, stream, payload).await;
    }
    let mut answer = client.answer().await.expect("an answer");
    while answer.status() < 200 {
        answer = client.answer().await.expect("an answer");
    }
    (answer.status(), answer.header("standfast-cause").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn malformed_replies_are_502() {
    let end = END_HEADERS | END_STREAM;
    let head = |fields: &[(&str, &str)]| vec![(HEADERS, end, block(fields))];
    let interim = (HEADERS, END_HEADERS, block(&[(":status", "103")]));
    let cases = [
        ("connection", head(&[(":status", "200"), ("connection", "close")])),
        ("transfer-encoding", head(&[(":status", "200"), ("transfer-encoding", "chunked")])),
        ("te", head(&[(":status", "200"), ("te", "trailers")])),
        ("upgrade", head(&[(":status", "200"), ("upgrade", "h2c")])),
        ("no status", head(&[("x", "y")])),
        ("status 101", head(&[(":status", "101")])),
        ("status 999", head(&[(":status", "999")])),
        ("status no number", head(&[(":status", "abc")])),
        ("upper case", head(&[(":status", "200"), ("X-Y", "z")])),
        ("line break", head(&[(":status", "200"), ("x", "a\r\nb: c")])),
        ("null", head(&[(":status", "200"), ("x", "a\0")])),
        ("space before a value", head(&[(":status", "200"), ("x", " a")])),
        ("two lengths", head(&[(":status", "200"), ("content-length", "0"), ("content-length", "0")])),
        ("signed length", head(&[(":status", "200"), ("content-length", "+0")])),
        ("missing body", head(&[(":status", "200"), ("content-length", "5")])),
        ("data first", vec![(DATA, END_STREAM, b"x".to_vec())]),
        ("17 interim replies", vec![interim; 17]),
        ("interim that ends", vec![(HEADERS, end, block(&[(":status", "100")]))]),
        ("bad compression", vec![(HEADERS, end, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff])]),
        ("unknown pseudo-field", head(&[(":status", "200"), (":unknown", "x")])),
    ];
    for (what, frames) in cases {
        assert_eq!(hostile(&frames).await, (502, "upstream_malformed".to_owned()), "{what}");
    }
    let reset = vec![(RST_STREAM, 0, vec![0, 0, 0, 2])];
    assert_eq!(hostile(&reset).await, (502, "upstream_reset".to_owned()));
}

#[tokio::test]
async fn a_body_longer_than_stated_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = plane(&[&[listener.local_addr().unwrap()]], "    hold_response: 0\n");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "1", "x")).await;
    let mut raw = Raw::accept(&listener).await;
    raw.next(HEADERS).await.unwrap();
    raw.send(HEADERS, END_HEADERS, 1, &block(&[(":status", "200"), ("content-length", "3")])).await;
    raw.send(DATA, 0, 1, b"ab").await;
    raw.send(DATA, END_STREAM, 1, b"cd").await;
    let (bytes, error) = client.rest().await;
    assert!(!String::from_utf8_lossy(&bytes).contains("abc"), "{bytes:?}");
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn garbage_instead_of_frames_is_no_answer_and_no_request_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = plane(&[&[listener.local_addr().unwrap()]], "");
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status(), answer.header("standfast-cause")), (502, Some("upstream_malformed")));
    let mut raw = Raw { stream };
    let mut preface = [0; 24];
    raw.stream.read_exact(&mut preface).await.unwrap();
    while let Some(frame) = raw.frame().await {
        assert_ne!(frame.kind, HEADERS, "{frame:?}");
    }
}

/// Passes each probe on: its method, its length and its body.
async fn probed() -> (Http2Upstream, mpsc::Receiver<(String, Option<String>, Vec<u8>)>) {
    let (probes, received) = mpsc::channel(100);
    let upstream = Http2Upstream::start(move |mut asked: AskedMethod| {
        let probes = probes.clone();
        async move {
            let (body, _) = asked.body().await;
            let method = asked.request.method().to_string();
            let length = asked.request.headers().get("content-length").map(|text| text.to_str().unwrap().to_owned());
            if method == "HEAD" {
                let head = Response::builder().header("content-length", "4").body(()).unwrap();
                asked.respond.send_response(head, true).unwrap();
            } else {
                asked.say("fine");
            }
            let _ = probes.try_send((method, length, body));
        }
    });
    (upstream.await, received)
}

#[tokio::test]
async fn a_check_says_its_method_and_its_body_over_http_2_too() {
    let cases = [
        ("method: HEAD", ("HEAD", None, "")),
        ("method: PUT", ("PUT", Some("0"), "")),
        ("method: POST, body: fine, request_body: ping", ("POST", Some("4"), "ping")),
    ];
    for (check, (method, length, body)) in cases {
        for reuse in ["off", "1h"] {
            let (upstream, mut probes) = probed().await;
            let check =
                format!("{{http: {{{check}, reuse: {reuse}}}, interval: 10ms, timeout: 2s, fast_interval: 10ms}}");
            let text = http_yaml(&[&[upstream.address]], &format!("{HTTP2}    health_check: {check}\n"));
            let config = config::parse(&text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).config;
            let handle = control::start(ControlSetup { config, path: None, workers: 1 }).unwrap();
            for _ in 0..10 {
                let probe = within(probes.recv()).await.unwrap();
                assert_eq!(probe, (method.to_owned(), length.map(str::to_owned), body.as_bytes().to_vec()));
            }
            let status = handle.status().await.unwrap();
            assert_eq!(status.services[0].pools[0].endpoints[0].state.standing.operational, Operational::Healthy);
            let shared = upstream.accepted() < upstream.requests();
            assert_eq!(shared, reuse != "off", "{check}");
        }
    }
}
