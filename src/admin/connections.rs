//! The open connections of one port, and which of them is closed when there are too many.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::sys::clock;
use crate::time::MonoTime;

/// Connections at once that may wait for a large page or read one. The other places of a port are for small pages, such as
/// `/livez`, and for requests that are still to come.
pub(super) const LARGE: usize = 48;

/// The open connections of one port.
#[derive(Debug, Default)]
pub(super) struct OpenConnections {
    entries: RefCell<Slab<Rc<ConnectionEntry>>>,
    closed: Notify,
}

#[derive(Debug)]
struct ConnectionEntry {
    state: Cell<ConnectionState>,
    since: Cell<MonoTime>,
    /// Its request is for a page that may be large.
    is_large: Cell<bool>,
    told_to_close: Cell<bool>,
    close: Notify,
}

/// What a connection waits for, in the order in which connections are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionState {
    /// For the head of a request: nothing is lost when it is closed.
    Idle,
    /// For its client to read the answer.
    Answered,
    /// For the answer to its request.
    Asked,
}

impl ConnectionEntry {
    fn tell_to_close(&self) {
        self.told_to_close.set(true);
        self.close.notify_one();
    }

    /// It waits for a large page, or reads one.
    fn holds_large(&self) -> bool {
        self.is_large.get() && self.state.get() != ConnectionState::Idle && !self.told_to_close.get()
    }
}

impl OpenConnections {
    /// Registers a connection; it leaves when the guard is dropped.
    pub fn enter(self: &Rc<Self>) -> OpenConnection {
        let entry = ConnectionEntry {
            state: Cell::new(ConnectionState::Idle),
            since: Cell::new(clock::now()),
            is_large: Cell::new(false),
            told_to_close: Cell::new(false),
            close: Notify::new(),
        };
        let entry = Rc::new(entry);
        let number = self.entries.borrow_mut().insert(Rc::clone(&entry));
        OpenConnection { connections: Rc::clone(self), number, entry }
    }

    /// Connections that have not been told to close.
    pub fn count(&self) -> usize {
        self.entries.borrow().iter().filter(|(_, entry)| !entry.told_to_close.get()).count()
    }

    /// Tells the most dispensable connection to close: the one that has been idle for longest, else the one whose answer has
    /// been waiting for its client for longest, else the one whose request is the oldest. False: there is none.
    pub fn close_one(&self) -> bool {
        let entries = self.entries.borrow();
        let open = entries.iter().map(|(_, entry)| entry).filter(|entry| !entry.told_to_close.get());
        let first = open.min_by_key(|entry| (entry.state.get(), entry.since.get()));
        first.map(|first| first.tell_to_close()).is_some()
    }

    /// Makes room for one more large page: where there are [`LARGE`], the connection whose answer has been waiting for its client
    /// for longest is closed. False: all of them wait for us.
    fn has_room_for_large(&self) -> bool {
        let entries = self.entries.borrow();
        let large = || entries.iter().map(|(_, entry)| entry).filter(|entry| entry.holds_large());
        if large().count() < LARGE {
            return true;
        }
        let unread = large().filter(|entry| entry.state.get() == ConnectionState::Answered);
        unread.min_by_key(|entry| entry.since.get()).map(|first| first.tell_to_close()).is_some()
    }

    /// Waits until all are closed.
    pub async fn all_closed(&self) {
        while !self.entries.borrow().is_empty() {
            self.closed.notified().await;
        }
    }
}

/// A connection's place among the open ones.
#[derive(Debug)]
pub(super) struct OpenConnection {
    connections: Rc<OpenConnections>,
    number: usize,
    entry: Rc<ConnectionEntry>,
}

impl OpenConnection {
    /// Waits until it is told to close. Cancel safe.
    pub async fn told_to_close(&self) {
        self.entry.close.notified().await;
    }

    /// The head of a request is here; `is_large`: its page may be. False: the page is not to be made now.
    pub fn asked(&self, is_large: bool) -> bool {
        self.entry.is_large.set(false);
        let is_taken = !is_large || self.connections.has_room_for_large();
        self.entry.is_large.set(is_large && is_taken);
        self.enter_state(ConnectionState::Asked);
        is_taken
    }

    /// The answer is ready to be written.
    pub fn answered(&self) {
        self.enter_state(ConnectionState::Answered);
    }

    /// All that was to be written is with the kernel.
    fn flushed(&self) {
        if self.entry.state.get() == ConnectionState::Answered {
            self.enter_state(ConnectionState::Idle);
        }
    }

    fn enter_state(&self, state: ConnectionState) {
        self.entry.state.set(state);
        self.entry.since.set(clock::now());
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.entries.borrow_mut().try_remove(self.number);
        self.connections.closed.notify_one();
    }
}

/// The stream of a connection. The server flushes it only when its own buffer is empty: then the answer was taken.
#[derive(Debug)]
pub(super) struct TrackedStream<S> {
    pub stream: S,
    pub connection: Rc<OpenConnection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.connection.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(connection: &OpenConnection) -> bool {
        connection.entry.told_to_close.get()
    }

    #[test]
    fn idle_ones_go_first_then_slow_readers_then_the_oldest_request() {
        let connections = Rc::new(OpenConnections::default());
        let open: [OpenConnection; 5] = std::array::from_fn(|_| connections.enter());
        let at = |connection: &OpenConnection, state, second: u64| {
            connection.entry.state.set(state);
            connection.entry.since.set(MonoTime::from_micros(second * 1_000_000));
        };
        at(&open[0], ConnectionState::Asked, 1);
        at(&open[1], ConnectionState::Answered, 2);
        at(&open[2], ConnectionState::Idle, 4);
        at(&open[3], ConnectionState::Idle, 3);
        at(&open[4], ConnectionState::Answered, 5);
        for expected in [3, 2, 1, 4, 0] {
            assert!(!is_told(&open[expected]) && connections.close_one() && is_told(&open[expected]), "{expected}");
        }
        assert!(connections.count() == 0 && !connections.close_one());
        drop(open);
        assert!(connections.entries.borrow().is_empty());
    }

    #[test]
    fn large_pages_leave_places_for_small_ones() {
        let connections = Rc::new(OpenConnections::default());
        let open: Vec<OpenConnection> = (0..=LARGE + 1).map(|_| connections.enter()).collect();
        let (first, last) = (&open[0], &open[LARGE + 1]);
        assert!(open[..LARGE].iter().all(|connection| connection.asked(true)));
        assert!(!open[LARGE].asked(true) && last.asked(false), "all of them wait for us");
        first.answered();
        assert!(open[LARGE].asked(true) && is_told(first), "it reads too slowly");
        assert!(!last.asked(true));
        open[1].answered();
        open[1].flushed();
        assert!(last.asked(true) && !is_told(&open[1]), "it has read its answer");
    }

    #[test]
    fn a_connection_is_idle_again_once_its_answer_is_flushed_and_not_before() {
        let connection = Rc::new(OpenConnections::default()).enter();
        let state = || connection.entry.state.get();
        connection.asked(false);
        connection.flushed();
        assert_eq!(state(), ConnectionState::Asked);
        connection.answered();
        assert_eq!(state(), ConnectionState::Answered);
        connection.flushed();
        assert_eq!(state(), ConnectionState::Idle);
    }
}
