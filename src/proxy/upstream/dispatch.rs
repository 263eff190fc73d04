//! The selection of endpoints for one request, its state and its results. The steps are methods of [`Dispatch`], by part: `select`
//! picks, `wait` waits, `dial` connects, `race` connects to another endpoint as well, `share` opens streams of shared connections,
//! `retry` reports how a try went to the retry rule and to the endpoint's counts.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use super::destination::Destination;
use super::faults::{FailedTries, FaultSubject};
use super::h2_connection::H2Stream;
use super::pools::UpstreamPools;
use super::session_hold::SessionHold;
use crate::net::Transport;
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::WaitError;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::balance::hash_bytes;
use crate::routing::{GiveUpReason, Handle, InFlight, PermitError, ServiceView, Tries, TryFailure};
use crate::time::MonoTime;
use crate::wire::proxy_protocol::ConnectionEnds;

/// The selection of endpoints for one request, over all of its tries.
pub struct Dispatch<'a> {
    /// The core of the worker.
    pub core: &'a WorkerCore,
    /// Its connections to endpoints.
    pub pools: &'a Rc<UpstreamPools>,
    /// The request's first table: its policies are those that hold.
    pub origin: Handle,
    /// Index of the service in it.
    pub index: usize,
    /// When the client began to wait.
    pub began: MonoTime,
    /// The retry rule.
    pub tries: Tries,
    /// The client.
    pub client_info: ClientInfo,
    /// The request's alarm: armed here for connects and waits.
    pub alarm: &'a Alarm,
    /// Connects made or attempted, and idle connections used.
    pub attempts: u32,
    /// How the last try failed.
    pub last: Option<TryFailure>,
    /// A hedge was not covered by the budget: counted once.
    pub(super) denied: bool,
    /// It goes beside a try that is late: it does not wait in line for a connection.
    pub(super) hurries: bool,
    /// The hold of a TCP session; `None`: it is not held, it only waits.
    pub hold: Option<&'a SessionHold>,
    /// The tries that failed.
    pub faults: FailedTries<'a>,
}

/// The client that a connection is for.
#[derive(Clone, Copy, Debug)]
pub struct ClientInfo {
    /// The key of `hash` balancing.
    pub hash: u64,
    /// The ends of the client's connection, for PROXY headers.
    pub ends: ConnectionEnds,
}

/// The key of a client's address for `hash` balancing.
pub fn hash_peer(peer: SocketAddr) -> u64 {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => hash_bytes(&ip.octets()),
        IpAddr::V6(ip) => hash_bytes(&ip.octets()),
    }
}

/// The result of a selection.
pub enum Selected {
    /// This endpoint.
    Endpoint(SelectedTarget),
    /// A static response.
    Static {
        /// The table of the pick.
        table: Handle,
        /// Index of the service.
        service: usize,
        /// Index of the pool.
        pool: usize,
    },
}

/// A connection to a picked endpoint, not yet written to.
pub struct SelectedTarget {
    /// The endpoint.
    pub destination: Destination,
    /// The connection, or a stream of a shared one.
    pub link: UpstreamLink,
    /// The place in flight.
    pub in_flight: InFlight,
}

/// What an exchange goes over.
pub enum UpstreamLink {
    /// A connection of its own.
    Own(Transport),
    /// A stream of a shared connection.
    Shared(H2Stream),
}

/// The outcome of the search for a link.
pub enum LinkOutcome {
    Ready(UpstreamLink),
    /// It was not answered in time, and another connect was.
    Elsewhere(Box<AnsweredFirst>),
    Failed(TryFailure),
    /// It was not answered, and nothing else was.
    Exhausted(Box<RaceExhausted>),
    /// A newer table would not go there.
    Superseded,
}

/// The endpoint of another connect, which was answered first.
pub struct AnsweredFirst {
    /// The connection to it.
    pub target: SelectedTarget,
    /// The request's tries, this one included.
    pub tries: Tries,
    /// See [`Dispatch::attempts`].
    pub attempts: u32,
}

/// Nothing was found elsewhere, and the first connect was not answered either.
pub struct RaceExhausted {
    /// The request's tries, the one elsewhere included.
    pub tries: Tries,
    /// See [`Dispatch::attempts`].
    pub attempts: u32,
    /// Why there is no further try.
    pub why: GiveUpReason,
}

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectError {
    /// The retry rule gave up.
    GaveUp(GiveUpReason),
    /// No permit of the service.
    Limited(PermitError),
    /// The wait was interrupted.
    Interrupted(WaitError),
}

impl<'a> Dispatch<'a> {
    /// A request of this service; `origin` is its first table.
    pub fn new(
        pools: &'a Rc<UpstreamPools>,
        alarm: &'a Alarm,
        origin: &'a Handle,
        index: usize,
        began: MonoTime,
        mut tries: Tries,
        (client_info, subject): (ClientInfo, FaultSubject<'a>),
    ) -> Dispatch<'a> {
        let core = &pools.core;
        let faults = FailedTries::new(core, &origin.services[index], subject);
        tries.avoid(faults.avoided(tries.request_class().safe()));
        let origin = Rc::clone(origin);
        Dispatch {
            core,
            pools,
            origin,
            index,
            began,
            tries,
            client_info,
            alarm,
            attempts: 0,
            last: None,
            denied: false,
            hurries: false,
            hold: None,
            faults,
        }
    }

    /// The service as the request's first table has it.
    pub fn service(&self) -> &Arc<ServiceView> {
        &self.origin.services[self.index]
    }
}
