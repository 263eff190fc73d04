//! What the data path asks of a stream beside reading and writing, and how connects are made and judged.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::own_address::datagram_socket;
use crate::decision::ConnectOutcome;
use crate::sys::tcp;

/// A connection that rests on a TCP socket: the socket itself, or a layer such as TLS around it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The socket beneath.
    fn socket(&self) -> &TcpStream;

    /// Closing this stream will reset it: the kernel forgets what was not delivered, and the peer learns at once.
    fn reset_on_close(&self) {
        // An error means that the socket is already dead.
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    /// What is written from now on may leave with the end of the stream, in one segment. To be said only when the end follows at
    /// once, and is said by a shutdown: a close behind which something is unread would lose what waits. (The kernel waits no
    /// longer than its retransmission timeout, and never with a full segment.) A stream that cannot wait sends at once.
    fn hold_for_end(&mut self) {}

    /// Nothing came from the peer since the last exchange: no data, no FIN, no reset. Asks the kernel (one `recv` with
    /// `MSG_PEEK`); a layer that may hold bytes of its own has to answer for them too.
    fn proven_quiet(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        matches!(SockRef::from(self.socket()).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The kernel has room for bytes. Asks it (one `poll`).
    fn has_room(&self) -> bool {
        tcp::is_ready(self.socket(), PollFlags::OUT)
    }

    /// Could a read bring something, or is it certain that there is nothing? Asked before memory is taken for the read; a layer that
    /// may hold bytes of its own says yes.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bare().map_or(Poll::Ready(Ok(())), |socket| socket.poll_read_ready(cx))
    }

    /// What was written is not acknowledged, and the kernel has sent it again: see [`tcp::is_unacknowledged`].
    fn is_unacknowledged(&self) -> bool {
        tcp::is_unacknowledged(self.socket())
    }

    /// Is this more than the socket? Then a byte that was taken need not be with the kernel until it is flushed, one may be
    /// with the kernel although the write failed, and the end of the stream has to be said.
    fn is_layered(&self) -> bool {
        false
    }

    /// The socket, where every byte of it is as it is on the wire: the kernel may move them by itself.
    fn bare(&self) -> Option<&TcpStream> {
        (!self.is_layered()).then(|| self.socket())
    }

    /// Bytes that were taken are not with the kernel yet.
    fn has_unsent(&self) -> bool {
        false
    }
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// A connection on which nothing has come for so long is asked by the kernel whether its peer is still there …
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// … so often …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// … and dead when it has not said so for so many times. (No `TCP_USER_TIMEOUT`: it also ends a connection whose peer only
/// does not read for a while.)
const KEEPALIVE_TIMES: u32 = 3;

/// For a connection that lasts: the kernel finds out by itself when its peer is gone without a word.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TIMES))
}

/// A connect failed before a packet left this host: it has no way there. [`judge_connect`] knows it.
#[derive(Debug, thiserror::Error)]
#[error("no way there from this host: {0}")]
struct NoRoute(io::Error);

/// Opens a TCP connection with `TCP_NODELAY`. No deadline of its own: the caller drops it. Cancel safe.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mut connecting = pin!(TcpStream::connect(address));
    let mut at_once = true;
    let stream = poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(Err(error)) if at_once && is_no_route(&error, address) => {
            Poll::Ready(Err(io::Error::other(NoRoute(error))))
        }
        polled => {
            at_once = false;
            polled
        }
    })
    .await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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

/// Like [`connect`]; the header goes ahead of everything else.
pub async fn connect_with_header(address: SocketAddr, header: Option<&[u8]>) -> io::Result<TcpStream> {
    let mut stream = connect(address).await?;
    if let Some(header) = header {
        stream.write_all(header).await?;
    }
    Ok(stream)
}

/// One write in the way that the kernel is asked by `write`, once the socket takes any. Cancel safe.
pub fn poll_write_with(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    mut write: impl FnMut() -> Result<usize, Errno>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || Ok(write()?)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            written => return Poll::Ready(written),
        }
    }
}

/// Waits until more than `known` bytes are with the kernel and shows the first `MOST` of them without taking them. `Ok(None)`:
/// there will be no more. Cancel safe.
pub async fn peek_more<const MOST: usize, T>(
    socket: &TcpStream,
    known: &mut usize,
    look: impl Fn(&[u8]) -> T,
) -> io::Result<Option<T>> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        let peeked = socket.try_io(Interest::READABLE, || {
            let mut bytes = [0; MOST];
            let (_, count) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::PEEK)?;
            if count <= *known {
                // The kernel tells when more comes, but only who has waited for it.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *known = count;
            Ok(look(&bytes[..count]))
        });
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            peeked => return peeked.map(Some),
        }
    }
}

/// Takes exactly so many bytes and forgets them.
pub async fn take(socket: &TcpStream, mut count: usize) -> io::Result<()> {
    while count > 0 {
        socket.readable().await?;
        let mut bytes = [0; 512];
        let most = count.min(bytes.len());
        match socket.try_read(&mut bytes[..most]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(taken) => count -= taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a failed connect says about the endpoint. Only what came from the network is evidence against it.
pub fn judge_connect(error: &io::Error) -> ConnectOutcome {
    if error.get_ref().is_some_and(|inner| inner.is::<NoRoute>()) {
        return ConnectOutcome::NoRoute;
    }
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => ConnectOutcome::Refused,
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN) => ConnectOutcome::Unreachable,
        Some(Errno::TIMEDOUT) => ConnectOutcome::Timeout,
        _ => ConnectOutcome::Local,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_quiet_connection_is_proven_until_the_peer_says_something() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        assert!(ours.proven_quiet());
        theirs.write_all(b"x").await.unwrap();
        ours.readable().await.unwrap();
        assert!(!ours.proven_quiet());
    }

    #[tokio::test]
    async fn a_closed_port_is_a_refusal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = connect(address).await.unwrap_err();
        assert_eq!(judge_connect(&error), ConnectOutcome::Refused);
    }

    #[test]
    fn running_out_of_descriptors_is_evidence_about_nobody() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::PERM, Errno::NOBUFS] {
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
