//! One try of a request: send it, wait for the final head, judge it, hold or stream the answer.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use super::channel::Channel;
use super::client::{Client, ClientFault};
use super::context::Setting;
use super::exchange::{Exchange, ReplyFault, SendFault};
use super::grpc;
use super::least_rate::{Awaits, LeastRate};
use super::outline::Outline;
use super::request::Request;
use super::respond::Refusal;
use super::tunnel::Tunnel;
use super::verdict::{Awaited, Finish, Hedged, Over, Tried, cut_before_answer, heard, mark_of, tell_failure};
use super::waiting::{Ring, Times, Waiting, tell_left};
use crate::config::{Patience, Route};
use crate::decision::{Failure, Moment};
use crate::net::Transport;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::Interrupted;
use crate::proxy::outcome::interruption;
use crate::proxy::upstream::{Parked, Placing, Spot, Target, is_condemned};
use crate::routing::{Ended, Fault, How, InFlight, Next, RouteView};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1::{self, BodyDecoder, ResponseHead};

/// How long an answer is held at most (see [`Service::hold_response`](crate::config::Service::hold_response)).
const HOLD: Duration = Duration::from_millis(100);

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
        self.setting.place.set_tenure(Some(self.setting.memory.tenure(&spot)));
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
                if let Tried::Failed(Ended { how: How::Timeout, .. }) = &tried {
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
            && spot.endpoint().stats.trusts_idle(placing.tries.nature().idempotent(), now)
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
        let hedged = placing.tries.nature().safe() && route.config.timeouts.stall != Some(Patience::Off);
        let hedge = if hedged { service.retry.hedge } else { Patience::Off };
        // Whoever streams says nothing when it has nothing to say.
        let outline = self.outline(&route.config);
        let streams = || grpc::is_call(self.head) || outline.offers_upgrade() || outline.wants_events();
        if [late, hedge] == [Patience::Off; 2] || streams() {
            return Times { response, late: None, hedge: None };
        }
        let after = |patience| route.usual.late_after(patience);
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
                let ended = self.ended(exchange, spot, How::Condemned, false);
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
                            return Poll::Ready(Awaited::Failed { how: How::Timeout, failure: Some(Failure::Timeout) });
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
                    Awaited::Failed { how: How::Timeout, failure: Some(Failure::Timeout) }
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
            // Dead with its connection: nobody waits for it.
            Awaited::Failed { how, .. } if how != How::Timeout => {
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
        how: How,
        failure: Option<Failure>,
    ) -> Option<Fault> {
        if let Some((error, bytes)) = exchange.broken_rule() {
            self.note_malformed(spot, error, bytes);
        }
        if exchange.is_told() { None } else { tell_failure(self.setting.core, spot, how, failure) }
    }

    /// An answer was not one: counts the rule that it broke, and tells those who look for it what came.
    fn note_malformed(&mut self, spot: &Spot, error: h1::Error, bytes: &[u8]) {
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

    pub(super) fn ended<E: Exchange>(&self, exchange: &E, spot: &Spot, how: How, reused: bool) -> Ended {
        let replayable = self.body.is_replayable();
        Ended { choice: spot.choice, how, sent: exchange.sent() > 0, reused, replayable }
    }

    /// A final head has come: retry by its status, hold it, or stream it to the client.
    pub(super) async fn pass_on<E: Exchange>(
        &mut self,
        exchange: &mut E,
        placing: &mut Placing<'_>,
        route: &Route,
        spot: &Spot,
        now: Moment,
    ) -> Tried {
        let status = exchange.reply().status();
        let unavailable = grpc::is_call(self.head) && grpc::says_unavailable(exchange.reply());
        let failed = spot.fails_with(if unavailable { UNAVAILABLE } else { status });
        spot.endpoint().stats.count_response(self.setting.core.id, status);
        if grpc::is_call(self.head) {
            self.unproven = None; // its endpoint has taken it up
        }
        if failed {
            placing.record_marked(spot, Failure::Gateway, mark_of(exchange.reply()));
        } else {
            placing.answered(spot, is_well(status), now);
        }
        if self.is_retried_for(status, exchange, placing, spot) {
            exchange.skip();
            return Tried::Again;
        }
        if failed {
            placing.faults.conclude();
        }
        if let Some(length) = exchange.lacks().filter(|length| self.is_held(*length, placing))
            && let Some(tried) = self.hold(exchange, length, placing, spot).await
        {
            return tried;
        }
        self.account.answered(status, now);
        let last = self.is_last();
        self.client.begin(exchange.reply(), &route.response_headers, last);
        let streamed = self.stream(exchange, placing, spot).await;
        // A client that left, or did not read, says nothing against the endpoint that was answering it.
        let unblamed =
            [Termination::Complete, Termination::ClientAborted, Termination::ClientTimeout, Termination::Idle];
        if !failed && unblamed.contains(&self.account.termination) {
            placing.record_good(spot);
        }
        Tried::Done(match (streamed, last) {
            (false, _) => Finish::Abort,
            (true, true) => Finish::Close,
            (true, false) => Finish::Next,
        })
    }

    fn is_retried_for<E: Exchange>(&self, status: u16, exchange: &E, placing: &mut Placing<'_>, spot: &Spot) -> bool {
        if !placing.service().config.retry.on.has_status(status) {
            return false;
        }
        let ended = self.ended(exchange, spot, How::Status(status), false);
        placing.failed(&ended, spot.service()) == Next::Pick && placing.finds_another()
    }

    fn is_held(&self, length: usize, placing: &Placing<'_>) -> bool {
        length <= placing.service().config.hold_response && placing.tries.nature().safe()
    }

    /// Waits for the rest of a short answer. `Some`: it will not come, and the client has seen nothing of it.
    async fn hold<E: Exchange>(
        &mut self,
        exchange: &mut E,
        length: usize,
        placing: &mut Placing<'_>,
        spot: &Spot,
    ) -> Option<Tried> {
        let alarm = self.setting.alarm;
        alarm.set(clock::now().after(HOLD));
        poll_fn(|cx| {
            match exchange.poll_hold(cx, length) {
                Poll::Ready(Ok(())) => return Poll::Ready(None),
                Poll::Ready(Err(_)) => {
                    if !exchange.is_told() {
                        placing.record_cut(spot);
                    }
                    return Poll::Ready(Some(Tried::Failed(self.ended(exchange, spot, How::Reset, false))));
                }
                Poll::Pending => {}
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Some(Tried::Done(self.abort(Termination::ClientAborted))));
            }
            alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Deadline => None,
                Interrupt::Killed => {
                    let termination = interruption(Interrupted::Killed, self.setting.core);
                    Some(Tried::Done(self.abort(termination)))
                }
            })
        })
        .await
    }

    /// What a stream waits for. Only what is owed has a rate: an endpoint may send and read as slowly as it likes.
    fn awaits_in_stream<E: Exchange>(&self, exchange: &E, may_be_silent: bool) -> Awaits {
        if exchange.waits_for_client() || self.client.has_queued() {
            Awaits::Download
        } else if may_be_silent {
            Awaits::Anything
        } else if exchange.is_sending() && !exchange.waits_for_upstream(self.body) {
            Awaits::Upload
        } else {
            Awaits::Upstream
        }
    }

    /// Streams the answer, and the rest of the request if there is any. False: the client has not got all of it.
    async fn stream<E: Exchange>(&mut self, exchange: &mut E, placing: &mut Placing<'_>, spot: &Spot) -> bool {
        let alarm = self.setting.alarm;
        let core = self.setting.core;
        let (from_upstream, to_client) = (placing.service().config.timeouts.body, self.listener.config.timeouts.body);
        let tunnel = placing.service().config.timeouts.tunnel;
        let mut silence = None;
        self.rates.restart();
        let (failure, termination) = poll_fn(|cx| {
            if exchange.is_sending() {
                match exchange.poll_send(cx, self.client, self.body, || true) {
                    Poll::Ready(Err(SendFault::Client(ClientFault::Gone))) => {
                        return Poll::Ready((None, Termination::ClientAborted));
                    }
                    Poll::Ready(Err(SendFault::Client(ClientFault::Malformed(error)))) => {
                        self.listener.stats.count_refusal(core.id, error);
                        return Poll::Ready((None, Termination::Refused));
                    }
                    _ => {}
                }
                self.note_proven();
            }
            match exchange.poll_relay(cx, self.client) {
                Poll::Ready(Ok(())) => return Poll::Ready((None, Termination::Complete)),
                Poll::Ready(Err(ReplyFault::Client)) => return Poll::Ready((None, Termination::ClientAborted)),
                Poll::Ready(Err(ReplyFault::Cut { .. } | ReplyFault::Unprocessed { .. })) => {
                    return Poll::Ready((Some(Failure::Reset), Termination::UpstreamReset));
                }
                Poll::Ready(Err(ReplyFault::Malformed)) => {
                    return Poll::Ready((Some(Failure::Malformed), Termination::UpstreamMalformed));
                }
                Poll::Pending => {}
            }
            if self.client.tells_its_end() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready((None, Termination::ClientAborted));
            }
            // Like a tunnel: silence is part of the talk, and says nothing against anybody.
            let may_be_silent = *silence.get_or_insert_with(|| may_be_silent(exchange.reply()));
            let awaits = self.awaits_in_stream(exchange, may_be_silent);
            let (received, taken) = (self.body.received(), self.client.taken());
            if self.rates.has_changed(awaits, exchange.sent() + exchange.received() + taken + received) {
                let patience = if awaits == Awaits::Anything { tunnel } else { from_upstream };
                alarm.set(self.rates.deadline(awaits, (received, taken), patience, clock::now()));
            }
            loop {
                return Poll::Ready(match (ready!(alarm.poll(cx)), awaits) {
                    (Interrupt::Killed, _) => (None, interruption(Interrupted::Killed, core)),
                    (Interrupt::Deadline, Awaits::Download) if self.client.is_held_up() => {
                        // The connection has a deadline of its own, and judges the client by that.
                        self.rates.download = LeastRate::new(to_client);
                        alarm.set(self.rates.download.deadline(taken, clock::now()));
                        continue;
                    }
                    (Interrupt::Deadline, Awaits::Anything) => (None, Termination::Idle),
                    (Interrupt::Deadline, Awaits::Download | Awaits::Upload) => (None, Termination::ClientTimeout),
                    (Interrupt::Deadline, Awaits::Upstream) => (Some(Failure::Timeout), Termination::UpstreamTimeout),
                });
            }
        })
        .await;
        if let Some((error, bytes)) = exchange.broken_rule() {
            self.note_malformed(spot, error, bytes);
        }
        match failure.filter(|_| !exchange.is_told()) {
            Some(Failure::Reset) => placing.record_cut(spot),
            Some(failure) => placing.record(spot, failure),
            None => {}
        }
        self.account.termination = termination;
        termination == Termination::Complete
    }
}

/// What `UNAVAILABLE` of gRPC counts as.
const UNAVAILABLE: u16 = 503;

/// Does an answer with this status, which is no failure of its endpoint, show that the request can be answered?
fn is_well(status: u16) -> bool {
    status < 500 && status != 429
}

/// Is this an answer that goes on as long as its users like, with pauses of any length: an event stream, or a gRPC call.
fn may_be_silent(reply: &ResponseHead) -> bool {
    let Some(value) = reply.fields().get("content-type") else { return false };
    let kinds: [&[u8]; 2] = [b"text/event-stream", b"application/grpc"];
    kinds.iter().any(|kind| value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind)))
}
