//! One try of a request: send it, wait for the final head, and see what becomes of its connection.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::channel::ExchangeChannel;
use super::client::{ClientExchange, ClientFault};
use super::context::RequestContext;
use super::exchange::{ReplyFault, SendFault, UpstreamExchange};
use super::grpc;
use super::least_rate::RateWait;
use super::outline::RequestOutline;
use super::request::Request;
use super::respond::LocalAnswer;
use super::tunnel::Tunnel;
use super::verdict::{
    AwaitOutcome, ConnectionFate, ExchangeEnd, HedgeOutcome, TryOutcome, cut_before_answer, heard, tell_failure,
};
use super::waiting::{AnswerAlarm, AnswerTimes, AwaitedTry, tell_left};
use crate::config::{DelayThreshold, Route};
use crate::decision::Failure;
use crate::net::Transport;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::WaitError;
use crate::proxy::termination::interruption;
use crate::proxy::upstream::{Destination, Dispatch, IdleConn, SelectedTarget, is_condemned};
use crate::routing::{FailedTry, InFlight, RouteView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1::{self, BodyDecoder, ResponseHead};

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
        self.setting.place.set_pool_term(Some(self.setting.memory.pool_term(&destination)));
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
        let RequestContext { core, caller, .. } = *self.setting;
        let (head, listener) = (self.head, &**self.listener);
        RequestOutline {
            core,
            head,
            listener,
            address: &caller.address,
            scheme: caller.scheme,
            made_id: self.account.made_id(),
            route,
        }
    }

    /// The exchange is over: what becomes of its connection?
    pub(super) async fn close(
        &mut self,
        exchange: &mut ExchangeChannel<'_>,
        over: ExchangeEnd,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
        in_flight: InFlight,
    ) -> TryOutcome {
        in_flight.stats().count_bytes(self.setting.core.id, exchange.sent(), exchange.received());
        match (over, exchange) {
            (ExchangeEnd::Tried(tried), ExchangeChannel::Own(exchange)) => {
                if let Some(stream) = exchange.finish() {
                    self.park(stream, dispatch, destination);
                }
                tried
            }
            (ExchangeEnd::Tried(tried), ExchangeChannel::Shared(exchange)) => {
                if let TryOutcome::Failed(TryEnd { how: TryFailure::Timeout, .. }) = &tried {
                    exchange.distrust();
                }
                tried
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
        if let AwaitOutcome::HedgeDue(waiting) = awaited {
            // Boxed, so that a task needs no room for a second exchange that hardly ever comes.
            match Box::pin(self.hedged(exchange, dispatch, route, destination, waiting)).await {
                HedgeOutcome::First(first) => awaited = first,
                HedgeOutcome::Other(tried) => return ExchangeEnd::Tried(tried),
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

    /// Keeps a connection for the next exchange, unless the endpoint is not to get one, or not over a connection like this.
    fn park(&self, stream: Transport, dispatch: &Dispatch<'_>, destination: &Destination) {
        let core = self.setting.core;
        let now = clock::now();
        let wanted = destination.keeps_connections()
            && destination.endpoint().stats.trusts_idle(dispatch.tries.request_class().idempotent(), now)
            && core.view.still_serves(&destination.table, destination.service(), &destination.choice, now);
        if wanted {
            let expires = now.after(dispatch.service().config.timeouts.idle);
            let parked = IdleConn { stream, generation: destination.generation, expires };
            self.setting.pools.idle.park(destination.choice.id, &destination.endpoint().stats, parked);
        }
    }

    /// How long an answer of this route is waited for.
    fn times(&self, dispatch: &Dispatch<'_>, route: &RouteView) -> AnswerTimes {
        let service = &dispatch.service().config;
        let response = route.config.timeouts.response.unwrap_or(service.timeouts.response);
        let response = dispatch.tries.try_timeout(&service.retry, response);
        let late = route.config.timeouts.stall.unwrap_or(service.timeouts.stall);
        // Where silence is usual, asking twice is no use either.
        let hedged = dispatch.tries.request_class().safe() && route.config.timeouts.stall != Some(DelayThreshold::Off);
        let hedge = if hedged { service.retry.hedge } else { DelayThreshold::Off };
        // A stream is silent while there is nothing to send.
        let outline = self.outline(&route.config);
        let streams = || grpc::is_call(self.head) || outline.offers_upgrade() || outline.wants_events();
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
        let core = self.setting.core;
        let alarm = self.setting.alarm;
        let service = &dispatch.service().config;
        let (from_client, to_upstream) = (self.body_window(service), service.timeouts.body);
        // A call of gRPC may send its next message whenever it likes.
        let is_call = grpc::is_call(self.head);
        let pause = if is_call { service.timeouts.tunnel } else { from_client };
        let times = self.times(dispatch, route);
        let still_holds = || core.view.still_holds(&destination.table, destination.service());
        let mut judged = destination.table.epoch;
        let mut waiting: Option<AwaitedTry> = None;
        self.rates.restart();
        let awaited = poll_fn(|cx| {
            if !exchange.is_sent() {
                match exchange.poll_send(cx, self.client, self.body, still_holds) {
                    Poll::Ready(Ok(()) | Err(SendFault::Upstream)) => {
                        let begun = AwaitedTry::begin(destination, times, clock::now());
                        alarm.set(begun.next());
                        waiting = Some(begun);
                    }
                    Poll::Ready(Err(SendFault::Stale)) => return Poll::Ready(AwaitOutcome::Stale),
                    Poll::Ready(Err(SendFault::Client(fault))) => {
                        return Poll::Ready(AwaitOutcome::Client(fault));
                    }
                    Poll::Pending => {}
                }
                self.note_proven();
            }
            loop {
                match exchange.poll_head(cx) {
                    Poll::Ready(Ok(())) if exchange.reply().is_interim() => {
                        destination.endpoint().stats.replies().heard(clock::now());
                        self.pass_interim(exchange.reply());
                    }
                    Poll::Ready(Ok(())) => return Poll::Ready(AwaitOutcome::Answered(clock::now())),
                    Poll::Ready(Err(fault)) => return Poll::Ready(cut_before_answer(fault, destination.reused)),
                    Poll::Pending => break,
                }
            }
            if is_condemned(core, destination, &mut judged) {
                let ended = self.ended(exchange, destination, TryFailure::Condemned, false);
                if dispatch.leave(&ended, destination.service()) {
                    return Poll::Ready(AwaitOutcome::Left);
                }
            }
            if let Poll::Ready(Err(_)) = self.client.poll_flush(cx) {
                return Poll::Ready(AwaitOutcome::Client(ClientFault::Gone));
            }
            if self.client.tells_its_end() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(AwaitOutcome::Client(ClientFault::Gone));
            }
            if let Some(waiting) = &mut waiting {
                loop {
                    match ready!(waiting.poll(cx, alarm, core, destination, exchange)) {
                        AnswerAlarm::Killed => return Poll::Ready(AwaitOutcome::Interrupted(WaitError::Killed)),
                        AnswerAlarm::Timeout => {
                            return Poll::Ready(AwaitOutcome::Failed {
                                how: TryFailure::Timeout,
                                failure: Some(Failure::Timeout),
                            });
                        }
                        AnswerAlarm::Hedge if dispatch.hedge(destination, waiting.since) => {
                            return Poll::Ready(AwaitOutcome::HedgeDue((*waiting, times)));
                        }
                        AnswerAlarm::Hedge => {
                            waiting.put_hedge_off(clock::now());
                            alarm.set(waiting.next());
                        }
                    }
                }
            }
            let awaits = match exchange.waits_for_upstream(self.body) {
                true => RateWait::Upstream,
                false if is_call || !self.body_is_due() => RateWait::Anything,
                false => RateWait::Upload,
            };
            let received = self.body.received();
            if self.rates.has_changed(awaits, exchange.sent() + received) {
                let patience = if awaits == RateWait::Anything { pause } else { to_upstream };
                let moved = (received, self.client.taken());
                alarm.set(self.rates.deadline(awaits, moved, patience, clock::now()));
            }
            alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => AwaitOutcome::Interrupted(WaitError::Killed),
                Interrupt::Deadline if exchange.waits_for_upstream(self.body) => {
                    AwaitOutcome::Failed { how: TryFailure::Timeout, failure: Some(Failure::Timeout) }
                }
                Interrupt::Deadline => AwaitOutcome::ClientSlow,
            })
        })
        .await;
        match awaited {
            AwaitOutcome::Answered(now) => {
                let since = waiting.filter(|_| times.counts()).map(|waiting| waiting.since);
                heard(core, route, destination, since, now);
            }
            AwaitOutcome::Client(ClientFault::Gone) if waiting.is_some() => tell_left(core, destination, times),
            // Dead with its connection: it is no longer outstanding.
            AwaitOutcome::Failed { how, .. } if how != TryFailure::Timeout => {
                if let Some(waiting) = waiting {
                    destination.endpoint().stats.replies().excused(waiting.since);
                }
            }
            _ => {}
        }
        awaited
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
        let core = self.setting.core;
        match awaited {
            AwaitOutcome::Answered(_) | AwaitOutcome::Stale | AwaitOutcome::Left | AwaitOutcome::HedgeDue(_) => {
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

    /// What a try that ended without an answer says: of the rule that its answer broke, and about its endpoint.
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
        if exchange.is_told() { None } else { tell_failure(self.setting.core, destination, how, failure) }
    }

    /// An answer was not one: counts the rule that it broke, and tells those who look for it what came.
    pub(super) fn note_malformed(&mut self, destination: &Destination, error: h1::Error, bytes: &[u8]) {
        /// Bytes of an answer that are shown.
        const SHOWN: usize = 200;
        self.account.malformed = Some(error);
        destination.service().stats.count_malformed(self.setting.core.id, error);
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
        self.listener.stats.count_refusal(self.setting.core.id, error);
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
