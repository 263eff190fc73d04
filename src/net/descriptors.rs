//! The descriptor budget of the data plane: how many sockets and pipes it may have open. It counts what it opens itself, so that no
//! connection costs a system call for it; that the kernel has none left (EMFILE, ENFILE) is the second line of defence.
//!
//! A client connection is accepted only with room for a connection to an endpoint beside it: what is accepted can be served, and
//! further clients wait in the accept queue. A reserve is left to the admin port, probes, and the files of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::time::MonoTime;

/// Descriptors left beside the data plane, if the limit allows: for the admin port's 64 connections, and for files.
const RESERVE: usize = 96;
/// After the kernel had no descriptor for a connection to an endpoint, no client is accepted for so long.
const HOLD: Duration = Duration::from_secs(1);

/// The reserve, out of `rest` unused descriptors: for each endpoint that is checked one more, but never more than a quarter of all.
fn reserve(rest: usize, checked: usize) -> usize {
    (RESERVE + checked).min(rest / 4)
}

/// The budget of all workers.
#[derive(Debug)]
pub struct DescriptorBudget {
    /// Descriptors for listening sockets, connections, pipes and the reserve.
    free: AtomicUsize,
    /// Descriptors that connections and pipes may take.
    most: AtomicUsize,
    claimed: OwnLine<AtomicUsize>,
    /// Clients wait for descriptors.
    short: OwnLine<AtomicBool>,
    /// Nothing is accepted before this time.
    held_until: AtomicU64,
}

/// A value on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OwnLine<T>(T);

impl DescriptorBudget {
    /// Without a bound until it [begins](DescriptorBudget::begin).
    pub fn unbounded() -> Arc<DescriptorBudget> {
        Arc::new(DescriptorBudget {
            free: AtomicUsize::new(usize::MAX),
            most: AtomicUsize::new(usize::MAX),
            claimed: OwnLine::default(),
            short: OwnLine::default(),
            held_until: AtomicU64::new(0),
        })
    }

    /// So many descriptors are not used otherwise; then [fit](DescriptorBudget::fit) it.
    pub fn begin(&self, free: usize) {
        self.free.store(free, Relaxed);
    }

    /// Sets the bound for so many listening sockets and endpoints that are probed. It allows one client in any case. False: the
    /// limit is too low for the whole reserve.
    pub fn fit(&self, listening: usize, checked: usize) -> bool {
        let free = self.free.load(Relaxed);
        if free == usize::MAX {
            return true;
        }
        let rest = free.saturating_sub(listening);
        let reserve = reserve(rest, checked);
        self.most.store((rest - reserve).max(2), Relaxed);
        reserve == RESERVE + checked
    }

    /// Clients at once, each with a connection to an endpoint. `None`: there is no bound.
    pub fn clients(&self) -> Option<usize> {
        let most = self.most();
        (most != usize::MAX).then_some(most / 2)
    }

    /// Descriptors that connections and pipes may take.
    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// Clients wait for descriptors: idle connections are to be closed.
    pub fn note_short(&self) {
        if !self.short.0.load(Relaxed) {
            self.short.0.store(true, Relaxed);
        }
    }

    /// Has [`note_short`](DescriptorBudget::note_short) been called since the last time?
    pub fn take_short(&self) -> bool {
        self.short.0.load(Relaxed) && self.short.0.swap(false, Relaxed)
    }

    /// The kernel had no descriptor for a connection to an endpoint: more files are open than are counted here.
    pub fn note_refused(&self, now: MonoTime) {
        self.held_until.store(now.after(HOLD).as_micros(), Relaxed);
    }

    fn is_held(&self, now: impl FnOnce() -> MonoTime) -> bool {
        let until = self.held_until.load(Relaxed);
        if until == 0 {
            return false;
        }
        let held = now().as_micros() < until;
        if !held {
            self.held_until.store(0, Relaxed);
        }
        held
    }

    fn claim(&self, more: usize) -> bool {
        let fits = self.claimed.0.fetch_add(more, Relaxed).saturating_add(more) <= self.most();
        if !fits {
            self.release(more);
        }
        fits
    }

    fn release(&self, less: usize) {
        self.claimed.0.fetch_sub(less, Relaxed);
    }
}

/// One worker's part of the budget. Only its own thread changes it.
///
/// It claims a descriptor for each client connection, and as many for connections to endpoints as there are clients, or as are open
/// if that is more: so an accepted client finds room for a connection to an endpoint.
#[derive(Debug)]
pub struct WorkerDescriptors {
    budget: Arc<DescriptorBudget>,
    clients: AtomicUsize,
    upstream: AtomicUsize,
    pipes: AtomicUsize,
}

impl WorkerDescriptors {
    /// Nothing is open.
    pub fn new(budget: Arc<DescriptorBudget>) -> Arc<WorkerDescriptors> {
        Arc::new(WorkerDescriptors {
            budget,
            clients: AtomicUsize::new(0),
            upstream: AtomicUsize::new(0),
            pipes: AtomicUsize::new(0),
        })
    }

    /// The budget of all workers.
    pub fn budget(&self) -> &DescriptorBudget {
        &self.budget
    }

    /// Claims room for a client connection that is about to be accepted, until
    /// [`client_closed`](WorkerDescriptors::client_closed) is called. False: there is none.
    pub fn try_client(&self, now: impl FnOnce() -> MonoTime) -> bool {
        !self.budget.is_held(now) && self.try_open(&self.clients, 1)
    }

    /// A client's connection was closed, or was not accepted after all.
    pub fn client_closed(&self) {
        self.closed(&self.clients, 1);
    }

    /// A connection to an endpoint is about to be made. `None`: there is no room for it.
    pub fn try_upstream_permit(self: &Arc<Self>) -> Option<UpstreamPermit> {
        self.try_open(&self.upstream, 1).then(|| UpstreamPermit(Arc::clone(self)))
    }

    /// A pipe is about to be opened: two descriptors.
    pub fn try_pipe(self: &Arc<Self>) -> Option<PipePermit> {
        self.try_open(&self.pipes, 2).then(|| PipePermit(Arc::clone(self)))
    }

    /// Are there more connections to endpoints than clients? Some are idle then, most likely.
    pub fn has_surplus(&self) -> bool {
        self.upstream.load(Relaxed) > self.clients.load(Relaxed)
    }

    fn try_open(&self, kind: &AtomicUsize, count: usize) -> bool {
        let (before, open) = (self.claimed(), kind.load(Relaxed));
        kind.store(open + count, Relaxed);
        let more = self.claimed() - before;
        let fits = more == 0 || self.budget.claim(more);
        if !fits {
            kind.store(open, Relaxed);
        }
        fits
    }

    fn closed(&self, kind: &AtomicUsize, count: usize) {
        let before = self.claimed();
        kind.store(kind.load(Relaxed).saturating_sub(count), Relaxed);
        let less = before - self.claimed();
        if less > 0 {
            self.budget.release(less);
        }
    }

    /// What is claimed of the budget for what is open.
    fn claimed(&self) -> usize {
        let clients = self.clients.load(Relaxed);
        clients + clients.max(self.upstream.load(Relaxed)) + self.pipes.load(Relaxed)
    }
}

/// The descriptor of one connection to an endpoint, given back when this is dropped.
#[derive(Debug)]
pub struct UpstreamPermit(Arc<WorkerDescriptors>);

impl Drop for UpstreamPermit {
    fn drop(&mut self) {
        self.0.closed(&self.0.upstream, 1);
    }
}

/// The descriptors of one pipe, given back when this is dropped.
#[derive(Debug)]
pub struct PipePermit(Arc<WorkerDescriptors>);

impl Drop for PipePermit {
    fn drop(&mut self) {
        self.0.closed(&self.0.pipes, 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: fn() -> MonoTime = || MonoTime::from_micros(1_000_000);

    fn workers<const COUNT: usize>(most: usize) -> (Arc<DescriptorBudget>, [Arc<WorkerDescriptors>; COUNT]) {
        let budget = DescriptorBudget::unbounded();
        budget.most.store(most, Relaxed);
        (Arc::clone(&budget), std::array::from_fn(|_| WorkerDescriptors::new(Arc::clone(&budget))))
    }

    #[test]
    fn an_accepted_client_has_room_for_a_connection_to_an_endpoint() {
        let (_, [one, two]) = workers(10);
        let let_in: Vec<_> = [&one, &two].into_iter().cycle().take_while(|worker| worker.try_client(EARLY)).collect();
        assert_eq!(let_in.len(), 5);
        let places: Vec<_> = let_in.iter().map(|worker| worker.try_upstream_permit()).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(one.try_upstream_permit().is_none() && two.try_upstream_permit().is_none() && one.try_pipe().is_none());
        drop(places);
        assert!(!one.try_client(EARLY), "its client may need another connection");
        two.client_closed();
        assert!(one.try_client(EARLY));
    }

    #[test]
    fn idle_connections_to_endpoints_count_as_those_of_clients_to_come() {
        let (budget, [worker]) = workers(10);
        let idle: Vec<_> = (0..6).map(|_| worker.try_upstream_permit()).collect();
        assert!(idle.iter().all(Option::is_some) && worker.has_surplus());
        assert!((0..4).all(|_| worker.try_client(EARLY)), "six and four");
        assert!(!worker.try_client(EARLY));
        drop(idle);
        assert!(worker.try_client(EARLY) && !worker.try_client(EARLY) && !worker.has_surplus());
        (0..5).for_each(|_| worker.client_closed());
        assert_eq!(budget.claimed.0.load(Relaxed), 0);
        let pipes: Vec<_> = std::iter::from_fn(|| worker.try_pipe()).collect();
        assert_eq!(pipes.len(), 5);
        drop(pipes);
        assert_eq!(budget.claimed.0.load(Relaxed), 0);
    }

    #[test]
    fn nothing_is_accepted_for_a_second_after_the_kernel_had_no_descriptor_for_an_endpoint() {
        let (budget, [worker]) = workers(10);
        budget.note_refused(EARLY());
        assert!(!worker.try_client(|| EARLY().after(Duration::from_millis(900))));
        assert!(worker.try_upstream_permit().is_some(), "accepted clients are served");
        assert!(worker.try_client(|| EARLY().after(Duration::from_millis(1100))));
    }

    #[test]
    fn the_reserve_is_never_more_than_a_quarter_and_never_takes_all() {
        let budget = DescriptorBudget::unbounded();
        assert!(budget.fit(4, 10));
        assert_eq!((budget.most(), budget.clients()), (usize::MAX, None), "it is not known how many there are");
        for (free, checked, most, whole) in
            [(1_000_004, 10, 999_894, true), (1_004, 10, 894, true), (44, 500, 30, false), (0, 5, 2, false)]
        {
            budget.begin(free);
            assert_eq!(budget.fit(4, checked), whole, "{free} {checked}");
            assert_eq!((budget.most(), budget.clients()), (most, Some(most / 2)), "{free} {checked}");
        }
    }
}
