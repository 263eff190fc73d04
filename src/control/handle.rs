//! [`ControlHandle`]: how the rest of the process talks to the engine. Every call is a message with a bounded queue before
//! the engine; the engine answers between two events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, broadcast, mpsc, oneshot, watch};

use super::act_report::{ActOrder, ActReport, ServiceMark};
use super::audit::{AuditError, AuditHandle};
use super::decision_snapshot::DecisionSnapshot;
use super::discovery::{self, LookupOutcome};
use super::pulse::EnginePulse;
use super::records::notices::{ChangeNotice, NoticeSink};
use super::records::record::{ChangeRecord, RecordId};
use super::records::ring::{RecordPage, RecordReader};
use super::{ChangeTally, StandingTroubles, Status, materials, surroundings};
use crate::access::ActPermit;
use crate::config::{self, Config, Question};
use crate::decision::{Act, ActCommand, ActOutcome, ActRefusal};
use crate::routing::{Published, TlsAssets};
use crate::sys::clock;

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
    pub(super) reloads: Arc<Notify>,
    pub(super) path: Option<Arc<PathBuf>>,
    pub(super) audit: Option<AuditHandle>,
    pub(super) standing: StandingTroubles,
    /// One reload at a time, in the order in which they were asked for.
    pub(super) reloading: Arc<Mutex<()>>,
}

/// A configuration that was put into force, and the act that asked for it.
pub(super) type ReloadAnswer = Result<(Reloaded, Option<ActReport>), ControlError>;

/// What the engine is asked for.
#[derive(Debug)]
pub(super) enum EngineCommand {
    Reload(Box<ReloadOrder>, oneshot::Sender<ReloadAnswer>),
    Act(Box<ActOrder>, oneshot::Sender<ActReport>),
    Status(oneshot::Sender<Status>),
    Decision(oneshot::Sender<Box<DecisionSnapshot>>),
    Tally(oneshot::Sender<ChangeTally>),
    Stop(oneshot::Sender<()>),
}

/// A configuration that was read, or why it cannot be put into force; and the act that asks for it.
#[derive(Debug)]
pub(super) struct ReloadOrder {
    pub read: Result<ReadConfig, String>,
    pub act: Option<Act>,
}

/// A configuration with all that was read for it.
#[derive(Debug)]
pub(super) struct ReadConfig {
    pub config: Box<Config>,
    pub answers: Vec<(Question, LookupOutcome)>,
    pub materials: TlsAssets,
    pub warnings: Vec<String>,
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
    /// The act cannot be put on record, and without that it may not be carried out; nothing has changed.
    #[error("not carried out, because it cannot be put on record (audit.on_error: refuse_acts): {0}")]
    NotRecorded(AuditError),
    /// The control plane has ended.
    #[error("the control plane has stopped")]
    Stopped,
}

impl ControlHandle {
    /// Read the configuration file again and put it into force, all of it or nothing. A refusal changes nothing; its
    /// text has every problem. The file is read on a thread for blocking work, so no decision waits for the disk. The permit is that of
    /// the command [`ActCommand::Reload`].
    pub async fn reload(&self, permit: ActPermit) -> Result<Reloaded, ControlError> {
        if permit.act().command != ActCommand::Reload {
            return Err(ControlError::Reload("this permit is not for a reload".to_owned()));
        }
        let act = self.admitted(permit).await?;
        let (reloaded, report) = self.reload_by(act).await?;
        // (One that is sent again has its answer of then.)
        match report.map(Self::carried_out) {
            Some(Err(refused)) => Err(refused),
            _ => Ok(reloaded),
        }
    }

    async fn reload_by(&self, act: Act) -> ReloadAnswer {
        let _turn = self.reloading.lock().await;
        self.put_into_force(self.read().await, Some(act)).await
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
        Ok(self.put_into_force(Ok((Box::new(config), Vec::new())), None).await?.0)
    }

    async fn put_into_force(&self, read: Result<(Box<Config>, Vec<String>), String>, act: Option<Act>) -> ReloadAnswer {
        let ready = match read {
            Ok((config, warnings)) => self.with_materials(config, warnings).await,
            Err(problem) => Err(problem),
        };
        let read = match ready {
            Ok((config, materials, warnings)) => {
                let known = discovery::questions(&self.published.load().config);
                let answers = discovery::first_answers(&config, &known, &BTreeSet::new()).await;
                Ok(ReadConfig { config, answers, materials, warnings })
            }
            Err(problem) => Err(problem),
        };
        self.ask(|reply| EngineCommand::Reload(Box::new(ReloadOrder { read, act }), reply)).await?
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

    /// Carry out an act that is permitted; there is no other way to command the engine. A refusal is the error
    /// [`ControlError::Refused`]; a service that has not the expected mark is one, too. Where there is an
    /// audit log, the act is on disk there before the engine hears of it. Dropped before it is done, the act may still be carried out.
    pub async fn act(&self, permit: ActPermit, expects: Option<ServiceMark>) -> Result<ActReport, ControlError> {
        let act = self.admitted(permit).await?;
        if act.command == ActCommand::Reload {
            let (_, report) = self.reload_by(act).await?;
            return Self::carried_out(report.ok_or(ControlError::Stopped)?);
        }
        self.order(ActOrder { act, expects, dry: false }).await
    }

    /// A permitted act that is on record.
    async fn admitted(&self, permit: ActPermit) -> Result<Act, ControlError> {
        let act = permit.into_act();
        if let Some(audit) = &self.audit {
            audit.admit(&act).await.map_err(ControlError::NotRecorded)?;
        }
        Ok(act)
    }

    /// What the same act would bring about now: it is carried out on a copy of the core, and nothing changes. The audit log has that it
    /// was asked for.
    pub async fn rehearse(&self, permit: ActPermit, expects: Option<ServiceMark>) -> Result<ActReport, ControlError> {
        let act = permit.into_act();
        if let Some(audit) = &self.audit {
            audit.rehearsed(&act);
        }
        self.order(ActOrder { act, expects, dry: true }).await
    }

    async fn order(&self, order: ActOrder) -> Result<ActReport, ControlError> {
        Self::carried_out(self.ask(|reply| EngineCommand::Act(Box::new(order), reply)).await?)
    }

    fn carried_out(report: ActReport) -> Result<ActReport, ControlError> {
        match report.outcome {
            ActOutcome::Refused(refusal) => Err(ControlError::Refused(refusal)),
            _ => Ok(report),
        }
    }

    /// Waits until a configuration is put into force. One that was put into force since the last call counts. For one caller. Cancel
    /// safe.
    pub async fn reloaded(&self) {
        self.reloads.notified().await;
    }

    /// Waits until every worker has taken up the table of this epoch, or a newer one. False: not within this time. Cancel safe.
    pub async fn acknowledged(&self, epoch: u64, within: Duration) -> bool {
        /// Between two looks; workers need some ten microseconds.
        const LOOK: Duration = Duration::from_micros(500);
        let begun = clock::now();
        while !self.published.all_acknowledged(epoch) {
            if clock::now().since(begun) >= within {
                return false;
            }
            #[allow(
                clippy::disallowed_methods,
                reason = "only while an act is answered; no worker pays for this timer"
            )]
            tokio::time::sleep(LOOK).await;
        }
        true
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

    /// The whole state of the decision. The engine copies it between two events; writing it is the caller's.
    pub async fn decision(&self) -> Result<Box<DecisionSnapshot>, ControlError> {
        self.ask(EngineCommand::Decision).await
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

    /// The newest record that is still kept and is one of these. The engine waits while references are copied, not for the search.
    pub fn find_record(&self, is_it: impl FnMut(&ChangeRecord) -> bool) -> Option<Arc<ChangeRecord>> {
        self.records.find(is_it)
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

    /// Where other rooms say what is wrong with the instance; the status shows it.
    pub fn standing_troubles(&self) -> &StandingTroubles {
        &self.standing
    }

    /// The audit log; `None` = there is none.
    pub fn audit(&self) -> Option<&AuditHandle> {
        self.audit.as_ref()
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
