//! One port: what it listens on, its connections and their bounds.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use super::caller::Caller;
use super::connections::{CONNECTIONS, OpenConnection, OpenConnections, PlaceClass, TrackedStream};
use super::gate::{AdminGate, Peer};
use super::pages;
use super::unix_socket::SocketFile;
use super::users;
use crate::access::Role;
use crate::net::tls::ServerTls;
use crate::routing::Published;

/// To send a request's head, and between two requests; for a TLS handshake too.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Longest life of a connection, so that a slow reader does not keep one of [`CONNECTIONS`].
const LIFE: Duration = Duration::from_secs(60);
/// To finish what was asked when that life (or ours) ends.
const GRACE: Duration = Duration::from_secs(2);
/// How long a connection to the unix socket waits for its user's name.
const NAME: Duration = Duration::from_millis(500);

/// What a port listens on.
#[derive(Debug)]
pub(super) enum AdminListener {
    /// An address.
    Tcp {
        /// The socket.
        listener: tokio::net::TcpListener,
        /// Where the certificates of the admin port are; `None` = in the clear.
        tls: Option<Arc<Published>>,
    },
    /// A socket in the file system.
    Unix {
        /// The socket.
        listener: tokio::net::UnixListener,
        /// It is removed with the listener.
        _file: SocketFile,
        /// Its path, as it is shown.
        path: String,
        /// The role of its users.
        role: Role,
    },
}

/// A connection that was accepted and has shown nothing yet.
#[derive(Debug)]
enum AcceptedStream {
    Plain(TcpStream, IpAddr),
    Tls(TcpStream, IpAddr, Arc<ServerTls>),
    Unix { stream: UnixStream, path: String, role: Role },
}

impl AcceptedStream {
    fn source(&self) -> Option<IpAddr> {
        match self {
            AcceptedStream::Plain(_, source) | AcceptedStream::Tls(_, source, _) => Some(*source),
            AcceptedStream::Unix { .. } => None,
        }
    }
}

/// One port.
#[derive(Debug)]
pub(super) struct AdminPort {
    router: Router,
    /// `None`: whatever it has is for everybody.
    gate: Option<Rc<AdminGate>>,
    open: Rc<OpenConnections>,
    /// The certificates that were seen last.
    certificates: RefCell<Option<Arc<ServerTls>>>,
}

impl AdminPort {
    pub fn new(router: Router, gate: Option<Rc<AdminGate>>) -> AdminPort {
        AdminPort { router, gate, open: Rc::default(), certificates: RefCell::default() }
    }

    /// Accepts until told to stop, then lets its connections finish.
    pub async fn accept(self: Rc<Self>, listener: AdminListener, mut stopped: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                accepted = self.next(&listener) => accepted,
            };
            match accepted {
                Ok(stream) => {
                    if self.open.count() >= CONNECTIONS {
                        self.open.close_one();
                    }
                    let place = Rc::new(self.open.enter(stream.source()));
                    tokio::task::spawn_local(Rc::clone(&self).connection(stream, stopped.clone(), place));
                }
                // Out of descriptors, most likely: one of ours helps, and what others give back.
                Err(error) => {
                    let closed_one = self.open.close_one();
                    tracing::warn!(%error, closed_one, "the admin port cannot accept: trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        // Every connection ends within its grace, so this wait ends too.
        self.open.all_closed().await;
    }

    /// The next connection. Cancel safe.
    async fn next(&self, listener: &AdminListener) -> io::Result<AcceptedStream> {
        match listener {
            AdminListener::Tcp { listener, tls } => {
                let (stream, address) = listener.accept().await?;
                let Some(published) = tls else { return Ok(AcceptedStream::Plain(stream, address.ip())) };
                // A reload that takes `admin.tls` away needs a restart: until then there is TLS.
                let mut certificates = self.certificates.borrow_mut();
                let newest = published.load().materials.admin.clone().or(certificates.take());
                certificates.clone_from(&newest);
                let tls = newest.ok_or_else(|| io::Error::other("the certificates of admin.tls are not loaded"))?;
                Ok(AcceptedStream::Tls(stream, address.ip(), tls))
            }
            AdminListener::Unix { listener, path, role, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok(AcceptedStream::Unix { stream, path: path.clone(), role: *role })
            }
        }
    }

    /// One connection, for [`LIFE`] at most and [`GRACE`] beyond. Dropping it closes it, at any point.
    async fn connection(
        self: Rc<Self>,
        stream: AcceptedStream,
        mut stopped: watch::Receiver<bool>,
        place: Rc<OpenConnection>,
    ) {
        match stream {
            AcceptedStream::Plain(stream, source) => self.serve(stream, Peer::Network(source), stopped, place).await,
            AcceptedStream::Tls(stream, source, tls) => {
                let accepted = tokio::select! {
                    accepted = tls.accept(stream) => accepted,
                    () = place.told_to_close() => return,
                    () = tokio::time::sleep(HEAD) => return,
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                };
                // A handshake that fails is told to the client, as far as TLS provides for it.
                if let Ok(accepted) = accepted {
                    self.serve(accepted.transport, Peer::Network(source), stopped, place).await;
                }
            }
            AcceptedStream::Unix { stream, path, role } => {
                let caller = tokio::select! {
                    caller = local_caller(&stream, role, &path) => caller,
                    () = place.told_to_close() => return,
                };
                match caller {
                    Ok(caller) => self.serve(stream, Peer::Local(caller), stopped, place).await,
                    Err(error) => tracing::warn!(%error, "a connection of unknown user to {path}: closed"),
                }
            }
        }
    }

    /// The requests of a connection.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: Rc<Self>,
        stream: S,
        peer: Peer,
        mut stopped: watch::Receiver<bool>,
        place: Rc<OpenConnection>,
    ) {
        let (port, peer, asking) = (Rc::clone(&self), Rc::new(peer), Rc::clone(&place));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let is_taken = asking.asked(PlaceClass::of(request.method(), request.uri().path()));
            let (port, peer, asking) = (Rc::clone(&port), Rc::clone(&peer), Rc::clone(&asking));
            async move {
                let answer = if is_taken { port.answer(&peer, request).await } else { Ok(pages::busy()) };
                asking.answered();
                answer
            }
        });
        let stream = TrackedStream { stream, connection: Rc::clone(&place) };
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            // A client that misbehaves or goes away is its own problem.
            _ = serving.as_mut() => return,
            () = place.told_to_close() => return,
            () = tokio::time::sleep(LIFE) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            _ = serving => {}
            () = place.told_to_close() => {}
            () = tokio::time::sleep(GRACE) => {}
        }
    }

    /// One request: through the gate, then to its route.
    async fn answer(&self, peer: &Peer, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
        let (mut head, body) = request.into_parts();
        if let Some(gate) = &self.gate
            && let Err(refusal) = gate.admit(peer, &mut head).await
        {
            return Ok(refusal);
        }
        TowerToHyperService::new(self.router.clone()).call(hyper::Request::from_parts(head, body)).await
    }
}

/// The user at the other end of a connection, as the kernel knows it.
async fn local_caller(stream: &UnixStream, role: Role, path: &str) -> io::Result<Caller> {
    let uid = stream.peer_cred()?.uid();
    let named = tokio::task::spawn_blocking(move || users::user_name(uid));
    let user = tokio::select! {
        named = named => named.ok().flatten(),
        () = tokio::time::sleep(NAME) => None,
    };
    let own = rustix::process::geteuid().as_raw();
    Ok(Caller::local(uid, own, user.as_deref(), role, path))
}
