//! One try of a request: an exchange with one endpoint, from the first byte sent to the head of the final reply.
//!
//! The steps are send, wait, head, verdict, and each is a function of [`UpstreamTry`]. They are the same for a request's own
//! try, for its hedge and for any other request that is sent. What stands beside them belongs to the caller: the client, the
//! rate of its body, and what follows when the try has ended.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::body::RequestBody;
use super::client::{BodySource, ClientFault};
use super::exchange::{SendFault, UpstreamExchange};
use super::verdict::{AwaitOutcome, cut_before_answer, heard};
use super::waiting::{AnswerAlarm, AnswerTimes, AwaitedTry, DueAnswer, tell_left};
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::upstream::{Destination, is_condemned};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{RouteView, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::h1::ResponseHead;

/// A try that has not ended: its exchange, and since when its answer is due.
pub(super) struct UpstreamTry<'t, E> {
    core: &'t WorkerCore,
    /// Where it goes.
    pub destination: &'t Destination,
    /// What it is sent over.
    pub exchange: &'t mut E,
    /// How long its answer is waited for.
    pub times: AnswerTimes,
    /// `None` until the request is sent.
    pub waiting: Option<AwaitedTry>,
    /// The epoch of the table that was last looked at for whether the endpoint is condemned.
    judged: u64,
}

impl<'t, E: UpstreamExchange> UpstreamTry<'t, E> {
    /// A try of which nothing is sent.
    pub fn new(
        core: &'t WorkerCore,
        destination: &'t Destination,
        exchange: &'t mut E,
        times: AnswerTimes,
    ) -> UpstreamTry<'t, E> {
        UpstreamTry { core, destination, exchange, times, waiting: None, judged: destination.table.epoch }
    }

    /// Send: `Ready` when the try has ended before the request was sent. Once it is sent, `alarm` is armed for the answer.
    #[inline]
    pub fn poll_send<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
        alarm: &Alarm,
    ) -> Poll<AwaitOutcome> {
        let (core, destination) = (self.core, self.destination);
        let still_holds = || core.view.still_holds(&destination.table, destination.service());
        match self.exchange.poll_send(cx, source, body, still_holds) {
            // (A reply may have come before the connection failed.)
            Poll::Ready(Ok(()) | Err(SendFault::Upstream)) => {
                let begun = AwaitedTry::begin(destination, &self.times, clock::now());
                alarm.set(begun.next(&self.times));
                self.waiting = Some(begun);
                Poll::Pending
            }
            Poll::Ready(Err(SendFault::Stale)) => Poll::Ready(AwaitOutcome::Stale),
            Poll::Ready(Err(SendFault::Client(fault))) => Poll::Ready(AwaitOutcome::Client(fault)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Head: `Ready` with the final one, or when there will be none. Each interim one is given to `interim`.
    #[inline]
    pub fn poll_head(&mut self, cx: &mut Context<'_>, mut interim: impl FnMut(&ResponseHead)) -> Poll<AwaitOutcome> {
        loop {
            match self.exchange.poll_head(cx) {
                Poll::Ready(Ok(())) if self.exchange.reply().is_interim() => {
                    self.destination.endpoint().stats.replies().heard(clock::now());
                    interim(self.exchange.reply());
                }
                Poll::Ready(Ok(())) => return Poll::Ready(AwaitOutcome::Answered(clock::now())),
                Poll::Ready(Err(fault)) => return Poll::Ready(cut_before_answer(fault, self.destination.reused)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Has a newer table condemned the endpoint? Each table is looked at once.
    #[inline]
    pub fn is_condemned(&mut self) -> bool {
        is_condemned(self.core, self.destination, &mut self.judged)
    }

    /// Wait: `Ready` when there is something to do about the time. Before the request is sent, the alarm is the try's deadline.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, alarm: &Alarm) -> Poll<AnswerAlarm> {
        match &mut self.waiting {
            Some(waiting) => waiting.poll(cx, alarm, &self.times, self.core, self.destination, &*self.exchange),
            None => alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => AnswerAlarm::Killed,
                Interrupt::Deadline => AnswerAlarm::Timeout,
            }),
        }
    }

    /// The whole course of a try that has no client and no body of its own. `alarm` is armed for all of it.
    pub async fn alone(&mut self, body: &mut RequestBody, source: &mut impl BodySource, alarm: &Alarm) -> AwaitOutcome {
        alarm.set(clock::now().after(self.times.response));
        let mut due = None;
        let awaited = poll_fn(|cx| {
            if !self.exchange.is_sent() {
                if let Poll::Ready(ended) = self.poll_send(cx, source, body, alarm) {
                    return Poll::Ready(ended);
                }
                due = self.waiting.and_then(|waiting| DueAnswer::of(self.destination, &self.times, &waiting));
            }
            if let Poll::Ready(ended) = self.poll_head(cx, |_| ()) {
                return Poll::Ready(ended);
            }
            if self.is_condemned() {
                return Poll::Ready(AwaitOutcome::Failed { how: TryFailure::Condemned, failure: None });
            }
            self.poll_late(cx, alarm).map(AwaitOutcome::from)
        })
        .await;
        match awaited {
            AwaitOutcome::Answered(now) => self.destination.endpoint().stats.replies().heard(now),
            AwaitOutcome::Failed { how, .. } => {
                self.excuse(how);
                if how == TryFailure::Timeout {
                    self.exchange.distrust();
                }
            }
            _ => {}
        }
        due.take().into_iter().for_each(DueAnswer::settle);
        awaited
    }

    /// Verdict: counts what the end of a request's own try is for its endpoint's outstanding answers and for the route's latency.
    #[inline]
    pub fn conclude(&self, awaited: &AwaitOutcome, route: &RouteView) {
        match awaited {
            AwaitOutcome::Answered(now) => self.heard(route, *now),
            AwaitOutcome::Client(ClientFault::Gone) if self.waiting.is_some() => self.left(),
            AwaitOutcome::Failed { how, .. } => self.excuse(*how),
            _ => {}
        }
    }

    /// The head of the final answer came then.
    #[inline]
    pub fn heard(&self, route: &RouteView, now: MonoTime) {
        let since = self.waiting.filter(|_| self.times.counts()).map(|waiting| waiting.since);
        heard(self.core, route, self.destination, since, now);
    }

    /// The client left before the answer came.
    pub fn left(&self) {
        tell_left(self.core, self.destination, self.times);
    }

    /// The try ended with its connection: its answer is no longer outstanding, unless it is overdue.
    fn excuse(&self, how: TryFailure) {
        if let Some(waiting) = self.waiting
            && how != TryFailure::Timeout
        {
            self.destination.endpoint().stats.replies().excused(waiting.since);
        }
    }
}
