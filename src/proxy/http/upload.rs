//! A request's body before the request has a permit of its service: its first bytes have to be here, and bodies that have not
//! shown that they keep the least rate share half of the permits.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::client::{ClientExchange, ClientFault};
use super::grpc;
use super::least_rate::BodyRates;
use super::request::Request;
use super::respond::LocalAnswer;
use super::verdict::ConnectionFate;
use crate::config::Service;
use crate::proxy::buffer::SMALL;
use crate::proxy::deadline::Interrupt;
use crate::proxy::guarded::WaitError;
use crate::proxy::termination::{count_rejection, interruption};
use crate::proxy::upstream::SelectError;
use crate::routing::{Limits, PermitError, ServiceView};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1;

/// How long the first bytes of a body are waited for before its request takes a place among the unproven bodies without
/// any: its client may wait for the beginning of the answer before it sends some.
const OPENING: Duration = Duration::from_secs(1);
/// How often a request that waits for a place among the unproven bodies tries again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Why a request is over before it had a permit.
enum BodyFault {
    Client(ClientFault),
    /// Its body did not keep the least rate.
    Slow,
    /// It waits for `100 Continue`, and there was no place for it in time.
    NoPlace,
    Interrupted(WaitError),
}

impl<C: ClientExchange> Request<'_, C> {
    /// The least rates of the request's body and of its answer.
    pub(super) fn body_rates(&self, service: &Service) -> BodyRates {
        BodyRates::new(self.body_window(service), self.listener.config.timeouts.body)
    }

    /// The longest time in which nothing of the request's body comes although it could be taken.
    pub(super) fn body_window(&self, service: &Service) -> Duration {
        service.timeouts.body.min(self.listener.config.timeouts.body)
    }

    /// Waits for the first bytes of the body, if there is one. `Err`: the request is over.
    ///
    /// A gRPC call sends its first message when it likes, a client that expects `100 Continue` waits for the endpoint's 100, and
    /// others perhaps for the beginning of the answer: they go on without any bytes, as unproven, the last ones after
    /// [`OPENING`].
    pub(super) async fn await_body(&mut self, service: &ServiceView) -> Result<(), ConnectionFate> {
        if self.client.body_is_done() {
            return Ok(());
        }
        // Neither waits for bytes, but both for a place.
        let at_once = self.head.expects_continue() || self.is_call;
        let queue_ends = at_once.then(|| clock::now().after(service.config.limits.queue_timeout));
        let awaited = poll_fn(|cx| self.poll_body(cx, service, queue_ends)).await;
        let Err(fault) = awaited else { return Ok(()) };
        let core = self.context.core;
        Err(match fault {
            BodyFault::Client(ClientFault::Gone) => self.abort(Termination::ClientAborted),
            BodyFault::Client(ClientFault::Malformed(error)) => self.refuse_malformed(error).await,
            BodyFault::Slow => self.refuse(&LocalAnswer::SLOW, Termination::ClientTimeout).await,
            BodyFault::NoPlace => {
                let limited = SelectError::Limited(PermitError::QueueTimeout);
                count_rejection(core, service, limited);
                self.refuse(&LocalAnswer::unselected(limited, None), Termination::Overloaded).await
            }
            BodyFault::Interrupted(interrupted) => self.abort(interruption(interrupted, core)),
        })
    }

    /// `queue_ends`: the client waits for `100 Continue`, and so long for a place.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        service: &ServiceView,
        queue_ends: Option<MonoTime>,
    ) -> Poll<Result<(), BodyFault>> {
        loop {
            if self.is_proven() {
                return Poll::Ready(Ok(()));
            }
            let begun = self.body.received() > 0;
            let limits = &service.stats.limits;
            if (begun || queue_ends.is_some()) && self.enter_unproven(limits, begun) {
                return Poll::Ready(Ok(()));
            }
            if queue_ends.is_none() {
                match self.body.poll_ahead(cx, self.client) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(BodyFault::Client(fault))),
                    Poll::Pending => {}
                }
            }
            if self.client.tells_its_end() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(BodyFault::Client(ClientFault::Gone)));
            }
            let now = clock::now();
            let opens = (!begun).then(|| self.account.began.after(OPENING));
            if opens.is_some_and(|opens| opens <= now) && self.enter_unproven(limits, begun) {
                return Poll::Ready(Ok(()));
            }
            let due = queue_ends.unwrap_or_else(|| self.rates.upload.deadline(self.body.received(), now));
            if due <= now {
                return Poll::Ready(Err(if queue_ends.is_some() { BodyFault::NoPlace } else { BodyFault::Slow }));
            }
            let again = match opens {
                Some(opens) if opens > now => opens,
                None if !begun && queue_ends.is_none() => due,
                _ => now.after(ASK_AGAIN),
            };
            let alarm = self.context.alarm;
            alarm.set(due.min(again));
            match alarm.poll(cx) {
                Poll::Ready(Interrupt::Killed) => {
                    return Poll::Ready(Err(BodyFault::Interrupted(WaitError::Killed)));
                }
                Poll::Ready(Interrupt::Deadline) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes a place among the unproven bodies, if there is one.
    fn enter_unproven(&mut self, limits: &Arc<Limits>, begun: bool) -> bool {
        self.unproven = limits.try_unproven(begun);
        self.unproven.is_some()
    }

    /// All of the body is here, or as much as only a body brings that keeps the least rate.
    ///
    /// A gRPC call keeps no rate: it is proven by the beginning of its first message.
    fn is_proven(&self) -> bool {
        let enough = match self.is_call {
            true => grpc::PREFIX,
            false => self.rates.upload.bytes_per_window().clamp(1, SMALL as u64),
        };
        self.client.body_is_done() || self.body.received() >= enough
    }

    /// Gives the place among the unproven bodies back once the body is proven.
    pub(super) fn note_proven(&mut self) {
        if self.unproven.is_some() && self.is_proven() {
            self.unproven = None;
        }
    }

    /// Is it the client that has to go on with the request's body? Not while it waits for `100 Continue`.
    pub(super) fn body_is_due(&self) -> bool {
        self.continued || self.body.received() > 0 || !self.head.expects_continue()
    }

    async fn refuse_malformed(&mut self, error: h1::Error) -> ConnectionFate {
        self.listener.stats.count_refusal(self.context.core.id, error);
        self.refuse(&LocalAnswer::malformed(error), Termination::Refused).await
    }
}
