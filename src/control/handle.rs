//! [`ControlHandle`]: how the rest of the process talks to the engine. Every call is a message with a bounded queue before
//! the engine; the engine answers between two events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};

use super::discovery::{self, LookupOutcome};
use super::pulse::EnginePulse;
use super::records::notices::{ChangeNotice, NoticeSink};
use super::records::record::RecordId;
use super::records::ring::{RecordPage, RecordReader};
use super::{ChangeTally, Status, materials, surroundings};
use crate::config::{self, Config, Question};
use crate::decision::{Act, ActOutcome, ActRefusal};
use crate::routing::{Published, TlsAssets};

/// Commands that may wait for the engine.
pub(super) const COMMANDS: usize = 64;

/// Speaks to the engine from any thread. When the last handle is dropped without [`ControlHandle::stop`], the engine ends
/// as in a crash: what was persisted before is what the next process finds.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    pub(super) commands: mpsc::Sender<EngineCommand>,
    pub(super) notices: NoticeSink,
    pub(super) records: RecordReader,
    pub(super) published: Arc<Published>,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) pulse: Arc<EnginePulse>,
    pub(super) path: Option<Arc<PathBuf>>,
    /// One reload at a time, in the order in which they were asked for.
    pub(super) reloading: Arc<Mutex<()>>,
}

/// What the engine is asked for.
#[derive(Debug)]
pub(super) enum EngineCommand {
    Apply {
        config: Box<Config>,
        answers: Vec<(Question, LookupOutcome)>,
        materials: TlsAssets,
        warnings: Vec<String>,
        reply: oneshot::Sender<Result<Reloaded, ControlError>>,
    },
    Refuse {
        problem: String,
        reply: oneshot::Sender<Result<Reloaded, ControlError>>,
    },
    Act(Act, oneshot::Sender<ActOutcome>),
    Status(oneshot::Sender<Status>),
    Tally(oneshot::Sender<ChangeTally>),
    Stop(oneshot::Sender<()>),
}

/// A configuration was put into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The epoch that published it.
    pub epoch: u64,
    /// What it asks for and does not get without a restart; what the reader of the file warned of.
    pub warnings: Vec<String>,
}

/// Why the engine did not do as asked. The text is complete: every problem, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The configuration cannot be put into force; nothing has changed.
    #[error("{0}")]
    Reload(String),
    /// The act cannot be carried out; nothing has changed.
    #[error("{0}")]
    Refused(ActRefusal),
    /// The control plane has ended.
    #[error("the control plane has stopped")]
    Stopped,
}

impl ControlHandle {
    /// Read the configuration file again and put it into force, all of it or nothing. A refusal changes nothing; its
    /// text has every problem. The file is read on a thread for blocking work, so no decision waits for the disk.
    pub async fn reload(&self) -> Result<Reloaded, ControlError> {
        let _turn = self.reloading.lock().await;
        self.put_into_force(self.read().await).await
    }

    async fn read(&self) -> Result<(Box<Config>, Vec<String>), String> {
        let path = self.path.clone().ok_or("started without a configuration file: there is nothing to reload")?;
        let reading = tokio::task::spawn_blocking(move || config::load(&path));
        let loaded = reading.await.map_err(|error| format!("reading the configuration failed: {error}"))?;
        let loaded = loaded.map_err(|problems| problems.to_string())?;
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok((Box::new(loaded.config), warnings))
    }

    /// Put this configuration into force, all of it or nothing.
    pub async fn apply(&self, config: Config) -> Result<Reloaded, ControlError> {
        let _turn = self.reloading.lock().await;
        self.put_into_force(Ok((Box::new(config), Vec::new()))).await
    }

    async fn put_into_force(&self, read: Result<(Box<Config>, Vec<String>), String>) -> Result<Reloaded, ControlError> {
        let ready = match read {
            Ok((config, warnings)) => self.with_materials(config, warnings).await,
            Err(problem) => Err(problem),
        };
        match ready {
            Ok((config, materials, warnings)) => {
                let known = discovery::questions(&self.published.load().config);
                let answers = discovery::first_answers(&config, &known, &BTreeSet::new()).await;
                self.ask(|reply| EngineCommand::Apply { config, answers, materials, warnings, reply }).await?
            }
            Err(problem) => self.ask(|reply| EngineCommand::Refuse { problem, reply }).await?,
        }
    }

    /// The files that the configuration names are read again every time, on a thread for blocking work too.
    async fn with_materials(
        &self,
        config: Box<Config>,
        mut warnings: Vec<String>,
    ) -> Result<(Box<Config>, TlsAssets, Vec<String>), String> {
        let before = Arc::clone(&self.published.load().materials);
        let reading = tokio::task::spawn_blocking(move || {
            (materials::load(&config, &before), surroundings::warnings(&config), config)
        });
        let (read, here, config) = reading.await.map_err(|error| format!("reading certificates failed: {error}"))?;
        let read = read.map_err(|problems| problems.join("\n"))?;
        warnings.extend(read.warnings);
        warnings.extend(here);
        Ok((config, read.materials, warnings))
    }

    /// Carry out an act. A refusal is the error [`ControlError::Refused`]. Dropped before it is done, the act may still be carried
    /// out.
    pub async fn order(&self, act: Act) -> Result<ActOutcome, ControlError> {
        match self.ask(|reply| EngineCommand::Act(act, reply)).await? {
            ActOutcome::Refused(refusal) => Err(ControlError::Refused(refusal)),
            outcome => Ok(outcome),
        }
    }

    /// Acts and configurations that were answered, refused ones included. It grows before the caller gets the answer: whatever is
    /// asked for while it stays the same shows all of them.
    pub fn changes(&self) -> u64 {
        self.pulse.changes()
    }

    /// The engine runs, and came round within this time. It comes round every 50 ms; nothing is asked of it.
    pub fn is_alive(&self, within: Duration) -> bool {
        !self.commands.is_closed() && self.pulse.age() <= within
    }

    /// The state for people.
    pub async fn status(&self) -> Result<Status, ControlError> {
        self.ask(EngineCommand::Status).await
    }

    /// The counts for machines.
    pub async fn tally(&self) -> Result<ChangeTally, ControlError> {
        self.ask(EngineCommand::Tally).await
    }

    /// A page of the newest records: those behind `after`, or from the first one of this life. A reader goes on with
    /// [`next`](RecordPage::next). The last 4,096 records are kept, and 4 MiB of them at most; a reader that is slower than that, or
    /// asks for a record of another life, learns of the gap. The engine waits for no reader.
    pub fn records(&self, after: Option<RecordId>) -> RecordPage {
        self.records.page(after)
    }

    /// The same page as of [`records`](ControlHandle::records), as soon as there is something behind `after`. A page without records
    /// says that the engine has ended, and that there is nothing more. Cancel safe.
    pub async fn records_after(&self, after: Option<RecordId>) -> RecordPage {
        self.records.wait(after).await
    }

    /// The number of the newest record, as it grows; 0 before the first one. Those of before the call count as a change that was not
    /// seen yet, and after the engine's end waiting for a change fails.
    pub fn newest_record(&self) -> watch::Receiver<u64> {
        self.records.newest()
    }

    /// Hear of everything from now on. A subscriber that is too slow misses notices and learns how many; the engine
    /// never waits. What must not be missed is read by [`records`](ControlHandle::records).
    pub fn subscribe(&self) -> broadcast::Receiver<ChangeNotice> {
        self.notices.subscribe()
    }

    /// Every service has made its first choice (or found that there is nothing to choose) and every worker has taken it
    /// up. Once true, it stays true.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The published table.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Persist the state and end. Returns when it is on disk (or has failed, which is logged).
    pub async fn stop(&self) {
        let _ = self.ask(EngineCommand::Stop).await;
    }

    /// Returns when the control plane has ended, wanted or not.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> EngineCommand) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ControlError::Stopped)?;
        answer.await.map_err(|_| ControlError::Stopped)
    }
}
