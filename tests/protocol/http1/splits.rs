//! Good messages split at every byte, in both directions, arrive the same.

use standfast::wire::h1::AskedMethod;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::raw::{Raw, read_reply};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Plane, Upstream};

const REQUEST: &[u8] =
    b"POST /a?b HTTP/1.1\r\nHost: t\r\nX-Request-Id: 1\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
    5;e=\"f\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
const REPLY: &[u8] =
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;e\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";

/// Writes a message in two pieces, the first of them looked at alone.
async fn write_split(stream: &mut TcpStream, bytes: &[u8], at: usize) {
    stream.set_nodelay(true).unwrap();
    stream.write_all(&bytes[..at]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    stream.write_all(&bytes[at..]).await.unwrap();
}

#[tokio::test]
async fn a_request_split_at_any_byte_arrives_the_same() {
    let upstream = Upstream::start(Behaviour::ok("fine")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut input = Vec::new();
    for at in 1..REQUEST.len() {
        write_split(&mut client, REQUEST, at).await;
        let reply = read_reply(&mut client, AskedMethod::Other, &mut input).await;
        assert_eq!((reply.status, reply.body.as_slice(), reply.whole), (200, &b"fine"[..], true), "split at {at}");
    }
    let heads = upstream.heads();
    assert_eq!(heads.len(), REQUEST.len() - 1);
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:#?}");
    assert!(upstream.bodies().iter().all(|body| body == b"hello0123456789"));
}

#[tokio::test]
async fn a_reply_split_at_any_byte_arrives_the_same() {
    let upstream = Raw::start().await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    let mut input = Vec::new();
    client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut conn = upstream.accept().await;
    conn.head().await;
    conn.send(REPLY).await;
    let whole = read_reply(&mut client, AskedMethod::Other, &mut input).await;
    assert_eq!((whole.status, whole.body.as_slice(), whole.whole), (200, &b"hello0123456789"[..], true));
    for at in 1..REPLY.len() {
        client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
        conn.head().await;
        write_split(&mut conn.stream, REPLY, at).await;
        assert_eq!(read_reply(&mut client, AskedMethod::Other, &mut input).await, whole, "split at {at}");
    }
}
