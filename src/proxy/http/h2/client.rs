//! The client's side of an exchange over a stream of HTTP/2.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

use super::io::IoWatch;
use crate::config::HeaderChanges;
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::Alarm;
use crate::proxy::http::client::{BodySource, ClientExchange, ClientFault};
use crate::sys::clock;
use crate::wire::Fields;
use crate::wire::h1::{AskedMethod, BodyEncoder, BodyLength, Error, OwnReply, ResponseHead, Version, WrongLength};
use crate::wire::h2 as wire;

/// How long the rest of a request that was answered before its end is taken in and dropped, before its stream is reset with
/// NO_ERROR. Clients that find the reset while they still send take it for a failure and do not read the answer, or (Java's
/// HttpClient, up to version 17 at least) wait until all is sent before they look for one, and after a reset forever: so there is no
/// bound of bytes …
const DISCARD_TIME: Duration = Duration::from_secs(30);
/// … but a client that sends less than this …
const DISCARD_LEAST: usize = 4096;
/// … in this time has stopped, or would only hold the stream.
const DISCARD_PAUSE: Duration = Duration::from_secs(1);

/// The most of an answer given to the engine in one piece.
const PIECE: usize = 64 * 1024;

/// A stream.
pub struct H2Client {
    watch: Rc<IoWatch>,
    respond: SendResponse<Bytes>,
    /// Once the final head is queued.
    send: Option<SendStream<Bytes>>,
    receive: RecvStream,
    /// Data of the request that came and was not taken yet.
    piece: Bytes,
    body_is_done: bool,
    trailers: Fields,
    asked: AskedMethod,
    encoder: BodyEncoder,
    /// The last piece of data ends the stream: nothing can come behind it.
    ends_with_data: bool,
    /// The end of the stream is queued.
    ended: bool,
    /// What the client's windows had no room for, of a reply of our own.
    queued: Bytes,
    /// The stream is dead.
    failed: bool,
    sent: u64,
}

impl H2Client {
    /// Over this stream.
    pub fn new(watch: &Rc<IoWatch>, respond: SendResponse<Bytes>, receive: RecvStream, asked: AskedMethod) -> H2Client {
        H2Client {
            watch: Rc::clone(watch),
            respond,
            send: None,
            body_is_done: receive.is_end_stream(),
            receive,
            piece: Bytes::new(),
            trailers: Fields::new(),
            asked,
            encoder: BodyEncoder::new(BodyLength::None),
            ends_with_data: false,
            ended: false,
            queued: Bytes::new(),
            failed: false,
            sent: 0,
        }
    }

    /// Resets the stream: what was sent of the answer must not look complete.
    pub fn abort(&mut self) {
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    /// After the answer: takes in and drops what is left of the request, for a while. `hurried`: there is no time for more than a
    /// pause.
    pub async fn discard_rest(&mut self, alarm: &Alarm, hurried: impl Fn() -> bool) {
        if self.body_is_done || self.failed {
            return;
        }
        let begun = clock::now();
        let (mut heard, mut since) = (begun, 0);
        poll_fn(|cx| {
            loop {
                let count = std::mem::take(&mut self.piece).len();
                // It fails only when the stream is dead, which ends the loop.
                let _ = self.receive.flow_control().release_capacity(count);
                let now = clock::now();
                since += count;
                if since >= DISCARD_LEAST {
                    (heard, since) = (now, 0);
                }
                let most = if hurried() { DISCARD_PAUSE } else { DISCARD_TIME };
                let until = heard.after(DISCARD_PAUSE).min(begun.after(most));
                if self.body_is_done || now >= until {
                    return Poll::Ready(());
                }
                alarm.set(until);
                if alarm.poll(cx).is_ready() || ready!(self.poll_piece(cx)).is_err() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    fn respond(&mut self, response: http::Response<()>, ends: bool) {
        self.watch.answered();
        match self.respond.send_response(response, ends) {
            Ok(send) => (self.send, self.ended) = (Some(send), ends),
            Err(_) => self.failed = true,
        }
    }

    fn send(&mut self, data: Bytes, ends: bool) -> io::Result<()> {
        let send = self.send.as_mut().ok_or_else(dead)?;
        self.ended |= ends;
        self.watch.sent(data.len());
        send.send_data(data, ends).map_err(|_| dead())
    }

    /// How much of `wanted` the client's windows have room for; waits until it is more than nothing.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let send = self.send.as_mut().ok_or_else(dead)?;
        send.reserve_capacity(wanted);
        let room = send.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room.min(wanted)));
        }
        loop {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(room)) => return Poll::Ready(Ok(room.min(wanted))),
                Some(Err(_)) | None => return Poll::Ready(Err(dead())),
            }
        }
    }

    /// The next piece of the request's body, or its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientFault>> {
        match ready!(self.receive.poll_data(cx)) {
            Some(Ok(data)) => self.piece = data,
            Some(Err(error)) => return Poll::Ready(Err(fault(&error))),
            None => {
                match ready!(self.receive.poll_trailers(cx)) {
                    Ok(Some(map)) => {
                        wire::read_trailers(&map, &mut self.trailers).map_err(ClientFault::Malformed)?;
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(fault(&error))),
                }
                self.body_is_done = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn dead() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// What ended the request before its end: the client, or the engine because the client broke a rule.
fn fault(error: &h2::Error) -> ClientFault {
    if error.is_reset() && error.is_library() { ClientFault::Malformed(Error::BodyCut) } else { ClientFault::Gone }
}

impl BodySource for H2Client {
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer, most: usize) -> Poll<Result<(), ClientFault>> {
        debug_assert!(most > 0);
        while self.piece.is_empty() {
            if self.body_is_done {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_piece(cx))?;
        }
        let count = self.piece.len().min(most);
        if !into.push(&self.piece[..count]) {
            return Poll::Ready(Err(ClientFault::Gone));
        }
        self.piece.advance(count);
        if self.piece.is_empty() {
            // Frees the memory.
            self.piece = Bytes::new();
            self.body_is_done = self.receive.is_end_stream();
        }
        // What was taken may be sent again. (It fails only when the stream is dead, which is found out otherwise.)
        let _ = self.receive.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }

    fn body_is_done(&self) -> bool {
        self.body_is_done
    }

    fn trailers(&self) -> &Fields {
        &self.trailers
    }
}

impl ClientExchange for H2Client {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None if self.failed => return Poll::Ready(()),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| ())
    }

    /// A stream is reset whatever of its body waits.
    fn tells_its_end(&self) -> bool {
        true
    }

    /// A stream carries one request: what is left of its body is the engine's to forget.
    fn skip_body(&mut self) {}

    fn takes_interim(&self) -> bool {
        true
    }

    fn interim(&mut self, head: &ResponseHead) {
        if let Some(response) = wire::interim(head) {
            // It fails only when the stream is dead, which is found out otherwise.
            let _ = self.respond.send_informational(response);
        }
    }

    fn begin(&mut self, head: &ResponseHead, changes: &HeaderChanges, _last: bool) {
        let framing = wire::reply_framing(head);
        self.encoder = BodyEncoder::new(framing);
        self.ends_with_data = head.version() != Version::Http2;
        let ends = match framing {
            BodyLength::None => true,
            // A length that was not stated: the reply ended with its head.
            BodyLength::Length(0) => self.ends_with_data || head.content_length().is_none(),
            _ => false,
        };
        self.respond(wire::reply(head, changes), ends);
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.encoder.left().is_some_and(|left| left < data.len() as u64) {
            return Poll::Ready(Err(io::Error::other(WrongLength)));
        }
        let count = ready!(self.poll_room(cx, data.len().min(PIECE)))?;
        self.encoder.wrap(count).map_err(io::Error::other)?;
        let ends = self.ends_with_data && self.encoder.left() == Some(0);
        self.send(Bytes::copy_from_slice(&data[..count]), ends)?;
        self.sent += count as u64;
        Poll::Ready(Ok(count))
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), WrongLength> {
        // No framing of its own, so nothing is written.
        self.encoder.finish(trailers, &mut Vec::new())?;
        let Some(send) = self.send.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        let trailers = wire::trailers(trailers);
        let result =
            if trailers.is_empty() { send.send_data(Bytes::new(), true) } else { send.send_trailers(trailers) };
        self.ended = true;
        self.failed |= result.is_err();
        Ok(())
    }

    fn own_reply(&mut self, reply: &OwnReply<'_>, fields: &[(&str, &str)], _last: bool) {
        self.queued = Bytes::copy_from_slice(reply.body_for(self.asked));
        self.sent = self.queued.len() as u64;
        self.respond(wire::own_reply(reply, fields.iter().copied()), self.queued.is_empty());
    }

    /// What the client's windows have room for is the engine's, which writes it; ready when nothing is left here.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed {
            return Poll::Ready(Err(dead()));
        }
        while !self.queued.is_empty() {
            let count = ready!(self.poll_room(cx, self.queued.len()))?;
            let data = self.queued.split_to(count);
            let ends = self.queued.is_empty();
            self.send(data, ends)?;
        }
        Poll::Ready(Ok(()))
    }

    fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn is_held_up(&self) -> bool {
        self.watch.blocked_until().is_some()
    }

    /// Bytes for which the client made room: when it grows, the client reads.
    fn taken(&self) -> u64 {
        self.sent - self.queued.len() as u64
    }
}
