//! One try of a request: send it, wait for the final head, and see what becomes of its connection.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::channel::Channel;
use super::client::{Client, ClientFault};
use super::context::Setting;
use super::exchange::{Exchange, ReplyFault, SendFault};
use super::grpc;
use super::least_rate::Awaits;
use super::outline::Outline;
use super::request::Request;
use super::respond::Refusal;
use super::tunnel::Tunnel;
use super::verdict::{Awaited, Finish, Hedged, Over, Tried, cut_before_answer, heard, tell_failure};
use super::waiting::{Ring, Times, Waiting, tell_left};
use crate::config::{DelayThreshold, Route};
use crate::decision::Failure;
use crate::net::Transport;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::Interrupted;
use crate::proxy::outcome::interruption;
use crate::proxy::upstream::{Parked, Placing, Spot, Target, is_condemned};
use crate::routing::{Ended, Fault, InFlight, RouteView, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1::{self, BodyDecoder, ResponseHead};

impl<'a, C: Client> Request<'a, C> {
    /// One try over this connection.
    pub(super) async fn exchange(
        &mut self,
        placing: &mut Placing<'_>,
        route: &'a RouteView,
        target: Target,
        reply: &mut ResponseHead,
        decoder: &mut BodyDecoder,
    ) -> Tried {
        let Target { spot, link, in_flight } = target;
        // Register first, then re-check (right before the first byte).
        self.setting.place.set_pool_term(Some(self.setting.memory.pool_term(&spot)));
        self.account.reached(&spot);
        let expect_continue = self.head.expects_continue() && !self.continued && self.body.received() == 0;
        let outline = self.outline(&route.config);
        let mut exchange = match outline.open(link, &spot, expect_continue, reply, decoder) {
            Ok(exchange) => exchange,
            Err(error) => return self.malformed(error),
        };
        let over = self.exchange_over(&mut exchange, placing, route, &spot).await;
        self.close(&mut exchange, over, placing, &spot, in_flight).await
    }

    pub(super) fn outline(&self, route: &'a Route) -> Outline<'a> {
        let Setting { core, caller, .. } = *self.setting;
        let (head, listener) = (self.head, &**self.listener);
        Outline {
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
        exchange: &mut Channel<'_>,
        over: Over,
        placing: &mut Placing<'_>,
        spot: &Spot,
        in_flight: InFlight,
    ) -> Tried {
        in_flight.stats().count_bytes(self.setting.core.id, exchange.sent(), exchange.received());
        match (over, exchange) {
            (Over::Tried(tried), Channel::Own(exchange)) => {
                if let Some(stream) = exchange.finish() {
                    self.park(stream, placing, spot);
                }
                tried
            }
            (Over::Tried(tried), Channel::Shared(exchange)) => {
                if let Tried::Failed(Ended { how: TryFailure::Timeout, .. }) = &tried {
                    exchange.distrust();
                }
                tried
            }
            (Over::Switched(protocol), Channel::Own(exchange)) => {
                let Some((stream, ahead)) = exchange.hand_over() else { return Tried::Done(Finish::Abort) };
                let tunnel = Tunnel { protocol, stream, ahead, spot: spot.clone(), in_flight };
                // Boxed, so that a task needs no room for a tunnel that hardly ever comes.
                Tried::Done(Box::pin(self.tunnel(tunnel, placing)).await)
            }
            // A stream has no connection to give up; 101 is malformed over HTTP/2.
            (Over::Switched(_), Channel::Shared(_)) => Tried::Done(Finish::Abort),
        }
    }

    async fn exchange_over<E: Exchange>(
        &mut self,
        exchange: &mut E,
        placing: &mut Placing<'_>,
        route: &'a RouteView,
        spot: &Spot,
    ) -> Over {
        let mut awaited = self.await_answer(exchange, placing, route, spot).await;
        if let Awaited::HedgeDue(waiting) = awaited {
            // Boxed, so that a task needs no room for a second exchange that hardly ever comes.
            match Box::pin(self.hedged(exchange, placing, route, spot, waiting)).await {
                Hedged::First(first) => awaited = first,
                Hedged::Other(tried) => return Over::Tried(tried),
            }
        }
        let route = &route.config;
        Over::Tried(match awaited {
            Awaited::Answered(_) if exchange.reply().switches() => match self.switch(exchange, placing, route, spot) {
                Some(protocol) => return Over::Switched(protocol),
                None => {
                    self.note_malformed(spot, h1::Error::UnaskedUpgrade, b"");
                    let malformed = cut_before_answer(ReplyFault::Malformed, spot.reused);
                    self.no_answer(malformed, exchange, placing, spot)
                }
            },
            Awaited::Answered(now) => self.pass_on(exchange, placing, route, spot, now).await,
            awaited => self.no_answer(awaited, exchange, placing, spot),
        })
    }

    /// Keeps a connection for the next exchange, unless the endpoint is not to get one, or not over a connection like this.
    fn park(&self, stream: Transport, placing: &Placing<'_>, spot: &Spot) {
        let core = self.setting.core;
        let now = clock::now();
        let wanted = spot.keeps_connections()
            && spot.endpoint().stats.trusts_idle(placing.tries.request_class().idempotent(), now)
            && core.view.still_serves(&spot.table, spot.service(), &spot.choice, now);
        if wanted {
            let expires = now.after(placing.service().config.timeouts.idle);
            let parked = Parked { stream, generation: spot.generation, expires };
            self.setting.pools.idle.park(spot.choice.id, &spot.endpoint().stats, parked);
        }
    }

    /// How long an answer of this route is waited for.
    fn times(&self, placing: &Placing<'_>, route: &RouteView) -> Times {
        let service = &placing.service().config;
        let response = route.config.timeouts.response.unwrap_or(service.timeouts.response);
        let response = placing.tries.try_timeout(&service.retry, response);
        let late = route.config.timeouts.stall.unwrap_or(service.timeouts.stall);
        // Where silence is usual, asking twice is no use either.
        let hedged = placing.tries.request_class().safe() && route.config.timeouts.stall != Some(DelayThreshold::Off);
        let hedge = if hedged { service.retry.hedge } else { DelayThreshold::Off };
        // A stream is silent while there is nothing to send.
        let outline = self.outline(&route.config);
        let streams = || grpc::is_call(self.head) || outline.offers_upgrade() || outline.wants_events();
        if [late, hedge] == [DelayThreshold::Off; 2] || streams() {
            return Times { response, late: None, hedge: None };
        }
        let after = |patience| route.latency.late_after(patience);
        Times { response, late: after(late), hedge: after(hedge) }
    }

    /// Sends the request and waits for the head of the final reply; interim replies are passed on.
    async fn await_answer<E: Exchange>(
        &mut self,
        exchange: &mut E,
        placing: &mut Placing<'_>,
        route: &RouteView,
        spot: &Spot,
    ) -> Awaited {
        let core = self.setting.core;
        let alarm = self.setting.alarm;
        let service = &placing.service().config;
        let (from_client, to_upstream) = (self.body_window(service), service.timeouts.body);
        // A call of gRPC may send its next message whenever it likes.
        let is_call = grpc::is_call(self.head);
        let pause = if is_call { service.timeouts.tunnel } else { from_client };
        let times = self.times(placing, route);
        let still_holds = || core.view.still_holds(&spot.table, spot.service());
        let mut judged = spot.table.epoch;
        let mut waiting: Option<Waiting> = None;
        self.rates.restart();
        let awaited = poll_fn(|cx| {
            if !exchange.is_sent() {
                match exchange.poll_send(cx, self.client, self.body, still_holds) {
                    Poll::Ready(Ok(()) | Err(SendFault::Upstream)) => {
                        let begun = Waiting::begin(spot, times, clock::now());
                        alarm.set(begun.next());
                        waiting = Some(begun);
                    }
                    Poll::Ready(Err(SendFault::Stale)) => return Poll::Ready(Awaited::Stale),
                    Poll::Ready(Err(SendFault::Client(fault))) => return Poll::Ready(Awaited::Client(fault)),
                    Poll::Pending => {}
                }
                self.note_proven();
            }
            loop {
                match exchange.poll_head(cx) {
                    Poll::Ready(Ok(())) if exchange.reply().is_interim() => {
                        spot.endpoint().stats.replies().heard(clock::now());
                        self.pass_interim(exchange.reply());
                    }
                    Poll::Ready(Ok(())) => return Poll::Ready(Awaited::Answered(clock::now())),
                    Poll::Ready(Err(fault)) => return Poll::Ready(cut_before_answer(fault, spot.reused)),
                    Poll::Pending => break,
                }
            }
            if is_condemned(core, spot, &mut judged) {
                let ended = self.ended(exchange, spot, TryFailure::Condemned, false);
                if placing.leave(&ended, spot.service()) {
                    return Poll::Ready(Awaited::Left);
                }
            }
            if let Poll::Ready(Err(_)) = self.client.poll_flush(cx) {
                return Poll::Ready(Awaited::Client(ClientFault::Gone));
            }
            if self.client.tells_its_end() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Awaited::Client(ClientFault::Gone));
            }
            if let Some(waiting) = &mut waiting {
                loop {
                    match ready!(waiting.poll(cx, alarm, core, spot, exchange)) {
                        Ring::Killed => return Poll::Ready(Awaited::Interrupted(Interrupted::Killed)),
                        Ring::Timeout => {
                            return Poll::Ready(Awaited::Failed {
                                how: TryFailure::Timeout,
                                failure: Some(Failure::Timeout),
                            });
                        }
                        Ring::Hedge if placing.hedge(spot, waiting.since) => {
                            return Poll::Ready(Awaited::HedgeDue((*waiting, times)));
                        }
                        Ring::Hedge => {
                            waiting.put_hedge_off(clock::now());
                            alarm.set(waiting.next());
                        }
                    }
                }
            }
            let awaits = match exchange.waits_for_upstream(self.body) {
                true => Awaits::Upstream,
                false if is_call || !self.body_is_due() => Awaits::Anything,
                false => Awaits::Upload,
            };
            let received = self.body.received();
            if self.rates.has_changed(awaits, exchange.sent() + received) {
                let patience = if awaits == Awaits::Anything { pause } else { to_upstream };
                let moved = (received, self.client.taken());
                alarm.set(self.rates.deadline(awaits, moved, patience, clock::now()));
            }
            alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => Awaited::Interrupted(Interrupted::Killed),
                Interrupt::Deadline if exchange.waits_for_upstream(self.body) => {
                    Awaited::Failed { how: TryFailure::Timeout, failure: Some(Failure::Timeout) }
                }
                Interrupt::Deadline => Awaited::ClientSlow,
            })
        })
        .await;
        match awaited {
            Awaited::Answered(now) => {
                let since = waiting.filter(|_| times.counts()).map(|waiting| waiting.since);
                heard(core, route, spot, since, now);
            }
            Awaited::Client(ClientFault::Gone) if waiting.is_some() => tell_left(core, spot, times),
            // Dead with its connection: it is no longer outstanding.
            Awaited::Failed { how, .. } if how != TryFailure::Timeout => {
                if let Some(waiting) = waiting {
                    spot.endpoint().stats.replies().excused(waiting.since);
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

    fn no_answer<E: Exchange>(
        &mut self,
        awaited: Awaited,
        exchange: &E,
        placing: &mut Placing<'_>,
        spot: &Spot,
    ) -> Tried {
        let core = self.setting.core;
        match awaited {
            Awaited::Answered(_) | Awaited::Stale | Awaited::Left | Awaited::HedgeDue(_) => Tried::Again,
            Awaited::Failed { how, failure } => {
                placing.faults.extend(self.fault_of(exchange, spot, how, failure));
                Tried::Failed(self.ended(exchange, spot, how, failure.is_none()))
            }
            Awaited::Client(ClientFault::Gone) => Tried::Done(self.abort(Termination::ClientAborted)),
            Awaited::Client(ClientFault::Malformed(error)) => self.malformed(error),
            Awaited::ClientSlow => Tried::Refused(Refusal::SLOW, Termination::ClientTimeout),
            Awaited::Interrupted(interrupted) => Tried::Done(self.abort(interruption(interrupted, core))),
        }
    }

    /// What a try that ended without an answer says: of the rule that its answer broke, and about its endpoint.
    pub(super) fn fault_of<E: Exchange>(
        &mut self,
        exchange: &E,
        spot: &Spot,
        how: TryFailure,
        failure: Option<Failure>,
    ) -> Option<Fault> {
        if let Some((error, bytes)) = exchange.broken_rule() {
            self.note_malformed(spot, error, bytes);
        }
        if exchange.is_told() { None } else { tell_failure(self.setting.core, spot, how, failure) }
    }

    /// An answer was not one: counts the rule that it broke, and tells those who look for it what came.
    pub(super) fn note_malformed(&mut self, spot: &Spot, error: h1::Error, bytes: &[u8]) {
        /// Bytes of an answer that are shown.
        const SHOWN: usize = 200;
        self.account.malformed = Some(error);
        spot.service().stats.count_malformed(self.setting.core.id, error);
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        tracing::debug!(
            endpoint = %spot.endpoint().address,
            rule = error.reason(),
            bytes = %shown.escape_ascii(),
            cut = bytes.len() > shown.len(),
            "malformed answer: {error}"
        );
    }

    fn malformed(&self, error: h1::Error) -> Tried {
        self.listener.stats.count_refusal(self.setting.core.id, error);
        Tried::Refused(Refusal::malformed(error), Termination::Refused)
    }

    pub(super) fn ended<E: Exchange>(&self, exchange: &E, spot: &Spot, how: TryFailure, reused: bool) -> Ended {
        let replayable = self.body.is_replayable();
        Ended { choice: spot.choice, how, sent: exchange.sent() > 0, reused, replayable }
    }
}
