//! The hold of a TCP session: it waits for an endpoint for up to `hold_requests`, without a permit of the service, in the
//! [line](crate::routing::hold_line) of the service, and connects when its turn has come.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::dispatch::{Dispatch, SelectError};
use super::session_hold::SessionHold;
use crate::proxy::guarded::{WaitError, guarded};
use crate::routing::tries::HOLD_STEP;
use crate::routing::{GiveUpReason, Pick, RetryDecision, RoutingTable, ServiceView};
use crate::sys::clock;
use crate::time::MonoTime;

impl Dispatch<'_> {
    /// Is the session held where the pick found no endpoint and the retry rule waits? Until when at first.
    pub(super) fn held_until(&self, none: Pick, next: RetryDecision, service: &ServiceView) -> Option<MonoTime> {
        self.hold?;
        match (none, next) {
            (Pick::Down | Pick::Exhausted, RetryDecision::Wait { until })
                if !service.config.hold_requests.is_zero() =>
            {
                Some(until)
            }
            _ => None,
        }
    }

    /// Has the session a place in line, and with it a turn when it connects?
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some_and(SessionHold::is_in_line)
    }

    /// Waits for the session's turn, and then for a table newer than that of the pick, or for the moment that the retry rule
    /// names.
    pub(super) async fn wait_held(
        &mut self,
        mut until: MonoTime,
        none: Pick,
        table: &RoutingTable,
        service: usize,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), SelectError> {
        let Some(hold) = self.hold else { return Ok(()) };
        hold.enter(&table.services[service].stats.limits).map_err(SelectError::Limited)?;
        let waits = hold.wait();
        let end = self.tries.wait_ends(table.services[service].config.hold_requests);
        loop {
            // (Before its turn it looks for no trial gate.)
            self.alarm.set(end.map_or(until, |end| end.max(until)));
            match guarded(self.alarm, gone, poll_fn(|cx| hold.poll_turn(cx))).await {
                Ok(()) => break,
                Err(WaitError::Late) => until = self.still_held(none)?,
                Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
            }
        }
        self.wait(RetryDecision::Wait { until }, table, service, gone).await?;
        // The news and the client's leaving may have come at the same time.
        let has_left = poll_fn(|cx| Poll::Ready(gone(cx).is_ready())).await;
        drop(waits);
        if has_left { Err(SelectError::Interrupted(WaitError::Gone)) } else { Ok(()) }
    }

    /// A moment of the retry rule came before the session's turn: until when does it wait next, if it does?
    fn still_held(&mut self, none: Pick) -> Result<MonoTime, SelectError> {
        let table = self.core.table();
        let Some(service) = table.successor(self.service()) else {
            return Err(SelectError::GaveUp(GiveUpReason::Down));
        };
        match self.unselected(none, service) {
            RetryDecision::Wait { until } | RetryDecision::Queue { until } => Ok(until),
            RetryDecision::GiveUp(why) => Err(SelectError::GaveUp(why)),
            RetryDecision::Pick => Ok(clock::now().after(HOLD_STEP)),
        }
    }

    /// Has its hold taken the permit of the session?
    pub(super) fn lacks_permit(&self) -> bool {
        self.hold.is_some_and(SessionHold::lacks_permit)
    }

    /// Takes a permit again after a hold. `true`: it had to wait, so that what was picked may no longer hold.
    pub(super) async fn permit_again(
        &self,
        service: &ServiceView,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<bool, SelectError> {
        let Some(hold) = self.hold else { return Ok(false) };
        let limits = &service.stats.limits;
        let (permit, has_waited) = match limits.try_enter() {
            Some(permit) => (permit, false),
            None => {
                let _waits = hold.wait();
                let queue_timeout = self.service().config.limits.queue_timeout;
                self.alarm.clear();
                match guarded(self.alarm, gone, limits.enter_counted(queue_timeout)).await {
                    Ok(permit) => (permit.map_err(SelectError::Limited)?, true),
                    Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
                }
            }
        };
        hold.take_permit(permit);
        Ok(has_waited)
    }
}
