//! The order and the pace in which held sessions connect.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::support::pki::{Pki, server};

/// An endpoint that takes a connection at once and finishes its handshake when the test says so.
struct SlowToAccept {
    address: SocketAddr,
    /// Connections that wait for their handshake.
    begun: Arc<AtomicUsize>,
    finishes: Arc<Semaphore>,
    _pki: Pki,
}

impl SlowToAccept {
    async fn start() -> SlowToAccept {
        let pki = Pki::new();
        let acceptor = TlsAcceptor::from(server(&pki.issue("db", &["db.test"]), &[]));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (begun, finishes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, finish) = (Arc::clone(&begun), Arc::clone(&finishes));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let (acceptor, count, finish) = (acceptor.clone(), Arc::clone(&count), Arc::clone(&finish));
                tokio::spawn(async move {
                    finish.acquire().await.expect("open").forget();
                    count.fetch_sub(1, SeqCst);
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut bytes = [0; 64];
                    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                        let _ = stream.write_all(&bytes[..count]).await;
                        let _ = stream.flush().await;
                    }
                });
            }
        });
        SlowToAccept { address, begun, finishes, _pki: pki }
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }
}

#[tokio::test]
async fn no_more_than_release_connect_at_once_over_all_workers() {
    let slow = SlowToAccept::start().await;
    let more = "    hold_requests: 20s\n    limits: {release: 3}\n    timeouts: {connect: 9s}\n    \
                upstream: {tls: {insecure_skip_verify: true}}\n";
    let mut plane = down(&[slow.address], more, 2);
    let mut clients = waiting(&plane, 8).await;
    open(&mut plane);
    until("three connect", || slow.begun() == 3).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(slow.begun(), 3, "also where a connect is late");
    // One that was not held waits for none of them.
    let mut other = Client::connect(plane.address("web")).await;
    other.send("<9>").await;
    until("it connects", || slow.begun() == 4).await;
    slow.finishes.add_permits(1);
    until("the next one connects", || pending(&plane) == 7 && slow.begun() == 4).await;
    for _ in 0..9 {
        slow.finishes.add_permits(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(slow.begun() <= 4, "{}", slow.begun());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        is_served(client, number).await;
    }
    is_served(&mut other, 9).await;
    assert_eq!(pending(&plane), 0);
}

#[tokio::test]
async fn the_oldest_connects_first_whichever_worker_it_is_at() {
    let echo = Echo::start().await;
    let mut plane = down(&[echo.address], "    hold_requests: 9s\n    limits: {release: 1}\n", 2);
    let mut clients = waiting(&plane, 12).await;
    clients.remove(4);
    until("one has left", || pending(&plane) == 11).await;
    open(&mut plane);
    let numbers: Vec<_> = (0..12).filter(|number| *number != 4).collect();
    for (number, client) in numbers.iter().zip(&mut clients) {
        is_served(client, *number).await;
    }
    let order: Vec<_> = numbers.iter().map(|number| format!("<{number}>")).collect();
    assert_eq!(echo.first(), order);
}

#[tokio::test]
async fn what_was_held_takes_a_permit_before_it_connects() {
    let echo = Echo::start().await;
    let more = "    hold_requests: 9s\n    limits: {max_connections: 1, queue_timeout: 9s}\n";
    let mut plane = down(&[echo.address], more, 1);
    let mut clients = waiting(&plane, 3).await;
    open(&mut plane);
    for number in 0..3 {
        let mut client = clients.remove(0);
        is_served(&mut client, number).await;
        assert_eq!((echo.first().len(), pending(&plane)), (number + 1, 2 - number));
    }
}
