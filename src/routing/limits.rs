//! The circuit breaker of a service: connections in use and requests waiting, over all workers, oldest first, with a
//! deadline. Sessions that are held because nothing serves wait in a [line](super::hold_line) of their own, and count as
//! waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::hold_line::HoldLine;
use crate::config::ServiceLimits;
use crate::sys::clock;

/// One service's limits. A reload resizes them in place: what is in use stays, waiters keep their order.
#[derive(Debug)]
pub struct Limits {
    permits: Semaphore,
    max: AtomicUsize,
    /// Permits that a smaller limit took away and that are still in use: their release is swallowed.
    debt: AtomicUsize,
    pending: AtomicUsize,
    max_pending: AtomicUsize,
    /// Places of [`UnprovenBody`] in use.
    unproven: AtomicUsize,
    held: HoldLine,
}

/// Why there was no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermitError {
    /// `max_pending` requests were waiting already.
    QueueFull,
    /// The deadline came first.
    QueueTimeout,
}

impl Limits {
    /// As configured.
    pub fn new(config: &ServiceLimits) -> Limits {
        let max = config.max_connections.min(Semaphore::MAX_PERMITS);
        Limits {
            permits: Semaphore::new(max),
            max: AtomicUsize::new(max),
            debt: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            max_pending: AtomicUsize::new(config.max_pending),
            unproven: AtomicUsize::new(0),
            held: HoldLine::new(config.release),
        }
    }

    /// A permit at once, if there is one and no request waits for it.
    #[inline]
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        self.permits.try_acquire().ok()?.forget();
        Some(self.permit())
    }

    /// A permit, waiting at most `queue_timeout` behind those who waited before. Cancel safe: a caller that goes away
    /// gives its place back.
    pub async fn enter(self: &Arc<Self>, queue_timeout: Duration) -> Result<Permit, PermitError> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let _place = PermitWaiter::take(self).ok_or(PermitError::QueueFull)?;
        self.enter_counted(queue_timeout).await
    }

    /// … for a session that counts as waiting already: it has a [`HeldPlace`].
    pub async fn enter_counted(self: &Arc<Self>, queue_timeout: Duration) -> Result<Permit, PermitError> {
        // (Only requests that have to queue pay for a timer of their own.)
        let late = clock::sleep_until(clock::now().after(queue_timeout));
        tokio::select! {
            biased;
            Ok(permit) = self.permits.acquire() => {
                permit.forget();
                Ok(self.permit())
            }
            () = late => Err(PermitError::QueueTimeout),
        }
    }

    /// A place for a request with a body of which too little has come to know that it keeps the least rate. Half of the
    /// connections is what such requests may take together; the other half is for all others. Where that is none, one is for
    /// those that have `begun`.
    pub fn try_unproven(self: &Arc<Self>, begun: bool) -> Option<UnprovenBody> {
        let most = (self.max.load(SeqCst) / 2).max(usize::from(begun));
        let entered = self.unproven.fetch_update(SeqCst, SeqCst, |now| (now < most).then_some(now + 1));
        entered.ok().map(|_| UnprovenBody(Arc::clone(self)))
    }

    /// A place in the line of held sessions.
    pub fn hold(self: &Arc<Self>) -> Result<HeldPlace, PermitError> {
        if !self.begin_waiting() {
            return Err(PermitError::QueueFull);
        }
        Ok(HeldPlace { limits: Arc::clone(self), number: self.held.enter() })
    }

    /// A reload changed the limits. Called by one thread at a time.
    pub fn resize(&self, config: &ServiceLimits) {
        self.max_pending.store(config.max_pending, SeqCst);
        self.held.resize(config.release);
        let max = config.max_connections.min(Semaphore::MAX_PERMITS);
        let before = self.max.swap(max, SeqCst);
        if max > before {
            let grown = max - before;
            let forgiven = lower(&self.debt, grown);
            self.permits.add_permits(grown - forgiven);
        } else {
            let shrunk = before - max;
            let forgotten = self.permits.forget_permits(shrunk);
            self.debt.fetch_add(shrunk - forgotten, SeqCst);
        }
    }

    /// Permits in use.
    pub fn in_use(&self) -> usize {
        let granted = self.max.load(SeqCst) + self.debt.load(SeqCst);
        granted.saturating_sub(self.permits.available_permits())
    }

    /// Requests waiting for a permit, and held sessions.
    pub fn pending(&self) -> usize {
        self.pending.load(SeqCst)
    }

    /// Counts one more that waits, if `max_pending` allows it.
    fn begin_waiting(&self) -> bool {
        let begins = self.pending.fetch_add(1, SeqCst) < self.max_pending.load(SeqCst);
        if !begins {
            self.pending.fetch_sub(1, SeqCst);
        }
        begins
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit(Arc::clone(self))
    }

    fn release(&self) {
        if lower(&self.debt, 1) == 0 {
            self.permits.add_permits(1);
        }
    }
}

/// Lowers `cell` by at most `by`, not below zero; returns by how much.
fn lower(cell: &AtomicUsize, by: usize) -> usize {
    match cell.fetch_update(SeqCst, SeqCst, |now| (now > 0).then(|| now.saturating_sub(by))) {
        Ok(before) => before.min(by),
        Err(_) => 0,
    }
}

/// One connection's place under the service's limit, given back on drop.
#[derive(Debug)]
pub struct Permit(Arc<Limits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The place of one request among those whose bodies are unproven, given back on drop.
#[derive(Debug)]
pub struct UnprovenBody(Arc<Limits>);

impl Drop for UnprovenBody {
    fn drop(&mut self) {
        self.0.unproven.fetch_sub(1, SeqCst);
    }
}

/// The place of one held session, given back on drop.
#[derive(Debug)]
pub struct HeldPlace {
    limits: Arc<Limits>,
    number: u64,
}

impl HeldPlace {
    /// Waits for its turn to connect, which it then keeps.
    pub fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.limits.held.poll_turn(self.number, cx)
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.limits.pending.fetch_sub(1, SeqCst);
        self.limits.held.leave(self.number);
    }
}

struct PermitWaiter<'a>(&'a Limits);

impl<'a> PermitWaiter<'a> {
    fn take(limits: &'a Limits) -> Option<PermitWaiter<'a>> {
        limits.begin_waiting().then(|| PermitWaiter(limits))
    }
}

impl Drop for PermitWaiter<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_connections: usize, max_pending: usize) -> Arc<Limits> {
        Arc::new(Limits::new(&config(max_connections, max_pending)))
    }

    fn config(max_connections: usize, max_pending: usize) -> ServiceLimits {
        ServiceLimits { max_connections, max_pending, queue_timeout: LONG, release: 2 }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn waiters_are_served_oldest_first_and_nobody_overtakes() {
        let limits = limits(1, 8);
        let held = limits.enter(LONG).await.unwrap();
        let mut order = tokio::task::JoinSet::new();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        for n in 0..4 {
            let (own, sender) = (Arc::clone(&limits), sender.clone());
            order.spawn(async move {
                let permit = own.enter(LONG).await.unwrap();
                sender.send(n).await.unwrap();
                drop(permit);
            });
            while limits.pending() <= n {
                tokio::task::yield_now().await;
            }
        }
        assert!(limits.try_enter().is_none());
        drop(held);
        assert!(limits.try_enter().is_none(), "the permit belongs to the oldest waiter");
        for n in 0..4 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        while order.join_next().await.is_some() {}
        assert_eq!((limits.in_use(), limits.pending()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_and_a_deadline_refuse() {
        let limits = limits(1, 1);
        let _held = limits.try_enter().unwrap();
        let waiting = tokio::spawn({
            let limits = Arc::clone(&limits);
            async move { limits.enter(LONG).await.map(drop) }
        });
        while limits.pending() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(limits.enter(LONG).await.unwrap_err(), PermitError::QueueFull);
        waiting.abort();
        let _ = waiting.await;
        assert_eq!(limits.pending(), 0, "a waiter that went away gave its place back");
        assert_eq!(limits.enter(Duration::from_millis(1)).await.unwrap_err(), PermitError::QueueTimeout);
        assert_eq!((limits.in_use(), limits.pending()), (1, 0));
    }

    #[tokio::test]
    async fn held_sessions_count_as_waiting_and_are_bounded_with_the_others() {
        let limits = limits(1, 3);
        let held: Vec<_> = (0..3).map(|_| limits.hold().unwrap()).collect();
        assert_eq!(limits.pending(), 3);
        assert_eq!(limits.hold().unwrap_err(), PermitError::QueueFull);
        let turn = |place: &HeldPlace| place.poll_turn(&mut Context::from_waker(std::task::Waker::noop())).is_ready();
        assert_eq!(held.iter().map(turn).collect::<Vec<_>>(), [true, true, false], "release: 2");
        // A held session takes its permit without a second place among those that wait.
        let _permit = limits.enter_counted(LONG).await.unwrap();
        assert_eq!(limits.enter(LONG).await.unwrap_err(), PermitError::QueueFull);
        drop(held);
        assert_eq!((limits.in_use(), limits.pending()), (1, 0));
    }

    #[test]
    fn unproven_bodies_have_half_of_the_connections_and_at_least_one() {
        let limits = limits(9, 0);
        let mut held: Vec<_> = (0..9).map_while(|_| limits.try_unproven(false)).collect();
        assert_eq!(held.len(), 4);
        held.pop();
        assert!(limits.try_unproven(false).is_some());
        limits.resize(&config(1, 0));
        assert!(limits.try_unproven(true).is_none());
        held.clear();
        assert!(limits.try_unproven(false).is_none());
        let _held = limits.try_unproven(true).unwrap();
        assert!(limits.try_unproven(true).is_none());
    }

    #[test]
    fn a_reload_resizes_under_use() {
        let limits = limits(3, 1);
        let mut held: Vec<_> = (0..3).map(|_| limits.try_enter().unwrap()).collect();
        limits.resize(&config(1, 1));
        held.truncate(1);
        assert!(limits.try_enter().is_none(), "two permits were swallowed");
        held.clear();
        held.push(limits.try_enter().unwrap());
        assert!(limits.try_enter().is_none());
        limits.resize(&config(2, 1));
        held.push(limits.try_enter().unwrap());
        assert!(limits.try_enter().is_none());
        limits.resize(&config(0, 1));
        limits.resize(&config(3, 1));
        held.push(limits.try_enter().unwrap());
        assert!(limits.try_enter().is_none());
        held.clear();
        assert_eq!((0..9).map_while(|_| limits.try_enter()).collect::<Vec<_>>().len(), 3);
    }
}
