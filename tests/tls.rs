//! TLS on real sockets: towards clients and towards endpoints.
mod support;

use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion};
use standfast::net::tls::Handshake;
use support::pki::{self, Pair, Pki, handshake};
use support::plane::yaml;
use support::{Behaviour, Client, Plane, Then, Upstream, get, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A listener that speaks TLS with these certificates; `more` are further keys of `tls`.
fn listener(pairs: &[&Pair], more: &str) -> String {
    let pairs: Vec<String> = pairs.iter().map(|pair| pair.yaml()).collect();
    format!("    tls: {{certificates: [{}], alpn: [http/1.1]{more}}}\n", pairs.join(", "))
}

/// An HTTP service behind it, with a plain upstream.
async fn front(pairs: &[&Pair], more: &str) -> (Upstream, Plane) {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], &listener(pairs, more), ""));
    (upstream, plane)
}

/// How often a handshake ended like this.
fn counted(plane: &Plane, how: Handshake) -> u64 {
    plane.published.load().listener("web").unwrap().stats.handshakes()[how as usize]
}

/// The alert that ended a handshake.
fn alert(error: &std::io::Error) -> AlertDescription {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("no alert: {other:?} ({error})"),
    }
}

/// A whole exchange, so that tickets have arrived; then an orderly end from this side.
async fn visit(plane: &Plane, name: &str, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut client = Client::secured(plane.address("web"), name, config).await;
    let answer = client.ask(get("/", "1")).await;
    assert_eq!((answer.status(), answer.text()), (200, "hello"));
    let kind = client.stream.get_ref().1.handshake_kind().expect("shaken");
    client.stream.shutdown().await.unwrap();
    kind
}

#[tokio::test]
async fn the_name_asked_for_decides_which_certificate_is_shown() {
    let pki = Pki::new();
    let first = pki.issue("first", &["first.test"]);
    let wild = pki.issue("wild", &["*.shop.test"]);
    let exact = pki.issue("exact", &["pay.shop.test"]);
    let (_upstream, plane) = front(&[&first, &wild, &exact], "").await;
    let config = Arc::new(pki.client());
    for (name, pair) in [("first.test", &first), ("cart.shop.test", &wild), ("pay.shop.test", &exact)] {
        let mut client = Client::secured(plane.address("web"), name, &config).await;
        assert_eq!(client.shown(), pki::der(&pair.cert), "{name}");
        assert_eq!(client.ask(get("/", "1")).await.text(), "hello");
    }
    // A wildcard stands for one label: the first certificate is shown, and this client finds that it is not for that name.
    let error = handshake(plane.address("web"), "a.b.shop.test", &config).await.unwrap_err();
    assert!(
        error.to_string().contains("NotValidForName") || error.to_string().contains("not valid for name"),
        "{error}"
    );
    until("the refusal is counted", || counted(&plane, Handshake::Alert) == 1).await;
    assert_eq!(counted(&plane, Handshake::Full), 3);
}

#[tokio::test]
async fn where_unknown_names_are_refused_the_client_is_told_so() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let (_upstream, plane) = front(&[&pair], ", unknown_name: refuse").await;
    let config = Arc::new(pki.client());
    assert_eq!(visit(&plane, "a.test", &config).await, HandshakeKind::Full);
    // An IP address is never asked for by name.
    for name in ["b.test", "127.0.0.1"] {
        let error = handshake(plane.address("web"), name, &config).await.unwrap_err();
        assert_eq!(alert(&error), AlertDescription::UnrecognisedName, "{name}");
    }
    until("both are counted", || counted(&plane, Handshake::UnknownName) == 2).await;
}

#[tokio::test]
async fn both_versions_are_spoken_and_sessions_are_resumed() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let (_upstream, mut plane) = front(&[&pair], "").await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(pki.client_of(version));
        assert_eq!(visit(&plane, "a.test", &config).await, HandshakeKind::Full);
        assert_eq!(visit(&plane, "a.test", &config).await, HandshakeKind::Resumed);
        // One ticket a handshake: the resumed one gave the next. A reload with another certificate keeps the keys.
        let config_text = plane.config.as_ref().clone();
        pki.issue("a", &["a.test"]);
        plane.reload_config(config_text);
        let kind = within(async {
            let epoch = plane.published.epoch();
            until("taken up", || plane.published.all_acknowledged(epoch)).await;
            visit(&plane, "a.test", &config).await
        })
        .await;
        assert_eq!(kind, HandshakeKind::Resumed, "{version:?}");
    }
    let stats = Arc::clone(&plane.published.load().listener("web").unwrap().stats);
    assert_eq!((counted(&plane, Handshake::Full), counted(&plane, Handshake::Resumed)), (2, 4));
    assert_eq!(stats.tls_versions(), [3, 3]);
}

#[tokio::test]
async fn older_versions_than_the_oldest_and_unknown_protocols_are_refused() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let (_upstream, plane) = front(&[&pair], ", min_version: \"1.3\"").await;
    let old = Arc::new(pki.client_of(&rustls::version::TLS12));
    let error = handshake(plane.address("web"), "a.test", &old).await.unwrap_err();
    assert_eq!(alert(&error), AlertDescription::ProtocolVersion);
    let mut other = pki.client();
    other.alpn_protocols = vec![b"spdy/3".to_vec()];
    let error = handshake(plane.address("web"), "a.test", &Arc::new(other)).await.unwrap_err();
    assert_eq!(alert(&error), AlertDescription::NoApplicationProtocol);
    until("both are counted", || counted(&plane, Handshake::NothingInCommon) == 2).await;
    let mut same = pki.client();
    same.alpn_protocols = vec![b"spdy/3".to_vec(), b"http/1.1".to_vec()];
    let stream = handshake(plane.address("web"), "a.test", &Arc::new(same)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_as_configured() {
    let (pki, other) = (Pki::new(), Pki::new());
    let pair = pki.issue("a", &["a.test"]);
    let nobody = Arc::new(pki.client());
    let known = Arc::new(pki.client_as(&pki.issue("known", &["client.test"])));
    let stranger = Arc::new(pki.client_as(&other.issue("stranger", &["client.test"])));
    for (mode, nobody_passes) in [("optional", true), ("required", false)] {
        let auth = format!(", client_auth: {{mode: {mode}, ca: {}}}", pki.ca().display());
        let (_upstream, plane) = front(&[&pair], &auth).await;
        for (config, passes) in [(&nobody, nobody_passes), (&known, true), (&stranger, false)] {
            // In TLS 1.3 the client hears of it only after its own handshake is over.
            let answered = match handshake(plane.address("web"), "a.test", config).await {
                Ok(mut stream) => {
                    let _ = stream.write_all(get("/", "1").as_bytes()).await;
                    let mut byte = [0];
                    matches!(within(stream.read(&mut byte)).await, Ok(1))
                }
                Err(_) => false,
            };
            assert_eq!(answered, passes, "{mode}");
        }
        let refused = if nobody_passes { 1 } else { 2 };
        until("the refused are counted", || counted(&plane, Handshake::ClientCertificate) == refused).await;
    }
}

#[tokio::test]
async fn a_session_from_where_nothing_was_proved_is_not_resumed_where_it_must_be() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let open = yaml("http", &[&[upstream.address]], &listener(&[&pair], ""), "");
    let auth = format!(", client_auth: {{mode: required, ca: {}}}", pki.ca().display());
    let closed = yaml("http", &[&[upstream.address]], &listener(&[&pair], &auth), "");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut plane = Plane::start(&open);
        let config = Arc::new(pki.client_of(version));
        assert_eq!(visit(&plane, "a.test", &config).await, HandshakeKind::Full);
        plane.reload(&closed);
        let epoch = plane.published.epoch();
        until("taken up", || plane.published.all_acknowledged(epoch)).await;
        if let Ok(mut stream) = handshake(plane.address("web"), "a.test", &config).await {
            let _ = stream.write_all(get("/", "1").as_bytes()).await;
            let error = within(stream.read(&mut [0])).await.unwrap_err();
            assert_eq!(alert(&error), AlertDescription::CertificateRequired);
        }
        until("it is refused", || counted(&plane, Handshake::ClientCertificate) == 1).await;
        assert_eq!(counted(&plane, Handshake::Resumed), 0);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_refused_at_once_and_counted() {
    let pki = Pki::new();
    let (upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (bytes, _) = client.rest().await;
    // At most an alert.
    assert!(bytes.len() <= 7, "{bytes:?}");
    until("it is counted", || counted(&plane, Handshake::NotTls) == 1).await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_in_time_is_ended() {
    let pki = Pki::new();
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let more = format!("    timeouts: {{handshake: 200ms}}\n{}", listener(&[&pki.issue("a", &["a.test"])], ""));
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], &more, ""));
    let mut silent = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut slow = TcpStream::connect(plane.address("web")).await.unwrap();
    slow.write_all(&[22, 3, 1]).await.unwrap();
    for stream in [&mut silent, &mut slow] {
        assert!(!matches!(within(stream.read(&mut [0])).await, Ok(1..)));
    }
    until("both are counted", || counted(&plane, Handshake::Timeout) == 2).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes_and_finishes_requests() {
    let pki = Pki::new();
    let (upstream, mut plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    upstream.behave(Behaviour::ok("late").after(Duration::from_millis(300)));
    let _silent = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut client = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    client.send(get("/", "1")).await;
    until("the request is on its way", || upstream.heads().len() == 1).await;
    let drain = plane.draining(Duration::from_secs(60));
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("late", Some("close")));
    // In order: a close_notify, or this would be an error.
    assert_eq!(client.rest().await, (Vec::new(), None));
    let report = within(drain).await.unwrap();
    assert_eq!((report.finished, report.cut), (1, 0));
}

#[tokio::test]
async fn an_orderly_end_is_said_and_an_abort_is_not() {
    let pki = Pki::new();
    let (upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    let config = Arc::new(pki.client());
    let mut client = Client::secured(plane.address("web"), "a.test", &config).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().text(), "hello");
    assert_eq!(client.rest().await, (Vec::new(), None));
    // An upstream that dies mid-body: the client must not take what it got for the whole.
    upstream.behave(Behaviour::Say(b"HTTP/1.1 200 OK\r\n\r\npart of it".to_vec(), Then::Reset));
    let mut client = Client::secured(plane.address("web"), "a.test", &config).await;
    client.send(post_close()).await;
    let (_, error) = client.rest().await;
    assert!(error.is_some(), "the cut must be visible");
}

fn post_close() -> &'static str {
    "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

#[tokio::test]
async fn requests_and_large_bodies_pass_whole_and_the_upstream_learns_the_scheme() {
    let pki = Pki::new();
    let (upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    let body = "0123456789abcdef".repeat(200_000);
    upstream.behave(Behaviour::ok(&body));
    let mut client = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    for _ in 0..3 {
        assert_eq!(client.ask(get("/", "big")).await.body.len(), body.len());
    }
    upstream.behave(Behaviour::Echo);
    let (mut read, mut write) = tokio::io::split(client.stream);
    let request = support::post("/", "up", &body);
    let writing = tokio::spawn(async move { write.write_all(request.as_bytes()).await.map(|()| write) });
    let mut input = Vec::new();
    let head = within(support::upstream::read_head(&mut read, &mut input)).await.unwrap();
    let echoed = within(support::upstream::read_body(&mut read, &mut input, &head)).await.unwrap();
    let text = String::from_utf8(echoed).unwrap();
    assert!(text.to_ascii_lowercase().contains("x-forwarded-proto: https"), "{}", &text[..500]);
    assert!(text.ends_with(&body));
    drop(writing.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let before = pki::der(&pair.cert);
    let (_upstream, mut plane) = front(&[&pair], "").await;
    let mut old = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    assert_eq!(old.shown(), before);
    pki.issue("a", &["a.test"]);
    plane.reload_config(plane.config.as_ref().clone());
    let epoch = plane.published.epoch();
    until("taken up", || plane.published.all_acknowledged(epoch)).await;
    assert_eq!(old.ask(get("/", "1")).await.text(), "hello");
    let new = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    assert_eq!(new.shown(), pki::der(&pair.cert));
    assert_ne!(new.shown(), before);
}
