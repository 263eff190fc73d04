//! What the data path asks of a stream beside reading and writing.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

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
    fn is_proven_quiet(&self) -> bool {
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
                // Readiness is reported again only after a `WouldBlock`.
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

/// Waits until the peer has closed its side or the connection is dead, although bytes may be unread before that. Nothing is read,
/// and what is readable stays so.
pub async fn closed_by_peer(socket: &TcpStream) {
    // No urgent data is asked for when a socket is registered: what makes this interest ready is the end of the read side alone.
    // (`READABLE` would be ready at once, and would not be again before the bytes are read.)
    #[cfg(target_os = "linux")]
    let interest = Interest::PRIORITY;
    #[cfg(not(target_os = "linux"))]
    let interest = Interest::READABLE;
    while let Ok(ready) = socket.ready(interest).await
        && !ready.is_read_closed()
    {
        if cfg!(not(target_os = "linux")) {
            std::future::pending::<()>().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dial::Connector;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_end_of_the_peer_is_seen_behind_unread_bytes_and_they_stay_readable() {
        use std::task::Waker;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        theirs.write_all(b"startup").await.unwrap();
        ours.readable().await.unwrap();
        let open = std::pin::pin!(closed_by_peer(&ours)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(open.is_pending() && !tcp::is_closed_by_peer(&ours));
        let (_, ()) = tokio::join!(theirs.shutdown(), closed_by_peer(&ours));
        assert!(tcp::is_closed_by_peer(&ours));
        let mut bytes = Vec::new();
        ours.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"startup");
    }

    #[tokio::test]
    async fn a_quiet_connection_is_proven_until_the_peer_says_something() {
        use tokio::io::AsyncWriteExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = Connector::new(listener.local_addr().unwrap()).open(None).await.unwrap();
        let ours = ours.tcp();
        let (mut theirs, _) = listener.accept().await.unwrap();
        assert!(ours.is_proven_quiet());
        theirs.write_all(b"x").await.unwrap();
        ours.readable().await.unwrap();
        assert!(!ours.is_proven_quiet());
    }
}
