//! The outcomes of a try, and what follows for its request and for the client's connection.

use super::client::ClientFault;
use super::exchange::ReplyFault;
use super::respond::LocalAnswer;
use super::waiting::{AnswerAlarm, AnswerTimes, AwaitedTry};
use crate::decision::{Failure, Mark};
use crate::proxy::guarded::WaitError;
use crate::proxy::upstream::{Destination, SelectError, blame};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{FailedTry, RouteView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::ResponseHead;

/// What becomes of the client's connection (or stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFate {
    /// It can carry another request.
    Next,
    /// It ends in order.
    Close,
    /// It is reset: the answer was cut, and must not look complete.
    Abort,
}

/// How a try ended.
pub(super) enum TryOutcome {
    /// The client has its answer, or as much of it as there is.
    Done(ConnectionFate),
    /// The client gets an answer of this proxy itself.
    Refused(LocalAnswer, Termination),
    /// No answer for the client yet; the retry rule has to be told.
    Failed(TryEnd),
    /// Another try: a newer table came before the first byte, or the retry rule was told and said so.
    Again,
    /// The retry rule was told, and no endpoint is left.
    NotSelected(SelectError),
}

/// The outcome of an exchange.
pub(super) enum ExchangeEnd {
    Tried(TryOutcome),
    /// 101: its connection is to become a tunnel.
    Switched(TunnelProtocol),
}

/// The outcome of the wait for a final head.
pub(super) enum AwaitOutcome {
    /// The head came then.
    Answered(MonoTime),
    Stale,
    /// The endpoint was condemned meanwhile; the retry rule was told and goes elsewhere.
    Left,
    /// `failure`: the evidence against the endpoint; `None` for an idle connection that was closed.
    Failed {
        how: TryFailure,
        failure: Option<Failure>,
    },
    Client(ClientFault),
    ClientSlow,
    Interrupted(WaitError),
    /// It is late; the retry rule was told and has allowed a hedge.
    HedgeDue {
        waiting: AwaitedTry,
        times: AnswerTimes,
    },
}

impl AwaitOutcome {
    /// No answer came within the try's time.
    pub const TIMED_OUT: AwaitOutcome =
        AwaitOutcome::Failed { how: TryFailure::Timeout, failure: Some(Failure::Timeout) };
}

/// The end of a wait in which no hedge is possible: one that is due is as good as a timeout.
impl From<AnswerAlarm> for AwaitOutcome {
    fn from(alarm: AnswerAlarm) -> AwaitOutcome {
        match alarm {
            AnswerAlarm::Killed => AwaitOutcome::Interrupted(WaitError::Killed),
            AnswerAlarm::Hedge | AnswerAlarm::Timeout => AwaitOutcome::TIMED_OUT,
        }
    }
}

/// The outcome of a hedged request.
pub(super) enum HedgeOutcome {
    /// The first try goes on, or ended, like this.
    First(AwaitOutcome),
    /// The other try ended like this.
    Other(TryOutcome),
}

/// The protocol of a tunnel, as far as its end depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelProtocol {
    /// It has frames, and can be closed in order.
    WebSocket,
    /// Anything else.
    Opaque,
}

/// What weakens a failed answer as evidence against its endpoint.
pub(super) fn mark_of(reply: &ResponseHead) -> Mark {
    let later = reply.status() == 503 && reply.fields().get("retry-after").is_some();
    if later { Mark::RetryLater } else { Mark::None }
}

/// The head of a final answer has come. `since`: it was waited for since then, which is a sample of the route's
/// latency.
pub(super) fn heard(
    core: &WorkerCore,
    route: &RouteView,
    destination: &Destination,
    since: Option<MonoTime>,
    now: MonoTime,
) {
    let stats = &destination.endpoint().stats;
    stats.replies().heard(now);
    stats.note_answered(destination.generation, destination.reused, now);
    if let Some(since) = since {
        route.latency.record(core.id, now.since(since));
    }
}

/// The evidence of a try that ended without an answer.
pub(super) fn tell_failure(
    core: &WorkerCore,
    destination: &Destination,
    how: TryFailure,
    failure: Option<Failure>,
) -> Option<FailedTry> {
    if failure.is_none() && how == TryFailure::Reset {
        destination.endpoint().stats.note_stale(destination.generation, clock::now());
    }
    failure.and_then(|failure| blame(core, destination, failure, Mark::None))
}

pub(super) fn cut_before_answer(fault: ReplyFault, reused: bool) -> AwaitOutcome {
    match fault {
        ReplyFault::Malformed => AwaitOutcome::Failed { how: TryFailure::Malformed, failure: Some(Failure::Malformed) },
        ReplyFault::Cut { begun } => {
            AwaitOutcome::Failed { how: TryFailure::Reset, failure: (begun || !reused).then_some(Failure::Reset) }
        }
        ReplyFault::Unprocessed { persists } => {
            AwaitOutcome::Failed { how: TryFailure::Unprocessed, failure: persists.then_some(Failure::Gateway) }
        }
        ReplyFault::Client => AwaitOutcome::Client(ClientFault::Gone),
    }
}
