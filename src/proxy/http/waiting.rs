//! What happens while a request waits for its answer: when it is late, when it is asked elsewhere as well, when it is given up.

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
    /// Then the try is given up.
    pub response: Duration,
    /// Then it speaks against the endpoint; `None`: silence says nothing.
    pub late: Option<Duration>,
    /// Then it is asked elsewhere as well; `None`: never.
    pub hedge: Option<Duration>,
}

impl AnswerTimes {
    /// Does how long it takes say something?
    pub fn counts(&self) -> bool {
        self.late.is_some() || self.hedge.is_some()
    }
}

/// A try that was fully sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct AwaitedTry {
    /// Since when.
    pub since: MonoTime,
    late: Option<MonoTime>,
    hedge: Option<MonoTime>,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerAlarm {
    /// To ask elsewhere as well.
    Hedge,
    /// To give the try up.
    Timeout,
    /// The request has to end.
    Killed,
}

impl AwaitedTry {
    /// The request is sent. Where its endpoint is suspected already, it is asked elsewhere at once.
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

    /// No other endpoint could be asked: perhaps later.
    pub fn put_hedge_off(&mut self, times: &AnswerTimes, now: MonoTime) {
        self.hedge = times.hedge.map(|_| now.after(LOOK_AGAIN));
    }

    /// It is asked elsewhere, once.
    pub fn forget_hedge(&mut self) {
        self.hedge = None;
    }

    /// Waits for the next thing to do. That the answer is late is told from here.
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

/// Pause between two looks for another endpoint to ask as well.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An answer that is no longer waited for (where it is dropped before it is [settled](DueAnswer::settle)).
pub(super) struct DueAnswer {
    stats: Arc<EndpointStats>,
    asked: MonoTime,
    settled: bool,
}

impl DueAnswer {
    /// It was asked for.
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

/// A client has left before its answer came: had others waited for too long, if they had been asked to?
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
        // What lies idle leads into the same void. (Whose fault that is, the probe will tell: it may be our own network's.)
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
