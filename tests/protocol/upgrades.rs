//! Upgrades: when a tunnel opens, what goes through it, and how it ends. Real sockets, hand-made bytes.

use std::time::Duration;

use standfast::wire::h1::AskedMethod;
use standfast::wire::websocket::{Frames, GOING_AWAY};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::http1::cases::{self, Case, Cut};
use super::http1::raw::{Conn, Raw, Reply, read_reply, write};
use crate::support::pki;
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Client, Pki, Plane, get, until, within};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const SERVICE: &str = "    retry: {attempts: 1, cross_pool: never}\n";

/// A data plane before raw upstreams.
struct Stage {
    plane: Plane,
    upstreams: Vec<Raw>,
}

impl Stage {
    /// One pool an upstream; `more`: lines of the service.
    async fn new(pools: usize, more: &str) -> Stage {
        let mut upstreams = Vec::new();
        for _ in 0..pools {
            upstreams.push(Raw::start().await);
        }
        let addresses: Vec<[_; 1]> = upstreams.iter().map(|upstream| [upstream.address]).collect();
        let pools: Vec<&[_]> = addresses.iter().map(<[_; 1]>::as_slice).collect();
        let plane = Plane::start(&http_yaml(&pools, &format!("{SERVICE}{more}")));
        Stage { plane, upstreams }
    }

    async fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.plane.address("web")).await.unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// An open tunnel to the first pool.
    async fn tunnel(&self) -> (TcpStream, Conn) {
        let mut client = self.client().await;
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let mut conn = self.upstreams[0].accept().await;
        conn.head().await;
        conn.send(SWITCHED).await;
        assert_eq!(reply(&mut client).await.status, 101);
        (client, conn)
    }
}

/// A tunnel over a stage of its own.
async fn tunnel(more: &str) -> (Stage, TcpStream, Conn) {
    let stage = Stage::new(1, more).await;
    let (client, conn) = stage.tunnel().await;
    (stage, client, conn)
}

async fn reply(client: &mut TcpStream) -> Reply {
    // Heads come alone here: nothing is lost with the reader's buffer.
    let mut input = Vec::new();
    let reply = read_reply(client, AskedMethod::Upgrade, &mut input).await;
    assert_eq!(input, b"");
    reply
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    let read = within(stream.read_exact(&mut got)).await;
    assert!(read.is_ok() && got == bytes, "{read:?}: {}", got.escape_ascii());
}

/// Everything until the end, and whether that was a reset.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let end = within(stream.read_to_end(&mut bytes)).await;
    (bytes, end.is_err())
}

async fn there_and_back(client: &mut TcpStream, conn: &mut TcpStream, word: &str) {
    client.write_all(word.as_bytes()).await.unwrap();
    expect(conn, word.as_bytes()).await;
    conn.write_all(word.as_bytes()).await.unwrap();
    expect(client, word.as_bytes()).await;
}

/// A final text frame; masked as a client's.
fn text(masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, payload.len() as u8 | if masked { 0x80 } else { 0 }];
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend_from_slice(payload);
    frame
}

/// A masked Close with status 1001.
fn is_masked_going_away(bytes: &[u8]) -> bool {
    matches!(bytes, [0x88, 0x82, a, b, _, _, high, low] if (high ^ a, low ^ b) == (0x03, 0xe9))
}

#[tokio::test]
async fn with_keepalive_off_a_websocket_is_opened_as_ever() {
    let stage = Stage::new(1, "    upstream: {keepalive: off}\n").await;
    let mut client = stage.client().await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = stage.upstreams[0].accept().await;
    let head = conn.head().await;
    assert!(head.contains("Connection: Upgrade\r\n") && !head.contains("close"), "{head}");
    conn.send(SWITCHED).await;
    assert_eq!(reply(&mut client).await.status, 101);
    there_and_back(&mut client, &mut conn.stream, "hello").await;
    drop(client);
    assert_eq!(rest(&mut conn.stream).await.0, b"");
    // Where the endpoint declines, the connection is not kept although nothing was said of its end.
    let mut client = stage.client().await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = stage.upstreams[0].accept().await;
    conn.head().await;
    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(reply(&mut client).await.status, 200);
    assert_eq!(rest(&mut conn.stream).await, (Vec::new(), false));
}

#[tokio::test]
async fn a_websocket_is_opened_and_relayed_both_ways() {
    let stage = Stage::new(1, "").await;
    let mut client = stage.client().await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = stage.upstreams[0].accept().await;
    let head = conn.head().await;
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
    }
    conn.send(SWITCHED).await;
    let reply = reply(&mut client).await;
    assert_eq!(reply.status, 101);
    for line in ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
        assert!(reply.heads.contains(&format!("\r\n{line}\r\n")), "{line} is not in {}", reply.heads);
    }
    for word in ["hello", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\r\n\r\n"] {
        client.write_all(&text(true, word.as_bytes())).await.unwrap();
        expect(&mut conn.stream, &text(true, word.as_bytes())).await;
        conn.send(text(false, word.as_bytes())).await;
        expect(&mut client, &text(false, word.as_bytes())).await;
    }
}

struct Trial<'a> {
    stage: &'a Stage,
    case: &'a Case,
    cut: Cut,
}

impl Trial<'_> {
    async fn run(&self) -> Result<(), String> {
        let [expected, _, fields, answer, ..] = self.case.columns[..] else { unreachable!("checked when read") };
        let mut client = self.stage.client().await;
        let request = [&b"GET / HTTP/1.1\r\nHost: test\r\n"[..], &cases::bytes(fields), b"\r\n"].concat();
        client.write_all(&request).await.unwrap();
        let mut conn = self.stage.upstreams[0].accept().await;
        let head = conn.head().await;
        if head.to_lowercase().contains("h2c") || head.to_lowercase().contains("http2-settings") {
            return Err(format!("forwarded: {head}"));
        }
        write(&mut conn.stream, &cases::bytes(answer), self.cut).await;
        let mut input = Vec::new();
        let reply = read_reply(&mut client, AskedMethod::Upgrade, &mut input).await;
        let wanted = if expected == "tunnel" { "101" } else { expected };
        let unmet = cases::unmet(self.case.columns.get(4), &reply.heads);
        if reply.status.to_string() != wanted || !reply.whole || !unmet.is_empty() || !input.is_empty() {
            return Err(format!("{unmet:?} unmet by {reply:?}"));
        }
        match expected {
            "tunnel" => there_and_back(&mut client, &mut conn.stream, "GET /").await,
            "502" => {
                let rest = conn.rest().await;
                if !rest.is_empty() {
                    return Err(format!("the connection went on: {}", rest.escape_ascii()));
                }
            }
            _ => {
                client.write_all(get("/next", "1").as_bytes()).await.unwrap();
                assert!(conn.head().await.starts_with("GET /next "), "both connections are used again");
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").await;
                assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await.body, b"next");
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_tunnel_opens_for_the_right_101_and_for_nothing_else() {
    let cases = cases::read(include_str!("upgrades.case"), 4..=5);
    assert_eq!(cases.len(), 20);
    let mut wrong = Vec::new();
    for case in &cases {
        for cut in Cut::ways(cases::bytes(case.columns[3]).len()) {
            // Each its own: connections that are kept would be taken instead of accepted ones.
            let stage = Stage::new(1, "").await;
            if let Err(problem) = (Trial { stage: &stage, case, cut }).run().await {
                wrong.push(format!("{} [{}, {cut:?}]: {problem}", case.columns[1], case.columns[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_route_may_allow_other_protocols_or_none() {
    for (allowed, asked, passes) in [
        (&["example/1"][..], "Example/1", true),
        (&["example/1"], "websocket", false),
        (&[], "websocket", false),
        (&["h2c", "h2", "http/2.0"], "h2c", false),
    ] {
        let upstream = Raw::start().await;
        let plane = Plane::start_changed(&http_yaml(&[&[upstream.address]], SERVICE), 1, |config| {
            let listener = config.listeners.first_mut().unwrap();
            let standfast::config::Target::Routes(routes) = &mut std::sync::Arc::make_mut(listener).target else {
                panic!("an HTTP listener")
            };
            std::sync::Arc::make_mut(&mut routes[0]).upgrades = allowed.iter().map(|&name| name.to_owned()).collect();
        });
        let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
        let handshake = HANDSHAKE.replace("Upgrade: websocket", &format!("Upgrade: {asked}"));
        client.write_all(handshake.as_bytes()).await.unwrap();
        let mut conn = upstream.accept().await;
        let head = conn.head().await;
        assert_eq!(head.to_lowercase().contains("upgrade"), passes, "{head}");
        conn.send(SWITCHED.replace("Upgrade: websocket", &format!("Upgrade: {asked}"))).await;
        assert_eq!(reply(&mut client).await.status, if passes { 101 } else { 502 }, "{asked}");
        if passes {
            there_and_back(&mut client, &mut conn.stream, "anything at all").await;
        }
    }
}

#[tokio::test]
async fn what_was_read_ahead_on_either_side_goes_through_the_tunnel_first() {
    let stage = Stage::new(1, "").await;
    let mut client = stage.client().await;
    let early = "GET /never HTTP/1.1\r\nHost: test\r\n\r\n";
    client.write_all(format!("{HANDSHAKE}{early}").as_bytes()).await.unwrap();
    let mut conn = stage.upstreams[0].accept().await;
    conn.head().await;
    client.write_all(b" and more").await.unwrap();
    conn.send(format!("{SWITCHED}greetings")).await;
    expect(&mut conn.stream, format!("{early} and more").as_bytes()).await;
    conn.send(" to all").await;
    let mut got = Vec::new();
    within(async {
        while !got.ends_with(b"greetings to all") {
            assert!(client.read_buf(&mut got).await.unwrap() > 0, "{}", got.escape_ascii());
        }
    })
    .await;
    assert!(got.starts_with(b"HTTP/1.1 101 ") && got.ends_with(b"\r\n\r\ngreetings to all"), "{}", got.escape_ascii());
    there_and_back(&mut client, &mut conn.stream, "done").await;
}

#[tokio::test]
async fn half_close_is_kept_both_ways() {
    for client_first in [true, false] {
        let (stage, mut client, mut conn) = tunnel("").await;
        let (one, other) = if client_first { (&mut client, &mut conn.stream) } else { (&mut conn.stream, &mut client) };
        one.write_all(b"last words").await.unwrap();
        one.shutdown().await.unwrap();
        assert_eq!(rest(other).await, (b"last words".to_vec(), false));
        other.write_all(b"a late answer").await.unwrap();
        expect(one, b"a late answer").await;
        other.shutdown().await.unwrap();
        assert_eq!(rest(one).await, (Vec::new(), false));
        let stats = stage.plane.stats("web");
        until("the request is counted", || stats.responses()[1] == 1).await;
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends_after_the_tunnel_timeout_and_not_after_the_response_timeout() {
    let more = "    timeouts: {response: 100ms, body: 100ms, tunnel: 700ms}\n";
    let (_stage, mut client, mut conn) = tunnel(more).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        there_and_back(&mut client, &mut conn.stream, "still here").await;
    }
    assert_eq!(rest(&mut client).await, (Vec::new(), true));
    assert_eq!(rest(&mut conn.stream).await, (Vec::new(), true));
}

#[tokio::test]
async fn an_upstream_that_never_switches_meets_the_response_timeout() {
    let stage = Stage::new(1, "    timeouts: {response: 100ms}\n").await;
    let mut client = stage.client().await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = stage.upstreams[0].accept().await;
    conn.head().await;
    assert_eq!(reply(&mut client).await.status, 504);
}

#[tokio::test]
async fn a_drained_websocket_goes_on_until_its_time_is_over_and_is_told_so_between_two_frames() {
    let more = "    failover: {sessions: drain, drain_timeout: 500ms}\n";
    let mut stage = Stage::new(2, more).await;
    let (mut client, mut conn) = stage.tunnel().await;
    stage.plane.switch(1).await;
    client.write_all(&text(true, b"still served")).await.unwrap();
    expect(&mut conn.stream, &text(true, b"still served")).await;
    // The frame that has begun is completed before the Close, and nothing behind it passes.
    let frame = text(false, b"in the middle");
    conn.send(&frame[..5]).await;
    expect(&mut client, &frame[..5]).await;
    let mut close = [0; 8];
    within(conn.stream.read_exact(&mut close)).await.unwrap();
    assert!(is_masked_going_away(&close), "{close:x?}");
    conn.send([&frame[5..], &text(false, b"too late")].concat()).await;
    expect(&mut client, &[&frame[5..], &GOING_AWAY].concat()).await;
    // The client's own Close does not turn the end into a reset.
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await.unwrap();
    assert_eq!(rest(&mut client).await, (Vec::new(), false));
    assert_eq!(rest(&mut conn.stream).await, (Vec::new(), false));
}

#[tokio::test]
async fn a_frame_that_does_not_end_in_time_is_cut_by_a_reset() {
    let more = "    failover: {sessions: drain, drain_timeout: 100ms}\n";
    let mut stage = Stage::new(2, more).await;
    let (mut client, mut conn) = stage.tunnel().await;
    conn.send(&text(false, b"never ends")[..5]).await;
    expect(&mut client, &text(false, b"never ends")[..5]).await;
    stage.plane.switch(1).await;
    assert_eq!(rest(&mut client).await, (Vec::new(), true));
    let (told, _) = rest(&mut conn.stream).await;
    assert!(is_masked_going_away(&told), "{told:x?}");
}

#[tokio::test]
async fn a_close_that_has_passed_is_not_followed_by_ours() {
    let more = "    failover: {sessions: drain, drain_timeout: 200ms}\n";
    let mut stage = Stage::new(2, more).await;
    let (mut client, mut conn) = stage.tunnel().await;
    conn.send([0x88, 2, 0x03, 0xe8]).await;
    expect(&mut client, &[0x88, 2, 0x03, 0xe8]).await;
    stage.plane.switch(1).await;
    assert_eq!(rest(&mut client).await, (Vec::new(), false));
}

#[tokio::test]
async fn with_sessions_close_a_switch_ends_tunnels_at_once() {
    let mut stage = Stage::new(2, "    failover: {sessions: close}\n").await;
    let (mut client, mut conn) = stage.tunnel().await;
    let (mut second, mut second_conn) = stage.tunnel().await;
    second_conn.send(&text(false, b"in the middle")[..5]).await;
    expect(&mut second, &text(false, b"in the middle")[..5]).await;
    stage.plane.switch(1).await;
    assert_eq!(rest(&mut client).await, (GOING_AWAY.to_vec(), false));
    let (told, reset) = rest(&mut conn.stream).await;
    assert!(reset && (told.is_empty() || is_masked_going_away(&told)), "{told:x?}");
    assert_eq!(rest(&mut second).await, (Vec::new(), true), "nobody waits for the end of its frame");
    assert!(rest(&mut second_conn.stream).await.1);
}

#[tokio::test]
async fn another_protocol_is_reset_when_its_time_is_over() {
    let upstreams = [Raw::start().await, Raw::start().await];
    let more = format!("{SERVICE}    failover: {{sessions: drain, drain_timeout: 100ms}}\n");
    let yaml = http_yaml(&[&[upstreams[0].address], &[upstreams[1].address]], &more);
    let mut plane = Plane::start_changed(&yaml, 1, |config| {
        let listener = config.listeners.first_mut().unwrap();
        let standfast::config::Target::Routes(routes) = &mut std::sync::Arc::make_mut(listener).target else {
            panic!("an HTTP listener")
        };
        std::sync::Arc::make_mut(&mut routes[0]).upgrades = vec!["other".to_owned()];
    });
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(HANDSHAKE.replace("websocket", "other").as_bytes()).await.unwrap();
    let mut conn = upstreams[0].accept().await;
    conn.head().await;
    conn.send(SWITCHED.replace("websocket", "other")).await;
    assert_eq!(reply(&mut client).await.status, 101);
    plane.switch(1).await;
    assert_eq!(rest(&mut client).await, (Vec::new(), true));
    assert_eq!(rest(&mut conn.stream).await, (Vec::new(), true));
}

#[tokio::test]
async fn a_stop_tells_websockets_when_its_time_is_over() {
    let (mut stage, mut client, mut conn) = tunnel("").await;
    let stopping = stage.plane.draining(Duration::from_millis(300));
    there_and_back(&mut client, &mut conn.stream, "\u{1}\u{1}x").await;
    assert_eq!(rest(&mut client).await, (GOING_AWAY.to_vec(), false));
    let (told, _) = rest(&mut conn.stream).await;
    assert!(is_masked_going_away(&told), "{told:x?}");
    drop((client, conn));
    let report = within(stopping).await.unwrap();
    assert_eq!((report.finished, report.cut), (0, 1));
}

#[tokio::test]
async fn a_stop_is_over_as_soon_as_the_last_tunnel_has_ended() {
    let (mut stage, mut client, mut conn) = tunnel("").await;
    let address = stage.plane.address("web");
    let stopping = stage.plane.draining(Duration::from_secs(60));
    until("nothing listens any more", || std::net::TcpStream::connect(address).is_err()).await;
    there_and_back(&mut client, &mut conn.stream, "stopping").await;
    client.shutdown().await.unwrap();
    conn.stream.shutdown().await.unwrap();
    assert_eq!((rest(&mut client).await, rest(&mut conn.stream).await), ((Vec::new(), false), (Vec::new(), false)));
    let report = within(stopping).await.unwrap();
    assert_eq!((report.finished, report.cut), (1, 0));
}

#[tokio::test]
async fn an_upstream_that_dies_cuts_the_client() {
    let (stage, mut client, conn) = tunnel("").await;
    conn.reset();
    assert_eq!(rest(&mut client).await, (Vec::new(), true));
    let table = stage.plane.published.load();
    let endpoint = &table.services[0].pools[0].endpoints[0].stats;
    until("it is held against the endpoint", || endpoint.totals().failed.iter().sum::<u64>() == 1).await;
}

#[tokio::test]
async fn a_client_that_dies_cuts_the_upstream_and_nothing_is_held_against_it() {
    let (stage, client, mut conn) = tunnel("").await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(rest(&mut conn.stream).await.1);
    let table = stage.plane.published.load();
    let endpoint = &table.services[0].pools[0].endpoints[0].stats;
    until("the request is counted", || stage.plane.stats("web").responses()[1] == 1).await;
    assert_eq!((endpoint.totals().failed.iter().sum::<u64>(), endpoint.totals().good), (0, 1));
}

#[tokio::test]
async fn a_slow_reader_stops_the_sender_and_everything_arrives() {
    for down in [true, false] {
        let (_stage, mut client, mut conn) = tunnel("").await;
        let (from, to) = if down { (&mut conn.stream, &mut client) } else { (&mut client, &mut conn.stream) };
        let block: Vec<u8> = (0..256 * 1024_u32).map(|n| (n % 251) as u8).collect();
        let mut sent = 0;
        // The sender fills whatever there is on the way, and then has to wait.
        loop {
            #[allow(clippy::disallowed_methods, reason = "a writer that waits this long is stuck")]
            match tokio::time::timeout(Duration::from_millis(500), from.write(&block[sent % block.len()..])).await {
                Ok(count) => sent += count.unwrap(),
                Err(_) => break,
            }
            assert!(sent < 64 << 20, "nobody reads, and yet {sent} bytes were taken");
        }
        let reads = async {
            let mut bytes = Vec::with_capacity(sent);
            to.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let (bytes, ended) = within(async { tokio::join!(reads, from.shutdown()) }).await;
        ended.unwrap();
        assert_eq!(bytes.len(), sent);
        assert!(bytes.chunks(block.len()).all(|chunk| *chunk == block[..chunk.len()]));
    }
}

#[tokio::test]
async fn tunnels_hold_their_places() {
    let more = "    limits: {max_connections: 1, max_pending: 1, queue_timeout: 200ms}\n";
    let (stage, mut client, mut conn) = tunnel(more).await;
    let mut second = Client::connect(stage.plane.address("web")).await;
    assert_eq!(second.ask(get("/", "1")).await.status(), 503, "the service is full");
    client.shutdown().await.unwrap();
    conn.stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, (Vec::new(), false));
    let mut third = Client::connect(stage.plane.address("web")).await;
    third.send(get("/", "2")).await;
    let mut fresh = stage.upstreams[0].accept().await;
    assert!(fresh.head().await.starts_with("GET / "), "the tunnel's connection is not used again");
}

#[tokio::test]
async fn a_listener_counts_tunnels_as_connections() {
    let upstream = Raw::start().await;
    let listener = "    limits: {max_connections: 1}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], listener, SERVICE));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send(SWITCHED).await;
    assert_eq!(reply(&mut client).await.status, 101);
    let mut second = TcpStream::connect(plane.address("web")).await.unwrap();
    second.write_all(get("/", "2").as_bytes()).await.unwrap();
    there_and_back(&mut client, &mut conn.stream, "first").await;
    client.set_zero_linger().unwrap();
    drop(client);
    let mut fresh = upstream.accept().await;
    assert!(fresh.head().await.starts_with("GET / "), "there is room again");
}

#[tokio::test]
async fn a_tunnel_is_one_line_of_the_access_log_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let upstream = Raw::start().await;
    let log = format!("access_log: {{path: {}, format: json}}\n", path.display());
    let mut plane = Plane::start(&(http_yaml(&[&[upstream.address]], SERVICE) + &log));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send(SWITCHED).await;
    assert_eq!(reply(&mut client).await.status, 101);
    client.write_all(b"12345").await.unwrap();
    expect(&mut conn.stream, b"12345").await;
    conn.send("123").await;
    expect(&mut client, b"123").await;
    let table = plane.published.load();
    plane.drain(Duration::ZERO).await;
    let mut line = String::new();
    until("a line is written", || {
        line = std::fs::read_to_string(&path).unwrap_or_default();
        line.ends_with('\n')
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!((&line["status"], &line["termination"]), (&101.into(), &"stopped".into()));
    assert_eq!((&line["received"], &line["sent"], &line["tries"]), (&5.into(), &3.into(), &1.into()));
    assert_eq!((&line["target"], &line["pool"]), (&"/chat".into(), &"p0".into()));
    let totals = table.services[0].pools[0].endpoints[0].stats.totals();
    assert!(totals.bytes_in > 3 && totals.bytes_out > 5, "the heads are counted too");
}

/// Frames in both directions at once, byte by byte, while the tunnel is ended: what arrives is whole frames and one Close.
#[tokio::test]
async fn a_busy_websocket_ends_between_two_frames() {
    let more = "    failover: {sessions: drain, drain_timeout: 150ms}\n";
    let mut stage = Stage::new(2, more).await;
    let (client, conn) = stage.tunnel().await;
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut upstream_reads, mut upstream_writes) = conn.stream.into_split();
    let talk = |masked: bool| {
        let frames: Vec<Vec<u8>> = (0..120).map(|size| text(masked, &vec![b'x'; size])).collect();
        frames.concat()
    };
    let (up, down) = (talk(true), talk(false));
    let talks = [
        tokio::spawn(async move { while upstream_writes.write_all(&down).await.is_ok() {} }),
        tokio::spawn(async move { while client_writes.write_all(&up).await.is_ok() {} }),
    ];
    let hears = async |reads: &mut tokio::net::tcp::OwnedReadHalf| {
        let mut bytes = Vec::new();
        let _ = within(reads.read_to_end(&mut bytes)).await;
        let mut frames = Frames::new();
        frames.pass(&bytes);
        (frames.is_closed(), bytes)
    };
    stage.plane.switch(1).await;
    let ((client_told, at_client), (upstream_told, at_upstream)) =
        tokio::join!(hears(&mut client_reads), hears(&mut upstream_reads));
    assert!(client_told && at_client.ends_with(&GOING_AWAY), "{}", at_client.len());
    assert!(upstream_told && is_masked_going_away(&at_upstream[at_upstream.len() - 8..]), "{}", at_upstream.len());
    talks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Over TLS on both sides, all of it is the same.
#[tokio::test]
async fn a_secured_websocket_is_relayed_and_told_that_it_ends() {
    let pki = Pki::new();
    let (front, back) = (pki.issue("front", &["front.test"]), pki.issue("back", &["back.test"]));
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = TlsAcceptor::from(pki::server(&back, &["http/1.1"]));
    let tls = format!("{{ca: {}, sni: back.test}}", pki.ca().display());
    let more = format!("{SERVICE}    failover: {{drain_timeout: 300ms}}\n    upstream: {{tls: {tls}}}\n");
    let listener = format!("    tls: {{certificates: [{}], alpn: [http/1.1]}}\n", front.yaml());
    let other = Raw::start().await;
    let pools: [&[_]; 2] = [&[upstream.local_addr().unwrap()], &[other.address]];
    let mut plane = Plane::start(&yaml("http", &pools, &listener, &more));
    let config = std::sync::Arc::new(pki.client());
    let mut client = pki::handshake(plane.address("web"), "front.test", &config).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (socket, _) = within(upstream.accept()).await.unwrap();
    let mut endpoint = within(acceptor.accept(socket)).await.unwrap();
    read_head(&mut endpoint).await;
    endpoint.write_all(SWITCHED.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    for size in [5, 70_000, 300_000] {
        let bytes = large_frame(size);
        for down in [true, false] {
            let mut got = vec![0; bytes.len()];
            let (wrote, read) = if down {
                within(async { tokio::join!(send(&mut endpoint, &bytes), client.read_exact(&mut got)) }).await
            } else {
                within(async { tokio::join!(send(&mut client, &bytes), endpoint.read_exact(&mut got)) }).await
            };
            wrote.unwrap();
            read.unwrap();
            assert!(got == bytes, "{size} {down}");
        }
    }
    plane.switch(1).await;
    let (mut at_client, mut at_endpoint) = (Vec::new(), Vec::new());
    within(client.read_to_end(&mut at_client)).await.expect("an end in order");
    within(endpoint.read_to_end(&mut at_endpoint)).await.expect("an end in order");
    assert_eq!(at_client, GOING_AWAY);
    assert!(is_masked_going_away(&at_endpoint), "{at_endpoint:x?}");
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// A head, byte by byte, so that nothing behind it is read.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        within(stream.read_exact(&mut byte)).await.unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A binary frame with the longest form of its length.
fn large_frame(size: u64) -> Vec<u8> {
    [&[0x82, 127][..], &size.to_be_bytes(), &vec![b'x'; size as usize]].concat()
}
