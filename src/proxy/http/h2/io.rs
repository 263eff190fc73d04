//! Between the engine and the client's connection: gives it what was read before it began, watches frames and progress,
//! answers requests that the engine only resets, and ends the connection so that the client reads the last frames.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Stream, Transport};
use crate::proxy::buffer::Buffer;
use crate::proxy::http::least_rate::LeastRate;
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::h2::{ClientMeter, H2Excess, RESET, RefusedRequests};

/// What is known of a connection beneath the engine.
pub struct IoWatch {
    stream: RefCell<Transport>,
    meter: RefCell<ClientMeter>,
    excess: Cell<Option<H2Excess>>,
    /// While the socket takes nothing of what waits for it: the time by which the client has to read.
    blocked_until: Cell<Option<MonoTime>>,
    /// How long the client may still be waited for.
    rate: RefCell<LeastRate>,
    /// Bytes that the socket has taken.
    written: Cell<u64>,
    ending: Cell<Option<MonoTime>>,
    closed: Cell<bool>,
    /// Streams whose requests the engine refused, and which got an answer: not counted yet.
    refused: RefCell<Vec<u32>>,
}

impl IoWatch {
    /// Nothing came. `window`: the longest time in which the client reads nothing.
    pub fn new(stream: Transport, window: Duration, now: MonoTime) -> Rc<IoWatch> {
        Rc::new(IoWatch {
            stream: RefCell::new(stream),
            meter: RefCell::new(ClientMeter::new(now)),
            excess: Cell::new(None),
            blocked_until: Cell::new(None),
            rate: RefCell::new(LeastRate::new(window)),
            written: Cell::new(0),
            ending: Cell::new(None),
            closed: Cell::new(false),
            refused: RefCell::default(),
        })
    }

    /// The limit that the client has exceeded. Nothing more is read from it.
    pub fn excess(&self) -> Option<H2Excess> {
        self.excess.get()
    }

    /// While the socket takes nothing of what waits for it: the time by which the client has to read.
    pub fn blocked_until(&self) -> Option<MonoTime> {
        self.blocked_until.get()
    }

    /// Streams whose requests the engine refused since the last call.
    pub fn take_refused(&self) -> Vec<u32> {
        std::mem::take(&mut self.refused.borrow_mut())
    }

    /// Since when the connection is being ended.
    pub fn ending(&self) -> Option<MonoTime> {
        self.ending.get()
    }

    /// Has a head begun that is not at its end?
    pub fn is_in_head(&self) -> bool {
        self.meter.borrow().is_in_head()
    }

    /// A request is being answered.
    pub fn answered(&self) {
        self.meter.borrow_mut().answered();
    }

    /// A piece of an answer goes out.
    pub fn sent(&self, bytes: usize) {
        self.meter.borrow_mut().sent(bytes);
    }

    /// The connection is reset when it is closed.
    pub fn reset(&self) {
        self.stream.borrow().reset_on_close();
    }

    /// After our side was closed: reads and forgets what the client still sends, until it closes its side or `most` bytes
    /// came. Closed at once, the kernel would answer them with a reset, which can overtake the last frames.
    pub fn poll_linger(&self, cx: &mut Context<'_>, most: &mut usize) -> Poll<()> {
        let mut waste = [0; 4096];
        while !self.closed.get() && *most > 0 {
            let mut into = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut into));
            let count = into.filled().len();
            self.closed.set(count == 0 || read.is_err());
            *most = most.saturating_sub(count);
        }
        Poll::Ready(())
    }

    fn read(&self, bytes: &[u8]) {
        self.closed.set(bytes.is_empty());
        if let Err(excess) = self.meter.borrow_mut().feed(bytes, clock::now) {
            self.excess.set(Some(excess));
        }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Pending => self.block(),
            Poll::Ready(wrote) => {
                self.written.set(self.written.get() + *wrote.as_ref().unwrap_or(&0) as u64);
                self.unblock();
            }
        }
        result
    }

    fn block(&self) {
        if self.blocked_until.get().is_none() {
            self.blocked_until.set(Some(self.rate.borrow_mut().deadline(self.written.get(), clock::now())));
        }
    }

    fn unblock(&self) {
        if self.blocked_until.take().is_some() {
            self.rate.borrow_mut().pause(self.written.get(), clock::now());
        }
    }
}

/// The engine's connection.
pub struct WatchedIo {
    /// What was read before the engine began.
    ahead: Buffer,
    watch: Rc<IoWatch>,
    /// What the engine writes.
    outgoing: RefusedRequests,
    /// An answer to a request that the engine refused, on its way instead of the engine's reset.
    answer: Vec<u8>,
}

impl WatchedIo {
    /// Over the connection that is watched, of which `ahead` was read already.
    pub fn new(watch: &Rc<IoWatch>, ahead: Buffer) -> WatchedIo {
        WatchedIo { ahead, watch: Rc::clone(watch), outgoing: RefusedRequests::default(), answer: Vec::new() }
    }

    /// Writes the answer that takes the place of a reset.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = Pin::new(&mut *self.watch.stream.borrow_mut()).poll_write(cx, &self.answer);
            let count = ready!(self.watch.wrote(written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let plain = self.outgoing.as_they_are(pieces.iter().map(|piece| &**piece));
        let first: &[u8] = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[], |piece| piece);
        if plain == 0 && total > 0 {
            let (stream, answer) = RefusedRequests::answer(first);
            self.answer = answer;
            self.watch.refused.borrow_mut().push(stream);
            return Poll::Ready(Ok(RESET));
        }
        let written = {
            let mut stream = self.watch.stream.borrow_mut();
            if plain == total {
                Pin::new(&mut *stream).poll_write_vectored(cx, pieces)
            } else {
                Pin::new(&mut *stream).poll_write(cx, &first[..plain.min(first.len())])
            }
        };
        let count = ready!(self.watch.wrote(written))?;
        let mut left = count;
        for piece in pieces {
            let written = &piece[..left.min(piece.len())];
            self.outgoing.wrote(written);
            left -= written.len();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let WatchedIo { ahead, watch, .. } = &mut *self;
        if watch.excess.get().is_some() {
            // The task that drives the engine looks at it before it waits.
            return Poll::Pending;
        }
        let before = into.filled().len();
        if ahead.is_empty() {
            ready!(Pin::new(&mut *watch.stream.borrow_mut()).poll_read(cx, into))?;
        } else {
            let count = ahead.len().min(into.remaining());
            into.put_slice(&ahead.bytes()[..count]);
            ahead.consume(count);
            ahead.release();
        }
        watch.read(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_pieces(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_pieces(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.watch.stream.borrow().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        match Pin::new(&mut *self.watch.stream.borrow_mut()).poll_flush(cx) {
            Poll::Pending => {
                self.watch.block();
                Poll::Pending
            }
            ready => {
                // Over TLS bytes wait here and not in `poll_write`.
                self.watch.unblock();
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.ending.get().is_none() {
            self.watch.ending.set(Some(clock::now()));
        }
        Pin::new(&mut *self.watch.stream.borrow_mut()).poll_shutdown(cx)
    }
}
