//! Checks that belong to no one protocol, at servers that misbehave.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use standfast::decision::{Administrative, CheckAnswerClass, Operational};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::databases::{answers, is_healthy, until};
use super::support::{Plane, eventually, file};
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

/// A plane with one service whose endpoint is at this port, under this check.
fn plane(check: &str, ports: &[u16]) -> Plane {
    let timeout = if check.contains("timeout:") { "" } else { ", timeout: 5s" };
    let service = format!(
        "  s:\n    protocol: tcp\n    health_check: {{{check}{timeout}, interval: 50ms, fast_interval: 50ms, fall: 2, rise: 1}}\n    \
         pools: [{{name: a, endpoints: [\"127.0.0.1:{}\"]}}]\n",
        ports[0]
    );
    Plane::start(&file(&[("s", service)], ""))
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

// ---- agents -------------------------------------------------------------------------------------------------------

/// An agent that says what it is told to say, and its port.
async fn agent() -> (Arc<Mutex<Vec<u8>>>, u16) {
    let line = Arc::new(Mutex::new(b"up\n".to_vec()));
    let said = line.clone();
    let address = serving(move |mut stream| {
        let line = said.lock().unwrap().clone();
        async move {
            stream.write_all(&line).await?;
            stream.shutdown().await
        }
    });
    (line, address.await.port())
}

fn say(line: &Mutex<Vec<u8>>, text: &str) {
    *line.lock().unwrap() = text.as_bytes().to_vec();
}

#[tokio::test]
async fn an_agent_states_how_its_endpoint_stands() {
    let (line, port) = agent().await;
    let plane = plane(&format!("agent: {{port: {port}}}"), &[7011]);
    until(&plane, 7011, "healthy", is_healthy).await;
    let row = || {
        let table = plane.handle.published().load();
        let endpoint = &table.services[0].pools[0].endpoints[0];
        (endpoint.weight, endpoint.standing.administrative)
    };
    assert_eq!(row(), (100, Administrative::Ready));
    say(&line, "up 75%\n");
    eventually("its share", || async { (row() == (75, Administrative::Ready)).then_some(()) }).await;
    say(&line, "drain\n");
    eventually("nothing new", || async { (row() == (0, Administrative::Drain)).then_some(()) }).await;
    assert!(is_healthy(&plane.endpoint(([127, 0, 0, 1], 7011).into()).await), "a drain is no fault");
    say(&line, "ready maxconn:5\n");
    eventually("all of it", || async { (row() == (100, Administrative::Ready)).then_some(()) }).await;
    say(&line, "banana\n");
    until(&plane, 7011, "unknown", |found| answers(found, CheckAnswerClass::Blind, "banana")).await;
    assert!(is_healthy(&plane.endpoint(([127, 0, 0, 1], 7011).into()).await), "it is the agent that is at fault");
    say(&line, "down # the disk is full\n");
    let found = until(&plane, 7011, "down", |found| !is_healthy(found)).await;
    assert!(answers(&found, CheckAnswerClass::NotServing, "down: the disk is full"), "{:?}", found.state.check);
    say(&line, "up");
    until(&plane, 7011, "a line without an end", is_healthy).await;
}

#[tokio::test]
async fn hostile_agents_are_bounded() {
    let endless = serving(|mut stream| async move {
        loop {
            stream.write_all(&[b'u'; 512]).await?;
        }
    });
    let check = |address: SocketAddr| format!("agent: {{port: {}}}", address.port());
    let (endless, silent) = (endless.await, serving(|mut stream| async move { stream.shutdown().await }).await);
    failing(&check(endless), endless, CheckAnswerClass::Failing, "longer than 1 KiB").await;
    failing(&check(silent), silent, CheckAnswerClass::Failing, "closed without an answer").await;
}

// ---- datagrams ----------------------------------------------------------------------------------------------------

/// A server that answers each datagram like this.
async fn datagrams(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut bytes).await {
            if let Some(answer) = answer(&bytes[..count]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_udp_check_expects_an_answer_or_that_there_is_no_refusal() {
    let echo = || datagrams(|asked| (asked == b"ping").then(|| b"a pong".to_vec()));
    healthy("udp: {send: ping, expect: pong}", echo().await).await;
    healthy("udp: {send: \"hex: 70696e67\"}", echo().await).await;
    failing("udp: {send: ping, expect: gong}", echo().await, CheckAnswerClass::Failing, "do not contain \"gong\"")
        .await;
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    failing("udp: {send: ping}", closed, CheckAnswerClass::Failing, "the port is closed").await;
    failing("udp: {send: ping, expect: off}", closed, CheckAnswerClass::Failing, "the port is closed").await;
    let silent = datagrams(|_| None).await;
    healthy("udp: {send: ping, expect: off}, timeout: 1s", silent).await;
    failing("udp: {send: ping}, timeout: 200ms", silent, CheckAnswerClass::Failing, "no verdict within 200ms").await;
    // Somebody else's datagram is none.
    let other = Arc::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let spoofed = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = spoofed.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 10];
        while let Ok((_, from)) = spoofed.recv_from(&mut bytes).await {
            let _ = other.send_to(b"pong", from);
        }
    });
    let check = "udp: {send: ping, expect: pong}, timeout: 300ms";
    failing(check, address, CheckAnswerClass::Failing, "no verdict within 300ms").await;
}

/// The answer to a question: its number, these flags and counts, its question, and the records.
fn reply(asked: &[u8], flags: [u8; 2], records: &[[u8; 4]]) -> Vec<u8> {
    let question = &asked[12..];
    let mut out = [&asked[..2], &flags, &[0, 1, 0, records.len() as u8, 0, 0, 0, 0], question].concat();
    for address in records {
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend_from_slice(address);
    }
    out
}

#[tokio::test]
async fn a_dns_check_asks_a_question() {
    let good = || datagrams(|asked| Some(reply(asked, [0x81, 0x80], &[[10, 0, 0, 1], [10, 0, 0, 2]])));
    healthy("dns: {name: app.internal}", good().await).await;
    healthy("dns: {name: app.internal, type: a, answer: 10.0.0.2}", good().await).await;
    let none = "none of 2 records is \"10.0.0.3\"";
    let check = "dns: {name: app.internal, answer: 10.0.0.3}";
    failing(check, good().await, CheckAnswerClass::Failing, none).await;
    let fails = || datagrams(|asked| Some(reply(asked, [0x81, 0x82], &[])));
    let told = "answered SERVFAIL, wanted NOERROR";
    failing("dns: {name: app.internal}", fails().await, CheckAnswerClass::Failing, told).await;
    healthy("dns: {name: app.internal, rcode: servfail}", fails().await).await;
    let garbage = datagrams(|asked| Some([&asked[..2], &[0xff; 500]].concat())).await;
    failing("dns: {name: app.internal}", garbage, CheckAnswerClass::Failing, "no message of DNS").await;
    let other =
        datagrams(|asked| Some(reply(&[&[!asked[0], asked[1]], &asked[2..]].concat(), [0x81, 0x80], &[]))).await;
    let check = "dns: {name: app.internal}, timeout: 300ms";
    failing(check, other, CheckAnswerClass::Failing, "no verdict within 300ms").await;
}

#[tokio::test]
async fn a_truncated_answer_of_dns_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let Ok(socket) = UdpSocket::bind(address).await else { return };
    tokio::spawn(async move {
        let mut bytes = vec![0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut bytes).await {
            let _ = socket.send_to(&reply(&bytes[..count], [0x83, 0x80], &[]), from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap_or(0))];
            if stream.read_exact(&mut asked).await.is_ok() {
                let answer = reply(&asked, [0x81, 0x80], &[[10, 0, 0, 1]]);
                let _ = stream.write_u16(answer.len() as u16).await;
                let _ = stream.write_all(&answer).await;
            }
        }
    });
    healthy("dns: {name: app.internal, answer: 10.0.0.1}", address).await;
    healthy("dns: {name: app.internal, answer: 10.0.0.1, tcp: on}", address).await;
    healthy("dns: {name: app.internal}", address).await;
    // A length that is never kept.
    let long = serving(|mut stream| async move {
        stream.write_all(&[0xff, 0xff, 1, 2, 3]).await?;
        stream.shutdown().await
    });
    failing("dns: {name: app.internal, tcp: on}", long.await, CheckAnswerClass::Failing, "").await;
}
