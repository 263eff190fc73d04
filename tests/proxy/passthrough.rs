//! TLS passed through by what the ClientHello asks for, on real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use standfast::routing::ConnRejection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Client, Plane, until, within};

/// An endpoint that says its name, then keeps what comes.
struct Endpoint {
    address: SocketAddr,
    got: Arc<Mutex<Vec<u8>>>,
}

async fn endpoint(name: &'static str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let got = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let _ = stream.write_all(name.as_bytes()).await;
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    all.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            });
        }
    });
    Endpoint { address, got }
}

fn plane(routes: &str, listener: &str, more: &str, services: &[(&str, SocketAddr)]) -> Plane {
    let mut text = format!(
        "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    protocol: tcp\n    routes: {routes}\n{listener}services:\n"
    );
    for (name, address) in services {
        text +=
            &format!("  {name}:\n    protocol: tcp\n{more}    pools: [{{name: main, endpoints: [\"{address}\"]}}]\n");
    }
    Plane::start(&text)
}

fn client_config(roots: RootCertStore, alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// What a real client would say first.
fn hello(name: &str, alpn: &[&str]) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(client_config(RootCertStore::empty(), alpn), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a hello");
    bytes
}

/// The same in records of at most so many bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&hello[..3], &(part.len() as u16).to_be_bytes(), part].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

async fn reaches(plane: &Plane, bytes: &[u8], endpoint: &Endpoint, name: &str) {
    let mut client = Client::connect(plane.address("web")).await;
    let before = endpoint.got.lock().unwrap().len();
    client.send(bytes).await;
    let mut said = vec![0; name.len()];
    within(client.stream.read_exact(&mut said)).await.expect("an endpoint");
    assert_eq!(String::from_utf8_lossy(&said), name);
    until("the endpoint has all of it", || endpoint.got.lock().unwrap().len() >= before + bytes.len()).await;
    assert!(endpoint.got.lock().unwrap()[before..] == *bytes, "the hello came as it was sent");
}

fn turned(plane: &Plane, why: ConnRejection) -> u64 {
    plane.published.load().listener("web").expect("the listener").stats.rejected_conns()[why as usize]
}

async fn is_turned_away(plane: &Plane, bytes: &[u8], why: ConnRejection) {
    let before = turned(plane, why);
    let mut client = Client::connect(plane.address("web")).await;
    client.send(bytes).await;
    assert_eq!(client.rest().await.0, b"");
    until("it was counted", || turned(plane, why) == before + 1).await;
}

const ROUTES: &str = "[{match: {sni: mail.example.com, alpn: [imap, h2]}, service: one}, \
                      {match: {sni: \"*.example.com\"}, service: two}]";

#[tokio::test]
async fn a_connection_goes_by_the_name_and_the_protocols_that_it_asks_for() {
    let (one, two) = (endpoint("one").await, endpoint("two").await);
    let plane = plane(ROUTES, "", "", &[("one", one.address), ("two", two.address)]);
    reaches(&plane, &hello("mail.example.com", &["http/1.1", "imap"]), &one, "one").await;
    reaches(&plane, &hello("MAIL.example.COM", &["h2"]), &one, "one").await;
    reaches(&plane, &hello("mail.example.com", &["http/1.1"]), &two, "two").await;
    reaches(&plane, &hello("a.b.example.com", &[]), &two, "two").await;
    for (name, alpn) in [("example.com", "imap"), ("example.org", "imap"), ("127.0.0.1", "imap")] {
        is_turned_away(&plane, &hello(name, &[alpn]), ConnRejection::NoRoute).await;
    }
    is_turned_away(&plane, b"GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\n", ConnRejection::NotTls).await;
}

#[tokio::test]
async fn a_hello_in_many_records_and_segments_arrives_as_it_was_sent() {
    let (one, two) = (endpoint("one").await, endpoint("two").await);
    let plane = plane(ROUTES, "", "", &[("one", one.address), ("two", two.address)]);
    let hello = hello("mail.example.com", &["imap"]);
    for size in [1, 7, 100] {
        let mut bytes = in_records(&hello, size);
        // What a client sends behind its hello without waiting (early data) belongs to the endpoint too.
        bytes.extend(b"behind it");
        reaches(&plane, &bytes, &one, "one").await;
    }
    let mut client = Client::connect(plane.address("web")).await;
    for byte in in_records(&hello, 50) {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    let mut said = [0; 3];
    within(client.stream.read_exact(&mut said)).await.expect("an endpoint");
    assert_eq!(&said, b"one");
}

#[tokio::test]
async fn a_route_that_asks_for_nothing_takes_the_rest_tls_or_not() {
    let (one, two) = (endpoint("one").await, endpoint("two").await);
    let routes = "[{match: {sni: mail.example.com}, service: one}, two]";
    let plane = plane(routes, "", "", &[("one", one.address), ("two", two.address)]);
    reaches(&plane, &hello("mail.example.com", &[]), &one, "one").await;
    reaches(&plane, &hello("example.org", &[]), &two, "two").await;
    reaches(&plane, b"SSH-2.0-client\r\n", &two, "two").await;
    // But what begins like TLS and is not is nobody's.
    let mut broken = hello("example.org", &[]);
    broken[9] = 0xff;
    broken[43] = 0xff;
    is_turned_away(&plane, &broken, ConnRejection::MalformedHello).await;
    let mut long = hello("example.org", &[]);
    long[6] = 1;
    is_turned_away(&plane, &long, ConnRejection::MalformedHello).await;
}

#[tokio::test]
async fn a_first_route_that_asks_for_nothing_waits_for_nothing() {
    let one = endpoint("one").await;
    let plane = plane("[one]", "    timeouts: {handshake: 100ms}\n", "", &[("one", one.address)]);
    let mut silent = Client::connect(plane.address("web")).await;
    let mut said = [0; 3];
    within(silent.stream.read_exact(&mut said)).await.expect("the endpoint speaks first");
    assert_eq!(&said, b"one");
}

#[tokio::test]
async fn a_hello_that_does_not_come_in_time_ends_the_connection_however_busy_it_looks() {
    let one = endpoint("one").await;
    let routes = "[{match: {sni: mail.example.com}, service: one}, one]";
    let plane = plane(routes, "    timeouts: {handshake: 200ms}\n", "", &[("one", one.address)]);
    is_turned_away(&plane, b"", ConnRejection::Timeout).await;
    let mut slow = Client::connect(plane.address("web")).await;
    within(async {
        for byte in in_records(&hello("mail.example.com", &[]), 1) {
            if slow.stream.write_all(&[byte]).await.is_err() || turned(&plane, ConnRejection::Timeout) == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    until("the slow one was turned away too", || turned(&plane, ConnRejection::Timeout) == 2).await;
    let mut leaves = Client::connect(plane.address("web")).await;
    leaves.send(&hello("mail.example.com", &[])[..50]).await;
    leaves.stream.shutdown().await.expect("alive");
    leaves.rest().await;
    until("it was counted", || turned(&plane, ConnRejection::Closed) == 1).await;
    assert!(one.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_endpoint_is_told_of_the_client_before_the_hello() {
    let one = endpoint("one").await;
    let listener = "    proxy_protocol: {required: true, trusted: [127.0.0.1]}\n";
    let more = "    upstream: {proxy_protocol: v1}\n";
    let plane = plane("[{match: {sni: mail.example.com}, service: one}]", listener, more, &[("one", one.address)]);
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
    let bytes = [header.as_bytes(), &hello("mail.example.com", &[])].concat();
    reaches(&plane, &bytes, &one, "one").await;
}

#[tokio::test]
async fn a_real_handshake_passes_through() {
    let made = rcgen::generate_simple_self_signed(vec!["mail.example.com".into()]).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.expect("a handshake");
        let mut question = [0; 4];
        stream.read_exact(&mut question).await.expect("a question");
        stream.write_all(b"pong").await.expect("alive");
        stream.shutdown().await.expect("alive");
    });
    let plane = plane("[{match: {sni: mail.example.com}, service: one}]", "", "", &[("one", address)]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let stream = tokio::net::TcpStream::connect(plane.address("web")).await.expect("accepted");
    let name = ServerName::try_from("mail.example.com").expect("a name");
    let connecting = TlsConnector::from(client_config(roots, &[])).connect(name, stream);
    let mut client = within(connecting).await.expect("the endpoint's certificate");
    client.write_all(b"ping").await.expect("alive");
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.expect("an end in order");
    assert_eq!(answer, b"pong");
}
