//! The listening sockets that a table carries: bound by the control plane before it publishes, used by the workers.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::Bind;

/// One bind address: one listening socket a worker, sharing the port (`SO_REUSEPORT`).
///
/// A reload that keeps the address keeps the `Arc`: workers compare pointers to see which accept loops begin and end.
#[derive(Debug)]
pub struct BoundSocket {
    /// As configured; the port may be 0.
    pub requested: Bind,
    /// As bound: the real port. Of `*`, the IPv6 wildcard where there is IPv6.
    pub local: SocketAddr,
    listeners: Vec<TcpListener>,
}

impl BoundSocket {
    /// Takes what `net::listen::bind` returned for `requested`.
    pub fn new(requested: Bind, listeners: Vec<TcpListener>) -> BoundSocket {
        let local = listeners.first().and_then(|listener| listener.local_addr().ok());
        let local = local.unwrap_or_else(|| match requested {
            Bind::Address(address) => address,
            Bind::Every(port) => (Ipv6Addr::UNSPECIFIED, port).into(),
        });
        BoundSocket { requested, local, listeners }
    }

    /// Where it listens, as it would be configured: the real port, and `*` only where both families are taken.
    pub fn listens(&self) -> Bind {
        match self.requested {
            Bind::Every(_) if self.local.is_ipv6() => Bind::Every(self.local.port()),
            _ => Bind::Address(self.local),
        }
    }

    /// The worker's own socket. `None` beyond the number bound.
    pub fn listener(&self, worker: usize) -> Option<&TcpListener> {
        self.listeners.get(worker)
    }
}

/// All bind addresses of one listener, in the order of its configuration.
#[derive(Debug, Default)]
pub struct ListenerSockets {
    bound: Vec<Arc<BoundSocket>>,
}

impl ListenerSockets {
    /// Of these addresses.
    pub fn new(bound: Vec<Arc<BoundSocket>>) -> ListenerSockets {
        ListenerSockets { bound }
    }

    /// One for each bind address.
    pub fn bound(&self) -> &[Arc<BoundSocket>] {
        &self.bound
    }
}
