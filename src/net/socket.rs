//! The socket of a connection: which of its writes leave at once, and which wait for what follows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::descriptors::UpstreamPermit;
use super::stream::poll_write_with;
use crate::sys::tcp;

/// The content type of an encrypted record (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 23;

/// A TCP socket. What of its writes waits for more shares a segment with it, which costs both ends less than two; if no more
/// comes the kernel sends it after its retransmission timeout (200 ms or more).
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    waits: HeldWrites,
    /// Given back when the socket is closed.
    _permit: Option<UpstreamPermit>,
}

/// What waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldWrites {
    Nothing,
    /// A server's session tickets, which are not needed before the connection ends. While a server shakes hands, what it writes
    /// begins with an encrypted record only when it is tickets, or an alert behind which the connection is shut down: a flight
    /// begins with a handshake message or, in TLS 1.2, with a change of cipher.
    SessionTickets,
    /// All: the end of the stream follows.
    Everything,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        Socket { stream, waits: HeldWrites::Nothing, _permit: None }
    }
}

impl Socket {
    /// A connection to an endpoint that holds this permit of the descriptor budget.
    pub fn upstream(stream: TcpStream, permit: UpstreamPermit) -> Socket {
        Socket { stream, waits: HeldWrites::Nothing, _permit: Some(permit) }
    }

    /// From now on this waits for more.
    pub(super) fn set_waits(&mut self, waits: HeldWrites) {
        self.waits = waits;
    }

    /// The socket, as tokio knows it.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    #[inline]
    fn may_wait(&self, bytes: &[u8]) -> bool {
        match self.waits {
            HeldWrites::Nothing => false,
            HeldWrites::SessionTickets => bytes.first() == Some(&APPLICATION_DATA),
            HeldWrites::Everything => true,
        }
    }

    fn poll_write_ahead(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        poll_write_with(&self.stream, cx, || tcp::send_ahead(&self.stream, pieces))
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if socket.may_wait(bytes) {
            return socket.poll_write_ahead(cx, &[IoSlice::new(bytes)]);
        }
        Pin::new(&mut socket.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if pieces.first().is_some_and(|piece| socket.may_wait(piece)) {
            return socket.poll_write_ahead(cx, pieces);
        }
        Pin::new(&mut socket.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Stream;

    /// The kernel ends its patience after 200 ms, so a try on a machine that stands still proves nothing.
    async fn most(mut is_so: impl AsyncFnMut() -> bool) -> bool {
        let mut count = 0;
        for _ in 0..20 {
            count += usize::from(is_so().await);
        }
        count > 10
    }

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours.into(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_words_leave_with_the_end() {
        let wait = most(async || {
            let (mut ours, theirs) = pair().await;
            ours.set_waits(HeldWrites::Everything);
            ours.write_all(b"last words").await.unwrap();
            let waited = theirs.is_proven_quiet();
            ours.shutdown().await.unwrap();
            let mut came = [0; 16];
            let mut theirs = theirs.into_std().unwrap();
            let mut take = || theirs.read(&mut came).unwrap();
            waited && take() == 10 && take() == 0
        });
        assert!(wait.await);
    }

    #[tokio::test]
    async fn tickets_leave_with_what_follows_or_alone() {
        const TICKET: &[u8] = &[APPLICATION_DATA, 3, 3, 0, 1, 9];
        let wait = most(async || {
            let (mut ours, mut theirs) = pair().await;
            ours.set_waits(HeldWrites::SessionTickets);
            let mut pieces = [IoSlice::new(TICKET), IoSlice::new(TICKET)];
            assert_eq!(ours.write_vectored(&pieces).await.unwrap(), 12);
            let waited = theirs.is_proven_quiet();
            pieces[0] = IoSlice::new(b"flight");
            assert_eq!(ours.write_vectored(&pieces).await.unwrap(), 12);
            waited && theirs.read(&mut [0; 32]).await.unwrap() == 24
        });
        assert!(wait.await);
        let (mut ours, mut theirs) = pair().await;
        ours.set_waits(HeldWrites::SessionTickets);
        ours.write_all(TICKET).await.unwrap();
        let mut came = [0; 6];
        theirs.read_exact(&mut came).await.unwrap();
        assert_eq!(came, TICKET);
    }

    #[tokio::test]
    async fn all_else_leaves_at_once() {
        let all_at_once = most(async || {
            let (mut ours, mut theirs) = pair().await;
            let mut at_once = true;
            for (waits, bytes) in [(HeldWrites::Nothing, [APPLICATION_DATA, 1]), (HeldWrites::SessionTickets, [22, 3])]
            {
                ours.set_waits(waits);
                ours.write_all(&bytes).await.unwrap();
                at_once &= !theirs.is_proven_quiet();
                theirs.read_exact(&mut [0; 2]).await.unwrap();
            }
            at_once
        });
        assert!(all_at_once.await);
    }
}
