//! The register of a worker's client connections: a stop waits for them, and a switch decides about their exchanges.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;
use tokio::sync::Notify;

use super::deadline::{Alarm, TaskKiller};
use crate::decision::EndpointId;
use crate::routing::{PoolTerm, RoutingTable, WorkerView};
use crate::sys::clock;
use crate::time::MonoTime;

/// The client connections of one worker.
#[derive(Default)]
pub struct ClientConns {
    slots: RefCell<Slab<Rc<ClientSlot>>>,
    busy: Cell<usize>,
    changed: Notify,
}

struct ClientSlot {
    killer: TaskKiller,
    /// The exchange in progress: the activation of a pool under which it began, and the endpoint.
    pool_term: RefCell<Option<(Rc<PoolTerm>, EndpointId)>>,
    busy: Cell<bool>,
}

impl ClientSlot {
    fn judge(&self, table: &RoutingTable, now: MonoTime) {
        if let Some((pool_term, endpoint)) = &*self.pool_term.borrow() {
            self.killer.apply(table.verdict(pool_term, *endpoint, now));
        }
    }
}

impl ClientConns {
    /// Registers a connection, until the guard is dropped.
    pub fn enter(self: &Rc<Self>, alarm: &Alarm) -> ClientEntry {
        let slot =
            Rc::new(ClientSlot { killer: alarm.killer(), pool_term: RefCell::default(), busy: Cell::new(false) });
        let number = self.slots.borrow_mut().insert(Rc::clone(&slot));
        ClientEntry { clients: Rc::clone(self), number, slot }
    }

    /// Decides about every exchange by a newer table, and wakes requests that are between two tries.
    pub fn sweep(&self, table: &RoutingTable, now: MonoTime) {
        for (_, slot) in self.slots.borrow().iter() {
            slot.judge(table, now);
            if slot.busy.get() {
                slot.killer.nudge();
            }
        }
    }

    /// Wakes the task of every connection.
    pub fn nudge(&self) {
        self.slots.borrow().iter().for_each(|(_, slot)| slot.killer.nudge());
    }

    /// Ends every connection.
    pub fn kill(&self) {
        self.slots.borrow().iter().for_each(|(_, slot)| slot.killer.kill());
    }

    /// How many have work in flight.
    pub fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// Waits until one has ended. Cancel safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// A client connection's entry in the register.
pub struct ClientEntry {
    clients: Rc<ClientConns>,
    number: usize,
    slot: Rc<ClientSlot>,
}

impl ClientEntry {
    /// It has work in flight (or has none any more): a stop waits for it.
    pub fn set_busy(&self, busy: bool) {
        if self.slot.busy.replace(busy) != busy {
            let count = self.clients.busy.get();
            self.clients.busy.set(if busy { count + 1 } else { count - 1 });
        }
    }

    /// An exchange with this endpoint begins (register first, then re-check the epoch), or ends.
    pub fn set_pool_term(&self, pool_term: Option<(Rc<PoolTerm>, EndpointId)>) {
        *self.slot.pool_term.borrow_mut() = pool_term;
    }

    /// Registers an exchange that began before it was known whether its answer would be the client's, and decides about it by the
    /// newest table.
    pub fn take_pool_term(&self, pool_term: (Rc<PoolTerm>, EndpointId), view: &WorkerView) {
        self.set_pool_term(Some(pool_term));
        self.slot.judge(&view.current(), clock::now());
    }
}

impl Drop for ClientEntry {
    fn drop(&mut self) {
        self.set_busy(false);
        self.clients.slots.borrow_mut().try_remove(self.number);
        self.clients.changed.notify_one();
    }
}
