//! The destination of a try: a picked endpoint, with the table of the pick.

use std::sync::Arc;

use crate::decision::Failure;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointView, Handle, InFlight, PickChoice, PoolView, ServiceView};

/// A picked endpoint and how it was reached.
#[derive(Clone)]
pub struct Destination {
    /// The table of the pick.
    pub table: Handle,
    /// Index of the service in it.
    pub service: usize,
    /// The pick.
    pub choice: PickChoice,
    /// The connection was idle before.
    pub reused: bool,
    /// [`EndpointStats::generation`](crate::routing::EndpointStats::generation) when the connection was made or taken.
    pub generation: u64,
}

impl Destination {
    /// The service as it was picked from.
    pub fn service(&self) -> &Arc<ServiceView> {
        &self.table.services[self.service]
    }

    /// The pool.
    pub fn pool(&self) -> &PoolView {
        &self.service().pools[self.choice.pool]
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &EndpointView {
        &self.pool().endpoints[self.choice.endpoint]
    }

    /// Do its connections begin with a PROXY header? They are made for one client, and carry no other client's requests.
    pub fn is_about_one_client(&self) -> bool {
        self.service().config.upstream.proxy_protocol.is_some()
    }

    /// May an HTTP/1 connection carry another request after this one?
    pub fn keeps_connections(&self) -> bool {
        let upstream = &self.service().config.upstream;
        upstream.keepalive && upstream.proxy_protocol.is_none()
    }

    /// Is an answer with this status a failure of the endpoint?
    #[inline]
    pub fn fails_with(&self, status: u16) -> bool {
        status >= 400
            && match &self.pool().config().outlier_detection {
                Some(rule) => rule.failures.has_status(status),
                None => matches!(status, 502..=504),
            }
    }

    /// Is an exchange that ended like this a failure of the endpoint?
    pub(super) fn counts(&self, kind: Failure) -> bool {
        let Some(rule) = &self.pool().config().outlier_detection else { return true };
        match kind {
            Failure::Reset => rule.failures.reset,
            Failure::Timeout => rule.failures.timeout,
            Failure::Malformed => rule.failures.malformed,
            Failure::Refused | Failure::ConnectTimeout | Failure::Gateway => true,
        }
    }

    /// Is an answer that breaks off a failure of the endpoint?
    pub(super) fn counts_cut(&self) -> bool {
        self.pool().config().outlier_detection.as_ref().is_none_or(|rule| rule.failures.cut)
    }

    pub(super) fn enter(&self) -> Option<InFlight> {
        let endpoint = self.endpoint();
        endpoint.stats.enter(endpoint.max_connections)
    }
}

/// Has a newer table condemned the endpoint of this try? `judged` is the epoch of the table that was looked at last: each
/// is looked at once.
pub fn is_condemned(core: &WorkerCore, destination: &Destination, judged: &mut u64) -> bool {
    let table = core.table();
    if std::mem::replace(judged, table.epoch) == table.epoch {
        return false;
    }
    table.successor(destination.service()).is_some_and(|service| service.condemns(destination.choice.id))
}
