//! Idle connections to endpoints: one worker's, without locks. A parked connection is its socket and nothing more.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use crate::decision::{EndpointId, Moment};
use crate::net::{Stream, Transport};
use crate::routing::{EndpointStats, RoutingTable};

/// Idle connections kept per endpoint and worker.
const MOST: usize = 1024;

/// An idle connection.
pub struct Parked<S> {
    /// The connection.
    pub stream: S,
    /// [`EndpointStats::generation`] when it was made: after a refusal, a reset on connect or a switch it is not used again.
    pub generation: u64,
    /// When it has been idle for too long.
    pub expires: Moment,
}

/// One worker's idle connections by endpoint. The last parked is the first used.
pub struct Idle<S = Transport> {
    worker: usize,
    shelves: RefCell<BTreeMap<EndpointId, Shelf<S>>>,
}

struct Shelf<S> {
    stats: Arc<EndpointStats>,
    parked: Vec<Parked<S>>,
}

impl<S: Stream> Idle<S> {
    /// None yet.
    pub fn new(worker: usize) -> Idle<S> {
        Idle { worker, shelves: RefCell::default() }
    }

    /// Keeps a connection for the next exchange.
    pub fn park(&self, endpoint: EndpointId, stats: &Arc<EndpointStats>, connection: Parked<S>) {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.entry(endpoint).or_insert_with(|| Shelf { stats: Arc::clone(stats), parked: Vec::new() });
        if shelf.parked.len() < MOST {
            shelf.parked.push(connection);
            stats.count_idle(self.worker, 1);
        }
    }

    /// A connection on which nothing has come since it was parked. Whatever came, a late second reply above all, is nobody's
    /// answer, and a request that must not be sent twice is not sent to an end that has closed: so the kernel is asked, not only
    /// what it has told so far.
    pub fn take(&self, endpoint: EndpointId, stats: &EndpointStats, now: Moment) -> Option<S> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.get_mut(&endpoint)?;
        let generation = stats.generation();
        while let Some(connection) = shelf.parked.pop() {
            stats.count_idle(self.worker, -1);
            if connection.generation == generation && now < connection.expires && connection.stream.proven_quiet() {
                return Some(connection.stream);
            }
        }
        None
    }

    /// Closes what is too old, dead, of an older generation or belongs to an endpoint that the table does not know.
    pub fn sweep(&self, table: &RoutingTable, now: Moment) {
        let mut shelves = self.shelves.borrow_mut();
        shelves.retain(|endpoint, shelf| {
            let known = shelf.parked.is_empty() || knows(table, *endpoint);
            let generation = shelf.stats.generation();
            let before = shelf.parked.len();
            shelf.parked.retain_mut(|connection| {
                known
                    && connection.generation == generation
                    && now < connection.expires
                    && is_quiet(&mut connection.stream)
            });
            shelf.stats.count_idle(self.worker, shelf.parked.len() as i64 - before as i64);
            !shelf.parked.is_empty()
        });
    }
}

impl<S> Idle<S> {
    /// Closes all: descriptors are short, or the worker ends.
    pub fn clear(&self) {
        for shelf in std::mem::take(&mut *self.shelves.borrow_mut()).into_values() {
            shelf.stats.count_idle(self.worker, -(shelf.parked.len() as i64));
        }
    }
}

impl<S> Drop for Idle<S> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn knows(table: &RoutingTable, endpoint: EndpointId) -> bool {
    table.services.iter().any(|service| service.pool_of(endpoint).is_some())
}

/// Neither bytes nor an end nor an error. Costs no system call while the socket has not become readable.
fn is_quiet<S: Stream>(stream: &mut S) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    matches!(Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)), Poll::Pending)
}
