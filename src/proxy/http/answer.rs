//! The answer of a try: judged by its head, held while it is short, or streamed to the client.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::client::{ClientExchange, ClientFault};
use super::exchange::{ReplyFault, SendFault, UpstreamExchange};
use super::grpc;
use super::least_rate::{LeastRate, RateWait};
use super::request::Request;
use super::verdict::{ConnectionFate, TryOutcome, mark_of};
use crate::config::Route;
use crate::decision::Failure;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::WaitError;
use crate::proxy::termination::interruption;
use crate::proxy::upstream::{Destination, Dispatch};
use crate::routing::{RetryDecision, TryFailure};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::ResponseHead;

/// How long an answer is held at most (see [`Service::hold_response`](crate::config::Service::hold_response)).
const HOLD: Duration = Duration::from_millis(100);

/// How long the parts of a stream may pause.
struct StreamPauses {
    /// The endpoint, with what it owes.
    upstream: Duration,
    /// The client, with what it is to take.
    client: Duration,
    /// Both, where nothing is owed.
    tunnel: Duration,
}

impl<C: ClientExchange> Request<'_, C> {
    /// A final head has come: retry by its status, hold it, or stream it to the client.
    pub(super) async fn pass_on<E: UpstreamExchange>(
        &mut self,
        exchange: &mut E,
        dispatch: &mut Dispatch<'_>,
        route: &Route,
        destination: &Destination,
        now: MonoTime,
    ) -> TryOutcome {
        let status = exchange.reply().status();
        let unavailable = self.is_call && grpc::says_unavailable(exchange.reply());
        let failed = destination.fails_with(if unavailable { UNAVAILABLE } else { status });
        destination.endpoint().stats.count_response(self.context.core.id, status);
        if self.is_call {
            self.unproven = None; // its endpoint serves it
        }
        if failed {
            dispatch.record_marked(destination, Failure::Gateway, mark_of(exchange.reply()));
        } else {
            dispatch.answered(destination, is_well(status), now);
        }
        if self.is_retried_for(status, exchange, dispatch, destination) {
            exchange.skip();
            return TryOutcome::Again;
        }
        if failed {
            dispatch.faults.conclude();
        }
        if let Some(length) = exchange.lacks().filter(|length| self.is_held(*length, dispatch))
            && let Some(outcome) = self.hold(exchange, length, dispatch, destination).await
        {
            return outcome;
        }
        self.account.answered(status, now);
        let last = self.is_last();
        self.client.begin(exchange.reply(), &route.response_headers, last);
        let streamed = self.stream(exchange, dispatch, destination).await;
        // A client that left, or did not read, is no evidence against the endpoint.
        let unblamed =
            [Termination::Complete, Termination::ClientAborted, Termination::ClientTimeout, Termination::Idle];
        if !failed && unblamed.contains(&self.account.termination) {
            dispatch.record_good(destination);
        }
        TryOutcome::Done(match (streamed, last) {
            (false, _) => ConnectionFate::Abort,
            (true, true) => ConnectionFate::Close,
            (true, false) => ConnectionFate::Next,
        })
    }

    fn is_retried_for<E: UpstreamExchange>(
        &self,
        status: u16,
        exchange: &E,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
    ) -> bool {
        if !dispatch.service().config.retry.on.has_status(status) {
            return false;
        }
        let ended = self.ended(exchange, destination, TryFailure::Status(status), false);
        dispatch.failed(&ended, destination.service()) == RetryDecision::Pick && dispatch.finds_another()
    }

    fn is_held(&self, length: usize, dispatch: &Dispatch<'_>) -> bool {
        length <= dispatch.service().config.hold_response && dispatch.tries.request_class().safe()
    }

    /// Waits for the rest of a short answer. `Some`: it will not come, and nothing of it was sent to the client.
    async fn hold<E: UpstreamExchange>(
        &mut self,
        exchange: &mut E,
        length: usize,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
    ) -> Option<TryOutcome> {
        let alarm = self.context.alarm;
        alarm.set(clock::now().after(HOLD));
        poll_fn(|cx| {
            match exchange.poll_hold(cx, length) {
                Poll::Ready(Ok(())) => return Poll::Ready(None),
                Poll::Ready(Err(_)) => {
                    if !exchange.is_told() {
                        dispatch.record_cut(destination);
                    }
                    return Poll::Ready(Some(TryOutcome::Failed(self.ended(
                        exchange,
                        destination,
                        TryFailure::Reset,
                        false,
                    ))));
                }
                Poll::Pending => {}
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Some(TryOutcome::Done(self.abort(Termination::ClientAborted))));
            }
            alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Deadline => None,
                Interrupt::Killed => {
                    let termination = interruption(WaitError::Killed, self.context.core);
                    Some(TryOutcome::Done(self.abort(termination)))
                }
            })
        })
        .await
    }

    /// What a stream waits for. Only clients have a least rate: an endpoint may send and read as slowly as it likes.
    fn awaits_in_stream<E: UpstreamExchange>(&self, exchange: &E, may_be_silent: bool) -> RateWait {
        if exchange.waits_for_client() || self.client.has_queued() {
            RateWait::Download
        } else if may_be_silent {
            RateWait::Anything
        } else if exchange.is_sending() && !exchange.waits_for_upstream(self.body) {
            RateWait::Upload
        } else {
            RateWait::Upstream
        }
    }

    /// The client's part of the request failed while its answer was streamed.
    fn client_termination(&self, fault: ClientFault) -> Termination {
        match fault {
            ClientFault::Gone => Termination::ClientAborted,
            ClientFault::Malformed(error) => {
                self.listener.stats.count_refusal(self.context.core.id, error);
                Termination::Refused
            }
        }
    }

    /// Waits until what the stream waits for has been too slow.
    #[inline]
    fn poll_pace<E: UpstreamExchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &E,
        awaits: RateWait,
        pauses: &StreamPauses,
    ) -> Poll<(Option<Failure>, Termination)> {
        let alarm = self.context.alarm;
        let (received, taken) = (self.body.received(), self.client.taken());
        if self.rates.has_changed(awaits, exchange.sent() + exchange.received() + taken + received) {
            let patience = if awaits == RateWait::Anything { pauses.tunnel } else { pauses.upstream };
            alarm.set(self.rates.deadline(awaits, (received, taken), patience, clock::now()));
        }
        loop {
            return Poll::Ready(match (ready!(alarm.poll(cx)), awaits) {
                (Interrupt::Killed, _) => (None, interruption(WaitError::Killed, self.context.core)),
                (Interrupt::Deadline, RateWait::Download) if self.client.is_held_up() => {
                    // The connection has a deadline of its own for the client.
                    self.rates.download = LeastRate::new(pauses.client);
                    alarm.set(self.rates.download.deadline(taken, clock::now()));
                    continue;
                }
                (Interrupt::Deadline, awaits) => overdue(awaits),
            });
        }
    }

    /// Streams the answer, and the rest of the request if there is any. False: not all of it reached the client.
    async fn stream<E: UpstreamExchange>(
        &mut self,
        exchange: &mut E,
        dispatch: &mut Dispatch<'_>,
        destination: &Destination,
    ) -> bool {
        let timeouts = &dispatch.service().config.timeouts;
        let (upstream, tunnel) = (timeouts.body, timeouts.tunnel);
        let pauses = StreamPauses { upstream, client: self.listener.config.timeouts.body, tunnel };
        let mut silence = None;
        self.rates.restart();
        let (failure, termination) = poll_fn(|cx| {
            if exchange.is_sending() {
                if let Poll::Ready(Err(SendFault::Client(fault))) =
                    exchange.poll_send(cx, self.client, self.body, || true)
                {
                    return Poll::Ready((None, self.client_termination(fault)));
                }
                self.note_proven();
            }
            match exchange.poll_relay(cx, self.client) {
                Poll::Ready(Ok(())) => return Poll::Ready((None, Termination::Complete)),
                Poll::Ready(Err(fault)) => return Poll::Ready(cut_while_streamed(fault)),
                Poll::Pending => {}
            }
            if self.client.tells_its_end() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready((None, Termination::ClientAborted));
            }
            // Like a tunnel: silence is part of the exchange, and is no evidence.
            let may_be_silent = *silence.get_or_insert_with(|| may_be_silent(exchange.reply()));
            let awaits = self.awaits_in_stream(exchange, may_be_silent);
            self.poll_pace(cx, exchange, awaits, &pauses)
        })
        .await;
        if let Some((error, bytes)) = exchange.broken_rule() {
            self.note_malformed(destination, error, bytes);
        }
        match failure.filter(|_| !exchange.is_told()) {
            Some(Failure::Reset) => dispatch.record_cut(destination),
            Some(failure) => dispatch.record(destination, failure),
            None => {}
        }
        self.account.termination = termination;
        termination == Termination::Complete
    }
}

/// How a relay that the endpoint, or the client, ended too early is counted: against the endpoint, and in the access log.
fn cut_while_streamed(fault: ReplyFault) -> (Option<Failure>, Termination) {
    match fault {
        ReplyFault::Client => (None, Termination::ClientAborted),
        ReplyFault::Cut { .. } | ReplyFault::Unprocessed { .. } => (Some(Failure::Reset), Termination::UpstreamReset),
        ReplyFault::Malformed => (Some(Failure::Malformed), Termination::UpstreamMalformed),
    }
}

/// … and one in which what it waited for did not come in time.
fn overdue(awaits: RateWait) -> (Option<Failure>, Termination) {
    match awaits {
        RateWait::Anything => (None, Termination::Idle),
        RateWait::Download | RateWait::Upload => (None, Termination::ClientTimeout),
        RateWait::Upstream => (Some(Failure::Timeout), Termination::UpstreamTimeout),
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
