//! The connection of one probe. It ends in order: a FIN (over TLS `close_notify` first), and then what still comes is read
//! until the endpoint ends the connection too.
//!
//! The kernel resets a connection that is closed with unread bytes, and answers bytes that come after a close with a reset.
//! Servers log either as an error of the client. So a closed connection is read for a while in a task of its own: the
//! verdict of the probe does not wait for it.
//!
//! A check has one such connection at most: its next one ends the wait for the one before, so that endpoints that never close
//! do not cost descriptors.
//!
//! A reset remains possible where an endpoint sends more than [`MOST`] after the end or does not end within [`PATIENCE`] or before
//! the next probe connects, when the TLS handshake fails, and when the process ends.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::net::Transport;
use crate::net::tls::end_point_hash;

/// Bytes that are read after the end, to get them out of the way …
const MOST: usize = 1024 * 1024;
/// … and how long.
const PATIENCE: Duration = Duration::from_millis(500);

/// The connection of a check that is being closed, if there is one.
#[derive(Clone, Default)]
pub(super) struct ClosingStream(Arc<Mutex<Option<AbortHandle>>>);

impl ClosingStream {
    /// Closes it now.
    pub(super) fn end(&self) {
        self.replace(None);
    }

    /// This one closes; the one before ends now.
    fn replace(&self, closing: Option<AbortHandle>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), closing);
        before.into_iter().for_each(|before| before.abort());
    }
}

/// A connection to an endpoint that is closed in order when it is dropped.
pub(super) struct ProbeStream {
    /// `None` only while it is dropped.
    transport: Option<Transport>,
    closing: ClosingStream,
}

impl ProbeStream {
    pub(super) fn new(transport: Transport, closing: ClosingStream) -> ProbeStream {
        ProbeStream { transport: Some(transport), closing }
    }

    /// Is it in the clear?
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.transport, Some(Transport::Plain(_)))
    }

    /// Was HTTP/2 agreed on by ALPN?
    pub(super) fn is_http2(&self) -> bool {
        self.transport.as_ref().is_some_and(Transport::is_http2)
    }

    /// What a login on it can be bound to ([`end_point_hash`]); `None` = nothing.
    pub(super) fn end_point_hash(&self) -> Option<Vec<u8>> {
        self.transport.as_ref().and_then(Transport::peer_certificate).and_then(end_point_hash)
    }

    fn get(self: Pin<&mut Self>) -> io::Result<Pin<&mut Transport>> {
        let transport = self.get_mut().transport.as_mut();
        transport.map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for ProbeStream {
    fn drop(&mut self) {
        if let (Some(transport), Ok(runtime)) = (self.transport.take(), Handle::try_current()) {
            self.closing.replace(Some(runtime.spawn(close(transport)).abort_handle()));
        }
    }
}

async fn close(transport: Transport) {
    #[allow(clippy::disallowed_methods, reason = "not on the data path")]
    // An error, too, is the end of the connection.
    let _ = tokio::time::timeout(PATIENCE, end(transport)).await;
}

async fn end(mut transport: Transport) -> io::Result<()> {
    transport.shutdown().await?;
    let mut bytes = [0; 4096];
    let mut left = MOST;
    while left > 0 {
        match transport.read(&mut bytes).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

impl AsyncRead for ProbeStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_read(cx, into)
    }
}

impl AsyncWrite for ProbeStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get()?.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn the_next_probe_ends_the_wait_for_an_endpoint_that_does_not_close() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut endpoint, _) = listener.accept().await.unwrap();
        let closing = ClosingStream::default();
        drop(ProbeStream::new(stream.into(), closing.clone()));
        let task = closing.0.lock().unwrap().clone().unwrap();
        assert_eq!(endpoint.read(&mut [0]).await.unwrap(), 0, "the end in order");
        assert!(!task.is_finished(), "it waits for the other end");
        closing.end();
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
        // Its socket is gone: what comes now is answered by a reset.
        while endpoint.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
