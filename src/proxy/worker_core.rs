//! The core of a worker: what every part of it needs, and what needs no other part. Its number, its view of the table, its
//! deadlines, buffers, registers and log.

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

/// The least time between two equal log lines about descriptors, connects or certificates.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

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
    /// Memory that bytes pass through.
    pub buffers: Rc<BufferPool>,
    /// Deadlines of all its tasks.
    pub deadlines: Rc<Deadlines>,
    /// The buffer that TCP relays read into.
    pub shared: Rc<RelayBuffer>,
    /// The state that picks keep between them.
    pub pick: RefCell<PickState>,
    /// TCP sessions, for a switch to find.
    pub sessions: Rc<SessionRegister<TaskKiller>>,
    /// Client connections, busy or idle.
    pub clients: Rc<ClientConns>,
    /// Its writer of the access log.
    pub access: AccessWriter,
    draining: Cell<bool>,
    logged_accept: Cell<MonoTime>,
    /// Clients wait for descriptors, here or at another worker.
    short: Cell<bool>,
    logged_short: Cell<MonoTime>,
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
            logged_accept: Cell::new(MonoTime::ZERO),
            short: Cell::new(false),
            logged_short: Cell::new(MonoTime::ZERO),
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
        if is_due(&self.logged_short, LOG_INTERVAL) {
            tracing::warn!(
                listener,
                worker = self.id,
                budget = self.descriptors.budget().most(),
                "descriptors are short: new connections wait in the accept queue; what is left is for connections to endpoints and \
                 the admin port. Raise the limit (ulimit -n, LimitNOFILE)"
            );
        }
    }

    /// Logs that accepting fails, at most once a second.
    pub fn warn_of_accept(&self, listener: &str, error: &io::Error) {
        if is_due(&self.logged_accept, Duration::from_secs(1)) {
            tracing::warn!(listener, worker = self.id, %error, "cannot accept: idle upstream connections were closed, trying again");
        }
    }

    /// Logs that connects fail for a reason of this host, at most once in ten seconds.
    pub fn warn_of_connect_error(&self, service: &str, endpoint: SocketAddr, error: &io::Error) {
        if is_due(&self.warned_of_connect, LOG_INTERVAL) {
            tracing::warn!(
                service, %endpoint, worker = self.id, %error,
                "cannot connect for a reason of our own: this is not held against the endpoint, and requests wait"
            );
        }
    }

    /// Logs that TLS with an endpoint cannot be set up: at most once in ten seconds for each endpoint.
    pub fn warn_of_tls_failure(&self, service: &str, endpoint: SocketAddr, reason: &str) {
        let now = clock::now();
        let mut said = self.warned_of_tls.borrow_mut();
        said.retain(|_, since| now.since(*since) < LOG_INTERVAL);
        // The time of the first line is kept: one line in ten seconds, however often it happens.
        if let Entry::Vacant(first) = said.entry(endpoint) {
            first.insert(now);
            tracing::warn!(service, %endpoint, worker = self.id, reason, "an endpoint cannot be spoken to over TLS");
        }
    }
}

/// Was this last logged at least so long ago? Then it is logged now.
fn is_due(said: &Cell<MonoTime>, pause: Duration) -> bool {
    let now = clock::now();
    let due = now.since(said.get()) >= pause;
    if due {
        said.set(now);
    }
    due
}
