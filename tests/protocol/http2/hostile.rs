//! Requests that mean two things to two readers, and heads beyond all bounds.
use h2::Reason;

use crate::support::http2::{
    self, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, RawHttp2, block, get, get_block, request,
};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Http2, Plane, Upstream, until};

async fn start() -> (Upstream, Plane) {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    (upstream, plane)
}

/// What becomes of one request: an answer's head, a reset or the end of the connection.
async fn fate(plane: &Plane, flags: u8, block: &[u8], data: Option<&[u8]>) -> Option<Frame> {
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    raw.send(http2::frame(HEADERS, END_HEADERS | flags, 1, block)).await;
    if let Some(data) = data {
        raw.try_send(http2::frame(DATA, END_STREAM, 1, data)).await;
    }
    loop {
        let frame = raw.frame().await?;
        if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) {
            return Some(frame);
        }
    }
}

fn is_refused(fate: &Option<Frame>) -> bool {
    match fate {
        // `:status: 400` is the static table's number 12; others of ours are literals with that name.
        Some(frame) if frame.kind == HEADERS => frame.payload[0] == 0x8c || frame.payload[0] & 0xc0 == 0x40,
        Some(frame) => frame.reason() == Reason::PROTOCOL_ERROR,
        None => true,
    }
}

#[tokio::test]
async fn smuggled_requests_reach_nobody() {
    let (upstream, plane) = start().await;
    let base: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":authority", b"test"), (":path", b"/")];
    let with = |more: &[(&str, &[u8])]| block(&[&base[..], more].concat());
    let instead = |name: &str, value: &'static [u8]| {
        let fields: Vec<_> = base.iter().map(|&(n, v)| if n == name { (n, value) } else { (n, v) }).collect();
        block(&fields)
    };
    let without = |name: &str| block(&base.iter().filter(|(n, _)| *n != name).copied().collect::<Vec<_>>());
    let hostile = [
        ("CR LF in a value", with(&[("x", b"a\r\ntransfer-encoding: chunked")])),
        ("LF in a value", with(&[("x", b"a\nb: c")])),
        ("CR in a value", with(&[("x", b"a\rb")])),
        ("NUL in a value", with(&[("x", b"a\0b")])),
        ("space before a value", with(&[("x", b" a")])),
        ("space behind a value", with(&[("x", b"a ")])),
        ("CR LF in a name", with(&[("x\r\ny", b"a")])),
        ("colon in a name", with(&[("x:y", b"a")])),
        ("space in a name", with(&[("x y", b"a")])),
        ("no name", with(&[("", b"a")])),
        ("upper case", with(&[("X-Up", b"a")])),
        ("transfer-encoding", with(&[("transfer-encoding", b"chunked")])),
        ("connection", with(&[("connection", b"close")])),
        ("keep-alive", with(&[("keep-alive", b"1")])),
        ("proxy-connection", with(&[("proxy-connection", b"1")])),
        ("upgrade", with(&[("upgrade", b"h2c")])),
        ("te", with(&[("te", b"gzip")])),
        ("http2-settings", with(&[("http2-settings", b"AAA")])),
        ("a length but no body", with(&[("content-length", b"5")])),
        ("two lengths", with(&[("content-length", b"0"), ("content-length", b"0")])),
        ("two lengths in one", with(&[("content-length", b"0, 0")])),
        ("a signed length", with(&[("content-length", b"+0")])),
        ("two hosts", with(&[("host", b"test"), ("host", b"test")])),
        ("a bad host", with(&[("host", b"a/b")])),
        ("a late pseudo-field", block(&[&base[..3], &[("x", b"y" as &[u8])], &base[3..]].concat())),
        ("a pseudo-field twice", with(&[(":path", b"/x")])),
        ("an unknown pseudo-field", with(&[(":x", b"y")])),
        ("a reply's pseudo-field", with(&[(":status", b"200")])),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("CONNECT", instead(":method", b"CONNECT")),
        ("a method with a space", instead(":method", b"GET / HTTP/1.1\r\n")),
        ("an empty path", instead(":path", b"")),
        ("a path with a space", instead(":path", b"/a HTTP/1.1\r\nx: y")),
        ("a path that is none", instead(":path", b"a")),
        ("a path that is a URL", instead(":path", b"http://other/")),
        ("a star", instead(":path", b"*")),
        ("a dot segment", instead(":path", b"/a/../b")),
        ("an authority with user", instead(":authority", b"a@b")),
        ("an authority with a path", instead(":authority", b"a/b")),
        ("an authority with CR LF", instead(":authority", b"a\r\nx: y")),
        ("another scheme", instead(":scheme", b"ftp")),
        ("a scheme that is none", instead(":scheme", b"http://a/?")),
    ];
    for (what, block) in hostile {
        let fate = fate(&plane, END_STREAM, &block, None).await;
        assert!(is_refused(&fate), "{what}: {fate:?}");
        assert_eq!(upstream.heads(), Vec::<String>::new(), "{what}");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_stated_never_looks_complete() {
    let (upstream, plane) = start().await;
    for (length, data) in [("5", &b"four"[..]), ("3", b"four")] {
        let mut fields =
            vec![(":method", &b"POST"[..]), (":scheme", b"http"), (":authority", b"test"), (":path", b"/")];
        fields.push(("content-length", length.as_bytes()));
        let fate = fate(&plane, 0, &block(&fields), Some(data)).await;
        assert!(is_refused(&fate), "{length}: {fate:?}");
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test]
async fn what_the_engine_refuses_is_answered_and_the_connection_goes_on() {
    let (upstream, plane) = start().await;
    let base: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":authority", b"test"), (":path", b"/")];
    let refused = [
        block(&[&base[..], &[("transfer-encoding", b"chunked")]].concat()),
        block(&[&base[..], &[("te", b"gzip")]].concat()),
        block(&[&base[..], &[("content-length", b"5")]].concat()),
        block(&[&base[..], &[("content-length", b"x")]].concat()),
        block(&[&base[..], &[(":path", b"/x")]].concat()),
        block(&[&base[..2], &base[3..], &[(":authority", b"a b")]].concat()),
        block(&base[1..]),
        block(&base[..3]),
    ];
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    for (n, block) in refused.iter().enumerate() {
        let (bad, good) = (4 * n as u32 + 1, 4 * n as u32 + 3);
        raw.send(http2::frame(HEADERS, END_HEADERS | END_STREAM, bad, block)).await;
        let answer = raw.next(HEADERS).await.unwrap();
        // `:status: 400`, and the whole of it.
        assert_eq!((answer.stream, answer.payload[0], answer.flags), (bad, 0x8c, END_HEADERS | END_STREAM), "{n}");
        raw.send(http2::frame(HEADERS, END_HEADERS | END_STREAM, good, &get_block("/", &[]))).await;
        let answer = raw.next(HEADERS).await.unwrap();
        assert_eq!((answer.stream, answer.payload[0]), (good, 0x88), "{n}");
    }
    let stats = &plane.published.load().listeners[0].stats;
    let by_engine = |stats: &standfast::routing::ListenerStats| {
        standfast::wire::h1::Error::ALL
            .iter()
            .zip(stats.refusals())
            .find(|(e, _)| e.reason() == "http2_message")
            .unwrap()
            .1
    };
    until("all are counted", || by_engine(stats) == refused.len() as u64).await;
    assert_eq!(upstream.requests(), refused.len());
    // With a body under way, and one of another length than stated.
    let post = [(":method", &b"POST"[..]), base[1], base[2], base[3]];
    let stated = block(&[&post[..], &[("content-length", b"3")]].concat());
    for (stream, block) in [(1001, &block(&[&post[..], &[("upgrade", b"h2c")]].concat())), (1003, &stated)] {
        raw.send(http2::frame(HEADERS, END_HEADERS, stream, block)).await;
        raw.send(http2::frame(DATA, END_STREAM, stream, b"four")).await;
        let answer = raw.next(HEADERS).await.unwrap();
        assert_eq!((answer.stream, answer.payload[0]), (stream, 0x8c));
        assert_eq!(raw.next(RST_STREAM).await.unwrap().reason(), Reason::NO_ERROR);
    }
    // The engine's compression is as before.
    raw.send(http2::frame(HEADERS, END_HEADERS | END_STREAM, 1005, &get_block("/", &[]))).await;
    assert_eq!(raw.next(HEADERS).await.unwrap().payload[0], 0x88);
}

#[tokio::test]
async fn a_client_reads_the_answer_to_what_the_engine_refuses() {
    let (_upstream, plane) = start().await;
    let mut client = Http2::connect(plane.address("web")).await;
    for _ in 0..3 {
        assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 200);
        let refused = client.ask(request("GET", "/", &[("content-length", "5")])).await.unwrap();
        assert_eq!((refused.status, refused.header("standfast-cause")), (400, Some("http2_message")));
    }
}

#[tokio::test]
async fn the_authority_is_what_everybody_sees() {
    let (upstream, plane) = start().await;
    let fate = fate(&plane, END_STREAM, &get_block("/", &[("host", b"forged")]), None).await;
    assert_eq!(fate.unwrap().payload[0], 0x88);
    assert!(upstream.heads()[0].contains("\r\nhost: test\r\n"), "{}", upstream.heads()[0]);
    assert!(!upstream.heads()[0].contains("forged"));
}

#[tokio::test]
async fn heads_beyond_their_bounds_are_refused_and_the_connection_goes_on() {
    let (upstream, plane) = start().await;
    let mut client = Http2::connect(plane.address("web")).await;
    let names: Vec<_> = (0..200).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "y")).collect();
    assert_eq!(client.ask(request("GET", "/", &many)).await.unwrap().status, 431);
    let long = "x".repeat(66_000);
    assert_eq!(client.ask(request("GET", "/", &[("x", &long)])).await.unwrap().status, 431);
    assert_eq!(upstream.requests(), 0);
    assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 200);
}
