//! The HTTP/2 connections of one worker to its endpoints, and the connects that are under way: without locks.
//!
//! A [`H2Endpoint`] has the connections to one endpoint and opens streams on them. Connects are made by tasks of their own, so
//! that many requests wait for one connect and share its outcome, and one that leaves does not end it for the others.
//!
//! * A connection whose socket takes nothing gets no new streams, and another one is made: a request that waited there would be
//!   sent after a switch. (A stream that is opened in the very turn in which the socket becomes full does wait there.)
//! * A connection of an older generation, of an endpoint that is gone, with a GOAWAY, or on which a try timed out is retired: it
//!   opens no new streams, and ends with the last one.

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

/// What shared connections belong to: an endpoint and, where it is sent a PROXY header, the ends of one client's connection.
type H2Key = (EndpointId, Option<ConnectionEnds>);

/// One worker's shared connections by endpoint.
#[derive(Default)]
pub struct H2Pool {
    endpoints: RefCell<HashMap<H2Key, Rc<H2Endpoint>>>,
}

/// The shared connections to one endpoint.
pub struct H2Endpoint {
    stats: Arc<EndpointStats>,
    connections: RefCell<Vec<Rc<H2Connection>>>,
    dials: RefCell<Vec<Rc<SharedDial>>>,
    /// The protocol that it chose last, where it may choose.
    speaks: Cell<Option<SpokenVersion>>,
    /// Streams that its last connection took.
    capacity: Cell<usize>,
    /// Refused streams in a row, over all of its connections.
    refusals: Rc<Cell<u32>>,
}

/// The protocol of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenVersion {
    /// HTTP/1.1: connections are not shared.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What an endpoint's connections have for an exchange.
pub enum H2Offer {
    /// A stream.
    Stream(H2Stream),
    /// There is a connection, but its task has not read yet what came over it: let it run, then try again.
    Unsettled,
    /// Nothing: connect.
    Nothing,
}

impl H2Pool {
    /// The shared connections to an endpoint; `about`: those for this client alone.
    pub fn endpoint(
        &self,
        id: EndpointId,
        about: Option<ConnectionEnds>,
        stats: &Arc<EndpointStats>,
    ) -> Rc<H2Endpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        let endpoint = endpoints.entry((id, about)).or_insert_with(|| {
            Rc::new(H2Endpoint {
                stats: Arc::clone(stats),
                connections: RefCell::default(),
                dials: RefCell::default(),
                speaks: Cell::new(None),
                capacity: Cell::new(STREAMS),
                refusals: Rc::default(),
            })
        });
        Rc::clone(endpoint)
    }

    /// Retires connections of an older generation or to an endpoint that is not in the table.
    pub fn sweep(&self, table: &RoutingTable) {
        self.endpoints.borrow_mut().retain(|(id, about), endpoint| {
            let known = table.services.iter().any(|service| service.pool_of(*id).is_some());
            let generation = endpoint.stats.generation();
            endpoint.retire(|connection| !known || connection.generation() != generation);
            let kept = known && (about.is_none() || !endpoint.connections.borrow().is_empty());
            kept || !endpoint.dials.borrow().is_empty()
        });
    }

    /// Closes idle connections: descriptors are short.
    pub fn clear(&self) {
        for endpoint in self.endpoints.borrow().values() {
            endpoint.retire(H2Connection::is_unused);
        }
    }
}

impl H2Endpoint {
    /// A stream on a connection of this generation. `fresh`: not on one that was idle.
    pub fn take(self: &Rc<Self>, generation: u64, fresh: bool) -> H2Offer {
        self.retire(|connection| connection.generation() != generation || !connection.takes_more());
        let connections = self.connections.borrow();
        let (mut unsettled, mut kept) = (false, false);
        for connection in connections.iter().filter(|connection| connection.has_room()) {
            let was_idle = connection.is_unused() && connection.was_used();
            if was_idle && fresh {
                // One is kept for requests that may use it; more of them are only left over from earlier fresh requests.
                if std::mem::replace(&mut kept, true) {
                    connection.retire();
                }
                continue;
            }
            // A request that must not be sent twice is not sent to a peer that has closed: ask the kernel.
            if was_idle && !connection.is_proven_quiet() {
                unsettled = true;
                continue;
            }
            if connection.is_full() {
                // The bytes that it still holds belong to no stream.
                if connection.is_unused() {
                    connection.retire();
                }
                continue;
            }
            return H2Offer::Stream(H2Stream::new(connection, was_idle));
        }
        if unsettled { H2Offer::Unsettled } else { H2Offer::Nothing }
    }

    /// The protocol that it chose last, where it may choose.
    pub fn speaks(&self) -> Option<SpokenVersion> {
        self.speaks.get()
    }

    /// Notes the protocol that it chose.
    pub fn spoke(&self, version: SpokenVersion) {
        self.speaks.set(Some(version));
    }

    /// Joins a connect that is under way and will have a stream for one more request, or a new one, which `begin` begins.
    /// `alone`: its connection is not expected to be shared.
    pub fn join(self: &Rc<Self>, alone: bool, begin: impl FnOnce(OpenDial)) -> DialWaiter {
        let roomy = |dial: &&Rc<SharedDial>| !alone && dial.waiting.get() < self.capacity.get();
        let known = self.dials.borrow().iter().find(roomy).map(Rc::clone);
        let dial = known.unwrap_or_else(|| {
            let dial = Rc::new(SharedDial::default());
            if !alone {
                self.dials.borrow_mut().push(Rc::clone(&dial));
            }
            begin(OpenDial { endpoint: Rc::clone(self), dial: Rc::clone(&dial) });
            dial
        });
        dial.waiting.set(dial.waiting.get() + 1);
        DialWaiter { dial }
    }

    /// Opens an HTTP/2 connection over this transport. No deadline of its own. Cancel safe.
    pub async fn open(self: &Rc<Self>, worker: usize, how: H2Setup, alarm: Alarm) -> Result<(), TryFailure> {
        let (connection, engine) = H2Connection::open(worker, &self.stats, &self.refusals, how).await?;
        self.capacity.set(connection.most().max(1));
        self.connections.borrow_mut().push(Rc::clone(&connection));
        tokio::task::spawn_local(drive(Rc::clone(self), connection, engine, alarm));
        Ok(())
    }

    /// No new streams on these connections.
    fn retire(&self, which: impl Fn(&H2Connection) -> bool) {
        self.connections.borrow_mut().retain(|connection| {
            let retires = connection.is_retired() || which(connection);
            if retires {
                connection.retire();
            }
            !retires
        });
    }
}

/// Drives a connection to its end.
async fn drive(endpoint: Rc<H2Endpoint>, connection: Rc<H2Connection>, engine: H2Engine, alarm: Alarm) {
    connection.drive(engine, alarm).await;
    endpoint.connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, &connection));
    connection.close();
}

/// A connect that requests wait for.
#[derive(Default)]
pub struct SharedDial {
    waiting: Cell<usize>,
    ended: Notify,
    outcome: RefCell<Option<DialOutcome>>,
}

/// A connect, as the task has it that makes it. Dropped, it has failed.
pub struct OpenDial {
    endpoint: Rc<H2Endpoint>,
    dial: Rc<SharedDial>,
}

impl OpenDial {
    /// The endpoint that is connected to.
    pub fn endpoint(&self) -> &Rc<H2Endpoint> {
        &self.endpoint
    }

    /// Ends it: wakes the waiting requests.
    pub fn end(self, outcome: DialOutcome) {
        *self.dial.outcome.borrow_mut() = Some(outcome);
    }
}

impl Drop for OpenDial {
    fn drop(&mut self) {
        self.endpoint.dials.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.dial));
        self.dial.outcome.borrow_mut().get_or_insert(DialOutcome::Failed(TryFailure::Local));
        self.dial.ended.notify_waiters();
    }
}

/// How a connect ended.
pub enum DialOutcome {
    /// The endpoint has one shared connection more.
    Http2,
    /// The endpoint chose HTTP/1.1: the connection is for the first request that takes it.
    Http1(Option<Transport>),
    /// It failed; that was counted.
    Failed(TryFailure),
}

/// A request's wait for a connect.
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
                Some(DialOutcome::Http2) => return DialOutcome::Http2,
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
