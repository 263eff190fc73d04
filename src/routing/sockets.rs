//! The listening sockets that a table carries: bound by the control plane before it publishes, used by the workers.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// One bind address: one listening socket a worker, sharing the port (`SO_REUSEPORT`).
///
/// A reload that keeps the address keeps the `Arc`: workers compare pointers to see which accept loops begin and end.
#[derive(Debug)]
pub struct Bound {
    /// As configured; the port may be 0.
    pub requested: SocketAddr,
    /// As bound: the real port.
    pub local: SocketAddr,
    listeners: Vec<TcpListener>,
}

impl Bound {
    /// Takes what `net::listen::bind` returned for `requested`.
    pub fn new(requested: SocketAddr, listeners: Vec<TcpListener>) -> Bound {
        let local = listeners.first().and_then(|listener| listener.local_addr().ok()).unwrap_or(requested);
        Bound { requested, local, listeners }
    }

    /// The worker's own socket. `None` beyond the number bound.
    pub fn listener(&self, worker: usize) -> Option<&TcpListener> {
        self.listeners.get(worker)
    }
}

/// All bind addresses of one listener, in the order of its configuration.
#[derive(Debug, Default)]
pub struct Sockets {
    bound: Vec<Arc<Bound>>,
}

impl Sockets {
    /// Of these addresses.
    pub fn new(bound: Vec<Arc<Bound>>) -> Sockets {
        Sockets { bound }
    }

    /// One for each bind address.
    pub fn bound(&self) -> &[Arc<Bound>] {
        &self.bound
    }
}
