//! The wait for an answer: when it is late, when a hedge is due, when the try is given up.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::exchange::UpstreamExchange;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::upstream::Destination;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointStats, LatencyEstimate};
use crate::sys::clock;
use crate::time::MonoTime;

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerTimes {
    /// After so long the try is given up.
    pub response: Duration,
    /// After so long the answer is late, which is evidence against the endpoint; `None`: it never is.
    pub late: Option<Duration>,
    /// After so long a hedge is due; `None`: never.
    pub hedge: Option<Duration>,
}

impl AnswerTimes {
    /// Is the time that the answer takes a sample of the route's latency?
    pub fn counts(&self) -> bool {
        self.late.is_some() || self.hedge.is_some()
    }
}

/// The wait for the answer to a try that was fully sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct AwaitedTry {
    /// When it was sent.
    pub since: MonoTime,
    late: Option<MonoTime>,
    hedge: Option<MonoTime>,
}

/// What is due in the wait for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerAlarm {
    /// A hedge.
    Hedge,
    /// The end of the try.
    Timeout,
    /// The end of the request.
    Killed,
}

impl AwaitedTry {
    /// The request is sent. Where its endpoint is suspected already, a hedge is due at once.
    pub fn begin(destination: &Destination, times: &AnswerTimes, now: MonoTime) -> AwaitedTry {
        let endpoint = destination.endpoint();
        if times.late.is_some() {
            endpoint.stats.replies().asked(now);
        }
        let patience = if endpoint.suspected { Duration::ZERO } else { times.hedge.unwrap_or_default() };
        let hedge = times.hedge.map(|_| now.after(patience));
        AwaitedTry { since: now, late: times.late.map(|late| now.after(late)), hedge }
    }

    /// When to look next.
    pub fn next(&self, times: &AnswerTimes) -> MonoTime {
        let deadline = self.since.after(times.response);
        [self.late, self.hedge].into_iter().flatten().fold(deadline, MonoTime::min)
    }

    /// There is no endpoint for a hedge: perhaps later.
    pub fn put_hedge_off(&mut self, times: &AnswerTimes, now: MonoTime) {
        self.hedge = times.hedge.map(|_| now.after(LOOK_AGAIN));
    }

    /// There is a hedge: no further one is due.
    pub fn forget_hedge(&mut self) {
        self.hedge = None;
    }

    /// Waits for what is due next. That the answer is late is counted here.
    pub fn poll<E: UpstreamExchange>(
        &mut self,
        cx: &mut Context<'_>,
        alarm: &Alarm,
        times: &AnswerTimes,
        core: &WorkerCore,
        destination: &Destination,
        exchange: &E,
    ) -> Poll<AnswerAlarm> {
        loop {
            match ready!(alarm.poll(cx)) {
                Interrupt::Killed => return Poll::Ready(AnswerAlarm::Killed),
                Interrupt::Deadline => {}
            }
            let now = clock::now();
            if self.late.take_if(|late| *late <= now).is_some() {
                tell_late(core, destination, exchange.is_unacknowledged(), now);
            }
            if now >= self.since.after(times.response) {
                return Poll::Ready(AnswerAlarm::Timeout);
            }
            if self.hedge.take_if(|hedge| *hedge <= now).is_some() {
                return Poll::Ready(AnswerAlarm::Hedge);
            }
            alarm.set(self.next(times));
        }
    }
}

/// Pause between two looks for an endpoint for a hedge.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An outstanding answer. Dropped before it is [settled](DueAnswer::settle), it is no longer waited for.
pub(super) struct DueAnswer {
    stats: Arc<EndpointStats>,
    asked: MonoTime,
    settled: bool,
}

impl DueAnswer {
    /// The answer to this try.
    pub fn of(destination: &Destination, times: &AnswerTimes, waiting: &AwaitedTry) -> Option<DueAnswer> {
        times.late.map(|_| DueAnswer {
            stats: Arc::clone(&destination.endpoint().stats),
            asked: waiting.since,
            settled: false,
        })
    }

    /// It came, or will not come.
    pub fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for DueAnswer {
    fn drop(&mut self) {
        if !self.settled && clock::now().since(self.asked) < LatencyEstimate::LEAST {
            self.stats.replies().excused(self.asked);
        }
    }
}

/// A client left before its answer came: where a request has been outstanding for too long, that is counted.
pub(super) fn tell_left(core: &WorkerCore, destination: &Destination, times: AnswerTimes) {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    let late = times.late.is_some_and(|late| stats.replies().waits_for(late, now));
    if late && stats.replies().late(now) && stats.make_urgent() {
        core.view.urgent();
    }
}

fn tell_late(core: &WorkerCore, destination: &Destination, unacknowledged: bool, now: MonoTime) {
    let stats = &destination.endpoint().stats;
    if unacknowledged && stats.generation() == destination.generation {
        // Idle connections lead the same way. (Whether the endpoint or this host's network is at fault, the probe finds out.)
        stats.bump_generation();
    }
    if stats.replies().late(now) && stats.make_urgent() {
        core.view.urgent();
    }
}

/// A request that waits for this endpoint was answered elsewhere.
pub(super) fn tell_overtaken(core: &WorkerCore, destination: &Destination, asked: MonoTime) {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    let suspected = stats.replies().waits_for(LatencyEstimate::LEAST, now) && stats.replies().late(now);
    if (stats.replies().witnessed(asked) || suspected) && stats.make_urgent() {
        core.view.urgent();
    }
}
