//! What it is called when a request or session finds no endpoint, or is ended: in the counters and in the access log.

use super::guarded::Interrupted;
use super::tcp::End;
use super::upstream::Unplaced;
use super::worker_core::WorkerCore;
use crate::routing::{How, Refused, Rejection, ServiceView, Why};
use crate::telemetry::access::Termination;

/// Counts what found no endpoint.
pub fn count_rejection(core: &WorkerCore, service: &ServiceView, unplaced: Unplaced) {
    let reason = match unplaced {
        Unplaced::GaveUp(Why::Starting) => Rejection::Starting,
        Unplaced::GaveUp(Why::Down) => Rejection::Down,
        Unplaced::GaveUp(Why::Full) => Rejection::EndpointsFull,
        Unplaced::GaveUp(Why::Local) => Rejection::Local,
        Unplaced::GaveUp(_) => Rejection::Exhausted,
        Unplaced::Limited(Refused::QueueFull) => Rejection::QueueFull,
        Unplaced::Limited(Refused::QueueTimeout) => Rejection::QueueTimeout,
        Unplaced::Interrupted(_) => return,
    };
    service.stats.count_rejected(core.id, reason);
}

/// How a request or session ended that found no endpoint. `last`: how its last try failed.
pub fn unplaced_termination(unplaced: Unplaced, last: Option<How>, core: &WorkerCore) -> Termination {
    match unplaced {
        Unplaced::Interrupted(Interrupted::Gone) => Termination::ClientAborted,
        Unplaced::Interrupted(interrupted) => interruption(interrupted, core),
        Unplaced::Limited(_) | Unplaced::GaveUp(Why::Full) => Termination::Overloaded,
        Unplaced::GaveUp(Why::Local) => Termination::LocalError,
        Unplaced::GaveUp(why) => match last {
            Some(How::Refused | How::ConnectTimeout | How::Handshake | How::NoRoute) => Termination::UpstreamConnect,
            Some(How::Reset | How::Unprocessed) => Termination::UpstreamReset,
            Some(How::Timeout | How::Condemned) => Termination::UpstreamTimeout,
            Some(How::Malformed) => Termination::UpstreamMalformed,
            Some(How::Local) => Termination::LocalError,
            Some(How::Status(_)) => Termination::Complete,
            None if matches!(why, Why::Deadline) => Termination::Overloaded,
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
