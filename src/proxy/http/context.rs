//! The context of a request: its worker, its entry in the register, its alarm, and its client's connection.

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

/// The context of a request: what the request function needs beside the request.
pub struct RequestContext<'a> {
    /// The core of the worker.
    pub core: &'a WorkerCore,
    /// The worker's connections to endpoints.
    pub pools: &'a Rc<UpstreamPools>,
    /// The worker's memory for requests.
    pub memory: &'a HttpMemory,
    /// The connection's entry in the worker's register.
    pub entry: &'a ClientEntry,
    /// The connection's alarm.
    pub alarm: &'a Alarm,
    /// The client's connection.
    pub connection_context: &'a ConnectionContext,
}

impl<'a> RequestContext<'a> {
    /// On this worker.
    pub fn new(
        memory: &'a HttpMemory,
        entry: &'a ClientEntry,
        alarm: &'a Alarm,
        connection_context: &'a ConnectionContext,
    ) -> RequestContext<'a> {
        let pools = &memory.pools;
        RequestContext { core: &pools.core, pools, memory, entry, alarm, connection_context }
    }
}

/// A client's connection: what all of its requests share.
pub struct ConnectionContext {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub reached: SocketAddr,
    /// `peer`'s as text.
    pub address: ClientAddress,
    /// Over TLS or in the clear.
    pub scheme: Scheme,
    /// Key of the peer's address for `hash` balancing.
    pub hash: u64,
    /// The client's network.
    pub source: Source,
    /// … as a key.
    pub source_key: SourceKey,
}

impl ConnectionContext {
    /// A connection between these ends.
    pub fn new(peer: SocketAddr, reached: SocketAddr, scheme: Scheme) -> ConnectionContext {
        let source = Source::of(peer.ip());
        let (address, source_key) = (ClientAddress::new(peer.ip()), SourceKey::of(&source));
        ConnectionContext { peer, reached, address, scheme, hash: hash_peer(peer), source, source_key }
    }
}
