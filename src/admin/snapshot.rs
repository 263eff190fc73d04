//! One snapshot of the engine for all readers of the admin port.
//!
//! Status and counts cost the engine a copy of both, between two events. Readers share one copy, and another one is taken after
//! [`MAX_AGE`] at the earliest, however many readers there are.
//!
//! **A read that follows a change sees it.** [`ControlHandle::changes`] grows before the caller of an order or a reload gets its
//! answer. A snapshot keeps the number from before the engine was asked for it, and is used only while the number is still the
//! same; and while `/readyz`, which is read live, says the same. (What the engine decides by itself, such as a failover, is seen
//! after [`MAX_AGE`] at the latest; the counts of workers are read live.)

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::control::{ChangeTally, ControlHandle, Status};
use crate::sys::clock;
use crate::time::MonoTime;

/// Longest age of a snapshot that is shown.
pub(super) const MAX_AGE: Duration = Duration::from_millis(250);
/// The engine answers between two events; one that takes longer is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The engine's status and counts.
#[derive(Debug)]
pub(super) struct EngineSnapshot {
    pub status: Status,
    pub tally: ChangeTally,
    /// [`ControlHandle::changes`] from before it was taken.
    changes: u64,
    taken: MonoTime,
}

/// The latest snapshot, and the way to another one.
#[derive(Debug)]
pub(super) struct EngineSnapshots {
    control: ControlHandle,
    /// Held while the engine is asked: readers that come meanwhile wait for the same answer.
    latest: Mutex<LatestSnapshot>,
}

#[derive(Debug, Default)]
struct LatestSnapshot {
    snapshot: Option<Arc<EngineSnapshot>>,
    /// When the engine last did not answer.
    failed: Option<MonoTime>,
}

impl EngineSnapshots {
    pub fn new(control: ControlHandle) -> EngineSnapshots {
        EngineSnapshots { control, latest: Mutex::default() }
    }

    /// A snapshot that shows every change answered before this call. `None`: the engine has stopped or is stuck. Cancel safe.
    pub async fn current(&self) -> Option<Arc<EngineSnapshot>> {
        let came = clock::now();
        let mut latest = self.latest.lock().await;
        if latest.failed.is_some_and(|failed| failed >= came) {
            return None;
        }
        if let Some(snapshot) = latest.snapshot.as_ref().filter(|snapshot| self.is_current(snapshot)) {
            return Some(Arc::clone(snapshot));
        }
        let snapshot = self.take().await.map(Arc::new);
        latest.failed = snapshot.is_none().then(clock::now);
        latest.snapshot.clone_from(&snapshot);
        snapshot
    }

    fn is_current(&self, snapshot: &EngineSnapshot) -> bool {
        let is_young = clock::now().since(snapshot.taken) < MAX_AGE;
        let is_complete = snapshot.changes == self.control.changes() && snapshot.status.ready == self.control.ready();
        is_young && is_complete && self.control.is_alive(PATIENCE)
    }

    async fn take(&self) -> Option<EngineSnapshot> {
        let (changes, taken) = (self.control.changes(), clock::now());
        let asked = async { tokio::try_join!(self.control.status(), self.control.tally()) };
        #[allow(
            clippy::disallowed_methods,
            reason = "four times a second, and once after each change; no worker pays for this timer"
        )]
        let answered = tokio::time::timeout(PATIENCE, asked).await.ok()?;
        let (status, tally) = answered.ok()?;
        Some(EngineSnapshot { status, tally, changes, taken })
    }
}
