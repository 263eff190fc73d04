//! One exchange over a stream of a shared connection to an endpoint.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};

use crate::proxy::http::body::RequestBody;
use crate::proxy::http::client::{BodySource, ClientExchange, ClientFault};
use crate::proxy::http::exchange::{ReplyFault, SendFault, UpstreamExchange};
use crate::proxy::upstream::H2Stream;
use crate::wire::Fields;
use crate::wire::h1::{AskedMethod, BodyLength, Error, ResponseHead, ResponseParser};
use crate::wire::h2::{read_reply, read_trailers, trailers};

/// The most body handed to the engine at once.
const PIECE: usize = 64 * 1024;

/// One exchange. Dropped before its end it resets its stream, so that the endpoint does not go on.
pub struct H2Exchange<'a> {
    /// Until it is sent.
    request: Option<Request<()>>,
    send: Option<SendStream<Bytes>>,
    response: Option<ResponseFuture>,
    incoming: Option<RecvStream>,
    asked: AskedMethod,
    reply: &'a mut ResponseHead,
    interim: u32,
    /// The end of the request is with the engine.
    request_done: bool,
    write_failed: bool,
    /// Of the reply's body: what the client has not taken yet …
    data: Bytes,
    /// … and what waits behind it.
    held: VecDeque<Bytes>,
    trailers: Fields,
    /// The reply's end has come.
    ended: bool,
    end_queued: bool,
    sent: u64,
    received: u64,
    /// Its connection was lost.
    lost: bool,
    /// The rule that the reply broke.
    broken: Option<Error>,
    /// Last: the stream's handles are dropped before it.
    stream: H2Stream,
}

impl<'a> H2Exchange<'a> {
    /// Of this request, over this stream.
    pub fn new(
        stream: H2Stream,
        request: Request<()>,
        asked: AskedMethod,
        reply: &'a mut ResponseHead,
    ) -> H2Exchange<'a> {
        H2Exchange {
            request: Some(request),
            send: None,
            response: None,
            incoming: None,
            asked,
            reply,
            interim: 0,
            request_done: false,
            write_failed: false,
            data: Bytes::new(),
            held: VecDeque::new(),
            trailers: Fields::new(),
            ended: false,
            end_queued: false,
            sent: 0,
            received: 0,
            lost: false,
            broken: None,
            stream,
        }
    }

    /// Hands the head to the engine: from here on the endpoint may act on it.
    fn send_head(&mut self, request: Request<()>, ends: bool) -> Result<(), SendFault> {
        let Some(mut sender) = self.stream.sender() else { return Err(SendFault::Stale) };
        let bytes = size_of_head(request.headers()) + request.uri().path().len();
        match sender.send_request(request, ends) {
            Ok((response, send)) => {
                self.sent = bytes as u64;
                (self.response, self.request_done) = (Some(response), ends);
                self.send = (!ends).then_some(send);
                Ok(())
            }
            // The connection was fine a moment ago: it is the request that cannot be sent.
            Err(error) if error.get_io().is_none() && !error.is_go_away() => {
                Err(SendFault::Client(ClientFault::Malformed(Error::FieldName)))
            }
            Err(_) => {
                self.stream.retire();
                Err(SendFault::Stale)
            }
        }
    }

    /// Ends the request.
    fn end(&mut self, fields: &Fields) -> Result<(), SendFault> {
        let Some(send) = &mut self.send else { return Err(self.cannot_write()) };
        let ended = match trailers(fields) {
            none if none.is_empty() => send.send_data(Bytes::new(), true),
            some => send.send_trailers(some),
        };
        if ended.is_err() {
            return Err(self.cannot_write());
        }
        self.request_done = true;
        Ok(())
    }

    fn cannot_write(&mut self) -> SendFault {
        self.write_failed = true;
        SendFault::Upstream
    }

    /// What the end of a stream before its time means.
    fn fault(&mut self, error: &h2::Error, begun: bool) -> ReplyFault {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        match error.is_remote() {
            true if refused => ReplyFault::Unprocessed { persists: self.stream.refused() },
            // Only streams above the last one that it processed are told.
            true if error.is_go_away() => ReplyFault::Unprocessed { persists: false },
            // A frame proves that the connection lives: this is the endpoint's answer, not a close in passing.
            true if error.is_reset() => ReplyFault::Cut { begun: true },
            _ if error.is_library() => self.malformed(Error::Http2),
            _ => {
                self.lost = true;
                ReplyFault::Cut { begun }
            }
        }
    }

    fn take_head(&mut self, status: u16, fields: &HeaderMap, ended: bool) -> Result<(), ReplyFault> {
        self.received += size_of_head(fields) as u64;
        read_reply(status, fields, ended, self.asked, self.reply).map_err(|error| self.malformed(error))
    }

    fn malformed(&mut self, error: Error) -> ReplyFault {
        self.broken = Some(error);
        ReplyFault::Malformed
    }

    /// The next of the reply's body; `Ready(Ok(None))` at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReplyFault>> {
        let begun = ReplyFault::Cut { begun: true };
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(Err(begun)) };
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        while let Some(data) = ready!(incoming.poll_data(cx)) {
            match data {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.received += data.len() as u64;
                    return Poll::Ready(Ok(Some(data)));
                }
                Err(error) => return Poll::Ready(Err(self.body_fault(&error))),
            }
        }
        match ready!(incoming.poll_trailers(cx)) {
            Ok(None) => {}
            Ok(Some(fields)) => {
                if let Err(error) = read_trailers(&fields, &mut self.trailers) {
                    return Poll::Ready(Err(self.malformed(error)));
                }
            }
            Err(error) => return Poll::Ready(Err(self.body_fault(&error))),
        }
        self.ended = true;
        Poll::Ready(Ok(None))
    }

    fn body_fault(&mut self, error: &h2::Error) -> ReplyFault {
        self.lost = !error.is_reset() && !error.is_library();
        if error.is_library() { self.malformed(Error::Http2) } else { ReplyFault::Cut { begun: true } }
    }
}

/// About what a head takes.
fn size_of_head(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

impl UpstreamExchange for H2Exchange<'_> {
    fn poll_send<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
        still_holds: impl Fn() -> bool,
    ) -> Poll<Result<(), SendFault>> {
        if self.write_failed {
            return Poll::Pending;
        }
        // The re-check: nothing is awaited between this and the first byte.
        if self.request.is_some() && !still_holds() {
            return Poll::Ready(Err(SendFault::Stale));
        }
        if let Some(request) = self.request.take() {
            let ends = source.body_is_done() && body.pending().is_empty() && source.trailers().is_empty();
            self.send_head(request, ends)?;
        }
        loop {
            if self.request_done {
                return Poll::Ready(Ok(()));
            }
            let pending = body.pending();
            if pending.is_empty() {
                if source.body_is_done() {
                    self.end(source.trailers())?;
                } else {
                    ready!(body.poll_more(cx, source)).map_err(SendFault::Client)?;
                }
                continue;
            }
            let Some(send) = &mut self.send else { return Poll::Ready(Err(self.cannot_write())) };
            let wanted = pending.len().min(PIECE);
            send.reserve_capacity(wanted);
            let count = wanted.min(send.capacity());
            if count == 0 {
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    _ => return Poll::Ready(Err(self.cannot_write())),
                }
            }
            let data = Bytes::copy_from_slice(&pending[..count]);
            body.take(count);
            let last = body.pending().is_empty() && source.body_is_done() && source.trailers().is_empty();
            if send.send_data(data, last).is_err() {
                return Poll::Ready(Err(self.cannot_write()));
            }
            self.sent += count as u64;
            self.request_done = last;
        }
    }

    fn is_sending(&self) -> bool {
        !self.request_done && !self.write_failed
    }

    fn is_sent(&self) -> bool {
        self.request_done
    }

    fn waits_for_upstream(&self, body: &RequestBody) -> bool {
        self.request.is_some() || !body.pending().is_empty()
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReplyFault>> {
        let Some(response) = &mut self.response else { return Poll::Pending };
        match ready!(response.poll_informational(cx)) {
            Some(Ok(interim)) => {
                self.interim += 1;
                if self.interim > ResponseParser::MAX_INTERIM {
                    return Poll::Ready(Err(self.malformed(Error::TooManyInterim)));
                }
                return Poll::Ready(self.take_head(interim.status().as_u16(), interim.headers(), false));
            }
            Some(Err(error)) => return Poll::Ready(Err(self.fault(&error, self.interim > 0))),
            None => {}
        }
        match ready!(Pin::new(response).poll(cx)) {
            Ok(reply) => {
                let (parts, incoming) = reply.into_parts();
                let ended = incoming.is_end_stream();
                (self.response, self.incoming) = (None, Some(incoming));
                self.take_head(parts.status.as_u16(), &parts.headers, ended)?;
                self.stream.answered();
                self.ended = ended;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.fault(&error, self.interim > 0))),
        }
    }

    fn broken_rule(&self) -> Option<(Error, &[u8])> {
        self.broken.map(|error| (error, &[][..]))
    }

    fn reply(&self) -> &ResponseHead {
        self.reply
    }

    fn lacks(&self) -> Option<usize> {
        match self.reply.body() {
            BodyLength::Length(length) if !self.ended => usize::try_from(length).ok(),
            _ => None,
        }
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), ReplyFault>> {
        while self.held.iter().map(Bytes::len).sum::<usize>() < length {
            match ready!(self.poll_body(cx))? {
                Some(data) => self.held.push_back(data),
                None => return Poll::Ready(Err(ReplyFault::Cut { begun: true })),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_relay<C: ClientExchange>(&mut self, cx: &mut Context<'_>, client: &mut C) -> Poll<Result<(), ReplyFault>> {
        loop {
            if !self.data.is_empty() {
                let count = ready!(client.poll_data(cx, &self.data)).map_err(|_| ReplyFault::Client)?;
                self.data.advance(count);
                if let Some(incoming) = &mut self.incoming {
                    // Fails only for more than came.
                    let _ = incoming.flow_control().release_capacity(count);
                }
                continue;
            }
            if let Some(data) = self.held.pop_front() {
                self.data = data;
                continue;
            }
            if self.ended || self.reply.body() == BodyLength::None {
                if !self.end_queued {
                    client.end(&self.trailers).map_err(|_| ReplyFault::Cut { begun: true })?;
                    self.end_queued = true;
                    if self.request_done {
                        self.stream.finish();
                    }
                }
                return client.poll_flush(cx).map(|result| result.map_err(|_| ReplyFault::Client));
            }
            match self.poll_body(cx)? {
                Poll::Ready(Some(data)) => self.data = data,
                Poll::Ready(None) => {}
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
        !self.data.is_empty() || !self.held.is_empty() || self.end_queued
    }

    fn skip(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(Some(_))) = self.poll_body(&mut context) {}
        if self.ended && self.request_done {
            self.stream.finish();
        }
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn is_unacknowledged(&self) -> bool {
        self.stream.is_unacknowledged()
    }

    fn distrust(&self) {
        self.stream.retire();
    }

    fn is_told(&self) -> bool {
        self.lost && self.stream.loss_is_told()
    }

    fn abandon(&mut self) {
        (self.request, self.send, self.response, self.incoming) = (None, None, None, None);
    }
}
