//! A client's HTTP/2 connection: one task drives the engine, every stream is a task of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use super::io::{IoWatch, WatchedIo};
use super::stream::{OpenedStream, StreamCount, StreamShared};
use super::task_pool::TaskPool;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::handshake::AcceptedConn;
use crate::proxy::http::account::record_refused;
use crate::proxy::http::context::ConnectionContext;
use crate::proxy::http::listener::{Http2Conn, current};
use crate::proxy::http::memory::HttpMemory;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::Error;
use crate::wire::h2::{H2Excess, RecentStreams};

/// What a client may send ahead on one stream. The connection has room for that on all its streams, so that a stalled one
/// never stops the others.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What the engine holds at most of one stream's answer that the socket has not taken.
const SEND_BUFFER: usize = 32 * 1024;
/// Requests cancelled before we saw them, at once: a page that is left takes a hundred with it. Floods are the meter's.
const CANCELLED_UNSEEN: usize = 512;
/// Streams that the engine had to reset for errors of the client, over the connection's life.
const ERRORS: usize = 1024;
/// The engine's bound of fields in one head, in bytes as it counts them.
const HEADER_LIST: usize = 512 * 1024;

/// How long a connection that ends waits for the client to take the last frames, and how much of what it still sends is read
/// meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
/// How long after a GOAWAY a client may still begin requests that it had decided to send before.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Serves one client connection, to its end.
pub async fn serve_connection(memory: &Rc<HttpMemory>, tasks: &Rc<TaskPool>, http2: Http2Conn, accepted: MonoTime) {
    let Http2Conn { listener, conn, ahead } = http2;
    let AcceptedConn { transport, peer, reached, scheme, alarm, entry: _entry, .. } = *conn;
    let watch = IoWatch::new(transport, listener.config.timeouts.body, accepted);
    alarm.set(accepted.after(listener.config.timeouts.header));
    let mut handshake = pin!(engine(&listener).handshake(WatchedIo::new(&watch, ahead)));
    let begun = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(begun) => Poll::Ready(begun.ok()),
        Poll::Pending => alarm.poll(cx).map(|_| None),
    });
    let Some(engine) = begun.await else { return };
    let shared = StreamShared::new(memory, listener, ConnectionContext::new(peer, reached, scheme), watch);
    let mut driver = H2Driver {
        engine,
        shared,
        tasks,
        alarm,
        first: Some(accepted),
        idle: None,
        in_head: None,
        leaving: false,
        ending: None,
        accepted: RecentStreams::default(),
    };
    if poll_fn(|cx| driver.poll(cx)).await == H2End::Reset {
        driver.shared.watch.reset();
        return;
    }
    let H2Driver { engine, shared, alarm, .. } = driver;
    drop(engine);
    alarm.set(clock::now().after(LINGER));
    let mut most = LINGER_BYTES;
    poll_fn(|cx| match shared.watch.poll_linger(cx, &mut most) {
        Poll::Pending => alarm.poll(cx).map(|_| ()),
        ready => ready,
    })
    .await;
}

fn engine(listener: &ListenerView) -> Builder {
    let limits = &listener.config.limits;
    let list = (limits.header_bytes + 32 * (limits.headers + 4)).min(HEADER_LIST);
    let window = u64::from(STREAM_WINDOW) * u64::from(limits.streams.max(1));
    let mut engine = Builder::new();
    engine
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(list as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window.min(i32::MAX as u64) as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(CANCELLED_UNSEEN)
        .max_local_error_reset_streams(Some(ERRORS));
    engine
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum H2End {
    /// The engine has sent all that was to be sent, or the client is gone.
    Said,
    /// The client gets no more.
    Reset,
}

struct H2Driver<'w> {
    engine: Connection<WatchedIo, Bytes>,
    shared: Rc<StreamShared>,
    /// Serves its streams.
    tasks: &'w Rc<TaskPool>,
    alarm: Alarm,
    /// When the connection was accepted, until its first request.
    first: Option<MonoTime>,
    /// Since when there is no stream.
    idle: Option<MonoTime>,
    /// Since when a head is on its way.
    in_head: Option<MonoTime>,
    /// GOAWAY was sent.
    leaving: bool,
    /// Since when the connection is only to be ended.
    ending: Option<MonoTime>,
    /// Streams whose requests the engine has given to us.
    accepted: RecentStreams,
}

impl H2Driver<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<H2End> {
        loop {
            match self.engine.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.open(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.judge(&error);
                    return Poll::Ready(H2End::Said);
                }
                Poll::Ready(None) => return Poll::Ready(H2End::Said),
                Poll::Pending => self.count_refused(),
            }
            if !self.is_ending() {
                if let Some(excess) = self.shared.watch.excess() {
                    self.turn_away(excess);
                    continue;
                }
                if !self.leaving && self.is_unwanted() {
                    (self.leaving, self.idle) = (true, None);
                    self.engine.graceful_shutdown();
                    continue;
                }
            }
            match self.alarm.poll(cx) {
                Poll::Pending => {
                    self.set_alarm(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Interrupt::Killed) => {
                    self.engine.abrupt_shutdown(Reason::NO_ERROR);
                    // One chance to send that.
                    let _ = self.engine.poll_closed(cx);
                    return Poll::Ready(H2End::Reset);
                }
                Poll::Ready(Interrupt::Deadline) => {
                    if self.is_over() {
                        return Poll::Ready(H2End::Reset);
                    }
                    self.set_alarm(cx);
                }
            }
        }
    }

    /// A request came: starts its task.
    fn open(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.first = None;
        self.accepted.add(respond.stream_id().as_u32());
        let counted = StreamCount::new(&self.shared);
        self.tasks.serve(OpenedStream { counted, request, respond });
    }

    /// Counts and logs the requests that the engine refused before we saw them.
    fn count_refused(&self) {
        for stream in self.shared.watch.take_refused() {
            if self.accepted.may_have(stream) {
                continue; // its task finds that out
            }
            let (core, listener) = (self.shared.core(), self.shared.listener.borrow());
            listener.stats.count_refusal(core.id, Error::Http2Message);
            let (alarm, entry) = self.shared.entry();
            let context = self.shared.context(&entry, &alarm);
            record_refused(&context, &listener, clock::now(), Error::Http2Message.status(), Termination::Refused);
            self.shared.put_back(alarm, entry);
        }
    }

    /// The worker stops, clients wait for descriptors and there is no stream, or a reload removed the listener.
    fn is_unwanted(&self) -> bool {
        let core = self.shared.core();
        let idle = self.first.is_none() && self.shared.streams.get() == 0;
        core.is_draining()
            || core.is_short() && idle
            || current(&self.shared.listener.borrow(), &core.table()).is_none()
    }

    /// Ends the connection of a client that costs more than it may.
    fn turn_away(&mut self, excess: H2Excess) {
        self.count(excess);
        self.end(Reason::ENHANCE_YOUR_CALM);
    }

    fn end(&mut self, reason: Reason) {
        self.ending = Some(clock::now());
        self.engine.abrupt_shutdown(reason);
    }

    fn count(&self, excess: H2Excess) {
        let listener = self.shared.listener.borrow();
        listener.stats.count_excess(self.shared.core().id, excess);
    }

    /// Why the engine ended the connection.
    fn judge(&self, error: &h2::Error) {
        if error.is_go_away() && error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            self.count(if self.shared.watch.is_in_head() { H2Excess::Head } else { H2Excess::Engine });
        }
    }

    /// Armed for whatever comes first.
    fn set_alarm(&mut self, cx: &Context<'_>) {
        if self.shared.streams.get() > 0 {
            self.idle = None;
            let mut driver = self.shared.driver.borrow_mut();
            if !driver.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *driver = Some(cx.waker().clone());
            }
        } else if self.idle.is_none() {
            self.idle = Some(clock::now());
        }
        match self.shared.watch.is_in_head() {
            false => self.in_head = None,
            true if self.in_head.is_none() => self.in_head = Some(clock::now()),
            true => {}
        }
        let due = [self.end_is_due(), self.blocked_is_due(), self.head_is_due(), self.idle_is_due()];
        match due.into_iter().flatten().min() {
            Some(due) => self.alarm.set(due),
            None => self.alarm.clear(),
        }
    }

    fn end_is_due(&self) -> Option<MonoTime> {
        let since = [self.ending, self.shared.watch.ending()].into_iter().flatten().min();
        since.map(|since| since.after(LINGER))
    }

    fn blocked_is_due(&self) -> Option<MonoTime> {
        self.shared.watch.blocked_until()
    }

    fn is_ending(&self) -> bool {
        self.ending.is_some() || self.shared.watch.ending().is_some()
    }

    fn head_is_due(&self) -> Option<MonoTime> {
        self.in_head
            .filter(|_| !self.is_ending())
            .map(|since| since.after(self.shared.listener.borrow().config.timeouts.header))
    }

    fn idle_is_due(&self) -> Option<MonoTime> {
        if self.is_ending() {
            return None;
        }
        let timeouts = &self.shared.listener.borrow().config.timeouts;
        match (self.first, self.idle) {
            (Some(accepted), _) if !self.leaving => Some(accepted.after(timeouts.header)),
            (_, Some(since)) => Some(since.after(if self.leaving { STOP_GRACE } else { timeouts.idle })),
            _ => None,
        }
    }

    /// A deadline has passed; true: the connection is to be closed.
    fn is_over(&mut self) -> bool {
        let now = clock::now();
        let passed = |due: Option<MonoTime>| due.is_some_and(|due| due <= now);
        if passed(self.end_is_due()) || passed(self.blocked_is_due()) {
            return true;
        }
        if passed(self.head_is_due()) {
            self.turn_away(H2Excess::SlowHead);
        } else if passed(self.idle_is_due()) {
            self.end(Reason::NO_ERROR);
        }
        false
    }
}
