//! One exchange over an HTTP/1 connection to an endpoint: the request goes out while the reply comes in.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::net::Stream;
use crate::proxy::buffer::{Buffer, BufferPool, OutgoingBytes, SMALL};
use crate::proxy::http::body::RequestBody;
use crate::proxy::http::client::{BodySource, ClientExchange, ClientFault};
use crate::proxy::http::exchange::{ReplyFault, SendFault, UpstreamExchange};
use crate::proxy::pipe::Pipe;
use crate::wire::h1::{
    AskedMethod, BodyDecoder, BodyEncoder, BodyLength, Error, HeadLimits, Progress, ResponseHead, ResponseParser,
};

/// Queued bytes beyond which body is not put behind them any more.
const FULL: usize = SMALL;
/// The most body put into one chunk.
const CHUNK: usize = 64 * 1024;

/// One exchange. Dropped before its end it resets the connection, so that the endpoint stops.
pub struct H1Exchange<'a, U: Stream> {
    stream: Option<U>,
    /// Bytes of the request that the kernel took.
    sent: u64,
    /// The whole request is with the kernel.
    request_done: bool,
    /// The end of the request is encoded.
    request_ended: bool,
    write_failed: bool,
    out: OutgoingBytes,
    encoder: BodyEncoder,
    input: Buffer,
    parser: ResponseParser,
    asked: AskedMethod,
    /// The head that came last.
    reply: &'a mut ResponseHead,
    decoder: &'a mut BodyDecoder,
    /// Bytes at the front of `input` that are body, and what follows them of the framing.
    data: usize,
    behind: usize,
    end_queued: bool,
    /// The final head has come.
    answered: bool,
    /// The last read found as much as it could take.
    bulk: bool,
    /// Body in the kernel, on its way to the client: there only while there is anything in it.
    pipe: Option<Pipe>,
    /// Bytes of the reply read so far.
    received: u64,
    /// The rule that the reply broke.
    broken: Option<Error>,
}

impl<'a, U: Stream> H1Exchange<'a, U> {
    /// Over this connection; `encode` writes the request's head.
    pub fn new(
        stream: U,
        pool: &Rc<BufferPool>,
        framing: BodyLength,
        asked: AskedMethod,
        reply: &'a mut ResponseHead,
        decoder: &'a mut BodyDecoder,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> H1Exchange<'a, U> {
        let mut out = OutgoingBytes::new(pool);
        encode(out.end());
        H1Exchange {
            stream: Some(stream),
            sent: 0,
            request_done: false,
            request_ended: false,
            write_failed: false,
            out,
            encoder: BodyEncoder::new(framing),
            input: Buffer::new(pool),
            parser: ResponseParser::new(),
            asked,
            reply,
            decoder,
            data: 0,
            behind: 0,
            end_queued: false,
            answered: false,
            bulk: false,
            pipe: None,
            received: 0,
            broken: None,
        }
    }

    /// Puts body behind what is queued, as long as it is small or has to be framed. True: nothing is pending and the client
    /// has to send more first.
    fn gather<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
    ) -> Result<bool, SendFault> {
        while !self.request_ended {
            let pending = body.pending();
            let chunked = self.encoder.left().is_none();
            if !pending.is_empty() {
                // Alone it goes straight from where it is, unless it has to be framed.
                let together = if self.out.is_empty() { chunked } else { self.out.len() + pending.len() <= FULL };
                if !together {
                    return Ok(false);
                }
                let count = pending.len().min(CHUNK);
                if self.encoder.encode(&pending[..count], self.out.end()).is_err() {
                    return Err(self.cannot_write());
                }
                body.take(count);
            } else if source.body_is_done() {
                if self.encoder.finish(source.trailers(), self.out.end()).is_err() {
                    return Err(SendFault::Client(ClientFault::Gone));
                }
                self.request_ended = true;
            } else if !self.out.is_empty() && !body.keeps_more() {
                return Ok(false);
            } else {
                match body.poll_more(cx, source) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(fault)) => return Err(SendFault::Client(fault)),
                    Poll::Pending => return Ok(true),
                }
            }
        }
        Ok(false)
    }

    fn cannot_write(&mut self) -> SendFault {
        self.write_failed = true;
        // It is unknown how much of it a layer had given to the kernel before.
        if self.stream.as_ref().is_some_and(Stream::is_layered) {
            self.sent = self.sent.max(1);
        }
        SendFault::Upstream
    }

    fn malformed(&mut self, error: Error) -> ReplyFault {
        self.broken = Some(error);
        ReplyFault::Malformed
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(0)) };
        if self.bulk && self.input.is_empty() {
            self.input.enlarge();
        }
        let count = ready!(self.input.poll_fill_from(cx, stream))?;
        self.bulk = count >= SMALL;
        self.received += count as u64;
        Poll::Ready(Ok(count))
    }

    /// Fills a pipe with body for the client, where it comes in bulk and the kernel can move it. False: it has to be read.
    fn poll_pipe<C: ClientExchange>(&mut self, cx: &mut Context<'_>, client: &C) -> Poll<io::Result<bool>> {
        let left = self.decoder.left().and_then(|left| usize::try_from(left).ok()).unwrap_or(0);
        if !self.bulk || left < SMALL || !client.takes_from_pipe() {
            return Poll::Ready(Ok(false));
        }
        let Some(socket) = self.stream.as_ref().and_then(Stream::bare) else { return Poll::Ready(Ok(false)) };
        let pipes = &self.input.pool().pipes;
        let Some(mut pipe) = pipes.take() else { return Poll::Ready(Ok(false)) };
        let filled = pipe.poll_fill(cx, socket, left);
        let count = pipe.len();
        if pipe.is_empty() {
            pipes.put(pipe);
        } else {
            self.pipe = Some(pipe);
        }
        if ready!(filled)? > 0 {
            self.bulk = count >= SMALL;
        }
        self.received += count as u64;
        self.decoder.pass(count as u64);
        Poll::Ready(Ok(count > 0))
    }

    /// The reply switched protocols: gives the connection up to a tunnel, with what was read behind the head.
    pub fn hand_over(&mut self) -> Option<(U, Buffer)> {
        let ahead = Buffer::new(self.input.pool());
        self.stream.take().map(|stream| (stream, std::mem::replace(&mut self.input, ahead)))
    }

    /// The exchange is over: gives the connection back if another may follow on it. Left-over bytes, a request that was not
    /// sent whole, or the endpoint's wish end it. A connection on which nothing was sent is as it was.
    pub fn finish(&mut self) -> Option<U> {
        if self.sent == 0 && !self.write_failed && self.received == 0 {
            return self.stream.take();
        }
        if !(self.answered
            && self.request_done
            && self.decoder.is_done()
            && self.input.is_empty()
            && self.pipe.is_none())
        {
            return None;
        }
        // Whole, so that closing it in order cuts nothing.
        self.stream.take().filter(|_| self.reply.keep_alive())
    }
}

impl<U: Stream> UpstreamExchange for H1Exchange<'_, U> {
    fn poll_send<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
        still_holds: impl Fn() -> bool,
    ) -> Poll<Result<(), SendFault>> {
        loop {
            if self.request_done {
                return Poll::Ready(Ok(()));
            }
            if self.write_failed {
                return Poll::Pending;
            }
            let waits_for_client = self.gather(cx, source, body)?;
            let Some(stream) = &mut self.stream else { return Poll::Pending };
            if !self.out.is_empty() {
                // The re-check: nothing is awaited between this and the first byte.
                if self.sent == 0 && !still_holds() {
                    return Poll::Ready(Err(SendFault::Stale));
                }
                match ready!(self.out.poll_drain(cx, stream)) {
                    Ok(count) => self.sent += count as u64,
                    Err(_) => return Poll::Ready(Err(self.cannot_write())),
                }
            } else if self.request_ended {
                match ready!(std::pin::Pin::new(stream).poll_flush(cx)) {
                    Ok(()) => self.request_done = true,
                    Err(_) => return Poll::Ready(Err(self.cannot_write())),
                }
            } else if !body.pending().is_empty() {
                match ready!(std::pin::Pin::new(stream).poll_write(cx, body.pending())) {
                    Ok(count) if count > 0 && self.encoder.wrap(count).is_ok() => {
                        self.sent += count as u64;
                        body.take(count);
                    }
                    _ => return Poll::Ready(Err(self.cannot_write())),
                }
            } else if waits_for_client {
                return match ready!(std::pin::Pin::new(stream).poll_flush(cx)) {
                    Ok(()) => Poll::Pending,
                    Err(_) => Poll::Ready(Err(self.cannot_write())),
                };
            }
        }
    }

    fn is_sending(&self) -> bool {
        !self.request_done && !self.write_failed
    }

    fn is_sent(&self) -> bool {
        self.request_done
    }

    fn waits_for_upstream(&self, body: &RequestBody) -> bool {
        !self.out.is_empty() || !body.pending().is_empty() || self.stream.as_ref().is_some_and(Stream::has_unsent)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReplyFault>> {
        loop {
            if !self.input.is_empty() {
                match self.parser.feed(self.input.bytes(), &HeadLimits::REPLY, self.asked, self.reply) {
                    Ok(Progress::Complete(used)) => {
                        self.input.consume(used);
                        if !self.reply.is_interim() {
                            self.decoder.reset_for_reply(self.reply.body());
                            self.answered = true;
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Progress::Partial) => self.input.clear(),
                    Err(error) => return Poll::Ready(Err(self.malformed(error))),
                }
            }
            let begun = self.parser.has_started();
            match ready!(self.poll_read(cx)) {
                Ok(count) if count > 0 => {}
                _ => return Poll::Ready(Err(ReplyFault::Cut { begun })),
            }
        }
    }

    fn broken_rule(&self) -> Option<(Error, &[u8])> {
        self.broken.map(|error| (error, self.input.bytes()))
    }

    fn reply(&self) -> &ResponseHead {
        self.reply
    }

    fn lacks(&self) -> Option<usize> {
        let length = usize::try_from(self.decoder.left()?).ok()?;
        (self.input.len() < length).then_some(length)
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), ReplyFault>> {
        while self.input.len() < length {
            if !self.input.reserve(length - self.input.len()) {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_read(cx)) {
                Ok(count) if count > 0 => {}
                _ => return Poll::Ready(Err(ReplyFault::Cut { begun: true })),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_relay<C: ClientExchange>(&mut self, cx: &mut Context<'_>, client: &mut C) -> Poll<Result<(), ReplyFault>> {
        loop {
            if let Some(pipe) = &mut self.pipe {
                while !pipe.is_empty() {
                    ready!(client.poll_piped(cx, pipe)).map_err(|_| ReplyFault::Client)?;
                }
                self.pipe.take().into_iter().for_each(|pipe| self.input.pool().pipes.put(pipe));
            }
            if self.data > 0 {
                let data = &self.input.bytes()[..self.data];
                let count = ready!(client.poll_data(cx, data)).map_err(|_| ReplyFault::Client)?;
                self.data -= count;
                self.input.consume(if self.data == 0 { count + std::mem::take(&mut self.behind) } else { count });
                continue;
            }
            if self.decoder.is_done() {
                if !self.end_queued {
                    client.end(self.decoder.trailers()).map_err(|_| ReplyFault::Cut { begun: true })?;
                    self.end_queued = true;
                }
                return client.poll_flush(cx).map(|result| result.map_err(|_| ReplyFault::Client));
            }
            if !self.input.is_empty() {
                let piece = match self.decoder.decode(self.input.bytes()) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Err(self.malformed(error))),
                };
                if piece.data.is_empty() {
                    self.input.consume(piece.taken);
                } else {
                    (self.data, self.behind) = (piece.data.len(), piece.taken - piece.data.end);
                    self.input.consume(piece.data.start);
                }
                continue;
            }
            let came = match self.poll_pipe(cx, client) {
                Poll::Ready(Ok(false)) => self.poll_read(cx).map_ok(|count| count > 0),
                piped => piped,
            };
            match came {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.decoder.end_of_input().map_err(|_| ReplyFault::Cut { begun: true })?,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(ReplyFault::Cut { begun: true })),
                Poll::Pending => {
                    if let Poll::Ready(Err(_)) = client.poll_flush(cx) {
                        return Poll::Ready(Err(ReplyFault::Client));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn waits_for_client(&self) -> bool {
        self.data > 0 || self.pipe.is_some() || self.end_queued
    }

    fn skip(&mut self) {
        while !self.decoder.is_done() && !self.input.is_empty() {
            let Ok(piece) = self.decoder.decode(self.input.bytes()) else { return };
            self.input.consume(piece.taken);
        }
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn is_unacknowledged(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_unacknowledged)
    }

    fn abandon(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.reset_on_close();
        }
    }
}

impl<U: Stream> Drop for H1Exchange<'_, U> {
    fn drop(&mut self) {
        self.abandon();
    }
}
