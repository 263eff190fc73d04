//! A client's HTTP/1 connection: one request after the other.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::client::H1Client;
use crate::decision::Moment;
use crate::net::Stream;
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::door::Guest;
use crate::proxy::http::account::record_refused;
use crate::proxy::http::current;
use crate::proxy::http::request::{self, Finish, Scratch, Setting};
use crate::proxy::http::respond::Refusal;
use crate::proxy::tcp::hash_peer;
use crate::proxy::worker::Worker;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1::{ClientAddress, Error, HeadLimits, Progress, RequestHead, RequestParser, Scheme};
use crate::wire::h2::Preface;

/// How long, and for how many bytes, a connection that ends is still read, so that the client finds the answer and not a
/// reset behind it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// How long a connection that was accepted just before a stop may take to begin its request.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Why no (further) request came.
enum NoRequest {
    /// The connection ended, or was idle for too long, or is not wanted any more.
    Over,
    /// The head did not come in time.
    Slow,
    /// What came is no request.
    Refused(Error),
    /// It is the beginning of HTTP/2.
    Http2,
    /// A stop cut it.
    Killed,
}

/// Serves one client connection of an HTTP listener, to its end. `Some`: it speaks HTTP/2, and this is the guest with what
/// was read of it.
pub async fn serve_connection(
    worker: &Rc<Worker>,
    listener: Arc<ListenerView>,
    guest: Guest,
    accepted: Moment,
) -> Option<(Guest, Buffer)> {
    let Guest { transport, peer, reached, scheme, http2, alarm, place } = guest;
    let address = ClientAddress::new(peer.ip());
    let setting = Setting {
        worker,
        place: &place,
        alarm: &alarm,
        peer,
        reached,
        address: &address,
        scheme,
        hash: hash_peer(peer),
    };
    let mut connection = Connection {
        worker,
        client: H1Client::new(worker, transport),
        listener,
        accepted: Some(accepted),
        // Over TLS the protocol was agreed on.
        may_be_http2: scheme == Scheme::Http,
        is_http2: false,
    };
    let finish = loop {
        let mut scratch = match connection.next_head(&setting).await {
            Ok(scratch) => scratch,
            Err(finish) => break finish,
        };
        place.set_busy(true);
        let finish = connection.serve(&setting, &mut scratch.0, scratch.1).await;
        place.set_busy(false);
        connection.put_back(scratch.0);
        if finish != Finish::Next {
            break finish;
        }
    };
    if connection.is_http2 {
        let H1Client { stream, input, .. } = connection.client;
        return Some((Guest { transport: stream, peer, reached, scheme, http2, alarm, place }, input));
    }
    connection.close(&alarm, finish).await;
    None
}

struct Connection<'a, S> {
    worker: &'a Rc<Worker>,
    client: H1Client<S>,
    listener: Arc<ListenerView>,
    /// When it was accepted, until its first request.
    accepted: Option<Moment>,
    /// Nothing has said yet that it does not speak HTTP/2.
    may_be_http2: bool,
    /// It does.
    is_http2: bool,
}

impl<S: Stream> Connection<'_, S> {
    /// Waits for the next request's head, with nothing in hand but the socket until its first byte comes. `Err`: there is
    /// none, what had to be said about it is said.
    async fn next_head(&mut self, setting: &Setting<'_>) -> Result<(Box<Scratch>, Moment), Finish> {
        let alarm = setting.alarm;
        if self.client.input.is_empty() {
            self.park(alarm)
                .await
                .map_err(|over| if matches!(over, NoRequest::Killed) { Finish::Abort } else { Finish::Close })?;
        }
        let began = clock::now();
        let mut scratch = self.worker.scratch();
        let timeout = self.listener.config.timeouts.header;
        alarm.set(self.accepted.take().unwrap_or(began).after(timeout));
        let limits = HeadLimits::from(&self.listener.config.limits);
        let mut parser = RequestParser::over(setting.scheme);
        let head = poll_fn(|cx| self.poll_head(cx, &mut parser, &limits, &mut scratch.head, alarm)).await;
        let (refusal, termination) = match head {
            Ok(()) => {
                self.client.next_request(&scratch.head);
                return Ok((scratch, began));
            }
            Err(NoRequest::Over) => return Err(Finish::Close),
            Err(NoRequest::Http2) => {
                self.is_http2 = true;
                self.put_back(scratch);
                return Err(Finish::Close);
            }
            Err(NoRequest::Killed) => return Err(Finish::Abort),
            Err(NoRequest::Slow) => (Refusal::SLOW, Termination::ClientTimeout),
            Err(NoRequest::Refused(error)) => {
                self.listener.stats.count_refusal(self.worker.id, error);
                (Refusal::malformed(error), Termination::Refused)
            }
        };
        self.client.not_a_request();
        let finish = self.refuse(&refusal, alarm).await;
        record_refused(setting, &self.listener, began, refusal.status, termination);
        Err(finish)
    }

    /// Until the first byte of a request.
    async fn park(&mut self, alarm: &Alarm) -> Result<(), NoRequest> {
        let timeouts = &self.listener.config.timeouts;
        match self.accepted {
            Some(accepted) => alarm.set(accepted.after(timeouts.header)),
            None => alarm.set(clock::now().after(timeouts.idle)),
        }
        let mut hurried = false;
        poll_fn(|cx| {
            if self.client.has_closed() || self.is_unwanted() {
                return Poll::Ready(Err(NoRequest::Over));
            }
            if self.worker.is_draining() && !std::mem::replace(&mut hurried, true) {
                alarm.set(clock::now().after(LAST_CALL));
            }
            match self.client.poll_read(cx) {
                Poll::Ready(Ok(count)) if count > 0 => return Poll::Ready(Ok(())),
                Poll::Ready(_) => return Poll::Ready(Err(NoRequest::Over)),
                Poll::Pending => {}
            }
            alarm
                .poll(cx)
                .map(|interrupt| Err(if interrupt == Interrupt::Killed { NoRequest::Killed } else { NoRequest::Over }))
        })
        .await
    }

    /// The worker stops, or a reload removed the listener.
    fn is_unwanted(&self) -> bool {
        self.worker.is_draining() && self.accepted.is_none() || current(&self.listener, &self.worker.table()).is_none()
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        parser: &mut RequestParser,
        limits: &HeadLimits,
        head: &mut RequestHead,
        alarm: &Alarm,
    ) -> Poll<Result<(), NoRequest>> {
        loop {
            if self.may_be_http2 {
                match Preface::of(self.client.input.bytes()) {
                    Preface::Whole => return Poll::Ready(Err(NoRequest::Http2)),
                    Preface::No => self.may_be_http2 = false,
                    Preface::Partial => {}
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
                    return match ready!(alarm.poll(cx)) {
                        Interrupt::Deadline => Poll::Ready(Err(NoRequest::Slow)),
                        Interrupt::Killed => Poll::Ready(Err(NoRequest::Killed)),
                    };
                }
            }
        }
    }

    async fn serve(&mut self, setting: &Setting<'_>, scratch: &mut Scratch, began: Moment) -> Finish {
        let table = self.worker.table();
        let Some(listener) = current(&self.listener, &table) else {
            return self.refuse(&Refusal::LISTENER_GONE, setting.alarm).await;
        };
        if !Arc::ptr_eq(listener, &self.listener) {
            self.listener = Arc::clone(listener);
        }
        let finish = request::serve(setting, &table, &self.listener, &mut self.client, scratch, began).await;
        if finish == Finish::Next
            && (self.client.ends_by_close() || self.client.has_closed() && self.client.input.is_empty())
        {
            return Finish::Close;
        }
        finish
    }

    /// Says what is wrong with what is no request.
    async fn refuse(&mut self, refusal: &Refusal, alarm: &Alarm) -> Finish {
        let taken = request::refuse(&mut self.client, refusal, alarm, LINGER).await;
        if taken { Finish::Close } else { Finish::Abort }
    }

    fn put_back(&self, scratch: Box<Scratch>) {
        self.worker.put_scratch(scratch);
    }

    /// Ends the connection: by a reset, or in order. If the client may still be sending, what it sends is read for a while:
    /// closed at once, the kernel would answer it with a reset, which can overtake our answer.
    async fn close(mut self, alarm: &Alarm, finish: Finish) {
        if finish == Finish::Abort {
            self.client.stream.reset_on_close();
            return;
        }
        let may_be_sending = self.client.may_be_sending();
        // Over a layer the end has to be said, or the client takes it for a cut.
        if !may_be_sending && !self.client.stream.is_layered() {
            return;
        }
        alarm.set(clock::now().after(LINGER));
        let mut left = LINGER_BYTES;
        // A failure only means that there is nobody any more.
        let _: io::Result<()> = poll_fn(|cx| {
            if Pin::new(&mut self.client.stream).poll_shutdown(cx)?.is_pending() {
                return alarm.poll(cx).map(|_| Ok(()));
            }
            while may_be_sending && !self.client.has_closed() {
                self.client.input.clear();
                match self.client.poll_read(cx) {
                    Poll::Ready(Ok(count)) if count < left => left -= count,
                    Poll::Ready(_) => break,
                    Poll::Pending => return alarm.poll(cx).map(|_| Ok(())),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
    }
}
