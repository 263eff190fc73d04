//! The choice of the next endpoint: a pick from the newest table, and a link to it.

use std::task::{Context, Poll};

use super::destination::Destination;
use super::dispatch::{Dispatch, LinkOutcome, SelectError, Selected, SelectedTarget, UpstreamLink};
use super::share::shares;
use crate::decision::Serving;
use crate::net::Transport;
use crate::routing::{GiveUpReason, Pick, PickChoice, RetryDecision, ServiceView, TryEnd, TryFailure};
use crate::sys::clock;
use crate::time::MonoTime;

impl Dispatch<'_> {
    /// The next connection to try. Failed connects are recorded here, and the waits are here; only a failed *exchange*
    /// comes back to the caller, which reports it by [`Dispatch::failed`] and calls again.
    pub async fn next(&mut self, gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>) -> Result<Selected, SelectError> {
        loop {
            let table = self.core.table();
            let Some(service) = table.successor(self.service()).map(|service| service.index) else {
                return Err(SelectError::GaveUp(GiveUpReason::Down));
            };
            let choice = match self.pick(&table.services[service]) {
                Pick::Endpoint(choice) => choice,
                Pick::Static { pool } => return Ok(Selected::Static { table, service, pool }),
                none => {
                    let next = self.unselected(none, &table.services[service]);
                    match self.held_until(none, next, &table.services[service]) {
                        // Boxed, so that a task needs no room for a hold that hardly ever comes.
                        Some(held) => Box::pin(self.wait_held(held, none, &table, service, gone)).await?,
                        None => self.wait(next, &table, service, gone).await?,
                    }
                    continue;
                }
            };
            if self.crosses_rather(&choice, &table.services[service]) {
                continue;
            }
            if self.lacks_permit() && Box::pin(self.permit_again(&table.services[service], gone)).await? {
                continue;
            }
            let mut destination = Destination { table, service, choice, reused: true, generation: 0 };
            let Some(in_flight) = destination.enter() else { continue };
            self.back_off(&choice, gone).await?;
            self.count_try(destination.service());
            let how = match self.link(&mut destination, gone).await? {
                LinkOutcome::Ready(link) => {
                    return Ok(Selected::Endpoint(SelectedTarget { destination, link, in_flight }));
                }
                LinkOutcome::Elsewhere(elsewhere) => {
                    (self.tries, self.attempts) = (elsewhere.tries, elsewhere.attempts);
                    return Ok(Selected::Endpoint(elsewhere.target));
                }
                LinkOutcome::Exhausted(exhausted) => {
                    (self.tries, self.attempts) = (exhausted.tries, exhausted.attempts);
                    self.last = Some(TryFailure::ConnectTimeout);
                    return Err(SelectError::GaveUp(exhausted.why));
                }
                LinkOutcome::Superseded => continue,
                LinkOutcome::Failed(how) => how,
            };
            drop(in_flight);
            let next = self
                .failed(&TryEnd { choice, how, sent: false, reused: false, replayable: true }, destination.service());
            self.wait(next, &destination.table, destination.service, gone).await?;
        }
    }

    fn pick(&self, service: &ServiceView) -> Pick {
        service.pick(&self.tries.want(clock::now(), self.client_info.hash), &mut self.core.pick.borrow_mut())
    }

    /// No endpoint of the pool is left that has not failed this request: it goes across, if it may.
    fn crosses_rather(&mut self, choice: &PickChoice, service: &ServiceView) -> bool {
        let retry = &self.origin.services[self.index].config.retry;
        self.tries.crosses_rather(retry, choice, service)
    }

    pub(super) fn unselected(&mut self, none: Pick, service: &ServiceView) -> RetryDecision {
        let retry = &self.origin.services[self.index].config.retry;
        self.tries.unselected(retry, none, service, clock::now())
    }

    /// An idle connection, a stream of a shared one, or a new connection.
    async fn link(
        &self,
        destination: &mut Destination,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<LinkOutcome, SelectError> {
        destination.generation = destination.endpoint().stats.generation();
        if shares(destination) {
            return self.shared(destination, gone).await;
        }
        if let Some(stream) = self.take_idle(destination) {
            return Ok(LinkOutcome::Ready(UpstreamLink::Own(stream)));
        }
        destination.reused = false;
        self.dial(destination, gone).await
    }

    /// Would another try find an endpoint as things are? (While there is an answer to pass on, it is not given up for a wait,
    /// nor for a trial's gate, which opens only once.)
    pub fn finds_another(&self) -> bool {
        let table = self.core.table();
        let Some(service) = table.successor(self.service()).filter(|service| service.serving != Serving::Down) else {
            return false;
        };
        let retry = &self.origin.services[self.index].config.retry;
        let mut tries = self.tries.clone();
        let mut pick = self.pick(service);
        if let Pick::Endpoint(choice) = &pick
            && tries.crosses_rather(retry, choice, service)
        {
            let want = tries.want(clock::now(), self.client_info.hash);
            pick = service.pick(&want, &mut self.core.pick.borrow_mut());
        }
        matches!(pick, Pick::Endpoint(_))
    }

    /// A try begins.
    fn count_try(&mut self, service: &ServiceView) {
        self.attempts += 1;
        let Some(reason) = self.tries.begins() else { return };
        service.stats.count_retry(self.core.id, reason);
        if self.tries.crossing() {
            service.stats.crossed.add(self.core.id, 1);
        }
    }

    pub(super) fn take_idle(&self, destination: &Destination) -> Option<Transport> {
        let now = clock::now();
        if !self.may_reuse(destination, now) {
            return None;
        }
        self.pools.idle.take(destination.choice.id, &destination.endpoint().stats, now)
    }

    /// May this try go over an HTTP/1 connection that was used before?
    pub(super) fn may_reuse(&self, destination: &Destination, now: MonoTime) -> bool {
        !self.tries.fresh_only()
            && destination.keeps_connections()
            && destination.endpoint().stats.trusts_idle(self.tries.request_class().idempotent(), now)
    }
}
