//! The values of requests under way in a simulation: the request, its exchanges, and what services have answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::agenda::ms;
use super::model_client::ClientId;
use super::model_endpoint::ExchangeCourse;
use crate::config::Name;
use crate::decision::{EndpointId, RequestTarget, Source};
use crate::routing::{
    EndpointView, FailedTry, InFlight, PickChoice, PickState, RequestClass, ServiceView, Tries, TryEnd, TryFailure,
};
use crate::time::MonoTime;

/// The status that stands for 503 with `Retry-After` in a simulation.
pub const RETRY_LATER_STATUS: u16 = 599;
/// The workers of the proxy.
pub(super) const WORKERS: usize = 2;

/// An answer, or a connect, is late after this time: a hedge is due, and the endpoint is suspected.
pub const LATE_AFTER: Duration = ms(60);
/// How often a silent endpoint is looked at again; it may have recovered.
pub(super) const SILENCE_STEP: Duration = ms(40);
/// A request's own deadline.
pub const REQUEST_DEADLINE: Duration = ms(1500);

/// What the clients of a service got so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceAnswers {
    /// Requests that were answered well.
    pub good: u64,
    /// Requests that were not.
    pub bad: u64,
    /// When the last request was answered well.
    pub last_good: Option<MonoTime>,
    /// When the last request was not.
    pub last_bad: Option<MonoTime>,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Request {
    pub service: Name,
    pub class: RequestClass,
    pub tries: Tries,
    pub worker: usize,
    pub executed: u32,
    /// Exchanges with bytes sent.
    pub sent: u32,
    pub source: Source,
    pub target: RequestTarget,
    pub client: Option<ClientId>,
    /// Tries that failed, until it is known whether other endpoints answer the request.
    pub faults: Vec<FailedTry>,
    pub state: RequestState,
    /// A late exchange that is still waited for; `state` is the hedge.
    pub first: Option<Exchange>,
    /// There is a hedge (or was, and the first try is lost): further tries are those of the hedge.
    pub hedged: bool,
    /// When its next planned event comes; an older one is void.
    pub due: MonoTime,
}

#[derive(Debug)]
pub(super) enum RequestState {
    /// Waits for a newer table, or until then.
    Waiting(MonoTime),
    /// Picked; its first byte goes out then, if its view still holds.
    Picked(MonoTime, Arc<ServiceView>, PickChoice),
    Exchange(Exchange),
}

/// One exchange with an endpoint. Its choice names an endpoint of its view: it was looked up before.
#[derive(Debug)]
pub(super) struct Exchange {
    pub view: Arc<ServiceView>,
    pub choice: PickChoice,
    pub course: ExchangeCourse,
    pub reused: bool,
    /// Of its connection.
    pub generation: u64,
    pub began: MonoTime,
    /// Its course comes to its end, or is looked at again.
    pub ends: MonoTime,
    /// When it counts as late.
    pub late: Option<MonoTime>,
    /// When a hedge, or a race of the connect, is due.
    pub other: Option<MonoTime>,
    pub role: ExchangeRole,
    pub _place: Option<InFlight>,
}

/// What an exchange is to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeRole {
    /// The only one.
    Only,
    /// A hedge, or its successor.
    Hedge,
    /// A first try whose hedge has failed.
    Alone,
}

impl Exchange {
    pub fn endpoint(&self) -> &EndpointView {
        &self.view.pools[self.choice.pool].endpoints[self.choice.endpoint]
    }

    /// When something is to be done about it.
    pub fn next(&self) -> MonoTime {
        [self.late, self.other].into_iter().flatten().fold(self.ends, MonoTime::min)
    }

    pub fn connecting(&self) -> bool {
        self.course.failure == Some(TryFailure::ConnectTimeout)
    }

    /// Notes a reused connection that was reset before its answer.
    pub fn note_stale(&self, how: TryFailure, now: MonoTime) {
        if self.reused && how == TryFailure::Reset {
            self.endpoint().stats.note_stale(self.generation, now);
        }
    }

    pub fn ended(&self, how: TryFailure) -> TryEnd {
        TryEnd { choice: self.choice, how, sent: self.course.sent, reused: self.reused, replayable: true }
    }
}

impl Request {
    /// When something is to be done about it.
    pub fn next(&self) -> MonoTime {
        let own = match &self.state {
            RequestState::Waiting(until) => *until,
            RequestState::Picked(at, ..) => *at,
            RequestState::Exchange(exchange) => exchange.next(),
        };
        self.first.as_ref().map_or(own, |first| first.next().min(own))
    }

    pub fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.state {
            RequestState::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }
}

/// All requests under way, by number.
#[derive(Debug)]
pub(super) struct Traffic {
    /// By worker.
    pub pickers: [PickState; WORKERS],
    pub requests: BTreeMap<u64, Request>,
    /// Connects that go on though they lost their race, by worker.
    pub late_connects: BTreeSet<(usize, EndpointId)>,
    pub next: u64,
    pub answers: BTreeMap<Name, ServiceAnswers>,
}

impl Traffic {
    pub fn new(rng: &mut Rng) -> Traffic {
        Traffic {
            pickers: std::array::from_fn(|_| PickState::new(Rng::with_seed(rng.u64(..)))),
            requests: BTreeMap::new(),
            late_connects: BTreeSet::new(),
            next: 0,
            answers: BTreeMap::new(),
        }
    }

    /// The process has ended, and its requests with it.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.late_connects.clear();
    }
}
