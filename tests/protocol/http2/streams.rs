//! Streams: what passes promptly, what waits for windows, and what does not wait for its neighbours.
use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http2::{self, RawHttp2, body, get, request, whole};
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Http2, Plane, Then, Upstream, until, within};

/// An upstream whose every byte the test writes.
struct Raw(TcpListener);

/// One of its connections.
struct Conn {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Raw {
    async fn with_client() -> (Raw, Plane, Http2) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plane = Plane::start(&http_yaml(&[&[listener.local_addr().unwrap()]], ""));
        let client = Http2::connect(plane.address("web")).await;
        (Raw(listener), plane, client)
    }

    async fn accept(&self) -> Conn {
        let (stream, _) = within(self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Conn { stream, seen: Vec::new() }
    }
}

impl Conn {
    /// Reads until these bytes have come.
    async fn until(&mut self, text: &str) {
        within(async {
            while !self.seen.windows(text.len()).any(|window| window == text.as_bytes()) {
                let count = self.stream.read_buf(&mut self.seen).await.unwrap();
                assert!(count > 0, "ended before {text:?}: {}", self.seen.escape_ascii());
            }
            self.seen.clear();
        })
        .await;
    }

    async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn data_interim_replies_and_trailers_pass_promptly_in_both_directions_at_once() {
    let (upstream, _plane, mut client) = Raw::with_client().await;
    let (mut answer, mut send) = client.begin(request("POST", "/", &[("te", "trailers")]), false).await;
    send.send_data(Bytes::from_static(b"one"), false).unwrap();
    let mut conn = upstream.accept().await;
    conn.until("one\r\n").await;
    conn.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
    let interim = within(std::future::poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!((interim.status().as_u16(), interim.headers()["link"].to_str().unwrap()), (103, "</x>"));
    conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Down\r\n\r\n5\r\nfirst\r\n").await;
    let mut answer = within(answer).await.unwrap();
    assert_eq!(answer.headers()["trailer"], "X-Down");
    assert_eq!(within(answer.body_mut().data()).await.unwrap().unwrap(), "first");
    send.send_data(Bytes::from_static(b"two"), false).unwrap();
    conn.until("two\r\n").await;
    conn.send("6\r\nsecond\r\n").await;
    assert_eq!(within(answer.body_mut().data()).await.unwrap().unwrap(), "second");
    let trailers = [(http::HeaderName::from_static("x-up"), http::HeaderValue::from_static("1"))];
    send.send_trailers(trailers.into_iter().collect()).unwrap();
    conn.until("0\r\nx-up: 1\r\n\r\n").await;
    conn.send("0\r\nX-Down: 2\r\n\r\n").await;
    let reply = whole(answer).await.unwrap();
    assert_eq!(reply.trailers.unwrap()["x-down"], "2");
}

#[tokio::test]
async fn an_expected_continue_is_asked_of_the_upstream() {
    let (upstream, _plane, mut client) = Raw::with_client().await;
    let fields = [("expect", "100-continue"), ("content-length", "4")];
    let (mut answer, mut send) = client.begin(request("POST", "/", &fields), false).await;
    let mut conn = upstream.accept().await;
    conn.until("\r\n\r\n").await;
    conn.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    let interim = within(std::future::poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!(interim.status().as_u16(), 100);
    send.send_data(Bytes::from_static(b"body"), true).unwrap();
    conn.until("body").await;
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(within(answer).await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn large_bodies_stream_whole_in_both_directions() {
    let large = "0123456789abcdef".repeat(100_000);
    let upstream = Upstream::start(Behaviour::ok(&large)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
    let upload = async {
        let mut rest = Bytes::from(large.clone());
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
            let piece = rest.split_to(room);
            send.send_data(piece, rest.is_empty()).unwrap();
        }
    };
    let download = async { whole(answer.await.unwrap()).await.unwrap() };
    let ((), reply) = within(async { tokio::join!(upload, download) }).await;
    assert_eq!((reply.body.len(), reply.text() == large), (large.len(), true));
    assert!(upstream.bodies() == [large.as_bytes()]);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_does_not_stop_the_others() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(10_000_000))).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let stream = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut client = Http2::over(stream, h2::client::Builder::new().initial_connection_window_size(1 << 20)).await;
    let (answer, _) = client.begin(get("/", "stalled"), true).await;
    let mut stalled = within(answer).await.unwrap();
    upstream.behave(Behaviour::ok("quick"));
    for n in 0..100 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.unwrap().text(), "quick");
    }
    assert_eq!(body(stalled.body_mut()).await.unwrap().len(), 10_000_000);
}

#[tokio::test]
async fn uploads_that_nobody_takes_do_not_stop_the_others() {
    let upstream = Upstream::start(Behaviour::Early(Vec::new(), Then::Stall)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let (answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
        // More than the window: it stays with us and with the client.
        send.send_data(Bytes::from(vec![b'x'; 10_000_000]), false).unwrap();
        stalled.push((answer, send));
    }
    until("all have arrived", || upstream.requests() == 20).await;
    upstream.behave(Behaviour::ok("quick"));
    let large = "y".repeat(60_000);
    for _ in 0..10 {
        assert_eq!(client.post(request("POST", "/", &[]), &large).await.unwrap().text(), "quick");
    }
    assert_eq!(upstream.bodies().len(), 10);
}

#[tokio::test]
async fn a_cancelled_request_is_cancelled_upstream() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(get("/", "1"), true).await;
    until("it is there", || upstream.requests() == 1).await;
    send.send_reset(Reason::CANCEL);
    until("the upstream was told", || upstream.open() == 0).await;
    drop(answer);
    let (_answer, _send) = client.begin(get("/", "2"), true).await;
    until("the next is there", || upstream.requests() == 2).await;
    client.end.abort();
    until("the upstream was told again", || upstream.open() == 0).await;
    until("both are counted", || plane.stats("web").responses().iter().sum::<u64>() == 2).await;
}

#[tokio::test]
async fn an_upload_that_is_cancelled_while_nobody_takes_it_is_cancelled_at_once() {
    let (upstream, plane, mut client) = Raw::with_client().await;
    let (_answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
    let _conn = upstream.accept().await;
    let quiet = std::time::Duration::from_millis(300);
    loop {
        send.reserve_capacity(64 * 1024);
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
        #[allow(clippy::disallowed_methods, reason = "there is no other sign of a stall than that nothing happens")]
        let Ok(room) = tokio::time::timeout(quiet, room).await else { break };
        send.send_data(Bytes::from(vec![b'x'; room.unwrap().unwrap()]), false).unwrap();
    }
    send.send_reset(Reason::CANCEL);
    until("it is counted", || plane.stats("web").responses().iter().sum::<u64>() == 1).await;
}

#[tokio::test]
async fn a_cut_answer_never_looks_complete() {
    let upstream = Upstream::start(Behaviour::cut(100_000, 50_000, Then::Close)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    // The head may or may not have gone out before the reset.
    let error = client.ask(get("/", "1")).await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    upstream.behave(Behaviour::Say(chunked.to_vec(), Then::Close));
    assert!(client.ask(get("/", "2")).await.unwrap_err().is_reset());
}

#[tokio::test]
async fn an_early_answer_is_whole_though_the_body_is_not_read() {
    let upstream = Upstream::start(Behaviour::Early(
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".to_vec(),
        Then::Close,
    ))
    .await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
    send.send_data(Bytes::from_static(b"start"), false).unwrap();
    let reply = whole(within(answer).await.unwrap()).await.unwrap();
    assert_eq!((reply.status, reply.text()), (413, "no"));
    let reset = within(std::future::poll_fn(|cx| send.poll_reset(cx))).await.unwrap();
    assert_eq!(reset, Reason::NO_ERROR);
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_given_up_and_the_others_go_on() {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 300ms}\n", ""));
    let stream = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut client = Http2::over(stream, h2::client::Builder::new().initial_window_size(0)).await;
    let (answer, _) = client.begin(get("/", "1"), true).await;
    let answer = within(answer).await.unwrap();
    let error = within(whole(answer)).await.unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(client.ask(request("HEAD", "/", &[])).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_upstream_that_dies_under_many_streams_costs_nobody_an_answer() {
    let mut dying = Upstream::start(Behaviour::ok("first")).await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let plane = Plane::start(&http_yaml(&[&[dying.address, standby.address]], "    balance: round_robin\n"));
    let mut client = Http2::connect(plane.address("web")).await;
    // What the retry budget is made of.
    for n in 0..100 {
        assert_eq!(client.ask(get("/", &format!("before-{n}"))).await.unwrap().status, 200);
    }
    dying.behave(Behaviour::Hang);
    let before = dying.requests();
    let mut answers = Vec::new();
    for n in 0..32 {
        answers.push(client.begin(get("/", &n.to_string()), true).await.0);
    }
    until("all are under way", || dying.requests() + standby.requests() == 132).await;
    assert!(dying.requests() > before);
    dying.refuse().await;
    for answer in answers {
        let reply = whole(within(answer).await.unwrap()).await.unwrap();
        assert_eq!((reply.status, reply.text()), (200, "standby"));
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let upstream = Upstream::start(Behaviour::ok("never")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 200ms}\n", ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(request("POST", "/", &[("content-length", "10")]), false).await;
    send.send_data(Bytes::from_static(b"half"), false).unwrap();
    let reply = whole(within(answer).await.unwrap()).await.unwrap();
    assert_eq!(reply.status, 408);
    assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_of_a_byte_now_and_then_is_given_up_after_the_body_timeout() {
    let upstream = Upstream::start(Behaviour::ok("never")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 500ms}\n", ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(request("POST", "/", &[("content-length", "100000")]), false).await;
    let drip = async {
        while send.send_data(Bytes::from_static(b"x"), false).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        std::future::pending().await
    };
    let answer = within(async {
        tokio::select! {
            answer = answer => answer,
            () = drip => unreachable!(),
        }
    });
    assert_eq!(whole(answer.await.unwrap()).await.unwrap().status, 408);
    until("the upstream was told", || upstream.open() == 0).await;
    assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 200, "the others of the connection go on");
}

#[tokio::test]
async fn a_slow_upload_above_the_least_rate_goes_on_for_many_body_timeouts() {
    let upstream = Upstream::start(Behaviour::ok("all of it")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 200ms}\n", ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
    for n in 0..50 {
        send.send_data(Bytes::from(vec![b'x'; 60]), n == 49).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    assert_eq!(whole(within(answer).await.unwrap()).await.unwrap().text(), "all of it");
}

#[tokio::test]
async fn a_client_that_opens_its_window_by_a_few_bytes_now_and_then_is_given_up() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(100_000))).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 500ms}\n", ""));
    let mut raw = RawHttp2::silent(plane.address("web")).await;
    raw.send(http2::PREFACE).await;
    raw.send(http2::frame(http2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    raw.send(http2::frame(http2::HEADERS, 5, 1, &http2::get_block("/", &[]))).await;
    raw.next(http2::HEADERS).await.unwrap();
    let mut opened = 0;
    while upstream.open() > 0 && raw.try_send(http2::frame(http2::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2])).await {
        opened += 1;
        assert!(opened < 200, "it goes on for as long as it is given two bytes");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(raw.next(http2::RST_STREAM).await.unwrap().stream, 1);
}

#[tokio::test]
async fn streams_without_the_first_bytes_of_their_bodies_hold_no_permit_unless_they_are_calls() {
    let upstream = Upstream::start(Behaviour::ok("here")).await;
    let limits = "    limits: {max_connections: 2, max_pending: 0}\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], limits));
    let mut client = Http2::connect(plane.address("web")).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(client.begin(request("POST", "/", &[("content-length", "10")]), false).await);
    }
    assert_eq!(client.ask(get("/", "1")).await.unwrap().text(), "here");
    until("no permit is in use", || plane.stats("web").limits.in_use() == 0).await;
    let call = [("content-type", "application/grpc")];
    let call = client.begin(request("POST", "/", &call), false).await;
    until("the call is under way", || plane.stats("web").limits.in_use() == 1).await;
    drop((call, waiting));
    until("all are gone", || plane.stats("web").limits.in_use() == 0).await;
}

#[tokio::test]
async fn a_body_may_wait_for_the_beginning_of_the_answer() {
    let (upstream, _plane, mut client) = Raw::with_client().await;
    let (answer, mut send) = client.begin(request("POST", "/", &[]), false).await;
    let mut conn = upstream.accept().await;
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    let mut answer = within(answer).await.unwrap();
    send.send_data(Bytes::from_static(b"question"), true).unwrap();
    conn.until("question").await;
    conn.send("ok").await;
    assert_eq!(body(answer.body_mut()).await.unwrap(), b"ok");
}
