//! The connector: every connection to an endpoint begins here, for requests, probes and confirming connects alike.
//!
//! From an address to a [`Transport`]: local source address, TCP with `TCP_NODELAY`, PROXY header, keep-alive, TLS. What an
//! error of the kernel means is judged here as well ([`DialErrorKind`]).
//!
//! **Deadlines.** A dial has none of its own, and needs no timer: each caller has one over more than the connect (the sweep of
//! a worker, the timeout of a whole probe, the time for a whole confirmation). It drops the future then, and the outcome is
//! [`ConnectOutcome::Timeout`]. Everything here is cancel safe: the socket is closed.
//!
//! **Faults.** Because nothing else connects to endpoints, this is the one place where a test build can inject faults into
//! connects: in [`Connector::open`] (an `io::Error` made there is judged like one of the kernel) and in
//! [`Connector::secure`]. Nothing is injected today.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::own_address::datagram_socket;
use super::tls::ClientTls;
use super::{Socket, Stream, Transport, UpstreamPermit};
use crate::decision::ConnectOutcome;

/// The kernel probes a connection without traffic after this time …
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// … at this interval …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// … and closes it after so many probes without an acknowledgement. (No `TCP_USER_TIMEOUT`: it also ends a connection whose
/// peer only does not read for a while.)
const KEEPALIVE_TIMES: u32 = 3;

/// How a connection to an endpoint is made.
#[derive(Clone, Copy, Debug)]
pub struct Connector<'a> {
    /// The endpoint.
    pub address: SocketAddr,
    /// The local address that the connection comes from; `None` = as the route says. With one, the kernel takes a port for this
    /// connection alone, whatever its destination.
    pub source: Option<IpAddr>,
    /// A PROXY header, sent ahead of everything else.
    pub header: Option<&'a [u8]>,
    /// TLS over the connection; `None` = in the clear.
    pub tls: Option<&'a ClientTls>,
    /// The kernel finds out by itself when the peer is gone: for connections that last.
    pub keep_alive: bool,
    /// Closing the connection resets it: no TIME_WAIT on either side ([`Stream::reset_on_close`]).
    pub reset_on_close: bool,
}

impl<'a> Connector<'a> {
    /// A connection to this address in the clear, without a header.
    pub const fn new(address: SocketAddr) -> Connector<'a> {
        Connector { address, source: None, header: None, tls: None, keep_alive: false, reset_on_close: false }
    }

    /// Connects, sends the header and sets up TLS. The connection keeps its permit of the descriptor budget, if it has one.
    pub async fn connect(&self, permit: Option<UpstreamPermit>) -> Result<Transport, DialError> {
        let socket = self.open(permit).await?;
        self.secure(socket).await
    }

    /// The first half: TCP, and the header.
    pub async fn open(&self, permit: Option<UpstreamPermit>) -> Result<Socket, DialError> {
        let stream = self.open_tcp().await.map_err(DialError::Socket)?;
        Ok(match permit {
            Some(permit) => Socket::upstream(stream, permit),
            None => stream.into(),
        })
    }

    /// The second half: TLS, where there is any.
    pub async fn secure(&self, socket: Socket) -> Result<Transport, DialError> {
        match self.tls {
            None => Ok(socket.into()),
            // In a box of its own, so that no request carries room for a handshake.
            Some(tls) => Box::pin(tls.connect(socket, self.address)).await.map_err(DialError::Tls),
        }
    }

    async fn open_tcp(&self) -> io::Result<TcpStream> {
        let address = self.address;
        let mut stream = match self.source {
            None => noting_no_route(TcpStream::connect(address), address).await?,
            Some(source) => noting_no_route(connect_from(source, address), address).await?,
        };
        stream.set_nodelay(true)?;
        if self.reset_on_close {
            stream.reset_on_close();
        }
        if let Some(header) = self.header {
            stream.write_all(header).await?;
        }
        if self.keep_alive {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TIMES))?;
        }
        Ok(stream)
    }
}

async fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind((source, 0).into())?;
    socket.connect(address).await
}

/// A connect failed before a packet left this host: it has no route to the endpoint. [`DialErrorKind::of`] recognises it.
#[derive(Debug, thiserror::Error)]
#[error("no way there from this host: {0}")]
struct NoRoute(io::Error);

/// The connect; an error that it meets at once, for want of a route, is marked as such.
async fn noting_no_route(
    connecting: impl Future<Output = io::Result<TcpStream>>,
    address: SocketAddr,
) -> io::Result<TcpStream> {
    let mut connecting = pin!(connecting);
    let mut at_once = true;
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(Err(error)) if at_once && is_no_route(&error, address) => {
            Poll::Ready(Err(io::Error::other(NoRoute(error))))
        }
        polled => {
            at_once = false;
            polled
        }
    })
    .await
}

/// Does an error that a connect met at once say that there is no route, no link or no source address?
fn is_no_route(error: &io::Error, address: SocketAddr) -> bool {
    match Errno::from_io_error(error) {
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN) => true,
        // No source address, or no port? A datagram socket, which needs no port of TCP's, has the same ways.
        Some(Errno::ADDRNOTAVAIL) => datagram_socket(address.ip()).is_ok_and(|socket| socket.connect(address).is_err()),
        _ => false,
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// No TCP connection, or the header could not be sent.
    Socket(io::Error),
    /// The TLS handshake failed: [`explain`](super::tls::explain) says why.
    Tls(io::Error),
}

impl DialError {
    /// The error beneath.
    pub fn io(&self) -> &io::Error {
        let (DialError::Socket(error) | DialError::Tls(error)) = self;
        error
    }
}

/// What an error of a connect means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialErrorKind {
    /// ECONNREFUSED, or a reset on connect.
    Refused,
    /// The network says that host or net cannot be reached.
    Unreachable,
    /// The kernel gave up: ETIMEDOUT.
    TimedOut,
    /// This host has no route, no link or no source address: no packet has left.
    NoRoute,
    /// No local port is free (EADDRNOTAVAIL, EADDRINUSE).
    NoLocalPort,
    /// No descriptor is free, of this process or of the host (EMFILE, ENFILE).
    NoDescriptor,
    /// Any other error of this host: no memory, not permitted.
    Local,
}

impl DialErrorKind {
    /// The kind of this error of [`Connector::open`].
    pub fn of(error: &io::Error) -> DialErrorKind {
        if error.get_ref().is_some_and(|inner| inner.is::<NoRoute>()) {
            return DialErrorKind::NoRoute;
        }
        match Errno::from_io_error(error) {
            Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => DialErrorKind::Refused,
            Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => {
                DialErrorKind::Unreachable
            }
            Some(Errno::TIMEDOUT) => DialErrorKind::TimedOut,
            Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => DialErrorKind::NoLocalPort,
            Some(Errno::MFILE | Errno::NFILE) => DialErrorKind::NoDescriptor,
            _ => DialErrorKind::Local,
        }
    }

    /// What it says about the endpoint. Only what came from the network is evidence against it.
    pub const fn outcome(self) -> ConnectOutcome {
        match self {
            DialErrorKind::Refused => ConnectOutcome::Refused,
            DialErrorKind::Unreachable => ConnectOutcome::Unreachable,
            DialErrorKind::TimedOut => ConnectOutcome::Timeout,
            DialErrorKind::NoRoute => ConnectOutcome::NoRoute,
            DialErrorKind::NoLocalPort | DialErrorKind::NoDescriptor | DialErrorKind::Local => ConnectOutcome::Local,
        }
    }
}

/// What a failed connect says about the endpoint.
pub fn judge_connect(error: &io::Error) -> ConnectOutcome {
    DialErrorKind::of(error).outcome()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_a_refusal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = Connector::new(address).connect(None).await.unwrap_err();
        assert_eq!(judge_connect(error.io()), ConnectOutcome::Refused);
    }

    #[tokio::test]
    async fn a_connection_comes_from_its_source_address_and_begins_with_the_header() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = Ipv4Addr::new(127, 0, 0, 2);
        let connector = Connector {
            source: Some(source.into()),
            header: Some(b"PROXY UNKNOWN\r\n"),
            ..Connector::new(listener.local_addr().unwrap())
        };
        let ours = connector.connect(None).await.unwrap();
        let (mut theirs, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), source);
        drop(ours);
        let mut read = String::new();
        theirs.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "PROXY UNKNOWN\r\n");
    }

    #[tokio::test]
    async fn a_source_address_of_another_host_is_an_error_of_this_one() {
        let source = Some(Ipv4Addr::new(192, 0, 2, 1).into());
        let connector = Connector { source, ..Connector::new((Ipv4Addr::LOCALHOST, 1).into()) };
        let error = connector.connect(None).await.unwrap_err();
        assert_eq!(judge_connect(error.io()), ConnectOutcome::Local);
    }

    #[test]
    fn running_out_of_descriptors_or_ports_is_no_evidence() {
        for (errno, kind) in [
            (Errno::MFILE, DialErrorKind::NoDescriptor),
            (Errno::NFILE, DialErrorKind::NoDescriptor),
            (Errno::ADDRNOTAVAIL, DialErrorKind::NoLocalPort),
            (Errno::PERM, DialErrorKind::Local),
            (Errno::NOBUFS, DialErrorKind::Local),
        ] {
            assert_eq!(DialErrorKind::of(&errno.into()), kind);
            assert_eq!(judge_connect(&errno.into()), ConnectOutcome::Local);
        }
    }

    #[test]
    fn no_way_from_here_is_another_thing_than_a_network_that_says_unreachable() {
        let [there, unreachable] = [Errno::HOSTUNREACH, Errno::NETUNREACH];
        assert_eq!(judge_connect(&there.into()), ConnectOutcome::Unreachable);
        let at_once = io::Error::other(NoRoute(unreachable.into()));
        assert_eq!(judge_connect(&at_once), ConnectOutcome::NoRoute);
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        assert!(is_no_route(&unreachable.into(), address));
        assert!(!is_no_route(&Errno::ADDRNOTAVAIL.into(), address), "there is a source address: the ports are used up");
        assert!(!is_no_route(&Errno::CONNREFUSED.into(), address));
    }
}
