//! The waits of a selection: for a permit, for a pause between two tries, for a newer table.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::destination::Destination;
use super::dispatch::{Dispatch, SelectError};
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{Permit, PickChoice, RetryDecision, RoutingTable, ServiceView};
use crate::sys::clock;

impl Dispatch<'_> {
    /// A permit of the service, waiting in its queue if need be.
    pub async fn permit(
        &self,
        service: &ServiceView,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Permit, SelectError> {
        let limits = &service.stats.limits;
        if let Some(permit) = limits.try_enter() {
            return Ok(permit);
        }
        let queue_timeout = self.service().config.limits.queue_timeout;
        self.alarm.clear();
        match guarded(self.alarm, gone, limits.enter(queue_timeout)).await {
            Ok(permit) => permit.map_err(SelectError::Limited),
            Err(interrupted) => Err(SelectError::Interrupted(interrupted)),
        }
    }

    /// Pauses before the same endpoint is asked again.
    pub(super) async fn back_off(
        &mut self,
        choice: &PickChoice,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), SelectError> {
        let pause = self.tries.backoff(choice, &mut self.core.pick.borrow_mut().rng);
        if pause.is_zero() {
            return Ok(());
        }
        self.alarm.set(clock::now().after(pause));
        match guarded(self.alarm, gone, std::future::pending::<()>()).await {
            Ok(()) | Err(WaitError::Late) => Ok(()),
            Err(interrupted) => Err(SelectError::Interrupted(interrupted)),
        }
    }

    /// Waits until a table would not pick this endpoint any more. Cancel safe.
    pub(super) async fn superseded(&self, destination: &Destination) {
        let mut epoch = destination.table.epoch;
        loop {
            newer_than(self.core, epoch).await;
            let table = self.core.table();
            if self.is_left_by(&table, destination) {
                return;
            }
            epoch = table.epoch;
        }
    }

    /// Would this table not pick the endpoint, which the table of the pick did?
    pub(super) fn is_left_by(&self, table: &RoutingTable, destination: &Destination) -> bool {
        let Some(service) = table.successor(self.service()) else { return true };
        let pool = service.pool_of(destination.choice.id);
        let left =
            destination.service().serves(destination.choice.pool) && !pool.is_some_and(|pool| service.serves(pool));
        left || service.condemns(destination.choice.id) || !service.has_tls_of(destination.service())
    }

    /// Carries out the retry rule's decision; an error when it gave up or the wait was interrupted.
    pub(super) async fn wait(
        &mut self,
        next: RetryDecision,
        table: &RoutingTable,
        service: usize,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), SelectError> {
        let (until, queued) = match next {
            RetryDecision::Pick => return Ok(()),
            RetryDecision::GiveUp(why) => return Err(SelectError::GaveUp(why)),
            RetryDecision::Wait { until } => (until, false),
            RetryDecision::Queue { until } => (until, true),
        };
        self.alarm.set(until);
        let freed = &table.services[service].stats.freed;
        let news = async {
            tokio::select! {
                () = newer_than(self.core, table.epoch) => {}
                () = freed.notified(), if queued => {}
            }
        };
        match guarded(self.alarm, gone, news).await {
            Ok(()) | Err(WaitError::Late) => {}
            Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
        }
        let newest = self.core.table();
        let view = newest.successor(self.service());
        self.tries.resumed(view.is_none_or(|view| !Arc::ptr_eq(view, &table.services[service])));
        Ok(())
    }
}

/// Waits until this worker has a table newer than that. Cancel safe.
async fn newer_than(core: &WorkerCore, epoch: u64) {
    loop {
        let mut taken_up = pin!(core.taken_up.notified());
        taken_up.as_mut().enable();
        if core.table().epoch > epoch {
            return;
        }
        taken_up.await;
    }
}
