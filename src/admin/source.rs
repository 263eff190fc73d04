//! Where pages and recorders read from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Semaphore;

use super::scrape::MetricsWalk;
use super::snapshot::{EngineSnapshot, EngineSnapshots, PATIENCE};
use crate::config::Reasons;
use crate::control::{ControlHandle, DecisionSnapshot};
use crate::sys::process::ProcessUsage;
use crate::telemetry::access::AccessLog;
use crate::telemetry::logs::LogCounts;

/// Everything that can be read. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct AdminSource(Arc<SourceParts>);

#[derive(Debug)]
struct SourceParts {
    control: ControlHandle,
    snapshots: EngineSnapshots,
    access_log: AccessLog,
    log: Option<LogCounts>,
    draining: Arc<AtomicBool>,
    process: ProcessUsage,
    /// One large page is made at a time.
    making: Arc<Semaphore>,
}

impl AdminSource {
    pub fn new(
        control: ControlHandle,
        access_log: AccessLog,
        log: Option<LogCounts>,
        draining: Arc<AtomicBool>,
    ) -> AdminSource {
        let (snapshots, making) = (EngineSnapshots::new(control.clone()), Arc::new(Semaphore::new(1)));
        AdminSource(Arc::new(SourceParts {
            control,
            snapshots,
            access_log,
            log,
            draining,
            process: ProcessUsage::now(),
            making,
        }))
    }

    /// The engine's status and counts; `None`: it has stopped or is stuck. Cancel safe.
    pub async fn snapshot(&self) -> Option<Arc<EngineSnapshot>> {
        self.0.snapshots.current().await
    }

    /// The whole state of the decision, taken now; `None`: the engine has stopped or is stuck. Cancel safe.
    pub async fn decision(&self) -> Option<Box<DecisionSnapshot>> {
        #[allow(clippy::disallowed_methods, reason = "only when it is asked for; no worker pays for this timer")]
        let answered = tokio::time::timeout(PATIENCE, self.0.control.decision()).await.ok()?;
        answered.ok()
    }

    /// The engine, for acts.
    pub fn control(&self) -> &ControlHandle {
        &self.0.control
    }

    /// Must an act say its reason?
    pub fn needs_reason(&self) -> bool {
        let table = self.0.control.published().load();
        table.config.admin.as_ref().is_none_or(|admin| admin.reasons == Reasons::Required)
    }

    /// The process is about to stop.
    pub fn draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    /// What `/readyz` says.
    pub fn ready(&self) -> bool {
        self.0.control.ready() && !self.draining()
    }

    /// The engine runs and comes round. Asks it nothing.
    pub fn is_alive(&self) -> bool {
        self.0.control.is_alive(PATIENCE)
    }

    /// Runs `make` on a thread for blocking work, after the large pages that were asked for before. `None`: it panicked. Cancel safe:
    /// one whose turn has not come is not made.
    pub async fn in_turn<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let turn = Arc::clone(&self.0.making).acquire_owned().await.ok()?;
        let making = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make()
        });
        making.await.ok()
    }

    /// What a walk over all metrics reads now.
    pub fn with_scrape<T>(&self, snapshot: Option<&EngineSnapshot>, read: impl FnOnce(&MetricsWalk<'_>) -> T) -> T {
        let published = self.0.control.published();
        let table = published.load();
        let acknowledged: Vec<u64> = (0..published.workers()).map(|worker| published.acknowledged(worker)).collect();
        read(&MetricsWalk {
            table: &table,
            acknowledged: &acknowledged,
            tally: snapshot.map(|snapshot| &snapshot.tally),
            status: snapshot.map(|snapshot| &snapshot.status),
            access_log: self.0.access_log.counts(),
            log: self.0.log.as_ref().map(LogCounts::now).unwrap_or_default(),
            ready: self.ready(),
            process: &self.0.process,
        })
    }
}
