//! TCP sessions that are held while nothing serves, on real sockets: which of them wait, are released, are refused, or leave.
//! The endpoints keep the first bytes of each connection in the order in which connections came.

mod line;
mod refused;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use standfast::decision::{Admission, Serving};
use standfast::routing::Rejection;
use standfast::sys::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::plane::yaml;
use crate::support::{Client, Plane, until, within};

/// An endpoint that answers what it is sent with the same.
struct Echo {
    address: SocketAddr,
    /// The first bytes of each connection, in the order of the connections.
    first: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Echo {
    async fn start() -> Echo {
        Echo::on(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    fn on(listener: TcpListener) -> Echo {
        let address = listener.local_addr().expect("bound");
        let first = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&first);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let place = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let mut bytes = [0; 1024];
                    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                        all.lock().unwrap()[place].extend_from_slice(&bytes[..count]);
                        if stream.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Echo { address, first }
    }

    fn first(&self) -> Vec<String> {
        let first = self.first.lock().unwrap();
        first.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// A plane of a tcp service of which nothing serves.
fn down(endpoints: &[SocketAddr], more: &str, workers: usize) -> Plane {
    let mut plane = Plane::start_with(&yaml("tcp", &[endpoints], "", more), workers);
    close(&mut plane);
    plane
}

fn close(plane: &mut Plane) {
    plane.publish(|table| {
        table.services[0].serving = Serving::Down;
        let pool = &mut table.services[0].pools[0];
        pool.available = false;
        pool.endpoints.iter_mut().for_each(|row| row.admission = Admission::Closed);
    });
}

/// The pool can be used again.
fn open(plane: &mut Plane) {
    plane.publish(|table| {
        table.services[0].serving = Serving::Active(0);
        let pool = &mut table.services[0].pools[0];
        pool.available = true;
        pool.endpoints.iter_mut().for_each(|row| row.admission = Admission::Open);
    });
}

fn pending(plane: &Plane) -> usize {
    plane.stats("web").limits.pending()
}

fn rejected(plane: &Plane, reason: Rejection) -> u64 {
    plane.stats("web").rejected()[reason as usize]
}

/// So many clients, one after the other, of which each has said its number and waits.
async fn waiting(plane: &Plane, count: usize) -> Vec<Client> {
    let before = pending(plane);
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(format!("<{number}>")).await;
        clients.push(client);
        until("the client waits", || pending(plane) == before + number + 1).await;
    }
    clients
}

async fn is_served(client: &mut Client, number: usize) {
    let said = format!("<{number}>");
    let mut answer = vec![0; said.len()];
    within(client.stream.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(answer, said.as_bytes());
}

#[tokio::test]
async fn a_client_waits_while_nothing_serves_and_nothing_of_it_is_lost() {
    let echo = Echo::start().await;
    // Longer than a session looks for an endpoint that is not held.
    let more = "    hold_requests: 8s\n    timeouts: {connect: 100ms}\n";
    let mut plane = down(&[echo.address], more, 1);
    let mut clients = waiting(&plane, 3).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(pending(&plane), 3);
    assert_eq!(plane.stats("web").limits.in_use(), 0, "what is held takes no permit from others");
    open(&mut plane);
    for (number, client) in clients.iter_mut().enumerate() {
        is_served(client, number).await;
    }
    assert_eq!((pending(&plane), plane.stats("web").limits.in_use()), (0, 3));
}

#[tokio::test]
async fn a_client_that_was_refused_everywhere_is_held_and_asks_again_without_news() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let plane = Plane::start(&yaml("tcp", &[&[address]], "", "    hold_requests: 9s\n"));
    let mut clients = waiting(&plane, 1).await;
    let _echo = Echo::on(TcpListener::bind(address).await.expect("the same port"));
    is_served(&mut clients[0], 0).await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_leaves_and_is_never_dialled() {
    let echo = Echo::start().await;
    let mut plane = down(&[echo.address], "    hold_requests: 9s\n", 1);
    let mut clients = waiting(&plane, 4).await;
    clients[1].stream.shutdown().await.expect("alive");
    until("the one behind unread bytes has left", || pending(&plane) == 3).await;
    let quiet = TcpStream::connect(plane.address("web")).await.expect("accepted");
    until("the quiet one waits", || pending(&plane) == 4).await;
    drop(quiet);
    until("the quiet one has left", || pending(&plane) == 3).await;
    clients.remove(2);
    until("the one that is gone has left", || pending(&plane) == 2).await;
    open(&mut plane);
    is_served(&mut clients[0], 0).await;
    is_served(&mut clients[2], 3).await;
    assert_eq!(echo.first(), ["<0>", "<3>"]);
}

#[tokio::test]
async fn a_half_close_that_comes_with_an_endpoint_is_passed_on() {
    let echo = Echo::start().await;
    let plane = Plane::start(&yaml("tcp", &[&[echo.address]], "", "    hold_requests: 9s\n"));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("<0>").await;
    client.stream.shutdown().await.expect("alive");
    assert_eq!(client.rest().await.0, b"<0>");
}

#[tokio::test]
async fn beyond_max_pending_a_client_is_refused_at_once() {
    let echo = Echo::start().await;
    let mut plane = down(&[echo.address], "    hold_requests: 9s\n    limits: {max_pending: 2}\n", 1);
    let mut clients = waiting(&plane, 2).await;
    // (The reset may come before the connect is known to have come through.)
    let refused = match TcpStream::connect(plane.address("web")).await {
        Ok(stream) => Client::over(stream).rest().await,
        Err(error) => (Vec::new(), Some(error.kind())),
    };
    assert_eq!(refused, (Vec::new(), Some(std::io::ErrorKind::ConnectionReset)));
    until("it is counted", || rejected(&plane, Rejection::QueueFull) == 1).await;
    open(&mut plane);
    is_served(&mut clients[0], 0).await;
    is_served(&mut clients[1], 1).await;
}

#[tokio::test]
async fn a_hold_ends_and_the_client_is_reset() {
    let echo = Echo::start().await;
    let plane = down(&[echo.address], "    hold_requests: 300ms\n", 1);
    let began = clock::now();
    let mut clients = waiting(&plane, 1).await;
    assert_eq!(clients[0].rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    assert!(clock::now().since(began) >= Duration::from_millis(290), "{:?}", clock::now().since(began));
    assert_eq!((pending(&plane), rejected(&plane, Rejection::Down)), (0, 1));
    assert!(echo.first().is_empty());
}

#[tokio::test]
async fn what_waits_is_kept_over_a_reload() {
    let echo = Echo::start().await;
    let more = "    hold_requests: 9s\n";
    let mut plane = down(&[echo.address], more, 2);
    let mut clients = waiting(&plane, 3).await;
    let next = format!("{more}    balance: random\n    limits: {{release: 1, max_pending: 1}}\n");
    let changed = crate::support::plane::parsed(&yaml("tcp", &[&[echo.address]], "", &next));
    plane.reload_kept(changed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(pending(&plane), 3, "a smaller limit refuses none of those that wait");
    open(&mut plane);
    for (number, client) in clients.iter_mut().enumerate() {
        is_served(client, number).await;
    }
    assert_eq!(echo.first().len(), 3);
}
