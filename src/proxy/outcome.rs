//! What it is called when a request or session finds no endpoint, or is ended: in the counters and in the access log.

use super::guarded::Interrupted;
use super::tcp::End;
use super::upstream::Unplaced;
use super::worker_core::WorkerCore;
use crate::routing::{GiveUpReason, Refused, Rejection, ServiceView, TryFailure};
use crate::telemetry::access::Termination;

/// Counts what found no endpoint.
pub fn count_rejection(core: &WorkerCore, service: &ServiceView, unplaced: Unplaced) {
    let reason = match unplaced {
        Unplaced::GaveUp(GiveUpReason::Starting) => Rejection::Starting,
        Unplaced::GaveUp(GiveUpReason::Down) => Rejection::Down,
        Unplaced::GaveUp(GiveUpReason::Full) => Rejection::EndpointsFull,
        Unplaced::GaveUp(GiveUpReason::Local) => Rejection::Local,
        Unplaced::GaveUp(_) => Rejection::Exhausted,
        Unplaced::Limited(Refused::QueueFull) => Rejection::QueueFull,
        Unplaced::Limited(Refused::QueueTimeout) => Rejection::QueueTimeout,
        Unplaced::Interrupted(_) => return,
    };
    service.stats.count_rejected(core.id, reason);
}

/// How a request or session ended that found no endpoint. `last`: how its last try failed.
pub fn unplaced_termination(unplaced: Unplaced, last: Option<TryFailure>, core: &WorkerCore) -> Termination {
    match unplaced {
        Unplaced::Interrupted(Interrupted::Gone) => Termination::ClientAborted,
        Unplaced::Interrupted(interrupted) => interruption(interrupted, core),
        Unplaced::Limited(_) | Unplaced::GaveUp(GiveUpReason::Full) => Termination::Overloaded,
        Unplaced::GaveUp(GiveUpReason::Local) => Termination::LocalError,
        Unplaced::GaveUp(why) => match last {
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

/// How what was interrupted ended.
pub fn interruption(interrupted: Interrupted, core: &WorkerCore) -> Termination {
    match interrupted {
        Interrupted::Gone => Termination::ClientAborted,
        Interrupted::Late => Termination::UpstreamTimeout,
        Interrupted::Killed if core.is_draining() => Termination::Stopped,
        Interrupted::Killed => Termination::Switched,
    }
}

/// What the end of a relay is called in the access log.
pub fn end_termination(end: End, core: &WorkerCore) -> Termination {
    match end {
        End::Closed => Termination::Complete,
        End::Client => Termination::ClientAborted,
        End::Upstream => Termination::UpstreamReset,
        End::Idle => Termination::Idle,
        End::ClientIdle => Termination::ClientIdle,
        End::UpstreamIdle => Termination::UpstreamIdle,
        End::Killed if core.is_draining() => Termination::Stopped,
        End::Killed => Termination::Switched,
    }
}
