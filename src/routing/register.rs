//! The sessions of one worker, so that a switch finds them. Worker-local: no locks, no atomics.

use std::cell::RefCell;
use std::rc::Rc;

use super::table::{PoolTerm, RoutingTable, SessionVerdict};
use crate::decision::EndpointId;
use crate::time::MonoTime;

/// What the register knows of a session.
#[derive(Debug)]
pub struct SessionEntry<S> {
    /// The activation of its pool under which it began.
    pub pool_term: PoolTerm,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// When it must end, once its pool was left or its endpoint taken away.
    pub until: Option<MonoTime>,
    /// How to reach it.
    pub session: S,
}

/// All sessions of one worker. Register first, then re-check the epoch
/// ([`WorkerView::is_current`](super::WorkerView::is_current)); sweep after taking up a newer table. Then either the session
/// sees the new epoch or the sweep sees the session.
#[derive(Debug)]
pub struct SessionRegister<S> {
    entries: RefCell<Vec<Option<SessionEntry<S>>>>,
    free: RefCell<Vec<usize>>,
}

impl<S> Default for SessionRegister<S> {
    fn default() -> Self {
        SessionRegister { entries: RefCell::default(), free: RefCell::default() }
    }
}

impl<S> SessionRegister<S> {
    /// Empty.
    pub fn new() -> Rc<SessionRegister<S>> {
        Rc::default()
    }

    /// Enters a session; it leaves when the guard is dropped.
    pub fn register(self: &Rc<Self>, pool_term: PoolTerm, endpoint: EndpointId, session: S) -> RegisteredSession<S> {
        let entry = Some(SessionEntry { pool_term, endpoint, until: None, session });
        let mut entries = self.entries.borrow_mut();
        let place = match self.free.borrow_mut().pop() {
            Some(place) => {
                entries[place] = entry;
                place
            }
            None => {
                entries.push(entry);
                entries.len() - 1
            }
        };
        RegisteredSession { register: Rc::clone(self), place }
    }

    /// Judges every session by a newer table. `tell` gets what is new about those whose pool was left or fenced, or whose endpoint was
    /// taken away: to be reset at once, to be reset at a time (each time that changes, so usually once), or to stay after all (its
    /// pool was fenced and not left). `tell` must not touch the register.
    pub fn sweep(&self, table: &RoutingTable, now: MonoTime, mut tell: impl FnMut(&S, SessionVerdict)) {
        for entry in self.entries.borrow_mut().iter_mut().flatten() {
            let verdict = table.verdict(&entry.pool_term, entry.endpoint, now);
            match verdict {
                SessionVerdict::Stay { since } => {
                    entry.pool_term.since = since;
                    if entry.until.take().is_some() {
                        tell(&entry.session, verdict);
                    }
                }
                SessionVerdict::Close => tell(&entry.session, verdict),
                SessionVerdict::Drain { until } if entry.until.is_none_or(|earlier| until < earlier) => {
                    entry.until = Some(until);
                    tell(&entry.session, verdict);
                }
                SessionVerdict::Drain { .. } => {}
            }
        }
    }

    /// Sessions of this worker.
    pub fn len(&self) -> usize {
        self.entries.borrow().len() - self.free.borrow().len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A session's place in the register.
#[derive(Debug)]
pub struct RegisteredSession<S> {
    register: Rc<SessionRegister<S>>,
    place: usize,
}

impl<S> Drop for RegisteredSession<S> {
    fn drop(&mut self) {
        self.register.entries.borrow_mut()[self.place] = None;
        self.register.free.borrow_mut().push(self.place);
    }
}
