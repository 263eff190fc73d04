//! Checks that belong to no one protocol, at servers that misbehave.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use standfast::decision::{CheckAnswerClass, Operational};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::databases::{answers, is_healthy, plane, until};
use crate::support::Pki;
use crate::support::pki::server;

/// A server that does this with each connection.
async fn serving<F>(attend: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attend(stream));
        }
    });
    address
}

/// One that reads what is asked, and then answers this.
async fn answering(asked: &'static [u8], answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = Arc::new(answer.into());
    serving(move |mut stream| {
        let answer = answer.clone();
        async move {
            let mut request = vec![0; asked.len()];
            stream.read_exact(&mut request).await?;
            if request == asked {
                stream.write_all(&answer).await?;
            }
            // Until the client has had enough.
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
    })
    .await
}

/// The verdict of this check about a server at this address.
async fn failing(check: &str, address: SocketAddr, class: CheckAnswerClass, words: &str) {
    let plane = plane(check, &[address.port()]);
    until(&plane, address.port(), words, |found| answers(found, class, words)).await;
}

async fn healthy(check: &str, address: SocketAddr) {
    let plane = plane(check, &[address.port()]);
    until(&plane, address.port(), check, is_healthy).await;
}

#[tokio::test]
async fn a_tcp_check_sends_and_finds_what_it_expects() {
    let ping = r#"tcp: {send: "PING\r\n", expect: "+PONG"}"#;
    healthy(ping, answering(b"PING\r\n", "+PONG\r\n").await).await;
    healthy(r#"tcp: {send: "hex: 01 ff", expect: "hex: 00fe"}"#, answering(&[1, 255], [7, 0, 254]).await).await;
    healthy("tcp: {expect: SSH-}", answering(b"", "SSH-2.0-x\r\n").await).await;
    let missing = "the first 5 bytes of the answer do not contain \"+PONG\"";
    failing(ping, answering(b"PING\r\n", "-ERR\n").await, CheckAnswerClass::Failing, "").await;
    let closes = serving(|mut stream| async move {
        stream.read_exact(&mut [0; 6]).await?;
        stream.write_all(b"-ERR\n").await?;
        stream.shutdown().await
    });
    failing(ping, closes.await, CheckAnswerClass::Failing, missing).await;
}

#[tokio::test]
async fn a_tcp_check_sends_and_expects_over_tls() {
    let pki = Pki::new();
    let acceptor = TlsAcceptor::from(server(&pki.issue("server", &["127.0.0.1"]), &[]));
    let address = serving(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            let mut request = [0; 6];
            stream.read_exact(&mut request).await?;
            stream.write_all(if &request == b"PING\r\n" { b"+PONG" } else { b"-ERR." }).await?;
            stream.flush().await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
    })
    .await;
    let check = format!(r#"tcp: {{send: "PING\r\n", expect: "+PONG", tls: {{ca: {}}}}}"#, pki.ca().display());
    healthy(&check, address).await;
}

#[tokio::test]
async fn hostile_answers_to_a_tcp_check_are_bounded() {
    let check = r#"tcp: {send: "x", expect: "needle"}"#;
    let endless = serving(|mut stream| async move {
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    });
    failing(check, endless.await, CheckAnswerClass::Failing, "the first 65536 bytes").await;
    let slow = serving(|mut stream| async move {
        loop {
            stream.write_all(b"n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let plane = plane(&format!("{check}, jitter: 0%"), &[slow.port()]);
    let found = until(&plane, slow.port(), "a verdict", |found| found.state.check.is_some()).await;
    assert!(answers(&found, CheckAnswerClass::Failing, "no verdict within 5s"), "{:?}", found.state.check);
    assert_eq!(found.state.standing.operational, Operational::Unhealthy);
    let hangs_up = serving(|stream| async move { socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)) });
    failing(check, hangs_up.await, CheckAnswerClass::Failing, "").await;
}
