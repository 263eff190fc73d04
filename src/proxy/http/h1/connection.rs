//! A client's HTTP/1 connection: one request after the other.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::client::H1Client;
use crate::net::{Stream, Transport};
use crate::proxy::clients::ClientEntry;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::handshake::AcceptedConn;
use crate::proxy::http::account::record_refused;
use crate::proxy::http::context::{ConnectionContext, RequestContext};
use crate::proxy::http::listener::{Http2Conn, current};
use crate::proxy::http::memory::{ExchangeScratch, HttpMemory};
use crate::proxy::http::request;
use crate::proxy::http::respond::LocalAnswer;
use crate::proxy::http::verdict::ConnectionFate;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::{Error, HeadLimits, Progress, RequestHead, RequestParser, Scheme};
use crate::wire::h2::PrefaceMatch;

/// How long, and for how many bytes, a connection that ends is still read, so that the client finds the answer and not a
/// reset behind it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// How long a connection that was accepted just before a stop may take to begin its request.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Why there is no (further) request.
enum NoRequest {
    /// The connection ended, or was idle for too long, or is not wanted any more.
    Over,
    /// The head did not come in time.
    Slow,
    /// The request is malformed.
    Refused(Error),
    /// It is the beginning of HTTP/2.
    Http2,
    /// A stop cut it.
    Killed,
}

/// A client's connection, as it is between two requests.
pub(super) struct H1Connection {
    memory: Rc<HttpMemory>,
    client: H1Client<Transport>,
    connection_context: ConnectionContext,
    alarm: Alarm,
    entry: ClientEntry,
    listener: Arc<ListenerView>,
    /// When it was accepted, until its first request.
    accepted: Option<MonoTime>,
    /// It may still turn out to speak HTTP/2.
    may_be_http2: bool,
    /// It does.
    pub(super) is_http2: bool,
}

impl H1Connection {
    pub(super) fn new(
        memory: &Rc<HttpMemory>,
        listener: Arc<ListenerView>,
        conn: AcceptedConn,
        accepted: MonoTime,
    ) -> H1Connection {
        let AcceptedConn { transport, peer, reached, scheme, alarm, entry, .. } = conn;
        H1Connection {
            memory: Rc::clone(memory),
            client: H1Client::new(&memory.pools, transport),
            connection_context: ConnectionContext::new(peer, reached, scheme),
            alarm,
            entry,
            listener,
            accepted: Some(accepted),
            // Over TLS the protocol was agreed on.
            may_be_http2: scheme == Scheme::Http,
            is_http2: false,
        }
    }

    pub(super) fn into_http2(self: Box<Self>) -> Http2Conn {
        let H1Connection { client: H1Client { stream, input, .. }, connection_context, alarm, entry, listener, .. } =
            *self;
        let ConnectionContext { peer, reached, scheme, .. } = connection_context;
        let conn = AcceptedConn { transport: stream, peer, reached, scheme, http2: true, alarm, entry };
        Http2Conn { listener, conn: Box::new(conn), ahead: input }
    }

    /// Memory for its requests.
    pub(super) fn memory(&self) -> &HttpMemory {
        &self.memory
    }

    fn core(&self) -> &WorkerCore {
        self.client.core()
    }

    /// Serves one request, whose first bytes are here.
    pub(super) async fn serve(&mut self, scratch: &mut ExchangeScratch) -> ConnectionFate {
        let began = match self.take_head(scratch).await {
            Ok(began) => began,
            Err(finish) => return finish,
        };
        self.entry.set_busy(true);
        let finish = self.answer(scratch, began).await;
        self.entry.set_busy(false);
        finish
    }

    /// Waits for the whole head of a request that has begun; returns when it did. `Err`: there is none, and it is
    /// answered and counted.
    async fn take_head(&mut self, scratch: &mut ExchangeScratch) -> Result<MonoTime, ConnectionFate> {
        let began = clock::now();
        let timeout = self.listener.config.timeouts.header;
        self.alarm.set(self.accepted.take().unwrap_or(began).after(timeout));
        let limits = HeadLimits::from(&self.listener.config.limits);
        let mut parser = RequestParser::over(self.connection_context.scheme);
        let head = poll_fn(|cx| self.poll_head(cx, &mut parser, &limits, &mut scratch.head)).await;
        let (refusal, termination) = match head {
            Ok(()) => {
                self.client.next_request(&scratch.head);
                return Ok(began);
            }
            Err(NoRequest::Over) => return Err(ConnectionFate::Close),
            Err(NoRequest::Http2) => {
                self.is_http2 = true;
                return Err(ConnectionFate::Close);
            }
            Err(NoRequest::Killed) => return Err(ConnectionFate::Abort),
            Err(NoRequest::Slow) => (LocalAnswer::SLOW, Termination::ClientTimeout),
            Err(NoRequest::Refused(error)) => {
                self.listener.stats.count_refusal(self.core().id, error);
                (LocalAnswer::malformed(error), Termination::Refused)
            }
        };
        self.client.not_a_request();
        let finish = self.refuse(&refusal).await;
        let H1Connection { memory, connection_context, alarm, entry, .. } = &*self;
        let context = RequestContext::new(memory, entry, alarm, connection_context);
        record_refused(&context, &self.listener, began, refusal.status, termination);
        Err(finish)
    }

    /// Until the first byte of a request. [`ConnectionFate::Next`]: it is here; anything else: there will be none.
    pub(super) async fn park(&mut self) -> ConnectionFate {
        if !self.client.input.is_empty() {
            return ConnectionFate::Next;
        }
        let timeouts = &self.listener.config.timeouts;
        match self.accepted {
            Some(accepted) => self.alarm.set(accepted.after(timeouts.header)),
            None => self.alarm.set(clock::now().after(timeouts.idle)),
        }
        let mut hurried = false;
        poll_fn(|cx| {
            if self.client.has_closed() || self.is_unwanted() {
                return Poll::Ready(ConnectionFate::Close);
            }
            // Where clients wait for descriptors, a connection between two requests gives its own back.
            let hurries = self.core().is_draining() || self.core().is_short() && self.accepted.is_none();
            if hurries && !std::mem::replace(&mut hurried, true) {
                self.alarm.set(clock::now().after(STOP_GRACE));
            }
            match self.client.poll_read(cx) {
                Poll::Ready(Ok(count)) if count > 0 => return Poll::Ready(ConnectionFate::Next),
                Poll::Ready(_) => return Poll::Ready(ConnectionFate::Close),
                Poll::Pending => {}
            }
            self.alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => ConnectionFate::Abort,
                Interrupt::Deadline => ConnectionFate::Close,
            })
        })
        .await
    }

    /// The worker stops, or a reload removed the listener.
    #[inline]
    fn is_unwanted(&self) -> bool {
        self.core().is_draining() && self.accepted.is_none() || current(&self.listener, &self.core().table()).is_none()
    }

    #[inline]
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        parser: &mut RequestParser,
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), NoRequest>> {
        loop {
            if self.may_be_http2 {
                match PrefaceMatch::of(self.client.input.bytes()) {
                    PrefaceMatch::Whole => return Poll::Ready(Err(NoRequest::Http2)),
                    PrefaceMatch::No => self.may_be_http2 = false,
                    PrefaceMatch::Partial => {}
                }
            }
            if !self.client.input.is_empty() && !self.may_be_http2 {
                match parser.feed(self.client.input.bytes(), limits, head) {
                    Ok(Progress::Complete(used)) => {
                        self.client.input.consume(used);
                        self.client.input.release();
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Progress::Partial) => self.client.input.clear(),
                    Err(error) => return Poll::Ready(Err(NoRequest::Refused(error))),
                }
            }
            if self.client.has_closed() {
                return Poll::Ready(Err(NoRequest::Over));
            }
            match self.client.poll_read(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(NoRequest::Over)),
                Poll::Pending => {
                    return match ready!(self.alarm.poll(cx)) {
                        Interrupt::Deadline => Poll::Ready(Err(NoRequest::Slow)),
                        Interrupt::Killed => Poll::Ready(Err(NoRequest::Killed)),
                    };
                }
            }
        }
    }

    async fn answer(&mut self, scratch: &mut ExchangeScratch, began: MonoTime) -> ConnectionFate {
        let table = self.core().table();
        let Some(listener) = current(&self.listener, &table) else {
            return self.refuse(&LocalAnswer::LISTENER_GONE).await;
        };
        if !Arc::ptr_eq(listener, &self.listener) {
            self.listener = Arc::clone(listener);
        }
        let H1Connection { memory, client, connection_context, alarm, entry, listener, .. } = self;
        let context = RequestContext::new(memory, entry, alarm, connection_context);
        let finish = request::serve(&context, &table, listener, client, scratch, began).await;
        if finish == ConnectionFate::Next && (client.ends_by_close() || client.has_closed() && client.input.is_empty())
        {
            return ConnectionFate::Close;
        }
        finish
    }

    /// Answers a malformed request.
    async fn refuse(&mut self, refusal: &LocalAnswer) -> ConnectionFate {
        let taken = request::refuse(&mut self.client, refusal, &self.alarm, LINGER).await;
        if taken { ConnectionFate::Close } else { ConnectionFate::Abort }
    }

    /// Ends the connection: by a reset, or in order. If the client may still be sending, what it sends is read for a while:
    /// closed at once, the kernel would answer it with a reset, which can overtake our answer.
    pub(super) async fn close(&mut self, finish: ConnectionFate) {
        if finish == ConnectionFate::Abort {
            self.client.stream.reset_on_close();
            return;
        }
        let may_be_sending = self.client.may_be_sending();
        // A shutdown is needed where the rest of the reply waits for it and, over TLS, so that the end is not taken for a cut.
        if !may_be_sending && !self.client.stream.is_layered() && !self.client.waits_for_end() {
            return;
        }
        self.alarm.set(clock::now().after(LINGER));
        let mut left = LINGER_BYTES;
        // A failure only means that the client is gone.
        let _: io::Result<()> = poll_fn(|cx| {
            if Pin::new(&mut self.client.stream).poll_shutdown(cx)?.is_pending() {
                return self.alarm.poll(cx).map(|_| Ok(()));
            }
            while may_be_sending && !self.client.has_closed() {
                self.client.input.clear();
                match self.client.poll_read(cx) {
                    Poll::Ready(Ok(count)) if count < left => left -= count,
                    Poll::Ready(_) => break,
                    Poll::Pending => return self.alarm.poll(cx).map(|_| Ok(())),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
    }
}
