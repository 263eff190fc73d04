//! The failed tries of one request, until it is known how the request fared elsewhere.

use std::sync::Arc;

use super::stats::EndpointStats;
use super::table::ServiceView;
use crate::decision::{Elsewhere, EndpointId, Failure, FailureReport, Mark, RequestTarget, Source};
use crate::time::MonoTime;

/// One failed try, counted and not attributed yet.
#[derive(Debug)]
pub struct FailedTry {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its counters.
    pub stats: Arc<EndpointStats>,
    /// The endpoint's pool, by its place.
    pub pool: usize,
    /// The number of the streak that it belongs to.
    pub streak: u32,
    /// How it failed.
    pub kind: Failure,
    /// When.
    pub at: MonoTime,
    /// What else the failure tells.
    pub mark: Mark,
}

impl FailedTry {
    /// Attributes the failure. True: the engine must look at once.
    pub fn report(&self, source: Option<Source>, caller: bool, target: RequestTarget, elsewhere: Elsewhere) -> bool {
        let FailedTry { streak, kind, at, mark, .. } = *self;
        self.stats.report(FailureReport { streak, source, caller, target, kind, at, elsewhere, mark })
    }

    /// Reports a failed connect, which is about no client. True: the engine must look at once.
    pub fn report_connect(&self) -> bool {
        self.report(None, false, RequestTarget(0), Elsewhere::Unknown)
    }
}

/// The request was answered well `by` an endpoint: it avoids those that fail it alone. (Not those that only asked it to come later.)
pub fn contrasted(
    faults: &[FailedTry],
    by: EndpointId,
    service: &ServiceView,
    source: Source,
    target: RequestTarget,
    now: MonoTime,
) {
    for fault in faults.iter().filter(|fault| fault.mark == Mark::None && fault.endpoint != by) {
        service.stats.avoidance.note(fault.endpoint, source, target, now);
    }
}

/// How a request fared that is over and was answered well by no endpoint. What failed everywhere is remembered.
pub fn fared(
    faults: &[FailedTry],
    service: &ServiceView,
    source: Source,
    target: RequestTarget,
    now: MonoTime,
) -> Elsewhere {
    let Some(first) = faults.first() else { return Elsewhere::Unknown };
    // (Where there is another pool, it must have failed there too: all of one pool may be what is at fault.)
    let pools = service.pools.iter().filter(|pool| pool.static_response().is_none()).count();
    let elsewhere = |fault: &FailedTry| {
        fault.kind == first.kind && !Arc::ptr_eq(&fault.stats, &first.stats) && (pools == 1 || fault.pool != first.pool)
    };
    let everywhere = &service.stats.everywhere;
    if faults.iter().any(elsewhere) {
        everywhere.note(source, target, first.kind, now);
        Elsewhere::Failed
    } else if everywhere.remembers(source, target, first.kind, now) {
        Elsewhere::Known
    } else {
        Elsewhere::Unknown
    }
}
