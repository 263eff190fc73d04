//! Labels of the counters and of the access log for requests and sessions that find no endpoint, or are ended.

use super::guarded::WaitError;
use super::tcp::RelayEnd;
use super::upstream::SelectError;
use super::worker_core::WorkerCore;
use crate::routing::{GiveUpReason, PermitError, Rejection, ServiceView, TryFailure};
use crate::telemetry::access::Termination;

/// Counts a request or session that found no endpoint.
pub fn count_rejection(core: &WorkerCore, service: &ServiceView, unselected: SelectError) {
    let reason = match unselected {
        SelectError::GaveUp(GiveUpReason::Starting) => Rejection::Starting,
        SelectError::GaveUp(GiveUpReason::Down) => Rejection::Down,
        SelectError::GaveUp(GiveUpReason::Full) => Rejection::EndpointsFull,
        SelectError::GaveUp(GiveUpReason::Local) => Rejection::Local,
        SelectError::GaveUp(_) => Rejection::Exhausted,
        SelectError::Limited(PermitError::QueueFull) => Rejection::QueueFull,
        SelectError::Limited(PermitError::QueueTimeout) => Rejection::QueueTimeout,
        SelectError::Interrupted(_) => return,
    };
    service.stats.count_rejected(core.id, reason);
}

/// The label of a request or session that found no endpoint. `last`: how its last try failed.
pub fn unselected_termination(unselected: SelectError, last: Option<TryFailure>, core: &WorkerCore) -> Termination {
    match unselected {
        SelectError::Interrupted(WaitError::Gone) => Termination::ClientAborted,
        SelectError::Interrupted(interrupted) => interruption(interrupted, core),
        SelectError::Limited(_) | SelectError::GaveUp(GiveUpReason::Full) => Termination::Overloaded,
        SelectError::GaveUp(GiveUpReason::Local) => Termination::LocalError,
        SelectError::GaveUp(why) => match last {
            Some(TryFailure::Refused | TryFailure::ConnectTimeout | TryFailure::Handshake | TryFailure::NoRoute) => {
                Termination::UpstreamConnect
            }
            Some(TryFailure::Reset | TryFailure::Unprocessed) => Termination::UpstreamReset,
            Some(TryFailure::Timeout | TryFailure::Condemned) => Termination::UpstreamTimeout,
            Some(TryFailure::Malformed) => Termination::UpstreamMalformed,
            Some(TryFailure::Local) => Termination::LocalError,
            Some(TryFailure::Status(_)) => Termination::Complete,
            None if matches!(why, GiveUpReason::Deadline) => Termination::Overloaded,
            None => Termination::Down,
        },
    }
}

/// The label of a request or session that was interrupted.
pub fn interruption(interrupted: WaitError, core: &WorkerCore) -> Termination {
    match interrupted {
        WaitError::Gone => Termination::ClientAborted,
        WaitError::Late => Termination::UpstreamTimeout,
        WaitError::Killed if core.is_draining() => Termination::Stopped,
        WaitError::Killed => Termination::Switched,
    }
}

/// The label of a relay's end in the access log.
pub fn end_termination(end: RelayEnd, core: &WorkerCore) -> Termination {
    match end {
        RelayEnd::Closed => Termination::Complete,
        RelayEnd::Client => Termination::ClientAborted,
        RelayEnd::Upstream => Termination::UpstreamReset,
        RelayEnd::Idle => Termination::Idle,
        RelayEnd::ClientIdle => Termination::ClientIdle,
        RelayEnd::UpstreamIdle => Termination::UpstreamIdle,
        RelayEnd::Killed if core.is_draining() => Termination::Stopped,
        RelayEnd::Killed => Termination::Switched,
    }
}
