//! The connections of the data path: a TCP socket, or TLS over one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::Stream;
use super::socket::{HeldWrites, Socket};

/// A client's or an endpoint's connection.
#[derive(Debug)]
pub enum Transport {
    /// In the clear.
    Plain(Socket),
    /// Over TLS, in either role.
    Tls(Box<TlsStream<Socket>>),
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Transport {
        Transport::Plain(stream.into())
    }
}

impl From<Socket> for Transport {
    fn from(socket: Socket) -> Transport {
        Transport::Plain(socket)
    }
}

impl Stream for Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Transport::Plain(socket) => socket.tcp(),
            Transport::Tls(stream) => stream.get_ref().0.tcp(),
        }
    }

    fn hold_for_end(&mut self) {
        let socket = match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_mut().0,
        };
        socket.set_waits(HeldWrites::Everything);
    }

    fn is_proven_quiet(&self) -> bool {
        match self {
            Transport::Plain(socket) => socket.tcp().is_proven_quiet(),
            // No plaintext and no end is waiting in the layer, and nothing it has not seen is with the kernel.
            Transport::Tls(stream) => stream.get_ref().1.wants_read() && stream.get_ref().0.tcp().is_proven_quiet(),
        }
    }

    fn is_layered(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    fn has_unsent(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }
}

impl Transport {
    /// Was HTTP/2 agreed on by ALPN?
    pub fn is_http2(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// The certificate of the peer, where there is TLS and it has shown one.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => stream.get_ref().1.peer_certificates()?.first(),
        }
    }
}

/// The same call on whatever it is.
macro_rules! on_either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_shutdown(cx))
    }
}
