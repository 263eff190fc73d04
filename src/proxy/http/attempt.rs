//! One exchange of a request: its try, what follows from how that ended, and what becomes of the connection.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::channel::ExchangeChannel;
use super::client::{ClientExchange, ClientFault};
use super::context::RequestContext;
use super::exchange::{ReplyFault, UpstreamExchange};
use super::least_rate::RateWait;
use super::outline::RequestOutline;
use super::request::Request;
use super::respond::LocalAnswer;
use super::tunnel::Tunnel;
use super::upstream_try::UpstreamTry;
use super::verdict::{
    AwaitOutcome, ConnectionFate, ExchangeEnd, HedgeOutcome, TryOutcome, cut_before_answer, tell_failure,
};
use super::waiting::{AnswerAlarm, AnswerTimes};
use crate::config::{DelayThreshold, Route, Service};
use crate::decision::Failure;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::WaitError;
use crate::proxy::termination::interruption;
use crate::proxy::upstream::{Destination, Dispatch, SelectedTarget};
use crate::routing::{FailedTry, InFlight, RouteView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1::{self, BodyDecoder, ResponseHead};

/// How long a request's body may pause while it is sent.
struct BodyPauses {
    /// The client sends nothing, and need not.
    client: Duration,
    /// The endpoint takes nothing.
    upstream: Duration,
}

impl<'a, C: ClientExchange> Request<'a, C> {
    /// One try over this connection.
    pub(super) async fn exchange(
        &mut self,
        dispatch: &mut Dispatch<'_>,
        route: &'a RouteView,
        target: SelectedTarget,
        reply: &mut ResponseHead,
        decoder: &mut BodyDecoder,
    ) -> TryOutcome {
        let SelectedTarget { destination, link, in_flight } = target;
        // Register first, then re-check (right before the first byte).
        self.context.entry.set_pool_term(Some(self.context.memory.pool_term(&destination)));
        self.account.reached(&destination);
        let expect_continue = self.head.expects_continue() && !self.continued && self.body.received() == 0;
        let outline = self.outline(&route.config);
        let mut exchange = match outline.open(link, &destination, expect_continue, reply, decoder) {
            Ok(exchange) => exchange,
            Err(error) => return self.malformed(error),
        };
        let over = self.exchange_over(&mut exchange, dispatch, route, &destination).await;
        self.close(&mut exchange, over, dispatch, &destination, in_flight).await
    }

    pub(super) fn outline(&self, route: &'a Route) -> RequestOutline<'a> {
        let RequestContext { core, connection_context, .. } = *self.context;
        let (head, listener) = (self.head, &**self.listener);
        RequestOutline {
            core,
            head,
            listener,
            address: &connection_context.address,
            scheme: connection_context.scheme,
            made_id: self.account.made_id(),
            route,
        }
    }

    /// Ends the exchange, and parks, hands on or closes its connection.
    pub(super) async fn close(
        &mut self,
        exchange: &mut ExchangeChannel<'_>,
        over: ExchangeEnd,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
        in_flight: InFlight,
    ) -> TryOutcome {
        in_flight.stats().count_bytes(self.context.core.id, exchange.sent(), exchange.received());
        match (over, exchange) {
            (ExchangeEnd::Tried(outcome), ExchangeChannel::Own(exchange)) => {
                if let Some(stream) = exchange.finish() {
                    let idempotent = dispatch.tries.request_class().idempotent();
                    let idle = dispatch.service().config.timeouts.idle;
                    self.context.pools.keep(destination, stream, idempotent, idle);
                }
                outcome
            }
            (ExchangeEnd::Tried(outcome), ExchangeChannel::Shared(exchange)) => {
                if let TryOutcome::Failed(TryEnd { how: TryFailure::Timeout, .. }) = &outcome {
                    exchange.distrust();
                }
                outcome
            }
            (ExchangeEnd::Switched(protocol), ExchangeChannel::Own(exchange)) => {
                let Some((stream, ahead)) = exchange.hand_over() else {
                    return TryOutcome::Done(ConnectionFate::Abort);
                };
                let tunnel = Tunnel { protocol, stream, ahead, destination: destination.clone(), in_flight };
                // Boxed, so that a task needs no room for a tunnel that hardly ever comes.
                TryOutcome::Done(Box::pin(self.tunnel(tunnel, dispatch)).await)
            }
            // A stream has no connection to give up; 101 is malformed over HTTP/2.
            (ExchangeEnd::Switched(_), ExchangeChannel::Shared(_)) => TryOutcome::Done(ConnectionFate::Abort),
        }
    }

    async fn exchange_over<E: UpstreamExchange>(
        &mut self,
        exchange: &mut E,
        dispatch: &mut Dispatch<'_>,
        route: &'a RouteView,
        destination: &Destination,
    ) -> ExchangeEnd {
        let mut awaited = self.await_answer(exchange, dispatch, route, destination).await;
        if let AwaitOutcome::HedgeDue { waiting, times } = awaited {
            // Boxed, so that a task needs no room for a second exchange that hardly ever comes.
            match Box::pin(self.hedged(exchange, dispatch, route, destination, waiting, times)).await {
                HedgeOutcome::First(first) => awaited = first,
                HedgeOutcome::Other(outcome) => return ExchangeEnd::Tried(outcome),
            }
        }
        let route = &route.config;
        ExchangeEnd::Tried(match awaited {
            AwaitOutcome::Answered(_) if exchange.reply().switches() => {
                match self.switch(exchange, dispatch, route, destination) {
                    Some(protocol) => return ExchangeEnd::Switched(protocol),
                    None => {
                        self.note_malformed(destination, h1::Error::UnaskedUpgrade, b"");
                        let malformed = cut_before_answer(ReplyFault::Malformed, destination.reused);
                        self.no_answer(malformed, exchange, dispatch, destination)
                    }
                }
            }
            AwaitOutcome::Answered(now) => self.pass_on(exchange, dispatch, route, destination, now).await,
            awaited => self.no_answer(awaited, exchange, dispatch, destination),
        })
    }

    /// How long an answer of this route is waited for.
    fn times(&self, dispatch: &Dispatch<'_>, route: &RouteView) -> AnswerTimes {
        let service = &dispatch.service().config;
        let response = dispatch.tries.try_timeout(&service.retry, self.response_timeout(route, service));
        let late = route.config.timeouts.stall.unwrap_or(service.timeouts.stall);
        // Where late answers are usual, a hedge is of no use either.
        let hedged = dispatch.tries.request_class().safe() && route.config.timeouts.stall != Some(DelayThreshold::Off);
        let hedge = if hedged { service.retry.hedge } else { DelayThreshold::Off };
        // A stream is silent while there is nothing to send.
        let outline = self.outline(&route.config);
        let streams = || self.is_call || outline.offers_upgrade() || outline.wants_events();
        if [late, hedge] == [DelayThreshold::Off; 2] || streams() {
            return AnswerTimes { response, late: None, hedge: None };
        }
        let after = |patience| route.latency.late_after(patience);
        AnswerTimes { response, late: after(late), hedge: after(hedge) }
    }

    /// Sends the request and waits for the head of the final reply; interim replies are passed on.
    async fn await_answer<E: UpstreamExchange>(
        &mut self,
        exchange: &mut E,
        dispatch: &mut Dispatch<'_>,
        route: &RouteView,
        destination: &Destination,
    ) -> AwaitOutcome {
        let alarm = self.context.alarm;
        let pauses = self.body_pauses(&dispatch.service().config);
        let times = self.times(dispatch, route);
        let mut tried = UpstreamTry::new(self.context.core, destination, exchange, times);
        self.rates.restart();
        let awaited = poll_fn(|cx| {
            if !tried.exchange.is_sent() {
                if let Poll::Ready(ended) = tried.poll_send(cx, self.client, self.body, alarm) {
                    return Poll::Ready(ended);
                }
                self.note_proven();
            }
            if let Poll::Ready(ended) = tried.poll_head(cx, |interim| self.pass_interim(interim)) {
                return Poll::Ready(ended);
            }
            if tried.is_condemned() && self.leaves(&tried, dispatch) {
                return Poll::Ready(AwaitOutcome::Left);
            }
            if self.poll_client_gone(cx).is_ready() {
                return Poll::Ready(AwaitOutcome::Client(ClientFault::Gone));
            }
            match tried.waiting {
                Some(_) => self.poll_late(cx, &mut tried, dispatch),
                None => self.poll_unsent(cx, &tried, &pauses),
            }
        })
        .await;
        tried.conclude(&awaited, route);
        awaited
    }

    /// How long the request's body may pause.
    fn body_pauses(&self, service: &Service) -> BodyPauses {
        // A call of gRPC may send its next message whenever it likes.
        let client = if self.is_call { service.timeouts.tunnel } else { self.body_window(service) };
        BodyPauses { client, upstream: service.timeouts.body }
    }

    /// May the request give up this try, whose endpoint was condemned? If so, the retry rule has been told.
    fn leaves<E: UpstreamExchange>(&self, tried: &UpstreamTry<'_, E>, dispatch: &mut Dispatch<'_>) -> bool {
        let ended = self.ended(&*tried.exchange, tried.destination, TryFailure::Condemned, false);
        dispatch.leave(&ended, tried.destination.service())
    }

    /// Ready when the client's connection has failed or, where the protocol reports it, when the client has left.
    fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Err(_)) = self.client.poll_flush(cx) {
            return Poll::Ready(());
        }
        if self.client.tells_its_end() { self.client.poll_gone(cx) } else { Poll::Pending }
    }

    /// The request is sent: waits until its answer is overdue, or a hedge is due and allowed.
    fn poll_late<E: UpstreamExchange>(
        &mut self,
        cx: &mut Context<'_>,
        tried: &mut UpstreamTry<'_, E>,
        dispatch: &mut Dispatch<'_>,
    ) -> Poll<AwaitOutcome> {
        let alarm = self.context.alarm;
        loop {
            match (ready!(tried.poll_late(cx, alarm)), &mut tried.waiting) {
                (AnswerAlarm::Hedge, Some(waiting)) => {
                    if dispatch.hedge(tried.destination, waiting.since) {
                        return Poll::Ready(AwaitOutcome::HedgeDue { waiting: *waiting, times: tried.times });
                    }
                    waiting.put_hedge_off(&tried.times, clock::now());
                    alarm.set(waiting.next(&tried.times));
                }
                (due, _) => return Poll::Ready(due.into()),
            }
        }
    }

    /// Part of the request is not sent: waits until the client or the endpoint has been too slow with it.
    fn poll_unsent<E: UpstreamExchange>(
        &mut self,
        cx: &mut Context<'_>,
        tried: &UpstreamTry<'_, E>,
        pauses: &BodyPauses,
    ) -> Poll<AwaitOutcome> {
        let (exchange, alarm) = (&*tried.exchange, self.context.alarm);
        let awaits = match exchange.waits_for_upstream(self.body) {
            true => RateWait::Upstream,
            false if self.is_call || !self.body_is_due() => RateWait::Anything,
            false => RateWait::Upload,
        };
        let received = self.body.received();
        if self.rates.has_changed(awaits, exchange.sent() + received) {
            let patience = if awaits == RateWait::Anything { pauses.client } else { pauses.upstream };
            let moved = (received, self.client.taken());
            alarm.set(self.rates.deadline(awaits, moved, patience, clock::now()));
        }
        alarm.poll(cx).map(|interrupt| match interrupt {
            Interrupt::Killed => AwaitOutcome::Interrupted(WaitError::Killed),
            Interrupt::Deadline if exchange.waits_for_upstream(self.body) => AwaitOutcome::TIMED_OUT,
            Interrupt::Deadline => AwaitOutcome::ClientSlow,
        })
    }

    pub(super) fn pass_interim(&mut self, head: &ResponseHead) {
        let go_on = head.status() == 100;
        if go_on && (self.continued || !self.head.expects_continue()) {
            return;
        }
        self.continued |= go_on;
        if self.client.takes_interim() {
            self.client.interim(head);
        }
    }

    fn no_answer<E: UpstreamExchange>(
        &mut self,
        awaited: AwaitOutcome,
        exchange: &E,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
    ) -> TryOutcome {
        let core = self.context.core;
        match awaited {
            AwaitOutcome::Answered(_) | AwaitOutcome::Stale | AwaitOutcome::Left | AwaitOutcome::HedgeDue { .. } => {
                TryOutcome::Again
            }
            AwaitOutcome::Failed { how, failure } => {
                dispatch.faults.extend(self.fault_of(exchange, destination, how, failure));
                TryOutcome::Failed(self.ended(exchange, destination, how, failure.is_none()))
            }
            AwaitOutcome::Client(ClientFault::Gone) => TryOutcome::Done(self.abort(Termination::ClientAborted)),
            AwaitOutcome::Client(ClientFault::Malformed(error)) => self.malformed(error),
            AwaitOutcome::ClientSlow => TryOutcome::Refused(LocalAnswer::SLOW, Termination::ClientTimeout),
            AwaitOutcome::Interrupted(interrupted) => TryOutcome::Done(self.abort(interruption(interrupted, core))),
        }
    }

    /// The evidence of a try that ended without an answer; a rule that its answer broke is counted.
    pub(super) fn fault_of<E: UpstreamExchange>(
        &mut self,
        exchange: &E,
        destination: &Destination,
        how: TryFailure,
        failure: Option<Failure>,
    ) -> Option<FailedTry> {
        if let Some((error, bytes)) = exchange.broken_rule() {
            self.note_malformed(destination, error, bytes);
        }
        if exchange.is_told() { None } else { tell_failure(self.context.core, destination, how, failure) }
    }

    /// A malformed answer: counts the rule that it broke, and logs what came.
    pub(super) fn note_malformed(&mut self, destination: &Destination, error: h1::Error, bytes: &[u8]) {
        /// Bytes of an answer that are shown.
        const SHOWN: usize = 200;
        self.account.malformed = Some(error);
        destination.service().stats.count_malformed(self.context.core.id, error);
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        tracing::debug!(
            endpoint = %destination.endpoint().address,
            rule = error.reason(),
            bytes = %shown.escape_ascii(),
            cut = bytes.len() > shown.len(),
            "malformed answer: {error}"
        );
    }

    fn malformed(&self, error: h1::Error) -> TryOutcome {
        self.listener.stats.count_refusal(self.context.core.id, error);
        TryOutcome::Refused(LocalAnswer::malformed(error), Termination::Refused)
    }

    pub(super) fn ended<E: UpstreamExchange>(
        &self,
        exchange: &E,
        destination: &Destination,
        how: TryFailure,
        reused: bool,
    ) -> TryEnd {
        let replayable = self.body.is_replayable();
        TryEnd { choice: destination.choice, how, sent: exchange.sent() > 0, reused, replayable }
    }
}
