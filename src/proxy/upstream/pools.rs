//! One worker's connections to endpoints: idle ones, and those that several requests share.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::destination::Destination;
use super::dial_gate::DialGates;
use super::h2_pool::H2Pool;
use super::idle::{IdleConn, IdlePool};
use crate::decision::EndpointId;
use crate::net::dial::DialErrorKind;
use crate::net::{Transport, UpstreamPermit};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointStats, RoutingTable};
use crate::sys::clock;
use crate::time::MonoTime;

/// The connections of one worker to its endpoints.
pub struct UpstreamPools {
    /// The core of the worker.
    pub core: WorkerCore,
    /// Idle upstream connections.
    pub idle: IdlePool,
    /// HTTP/2 connections, which exchanges share.
    pub h2: H2Pool,
    /// The gates before connects to endpoints.
    pub gates: DialGates<IdleConn<Transport>>,
    /// Endpoints to which an overtaken connect goes on in the background.
    pub proofs: RefCell<HashSet<EndpointId>>,
}

impl UpstreamPools {
    /// None yet.
    pub fn new(core: WorkerCore) -> UpstreamPools {
        let idle = IdlePool::new(core.id);
        UpstreamPools { core, idle, h2: H2Pool::default(), gates: DialGates::default(), proofs: RefCell::default() }
    }

    /// Gives back a connection that can carry another exchange: to the first request that waits for one, else to the idle pool.
    #[inline]
    pub fn park(&self, endpoint: EndpointId, stats: &Arc<EndpointStats>, connection: IdleConn<Transport>) {
        if self.gates.has_waiting() {
            self.give(endpoint, stats, connection);
        } else {
            self.idle.park(endpoint, stats, connection);
        }
    }

    /// [Gives back](UpstreamPools::park) the connection of an exchange that has ended, unless the endpoint is to get none, or not over
    /// a connection like this. `idempotent`: of the exchange's request; `idle`: how long the connection may be unused.
    #[inline]
    pub fn keep(&self, destination: &Destination, stream: Transport, idempotent: bool, idle: Duration) {
        let (stats, now) = (&destination.endpoint().stats, clock::now());
        let wanted = destination.keeps_connections()
            && stats.trusts_idle(idempotent, now)
            && self.core.view.still_serves(&destination.table, destination.service(), &destination.choice, now);
        if wanted {
            let kept = IdleConn { stream, generation: destination.generation, expires: now.after(idle) };
            self.park(destination.choice.id, stats, kept);
        }
    }

    #[cold]
    fn give(&self, endpoint: EndpointId, stats: &Arc<EndpointStats>, connection: IdleConn<Transport>) {
        if connection.generation == stats.generation()
            && let Some(connection) = self.gates.offer(endpoint, connection)
        {
            self.idle.park(endpoint, stats, connection);
        }
    }

    /// A permit of the descriptor budget for a connection to an endpoint; where there is none, idle ones are closed for it.
    pub fn upstream_permit(&self) -> io::Result<UpstreamPermit> {
        if let Some(permit) = self.core.descriptors.try_upstream_permit() {
            return Ok(permit);
        }
        self.close_idle();
        self.core.descriptors.try_upstream_permit().ok_or_else(|| Errno::MFILE.into())
    }

    /// A connect failed: was it for want of a descriptor?
    pub fn note_connect_error(&self, error: &io::Error) {
        if DialErrorKind::of(error) == DialErrorKind::NoDescriptor {
            self.core.descriptors.budget().note_refused(clock::now());
            self.close_idle();
        }
    }

    /// Closes idle connections to endpoints, and free pipes.
    pub fn close_idle(&self) {
        self.clear();
        self.core.buffers.pipes.clear();
    }

    /// Closes idle connections to endpoints.
    pub fn clear(&self) {
        self.idle.clear();
        self.h2.clear();
    }

    /// Closes what this table has no use for, and what was idle for too long.
    pub fn sweep(&self, table: &RoutingTable, now: MonoTime) {
        self.idle.sweep(table, now);
        self.h2.sweep(table);
        self.gates.sweep(now);
    }
}
