//! PROXY headers on real sockets: those that proxies before us send, and those that endpoints get from us.

use std::net::SocketAddr;

use standfast::routing::ConnRejection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::pki::{self, Pki};
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Instance, Plane, Upstream, get, until, within};

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
/// The same in version 2, with a value behind it that nobody reads.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb\x04\x00\x02hi";
/// A proxy that speaks for itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

const REQUIRED: &str = "    proxy_protocol: {required: true, trusted: [127.0.0.0/8]}\n";
const OPTIONAL: &str = "    proxy_protocol: {trusted: [127.0.0.1]}\n";

async fn plane(listener: &str) -> (Plane, Upstream) {
    let upstream = Upstream::start(Behaviour::Echo).await;
    (Plane::start(&yaml("http", &[&[upstream.address]], listener, "")), upstream)
}

/// Whom the endpoint is told that it serves.
fn told(answer: &crate::support::Answer) -> String {
    let line =
        answer.text().lines().find_map(|line| line.to_lowercase().strip_prefix("x-forwarded-for: ").map(str::to_owned));
    line.expect("a client is named")
}

fn turned(plane: &Plane, why: ConnRejection) -> u64 {
    plane.published.load().listener("web").expect("the listener").stats.rejected_conns()[why as usize]
}

/// The connection ends without a byte for the client, and it is counted why.
async fn is_turned_away(plane: &Plane, client: &mut Client, why: ConnRejection) {
    assert_eq!(client.rest().await.0, b"");
    until("it was counted", || turned(plane, why) == 1).await;
    let all = plane.published.load().listener("web").expect("the listener").stats.rejected_conns();
    assert_eq!(all.iter().sum::<u64>(), 1, "{all:?}");
}

#[tokio::test]
async fn the_client_that_a_header_names_is_the_client() {
    let (plane, _upstream) = plane(REQUIRED).await;
    for (header, client_is) in
        [(V1.as_bytes(), "192.0.2.7"), (V2, "192.0.2.7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")]
    {
        // With the request in one segment, and each byte of both in one of its own.
        let bytes = [header, get("/", "r").as_bytes()].concat();
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(told(&client.ask(&bytes).await), client_is);
        // It is read once.
        assert_eq!(told(&client.ask(get("/", "s")).await), client_is);
        let mut client = Client::connect(plane.address("web")).await;
        for byte in bytes {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(told(&client.answer().await.expect("an answer")), client_is);
    }
}

#[tokio::test]
async fn without_a_header_that_is_required_nobody_is_let_in() {
    let (plane, upstream) = plane(REQUIRED).await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "r")).await;
    is_turned_away(&plane, &mut client, ConnRejection::NoHeader).await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_malformed_header_ends_the_connection_even_where_none_is_required() {
    for listener in [REQUIRED, OPTIONAL] {
        let (plane, upstream) = plane(listener).await;
        let mut client = Client::connect(plane.address("web")).await;
        client.send(format!("PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n{}", get("/", "r"))).await;
        is_turned_away(&plane, &mut client, ConnRejection::MalformedHeader).await;
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test]
async fn a_header_from_elsewhere_is_not_believed() {
    let (plane, upstream) = plane("    proxy_protocol: {required: true, trusted: [10.0.0.0/8, \"::1\"]}\n").await;
    let mut client = Client::connect(plane.address("web")).await;
    is_turned_away(&plane, &mut client, ConnRejection::Untrusted).await;
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn where_it_is_not_required_a_header_from_elsewhere_is_a_malformed_request() {
    let (plane, upstream) = plane("    proxy_protocol: {trusted: [10.0.0.0/8]}\n").await;
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(told(&client.ask(get("/", "r")).await), "127.0.0.1");
    client.send(format!("{V1}{}", get("/", "s"))).await;
    assert_eq!(client.answer().await.expect("an answer").status(), 400);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn trusted_networks_may_leave_it_out_where_it_is_not_required() {
    let (plane, _upstream) = plane(OPTIONAL).await;
    let mut with = Client::connect(plane.address("web")).await;
    assert_eq!(told(&with.ask(format!("{V1}{}", get("/", "r"))).await), "192.0.2.7");
    // Methods that begin like a header, and an empty line before the request, byte by byte: not one may be lost.
    for request in ["PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut without = Client::connect(plane.address("web")).await;
        for byte in request.bytes() {
            without.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = without.answer().await.expect("an answer");
        assert_eq!(told(&answer), "127.0.0.1");
        assert!(
            answer.text().starts_with(request.trim_start().split("\r\n").next().unwrap_or("?")),
            "{}",
            answer.text()
        );
    }
    // What ends in the middle of what might have been a header is for the listener's protocol to judge.
    let mut cut = Client::connect(plane.address("web")).await;
    cut.send("PRO").await;
    cut.stream.shutdown().await.expect("alive");
    cut.rest().await;
    let all = plane.published.load().listener("web").expect("the listener").stats.rejected_conns();
    assert_eq!(all.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection_however_busy_it_looks() {
    let (plane, _upstream) = plane(&format!("{REQUIRED}    timeouts: {{handshake: 200ms}}\n")).await;
    let mut silent = Client::connect(plane.address("web")).await;
    is_turned_away(&plane, &mut silent, ConnRejection::Timeout).await;
    let mut slow = TcpStream::connect(plane.address("web")).await.expect("accepted");
    within(async {
        for byte in std::iter::once(b'P').chain(*b"ROXY UNKNOWN ").chain(std::iter::repeat(b'x')) {
            if slow.write_all(&[byte]).await.is_err() || turned(&plane, ConnRejection::Timeout) == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    until("the slow one was turned away too", || turned(&plane, ConnRejection::Timeout) == 2).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_header_is_whole_is_counted() {
    let (plane, _upstream) = plane(REQUIRED).await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(&V2[..20]).await;
    client.stream.shutdown().await.expect("alive");
    is_turned_away(&plane, &mut client, ConnRejection::Closed).await;
}

/// Takes one connection and gives away all that comes on it until it ends.
async fn listener() -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let bytes = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an end in order");
        bytes
    });
    (address, bytes)
}

#[tokio::test]
async fn a_tcp_session_passes_on_what_the_header_said_and_every_byte_behind_it() {
    let (address, bytes) = listener().await;
    let plane = Plane::start(&yaml("tcp", &[&[address]], REQUIRED, "    upstream: {proxy_protocol: v1}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    client.send([V2, b"hello"].concat()).await;
    client.stream.shutdown().await.expect("alive");
    let bytes = within(bytes).await.expect("no panic");
    assert_eq!(String::from_utf8_lossy(&bytes), format!("{V1}hello"));
}

#[tokio::test]
async fn without_a_header_before_us_endpoints_are_told_of_the_socket() {
    let (address, bytes) = listener().await;
    let plane = Plane::start(&yaml("tcp", &[&[address]], "", "    upstream: {proxy_protocol: v2}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    let (source, destination) = (client.stream.local_addr().expect("alive"), plane.address("web"));
    client.send("hello").await;
    client.stream.shutdown().await.expect("alive");
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01".to_vec();
    expected.extend(source.port().to_be_bytes());
    expected.extend(destination.port().to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(within(bytes).await.expect("no panic"), expected);
}

#[tokio::test]
async fn a_connection_that_is_about_one_client_carries_one_request() {
    let upstream = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    upstream: {proxy_protocol: v1}\n"));
    let mut expected = Vec::new();
    let mut clients = [Client::connect(plane.address("web")).await, Client::connect(plane.address("web")).await];
    for round in 0..2 {
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.ask(get("/", &format!("{round}-{number}"))).await.status(), 200);
            let from = client.stream.local_addr().expect("alive").port();
            expected.push(format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}", plane.address("web").port()));
        }
    }
    let heads = upstream.heads();
    let headers: Vec<_> = heads.iter().filter_map(|head| head.split("\r\n").next()).collect();
    assert_eq!(headers, expected);
    assert_eq!(upstream.accepted(), 4);
    until("none of them is kept", || upstream.open() == 0).await;
}

#[tokio::test]
async fn what_one_standfast_writes_the_next_one_reads() {
    for version in ["v1", "v2"] {
        let (inner, _upstream) = plane(REQUIRED).await;
        let service = format!("    upstream: {{proxy_protocol: {version}}}\n");
        let outer = Plane::start(&yaml("tcp", &[&[inner.address("web")]], REQUIRED, &service));
        let mut client = Client::connect(outer.address("web")).await;
        let header = "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
        assert_eq!(told(&client.ask(format!("{header}{}", get("/", "r"))).await), "2001:db8::7");
    }
}

#[tokio::test]
async fn a_header_comes_ahead_of_tls_on_both_sides() {
    let pki = Pki::new();
    let (front, back) = (pki.issue("front", &["front.test"]), pki.issue("back", &["back.test"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let acceptor = tokio_rustls::TlsAcceptor::from(pki::server(&back, &[]));
    let endpoint = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut header = vec![0; V1.len()];
        stream.read_exact(&mut header).await.expect("a header");
        let mut stream = acceptor.accept(stream).await.expect("a handshake right behind it");
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.expect("a request");
        stream.write_all(&crate::support::response(200, "good")).await.expect("alive");
        String::from_utf8_lossy(&header).into_owned()
    });
    let tls = format!("{REQUIRED}    tls: {{certificates: [{}], alpn: [http/1.1]}}\n", front.yaml());
    let service =
        format!("    upstream: {{proxy_protocol: v1, tls: {{ca: {}, sni: back.test}}}}\n", pki.ca().display());
    let plane = Plane::start(&yaml("http", &[&[address]], &tls, &service));
    let mut socket = TcpStream::connect(plane.address("web")).await.expect("accepted");
    socket.write_all(V2).await.expect("alive");
    let name = rustls::pki_types::ServerName::try_from("front.test").expect("a name");
    let connecting = tokio_rustls::TlsConnector::from(std::sync::Arc::new(pki.client())).connect(name, socket);
    let mut client = Client::over(within(connecting).await.expect("a handshake"));
    assert_eq!(client.ask(get("/", "r")).await.text(), "good");
    assert_eq!(within(endpoint).await.expect("no panic"), V1);
}

#[tokio::test]
async fn a_connect_that_confirms_a_refusal_begins_with_a_header_too() {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = "    upstream: {proxy_protocol: v1}\n";
    let instance = Instance::start(&http_yaml(&[&[endpoint.local_addr().unwrap()]], more));
    instance.serves("web", 0).await;
    let mut client = Client::connect(instance.address("web")).await;
    client.send(get("/", "1")).await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = within(endpoint.accept()).await.unwrap();
        let mut line = [0; 13];
        within(stream.read_exact(&mut line)).await.unwrap();
        lines.push(String::from_utf8_lossy(&line).into_owned());
        stream.set_zero_linger().unwrap();
    }
    assert_eq!(lines, ["PROXY TCP4 12", "PROXY UNKNOWN"]);
}

/// A port on which every address of both families is listened on; `None`: this machine has no IPv6.
fn every(protocol: &str, pools: &[&[SocketAddr]], listener: &str, service: &str) -> Option<(Plane, u16)> {
    std::net::TcpListener::bind("[::1]:0").ok()?;
    let text = yaml(protocol, pools, listener, service).replace("bind: 127.0.0.1:0", "bind: \"*:0\"");
    let plane = Plane::start(&text);
    let port = plane.address("web").port();
    Some((plane, port))
}

#[tokio::test]
async fn a_client_of_ipv4_is_one_on_a_socket_of_both_families_too() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.log");
    // Headers of 127.0.0.1 are believed, and nobody else's.
    let more = format!("{OPTIONAL}access_log: {{path: {}, format: json}}\n", path.display());
    let Some((mut plane, port)) = every("http", &[&[upstream.address]], &more, "") else { return };
    for (host, header, client_is) in [
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", V1, "192.0.2.7"),
        ("127.0.0.1", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 4711 443\r\n", "192.0.2.7"),
        ("::1", "", "::1"),
    ] {
        let mut client = Client::connect((host.parse::<std::net::IpAddr>().expect("an address"), port).into()).await;
        assert_eq!(told(&client.ask(format!("{header}{}", get("/", "r"))).await), client_is, "{host} {header}");
    }
    // From an IPv6 address a header is not believed.
    let mut client = Client::connect((std::net::Ipv6Addr::LOCALHOST, port).into()).await;
    assert_eq!(client.ask(format!("{V1}{}", get("/", "r"))).await.status(), 400);
    plane.drain(std::time::Duration::from_secs(1)).await;
    let mut clients = Vec::new();
    until("all requests are logged", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        clients = text.lines().map(|text| line(text)["client"].as_str().unwrap_or_default().to_owned()).collect();
        clients.len() >= 4
    })
    .await;
    let ips: Vec<_> = clients.iter().take(4).map(|client| client.rsplit_once(':').map_or("", |(ip, _)| ip)).collect();
    assert_eq!(ips, ["127.0.0.1", "192.0.2.7", "192.0.2.7", "[::1]"], "{clients:?}");
}

#[tokio::test]
async fn an_endpoint_is_told_of_ipv4_where_both_families_are_listened_on() {
    let (address, bytes) = listener().await;
    let service = "    upstream: {proxy_protocol: v1}\n";
    let Some((_plane, port)) = every("tcp", &[&[address]], "", service) else { return };
    let mut client = Client::connect((std::net::Ipv4Addr::LOCALHOST, port).into()).await;
    let from = client.stream.local_addr().expect("alive").port();
    client.send("hello").await;
    client.stream.shutdown().await.expect("alive");
    let bytes = within(bytes).await.expect("no panic");
    assert_eq!(String::from_utf8_lossy(&bytes), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {port}\r\nhello"));
}

#[tokio::test]
async fn a_source_hashes_alike_on_every_socket() {
    let mut upstreams = Vec::new();
    for name in ["a", "b", "c", "d"] {
        upstreams.push(Upstream::start(Behaviour::ok(name)).await);
    }
    let pool: Vec<_> = upstreams.iter().map(|upstream| upstream.address).collect();
    let balance = "    balance: {hash: source}\n";
    let Some((_both, port)) = every("http", &[&pool], REQUIRED, balance) else { return };
    let four = Plane::start(&yaml("http", &[&pool], REQUIRED, balance));
    let mut homes = std::collections::BTreeSet::new();
    for n in 1..30 {
        let mut answers = Vec::new();
        for (at, source) in [
            (four.address("web"), format!("TCP4 192.0.2.{n} 192.0.2.1")),
            ((std::net::Ipv4Addr::LOCALHOST, port).into(), format!("TCP4 192.0.2.{n} 192.0.2.1")),
            ((std::net::Ipv4Addr::LOCALHOST, port).into(), format!("TCP6 ::ffff:192.0.2.{n} 2001:db8::1")),
        ] {
            let mut client = Client::connect(at).await;
            let answer = client.ask(format!("PROXY {source} 4711 443\r\n{}", get("/", "r"))).await;
            answers.push(answer.text().to_owned());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{n}: {answers:?}");
        homes.insert(answers.swap_remove(0));
    }
    assert!(homes.len() > 1, "{homes:?}");
}
