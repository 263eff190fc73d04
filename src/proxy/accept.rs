//! Accept loops: one for each worker and bind address. A permit first, then accept, then spawn: nothing slow in between, and
//! nothing but the table ends the loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::server::ConnectionServer;
use super::{handshake, http, tcp};
use crate::config::Name;
use crate::net::listen::{canonical, stop_listening};
use crate::routing::{BoundSocket, ListenerPermit, ListenerTarget, ListenerView, RoutingTable};
use crate::sys::clock;
use crate::sys::tcp::is_ready;

/// How long a loop waits after it could not accept: descriptors are short, for us or for the whole machine.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a loop tries again for a permit, under its listener's limit and in the descriptor budget. Until then connections
/// wait in the kernel.
const FULL: Duration = Duration::from_millis(5);

/// The loops of one worker.
#[derive(Default)]
pub struct AcceptLoops {
    loops: RefCell<Vec<AcceptLoop>>,
    /// The first error since it was last taken.
    failure: RefCell<Option<io::Error>>,
    /// A socket has no loop.
    incomplete: Cell<bool>,
}

struct AcceptLoop {
    bound: Arc<BoundSocket>,
    /// A reload may give the address to another listener.
    listener: Rc<RefCell<Name>>,
    stop: Rc<Notify>,
}

impl AcceptLoops {
    /// Starts loops for sockets that are new in this table, and stops those whose sockets are gone. True: some were. A loop that
    /// cannot be started leaves this [incomplete](AcceptLoops::is_incomplete), and is started by the next call.
    pub fn follow(&self, server: &Rc<ConnectionServer>, table: &RoutingTable) -> bool {
        let wanted: Vec<_> = table
            .listeners
            .iter()
            .flat_map(|listener| listener.sockets.bound().iter().map(|bound| (bound, &listener.config.name)))
            .collect();
        let mut loops = self.loops.borrow_mut();
        let before = loops.len();
        loops.retain(|running| {
            let stays = wanted.iter().any(|(bound, _)| Arc::ptr_eq(bound, &running.bound));
            if !stays {
                running.stop.notify_one();
            }
            stays
        });
        let stopped = loops.len() < before;
        self.incomplete.set(false);
        for (bound, name) in wanted {
            match loops.iter().find(|running| Arc::ptr_eq(bound, &running.bound)) {
                Some(running) => *running.listener.borrow_mut() = Arc::clone(name),
                None => match start(server, bound, name) {
                    Ok(started) => loops.push(started),
                    Err(error) => {
                        self.incomplete.set(true);
                        self.failure.borrow_mut().get_or_insert(error);
                    }
                },
            }
        }
        stopped
    }

    /// Is a socket not accepted from?
    pub fn is_incomplete(&self) -> bool {
        self.incomplete.get()
    }

    /// The first error of a loop that could not be started since this was last called.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.failure.borrow_mut().take()
    }

    /// Stops all loops: what waits in their accept queues is accepted, then the kernel refuses.
    pub fn stop(&self) {
        self.loops.borrow_mut().drain(..).for_each(|running| running.stop.notify_one());
    }
}

/// A worker's listening socket of one address: it stays open for as long as its loop runs. It is no duplicate, which would take a
/// descriptor.
struct WorkerSocket {
    bound: Arc<BoundSocket>,
    worker: usize,
}

impl WorkerSocket {
    fn socket(&self) -> io::Result<&TcpListener> {
        self.bound.listener(self.worker).ok_or_else(|| io::Error::other("no socket was bound for this worker"))
    }
}

impl AsRawFd for WorkerSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.bound.listener(self.worker).map_or(-1, TcpListener::as_raw_fd)
    }
}

fn start(server: &Rc<ConnectionServer>, bound: &Arc<BoundSocket>, name: &Name) -> io::Result<AcceptLoop> {
    let listening = WorkerSocket { bound: Arc::clone(bound), worker: server.core().id };
    listening.socket()?;
    #[allow(deprecated, reason = "sound for a type that keeps its descriptor open as long as it lives, as std's does")]
    let socket = AsyncFd::new(listening)?;
    let listener = Rc::new(RefCell::new(Arc::clone(name)));
    let stop = Rc::new(Notify::new());
    tokio::task::spawn_local(run(Rc::clone(server), socket, Rc::clone(&listener), Rc::clone(&stop)));
    Ok(AcceptLoop { bound: Arc::clone(bound), listener, stop })
}

async fn run(server: Rc<ConnectionServer>, socket: AsyncFd<WorkerSocket>, name: Rc<RefCell<Name>>, stop: Rc<Notify>) {
    let Ok(listening) = socket.get_ref().socket() else { return };
    loop {
        let mut ready = tokio::select! {
            biased;
            () = stop.notified() => break,
            ready = socket.readable() => match ready {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(listener = &**name.borrow(), %error, "the listening socket failed");
                    return;
                }
            },
        };
        let pause = match accept_all(&server, listening, &name) {
            AcceptedSocket::All => {
                ready.clear_ready();
                continue;
            }
            AcceptedSocket::Some => {
                tokio::task::yield_now().await;
                continue;
            }
            AcceptedSocket::Full => FULL,
            AcceptedSocket::Failed => PAUSE,
        };
        tokio::select! {
            biased;
            () = stop.notified() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    while matches!(accept_all(&server, listening, &name), AcceptedSocket::Some) {}
    if let Err(error) = stop_listening(listening) {
        tracing::debug!(%error, "a listening socket was closed already");
    }
}

enum AcceptedSocket {
    /// No connection waits any more.
    All,
    /// There may be more, but other tasks get a turn.
    Some,
    /// The listener has as many connections as it may, or the descriptor budget is used up.
    Full,
    /// The kernel has no descriptors.
    Failed,
}

/// Connections accepted before other tasks get a turn.
const TURN: usize = 16;

fn accept_all(server: &Rc<ConnectionServer>, socket: &TcpListener, name: &RefCell<Name>) -> AcceptedSocket {
    let core = server.core();
    let table = core.table();
    // Renamed a moment ago: the loop is about to follow, and no connection may be forgotten in the queue.
    let Some(listener) = table.listener(&name.borrow()) else { return AcceptedSocket::Full };
    for _ in 0..TURN {
        let Some(room) = listener.stats.admit(listener.config.limits.max_connections) else {
            return AcceptedSocket::Full;
        };
        let Some(permit) = ClientPermit::take(server) else {
            server.short_of_descriptors(&listener.config.name, is_waiting(socket));
            return AcceptedSocket::Full;
        };
        match accept(socket) {
            Ok((stream, peer)) => {
                listener.stats.accepted.add(core.id, 1);
                spawn(permit, listener, stream, peer, room);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return AcceptedSocket::All,
            Err(error) if concerns_one(&error) => {}
            Err(error) => {
                listener.stats.rejected_accept.add(core.id, 1);
                server.pools.close_idle();
                core.warn_of_accept(&listener.config.name, &error);
                return AcceptedSocket::Failed;
            }
        }
    }
    AcceptedSocket::Some
}

/// A client connection's permit of the descriptor budget.
struct ClientPermit(Rc<ConnectionServer>);

impl ClientPermit {
    fn take(server: &Rc<ConnectionServer>) -> Option<ClientPermit> {
        server.core().descriptors.try_client(clock::now).then(|| ClientPermit(Rc::clone(server)))
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.0.core().descriptors.client_closed();
    }
}

/// Does a connection wait in the accept queue? Asks the kernel.
fn is_waiting(socket: &TcpListener) -> bool {
    is_ready(socket, PollFlags::IN)
}

fn accept(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(canonical);
    // `TCP_NODELAY` is inherited from the listening socket.
    Ok((TcpStream::from_std(stream.into())?, peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))))
}

/// Errors of the one connection that was to be accepted, which is gone already (see `accept(2)`).
fn concerns_one(error: &io::Error) -> bool {
    use Errno as E;
    matches!(
        Errno::from_io_error(error),
        Some(
            E::INTR
                | E::CONNABORTED
                | E::CONNRESET
                | E::PROTO
                | E::NOPROTOOPT
                | E::OPNOTSUPP
                | E::PERM
                | E::NETDOWN
                | E::NETUNREACH
                | E::NONET
                | E::HOSTDOWN
                | E::HOSTUNREACH
                | E::TIMEDOUT
        )
    )
}

fn spawn(
    permit: ClientPermit,
    listener: &Arc<ListenerView>,
    stream: TcpStream,
    peer: SocketAddr,
    room: ListenerPermit,
) {
    let listener = Arc::clone(listener);
    // The runtime catches a panic inside a task: the connection is dropped, all others go on. What only some connections need,
    // or all of them only once, is in boxes of its own: the task of an idle connection is small.
    tokio::task::spawn_local(async move {
        let server = &permit.0;
        if let Some(conn) = Box::pin(handshake::admit(server.core(), &listener, stream, peer)).await {
            match listener.target {
                ListenerTarget::Routes(_) => http::serve_connection(&server.http, listener, conn).await,
                ListenerTarget::Service(_) | ListenerTarget::Sni => {
                    Box::pin(tcp::serve_connection(&server.pools, &listener, conn)).await;
                }
            }
        }
        drop((room, permit));
    });
}
