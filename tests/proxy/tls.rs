//! TLS on real sockets: towards clients and towards endpoints.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion};
use standfast::control::{self, ControlError, ControlHandle, ControlSetup};
use standfast::decision::Operational;
use standfast::net::tls::{Alpn, ClientTls, HandshakeOutcome, TlsFailure, TlsFileLoader, explain};
use standfast::proxy::{self, ProxyHandle, ProxySetup};
use standfast::routing::TlsAssets;
use standfast::sys::clock;
use standfast::telemetry::access::AccessLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::pki::{self, Pair, Pki, handshake};
use crate::support::plane::yaml;
use crate::support::{Behaviour, Client, Plane, Then, Upstream, get, reload_permit, until, within};

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
fn counted(plane: &Plane, how: HandshakeOutcome) -> u64 {
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
    until("the refusal is counted", || counted(&plane, HandshakeOutcome::Alert) == 1).await;
    assert_eq!(counted(&plane, HandshakeOutcome::Full), 3);
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
    until("both are counted", || counted(&plane, HandshakeOutcome::UnknownName) == 2).await;
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
    assert_eq!((counted(&plane, HandshakeOutcome::Full), counted(&plane, HandshakeOutcome::Resumed)), (2, 4));
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
    until("both are counted", || counted(&plane, HandshakeOutcome::NothingInCommon) == 2).await;
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
        until("the refused are counted", || counted(&plane, HandshakeOutcome::ClientCertificate) == refused).await;
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
        until("it is refused", || counted(&plane, HandshakeOutcome::ClientCertificate) == 1).await;
        assert_eq!(counted(&plane, HandshakeOutcome::Resumed), 0);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_refused_at_once_and_counted() {
    let pki = Pki::new();
    let (upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send("\0\x01 nothing that is known\r\n\r\n").await;
    let (bytes, _) = client.rest().await;
    // At most an alert.
    assert!(bytes.len() <= 7, "{bytes:?}");
    until("it is counted", || counted(&plane, HandshakeOutcome::NotTls) == 1).await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_answered_in_the_clear() {
    let pki = Pki::new();
    let (upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    for request in ["GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "P"] {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(request).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (400, "This port speaks HTTPS: use https:// in the URL\n"));
    }
    until("they were counted", || counted(&plane, HandshakeOutcome::NotTls) == 3).await;
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
    until("both are counted", || counted(&plane, HandshakeOutcome::Timeout) == 2).await;
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

#[tokio::test]
async fn why_a_client_is_refused_reaches_it_also_behind_what_it_has_sent() {
    let pki = Pki::new();
    let auth = format!(", client_auth: {{mode: required, ca: {}}}", pki.ca().display());
    let (_upstream, plane) = front(&[&pki.issue("a", &["a.test"])], &auth).await;
    let config = Arc::new(pki.client_of(&rustls::version::TLS13));
    for _ in 0..20 {
        let mut client = Client::secured(plane.address("web"), "a.test", &config).await;
        let _ = client.stream.write_all(&[b'x'; 8192]).await;
        let error = within(client.stream.read(&mut [0])).await.unwrap_err();
        assert_eq!(alert(&error), AlertDescription::CertificateRequired);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_gets_its_ticket_as_well() {
    let pki = Pki::new();
    let (_upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(pki.client_of(version));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let client = Client::secured(plane.address("web"), "a.test", &config).await;
            kinds.push(client.stream.get_ref().1.handshake_kind().expect("shaken"));
            let (socket, mut session) = client.stream.into_inner();
            while session.tls13_tickets_received() == 0 && version == &rustls::version::TLS13 {
                within(socket.readable()).await.unwrap();
                let mut bytes = [0; 4096];
                let Ok(count) = socket.try_read(&mut bytes) else { continue };
                assert!(count > 0, "closed before the ticket came");
                session.read_tls(&mut &bytes[..count]).unwrap();
                session.process_new_packets().unwrap();
            }
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
    }
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
    let request = crate::support::post("/", "up", &body);
    let writing = tokio::spawn(async move { write.write_all(request.as_bytes()).await.map(|()| write) });
    let mut input = Vec::new();
    let head = within(crate::support::upstream::read_head(&mut read, &mut input)).await.unwrap();
    let echoed = within(crate::support::upstream::read_body(&mut read, &mut input, &head)).await.unwrap();
    let text = String::from_utf8(echoed).unwrap();
    assert!(text.to_ascii_lowercase().contains("x-forwarded-proto: https"), "{}", &text[..500]);
    assert!(text.ends_with(&body));
    drop(writing.await.unwrap().unwrap());
}

#[tokio::test]
async fn absolute_targets_name_the_scheme_of_the_connection() {
    let pki = Pki::new();
    let (_upstream, plane) = front(&[&pki.issue("a", &["a.test"])], "").await;
    let config = Arc::new(pki.client());
    for (scheme, status) in [("https", 200), ("http", 400)] {
        let mut client = Client::secured(plane.address("web"), "a.test", &config).await;
        let answer = client.ask(format!("GET {scheme}://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{scheme}");
    }
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

// ---- towards endpoints ------------------------------------------------------------------------------------------------

/// `upstream.tls` with these keys, and more lines for the service.
fn secured(keys: &str, more: &str) -> String {
    format!("    upstream: {{tls: {{{keys}}}}}\n{more}")
}

fn distrusted(plane: &Plane) -> [u64; 4] {
    plane.published.load().services[0].pools[0].endpoints[0].stats.totals().tls_failures
}

#[tokio::test]
async fn endpoints_are_verified_as_configured() {
    let (pki, other) = (Pki::new(), Pki::new());
    let good = pki.issue("good", &["up.test"]);
    let by_address = pki.issue("address", &["127.0.0.1"]);
    let expired = pki.issue_expired("expired", &["up.test"]);
    let (ours, others) = (format!("ca: {}", pki.ca().display()), format!("ca: {}", other.ca().display()));
    let cases = [
        (&good, format!("{ours}, sni: up.test"), true),
        (&good, format!("{ours}, sni: up.test, min_version: \"1.3\""), true),
        (&by_address, ours.clone(), true),
        (&good, format!("{ours}, sni: other.test"), false),
        (&good, ours.clone(), false),
        (&good, format!("{others}, sni: up.test"), false),
        (&good, "sni: up.test, insecure_skip_verify: true".to_owned(), true),
        (&expired, format!("{ours}, sni: up.test"), false),
        (&expired, format!("{ours}, sni: up.test, insecure_skip_verify: true"), true),
    ];
    for (pair, keys, trusted) in cases {
        let upstream = Upstream::start_tls(Behaviour::ok("hello"), pki::server(pair, &[])).await;
        let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", &secured(&keys, "")));
        let mut client = Client::connect(plane.address("web")).await;
        let answer = client.ask(crate::support::post("/", "1", "body")).await;
        assert_eq!(answer.status() == 200, trusted, "{keys}: {}", answer.head);
        assert_eq!(upstream.executed("1"), usize::from(trusted), "{keys}");
        assert_eq!(distrusted(&plane), [u64::from(!trusted), 0, 0, 0], "{keys}");
    }
}

/// What the handshake with an endpoint that shows this certificate says; `None` = it succeeds.
async fn refused_because(shown: &Pair, ca: &Path, sni: &str) -> Option<String> {
    let upstream = Upstream::start_tls(Behaviour::ok("hello"), pki::server(shown, &[])).await;
    let tls = standfast::config::UpstreamTls {
        ca: Some(ca.to_owned()),
        sni: Some(sni.to_owned()),
        identity: None,
        min_version: standfast::config::TlsVersion::Tls12,
        verify: true,
    };
    let mut loader = TlsFileLoader::new((clock::unix_millis() / 1000) as i64);
    let client = ClientTls::load(&tls, Alpn::None, &mut loader).expect("a CA");
    let socket = TcpStream::connect(upstream.address).await.expect("a connection");
    match within(client.connect(socket, upstream.address)).await {
        Ok(_) => None,
        Err(error) => {
            let (distrust, text) = explain(&error);
            assert_eq!(distrust, TlsFailure::Certificate, "{text}");
            Some(text)
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_by_the_rule_it_breaks() {
    let (pki, other) = (Pki::new(), Pki::new());
    let good = pki.issue("good", &["up.test", "10.1.2.3"]);
    let nameless = pki.issue("nameless", &[]);
    let expired = pki.issue_expired("expired", &["up.test"]);
    let early = pki.issue_with("early", &["up.test"], |params| params.not_before = rcgen::date_time_ymd(2090, 2, 3));
    let client = pki.issue_with("client", &["up.test"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (own, own_ca) = (pki.self_signed("own", &["up.test"], false), pki.self_signed("own-ca", &["up.test"], true));
    let (ca, others) = (pki.ca(), other.ca());
    for (shown, ca, sni, said) in [
        (&good, &ca, "other.test", "it is for `up.test`, `10.1.2.3`, asked for `other.test`"),
        (&nameless, &ca, "up.test", "it names no host or address"),
        (&expired, &ca, "up.test", "it expired on 2021-01-01"),
        (&early, &ca, "up.test", "it is not valid before 2090-02-03"),
        (&client, &ca, "up.test", "it is not for servers"),
        (&good, &others, "up.test", "it is signed by `CN=Test CA"),
        (&own, &ca, "up.test", "it is self-signed, and not in `ca`"),
        (&own_ca, &ca, "up.test", "it is a CA's own certificate"),
    ] {
        let text = refused_because(shown, ca, sni).await.unwrap_or_default();
        assert!(text.starts_with("its certificate is not trusted: ") && text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_ca_file_may_hold_the_very_certificate_of_the_endpoint() {
    let pki = Pki::new();
    let signed = pki.issue("signed", &["up.test"]);
    let (own, own_ca) = (pki.self_signed("own", &["up.test"], false), pki.self_signed("own-ca", &["up.test"], true));
    let nameless = pki.self_signed("nameless", &[], true);
    for pair in [&signed, &own, &own_ca] {
        assert_eq!(refused_because(pair, &pair.cert, "up.test").await, None, "{pair:?}");
        let other = refused_because(pair, &pair.cert, "other.test").await.unwrap_or_default();
        assert!(other.contains("it is for `up.test`, asked for `other.test`"), "{other}");
    }
    assert_eq!(
        refused_because(&nameless, &nameless.cert, "any.test").await,
        None,
        "it names nothing that could differ"
    );
    // Of two that could be each other's by name, only the one in the file is trusted.
    let again = pki.self_signed("again", &["up.test"], true);
    assert!(refused_because(&again, &own_ca.cert, "up.test").await.is_some());
    // Only for as long as it is good.
    let day = Duration::from_secs(24 * 3600);
    let short = pki.issue_for("short", &["up.test"], day);
    let both = pki.folder().join("both.pem");
    let expired = pki.issue_expired("expired", &["up.test"]);
    std::fs::write(&both, [&short, &expired].map(|pair| std::fs::read_to_string(&pair.cert).unwrap()).concat())
        .unwrap();
    assert_eq!(refused_because(&short, &both, "up.test").await, None);
    assert!(refused_because(&expired, &both, "up.test").await.unwrap_or_default().contains("it expired on 2021-01-01"));
}

/// Runs openssl in this folder; what it says on its error output when it fails.
fn openssl(folder: &Path, arguments: &str) -> Result<(), String> {
    let output = std::process::Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// `openssl s_server` on a free port, ended when it is dropped.
struct OpensslServer {
    process: std::process::Child,
    address: SocketAddr,
}

impl OpensslServer {
    fn start(folder: &Path, cert: &str, key: &str, more: &str) -> OpensslServer {
        use std::io::BufRead;
        let arguments = format!("s_server -accept 127.0.0.1:0 -www -cert {cert} -key {key} {more}");
        let process = std::process::Command::new("openssl")
            .current_dir(folder)
            .args(arguments.trim().split(' '))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut process = process.expect("openssl");
        let mut lines = std::io::BufReader::new(process.stdout.take().expect("its output")).lines();
        let bound = lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.parse().ok());
        // (It goes on writing there.)
        std::thread::spawn(move || lines.for_each(drop));
        OpensslServer { process, address: bound.expect("the address that it listens on") }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn without_verification_whatever_is_shown_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(error) = openssl(folder.path(), "version") {
        return eprintln!("skipped: this test needs openssl: {error}");
    }
    let make =
        |arguments: &str| openssl(folder.path(), arguments).unwrap_or_else(|error| panic!("{arguments}: {error}"));
    make("req -x509 -newkey rsa:1024 -nodes -subj /CN=weak -days 2 -keyout weak-key.pem -out weak.pem");
    make("req -x509 -newkey rsa:2048 -nodes -sha1 -subj /CN=sha1 -days 2 -keyout sha1-key.pem -out sha1.pem");
    // No extensions: version 1.
    make("req -new -newkey rsa:2048 -nodes -subj /CN=old -keyout old-key.pem -out old.csr");
    make("x509 -req -in old.csr -signkey old-key.pem -days 2 -out old.pem");
    for (name, more) in [("weak", ""), ("weak", "-tls1_2"), ("sha1", ""), ("old", ""), ("old", "-tls1_2")] {
        let more = format!("{more} -cipher DEFAULT@SECLEVEL=0");
        let server =
            OpensslServer::start(folder.path(), &format!("{name}.pem"), &format!("{name}-key.pem"), more.trim());
        let plane = Plane::start(&yaml("http", &[&[server.address]], "", &secured("insecure_skip_verify: true", "")));
        let mut client = Client::connect(plane.address("web")).await;
        let answer = client.ask(get("/", "1")).await;
        assert_eq!(answer.status(), 200, "{name} {more}: {} {:?}", answer.head, distrusted(&plane));
    }
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_tls_or_wants_a_certificate_is_told_apart() {
    let pki = Pki::new();
    let keys = format!("ca: {}, sni: up.test", pki.ca().display());
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 This is not how I speak\r\n\r\n").await;
        }
    });
    let plane = Plane::start(&yaml("http", &[&[address]], "", &secured(&keys, "")));
    let mut client = Client::connect(plane.address("web")).await;
    assert!(client.ask(get("/", "1")).await.status() >= 500);
    let [certificate, alert, closed, protocol] = distrusted(&plane);
    assert_eq!((certificate, alert, closed + protocol), (0, 0, 1));

    let pair = pki.issue("good", &["up.test"]);
    let strict = pki.server_for_clients(&pair);
    let upstream = Upstream::start_tls(Behaviour::ok("hello"), strict).await;
    let own = pki.issue("own", &["proxy.test"]);
    let identity = format!("{keys}, client_cert: {}, client_key: {}", own.cert.display(), own.key.display());
    for (keys, trusted) in [(&identity, true), (&keys, false)] {
        let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", &secured(keys, "")));
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(client.ask(get("/", "1")).await.status() == 200, trusted, "{keys}");
    }
}

#[tokio::test]
async fn connections_to_endpoints_are_shared_by_requests_of_every_kind_and_sessions_resumed() {
    let pki = Pki::new();
    let pair = pki.issue("up", &["up.test"]);
    let upstream = Upstream::start_tls(Behaviour::ok("hello"), pki::server(&pair, &["http/1.1"])).await;
    let keys = format!("ca: {}, sni: up.test", pki.ca().display());
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", &secured(&keys, "")));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..10 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "hello");
        // A POST goes only over a connection that is proven quiet: tickets that came meanwhile are no noise.
        assert_eq!(client.ask(crate::support::post("/", &format!("p{n}"), "body")).await.text(), "hello");
    }
    assert_eq!((upstream.accepted(), upstream.shaken(), upstream.resumed()), (1, 1, 0));
    let close = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    upstream.behave(Behaviour::Say(close.to_vec(), Then::Close));
    for _ in 0..3 {
        assert_eq!(client.ask(get("/", "c")).await.text(), "hello");
    }
    assert_eq!((upstream.shaken(), upstream.resumed()), (3, 2));
    // Bodies larger than any buffer, both ways.
    let body = "0123456789abcdef".repeat(100_000);
    upstream.behave(Behaviour::ok(&body));
    assert_eq!(client.ask(crate::support::post("/", "big", &body)).await.body.len(), body.len());
    assert_eq!(upstream.bodies().last().map(Vec::len), Some(body.len()));
}

#[tokio::test]
async fn an_answer_that_ends_by_close_needs_a_close_notify() {
    let pki = Pki::new();
    let pair = pki.issue("up", &["up.test"]);
    let upstream = Upstream::start_tls(Behaviour::ok(""), pki::server(&pair, &[])).await;
    let keys = format!("ca: {}, sni: up.test", pki.ca().display());
    let more = secured(&keys, "    hold_response: 0\n    retry: {attempts: 1}\n");
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "", &more));
    for (then, whole) in [(Then::Close, true), (Then::Fin, false)] {
        upstream.behave(Behaviour::Say(b"HTTP/1.1 200 OK\r\n\r\nall of it?".to_vec(), then));
        let mut client = Client::connect(plane.address("web")).await;
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let (bytes, error) = client.rest().await;
        let ended = error.is_none() && bytes.ends_with(b"0\r\n\r\n");
        assert_eq!(ended, whole, "{then:?}: {:?} {error:?}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn what_was_trusted_before_a_reload_is_not_used_after_it() {
    let (pki, other) = (Pki::new(), Pki::new());
    let pair = pki.issue("up", &["up.test"]);
    let upstream = Upstream::start_tls(Behaviour::ok("hello"), pki::server(&pair, &[])).await;
    let of = |pki: &Pki| {
        let keys = format!("ca: {}, sni: up.test", pki.ca().display());
        yaml("http", &[&[upstream.address]], "", &secured(&keys, ""))
    };
    let mut plane = Plane::start(&of(&pki));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "hello");
    // The same endpoint, kept as the same: only whom we trust has changed.
    plane.reload_kept(crate::support::plane::parsed(&of(&other)));
    let epoch = plane.published.epoch();
    until("taken up", || plane.published.all_acknowledged(epoch)).await;
    assert_ne!(client.ask(get("/", "2")).await.status(), 200);
    assert_eq!(upstream.requests(), 1);
}

// ---- TCP --------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn tcp_sessions_begin_and_end_tls_with_half_closes_kept() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let keys = format!("ca: {}, sni: a.test", pki.ca().display());
    let echo = b"GET / HTTP/1.1\r\nConnection: x\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\n\r\nby close".to_vec();
    // TLS from the client, plain to the endpoint.
    let plain = Upstream::start(Behaviour::Say(answer.clone(), Then::Close)).await;
    let listener = format!("    tls: {{certificates: [{}]}}\n", pair.yaml());
    let plane = Plane::start(&yaml("tcp", &[&[plain.address]], &listener, ""));
    let mut client = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    client.send(echo).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, (answer.clone(), None));
    // Plain from the client, TLS to the endpoint; an end without a close_notify is a cut.
    let secure = Upstream::start_tls(Behaviour::ok(""), pki::server(&pair, &[])).await;
    let plane = Plane::start(&yaml("tcp", &[&[secure.address]], "", &secured(&keys, "")));
    for (then, whole) in [(Then::Close, true), (Then::Fin, false)] {
        secure.behave(Behaviour::Say(answer.clone(), then));
        let mut client = Client::connect(plane.address("web")).await;
        client.send(echo).await;
        let (bytes, error) = client.rest().await;
        assert_eq!(error.is_none(), whole, "{then:?}");
        assert!(!whole || bytes == answer);
    }
    // Both, and more than buffers hold.
    let large = vec![b'x'; 3_000_000];
    secure.behave(Behaviour::Say(large.clone(), Then::Close));
    let plane = Plane::start(&yaml("tcp", &[&[secure.address]], &listener, &secured(&keys, "")));
    let mut client = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    client.send(echo).await;
    let (bytes, error) = client.rest().await;
    assert_eq!((bytes.len(), error), (large.len(), None));
}

// ---- with a control plane ---------------------------------------------------------------------------------------------

/// A whole proxy from a file.
struct Whole {
    _proxy: ProxyHandle,
    control: ControlHandle,
}

impl Whole {
    fn start(path: &Path) -> Whole {
        let config = standfast::config::load(path).unwrap_or_else(|problems| panic!("{problems}")).config;
        let setup = ControlSetup { config, path: Some(path.to_owned()), workers: 1 };
        let control = control::start(setup).expect("it starts");
        let access_log = AccessLog::start(None).expect("off");
        let setup = ProxySetup { published: Arc::clone(control.published()), access_log };
        Whole { _proxy: proxy::start(setup).expect("threads"), control }
    }

    fn address(&self) -> SocketAddr {
        self.control.published().load().listener("web").unwrap().sockets.bound()[0].local
    }

    fn serves(&self, pool: usize) -> bool {
        self.control.published().load().services[0].serves(pool)
    }
}

#[tokio::test]
async fn an_endpoint_with_a_wrong_certificate_is_out_and_the_standby_serves() {
    let pki = Pki::new();
    let (good, wrong) = (pki.issue("good", &["up.test"]), pki.issue("wrong", &["other.test"]));
    let home = Upstream::start_tls(Behaviour::ok("home"), pki::server(&good, &[])).await;
    let standby = Upstream::start_tls(Behaviour::ok("standby"), pki::server(&good, &[])).await;
    let file = pki.folder().join("standfast.yaml");
    let keys = format!("ca: {}, sni: up.test", pki.ca().display());
    // A check that reuses its connections sees it on the next one that it makes.
    for check in ["http: /", "tcp: {tls: on}", "http: {reuse: 1s}"] {
        home.certify(pki::server(&good, &[]));
        let check = check.replace("tls: on", &format!("tls: {{{keys}}}"));
        let (shaken, asked) = (home.shaken(), home.requests());
        let more = format!(
            "    health_check: {{{check}, interval: 100ms, timeout: 2s, fast_interval: 100ms, fall: 2, rise: 1}}\n"
        );
        std::fs::write(&file, yaml("http", &[&[home.address], &[standby.address]], "", &secured(&keys, &more)))
            .unwrap();
        let whole = Whole::start(&file);
        until("home serves", || whole.serves(0)).await;
        let mut client = Client::connect(whole.address()).await;
        assert_eq!(client.ask(get("/", "1")).await.text(), "home", "{check}");
        if check.contains("reuse") {
            let more = || (home.requests() - asked, home.shaken() - shaken);
            until("probes share a handshake", || more().0 >= 2 * more().1).await;
        }
        home.certify(pki::server(&wrong, &[]));
        until("the standby serves", || whole.serves(1)).await;
        assert_eq!(client.ask(get("/", "2")).await.text(), "standby", "{check}");
    }
    // Without checks traffic itself finds it.
    let more = "    outlier_detection: {consecutive_failures: 2}\n";
    std::fs::write(&file, yaml("http", &[&[home.address], &[standby.address]], "", &secured(&keys, more))).unwrap();
    let whole = Whole::start(&file);
    until("home serves", || whole.serves(0)).await;
    for n in 0..20 {
        let mut client = Client::connect(whole.address()).await;
        let answer = client.ask(get("/", &n.to_string())).await;
        if answer.status() == 200 {
            assert_eq!(answer.text(), "standby");
        }
    }
    until("the standby serves", || whole.serves(1)).await;
    let mut client = Client::connect(whole.address()).await;
    assert_eq!(client.ask(get("/", "x")).await.text(), "standby");
}

#[tokio::test]
async fn an_endpoint_that_a_handshake_of_ours_fails_with_too_is_out_at_once_and_the_order_goes_on() {
    let pki = Pki::new();
    let (good, wrong) = (pki.issue("good", &["up.test"]), pki.issue("wrong", &["other.test"]));
    let home = Upstream::start_tls(Behaviour::ok("home"), pki::server(&wrong, &[])).await;
    let standby = Upstream::start_tls(Behaviour::ok("standby"), pki::server(&good, &[])).await;
    let file = pki.folder().join("standfast.yaml");
    let keys = format!("ca: {}, sni: up.test", pki.ca().display());
    std::fs::write(&file, yaml("http", &[&[home.address], &[standby.address]], "", &secured(&keys, ""))).unwrap();
    let whole = Whole::start(&file);
    until("home serves", || whole.serves(0)).await;
    let mut client = Client::connect(whole.address()).await;
    assert_eq!(client.ask(crate::support::post("/", "1", "order")).await.text(), "standby");
    assert!(whole.serves(1));
    home.certify(pki::server(&good, &[]));
    let stands = || whole.control.published().load().services[0].pools[0].endpoints[0].standing.operational;
    until("a handshake of ours brings it back", || stands() == Operational::Healthy).await;
}

#[tokio::test]
async fn a_reload_reads_the_files_again_and_a_failed_one_changes_nothing() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let file = pki.folder().join("standfast.yaml");
    std::fs::write(&file, yaml("http", &[&[upstream.address]], &listener(&[&pair], ""), "")).unwrap();
    let whole = Whole::start(&file);
    until("it serves", || whole.serves(0)).await;
    let shown = async || {
        let client = Client::secured(whole.address(), "a.test", &Arc::new(pki.client())).await;
        client.shown().into_owned()
    };
    let first = shown().await;
    // Damages, each with a word on what to do.
    let key = std::fs::read(&pair.key).unwrap();
    let other = pki.issue("other", &["a.test"]);
    for (damage, says) in [
        (std::fs::read(&other.key).unwrap(), "is not that of the certificate"),
        (b"nothing".to_vec(), "there is no private key in it"),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_vec(),
            "is encrypted",
        ),
    ] {
        std::fs::write(&pair.key, damage).unwrap();
        let ControlError::Reload(problem) = whole.control.reload(reload_permit()).await.unwrap_err() else {
            panic!("another error")
        };
        assert!(problem.starts_with("listeners.web.tls: ") && problem.contains(says), "{problem}");
        assert!(problem.contains(&pair.key.display().to_string()), "{problem}");
        assert_eq!(shown().await, first);
    }
    std::fs::remove_file(&pair.key).unwrap();
    let problem = whole.control.reload(reload_permit()).await.unwrap_err().to_string();
    assert!(problem.contains("cannot be read"), "{problem}");
    std::fs::write(&pair.key, key).unwrap();
    assert_eq!(whole.control.reload(reload_permit()).await.unwrap().warnings, Vec::<String>::new());
    assert_eq!(shown().await, first);
    // The text of the configuration is the same, the certificate is not; it will not last long either.
    pki.issue_for("a", &["a.test"], Duration::from_secs(3 * 24 * 3600 + 600));
    let reloaded = whole.control.reload(reload_permit()).await.unwrap();
    assert!(reloaded.warnings.len() == 1 && reloaded.warnings[0].contains("expires in 3 days"), "{reloaded:?}");
    until("taken up", || whole.control.published().all_acknowledged(reloaded.epoch)).await;
    let second = shown().await;
    assert_ne!(second, first);
    assert_eq!(second, pki::der(&pair.cert));
    let table = whole.control.published().load();
    let expiry: Vec<_> = table.materials.shown(&table.config).map(|s| (s.by, s.leaf.not_after)).collect();
    assert!(
        expiry.len() == 1 && expiry[0].0 == "listener" && expiry[0].1 > (clock::unix_millis() / 1000) as i64,
        "{expiry:?}"
    );
}

#[tokio::test]
async fn a_start_without_its_files_says_which_and_what_to_do() {
    let pki = Pki::new();
    let expired = pki.issue_with("old-ca", &[], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let own = pki.issue_expired("own", &["a.test"]);
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let keys = format!("ca: {}, sni: up.test", expired.cert.display());
    let missing = listener(&[&Pair { cert: "/nowhere/a.pem".into(), key: "/nowhere/k.pem".into() }], "");
    let config = crate::support::plane::parsed(&yaml("http", &[&[upstream.address]], &missing, &secured(&keys, "")));
    let problems = control::materials::load(&config, &TlsAssets::default()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("listeners.web.tls: /nowhere/a.pem: cannot be read"), "{problems:?}");
    assert!(
        problems[1].starts_with("services.web.upstream.tls: ") && problems[1].contains("has expired"),
        "{problems:?}"
    );
    // A leaf that has expired is loud, not an error.
    let config = crate::support::plane::parsed(&yaml("http", &[&[upstream.address]], &listener(&[&own], ""), ""));
    let warnings = control::materials::load(&config, &TlsAssets::default()).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("HAS EXPIRED"), "{warnings:?}");
}

/// Files are told among all other problems, at the places that name them, each once; so does `check`, and so does `run`.
#[test]
fn files_are_told_among_the_other_problems_with_their_lines() {
    let pki = Pki::new();
    let (own, other) = (pki.issue("own", &["a.test"]), pki.issue("other", &["a.test"]));
    let soon = pki.issue_expired("soon", &["a.test"]);
    let file = pki.folder().join("standfast.yaml");
    let text = format!(
        "listeners:\n  - name: web\n    bnid: 0.0.0.0:80\n    service: s\n    tls:\n      certificates:\n\
         \x20       - cert: no-cert.pem\n          key: no-key.pem\n        - {{cert: {own}, key: {other}}}\n\
         \x20       - {soon}\n      client_auth: {{ca: no-ca.pem}}\n\
         services:\n  s: {{upstream: {{tls: {{ca: no-ca.pem, sni: a.test}}}}, pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}\n\
         \x20 t: {{upstream: {{tls: {{ca: {cert}, sni: a.test}}}}, pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}\n",
        own = own.cert.display(),
        other = other.key.display(),
        soon = soon.yaml(),
        cert = own.key.display(),
    );
    std::fs::write(&file, &text).unwrap();
    let examined = || control::materials::examine(standfast::config::load(&file), &file);
    let problems = examined().unwrap_err();
    let column = |line: usize, word: &str| {
        let line = text.lines().nth(line - 1).unwrap();
        line.find(word).map_or(0, |at| line[..at].chars().count() + 1)
    };
    let told: Vec<_> = problems.list.iter().map(|p| (p.line, p.column, p.what.as_str())).collect();
    let expected = [
        (3, 5, "unknown key `bnid`"),
        (7, column(7, "no-cert"), "no-cert.pem: cannot be read: No such file"),
        (8, column(8, "no-key"), "no-key.pem: cannot be read: No such file"),
        (9, column(9, &other.key.display().to_string()), "is not that of the certificate"),
        (10, column(10, &soon.cert.display().to_string()), "the certificate HAS EXPIRED"),
        (11, column(11, "no-ca"), "no-ca.pem: cannot be read: No such file"),
        (14, column(14, "t: "), "no listener leads to service `t`"),
        (14, column(14, &own.key.display().to_string()), "there is no certificate in it"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((line, column, what), (said_line, said_column, said)) in expected.into_iter().zip(told) {
        assert!((line, column) == (said_line, said_column) && said.contains(what), "{line}:{column} {what}: {said}");
    }
    let explained = problems.explain(false);
    assert!(
        explained.contains("| ") && explained.contains("no-cert.pem\n") && explained.contains("^^^^^^^^^^^\n"),
        "{explained}"
    );

    // A file that is valid but for these is refused by them alone, and what is only worth a look does not refuse it.
    std::fs::write(&file, text.replace("bnid", "bind")).unwrap();
    assert_eq!(examined().unwrap_err().list.len(), expected.len() - 1);
    let listener = format!(
        "listeners: [{{name: web, bind: 127.0.0.1:0, service: s, tls: {{certificates: [{}]}}}}]\n\
         services: {{s: {{pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n",
        soon.yaml()
    );
    std::fs::write(&file, listener).unwrap();
    let warnings = examined().unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].line == 1 && warnings[0].what.contains("HAS EXPIRED"), "{warnings:?}");
}

#[test]
fn run_and_check_tell_of_a_missing_certificate_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("standfast.yaml");
    let text = "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    service: s\n    tls: {certificates: [{cert: a.pem, key: k.pem}]}\n\
                services: {s: {pools: [{name: a, endpoints: [10.0.0.1:80]}]}}\n";
    std::fs::write(&file, text).unwrap();
    let ask = |command: &str| {
        let mut asked = std::process::Command::new(env!("CARGO_BIN_EXE_standfast"));
        let output = asked.arg(command).arg(&file).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (checked, run) = (ask("check").0, ask("run").1);
    for line in ["error: ", " 5 |     tls: {certificates: [{cert: a.pem, key: k.pem}]}", "^^^^^", "2 problems"] {
        assert!(checked.contains(line), "{line}: {checked}");
    }
    assert!(run.ends_with(&checked), "{run}\n{checked}");
}
