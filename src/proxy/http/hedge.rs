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
use super::channel::ExchangeChannel;
use super::client::{BodySource, ClientExchange, ClientFault};
use super::exchange::UpstreamExchange;
use super::memory::ExchangeScratch;
use super::outline::RequestOutline;
use super::request::Request;
use super::upstream_try::UpstreamTry;
use super::verdict::{AwaitOutcome, ExchangeEnd, HedgeOutcome, TryOutcome, mark_of, tell_failure};
use super::waiting::{AnswerTimes, AwaitedTry, tell_overtaken};
use crate::config::Retry;
use crate::decision::{Failure, Mark};
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::upstream::{Destination, Dispatch, SelectError, Selected, SelectedTarget, blame};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{FailedTry, GiveUpReason, InFlight, RetryDecision, RouteView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::Fields;
use crate::wire::h1::{BodyDecoder, ResponseHead};

/// What the other try came to.
#[allow(clippy::large_enum_variant, reason = "it lives in a box of its own")]
enum OtherTry<'s> {
    /// A final head has come.
    Answered(HedgeAnswer<'s>),
    /// It ended without one. `fault`: the evidence against its endpoint.
    Failed { ended: TryEnd, destination: Destination, fault: Option<FailedTry> },
    /// A newer table came before its first byte.
    Stale,
    /// No endpoint is left, but a static pool.
    Static,
    /// No endpoint is left.
    NotSelected(SelectError),
}

struct HedgeAnswer<'s> {
    exchange: ExchangeChannel<'s>,
    destination: Destination,
    in_flight: InFlight,
    now: MonoTime,
}

/// Which try was first.
enum FirstAnswered<T> {
    /// The first try: an answer, or its end.
    Own(AwaitOutcome),
    /// Its endpoint was condemned.
    Condemned,
    /// The other.
    Other(T),
}

/// The first try of a hedged request, which only waits.
struct PendingTry<'s, E> {
    tried: UpstreamTry<'s, E>,
    route: &'s RouteView,
    alarm: Alarm,
}

/// What waiting for both tries came to.
struct BothAwaited<'s> {
    /// How the other try ended. `None`: it had no endpoint yet, and is begun again.
    other: Option<OtherTry<'s>>,
    /// How the first try ended, if it did.
    lost: Option<TryFailure>,
    /// The evidence against its endpoint.
    fault: Option<FailedTry>,
}

impl<'a, C: ClientExchange> Request<'a, C> {
    /// Waits for two tries: `first`, which is late, and the hedge, which the retry rule has allowed.
    pub(super) async fn hedged<E: UpstreamExchange>(
        &mut self,
        first: &mut E,
        dispatch: &mut Dispatch<'_>,
        route: &'a RouteView,
        destination: &Destination,
        mut waiting: AwaitedTry,
        times: AnswerTimes,
    ) -> HedgeOutcome {
        let core = self.context.core;
        // In retry: a switch must not end it.
        self.context.entry.set_pool_term(None);
        self.context.alarm.pardon();
        let alarm = core.deadlines.alarm();
        waiting.forget_hedge();
        alarm.set(waiting.next(&times));
        let mut tried = UpstreamTry::new(core, destination, first, times);
        tried.waiting = Some(waiting);
        let first = PendingTry { tried, route, alarm };
        let memory = self.context.memory;
        let mut scratch = memory.scratch();
        let hedged = self.ask_beside(first, dispatch, times, &mut scratch).await;
        memory.put_scratch(scratch);
        if let HedgeOutcome::First(AwaitOutcome::Answered(_)) = &hedged {
            self.context.entry.take_pool_term(memory.pool_term(destination), &core.view);
        }
        dispatch.service().stats.count_hedge(core.id, matches!(hedged, HedgeOutcome::Other(TryOutcome::Done(_))));
        hedged
    }

    async fn ask_beside<E: UpstreamExchange>(
        &mut self,
        first: PendingTry<'_, E>,
        dispatch: &mut Dispatch<'_>,
        times: AnswerTimes,
        scratch: &mut ExchangeScratch,
    ) -> HedgeOutcome {
        let (core, destination) = (self.context.core, first.tried.destination);
        let outline = self.outline(&first.route.config);
        let origin = Rc::clone(&dispatch.origin);
        let retry = &origin.services[dispatch.index].config.retry;
        let selected = Cell::new(false);
        let mut first = Some(first);
        loop {
            let ExchangeScratch { reply, decoder, body, .. } = &mut *scratch;
            body.reset(0);
            selected.set(false);
            let both = {
                let other = pin!(ask(&outline, dispatch, times, (reply, decoder, body), &selected));
                self.await_both(&mut first, retry, other, &selected).await
            };
            let BothAwaited { other, lost, fault } = match both {
                Ok(both) => both,
                Err(awaited) => return HedgeOutcome::First(awaited),
            };
            dispatch.faults.extend(fault);
            if let Some(how) = lost {
                dispatch.forsake(how);
            }
            let next = match other {
                None | Some(OtherTry::Stale) => continue,
                Some(OtherTry::Answered(answer)) if first.is_none() || is_welcome(dispatch, destination, &answer) => {
                    if let Some(first) = first {
                        first.overtaken(core, dispatch);
                    }
                    return HedgeOutcome::Other(self.win(answer, dispatch, outline).await);
                }
                Some(other) => match self.go_on(other, first.is_none(), dispatch).await {
                    Ok(next) => next,
                    Err(hedged) => return hedged,
                },
            };
            match (next, first) {
                (RetryDecision::GiveUp(why), None) => {
                    return HedgeOutcome::Other(TryOutcome::NotSelected(SelectError::GaveUp(why)));
                }
                (RetryDecision::GiveUp(_), Some(alone)) => {
                    return HedgeOutcome::First(self.wait_alone(alone, dispatch).await);
                }
                (_, still) => first = still,
            }
        }
    }

    /// Waits for both tries; where the first ends and the other has an endpoint, for the other alone. An error: the request is
    /// over, or the first try's answer is the client's.
    async fn await_both<'s, E: UpstreamExchange>(
        &mut self,
        first: &mut Option<PendingTry<'_, E>>,
        retry: &Retry,
        mut other: Pin<&mut impl Future<Output = OtherTry<'s>>>,
        selected: &Cell<bool>,
    ) -> Result<BothAwaited<'s>, AwaitOutcome> {
        let core = self.context.core;
        let (mut lost, mut fault) = (None, None);
        if let Some(pending) = first {
            let how = match self.first_of(pending, other.as_mut()).await {
                FirstAnswered::Other(other) => return Ok(BothAwaited { other: Some(other), lost, fault }),
                FirstAnswered::Condemned => TryFailure::Condemned,
                FirstAnswered::Own(AwaitOutcome::Failed { how, failure }) => {
                    fault = self.fault_of(&*pending.tried.exchange, pending.tried.destination, how, failure);
                    how
                }
                // Without a hedge the request would be sent elsewhere now: there it is already.
                FirstAnswered::Own(AwaitOutcome::Answered(_)) if pending.is_retried_for(retry) => {
                    let how = pending.refuse(core);
                    fault = pending.fault(core);
                    how
                }
                FirstAnswered::Own(awaited) => return Err(awaited),
            };
            pending.give_up(how);
            (*first, lost) = (None, Some(how));
            if !selected.get() {
                // It may go elsewhere now than beside the first.
                return Ok(BothAwaited { other: None, lost, fault });
            }
        }
        let alarm = core.deadlines.alarm();
        let gone = &mut |cx: &mut Context<'_>| self.client.poll_gone(cx);
        match guarded(&alarm, gone, other).await {
            Ok(other) => Ok(BothAwaited { other: Some(other), lost, fault }),
            Err(_) => Err(AwaitOutcome::Client(ClientFault::Gone)),
        }
    }

    /// The other try has no answer for the client: the retry rule's decision. An error: the hedge is over.
    async fn go_on(
        &mut self,
        other: OtherTry<'_>,
        is_alone: bool,
        dispatch: &mut Dispatch<'_>,
    ) -> Result<RetryDecision, HedgeOutcome> {
        Ok(match other {
            OtherTry::Answered(answer) => self.decline(answer, dispatch).await,
            OtherTry::Failed { ended, destination, fault } => {
                dispatch.faults.extend(fault);
                dispatch.failed(&ended, destination.service())
            }
            OtherTry::Static if is_alone => return Err(HedgeOutcome::Other(TryOutcome::Again)),
            OtherTry::NotSelected(SelectError::Interrupted(interrupted)) => {
                return Err(HedgeOutcome::First(AwaitOutcome::Interrupted(interrupted)));
            }
            OtherTry::NotSelected(SelectError::GaveUp(why)) => RetryDecision::GiveUp(why),
            OtherTry::Static | OtherTry::NotSelected(SelectError::Limited(_)) => {
                RetryDecision::GiveUp(GiveUpReason::Exhausted)
            }
            OtherTry::Stale => RetryDecision::Pick,
        })
    }

    /// Waits for the first try, the only one that is left.
    async fn wait_alone<E: UpstreamExchange>(
        &mut self,
        mut first: PendingTry<'_, E>,
        dispatch: &mut Dispatch<'_>,
    ) -> AwaitOutcome {
        let core = self.context.core;
        let mut condemned = false;
        loop {
            // While the budget does not allow the request to leave, it tries again.
            let again = pin!(ask_again(core, condemned));
            match self.first_of(&mut first, again).await {
                FirstAnswered::Own(awaited) => return awaited,
                FirstAnswered::Condemned | FirstAnswered::Other(()) => condemned = true,
            }
            if dispatch.leave_hedge(first.tried.destination.service()) {
                return AwaitOutcome::Left;
            }
        }
    }

    /// Waits for the first try's head or for the other to end.
    async fn first_of<E: UpstreamExchange, T>(
        &mut self,
        first: &mut PendingTry<'_, E>,
        mut other: Pin<&mut impl Future<Output = T>>,
    ) -> FirstAnswered<T> {
        let PendingTry { tried, route, alarm } = first;
        poll_fn(|cx| {
            if let Poll::Ready(awaited) = tried.poll_head(cx, |interim| self.pass_interim(interim)) {
                if let AwaitOutcome::Answered(now) = awaited {
                    tried.heard(route, now);
                }
                return Poll::Ready(FirstAnswered::Own(awaited));
            }
            if let Poll::Ready(done) = other.as_mut().poll(cx) {
                return Poll::Ready(FirstAnswered::Other(done));
            }
            if tried.is_condemned() {
                return Poll::Ready(FirstAnswered::Condemned);
            }
            let unwritable = matches!(self.client.poll_flush(cx), Poll::Ready(Err(_)));
            if unwritable || self.client.poll_gone(cx).is_ready() {
                tried.left();
                return Poll::Ready(FirstAnswered::Own(AwaitOutcome::Client(ClientFault::Gone)));
            }
            if self.is_killed(cx) {
                return Poll::Ready(FirstAnswered::Own(AwaitOutcome::Interrupted(WaitError::Killed)));
            }
            tried.poll_late(cx, alarm).map(|due| FirstAnswered::Own(due.into()))
        })
        .await
    }

    /// Was the request ended from outside? (The alarm wakes it for other reasons too. A deadline that was not set means nothing.)
    fn is_killed(&self, cx: &mut Context<'_>) -> bool {
        let alarm = self.context.alarm;
        if let Poll::Ready(Interrupt::Deadline) = alarm.poll(cx) {
            alarm.clear();
        }
        alarm.poll(cx) == Poll::Ready(Interrupt::Killed)
    }

    /// The other try's answer is the client's.
    async fn win(
        &mut self,
        answer: HedgeAnswer<'_>,
        dispatch: &mut Dispatch<'_>,
        outline: RequestOutline<'_>,
    ) -> TryOutcome {
        let HedgeAnswer { mut exchange, destination, in_flight, now } = answer;
        let core = self.context.core;
        self.context.entry.take_pool_term(self.context.memory.pool_term(&destination), &core.view);
        self.account.reached(&destination);
        let outcome = self.pass_on(&mut exchange, dispatch, outline.route, &destination, now).await;
        self.close(&mut exchange, ExchangeEnd::Tried(outcome), dispatch, &destination, in_flight).await
    }

    /// The other try's answer is not the client's, as long as the first may still come.
    async fn decline(&mut self, answer: HedgeAnswer<'_>, dispatch: &mut Dispatch<'_>) -> RetryDecision {
        let HedgeAnswer { mut exchange, destination, in_flight, .. } = answer;
        let (core, status) = (self.context.core, exchange.reply().status());
        destination.endpoint().stats.count_response(core.id, status);
        if destination.fails_with(status) {
            dispatch.record_marked(&destination, Failure::Gateway, mark_of(exchange.reply()));
        } else {
            dispatch.record_good(&destination);
        }
        let ended = self.ended(&exchange, &destination, TryFailure::Status(status), false);
        let next = dispatch.failed(&ended, destination.service());
        exchange.skip();
        self.close(&mut exchange, ExchangeEnd::Tried(TryOutcome::Again), dispatch, &destination, in_flight).await;
        next
    }
}

impl<E: UpstreamExchange> PendingTry<'_, E> {
    fn is_retried_for(&self, retry: &Retry) -> bool {
        retry.on.has_status(self.tried.exchange.reply().status())
    }

    /// Its answer is one that `retry.on` lists.
    fn refuse(&self, core: &WorkerCore) -> TryFailure {
        let status = self.tried.exchange.reply().status();
        self.tried.destination.endpoint().stats.count_response(core.id, status);
        TryFailure::Status(status)
    }

    /// The evidence of that answer against its endpoint.
    fn fault(&self, core: &WorkerCore) -> Option<FailedTry> {
        let reply = self.tried.exchange.reply();
        let failed = self.tried.destination.fails_with(reply.status());
        failed.then(|| blame(core, self.tried.destination, Failure::Gateway, mark_of(reply))).flatten()
    }

    fn give_up(&mut self, how: TryFailure) {
        if how == TryFailure::Timeout {
            self.tried.exchange.distrust();
        }
        self.tried.exchange.abandon();
    }

    /// The other try was faster.
    fn overtaken(self, core: &WorkerCore, dispatch: &mut Dispatch<'_>) {
        let destination = self.tried.destination;
        if let Some(waiting) = self.tried.waiting {
            dispatch.faults.witness(destination.endpoint(), waiting.since);
            tell_overtaken(core, destination, waiting.since);
        }
        if destination.choice.trial {
            dispatch.faults.extend(blame(core, destination, Failure::Timeout, Mark::None));
        }
        self.tried.exchange.abandon();
    }
}

/// Ready after [`ASK_AGAIN`], or never.
async fn ask_again(core: &WorkerCore, at_all: bool) {
    let alarm = core.deadlines.alarm();
    if at_all {
        alarm.set(clock::now().after(ASK_AGAIN));
    }
    poll_fn(|cx| alarm.poll(cx)).await;
}

/// How often a request whose endpoint is condemned tries again to leave it.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Is this the client's answer although the first try may still be answered? From another pool only what is good.
fn is_welcome(dispatch: &Dispatch<'_>, first: &Destination, answer: &HedgeAnswer<'_>) -> bool {
    let status = answer.exchange.reply().status();
    let same_pool = answer.destination.pool().name == first.pool().name;
    status < 400 || (same_pool && !dispatch.service().config.retry.on.has_status(status))
}

/// The other try, up to its final head. `selected` is set when it has an endpoint.
async fn ask<'s>(
    outline: &RequestOutline<'_>,
    dispatch: &mut Dispatch<'_>,
    times: AnswerTimes,
    (reply, decoder, body): (&'s mut ResponseHead, &'s mut BodyDecoder, &mut RequestBody),
    selected: &Cell<bool>,
) -> OtherTry<'s> {
    let core = outline.core;
    let SelectedTarget { destination, link, in_flight } =
        match dispatch.next(&mut |_: &mut Context<'_>| Poll::Pending).await {
            Ok(Selected::Endpoint(target)) => target,
            Ok(Selected::Static { .. }) => return OtherTry::Static,
            Err(unselected) => return OtherTry::NotSelected(unselected),
        };
    selected.set(true);
    let Ok(mut exchange) = outline.open(link, &destination, false, reply, decoder) else {
        return OtherTry::NotSelected(SelectError::GaveUp(GiveUpReason::Exhausted));
    };
    let times = AnswerTimes { hedge: None, ..times };
    let mut tried = UpstreamTry::new(core, &destination, &mut exchange, times);
    match tried.alone(body, &mut EmptyBody, dispatch.alarm).await {
        AwaitOutcome::Answered(now) => OtherTry::Answered(HedgeAnswer { exchange, destination, in_flight, now }),
        AwaitOutcome::Failed { how, failure } => {
            let reused = failure.is_none() && how != TryFailure::Condemned;
            let ended = TryEnd { choice: destination.choice, how, sent: exchange.sent() > 0, reused, replayable: true };
            in_flight.stats().count_bytes(core.id, exchange.sent(), exchange.received());
            let fault = if exchange.is_told() { None } else { tell_failure(core, &destination, how, failure) };
            OtherTry::Failed { ended, destination, fault }
        }
        AwaitOutcome::Interrupted(interrupted) => OtherTry::NotSelected(SelectError::Interrupted(interrupted)),
        AwaitOutcome::Stale | AwaitOutcome::Left | AwaitOutcome::HedgeDue { .. } => OtherTry::Stale,
        AwaitOutcome::Client(_) | AwaitOutcome::ClientSlow => {
            OtherTry::NotSelected(SelectError::GaveUp(GiveUpReason::Exhausted))
        }
    }
}

/// The body of a request that has none.
struct EmptyBody;

impl BodySource for EmptyBody {
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
