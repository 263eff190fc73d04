//! What the shell must do, in this order. The shell only obeys.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{ActId, ActOutcome, ConditionChange, EndpointId, Held, Incident, Standing, TransitionId, TransitionRecord};
use crate::config::Name;
use crate::time::MonoTime;

/// Something to do. `effects()` returns them in the fixed order: publish, sessions, probes, incident, records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// `table()` has a new epoch: publish it now.
    Publish,
    /// Deal with the sessions on a pool that serves no longer.
    Sessions {
        /// The service.
        service: Name,
        /// The pool that was left, or that is fenced before it is.
        pool: Name,
        /// The epoch that publishes it: [`Event::SessionsEnded`](super::Event::SessionsEnded) carries it back.
        epoch: u64,
        /// How. (After a switch to no pool they go on until another pool serves: no other has taken over.)
        action: SessionAction,
    },
    /// Open one connection at once, as traffic does, with PROXY header, TLS and HTTP/2, and answer with [`Event::Confirmed`](super::Event::Confirmed).
    ConfirmConnect {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Try one connect, to see whether there is a way to this endpoint, and answer with
    /// [`Event::ReachChecked`](super::Event::ReachChecked).
    CheckReach {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Probe this endpoint now instead of at its next interval.
    ProbeNow {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Probe this endpoint at `fast_interval` (or at `interval` again) from now on.
    ProbePace {
        /// The endpoint.
        endpoint: EndpointId,
        /// In transition?
        fast: bool,
    },
    /// An endpoint's standing changed: one log line and one count.
    Standing(StandingChange),
    /// Failures in a row did not eject an endpoint: each reason at most once in ten seconds.
    Held {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
        /// The endpoint.
        endpoint: EndpointId,
        /// Its address.
        address: SocketAddr,
        /// Why not.
        reason: Held,
        /// For people: the failures.
        detail: String,
    },
    /// An incident began or got its first good answer (the same id again).
    Incident(Incident),
    /// A switch began to wait for its gates, or waits no longer. When one begins, ask for its gates, and answer with
    /// [`Event::GateAnswered`](super::Event::GateAnswered).
    Transition(TransitionRecord),
    /// Run the hook of `failover.fence`, and answer with [`Event::GateAnswered`](super::Event::GateAnswered) about
    /// [`Gate::FenceHook`](super::Gate::FenceHook). When the transition ends before that, it is no longer wanted.
    RunFence {
        /// The transition that waits for it.
        transition: TransitionId,
        /// The service.
        service: Name,
        /// The former primary; `None` = it is not known.
        from: Option<SocketAddr>,
        /// The next one.
        to: SocketAddr,
    },
    /// The answer to an act: exactly one for each [`Event::Ordered`](super::Event::Ordered) and each refused reload, in its turn.
    Acted {
        /// The act.
        act: ActId,
        /// What came of it.
        outcome: ActOutcome,
        /// It did nothing now: its id is that of an earlier act, whose answer this is (or of another one, which is refused).
        #[serde(default)]
        repeated: bool,
    },
    /// A condition begins or ends.
    Condition(ConditionChange),
    /// An alert.
    Alert(Alert),
    /// The state worth keeping over a restart changed.
    Persist,
}

/// How sessions of a left pool end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionAction {
    /// They may finish until then.
    Drain {
        /// Reset what is left at this time.
        until: MonoTime,
    },
    /// Reset both sides at once.
    Close,
}

/// An endpoint's standing changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingChange {
    /// Whose.
    pub endpoint: EndpointId,
    /// Its service.
    pub service: Name,
    /// Its pool.
    pub pool: Name,
    /// Before.
    pub from: Standing,
    /// Now.
    pub to: Standing,
    /// For people: counts and the last detail.
    pub evidence: String,
}

/// An event that people should know of; it has no end. (What lasts is a [`Condition`](super::Condition).) Each has a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// A switch took longer than the objective.
    ObjectiveMissed {
        /// The service.
        service: Name,
        /// Measured, in milliseconds.
        rto_ms: u64,
        /// Promised, in milliseconds.
        objective_ms: u64,
    },
}
