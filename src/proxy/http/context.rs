//! What a request needs to know beside itself: its worker, its place in the register, its alarm and its client.

use std::net::SocketAddr;
use std::rc::Rc;

use super::memory::HttpMemory;
use crate::decision::Source;
use crate::proxy::clients::ClientEntry;
use crate::proxy::deadline::Alarm;
use crate::proxy::upstream::{UpstreamPools, hash_peer};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::SourceKey;
use crate::wire::h1::{ClientAddress, Scheme};

/// What a request function needs to know beside the request.
pub struct RequestContext<'a> {
    /// The core of the worker.
    pub core: &'a WorkerCore,
    /// Its connections to endpoints.
    pub pools: &'a Rc<UpstreamPools>,
    /// Its memory for requests.
    pub memory: &'a HttpMemory,
    /// The connection's place in the worker's register.
    pub place: &'a ClientEntry,
    /// The connection's alarm.
    pub alarm: &'a Alarm,
    /// Who asks.
    pub caller: &'a ConnectionContext,
}

impl<'a> RequestContext<'a> {
    /// On this worker.
    pub fn new(
        memory: &'a HttpMemory,
        place: &'a ClientEntry,
        alarm: &'a Alarm,
        caller: &'a ConnectionContext,
    ) -> RequestContext<'a> {
        let pools = &memory.pools;
        RequestContext { core: &pools.core, pools, memory, place, alarm, caller }
    }
}

/// Who asks: the same for all requests of a connection.
pub struct ConnectionContext {
    /// Its address.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub reached: SocketAddr,
    /// `peer`'s as text.
    pub address: ClientAddress,
    /// How it reached us.
    pub scheme: Scheme,
    /// Key of the peer's address for `hash` balancing.
    pub hash: u64,
    /// The peer's network.
    pub source: Source,
    /// … as it is looked up.
    pub source_key: SourceKey,
}

impl ConnectionContext {
    /// At these ends of its connection.
    pub fn new(peer: SocketAddr, reached: SocketAddr, scheme: Scheme) -> ConnectionContext {
        let source = Source::of(peer.ip());
        let (address, source_key) = (ClientAddress::new(peer.ip()), SourceKey::of(&source));
        ConnectionContext { peer, reached, address, scheme, hash: hash_peer(peer), source, source_key }
    }
}
