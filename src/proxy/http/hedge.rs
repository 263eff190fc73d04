//! Hedging ([manual::retries](crate::manual::retries)): a safe request whose answer is late is sent elsewhere as well. The
//! first good answer wins, and the other try is cancelled at once.
//!
//! From here on the request's tries are those of the hedge; the first try only waits. Where the hedge comes to nothing the
//! request waits for the first alone; where the first fails it is the hedge's to answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::body::RequestBody;
use super::channel::Channel;
use super::client::{Client, ClientFault, Source};
use super::exchange::{Exchange, SendFault};
use super::memory::Scratch;
use super::outline::Outline;
use super::request::Request;
use super::verdict::{Awaited, Hedged, Over, Tried, cut_before_answer, heard, mark_of, tell_failure};
use super::waiting::{Due, Ring, Times, Waiting, tell_left, tell_overtaken};
use crate::config::Retry;
use crate::decision::{Failure, Mark};
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::guarded::{Interrupted, guarded};
use crate::proxy::upstream::{Placed, Placing, Spot, Target, Unplaced, blame, is_condemned};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{Ended, Fault, GiveUpReason, InFlight, RetryDecision, RouteView, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::Fields;
use crate::wire::h1::{BodyDecoder, ResponseHead};

/// What the other try came to.
#[allow(clippy::large_enum_variant, reason = "it lives in a box of its own")]
enum Other<'s> {
    /// A final head has come.
    Answered(Answer<'s>),
    /// It ended without one. `fault`: what that says about its endpoint.
    Failed { ended: Ended, spot: Spot, fault: Option<Fault> },
    /// A newer table came before its first byte.
    Stale,
    /// No endpoint is left, but an answer of our own.
    Static,
    /// No endpoint is left.
    Unplaced(Unplaced),
}

struct Answer<'s> {
    exchange: Channel<'s>,
    spot: Spot,
    in_flight: InFlight,
    now: MonoTime,
}

/// Who was first.
enum First<T> {
    /// The first try: an answer, or its end.
    Own(Awaited),
    /// Its endpoint was condemned.
    Condemned,
    /// The other.
    Other(T),
}

/// The first try of a hedged request, as it is waited for.
struct Pending<'s, E> {
    exchange: &'s mut E,
    spot: &'s Spot,
    route: &'s RouteView,
    waiting: Waiting,
    times: Times,
    alarm: Alarm,
    /// The epoch of the table that was last asked whether the endpoint is condemned.
    judged: u64,
}

impl<'a, C: Client> Request<'a, C> {
    /// Waits for two tries: `first`, which is late, and another one, for which the retry rule was asked already.
    pub(super) async fn hedged<E: Exchange>(
        &mut self,
        first: &mut E,
        placing: &mut Placing<'_>,
        route: &'a RouteView,
        spot: &Spot,
        (mut waiting, times): (Waiting, Times),
    ) -> Hedged {
        let core = self.setting.core;
        // In retry: a switch must not end it.
        self.setting.place.set_pool_term(None);
        self.setting.alarm.pardon();
        let alarm = core.deadlines.alarm();
        waiting.forget_hedge();
        alarm.set(waiting.next());
        let judged = spot.table.epoch;
        let first = Pending { exchange: first, spot, route, waiting, times, alarm, judged };
        let memory = self.setting.memory;
        let mut scratch = memory.scratch();
        let hedged = self.ask_beside(first, placing, times, &mut scratch).await;
        memory.put_scratch(scratch);
        if let Hedged::First(Awaited::Answered(_)) = &hedged {
            self.setting.place.take_pool_term(memory.pool_term(spot), &core.view);
        }
        placing.service().stats.count_hedge(core.id, matches!(hedged, Hedged::Other(Tried::Done(_))));
        hedged
    }

    async fn ask_beside<E: Exchange>(
        &mut self,
        first: Pending<'_, E>,
        placing: &mut Placing<'_>,
        times: Times,
        scratch: &mut Scratch,
    ) -> Hedged {
        let (core, spot) = (self.setting.core, first.spot);
        let outline = self.outline(&first.route.config);
        let origin = Rc::clone(&placing.origin);
        let retry = &origin.services[placing.index].config.retry;
        let placed = Cell::new(false);
        let mut first = Some(first);
        loop {
            let Scratch { reply, decoder, body, .. } = &mut *scratch;
            body.reset(0);
            placed.set(false);
            let mut lost = None;
            let mut fault = None;
            let other = {
                let mut other = pin!(ask(&outline, placing, times, (reply, decoder, body), &placed));
                loop {
                    let Some(pending) = &mut first else {
                        let alarm = core.deadlines.alarm();
                        let gone = &mut |cx: &mut Context<'_>| self.client.poll_gone(cx);
                        match guarded(&alarm, gone, other.as_mut()).await {
                            Ok(other) => break Some(other),
                            Err(_) => return Hedged::First(Awaited::Client(ClientFault::Gone)),
                        }
                    };
                    let how = match self.first_of(pending, other.as_mut()).await {
                        First::Other(other) => break Some(other),
                        First::Condemned => TryFailure::Condemned,
                        First::Own(Awaited::Failed { how, failure }) => {
                            fault = self.fault_of(&*pending.exchange, spot, how, failure);
                            how
                        }
                        // Asked alone, it would be asked again elsewhere: there it is asked already.
                        First::Own(Awaited::Answered(_)) if pending.is_retried_for(retry) => {
                            let how = pending.refuse(core);
                            fault = pending.fault(core);
                            how
                        }
                        First::Own(awaited) => return Hedged::First(awaited),
                    };
                    pending.give_up(how);
                    (first, lost) = (None, Some(how));
                    if !placed.get() {
                        // It may go elsewhere now than beside the first.
                        break None;
                    }
                }
            };
            placing.faults.extend(fault);
            if let Some(how) = lost {
                placing.forsake(how);
            }
            let next = match other {
                None | Some(Other::Stale) => continue,
                Some(Other::Answered(answer)) if first.is_none() || is_welcome(placing, spot, &answer) => {
                    if let Some(first) = first {
                        first.overtaken(core, placing);
                    }
                    return Hedged::Other(self.win(answer, placing, outline).await);
                }
                Some(Other::Answered(answer)) => self.decline(answer, placing).await,
                Some(Other::Failed { ended, spot, fault }) => {
                    placing.faults.extend(fault);
                    placing.failed(&ended, spot.service())
                }
                Some(Other::Static) if first.is_none() => return Hedged::Other(Tried::Again),
                Some(Other::Static) => RetryDecision::GiveUp(GiveUpReason::Exhausted),
                Some(Other::Unplaced(Unplaced::Interrupted(interrupted))) => {
                    return Hedged::First(Awaited::Interrupted(interrupted));
                }
                Some(Other::Unplaced(Unplaced::GaveUp(why))) => RetryDecision::GiveUp(why),
                Some(Other::Unplaced(Unplaced::Limited(_))) => RetryDecision::GiveUp(GiveUpReason::Exhausted),
            };
            match (next, first) {
                (RetryDecision::GiveUp(why), None) => return Hedged::Other(Tried::Unplaced(Unplaced::GaveUp(why))),
                (RetryDecision::GiveUp(_), Some(alone)) => return Hedged::First(self.wait_alone(alone, placing).await),
                (_, still) => first = still,
            }
        }
    }

    /// Waits for the first try, the only one that is left.
    async fn wait_alone<E: Exchange>(&mut self, mut first: Pending<'_, E>, placing: &mut Placing<'_>) -> Awaited {
        let core = self.setting.core;
        let mut condemned = false;
        loop {
            // While the budget does not let it go, it asks again.
            let again = pin!(ask_again(core, condemned));
            match self.first_of(&mut first, again).await {
                First::Own(awaited) => return awaited,
                First::Condemned | First::Other(()) => condemned = true,
            }
            if placing.leave_hedge(first.spot.service()) {
                return Awaited::Left;
            }
        }
    }

    /// Waits for the first try's head or for the other to end.
    async fn first_of<E: Exchange, T>(
        &mut self,
        first: &mut Pending<'_, E>,
        mut other: Pin<&mut impl Future<Output = T>>,
    ) -> First<T> {
        let core = self.setting.core;
        poll_fn(|cx| {
            loop {
                match first.exchange.poll_head(cx) {
                    Poll::Ready(Ok(())) if first.exchange.reply().is_interim() => {
                        first.spot.endpoint().stats.replies().heard(clock::now());
                        self.pass_interim(first.exchange.reply());
                    }
                    Poll::Ready(Ok(())) => return Poll::Ready(First::Own(Awaited::Answered(first.heard(core)))),
                    Poll::Ready(Err(fault)) => {
                        return Poll::Ready(First::Own(cut_before_answer(fault, first.spot.reused)));
                    }
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(done) = other.as_mut().poll(cx) {
                return Poll::Ready(First::Other(done));
            }
            if is_condemned(core, first.spot, &mut first.judged) {
                return Poll::Ready(First::Condemned);
            }
            let unwritable = matches!(self.client.poll_flush(cx), Poll::Ready(Err(_)));
            if unwritable || self.client.poll_gone(cx).is_ready() {
                tell_left(core, first.spot, first.times);
                return Poll::Ready(First::Own(Awaited::Client(ClientFault::Gone)));
            }
            if self.is_killed(cx) {
                return Poll::Ready(First::Own(Awaited::Interrupted(Interrupted::Killed)));
            }
            let Pending { waiting, alarm, spot, exchange, .. } = first;
            waiting.poll(cx, alarm, core, spot, &**exchange).map(|ring| match ring {
                Ring::Killed => First::Own(Awaited::Interrupted(Interrupted::Killed)),
                Ring::Hedge | Ring::Timeout => {
                    First::Own(Awaited::Failed { how: TryFailure::Timeout, failure: Some(Failure::Timeout) })
                }
            })
        })
        .await
    }

    /// Was the request ended from outside? Nudges come the same way. (A deadline that was not asked for means nothing.)
    fn is_killed(&self, cx: &mut Context<'_>) -> bool {
        let alarm = self.setting.alarm;
        if let Poll::Ready(Interrupt::Deadline) = alarm.poll(cx) {
            alarm.clear();
        }
        alarm.poll(cx) == Poll::Ready(Interrupt::Killed)
    }

    /// The other try's answer is the client's.
    async fn win(&mut self, answer: Answer<'_>, placing: &mut Placing<'_>, outline: Outline<'_>) -> Tried {
        let Answer { mut exchange, spot, in_flight, now } = answer;
        let core = self.setting.core;
        self.setting.place.take_pool_term(self.setting.memory.pool_term(&spot), &core.view);
        self.account.reached(&spot);
        let tried = self.pass_on(&mut exchange, placing, outline.route, &spot, now).await;
        self.close(&mut exchange, Over::Tried(tried), placing, &spot, in_flight).await
    }

    /// The other try's answer is not the client's, as long as the first may still come.
    async fn decline(&mut self, answer: Answer<'_>, placing: &mut Placing<'_>) -> RetryDecision {
        let Answer { mut exchange, spot, in_flight, .. } = answer;
        let (core, status) = (self.setting.core, exchange.reply().status());
        spot.endpoint().stats.count_response(core.id, status);
        if spot.fails_with(status) {
            placing.record_marked(&spot, Failure::Gateway, mark_of(exchange.reply()));
        } else {
            placing.record_good(&spot);
        }
        let ended = self.ended(&exchange, &spot, TryFailure::Status(status), false);
        let next = placing.failed(&ended, spot.service());
        exchange.skip();
        self.close(&mut exchange, Over::Tried(Tried::Again), placing, &spot, in_flight).await;
        next
    }
}

impl<E: Exchange> Pending<'_, E> {
    /// The head of its answer has come.
    fn heard(&self, core: &WorkerCore) -> MonoTime {
        let now = clock::now();
        heard(core, self.route, self.spot, Some(self.waiting.since).filter(|_| self.times.counts()), now);
        now
    }

    fn is_retried_for(&self, retry: &Retry) -> bool {
        retry.on.has_status(self.exchange.reply().status())
    }

    /// Its answer is one that would be asked for again.
    fn refuse(&self, core: &WorkerCore) -> TryFailure {
        let status = self.exchange.reply().status();
        self.spot.endpoint().stats.count_response(core.id, status);
        TryFailure::Status(status)
    }

    /// What that answer says against its endpoint.
    fn fault(&self, core: &WorkerCore) -> Option<Fault> {
        let reply = self.exchange.reply();
        let failed = self.spot.fails_with(reply.status());
        failed.then(|| blame(core, self.spot, Failure::Gateway, mark_of(reply))).flatten()
    }

    fn give_up(&mut self, how: TryFailure) {
        if how == TryFailure::Timeout {
            self.exchange.distrust();
        }
        self.exchange.abandon();
    }

    /// The other try was faster.
    fn overtaken(self, core: &WorkerCore, placing: &mut Placing<'_>) {
        placing.faults.witness(self.spot.endpoint(), self.waiting.since);
        tell_overtaken(core, self.spot, self.waiting.since);
        if self.spot.choice.trial {
            placing.faults.extend(blame(core, self.spot, Failure::Timeout, Mark::None));
        }
        self.exchange.abandon();
    }
}

/// Some time later, if at all.
async fn ask_again(core: &WorkerCore, at_all: bool) {
    let alarm = core.deadlines.alarm();
    if at_all {
        alarm.set(clock::now().after(ASK_AGAIN));
    }
    poll_fn(|cx| alarm.poll(cx)).await;
}

/// How often a request that was condemned to wait looks whether it may go.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Is this what the client should get although the first try may still be answered? From another pool only what is good.
fn is_welcome(placing: &Placing<'_>, first: &Spot, answer: &Answer<'_>) -> bool {
    let status = answer.exchange.reply().status();
    let same_pool = answer.spot.pool().name == first.pool().name;
    status < 400 || (same_pool && !placing.service().config.retry.on.has_status(status))
}

/// One other try, up to its final head. `placed` tells when it has an endpoint.
async fn ask<'s>(
    outline: &Outline<'_>,
    placing: &mut Placing<'_>,
    times: Times,
    (reply, decoder, body): (&'s mut ResponseHead, &'s mut BodyDecoder, &mut RequestBody),
    placed: &Cell<bool>,
) -> Other<'s> {
    let core = outline.core;
    let Target { spot, link, in_flight } = match placing.next(&mut |_: &mut Context<'_>| Poll::Pending).await {
        Ok(Placed::Endpoint(target)) => target,
        Ok(Placed::Static { .. }) => return Other::Static,
        Err(unplaced) => return Other::Unplaced(unplaced),
    };
    placed.set(true);
    let Ok(mut exchange) = outline.open(link, &spot, false, reply, decoder) else {
        return Other::Unplaced(Unplaced::GaveUp(GiveUpReason::Exhausted));
    };
    let alarm = placing.alarm;
    alarm.set(clock::now().after(times.response));
    let mut waiting: Option<Waiting> = None;
    let mut due = None;
    let mut judged = spot.table.epoch;
    let stats = &spot.endpoint().stats;
    let awaited = poll_fn(|cx| {
        if !exchange.is_sent() {
            let still_holds = || core.view.still_holds(&spot.table, spot.service());
            match exchange.poll_send(cx, &mut Bodiless, body, still_holds) {
                Poll::Ready(Ok(()) | Err(SendFault::Upstream)) => {
                    let begun = Waiting::begin(&spot, Times { hedge: None, ..times }, clock::now());
                    alarm.set(begun.next());
                    due = Due::of(&spot, &begun);
                    waiting = Some(begun);
                }
                Poll::Ready(Err(SendFault::Stale)) => return Poll::Ready(Awaited::Stale),
                Poll::Ready(Err(SendFault::Client(fault))) => return Poll::Ready(Awaited::Client(fault)),
                Poll::Pending => {}
            }
        }
        loop {
            match exchange.poll_head(cx) {
                Poll::Ready(Ok(())) if exchange.reply().is_interim() => stats.replies().heard(clock::now()),
                Poll::Ready(Ok(())) => return Poll::Ready(Awaited::Answered(clock::now())),
                Poll::Ready(Err(fault)) => return Poll::Ready(cut_before_answer(fault, spot.reused)),
                Poll::Pending => break,
            }
        }
        if is_condemned(core, &spot, &mut judged) {
            return Poll::Ready(Awaited::Failed { how: TryFailure::Condemned, failure: None });
        }
        let ring = match &mut waiting {
            Some(waiting) => waiting.poll(cx, alarm, core, &spot, &exchange),
            None => alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => Ring::Killed,
                Interrupt::Deadline => Ring::Timeout,
            }),
        };
        ring.map(|ring| match ring {
            Ring::Killed => Awaited::Interrupted(Interrupted::Killed),
            Ring::Hedge | Ring::Timeout => {
                Awaited::Failed { how: TryFailure::Timeout, failure: Some(Failure::Timeout) }
            }
        })
    })
    .await;
    if let (Some(waiting), Awaited::Failed { how, .. }) = (&waiting, &awaited)
        && *how != TryFailure::Timeout
    {
        stats.replies().excused(waiting.since);
    }
    due.take().into_iter().for_each(Due::settle);
    match awaited {
        Awaited::Answered(now) => {
            stats.replies().heard(now);
            Other::Answered(Answer { exchange, spot, in_flight, now })
        }
        Awaited::Failed { how, failure } => {
            if how == TryFailure::Timeout {
                exchange.distrust();
            }
            let reused = failure.is_none() && how != TryFailure::Condemned;
            let ended = Ended { choice: spot.choice, how, sent: exchange.sent() > 0, reused, replayable: true };
            in_flight.stats().count_bytes(core.id, exchange.sent(), exchange.received());
            let fault = if exchange.is_told() { None } else { tell_failure(core, &spot, how, failure) };
            Other::Failed { ended, spot, fault }
        }
        Awaited::Interrupted(interrupted) => Other::Unplaced(Unplaced::Interrupted(interrupted)),
        Awaited::Stale | Awaited::Left | Awaited::HedgeDue(_) => Other::Stale,
        Awaited::Client(_) | Awaited::ClientSlow => Other::Unplaced(Unplaced::GaveUp(GiveUpReason::Exhausted)),
    }
}

/// The body of a request that has none.
struct Bodiless;

impl Source for Bodiless {
    fn poll_body(&mut self, _: &mut Context<'_>, _: &mut Buffer, _: usize) -> Poll<Result<(), ClientFault>> {
        Poll::Ready(Ok(()))
    }

    fn body_is_done(&self) -> bool {
        true
    }

    fn trailers(&self) -> &Fields {
        static NONE: Fields = Fields::new();
        &NONE
    }
}
