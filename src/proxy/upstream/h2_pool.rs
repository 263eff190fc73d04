//! The HTTP/2 connections of one worker to its endpoints, and the dials that are on their way: without locks.
//!
//! A [`H2Endpoint`] has the lines of one endpoint and finds a place on one of them. Lines are dialled by tasks of their own, so that many
//! requests wait for one dial and share its outcome, and one that leaves does not end it for the others.
//!
//! * A line whose socket takes nothing gets no new strands, and another one is dialled: a request that waited there would leave
//!   after a switch. (What is given in the very turn in which the socket becomes full does wait there.)
//! * A line of an older generation, of an endpoint that is gone, with a GOAWAY, or on which a try timed out is retired: no new
//!   strands, and it ends with the last one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::h2_connection::{H2Connection, H2Engine, H2Setup, H2Stream, STREAMS};
use crate::decision::EndpointId;
use crate::net::Transport;
use crate::proxy::deadline::Alarm;
use crate::routing::{EndpointStats, RoutingTable, TryFailure};
use crate::wire::proxy_protocol::ConnectionEnds;

/// The endpoint of shared connections. Where endpoints are told of the client, the ends of its connection too: its requests share
/// with no other client's.
type H2Key = (EndpointId, Option<ConnectionEnds>);

/// One worker's shared connections by endpoint.
#[derive(Default)]
pub struct H2Pool {
    shelves: RefCell<HashMap<H2Key, Rc<H2Endpoint>>>,
}

/// What is known of one endpoint.
pub struct H2Endpoint {
    stats: Arc<EndpointStats>,
    lines: RefCell<Vec<Rc<H2Connection>>>,
    dials: RefCell<Vec<Rc<SharedDial>>>,
    /// What it chose last, where it may choose.
    speaks: Cell<Option<SpokenVersion>>,
    /// Streams that its last connection took.
    capacity: Cell<usize>,
    /// Refused streams in a row, over all of its lines.
    refusals: Rc<Cell<u32>>,
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenVersion {
    /// HTTP/1.1: connections are not shared.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What there is for an exchange.
pub enum H2Offer {
    /// A place on a line.
    H2Stream(H2Stream),
    /// A line is there, but what has come over it was not looked at yet: let its task run, then ask again.
    Unsettled,
    /// None: dial.
    Nothing,
}

impl H2Pool {
    /// An endpoint's shelf; `about`: for the requests of this client alone.
    pub fn shelf(
        &self,
        endpoint: EndpointId,
        about: Option<ConnectionEnds>,
        stats: &Arc<EndpointStats>,
    ) -> Rc<H2Endpoint> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry((endpoint, about)).or_insert_with(|| {
            Rc::new(H2Endpoint {
                stats: Arc::clone(stats),
                lines: RefCell::default(),
                dials: RefCell::default(),
                speaks: Cell::new(None),
                capacity: Cell::new(STREAMS),
                refusals: Rc::default(),
            })
        });
        Rc::clone(shelf)
    }

    /// Retires what is of an older generation or belongs to an endpoint that the table does not know.
    pub fn sweep(&self, table: &RoutingTable) {
        self.shelves.borrow_mut().retain(|(endpoint, about), shelf| {
            let known = table.services.iter().any(|service| service.pool_of(*endpoint).is_some());
            let generation = shelf.stats.generation();
            shelf.retire(|line| !known || line.generation() != generation);
            let kept = known && (about.is_none() || !shelf.lines.borrow().is_empty());
            kept || !shelf.dials.borrow().is_empty()
        });
    }

    /// Closes what is idle: descriptors are short.
    pub fn clear(&self) {
        for shelf in self.shelves.borrow().values() {
            shelf.retire(H2Connection::is_unused);
        }
    }
}

impl H2Endpoint {
    /// A place on a line of this generation. `fresh`: not on one that was idle.
    pub fn take(self: &Rc<Self>, generation: u64, fresh: bool) -> H2Offer {
        self.retire(|line| line.generation() != generation || !line.takes_more());
        let lines = self.lines.borrow();
        let (mut unsettled, mut kept) = (false, false);
        for line in lines.iter().filter(|line| line.has_room()) {
            let was_idle = line.is_unused() && line.was_used();
            if was_idle && fresh {
                // One is kept for requests that may use it; more would only be what those before this one have left.
                if std::mem::replace(&mut kept, true) {
                    line.retire();
                }
                continue;
            }
            // A request that must not be sent twice is not sent to an end that has closed: ask the kernel.
            if was_idle && !line.is_proven_quiet() {
                unsettled = true;
                continue;
            }
            if line.is_full() {
                // What it still holds belongs to no stream.
                if line.is_unused() {
                    line.retire();
                }
                continue;
            }
            return H2Offer::H2Stream(H2Stream::new(line, was_idle));
        }
        if unsettled { H2Offer::Unsettled } else { H2Offer::Nothing }
    }

    /// What it chose last, where it may choose.
    pub fn speaks(&self) -> Option<SpokenVersion> {
        self.speaks.get()
    }

    /// It chose this.
    pub fn spoke(&self, version: SpokenVersion) {
        self.speaks.set(Some(version));
    }

    /// A dial that is on its way and will have room for one more, or a new one, which `begin` begins. `alone`: what it
    /// brings is not expected to be shared.
    pub fn join(self: &Rc<Self>, alone: bool, begin: impl FnOnce(OpenDial)) -> DialWaiter {
        let roomy = |dial: &&Rc<SharedDial>| !alone && dial.waiting.get() < self.capacity.get();
        let known = self.dials.borrow().iter().find(roomy).map(Rc::clone);
        let dial = known.unwrap_or_else(|| {
            let dial = Rc::new(SharedDial::default());
            if !alone {
                self.dials.borrow_mut().push(Rc::clone(&dial));
            }
            begin(OpenDial { shelf: Rc::clone(self), dial: Rc::clone(&dial) });
            dial
        });
        dial.waiting.set(dial.waiting.get() + 1);
        DialWaiter { dial }
    }

    /// A line over this connection, if the endpoint speaks HTTP/2. No deadline of its own. Cancel safe.
    pub async fn open(self: &Rc<Self>, worker: usize, how: H2Setup, alarm: Alarm) -> Result<(), TryFailure> {
        let (line, connection) = H2Connection::open(worker, &self.stats, &self.refusals, how).await?;
        self.capacity.set(line.most().max(1));
        self.lines.borrow_mut().push(Rc::clone(&line));
        tokio::task::spawn_local(drive(Rc::clone(self), line, connection, alarm));
        Ok(())
    }

    /// No new strands on these lines.
    fn retire(&self, which: impl Fn(&H2Connection) -> bool) {
        self.lines.borrow_mut().retain(|line| {
            let retires = line.is_retired() || which(line);
            if retires {
                line.retire();
            }
            !retires
        });
    }
}

/// Drives a line to its end.
async fn drive(shelf: Rc<H2Endpoint>, line: Rc<H2Connection>, connection: H2Engine, alarm: Alarm) {
    line.drive(connection, alarm).await;
    shelf.lines.borrow_mut().retain(|other| !Rc::ptr_eq(other, &line));
    line.close();
}

/// A dial that requests wait for.
#[derive(Default)]
pub struct SharedDial {
    waiting: Cell<usize>,
    ended: Notify,
    outcome: RefCell<Option<DialOutcome>>,
}

/// A dial in the hands of who makes it. Dropped, it has failed.
pub struct OpenDial {
    shelf: Rc<H2Endpoint>,
    dial: Rc<SharedDial>,
}

impl OpenDial {
    /// What is dialled for.
    pub fn shelf(&self) -> &Rc<H2Endpoint> {
        &self.shelf
    }

    /// It has ended: the waiting requests are told.
    pub fn end(self, outcome: DialOutcome) {
        *self.dial.outcome.borrow_mut() = Some(outcome);
    }
}

impl Drop for OpenDial {
    fn drop(&mut self) {
        self.shelf.dials.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.dial));
        self.dial.outcome.borrow_mut().get_or_insert(DialOutcome::Failed(TryFailure::Local));
        self.dial.ended.notify_waiters();
    }
}

/// How a dial ended.
pub enum DialOutcome {
    /// There is a line more.
    H2Connection,
    /// The endpoint chose HTTP/1.1: the connection is for the first who takes it.
    Http1(Option<Transport>),
    /// It failed; that was counted.
    Failed(TryFailure),
}

/// A place among those who wait for a dial.
pub struct DialWaiter {
    dial: Rc<SharedDial>,
}

impl DialWaiter {
    /// Waits for its end. [`DialOutcome::Http1`] with the connection goes to the first.
    pub async fn ended(&self) -> DialOutcome {
        loop {
            let mut ended = pin!(self.dial.ended.notified());
            ended.as_mut().enable();
            match &mut *self.dial.outcome.borrow_mut() {
                Some(DialOutcome::H2Connection) => return DialOutcome::H2Connection,
                Some(DialOutcome::Http1(stream)) => return DialOutcome::Http1(stream.take()),
                Some(DialOutcome::Failed(how)) => return DialOutcome::Failed(*how),
                None => {}
            }
            ended.await;
        }
    }
}

impl Drop for DialWaiter {
    fn drop(&mut self) {
        self.dial.waiting.set(self.dial.waiting.get() - 1);
    }
}
