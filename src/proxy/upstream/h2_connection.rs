//! An HTTP/2 connection to an endpoint, which many exchanges share.
//!
//! A [`H2Connection`] is one connection with the task that drives it; it opens [`H2Stream`]s, one for each exchange.
//!
//! * A connection is ready when the endpoint's SETTINGS have come: then it is known to speak HTTP/2 and how many streams it takes.
//! * The windows are such that a client that does not read stalls its own stream and no other: the connection's window is as
//!   large as those of all streams together.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Stream, Transport, http2};
use crate::proxy::deadline::Alarm;
use crate::routing::{EndpointStats, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::h1::{HeadLimits, Scheme};

/// Streams of ours on one connection; fewer if the endpoint allows fewer.
pub const STREAMS: usize = 100;
/// What an endpoint may send on one stream ahead of the client that reads it (bytes).
const STREAM_WINDOW: u32 = 256 * 1024;
/// All streams together.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
/// The most of a request's body that one stream may have queued (bytes).
const SEND_BUFFER: usize = 128 * 1024;
/// A connection with open streams on which nothing came for so long is sent a PING …
const PING_AFTER: Duration = Duration::from_secs(10);
/// … and given up if nothing comes for so long after that.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to close in order.
const CLOSING: Duration = Duration::from_secs(1);
/// Refused streams in a row, with no answer in between, from which on they speak against the endpoint.
const REFUSALS: u32 = 5;

/// The engine that frames and multiplexes.
pub type H2Engine = Connection<ConnectionIo, Bytes>;

fn engine() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HeadLimits::REPLY.bytes as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(0)
        .enable_push(false);
    builder
}

/// What a shared connection is opened from.
pub struct H2Setup {
    /// The connection; nothing was sent over it.
    pub transport: Transport,
    /// How the endpoint is reached.
    pub scheme: Scheme,
    /// [`EndpointStats::generation`] when it was dialled.
    pub generation: u64,
    /// How long it may be unused.
    pub idle: Duration,
}

/// One connection that exchanges share.
pub struct H2Connection {
    worker: usize,
    stats: Arc<EndpointStats>,
    /// Refused streams in a row, over all connections of the endpoint.
    refusals: Rc<Cell<u32>>,
    /// `None` when it is closing.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    wire: Rc<SharedIo>,
    scheme: Scheme,
    generation: u64,
    idle: Duration,
    streams: Cell<usize>,
    used: Cell<bool>,
    retired: Cell<bool>,
    /// Its last exchange did not end: nothing of it shall be delivered later.
    cut: Cell<bool>,
    /// Its loss was counted.
    told: Cell<bool>,
    counted_idle: Cell<bool>,
    /// Of the task that drives it.
    waker: RefCell<Option<Waker>>,
}

impl H2Connection {
    /// Opens an HTTP/2 connection over this transport; the engine is to be [driven](H2Connection::drive). No deadline of its own.
    /// Cancel safe.
    pub async fn open(
        worker: usize,
        stats: &Arc<EndpointStats>,
        refusals: &Rc<Cell<u32>>,
        how: H2Setup,
    ) -> Result<(Rc<H2Connection>, H2Engine), TryFailure> {
        let wire = Rc::new(SharedIo::new(how.transport));
        let fault = |error: h2::Error| if error.is_io() { TryFailure::Reset } else { TryFailure::Malformed };
        let (sender, mut engine) = engine().handshake(ConnectionIo(Rc::clone(&wire))).await.map_err(fault)?;
        let opened = http2::await_settings(&sender, &mut engine).await;
        opened.map_err(|error| error.map_or(TryFailure::Reset, fault))?;
        let connection = Rc::new(H2Connection {
            worker,
            stats: Arc::clone(stats),
            refusals: Rc::clone(refusals),
            sender: RefCell::new(Some(sender)),
            wire,
            scheme: how.scheme,
            generation: how.generation,
            idle: how.idle,
            streams: Cell::new(0),
            used: Cell::new(false),
            retired: Cell::new(false),
            cut: Cell::new(false),
            told: Cell::new(false),
            counted_idle: Cell::new(false),
            waker: RefCell::default(),
        });
        if !connection.takes_more() {
            // It sent GOAWAY at once.
            return Err(TryFailure::Reset);
        }
        connection.count_idle();
        Ok((connection, engine))
    }

    /// [`EndpointStats::generation`] when it was dialled.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Has it no open stream?
    pub fn is_unused(&self) -> bool {
        self.streams.get() == 0
    }

    /// Had it a stream?
    pub fn was_used(&self) -> bool {
        self.used.get()
    }

    /// May it have another stream?
    pub fn has_room(&self) -> bool {
        self.streams.get() < self.most()
    }

    /// See [`Stream::is_proven_quiet`].
    pub fn is_proven_quiet(&self) -> bool {
        self.wire.is_proven_quiet()
    }

    /// Would bytes that are written now wait?
    pub fn is_full(&self) -> bool {
        self.wire.is_full()
    }

    /// Is it closed for new streams?
    pub fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Opens no new streams; the connection ends with the last one.
    pub fn retire(&self) {
        if !self.retired.replace(true) {
            self.count_idle();
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Can another stream be opened: has no GOAWAY come, and are its numbers not used up?
    pub fn takes_more(&self) -> bool {
        let mut sender = self.sender.borrow_mut();
        let mut context = Context::from_waker(Waker::noop());
        sender.as_mut().is_some_and(|sender| !matches!(sender.poll_ready(&mut context), Poll::Ready(Err(_))))
    }

    /// How many streams it may have at once.
    pub fn most(&self) -> usize {
        self.sender.borrow().as_ref().map_or(0, |sender| sender.current_max_send_streams().min(STREAMS))
    }

    fn is_idle(&self) -> bool {
        self.streams.get() == 0 && !self.retired.get()
    }

    /// Keeps the gauge of idle connections right.
    fn count_idle(&self) {
        let idle = self.is_idle();
        if self.counted_idle.replace(idle) != idle {
            self.stats.count_idle(self.worker, if idle { 1 } else { -1 });
        }
    }

    /// Drives the connection until it is over.
    pub async fn drive(&self, engine: H2Engine, alarm: Alarm) {
        let mut driver = ConnectionTask::new(self, engine, alarm);
        poll_fn(|cx| driver.poll(cx)).await;
        if self.cut.get() {
            self.wire.reset_on_close();
        }
        drop(driver);
        self.retire();
    }

    /// Closes its socket.
    pub fn close(&self) {
        self.sender.borrow_mut().take();
        self.wire.close();
    }
}

/// The task's side of a connection.
struct ConnectionTask<'c> {
    connection: &'c H2Connection,
    engine: H2Engine,
    pings: Option<PingPong>,
    alarm: Alarm,
    /// When bytes last came, or the connection began to wait for some.
    heard: MonoTime,
    /// Bytes that had come by then.
    read: u64,
    /// When the PING was sent that has had no answer.
    asked: Option<MonoTime>,
    /// It had no streams when it was last looked at, since then.
    unused: Option<MonoTime>,
    closing: bool,
}

impl<'c> ConnectionTask<'c> {
    fn new(connection: &'c H2Connection, mut engine: H2Engine, alarm: Alarm) -> ConnectionTask<'c> {
        let pings = engine.ping_pong();
        let now = clock::now();
        ConnectionTask {
            connection,
            engine,
            pings,
            alarm,
            heard: now,
            read: 0,
            asked: None,
            unused: Some(now),
            closing: false,
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.connection.waker.borrow_mut() = Some(cx.waker().clone());
        loop {
            if Pin::new(&mut self.engine).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if !self.connection.takes_more() {
                self.connection.retire();
            }
            let now = clock::now();
            let unused = self.note(now);
            if self.closing {
                return self.alarm.poll(cx).map(|_| ());
            }
            let expired = unused && self.unused.is_some_and(|since| now >= since.after(self.connection.idle));
            if unused && (self.connection.retired.get() || expired) {
                if self.connection.cut.get() {
                    return Poll::Ready(());
                }
                // Without a sender the engine sends GOAWAY by itself.
                self.connection.retire();
                self.connection.sender.borrow_mut().take();
                self.closing = true;
                self.alarm.set(now.after(CLOSING));
                continue;
            }
            if !unused && self.is_dead(cx, now) {
                tracing::debug!("an endpoint's HTTP/2 connection does not answer any more");
                self.connection.cut.set(true);
                return Poll::Ready(());
            }
            self.alarm.set(self.next());
            if self.alarm.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Notes what came and whether the connection is in use.
    fn note(&mut self, now: MonoTime) -> bool {
        let read = self.connection.wire.read.get();
        if std::mem::replace(&mut self.read, read) != read {
            (self.heard, self.asked) = (now, None);
        }
        let unused = self.connection.streams.get() == 0;
        match (unused, self.unused) {
            (true, None) => self.unused = Some(now),
            (false, Some(_)) => (self.unused, self.heard, self.asked) = (None, now, None),
            _ => {}
        }
        unused
    }

    /// Sends a PING when nothing has come for a while. True: nothing came after that either.
    fn is_dead(&mut self, cx: &mut Context<'_>, now: MonoTime) -> bool {
        if let Some(pings) = &mut self.pings {
            // Only so that the next one can be sent: whatever comes is a sign of life.
            let _ = pings.poll_pong(cx);
        }
        match self.asked {
            Some(asked) => now >= asked.after(PING_TIMEOUT),
            None => {
                if now >= self.heard.after(PING_AFTER) {
                    self.asked = Some(now);
                    // Fails when one is on its way: then that one is waited for.
                    let _ = self.pings.as_mut().map(|pings| pings.send_ping(Ping::opaque()));
                }
                false
            }
        }
    }

    fn next(&self) -> MonoTime {
        match (self.unused, self.asked) {
            (Some(since), _) => since.after(self.connection.idle),
            (None, Some(asked)) => asked.after(PING_TIMEOUT),
            (None, None) => self.heard.after(PING_AFTER),
        }
    }
}

/// A stream of a shared connection, for one exchange.
pub struct H2Stream {
    connection: Rc<H2Connection>,
    /// The connection had been used before, and no request used it.
    pub was_idle: bool,
    /// Something may have been sent that shall not be delivered later.
    open: Cell<bool>,
}

impl H2Stream {
    /// A further stream of this connection.
    pub fn new(connection: &Rc<H2Connection>, was_idle: bool) -> H2Stream {
        connection.streams.set(connection.streams.get() + 1);
        connection.used.set(true);
        if connection.streams.get() == 1 {
            connection.cut.set(false);
        }
        connection.count_idle();
        connection.wake();
        H2Stream { connection: Rc::clone(connection), was_idle, open: Cell::new(false) }
    }

    /// How the endpoint is reached.
    pub fn scheme(&self) -> Scheme {
        self.connection.scheme
    }

    /// What the request is sent by; `None`: the connection takes no further stream.
    pub fn sender(&self) -> Option<SendRequest<Bytes>> {
        if !self.connection.takes_more() {
            self.connection.retire();
            return None;
        }
        self.open.set(true);
        self.connection.sender.borrow().clone()
    }

    /// Opens no further stream on its connection.
    pub fn retire(&self) {
        self.connection.retire();
    }

    /// See [`Stream::is_unacknowledged`].
    pub fn is_unacknowledged(&self) -> bool {
        self.connection.wire.transport.borrow().as_ref().is_some_and(Stream::is_unacknowledged)
    }

    /// The endpoint refused the stream. True: it has refused every one lately.
    pub fn refused(&self) -> bool {
        self.connection.refusals.set(self.connection.refusals.get().saturating_add(1));
        self.connection.refusals.get() >= REFUSALS
    }

    /// The endpoint answered.
    pub fn answered(&self) {
        self.connection.refusals.set(0);
    }

    /// The connection was lost: was that counted for another stream?
    pub fn loss_is_told(&self) -> bool {
        self.connection.told.replace(true)
    }

    /// The exchange came to its end.
    pub fn finish(&self) {
        self.open.set(false);
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get() - 1);
        if self.open.get() {
            self.connection.cut.set(true);
        }
        self.connection.count_idle();
        self.connection.wake();
    }
}

/// The socket of a connection: its task reads and writes, its streams look at it.
struct SharedIo {
    transport: RefCell<Option<Transport>>,
    read: Cell<u64>,
    /// The last write had to wait.
    waits: Cell<bool>,
}

impl SharedIo {
    fn new(transport: Transport) -> SharedIo {
        SharedIo { transport: RefCell::new(Some(transport)), read: Cell::new(0), waits: Cell::new(false) }
    }

    /// Would bytes that are written now wait?
    fn is_full(&self) -> bool {
        self.waits.get() && self.transport.borrow().as_ref().is_some_and(|transport| !transport.has_room())
    }

    fn write<T>(&self, call: impl FnOnce(Pin<&mut Transport>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let result = self.with(call);
        self.waits.set(result.is_pending());
        result
    }

    fn is_proven_quiet(&self) -> bool {
        self.transport.borrow().as_ref().is_some_and(Stream::is_proven_quiet)
    }

    fn reset_on_close(&self) {
        if let Some(transport) = &*self.transport.borrow() {
            transport.reset_on_close();
        }
    }

    fn close(&self) {
        self.transport.borrow_mut().take();
    }

    fn with<T>(&self, call: impl FnOnce(Pin<&mut Transport>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut *self.transport.borrow_mut() {
            Some(transport) => call(Pin::new(transport)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// What the engine reads and writes.
pub struct ConnectionIo(Rc<SharedIo>);

impl AsyncRead for ConnectionIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = self.0.with(|transport| transport.poll_read(cx, into));
        self.0.read.set(self.0.read.get() + (into.filled().len() - before) as u64);
        result
    }
}

impl AsyncWrite for ConnectionIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.write(|transport| transport.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.write(|transport| transport.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.transport.borrow().as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.write(|transport| transport.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|transport| transport.poll_shutdown(cx))
    }
}
