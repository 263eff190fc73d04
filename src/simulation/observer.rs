//! What a simulation hands out while it runs.

use crate::config::{Config, Name};
use crate::decision::{Decision, Digest, Effect, EndpointId, Event, Table};
use crate::routing::{EndpointStats, PickChoice, RequestClass, ResponseTracker, ServiceView, TriedEndpoints};
use crate::time::MonoTime;

/// Sees what happens in a simulation, at the time it happens. Every method does nothing by default; `()` observes nothing.
pub trait SimulationObserver {
    /// The decision core is about to get this event; `None` is its deadline.
    fn event(&mut self, event: Option<&Event>, now: MonoTime) {
        let _ = (event, now);
    }

    /// The decision core has concluded; its effects are about to be obeyed.
    fn turn(&mut self, turn: &DecisionTurn<'_>) {
        let _ = turn;
    }

    /// A sweep took this digest of an endpoint's counters.
    fn digest(&mut self, endpoint: EndpointId, digest: &Digest, delivery: DigestDelivery) {
        let _ = (endpoint, digest, delivery);
    }

    /// What an endpoint owes has changed.
    fn outstanding(&mut self, endpoint: EndpointId, kind: AnswerKind, change: OutstandingChange) {
        let _ = (endpoint, kind, change);
    }

    /// A try is about to send its first byte.
    fn try_starts(&mut self, start: &TryStart<'_>) {
        let _ = start;
    }

    /// Something happened to a request.
    fn request(&mut self, event: &RequestEvent<'_>, now: MonoTime) {
        let _ = (event, now);
    }
}

impl SimulationObserver for () {}

/// One turn of the decision core.
#[derive(Clone, Copy, Debug)]
pub struct DecisionTurn<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The table before the turn.
    pub before: &'a Table,
    /// The core after it.
    pub decision: &'a Decision,
    /// What the core wants done, in its order.
    pub effects: &'a [Effect],
    /// The virtual time.
    pub now: MonoTime,
}

/// What becomes of a digest on its way to the decision core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestDelivery {
    /// It arrives at once.
    Immediate,
    /// It arrives up to 150 ms later.
    Late,
    /// It is lost.
    Lost,
}

/// What an endpoint owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// The response to a request.
    Reply,
    /// The handshake of a connect.
    Connect,
}

impl AnswerKind {
    /// The tracker that counts it.
    pub fn tracker(self, stats: &EndpointStats) -> &ResponseTracker {
        match self {
            AnswerKind::Reply => stats.replies(),
            AnswerKind::Connect => stats.connects(),
        }
    }
}

/// How the outstanding answers of an endpoint change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutstandingChange {
    /// One more is outstanding from this time on.
    Begun(MonoTime),
    /// An answer came at this time.
    Answered(MonoTime),
    /// The one that began then is not waited for any more.
    Withdrawn(MonoTime),
    /// The one that began then was answered by another endpoint.
    AnsweredElsewhere(MonoTime),
}

/// A try that is about to send its first byte.
#[derive(Clone, Copy, Debug)]
pub struct TryStart<'a> {
    /// The view of the service it was picked on, which is the newest.
    pub view: &'a ServiceView,
    /// The endpoint.
    pub choice: PickChoice,
    /// It leaves its pool before a switch.
    pub crossing: bool,
    /// Its request is safe.
    pub safe: bool,
    /// The endpoints that its request has tried.
    pub tried: &'a TriedEndpoints,
    /// It is a hedge of a try at this endpoint.
    pub beside: Option<EndpointId>,
}

/// Something that happened to a request.
#[derive(Clone, Copy, Debug)]
pub enum RequestEvent<'a> {
    /// It arrived.
    Arrived {
        /// Its service.
        service: &'a Name,
    },
    /// It will avoid endpoints that lately failed its target.
    AvoidsEndpoints,
    /// It goes to another pool rather than to an endpoint it has tried.
    CrossesPool,
    /// It waits for the verdict on a suspected pool.
    AwaitsVerdict,
    /// It was picked on a view that has been replaced, or its endpoint has no place: it picks again.
    StaleTry,
    /// Its pick names an endpoint that its table does not have. This never happens.
    MissingEndpoint,
    /// A further exchange of a request has sent its first byte, covered by the retry budget of the service.
    FurtherExchange {
        /// The service.
        view: &'a ServiceView,
    },
    /// An endpoint has executed it.
    Executed {
        /// Its number.
        request: u64,
        /// How often it has been executed so far.
        times: u32,
        /// Its class.
        class: RequestClass,
    },
    /// All endpoints have lately failed its target: it is not tried again.
    FailsEverywhere,
    /// A hedge was sent beside its first try.
    Hedged,
    /// A hedge was due and not allowed; it will be due again.
    HedgePutOff,
    /// The hedge was answered first.
    HedgeWon,
    /// The hedge failed; the first try is still waited for.
    HedgeFailed,
    /// The first try was answered before its hedge.
    FirstTryAnswered,
    /// The first try failed or was given up; the hedge goes on.
    FirstTryLost,
    /// A second connect won against one that was not answered.
    RaceWon,
    /// A try was given up because its endpoint is condemned or its pool does not serve any more.
    LeavesEndpoint {
        /// Its number.
        request: u64,
        /// The request has been sent, not only the connect.
        sent: bool,
        /// Its class.
        class: RequestClass,
    },
    /// It is over.
    Ended {
        /// Its service.
        service: &'a Name,
        /// It was answered well (by an endpoint or a static pool).
        good: bool,
    },
}
