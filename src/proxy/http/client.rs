//! The client's side of one exchange, whatever protocol it speaks.

use std::io;
use std::task::{Context, Poll};

use crate::config::HeaderChanges;
use crate::net::Stream;
use crate::proxy::buffer::Buffer;
use crate::proxy::pipe::Pipe;
use crate::wire::Fields;
use crate::wire::h1::{self, OwnReply, ResponseHead, WrongLength};

/// How a client failed its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// It left before its request was whole.
    Gone,
    /// Its body's framing is malformed.
    Malformed(h1::Error),
}

/// The source of a request's body.
pub trait BodySource {
    /// Appends at most `most` (> 0) bytes of the request's body. `Ready(Ok)`: something came, or the body is done.
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer, most: usize) -> Poll<Result<(), ClientFault>>;

    /// Has the request's body come to its end?
    fn body_is_done(&self) -> bool;

    /// The request's trailers, once its body is done.
    fn trailers(&self) -> &Fields;
}

/// The client's side of one exchange. HTTP/1 implements it over a connection, HTTP/2 over a stream.
///
/// What is queued (heads, ends, small data) leaves with [`ClientExchange::poll_flush`] or ahead of data that does not fit behind it.
pub trait ClientExchange: BodySource {
    /// Ready when there is no client left to answer: the connection was reset, or closed a while ago without taking more.
    /// (One that only closed its own side may still read.) Reads ahead a bounded amount.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// May [`ClientExchange::poll_gone`] be called already? Where the request's body stands before the end, only behind it.
    fn tells_its_end(&self) -> bool {
        self.body_is_done()
    }

    /// Takes up what is left of the body if all of it is here already, so that the connection can be used again.
    fn skip_body(&mut self);

    /// Does its protocol have interim replies?
    fn takes_interim(&self) -> bool;

    /// Queues an interim reply.
    fn interim(&mut self, head: &ResponseHead);

    /// Queues the head of the final reply. `last`: no further request on this connection.
    fn begin(&mut self, head: &ResponseHead, changes: &HeaderChanges, last: bool);

    /// Takes some of the reply's body: writes or queues it. More than was announced is an error, like a dead connection.
    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Can the kernel move body to it without our looking at it? Only where nothing has to be framed or encrypted.
    fn takes_from_pipe(&self) -> bool {
        false
    }

    /// Like [`ClientExchange::poll_data`], with what is in a pipe.
    fn poll_piped(&mut self, _cx: &mut Context<'_>, _pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Queues the end of the reply's body. An error: it is shorter than announced.
    fn end(&mut self, trailers: &Fields) -> Result<(), WrongLength>;

    /// Queues a whole reply of our own.
    fn own_reply(&mut self, reply: &OwnReply<'_>, fields: &[(&str, &str)], last: bool);

    /// Writes what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Is something queued that the client has not taken?
    fn has_queued(&self) -> bool;

    /// Does what is queued wait for the connection, behind what others have queued on it? Then this exchange cannot tell how
    /// fast the client reads.
    fn is_held_up(&self) -> bool {
        false
    }

    /// Bytes of this reply's body that were taken or queued.
    fn sent(&self) -> u64;

    /// Gives the connection up to a tunnel, after a reply that switches protocols was queued and flushed: the stream, and what
    /// was read from it and belongs into the tunnel. `None`: there is no connection to give up. (So with HTTP/2, where
    /// extended CONNECT, RFC 8441, is not offered.)
    fn hand_over(&mut self) -> Option<(&mut dyn Stream, Buffer)> {
        None
    }

    /// Bytes that the connection has taken since it began: when it grows, the client reads.
    fn taken(&self) -> u64;
}
