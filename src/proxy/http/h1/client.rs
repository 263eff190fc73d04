//! The client's side of an exchange over an HTTP/1 connection.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::config::HeaderChanges;
use crate::net::Stream;
use crate::proxy::buffer::{Buffer, OutgoingBytes, SMALL};
use crate::proxy::deadline::Alarm;
use crate::proxy::http::client::{BodySource, ClientExchange, ClientFault};
use crate::proxy::pipe::Pipe;
use crate::proxy::upstream::UpstreamPools;
use crate::proxy::worker_core::WorkerCore;
use crate::sys::clock;
use crate::wire::Fields;
use crate::wire::h1::{
    AskedMethod, BodyDecoder, BodyEncoder, BodyLength, DownstreamHead, OwnReply, RequestHead, ResponseHead, Version,
    WrongLength, encode_interim, encode_response, reply_framing,
};

/// How long a client that closed its own side may take nothing before it counts as gone. (PROTOCOL asks for two seconds to
/// tell the upstream; a half-closed client with a quick answer gets it.)
const GRACE: Duration = Duration::from_secs(1);
/// Queued bytes beyond which data is not put behind them any more.
const FULL: usize = SMALL;
/// The most data put into one chunk.
const CHUNK: usize = 64 * 1024;

/// A client's connection.
pub struct H1Client<S> {
    pools: Rc<UpstreamPools>,
    pub(super) stream: S,
    /// Bytes read and not yet understood: the rest of a body, pipelined requests.
    pub(super) input: Buffer,
    out: OutgoingBytes,
    body: BodyDecoder,
    encoder: BodyEncoder,
    framing: BodyLength,
    version: Version,
    asked: AskedMethod,
    /// The connection ends with this reply.
    last: bool,
    /// The client closed its side.
    closed: Option<Alarm>,
    sent: u64,
    taken: u64,
}

impl<S: Stream> H1Client<S> {
    pub(super) fn new(pools: &Rc<UpstreamPools>, stream: S) -> H1Client<S> {
        H1Client {
            pools: Rc::clone(pools),
            stream,
            input: Buffer::new(&pools.core.buffers),
            out: OutgoingBytes::new(&pools.core.buffers),
            body: BodyDecoder::new(BodyLength::None),
            encoder: BodyEncoder::new(BodyLength::None),
            framing: BodyLength::None,
            version: Version::Http11,
            asked: AskedMethod::Other,
            last: false,
            closed: None,
            sent: 0,
            taken: 0,
        }
    }

    /// The core of its worker.
    pub(super) fn core(&self) -> &WorkerCore {
        &self.pools.core
    }

    /// The next request's head was read.
    pub(super) fn next_request(&mut self, head: &RequestHead) {
        self.body.reset(head.body());
        self.version = head.version();
        self.asked = head.method().into();
        self.sent = 0;
    }

    /// The head was malformed: it is answered as HTTP/1.1.
    pub(super) fn not_a_request(&mut self) {
        // It is not known where it ends.
        self.body.reset(BodyLength::UntilClose);
        (self.version, self.asked) = (Version::Http11, AskedMethod::Other);
    }

    /// The client sent something that was not read, or may be sending it.
    pub(super) fn may_be_sending(&self) -> bool {
        self.closed.is_none() && !(self.body.is_done() && self.input.is_empty())
    }

    pub(super) fn has_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The end of the reply waits for the end of the connection, to leave with it.
    pub(super) fn waits_for_end(&self) -> bool {
        self.last
    }

    /// The reply's end is the connection's end.
    pub(super) fn ends_by_close(&self) -> bool {
        self.framing == BodyLength::UntilClose
    }

    /// Reads once; the end of the stream is remembered.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(self.input.poll_fill_from(cx, &mut self.stream))?;
        if count == 0 {
            let alarm = self.core().deadlines.alarm();
            alarm.set(clock::now().after(GRACE));
            self.closed = Some(alarm);
        }
        Poll::Ready(Ok(count))
    }

    /// The reply is queued to its end: if the connection ends with it, both leave together.
    fn hold_if_last(&mut self) {
        if self.last {
            self.stream.hold_for_end();
        }
    }

    fn note_taken(&mut self, count: usize) {
        self.taken += count as u64;
        if let Some(alarm) = &self.closed {
            alarm.set(clock::now().after(GRACE));
        }
    }

    /// Reads body straight into its place: for bodies of known length with nothing read ahead.
    fn poll_body_directly(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buffer,
        most: usize,
    ) -> Poll<Result<(), ClientFault>> {
        let left = usize::try_from(self.body.left().unwrap_or(0)).unwrap_or(usize::MAX);
        let most = most.min(left);
        if !into.reserve(most.min(SMALL)) {
            return Poll::Ready(Err(ClientFault::Gone));
        }
        let before = into.len();
        match ready!(into.poll_fill_at_most(cx, &mut self.stream, most)) {
            Ok(count) if count > 0 => {
                let piece = self.body.decode(&into.bytes()[before..]).map_err(ClientFault::Malformed)?;
                debug_assert_eq!(piece.data.len(), count);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(ClientFault::Gone)),
        }
    }
}

impl<S: Stream> BodySource for H1Client<S> {
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer, most: usize) -> Poll<Result<(), ClientFault>> {
        debug_assert!(most > 0);
        loop {
            if self.body.is_done() {
                return Poll::Ready(Ok(()));
            }
            if self.input.is_empty() {
                if self.closed.is_some() {
                    return Poll::Ready(Err(ClientFault::Gone));
                }
                if self.body.left().is_some() {
                    return self.poll_body_directly(cx, into, most);
                }
                match ready!(self.poll_read(cx)) {
                    Ok(count) if count > 0 => {}
                    _ => return Poll::Ready(Err(ClientFault::Gone)),
                }
            }
            let look = self.input.len().min(most);
            let piece = self.body.decode(&self.input.bytes()[..look]).map_err(ClientFault::Malformed)?;
            let data = !piece.data.is_empty();
            if data && !into.push(&self.input.bytes()[piece.data]) {
                return Poll::Ready(Err(ClientFault::Gone));
            }
            self.input.consume(piece.taken);
            self.input.release();
            if data || piece.done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    fn trailers(&self) -> &Fields {
        self.body.trailers()
    }
}

impl<S: Stream> ClientExchange for H1Client<S> {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(alarm) = &self.closed {
                return alarm.poll(cx).map(|_| ());
            }
            if self.input.len() >= SMALL || !self.input.reserve(1) {
                // It sent ahead as much as it may. Nothing is read, so nothing is known.
                return Poll::Pending;
            }
            if ready!(self.poll_read(cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    fn skip_body(&mut self) {
        while !self.body.is_done() && !self.input.is_empty() {
            let Ok(piece) = self.body.decode(self.input.bytes()) else { return };
            self.input.consume(piece.taken);
        }
    }

    fn takes_interim(&self) -> bool {
        self.version == Version::Http11
    }

    fn interim(&mut self, head: &ResponseHead) {
        encode_interim(head, self.out.end());
    }

    fn begin(&mut self, head: &ResponseHead, changes: &HeaderChanges, last: bool) {
        self.framing = reply_framing(head, self.version);
        self.last = last;
        self.encoder = BodyEncoder::new(self.framing);
        let to = DownstreamHead { version: self.version, framing: self.framing, keep_alive: !last, changes };
        encode_response(head, &to, self.out.end());
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let chunked = self.framing == BodyLength::Chunked;
        let fits = self.out.len() + data.len() <= FULL;
        if chunked || (fits && !self.out.is_empty()) {
            if !fits {
                ready!(self.poll_flush(cx))?;
            }
            let count = data.len().min(CHUNK);
            self.encoder.encode(&data[..count], self.out.end()).map_err(io::Error::other)?;
            self.sent += count as u64;
            return Poll::Ready(Ok(count));
        }
        if self.encoder.left().is_some_and(|left| left < data.len() as u64) {
            return Poll::Ready(Err(io::Error::other(WrongLength)));
        }
        let before = self.out.len();
        let count = ready!(self.out.poll_drain_with(cx, &mut self.stream, data))?;
        self.note_taken(before - self.out.len() + count);
        self.encoder.wrap(count).map_err(io::Error::other)?;
        self.sent += count as u64;
        Poll::Ready(Ok(count))
    }

    fn takes_from_pipe(&self) -> bool {
        self.stream.bare().is_some() && self.encoder.left().is_some()
    }

    fn poll_piped(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        if !self.out.is_empty() {
            ready!(self.poll_flush(cx))?;
        }
        if self.encoder.left().is_none_or(|left| left < pipe.len() as u64) {
            return Poll::Ready(Err(io::Error::other(WrongLength)));
        }
        let Some(socket) = self.stream.bare() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        let count = ready!(pipe.poll_drain(cx, socket))?;
        self.note_taken(count);
        self.encoder.wrap(count).map_err(io::Error::other)?;
        self.sent += count as u64;
        Poll::Ready(Ok(count))
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), WrongLength> {
        let finished = self.encoder.finish(trailers, self.out.end());
        self.hold_if_last();
        finished
    }

    fn own_reply(&mut self, reply: &OwnReply<'_>, fields: &[(&str, &str)], last: bool) {
        self.encoder = BodyEncoder::new(BodyLength::None);
        self.framing = BodyLength::None;
        self.sent = reply.body.len() as u64;
        reply.encode(self.asked, self.version, !last, fields.iter().copied(), self.out.end());
        self.last = last;
        self.hold_if_last();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(self.out.poll_drain(cx, &mut self.stream))?;
            self.note_taken(count);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn has_queued(&self) -> bool {
        !self.out.is_empty() || self.stream.has_unsent()
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn hand_over(&mut self) -> Option<(&mut dyn Stream, Buffer)> {
        let ahead = std::mem::replace(&mut self.input, Buffer::new(&self.pools.core.buffers));
        Some((&mut self.stream, ahead))
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}
