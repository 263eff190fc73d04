//! What every part of a worker needs, and what needs no part of it: its number, its view of the table, its clock, buffers,
//! register and log.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::buffer::BufferPool;
use super::clients::ClientConns;
use super::deadline::{Deadlines, TaskKiller};
use super::tcp::RelayBuffer;
use crate::net::WorkerDescriptors;
use crate::routing::{Handle, PickState, SessionRegister, WorkerView};
use crate::sys::clock;
use crate::telemetry::access::AccessWriter;
use crate::time::MonoTime;

/// How often a worker says the same of descriptors, connects and certificates.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The core of a worker. Nothing here is shared with another worker but what `routing` shares.
pub struct WorkerCore {
    /// From 0: the shard that it counts in.
    pub id: usize,
    /// The published table as this worker sees it.
    pub view: Rc<WorkerView>,
    /// Told after a newer table was taken up.
    pub taken_up: Notify,
    /// Its part of the descriptor budget.
    pub descriptors: Arc<WorkerDescriptors>,
    /// Memory for bytes on their way.
    pub buffers: Rc<BufferPool>,
    /// Deadlines of all its tasks.
    pub deadlines: Rc<Deadlines>,
    /// What TCP relays read into.
    pub shared: Rc<RelayBuffer>,
    /// What a pick needs between picks.
    pub pick: RefCell<PickState>,
    /// TCP sessions, for a switch to find.
    pub sessions: Rc<SessionRegister<TaskKiller>>,
    /// Client connections, busy or parked.
    pub clients: Rc<ClientConns>,
    /// Its end of the access log.
    pub access: AccessWriter,
    draining: Cell<bool>,
    complained: Cell<MonoTime>,
    /// Clients wait for descriptors, here or at another worker.
    short: Cell<bool>,
    said_short: Cell<MonoTime>,
    warned_of_connect: Cell<MonoTime>,
    warned_of_tls: RefCell<HashMap<SocketAddr, MonoTime>>,
}

impl WorkerCore {
    /// Of a worker that begins.
    pub fn new(view: Rc<WorkerView>, access: AccessWriter, descriptors: Arc<WorkerDescriptors>) -> WorkerCore {
        WorkerCore {
            id: view.id().0,
            view,
            taken_up: Notify::new(),
            buffers: BufferPool::new(Arc::clone(&descriptors)),
            descriptors,
            deadlines: Deadlines::new(clock::now()),
            shared: RelayBuffer::new(),
            pick: RefCell::new(PickState::new(fastrand::Rng::new())),
            sessions: SessionRegister::new(),
            clients: Rc::default(),
            access,
            draining: Cell::new(false),
            complained: Cell::new(MonoTime::ZERO),
            short: Cell::new(false),
            said_short: Cell::new(MonoTime::ZERO),
            warned_of_connect: Cell::new(MonoTime::ZERO),
            warned_of_tls: RefCell::default(),
        }
    }

    /// The newest table.
    pub fn table(&self) -> Handle {
        self.view.current()
    }

    /// No further request on a client's connection: the worker is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The worker stops.
    pub fn begin_draining(&self) {
        self.draining.set(true);
    }

    /// Clients wait for descriptors: no connection of a client outlives its request.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short.get()
    }

    /// Looks whether clients still wait for descriptors, here or at another worker.
    pub fn look_for_shortage(&self) {
        self.short.set(self.descriptors.budget().take_short());
    }

    /// A client of this listener waits for a descriptor.
    pub fn note_short(&self, listener: &str) {
        self.descriptors.budget().note_short();
        if !self.short.replace(true) {
            self.clients.nudge();
        }
        if is_due(&self.said_short, SAY_AGAIN) {
            tracing::warn!(
                listener,
                worker = self.id,
                budget = self.descriptors.budget().most(),
                "descriptors are short: new connections wait in the accept queue; what is left is for connections to endpoints and \
                 the admin port. Raise the limit (ulimit -n, LimitNOFILE)"
            );
        }
    }

    /// Says that accepting fails, at most once a second.
    pub fn complain_of_accept(&self, listener: &str, error: &io::Error) {
        if is_due(&self.complained, Duration::from_secs(1)) {
            tracing::warn!(listener, worker = self.id, %error, "cannot accept: idle upstream connections were closed, trying again");
        }
    }

    /// Says that connects fail for a reason of our own, at most once in ten seconds.
    pub fn warn_of_connect_error(&self, service: &str, endpoint: SocketAddr, error: &io::Error) {
        if is_due(&self.warned_of_connect, SAY_AGAIN) {
            tracing::warn!(
                service, %endpoint, worker = self.id, %error,
                "cannot connect for a reason of our own: this is not held against the endpoint, and requests wait"
            );
        }
    }

    /// Says that an endpoint is not who it should be, or cannot prove it: at most once in ten seconds of each.
    pub fn warn_of_tls_failure(&self, service: &str, endpoint: SocketAddr, reason: &str) {
        let now = clock::now();
        let mut said = self.warned_of_tls.borrow_mut();
        said.retain(|_, since| now.since(*since) < SAY_AGAIN);
        // Kept as first said: a line every ten seconds, however often it happens.
        if let Entry::Vacant(first) = said.entry(endpoint) {
            first.insert(now);
            tracing::warn!(service, %endpoint, worker = self.id, reason, "an endpoint cannot be spoken to over TLS");
        }
    }
}

/// Was this last said at least so long ago? Then it is said now.
fn is_due(said: &Cell<MonoTime>, pause: Duration) -> bool {
    let now = clock::now();
    let due = now.since(said.get()) >= pause;
    if due {
        said.set(now);
    }
    due
}
