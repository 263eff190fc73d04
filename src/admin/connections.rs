//! The open connections of one port, and which of them is closed when there are too many.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use axum::http::Method;
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::access::failures::network_of;
use crate::sys::clock;
use crate::time::MonoTime;

/// Connections at once on each port; for one more, [another](OpenConnections::close_one) is closed.
pub(super) const CONNECTIONS: usize = 64;
/// Of them, those that may wait for a page or read one. The others are for acts, scrapes and probes, and for requests that are still
/// to come.
pub(super) const READS: usize = 48;
/// Of them, those that reads and scrapes leave to acts.
pub(super) const FOR_ACTS: usize = 8;
/// Of them, those that reads and acts leave to scrapes and probes.
pub(super) const FOR_SCRAPES: usize = 4;

/// What a request is for, in the order in which connections are closed where nothing else tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PlaceClass {
    /// A page, or a value of the API: it may be large.
    Read,
    /// `/metrics`: it may be large.
    Scrape,
    /// It changes something.
    Act,
    /// Its answer is always small.
    Probe,
}

impl PlaceClass {
    /// Of a request. (`/readyz` waits for a snapshot only where it says why not.)
    pub fn of(method: &Method, path: &str) -> PlaceClass {
        match path {
            _ if !matches!(*method, Method::GET | Method::HEAD) => PlaceClass::Act,
            "/metrics" => PlaceClass::Scrape,
            "/livez" | "/readyz" => PlaceClass::Probe,
            path if path.starts_with("/health") => PlaceClass::Probe,
            _ => PlaceClass::Read,
        }
    }

    /// The classes that it shares places with, and how many these are.
    fn places(self) -> (&'static [PlaceClass], usize) {
        use PlaceClass::{Act, Read, Scrape};
        match self {
            Read => (&[Read], READS),
            Scrape => (&[Read, Scrape], CONNECTIONS - FOR_ACTS),
            Act => (&[Read, Act], CONNECTIONS - FOR_SCRAPES),
            PlaceClass::Probe => (&[], usize::MAX),
        }
    }
}

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
    /// The network that it comes from; `None` = this host.
    source: Option<IpAddr>,
    /// Of its request.
    class: Cell<Option<PlaceClass>>,
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

    /// It waits for an answer to a request of these classes, or reads one.
    fn holds_place(&self, classes: &[PlaceClass]) -> bool {
        let is_one = self.class.get().is_some_and(|class| classes.contains(&class));
        is_one && self.state.get() != ConnectionState::Idle && !self.told_to_close.get()
    }
}

impl OpenConnections {
    /// Registers a connection of this source (`None`: of this host); it leaves when the guard is dropped.
    pub fn enter(self: &Rc<Self>, source: Option<IpAddr>) -> OpenConnection {
        let entry = ConnectionEntry {
            state: Cell::new(ConnectionState::Idle),
            since: Cell::new(clock::now()),
            source: source.map(network_of),
            class: Cell::new(None),
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

    /// Tells the most dispensable connection to close: of the idle ones the oldest of the source that has most connections (a flood
    /// of one source costs no other one its connection), else the one whose answer has
    /// been waiting for its client for longest, else the oldest request, of pages first and of acts last. False: there is none.
    pub fn close_one(&self) -> bool {
        let entries = self.entries.borrow();
        let open = || entries.iter().map(|(_, entry)| entry).filter(|entry| !entry.told_to_close.get());
        let of_source = |source: Option<IpAddr>| open().filter(|entry| entry.source == source).count();
        let order = |entry: &ConnectionEntry| {
            let class = entry.class.get().filter(|_| entry.state.get() == ConnectionState::Asked);
            let is_idle = entry.state.get() == ConnectionState::Idle;
            let share = if is_idle { Reverse(of_source(entry.source)) } else { Reverse(0) };
            (entry.state.get(), share, class, entry.since.get())
        };
        let first = open().min_by_key(|entry| order(entry));
        first.map(|first| first.tell_to_close()).is_some()
    }

    /// Makes room for one more request of a class: where its places are taken, the connection whose answer has been waiting for its
    /// client for longest is closed. False: all of them wait for us.
    fn has_room_for(&self, class: PlaceClass) -> bool {
        let (rivals, most) = class.places();
        let entries = self.entries.borrow();
        let held = || entries.iter().map(|(_, entry)| entry).filter(|entry| entry.holds_place(rivals));
        if held().count() < most {
            return true;
        }
        let unread = held().filter(|entry| entry.state.get() == ConnectionState::Answered);
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

    /// The head of a request is here. False: it is not to be answered now.
    pub fn asked(&self, class: PlaceClass) -> bool {
        self.entry.class.set(None);
        let is_taken = self.connections.has_room_for(class);
        self.entry.class.set(is_taken.then_some(class));
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

    #[test]
    fn of_idle_ones_the_source_with_the_most_connections_gives_one_up() {
        let connections = Rc::new(OpenConnections::default());
        let (flood, other) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        let first = connections.enter(other);
        let many: Vec<OpenConnection> = (0..5).map(|_| connections.enter(flood)).collect();
        first.entry.since.set(MonoTime::ZERO);
        for round in 0..4 {
            assert!(connections.close_one(), "{round}");
            assert!(!is_told(&first), "{round}: it is the oldest, and alone");
        }
        assert_eq!(many.iter().filter(|open| is_told(open)).count(), 4);
    }

    fn is_told(connection: &OpenConnection) -> bool {
        connection.entry.told_to_close.get()
    }

    #[test]
    fn idle_ones_go_first_then_slow_readers_then_the_oldest_request() {
        let connections = Rc::new(OpenConnections::default());
        let open: [OpenConnection; 5] = std::array::from_fn(|_| connections.enter(None));
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
    fn pages_leave_places_for_everything_else() {
        use PlaceClass::{Act, Probe, Read, Scrape};
        let connections = Rc::new(OpenConnections::default());
        let open: Vec<OpenConnection> = (0..=READS + 1).map(|_| connections.enter(None)).collect();
        let (first, last) = (&open[0], &open[READS + 1]);
        assert!(open[..READS].iter().all(|connection| connection.asked(Read)));
        assert!(!open[READS].asked(Read), "all of them wait for us");
        assert!([Scrape, Act, Probe].iter().all(|class| last.asked(*class)));
        first.answered();
        assert!(open[READS].asked(Read) && is_told(first), "it reads too slowly");
        assert!(!last.asked(Read));
        open[1].answered();
        open[1].flushed();
        assert!(last.asked(Read) && !is_told(&open[1]), "it has read its answer");
    }

    #[test]
    fn scrapes_leave_places_for_acts_and_acts_for_scrapes() {
        use PlaceClass::{Act, Probe, Read, Scrape};
        for (flood, kept, places) in [(Scrape, Act, FOR_ACTS), (Act, Scrape, FOR_SCRAPES)] {
            let connections = Rc::new(OpenConnections::default());
            let open: Vec<OpenConnection> = (0..CONNECTIONS).map(|_| connections.enter(None)).collect();
            assert!(open[..READS].iter().all(|connection| connection.asked(Read)));
            let (flooding, others) = open.split_at(CONNECTIONS - places);
            assert!(flooding[READS..].iter().all(|connection| connection.asked(flood)));
            assert!(!others[0].asked(flood) && others[0].asked(Probe), "{flood:?}");
            assert!(others.iter().all(|connection| connection.asked(kept)), "{kept:?}");
        }
    }

    #[test]
    fn a_page_that_is_being_made_goes_before_an_act() {
        let connections = Rc::new(OpenConnections::default());
        let open: [OpenConnection; 3] = std::array::from_fn(|_| connections.enter(None));
        let classes = [PlaceClass::Act, PlaceClass::Scrape, PlaceClass::Read];
        open.iter().zip(classes).for_each(|(connection, class)| assert!(connection.asked(class)));
        for expected in [2, 1, 0] {
            assert!(connections.close_one() && is_told(&open[expected]), "{expected}");
        }
    }

    #[test]
    fn requests_are_told_apart_by_method_and_path() {
        let class = |method, path| PlaceClass::of(&method, path);
        assert_eq!(class(Method::POST, "/metrics"), PlaceClass::Act);
        assert_eq!(class(Method::HEAD, "/health/shop"), PlaceClass::Probe);
        assert_eq!(class(Method::GET, "/metrics"), PlaceClass::Scrape);
        assert_eq!(class(Method::GET, "/v1/status"), PlaceClass::Read);
    }

    #[test]
    fn a_connection_is_idle_again_once_its_answer_is_flushed_and_not_before() {
        let connection = Rc::new(OpenConnections::default()).enter(None);
        let state = || connection.entry.state.get();
        connection.asked(PlaceClass::Probe);
        connection.flushed();
        assert_eq!(state(), ConnectionState::Asked);
        connection.answered();
        assert_eq!(state(), ConnectionState::Answered);
        connection.flushed();
        assert_eq!(state(), ConnectionState::Idle);
    }
}
