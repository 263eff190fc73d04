//! The server of a worker's client connections: all that a connection needs, once it is accepted.

use std::rc::Rc;

use super::http::HttpServer;
use super::upstream::UpstreamPools;
use super::worker_core::WorkerCore;

/// The server of one worker's client connections.
pub struct ConnectionServer {
    /// Connections to endpoints.
    pub pools: Rc<UpstreamPools>,
    /// What serves HTTP.
    pub http: HttpServer,
}

impl ConnectionServer {
    /// Of a worker that begins.
    pub fn new(core: WorkerCore) -> ConnectionServer {
        let pools = Rc::new(UpstreamPools::new(core));
        ConnectionServer { http: HttpServer::new(&pools), pools }
    }

    /// The core of the worker.
    pub fn core(&self) -> &WorkerCore {
        &self.pools.core
    }

    /// The descriptor budget has no room for one more client of this listener. `waiting`: there is one.
    pub fn short_of_descriptors(&self, listener: &str, waiting: bool) {
        if self.core().descriptors.has_surplus() {
            self.pools.close_idle();
        }
        if waiting {
            self.core().note_short(listener);
        }
    }
}
