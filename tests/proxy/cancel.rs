//! Requests to cancel of PostgreSQL clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::plane::yaml;
use crate::support::{Plane, until, within};

const STARTUP: &[u8] = b"\0\0\0\x08\0\x03\0\0";
const CANCEL: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07secr";
const POSTGRES: &str = "    balance: round_robin\n    health_check: {postgres: {user: standfast}}\n";

/// A server that answers a startup with a byte, takes requests to cancel, and closes those connections without an answer.
struct Server {
    address: SocketAddr,
    cancelled: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancelled = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&cancelled);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let mut first = [0; 64];
                    let count = stream.read(&mut first).await.unwrap_or(0);
                    if first.get(4..8) == Some(&CANCEL[4..8]) {
                        noted.lock().unwrap().push(first[..count].to_vec());
                    } else if count > 0 && stream.write_all(b"R").await.is_ok() {
                        let _ = stream.read(&mut first).await;
                    }
                });
            }
        });
        Server { address, cancelled }
    }

    fn cancelled(&self) -> Vec<Vec<u8>> {
        self.cancelled.lock().unwrap().clone()
    }
}

async fn session(plane: &Plane) -> TcpStream {
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(STARTUP).await.unwrap();
    let mut answer = [0; 1];
    within(client.read_exact(&mut answer)).await.unwrap();
    client
}

/// Sends this, and reads up to the end of the connection, which is in order.
async fn told(plane: &Plane, request: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(plane.address("web")).await.unwrap();
    client.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_to_cancel_goes_to_every_endpoint_with_sessions_and_no_other() {
    let servers = [Server::start().await, Server::start().await, Server::start().await];
    let addresses = servers.each_ref().map(|server| server.address);
    let mut plane = Plane::start(&yaml("tcp", &[&addresses], "", POSTGRES));
    assert_eq!(told(&plane, CANCEL).await, b"", "none has a session");
    let sessions = [session(&plane).await, session(&plane).await];
    assert_eq!(told(&plane, CANCEL).await, b"");
    let taken = || servers.iter().map(|server| server.cancelled().len()).collect::<Vec<_>>();
    let mut sorted = taken();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 1], "two have a session");
    assert!(servers.iter().flat_map(Server::cancelled).all(|request| request == CANCEL), "as it came");
    let rows = &plane.published.load().services[0].pools[0].endpoints;
    assert!(rows.iter().all(|row| row.stats.totals().failed.iter().all(|failed| *failed == 0)), "no evidence");

    // One that is fenced gets none, though its session has not ended yet.
    let before = taken();
    let fenced = before.iter().position(|count| *count == 1).expect("one with a session");
    plane.publish(|table| table.services[0].pools[0].endpoints[fenced].fenced = true);
    assert_eq!(told(&plane, CANCEL).await, b"");
    let after = taken();
    assert_eq!(after[fenced], 1);
    assert_eq!(after.iter().sum::<usize>(), 3);
    drop(sessions);
}

#[tokio::test]
async fn what_is_cut_short_goes_nowhere_and_what_is_silent_is_connected() {
    let server = Server::start().await;
    let plane = Plane::start(&yaml("tcp", &[&[server.address]], "", POSTGRES));
    let _session = session(&plane).await;
    assert_eq!(told(&plane, &CANCEL[..15]).await, b"");
    assert!(server.cancelled().is_empty());
    let silent = TcpStream::connect(plane.address("web")).await.unwrap();
    let stats = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    until("it is connected without a byte", || stats.in_flight() == 2).await;
    drop(silent);
    // In a service of another protocol these bytes are any bytes.
    let plain = Server::start().await;
    let other = Plane::start(&yaml("tcp", &[&[plain.address]], "", ""));
    assert_eq!(told(&other, CANCEL).await, b"");
    assert_eq!(plain.cancelled(), [CANCEL], "passed through");
}
