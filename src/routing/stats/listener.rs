//! What workers count about a listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::TlsVersion;
use crate::net::tls::HandshakeOutcome;
use crate::telemetry::instruments::{CachePadded, Counter, Counters};
use crate::wire::h1;
use crate::wire::h2::H2Excess;

/// Why a connection was closed before it came to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnRejection {
    /// A PROXY header is required, and its sender is not trusted.
    Untrusted,
    /// A PROXY header is required, and something else came.
    NoHeader,
    /// A PROXY header that is none.
    MalformedHeader,
    /// A ClientHello that is none, or too long.
    MalformedHello,
    /// TLS for a name or protocol that no route takes.
    NoRoute,
    /// What is not TLS, and no route takes that.
    NotTls,
    /// The client closed before it had said enough.
    Closed,
    /// The client did not say enough in time.
    Timeout,
}

impl ConnRejection {
    /// All of them, in the order of their numbers.
    pub const ALL: [ConnRejection; 8] = [
        ConnRejection::Untrusted,
        ConnRejection::NoHeader,
        ConnRejection::MalformedHeader,
        ConnRejection::MalformedHello,
        ConnRejection::NoRoute,
        ConnRejection::NotTls,
        ConnRejection::Closed,
        ConnRejection::Timeout,
    ];

    /// The metric's label.
    pub const fn reason(self) -> &'static str {
        match self {
            ConnRejection::Untrusted => "untrusted_proxy",
            ConnRejection::NoHeader => "no_proxy_header",
            ConnRejection::MalformedHeader => "malformed_proxy_header",
            ConnRejection::MalformedHello => "malformed_client_hello",
            ConnRejection::NoRoute => "no_route",
            ConnRejection::NotTls => "not_tls",
            ConnRejection::Closed => "closed",
            ConnRejection::Timeout => "timeout",
        }
    }
}

/// One listener's counters.
#[derive(Debug)]
pub struct ListenerStats {
    open: CachePadded<AtomicUsize>,
    /// Connections accepted.
    pub accepted: Counter,
    /// Accepts that failed (no descriptors).
    pub rejected_accept: Counter,
    /// Requests that no route takes.
    pub unrouted: Counter,
    /// Requests that came through proxies of this kind too often.
    pub looped: Counter,
    /// Bytes from clients.
    pub bytes_in: Counter,
    /// Bytes to clients.
    pub bytes_out: Counter,
    refusals: Counters<{ h1::Error::ALL.len() }>,
    handshakes: Counters<{ HandshakeOutcome::ALL.len() }>,
    tls_versions: Counters<2>,
    excesses: Counters<{ H2Excess::ALL.len() }>,
    rejected_conns: Counters<{ ConnRejection::ALL.len() }>,
}

impl ListenerStats {
    /// All zero.
    pub fn new(workers: usize) -> ListenerStats {
        ListenerStats {
            open: CachePadded(AtomicUsize::new(0)),
            accepted: Counter::new(workers),
            rejected_accept: Counter::new(workers),
            unrouted: Counter::new(workers),
            looped: Counter::new(workers),
            bytes_in: Counter::new(workers),
            bytes_out: Counter::new(workers),
            refusals: Counters::new(workers),
            handshakes: Counters::new(workers),
            tls_versions: Counters::new(workers),
            excesses: Counters::new(workers),
            rejected_conns: Counters::new(workers),
        }
    }

    /// Count a TLS handshake by how it ended.
    pub fn count_handshake(&self, worker: usize, how: HandshakeOutcome) {
        self.handshakes.add(worker, how as usize, 1);
    }

    /// TLS handshakes, by [`HandshakeOutcome::ALL`].
    pub fn handshakes(&self) -> [u64; HandshakeOutcome::ALL.len()] {
        self.handshakes.totals()
    }

    /// Count a connection by the version of TLS that was agreed on.
    pub fn count_tls_version(&self, worker: usize, version: TlsVersion) {
        self.tls_versions.add(worker, usize::from(version == TlsVersion::Tls13), 1);
    }

    /// Connections over TLS 1.2 and 1.3.
    pub fn tls_versions(&self) -> [u64; 2] {
        self.tls_versions.totals()
    }

    /// Count a request that was refused because of how it was written.
    pub fn count_refusal(&self, worker: usize, error: h1::Error) {
        self.refusals.add(worker, error as usize, 1);
    }

    /// Requests refused because of how they were written, by [`h1::Error::ALL`].
    pub fn refusals(&self) -> [u64; h1::Error::ALL.len()] {
        self.refusals.totals()
    }

    /// Count a connection of HTTP/2 that was ended because of what its client did too much of.
    pub fn count_excess(&self, worker: usize, excess: H2Excess) {
        self.excesses.add(worker, excess as usize, 1);
    }

    /// Connections of HTTP/2 ended because of what their clients did too much of, by [`H2Excess::ALL`].
    pub fn excesses(&self) -> [u64; H2Excess::ALL.len()] {
        self.excesses.totals()
    }

    /// Count a connection that was closed before it came to a service.
    pub fn count_conn_rejection(&self, worker: usize, rejection: ConnRejection) {
        self.rejected_conns.add(worker, rejection as usize, 1);
    }

    /// Connections closed before they came to a service, by [`ConnRejection::ALL`].
    pub fn rejected_conns(&self) -> [u64; ConnRejection::ALL.len()] {
        self.rejected_conns.totals()
    }

    /// Room for one more client connection? `max` is over all workers; the place is given back on drop.
    pub fn admit(self: &Arc<Self>, max: usize) -> Option<ListenerPermit> {
        if self.open.0.fetch_add(1, Relaxed) >= max {
            self.open.0.fetch_sub(1, Relaxed);
            return None;
        }
        Some(ListenerPermit(Arc::clone(self)))
    }

    /// Client connections open now.
    pub fn open(&self) -> usize {
        self.open.0.load(Relaxed)
    }
}

/// One client connection's place under the listener's limit.
#[derive(Debug)]
pub struct ListenerPermit(Arc<ListenerStats>);

impl Drop for ListenerPermit {
    fn drop(&mut self) {
        self.0.open.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_under_their_own_reason() {
        let stats = ListenerStats::new(2);
        for (times, error) in h1::Error::ALL.into_iter().enumerate() {
            (0..times).for_each(|worker| stats.count_refusal(worker, error));
        }
        assert_eq!(stats.refusals().to_vec(), (0..h1::Error::ALL.len() as u64).collect::<Vec<_>>());
        for (times, rejection) in ConnRejection::ALL.into_iter().enumerate() {
            (0..times).for_each(|worker| stats.count_conn_rejection(worker % 2, rejection));
        }
        assert_eq!(stats.rejected_conns().to_vec(), (0..ConnRejection::ALL.len() as u64).collect::<Vec<_>>());
    }
}
