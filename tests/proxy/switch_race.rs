//! The whole proxy on real sockets while its active pool is switched hundreds of times: control plane, data plane, HTTP and
//! TCP. After a switch was acknowledged by all workers, no upstream of the pool that was left sees the first byte of a
//! new try, its connections are closed, and no request fails.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use standfast::access::{Grant, authorise};
use standfast::config;
use standfast::control::{self, ControlHandle, ControlSetup};
use standfast::decision::{Act, ActCommand, ActId, Actor};
use standfast::proxy::{self, ProxySetup};
use standfast::telemetry::access::AccessLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, get, post, until, within};

const SWITCHES: usize = 300;
const WORKERS: usize = 2;
const HTTP_CLIENTS: usize = 6;
const TCP_CLIENTS: usize = 4;

/// What an upstream speaks.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http,
    Tcp,
}

/// An upstream on a thread of its own, which reads everything there is in every turn.
struct Pool {
    address: SocketAddr,
    orders: mpsc::Sender<(Order, mpsc::Sender<Seen>)>,
}

/// What a test may ask an upstream.
#[derive(Clone, Copy)]
enum Order {
    /// Read all that was sent until now; from here on nothing new may come.
    Left,
    /// New tries are welcome again.
    Back,
    /// Nothing, only say what was seen.
    Report,
}

/// What an upstream has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    tries: usize,
    /// First bytes of tries after it was left.
    late: usize,
    open: usize,
}

impl Pool {
    fn start(speaks: Speaks) -> Pool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (orders, inbox) = mpsc::channel();
        std::thread::spawn(move || serve(speaks, &listener, &inbox));
        Pool { address, orders }
    }

    /// Asks, and waits for the answer.
    fn ask(&self, order: Order) -> Seen {
        let (reply, answer) = mpsc::channel();
        self.orders.send((order, reply)).unwrap();
        answer.recv_timeout(crate::support::client::PATIENCE).unwrap()
    }
}

/// One connection and what of its request was not complete yet.
struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

fn serve(speaks: Speaks, listener: &TcpListener, inbox: &mpsc::Receiver<(Order, mpsc::Sender<Seen>)>) {
    let (mut connections, mut next) = (HashMap::<u64, Connection>::new(), 0);
    let mut seen = Seen { tries: 0, late: 0, open: 0 };
    let mut left = false;
    loop {
        let busy = turn(speaks, listener, &mut connections, &mut next, left, &mut seen);
        seen.open = connections.len();
        match inbox.try_recv() {
            Ok((order, reply)) => {
                if let Order::Left = order {
                    // What the kernel still carries from one socket to the other arrives while we look.
                    for _ in 0..3 {
                        turn(speaks, listener, &mut connections, &mut next, false, &mut seen);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                match order {
                    Order::Left => left = true,
                    Order::Back => left = false,
                    Order::Report => {}
                }
                let _ = reply.send(seen);
            }
            Err(mpsc::TryRecvError::Disconnected) => return,
            Err(mpsc::TryRecvError::Empty) if busy => {}
            Err(mpsc::TryRecvError::Empty) => std::thread::sleep(Duration::from_micros(300)),
        }
    }
}

/// Accepts and reads all there is, and answers what is complete.
fn turn(
    speaks: Speaks,
    listener: &TcpListener,
    connections: &mut HashMap<u64, Connection>,
    next: &mut u64,
    left: bool,
    seen: &mut Seen,
) -> bool {
    let mut busy = false;
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        connections.insert(*next, Connection { stream, input: Vec::new() });
        *next += 1;
        busy = true;
    }
    connections.retain(|_, connection| {
        let mut bytes = [0; 4096];
        loop {
            match connection.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    busy = true;
                    if connection.input.is_empty() {
                        seen.tries += 1;
                        seen.late += usize::from(left);
                    }
                    connection.input.extend_from_slice(&bytes[..count]);
                    answer(speaks, connection);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    });
    busy
}

fn answer(speaks: Speaks, connection: &mut Connection) {
    if speaks == Speaks::Tcp {
        // The first bytes of a session stay in the input: whatever follows is no new try.
        let _ = connection.stream.write_all(b"x");
        return;
    }
    let text = String::from_utf8_lossy(&connection.input).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
    let length = crate::support::upstream::header(head, "content-length").map_or(0, |length| length.parse().unwrap());
    if body.len() >= length {
        connection.input.clear();
        let _ = connection.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

/// How many requests and sessions went well so far, and whether it is time to stop.
#[derive(Default)]
struct Load {
    requests: Cell<usize>,
    sessions: Cell<usize>,
    stop: Cell<bool>,
}

async fn http_client(address: SocketAddr, number: usize, load: Rc<Load>) {
    let mut client = Client::connect(address).await;
    for turn in 0.. {
        if load.stop.get() {
            return;
        }
        let id = format!("{number}-{turn}");
        let request = if turn % 3 == 0 { post("/", &id, "body") } else { get("/", &id) };
        let answer = client.ask(request).await;
        assert_eq!((answer.status(), answer.text()), (200, "ok"), "{}", answer.head);
        load.requests.set(load.requests.get() + 1);
        if turn % 16 == 15 {
            client = Client::connect(address).await;
        }
    }
}

/// Sessions in a tight loop; a switch may cut each of them at any time.
async fn tcp_client(address: SocketAddr, load: Rc<Load>) {
    while !load.stop.get() {
        let session = async {
            let mut stream = tokio::net::TcpStream::connect(address).await?;
            for _ in 0..8 {
                stream.write_all(b"x").await?;
                stream.read_exact(&mut [0]).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        if within(session).await.is_ok() {
            load.sessions.set(load.sessions.get() + 1);
        }
    }
}

fn yaml(http: &[Pool], tcp: &[Pool]) -> String {
    let pools = |pools: &[Pool]| {
        let one =
            |(name, pool): (&str, &Pool)| format!("      - {{name: {name}, endpoints: [\"{}\"]}}\n", pool.address);
        ["a", "b"].into_iter().zip(pools).map(one).collect::<String>()
    };
    format!(
        "listeners:\n  - {{name: web, bind: 127.0.0.1:0, protocol: http, routes: [{{service: web}}]}}\n  \
         - {{name: db, bind: 127.0.0.1:0, protocol: tcp, service: db}}\n\
         services:\n  web:\n    failover: {{failback: manual}}\n    pools:\n{}  \
         db:\n    protocol: tcp\n    failover: {{failback: manual, sessions: close}}\n    pools:\n{}",
        pools(http),
        pools(tcp)
    )
}

/// Orders both services to this pool and waits until all workers have taken that up.
async fn switch(control: &ControlHandle, pool: &str) {
    for service in ["web", "db"] {
        let command = ActCommand::Switchover { service: service.into(), pool: pool.into() };
        let act = Act::new(ActId(fastrand::u128(..)), Actor::local("test"), command);
        control.act(authorise(&[Grant::admin()], act).unwrap(), None).await.unwrap();
    }
    let published = control.published();
    let epoch = published.epoch();
    while !published.all_acknowledged(epoch) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_new_try_reaches_a_pool_that_was_left() {
    let (http, tcp) = ([(); 2].map(|()| Pool::start(Speaks::Http)), [(); 2].map(|()| Pool::start(Speaks::Tcp)));
    let loaded = config::parse(&yaml(&http, &tcp), Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    let setup = ControlSetup { config: loaded.config, path: None, workers: WORKERS };
    let control = control::start(setup).unwrap();
    let access_log = AccessLog::start(None).unwrap();
    let proxy = proxy::start(ProxySetup { published: control.published().clone(), access_log }).unwrap();
    until("the control plane is ready", || control.ready()).await;
    let address = |name| control.published().load().listener(name).unwrap().sockets.bound()[0].local;
    let (load, local) = (Rc::new(Load::default()), tokio::task::LocalSet::new());
    let race = async {
        let http_clients = (0..HTTP_CLIENTS)
            .map(|number| tokio::task::spawn_local(http_client(address("web"), number, Rc::clone(&load))));
        let clients: Vec<_> = http_clients
            .chain((0..TCP_CLIENTS).map(|_| tokio::task::spawn_local(tcp_client(address("db"), Rc::clone(&load)))))
            .collect();
        for turn in 0..SWITCHES {
            let (from, to) = (turn % 2, 1 - turn % 2);
            let _ = [&http[to], &tcp[to]].map(|pool| pool.ask(Order::Back));
            let (requests, sessions) = (load.requests.get(), load.sessions.get());
            switch(&control, ["a", "b"][to]).await;
            let _ = [&http[from], &tcp[from]].map(|pool| pool.ask(Order::Left));
            until("work goes on", || load.requests.get() > requests + 4 && load.sessions.get() > sessions).await;
            for (speaks, pool) in [("HTTP", &http[from]), ("TCP", &tcp[from])] {
                let what =
                    format!("the {speaks} pool has no connection after switch {turn}: {:?}", pool.ask(Order::Report));
                until(&what, || pool.ask(Order::Report).open == 0).await;
                assert_eq!(pool.ask(Order::Report).late, 0, "a new try after switch {turn}");
            }
        }
        load.stop.set(true);
        for client in clients {
            within(client).await.unwrap();
        }
    };
    local.run_until(race).await;
    for pool in http.iter().chain(&tcp) {
        let seen = pool.ask(Order::Report);
        assert!(seen.late == 0 && seen.tries > SWITCHES, "{seen:?}");
    }
    tokio::task::spawn_blocking(move || proxy.drain(Duration::ZERO)).await.unwrap();
    control.stop().await;
}
