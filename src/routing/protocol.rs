//! The switch protocol ([manual::published_table](crate::manual::published_table)) over any shared memory: the proxy runs it
//! on `ArcSwap` and atomics ([`published`](super::published)), the schedule explorer of `tests/world` on its own
//! cells.
//!
//! One publisher; any number of workers, each with a register of sessions.
//!
//! | publisher | try | session | worker, when woken |
//! |---|---|---|---|
//! | 1. store the table | 1. pick from the newest table | 1. pick | 1. read the announcement |
//! | 2. store its number | 2. connect | 2. **register** | 2. load the newest table |
//! | 3. retire what it leaves | 3. **re-check** the number | 3. **re-check** the number | 3. **sweep** the register by it |
//! | 4. announce its number, wake the workers | 4. first byte, with no `await` since 3 | 4. first byte | 4. acknowledge the announcement read in 1 |
//!
//! **Guaranteed**, for every epoch N:
//! * *Tries.* No try writes its first byte under a table older than N if `publish(N)` had returned before the try's re-check
//!   began. Between re-check and write lies no suspension point, so once a worker has acknowledged N (or anything newer), none
//!   of its tries ever writes a first byte under a table older than N; and once all have, none does.
//! * *Sessions.* A session that began under a table older than N either fails its re-check (and picks again), or is
//!   found by the sweep that precedes the worker's acknowledgement of N. None slips through.
//! * *Retirement.* What step 3 of the publisher does (generations of connections that must not be used again) is done before
//!   any worker sweeps for N, so the sweep that precedes its acknowledgement of N sees it.
//! * *Tables.* A worker that sees number N loads a table at least as new as N. After all workers have acknowledged N, no new use
//!   of an older table begins.
//!
//! **Not** guaranteed: a try that passed its re-check just before `publish(N)` stored N may write a moment after. That
//! is the instant at which a switch is not yet visible anywhere; its worker has not acknowledged.

use std::sync::Arc;

/// A numbered table.
pub trait NumberedTable {
    /// Grows with every publish, from 1.
    fn epoch(&self) -> u64;
}

/// A shared cell of one table.
pub trait SharedSlot<T> {
    /// The newest table stored.
    fn load(&self) -> Arc<T>;
    /// Makes this table the newest.
    fn store(&self, table: Arc<T>);
}

/// A shared number, sequentially consistent.
pub trait SharedNumber {
    /// Reads it.
    fn load(&self) -> u64;
    /// Writes it.
    fn store(&self, value: u64);
}

/// The board on which tables are published.
#[derive(Debug)]
pub struct PublishBoard<S, N> {
    slot: S,
    number: N,
    announced: N,
}

impl<S, N: SharedNumber> PublishBoard<S, N> {
    /// Over these cells; `slot` already holds a table, the numbers its epoch.
    pub fn new(slot: S, number: N, announced: N) -> Self {
        PublishBoard { slot, number, announced }
    }

    /// Table first, number second: a worker that sees the number loads a table at least that new. Then `retire`, then the
    /// announcement, on which workers catch up. One caller at a time; the caller wakes the workers.
    pub fn publish<T: NumberedTable>(&self, table: Arc<T>, retire: impl FnOnce())
    where
        S: SharedSlot<T>,
    {
        let epoch = table.epoch();
        self.slot.store(table);
        self.number.store(epoch);
        retire();
        self.announced.store(epoch);
    }

    /// The newest announced number: workers that have acknowledged less have something to do.
    pub fn announced(&self) -> u64 {
        self.announced.load()
    }

    /// The newest published number.
    pub fn epoch(&self) -> u64 {
        self.number.load()
    }

    /// The newest table.
    pub fn load<T>(&self) -> Arc<T>
    where
        S: SharedSlot<T>,
    {
        self.slot.load()
    }

    /// The re-check: is this table's number still not behind? (A table loaded between the two stores of a publish is ahead.)
    pub fn is_current(&self, epoch: u64) -> bool {
        self.number.load() <= epoch
    }

    /// The cell that holds the table.
    pub fn slot(&self) -> &S {
        &self.slot
    }

    /// Begins a session: register, then re-check. `None`: a newer table was published, pick again (the place in the register is
    /// given up by dropping it).
    pub fn begin_session<P>(&self, epoch: u64, register: impl FnOnce() -> P) -> Option<P> {
        let place = register();
        self.is_current(epoch).then_some(place)
    }

    /// What a worker does when woken: read the announcement, load the newest table, sweep by it, and only then acknowledge
    /// **what was announced when it began**. The table may be newer than that (its publish has not got to the announcement):
    /// acknowledging the table's number would promise that no re-check passes on an older epoch and that everything is
    /// retired, and until the publish is done neither is so.
    pub fn catch_up<T>(&self, acknowledged: &impl SharedNumber, sweep: impl FnOnce(Arc<T>))
    where
        S: SharedSlot<T>,
    {
        let announced = self.announced.load();
        sweep(self.slot.load());
        acknowledged.store(announced);
    }
}
