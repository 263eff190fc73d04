//! How a try ends, what becomes of its request, and what becomes of the client's connection.

use super::client::ClientFault;
use super::exchange::ReplyFault;
use super::respond::Refusal;
use super::waiting::{Times, Waiting};
use crate::decision::{Failure, Mark};
use crate::proxy::guarded::Interrupted;
use crate::proxy::upstream::{Spot, Unplaced, blame};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{Ended, Fault, RouteView, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::ResponseHead;

/// What becomes of the client's connection (or stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It can carry another request.
    Next,
    /// It ends in order.
    Close,
    /// It is reset: the answer was cut, and must not look complete.
    Abort,
}

/// How a try ended.
pub(super) enum Tried {
    /// The client has its answer, or what there will ever be of it.
    Done(Finish),
    /// The client gets an answer of ours.
    Refused(Refusal, Termination),
    /// No answer for the client yet; the retry rule has to be told.
    Failed(Ended),
    /// Another try: a newer table came before the first byte, or the retry rule was told and said so.
    Again,
    /// The retry rule was told, and no endpoint is left.
    Unplaced(Unplaced),
}

/// What an exchange came to.
pub(super) enum Over {
    Tried(Tried),
    /// 101: its connection is to become a tunnel.
    Switched(Protocol),
}

/// What waiting for a final head came to.
pub(super) enum Awaited {
    /// The head came then.
    Answered(MonoTime),
    Stale,
    /// The endpoint was condemned meanwhile; the retry rule was told and goes elsewhere.
    Left,
    /// `failure`: what it says about the endpoint; `None` for an idle connection that had died.
    Failed {
        how: TryFailure,
        failure: Option<Failure>,
    },
    Client(ClientFault),
    ClientSlow,
    Interrupted(Interrupted),
    /// It is late; the retry rule was told and asks elsewhere as well.
    HedgeDue((Waiting, Times)),
}

/// What became of a request that was asked twice.
pub(super) enum Hedged {
    /// The first try goes on, or ended, like this.
    First(Awaited),
    /// The other did.
    Other(Tried),
}

/// What a tunnel carries, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Frames: a goodbye is possible.
    WebSocket,
    /// Anything else.
    Opaque,
}

/// What weakens a failed answer as evidence against its endpoint.
pub(super) fn mark_of(reply: &ResponseHead) -> Mark {
    let later = reply.status() == 503 && reply.fields().get("retry-after").is_some();
    if later { Mark::RetryLater } else { Mark::None }
}

/// The head of a final answer has come. `since`: it was waited for since then, and says how long answers take.
pub(super) fn heard(core: &WorkerCore, route: &RouteView, spot: &Spot, since: Option<MonoTime>, now: MonoTime) {
    let stats = &spot.endpoint().stats;
    stats.replies().heard(now);
    stats.note_answered(spot.generation, spot.reused, now);
    if let Some(since) = since {
        route.latency.record(core.id, now.since(since));
    }
}

/// What a try that ended without an answer says about its endpoint.
pub(super) fn tell_failure(core: &WorkerCore, spot: &Spot, how: TryFailure, failure: Option<Failure>) -> Option<Fault> {
    if failure.is_none() && how == TryFailure::Reset {
        spot.endpoint().stats.note_stale(spot.generation, clock::now());
    }
    failure.and_then(|failure| blame(core, spot, failure, Mark::None))
}

pub(super) fn cut_before_answer(fault: ReplyFault, reused: bool) -> Awaited {
    match fault {
        ReplyFault::Malformed => Awaited::Failed { how: TryFailure::Malformed, failure: Some(Failure::Malformed) },
        ReplyFault::Cut { begun } => {
            Awaited::Failed { how: TryFailure::Reset, failure: (begun || !reused).then_some(Failure::Reset) }
        }
        ReplyFault::Unprocessed { persists } => {
            Awaited::Failed { how: TryFailure::Unprocessed, failure: persists.then_some(Failure::Gateway) }
        }
        ReplyFault::Client => Awaited::Client(ClientFault::Gone),
    }
}
