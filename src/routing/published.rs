//! The switch protocol on the real cells: one `ArcSwap`, one epoch, one wake-up and one acknowledgement a worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::PickChoice;
use super::protocol::{NumberedTable, PublishBoard, SharedNumber, SharedSlot};
use super::table::{PoolView, RoutingTable, ServiceView, SessionVerdict};
use crate::telemetry::instruments::CachePadded;
use crate::time::MonoTime;

/// A worker's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub usize);

/// A table as a worker holds it: cloning it touches no memory that another worker uses.
pub type Handle = Rc<Arc<RoutingTable>>;

impl NumberedTable for RoutingTable {
    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<T> SharedSlot<T> for ArcSwap<T> {
    fn load(&self) -> Arc<T> {
        self.load_full()
    }
    fn store(&self, table: Arc<T>) {
        ArcSwap::store(self, table);
    }
}

impl SharedNumber for AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, SeqCst)
    }
    fn store(&self, value: u64) {
        AtomicU64::store(self, value, SeqCst);
    }
}

/// The one table, and which workers have seen it. The guarantees are those of [`protocol`](super::protocol).
#[derive(Debug)]
pub struct Published {
    board: PublishBoard<ArcSwap<RoutingTable>, AtomicU64>,
    workers: Vec<CachePadded<WorkerSlot>>,
    urgent: Notify,
    /// Tables that were replaced and may still be in use somewhere.
    retired: Mutex<Vec<Arc<RoutingTable>>>,
}

#[derive(Debug, Default)]
struct WorkerSlot {
    wake: Notify,
    acknowledged: AtomicU64,
}

impl Published {
    /// Publishes the first table to this many workers.
    pub fn new(first: RoutingTable, workers: usize) -> Arc<Published> {
        let epoch = first.epoch;
        Arc::new(Published {
            board: PublishBoard::new(ArcSwap::from_pointee(first), AtomicU64::new(epoch), AtomicU64::new(epoch)),
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
            urgent: Notify::new(),
            retired: Mutex::default(),
        })
    }

    /// Publishes the next table: this is the instant of a switch. Then bumps the generation of every endpoint whose pool
    /// ceased to serve (its idle connections are not used again) and wakes all workers. One caller at a time: the engine.
    pub fn publish(&self, table: RoutingTable) {
        let old = self.load();
        debug_assert!(table.epoch > old.epoch, "epochs only grow");
        let table = Arc::new(table);
        self.board.publish(Arc::clone(&table), || retire_connections(&old, &table));
        for worker in &self.workers {
            worker.0.wake.notify_one();
        }
        self.retired().push(old);
    }

    /// The newest table, for the control plane. (Workers use their [`WorkerView`].)
    pub fn load(&self) -> Arc<RoutingTable> {
        self.board.load()
    }

    /// The newest published epoch.
    pub fn epoch(&self) -> u64 {
        self.board.epoch()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The newest epoch that this worker has acknowledged; 0 before its first.
    pub fn acknowledged(&self, worker: usize) -> u64 {
        self.workers.get(worker).map_or(0, |slot| SharedNumber::load(&slot.0.acknowledged))
    }

    /// Have all workers acknowledged this epoch or a newer one?
    pub fn all_acknowledged(&self, epoch: u64) -> bool {
        self.workers.iter().all(|slot| SharedNumber::load(&slot.0.acknowledged) >= epoch)
    }

    /// Frees the replaced tables that are not used any more; returns how many are left. The engine calls it now and then, so
    /// that no worker pays for freeing a table.
    pub fn reap(&self) -> usize {
        let mut retired = self.retired();
        let oldest = self.workers.iter().map(|slot| SharedNumber::load(&slot.0.acknowledged)).min().unwrap_or(u64::MAX);
        let unused = |table: &mut Arc<RoutingTable>| table.epoch < oldest && Arc::strong_count(table) == 1;
        let freed: Vec<_> = retired.extract_if(.., unused).collect();
        let left = retired.len();
        drop(retired);
        drop(freed);
        left
    }

    /// A worker saw something that the engine must look at now: a flag stands in some endpoint's or service's atomics.
    pub fn urgent(&self) {
        self.urgent.notify_one();
    }

    /// Waits for [`urgent`](Published::urgent); a call made before the wait counts. Cancel safe.
    pub async fn wait_urgent(&self) {
        self.urgent.notified().await;
    }

    fn retired(&self) -> std::sync::MutexGuard<'_, Vec<Arc<RoutingTable>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Idle connections to pools that ceased to serve or are gone are not used again, nor are those that were made with other
/// trust anchors. (Those to an endpoint that left a serving pool go when the workers sweep.)
fn retire_connections(old: &RoutingTable, new: &RoutingTable) {
    for service in &old.services {
        let successor = new.successor(service);
        if successor.is_some_and(|new| Arc::ptr_eq(new, service)) {
            continue;
        }
        let other_tls = successor.is_some_and(|new| !new.has_tls_of(service));
        for pool in &service.pools {
            let serves_on = successor.is_some_and(|new| serves_on(new, pool));
            if other_tls || pool.pool_term != 0 && !serves_on {
                pool.endpoints.iter().for_each(|endpoint| endpoint.stats.bump_generation());
            }
        }
    }
}

fn serves_on(service: &ServiceView, pool: &PoolView) -> bool {
    service.pools.iter().any(|new| new.id == pool.id && new.pool_term == pool.pool_term)
}

/// A worker's view: one a worker thread, shared inside it by `Rc`.
#[derive(Debug)]
pub struct WorkerView {
    published: Arc<Published>,
    id: WorkerId,
    cached: RefCell<Handle>,
    seen: Cell<u64>,
}

impl WorkerView {
    /// The view of this worker. It has acknowledged nothing yet.
    pub fn new(published: Arc<Published>, id: WorkerId) -> Rc<WorkerView> {
        let table = published.load();
        let seen = Cell::new(table.epoch);
        Rc::new(WorkerView { published, id, cached: RefCell::new(Rc::new(table)), seen })
    }

    /// The worker that has this view.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.published.workers()
    }

    /// The newest table: one atomic read when nothing was published since the last call.
    #[inline]
    pub fn current(&self) -> Handle {
        if !self.published.board.is_current(self.seen.get()) {
            self.refresh();
        }
        Rc::clone(&self.cached.borrow())
    }

    /// The re-check before a first byte: is this table still the newest? Nothing may be awaited between this and the write.
    #[inline]
    pub fn is_current(&self, table: &RoutingTable) -> bool {
        self.published.board.is_current(table.epoch)
    }

    /// The re-check for a try that was picked on `table`: may it go on? `true` also when a newer table left its service
    /// untouched, so that a change elsewhere does not cost a fresh connection.
    #[inline]
    pub fn still_holds(&self, table: &RoutingTable, service: &Arc<ServiceView>) -> bool {
        if self.is_current(table) {
            return true;
        }
        let newest = self.current();
        newest.services.get(service.index).is_some_and(|now| Arc::ptr_eq(now, service))
    }

    /// Is what an exchange used under `table` still worth keeping: does its pool go on serving as it did, with its endpoint? A connection that
    /// was made while a switch went on may bear the newest generation; asked when it is parked, this tells.
    #[inline]
    pub fn still_serves(
        &self,
        table: &RoutingTable,
        service: &ServiceView,
        choice: &PickChoice,
        now: MonoTime,
    ) -> bool {
        if self.is_current(table) {
            return true;
        }
        let newest = self.current();
        matches!(newest.verdict(&service.pool_term(choice.pool), choice.id, now), SessionVerdict::Stay { .. })
            && newest.successor(service).is_some_and(|now| now.has_tls_of(service))
    }

    /// Waits until a table newer than the acknowledged one was published (at once when one was); then
    /// [`catch_up`](WorkerView::catch_up). One task a worker waits here. Cancel safe.
    pub async fn changed(&self) {
        let Some(slot) = self.slot() else { return std::future::pending().await };
        while self.published.board.announced() <= SharedNumber::load(&slot.acknowledged) {
            slot.wake.notified().await;
        }
    }

    /// Takes up the newest table and acknowledges it. `take_up` sweeps the register and closes what has to close, without
    /// waiting for anything; from the acknowledgement on, nothing of this worker follows an older table.
    pub fn catch_up(&self, take_up: impl FnOnce(&Handle)) {
        let Some(slot) = self.slot() else { return };
        self.published.board.catch_up(&slot.acknowledged, |table| {
            self.keep(table);
            take_up(&self.current());
        });
    }

    /// Pokes the engine; see [`Published::urgent`].
    pub fn urgent(&self) {
        self.published.urgent();
    }

    /// The board itself.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    #[cold]
    fn refresh(&self) {
        self.keep(self.published.load());
    }

    fn keep(&self, table: Arc<RoutingTable>) {
        if table.epoch > self.seen.get() {
            self.seen.set(table.epoch);
            *self.cached.borrow_mut() = Rc::new(table);
        }
    }

    fn slot(&self) -> Option<&WorkerSlot> {
        self.published.workers.get(self.id.0).map(|slot| &slot.0)
    }
}
