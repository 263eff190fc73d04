//! What workers count about a listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::telemetry::instruments::{Counter, Padded};

/// One listener's counters.
#[derive(Debug)]
pub struct ListenerStats {
    open: Padded<AtomicUsize>,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections closed at once because `max_connections` were open.
    pub rejected_limit: Counter,
    /// Accepts that failed (no descriptors).
    pub rejected_accept: Counter,
    /// Requests that no route takes.
    pub unrouted: Counter,
    /// Bytes from clients.
    pub bytes_in: Counter,
    /// Bytes to clients.
    pub bytes_out: Counter,
}

impl ListenerStats {
    /// All zero.
    pub fn new(workers: usize) -> ListenerStats {
        ListenerStats {
            open: Padded(AtomicUsize::new(0)),
            accepted: Counter::new(workers),
            rejected_limit: Counter::new(workers),
            rejected_accept: Counter::new(workers),
            unrouted: Counter::new(workers),
            bytes_in: Counter::new(workers),
            bytes_out: Counter::new(workers),
        }
    }

    /// Room for one more client connection? `max` is over all workers; the place is given back on drop.
    pub fn admit(self: &Arc<Self>, max: usize) -> Option<Connections> {
        if self.open.0.fetch_add(1, Relaxed) >= max {
            self.open.0.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Connections(Arc::clone(self)))
    }

    /// Client connections open now.
    pub fn open(&self) -> usize {
        self.open.0.load(Relaxed)
    }
}

/// One client connection's place under the listener's limit.
#[derive(Debug)]
pub struct Connections(Arc<ListenerStats>);

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.open.0.fetch_sub(1, Relaxed);
    }
}
