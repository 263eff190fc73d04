//! What clients are told when no endpoint is there for them.

use super::*;

const POSTGRES: &str = "    health_check: {postgres: {user: standfast}}\n";
const REDIS: &str = "    health_check: {redis: {}}\n";
const SSL_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
const GSSENC_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x30";
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

fn startup() -> Vec<u8> {
    let fields = b"user\0app\0database\0orders\0\0";
    let length = (8 + fields.len()) as u32;
    [&length.to_be_bytes(), &b"\x00\x03\x00\x00"[..], fields].concat()
}

fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0");
    [b"E", &(fields.len() as u32 + 4).to_be_bytes()[..], fields.as_bytes()].concat()
}

fn no_primary() -> Vec<u8> {
    fatal("57P03", "no primary is available at the moment")
}

/// A service of this check, of which nothing serves.
async fn without_server(check: &str, more: &str) -> Plane {
    let echo = Echo::start().await;
    down(&[echo.address], &format!("{check}{more}"), 1)
}

#[tokio::test]
async fn a_postgres_client_gets_an_error_and_an_orderly_end() {
    let plane = without_server(POSTGRES, "    hold_requests: 100ms\n").await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(startup()).await;
    assert_eq!(client.rest().await, (no_primary(), None));
    assert_eq!(rejected(&plane, Rejection::Down), 1);
}

#[tokio::test]
async fn a_postgres_client_that_asks_for_encryption_first_gets_the_error_in_the_clear() {
    let plane = without_server(POSTGRES, "").await;
    let mut client = Client::connect(plane.address("web")).await;
    for request in [GSSENC_REQUEST, SSL_REQUEST] {
        client.send(request).await;
        let mut answer = [0; 1];
        within(client.stream.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(&answer, b"N");
    }
    let startup = startup();
    client.send(&startup[..5]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send(&startup[5..]).await;
    assert_eq!(client.rest().await, (no_primary(), None));
}

#[tokio::test]
async fn a_redis_client_gets_an_error_and_an_orderly_end() {
    let plane = without_server(REDIS, "    hold_requests: 100ms\n").await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(PING).await;
    assert_eq!(client.rest().await, (b"-MASTERDOWN No master is available at the moment\r\n".to_vec(), None));
}

#[tokio::test]
async fn beyond_max_pending_a_client_is_told_so() {
    let limits = "    hold_requests: 9s\n    limits: {max_pending: 0}\n";
    let plane = without_server(POSTGRES, limits).await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(startup()).await;
    let error = fatal("53300", "too many connections are open or waiting at the moment");
    assert_eq!(client.rest().await, (error, None));
    assert_eq!(rejected(&plane, Rejection::QueueFull), 1);
    let plane = without_server(REDIS, limits).await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(PING).await;
    assert_eq!(client.rest().await, (b"-ERR max number of clients reached\r\n".to_vec(), None));
}

#[tokio::test]
async fn what_is_not_of_the_protocol_is_reset() {
    let thrice = [SSL_REQUEST; 3].concat();
    let endless = [&b"\x00\x00\x20\x01\x00\x03\x00\x00"[..], &[b'x'; 9000]].concat();
    for (check, bytes) in [
        (POSTGRES, &b"\x16\x03\x01\x00\x05hello"[..]),
        (POSTGRES, b"GET / HTTP/1.1\r\n\r\n"),
        (POSTGRES, &thrice),
        (POSTGRES, &endless),
        (REDIS, b"\x16\x03\x01\x00\x05hello"),
    ] {
        let plane = without_server(check, "").await;
        let mut client = Client::connect(plane.address("web")).await;
        client.send(bytes).await;
        let (answer, error) = client.rest().await;
        assert!(answer.iter().all(|byte| *byte == b'N'), "{bytes:?}: {answer:?}");
        assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_silent_client_is_reset_after_a_second() {
    for check in [POSTGRES, REDIS] {
        let plane = without_server(check, "").await;
        let began = clock::now();
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(client.rest().await, (Vec::new(), Some(std::io::ErrorKind::ConnectionReset)));
        assert!(clock::now().since(began) >= Duration::from_millis(900), "{:?}", clock::now().since(began));
    }
}

#[tokio::test]
async fn refusals_reset_says_nothing() {
    let plane = without_server(POSTGRES, "    refusals: reset\n").await;
    let mut client = Client::connect(plane.address("web")).await;
    let (answer, error) = client.rest().await;
    assert_eq!((answer.as_slice(), error), (&b""[..], Some(std::io::ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn what_a_refused_client_is_sent_is_counted() {
    let plane = without_server(POSTGRES, "").await;
    let mut client = Client::connect(plane.address("web")).await;
    client.send(startup()).await;
    let answer = client.rest().await.0;
    let table = plane.published.load();
    let listener = &table.listener("web").expect("the listener").stats;
    until("it is counted", || listener.bytes_out.total() == answer.len() as u64).await;
}
