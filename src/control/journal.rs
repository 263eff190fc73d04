//! A journal of everything the core was told, in memory: replayed into a fresh [`Decision`](crate::decision::Decision), it
//! gives the same state. For tests and, later, for drills.

use std::sync::{Arc, Mutex, PoisonError};

use crate::decision::Event;
use crate::time::MonoTime;

/// Entries that are kept; later ones are not recorded.
const MOST: usize = 1_000_000;

/// What the core was told, and when. `None` = a tick.
pub type JournalEntry = (Option<Event>, MonoTime);

/// Entries, oldest first; clones write to the same journal.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<JournalEntry>>>);

impl Journal {
    /// Everything so far, oldest first.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn record(&self, event: Option<Event>, now: MonoTime) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() < MOST {
            entries.push((event, now));
        }
    }
}
