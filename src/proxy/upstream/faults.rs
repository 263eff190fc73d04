//! The failed tries of one request. Each is counted at once, and attributed when it is known how the request ended at other
//! endpoints: at the next answer, or at the request's end.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::destination::Destination;
use crate::decision::{ConnectOutcome, Elsewhere, EndpointId, Failure, Mark, RequestTarget, Source};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointView, FailedTry, LatencyEstimate, ServiceView, SourceKey, TryFailure, faults};
use crate::sys::clock;
use crate::time::MonoTime;

/// The source and the target of a request, to which its failures are attributed.
#[derive(Clone, Copy)]
pub struct FaultSubject<'a> {
    /// The client's network.
    pub source: Source,
    /// … as a key.
    pub key: SourceKey,
    /// The route, by its place.
    pub route: usize,
    /// The path without the query; empty for a TCP session.
    pub path: &'a [u8],
}

impl FaultSubject<'_> {
    /// Computed only when something has failed.
    fn target(&self) -> RequestTarget {
        RequestTarget(BuildHasherDefault::<DefaultHasher>::default().hash_one((self.route, self.path)))
    }
}

/// The failed tries of one request.
pub struct FailedTries<'a> {
    core: &'a WorkerCore,
    service: &'a ServiceView,
    subject: FaultSubject<'a>,
    list: SmallVec<[FailedTry; 2]>,
}

impl<'a> FailedTries<'a> {
    /// None yet.
    pub fn new(core: &'a WorkerCore, service: &'a ServiceView, subject: FaultSubject<'a>) -> FailedTries<'a> {
        FailedTries { core, service, subject, list: SmallVec::new() }
    }

    /// None yet, of the same request.
    pub fn fresh(&self) -> FailedTries<'a> {
        FailedTries::new(self.core, self.service, self.subject)
    }

    /// The source and target of the request.
    pub fn subject(&self) -> FaultSubject<'a> {
        self.subject
    }

    /// These tries failed too.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = FailedTry>) {
        self.list.extend(faults);
    }

    /// This endpoint answered the request. `well`: so that what failed before was not its own fault.
    #[inline]
    pub fn answered(&mut self, by: EndpointId, well: bool, now: MonoTime) {
        let stats = &self.service.stats;
        if well && stats.everywhere.knows_any() {
            stats.everywhere.forget(self.subject.source, self.subject.target(), now);
        }
        if !self.list.is_empty() {
            let target = self.subject.target();
            if well {
                faults::contrasted(&self.list, by, self.service, self.subject.source, target, now);
            }
            self.settle(target, if well { Elsewhere::Answered } else { Elsewhere::Unknown });
        }
    }

    /// This endpoint's good answer has come to its end.
    #[inline]
    pub fn answered_well_by(&self, endpoint: EndpointId) {
        let avoidance = &self.service.stats.avoidance;
        if avoidance.knows_any() {
            avoidance.forget(endpoint, self.subject.target(), clock::now());
        }
    }

    /// The endpoints that fail such a request alone.
    #[inline]
    pub fn avoided(&self, safe: bool) -> Vec<EndpointId> {
        match &self.service.stats.avoidance {
            avoidance if avoidance.applies() => {
                avoidance.of(self.subject.source, self.subject.target(), safe, clock::now())
            }
            _ => Vec::new(),
        }
    }

    /// Its last answer, a failed one, is what the client gets.
    pub fn conclude(&mut self) {
        if !self.list.is_empty() {
            self.end();
        }
    }

    /// Is it known that sending such a request again after this failure is of no use?
    pub fn fails_everywhere(&self, kind: Failure) -> bool {
        let FaultSubject { source, .. } = self.subject;
        self.service.stats.everywhere.knows(source, self.subject.target(), kind, clock::now())
    }

    /// A request that has waited for this endpoint's answer since then was answered elsewhere.
    pub fn witness(&self, endpoint: &EndpointView, asked: MonoTime) {
        let (source, target) = (self.subject.source, self.subject.target());
        endpoint.stats.witness(asked, source, target);
        let now = clock::now();
        // (An endpoint that was only slower has not failed; a suspected one answers nothing, whatever the target.)
        if !endpoint.suspected && now.since(asked) >= LatencyEstimate::LEAST {
            self.service.stats.avoidance.note(endpoint.id, source, target, now);
        }
    }

    #[cold]
    fn settle(&mut self, target: RequestTarget, elsewhere: Elsewhere) {
        let caller = self.service.stats.callers.has(self.subject.key, clock::now());
        for fault in std::mem::take(&mut self.list) {
            if fault.report(Some(self.subject.source), caller, target, elsewhere) {
                self.core.view.urgent();
            }
        }
    }

    /// The request is over, and was answered well by no endpoint.
    #[cold]
    fn end(&mut self) {
        let (source, target) = (self.subject.source, self.subject.target());
        self.settle(target, faults::fared(&self.list, self.service, source, target, clock::now()));
    }
}

impl Drop for FailedTries<'_> {
    fn drop(&mut self) {
        if !self.list.is_empty() {
            self.end();
        }
    }
}

/// Counts a failed exchange against its endpoint, and makes the engine look at once where it must. To be
/// [added](FailedTries::extend). `None`: a pause of this process may have brought it about.
pub fn count_fault(core: &WorkerCore, destination: &Destination, kind: Failure, mark: Mark) -> Option<FailedTry> {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    if clock::has_just_resumed(now) && matches!(kind, Failure::Reset | Failure::Timeout | Failure::ConnectTimeout) {
        tracing::debug!(endpoint = %destination.endpoint().address, kind = %kind.as_str(), "not held against the endpoint: this process was paused");
        return None;
    }
    if stats.record_failure(core.id, kind, destination.choice.trial, now) {
        core.view.urgent();
    }
    let streak = stats.streak_number();
    let (stats, pool) = (Arc::clone(stats), destination.choice.pool);
    Some(FailedTry { endpoint: destination.choice.id, stats, pool, streak, kind, at: now, mark })
}

/// Counts a failed connect against its endpoint, whatever the client, and makes the engine look at once where it must.
pub fn record_connect(core: &WorkerCore, destination: &Destination, kind: Failure) {
    let Some(fault) = count_fault(core, destination, kind, Mark::None) else { return };
    if fault.report_connect() {
        core.view.urgent();
    }
}

/// Counts a connect that was not answered in its time, against its endpoint.
pub fn connect_unanswered(core: &WorkerCore, destination: &Destination) -> TryFailure {
    destination.endpoint().stats.count_connect(core.id, ConnectOutcome::Timeout);
    record_connect(core, destination, Failure::ConnectTimeout);
    TryFailure::ConnectTimeout
}

/// Counts a failed exchange against its endpoint, if it counts. To be added to its request's [`FailedTries`].
pub fn blame(core: &WorkerCore, destination: &Destination, kind: Failure, mark: Mark) -> Option<FailedTry> {
    destination.counts(kind).then(|| count_fault(core, destination, kind, mark)).flatten()
}
