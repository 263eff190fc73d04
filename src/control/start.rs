//! The start of the control plane: everything that can fail happens here, in the caller's thread, before anything serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};

use super::audit::OpenAuditLog;
use super::discovery::{self, Discovery, Remembered};
use super::engine::Engine;
use super::fences::FenceWatch;
use super::file_writer::FileWriter;
use super::handle::{COMMANDS, ControlHandle};
use super::instance::instance_name;
use super::journal::JournalWriter;
use super::listening;
use super::materials;
use super::pulse::EnginePulse;
use super::records::Records;
use super::records::notices::{ControlTrouble, NoticeSink};

use super::reload::{self, FixedAtStart};
use super::state::{self, LoadedState, StateWriter};
use super::surroundings;
use super::sweep::CounterSweep;
use super::troubles::StandingTroubles;
use crate::config::{Config, JournalFile, Service, StateFile};
use crate::decision::{Decision, Effect, Event, InstanceLife, Serving};
use crate::net::BindError;
use crate::routing::{Published, RoutingTable, SocketMap, TlsAssets};
use crate::sys::clock;
use crate::time::MonoTime;

/// What the control plane starts with.
#[derive(Debug)]
pub struct ControlSetup {
    /// The first configuration.
    pub config: Config,
    /// The file it came from, for reloads; `None` = there is none.
    pub path: Option<PathBuf>,
    /// Data-plane threads: sockets and counters are made for so many.
    pub workers: usize,
}

/// Why the control plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate, key or CA is not to be had: every problem, one a line.
    #[error("{0}")]
    TlsAssets(String),
    /// The audit log cannot be kept.
    #[error("{0}")]
    Audit(String),
    /// A thread or its runtime could not be started.
    #[error("cannot start the control thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Read certificates, bind every listener, restore the state, publish the first table, and start the thread `control`. The data plane may
/// begin to serve from [`ControlHandle::published`] as soon as this returns.
pub fn start(setup: ControlSetup) -> Result<ControlHandle, StartError> {
    let ControlSetup { config, path, workers } = setup;
    let declared = Arc::new(config);
    let read = materials::load(&declared, &TlsAssets::default())
        .map_err(|problems| StartError::TlsAssets(problems.join("\n")))?;
    read.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    surroundings::warnings(&declared).iter().for_each(|warning| tracing::warn!("{warning}"));
    let materials = Arc::new(read.materials);
    let instance = instance_name(&declared);
    // Before anything else: two instances with one log are told so, and not that an address is taken.
    let log = declared.audit.as_ref().map(|audit| OpenAuditLog::open(audit, &instance).map(|log| (audit, log)));
    let log = log.transpose().map_err(StartError::Audit)?;
    let sockets = reload::bind(&declared, &SocketMap::new(), workers)?;
    let notices = NoticeSink::new();
    let mut files = FileWriter::default();
    let writer = declared.state.as_ref().map(|file| writer(&mut files, file, notices.clone())).transpose()?;
    let mut troubles = Vec::new();
    let (decision, remembered) = restore(&declared, &mut troubles);
    let first = discovery::first_answers_blocking(&declared, &remembered)?;
    let discovery = Discovery::new(declared.clone(), first, remembered);
    let config = discovery.effective(None);

    let mut records = Records::begin(instance.clone(), notices.clone());
    let mut decision = decision.of_life(records.life());
    let now = clock::now();
    decision.handle(Event::Configured(config.clone()), now);
    let mut begun = decision.effects();
    begun.retain(|effect| *effect != Effect::Publish);
    let conclusions = decision.table();
    let table = RoutingTable::build(&config, &conclusions, None, &sockets, &materials, workers, now);
    listening::report(&[], &listening::lines(&table));
    let published = Published::new(table, workers);

    let (commands, inbox) = mpsc::channel(COMMANDS);
    let path = path.map(Arc::new);
    records.tally.loaded();
    let begins = (records.life(), &decision);
    let journal =
        declared.journal.as_ref().map(|file| journal(&mut files, file, begins, notices.clone())).transpose()?;
    let audit = log.map(|(file, log)| {
        let notices = notices.clone();
        log.start(file, &instance, records.life(), move |problem| {
            tracing::error!(%problem, "the audit log cannot be written: acts are not on record");
            notices.trouble(ControlTrouble::AuditNotWritten(problem));
        })
    });
    let audit = audit.transpose()?;
    audit.iter().for_each(|audit| records.audit(audit.handle().clone()));
    let ready = Arc::default();
    let pulse = Arc::new(EnginePulse::new());
    let reloads = Arc::new(Notify::new());
    let standing = StandingTroubles::default();
    let handle = ControlHandle {
        commands,
        notices,
        records: records.reader(),
        published: published.clone(),
        ready: Arc::clone(&ready),
        pulse: Arc::clone(&pulse),
        reloads: Arc::clone(&reloads),
        path: path.clone(),
        audit: audit.as_ref().map(|audit| audit.handle().clone()),
        standing: standing.clone(),
        reloading: Arc::new(Mutex::new(())),
    };
    let chosen = conclusions.services.iter().all(|row| row.serving != Serving::Starting).then_some(conclusions.epoch);
    let engine = Engine {
        fixed: FixedAtStart::of(&config),
        decision,
        config,
        discovery,
        path,
        workers,
        published,
        sockets,
        materials,
        warned_of_expiry: now,
        ready,
        pulse,
        reloads,
        writer,
        persisted: now,
        journal,
        files,
        audit,
        records,
        places: Default::default(),
        sweep: CounterSweep::default(),
        fences: FenceWatch::default(),
        begun,
        started_unix_ms: clock::unix_millis(),
        last_reload: None,
        troubles,
        standing,
        chosen,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("control".into()).spawn(move || {
        // The engine is dropped first: when the handles learn of its end, what it handed to its files is written.
        let (mut inbox, mut engine) = (inbox, engine);
        runtime.block_on(engine.run(&mut inbox));
    })?;
    Ok(handle)
}

fn writer(files: &mut FileWriter, file: &StateFile, notices: NoticeSink) -> std::io::Result<StateWriter> {
    StateWriter::new(files, file.path.clone(), move |problem| {
        tracing::error!(%problem, "the state cannot be written: decisions will not survive a restart");
        notices.trouble(ControlTrouble::StateNotWritten(problem));
    })
}

/// Everything the core is told from now on. All effects of this decision are taken.
fn journal(
    files: &mut FileWriter,
    file: &JournalFile,
    begins: (InstanceLife, &Decision),
    notices: NoticeSink,
) -> std::io::Result<JournalWriter> {
    JournalWriter::begin(files, file, begins, move |problem| {
        tracing::error!(%problem, "the journal cannot be written: decisions cannot be replayed");
        notices.trouble(ControlTrouble::JournalNotWritten(problem));
    })
}

/// The core with what an earlier process knew, as old as it is by now; and what names stood for then.
fn restore(config: &Config, troubles: &mut Vec<String>) -> (Decision, Remembered) {
    let now = clock::now();
    let Some(file) = &config.state else { return (Decision::new(None, now), Remembered::new()) };
    let decision = match state::load(file) {
        LoadedState::Usable { saved, names, age, reserve, left_out } => {
            if let Some(problem) = reserve {
                tracing::error!(%problem, age = %rounded(age), "the state file cannot be used: the one before it is restored");
                troubles
                    .push(format!("the state file could not be used at the start, the one before it was: {problem}"));
            }
            say_left_out(&left_out, troubles);
            tracing::info!(path = %file.path.display(), age = %rounded(age), "state restored");
            return (Decision::new(Some(saved.aged(age)), now), names);
        }
        LoadedState::Absent => {
            tracing::info!(path = %file.path.display(), "no state yet: this is the first start");
            Decision::new(None, now)
        }
        LoadedState::Stale { age } => {
            let limit = rounded(file.max_age);
            tracing::warn!(
                path = %file.path.display(), age = %rounded(age), max_age = %limit,
                "the state is too old by this machine's clock: not restored; active pools, hold-downs, freezes and pins are forgotten"
            );
            troubles.push(format!(
                "the state file was {} old at the start by this machine's clock, more than state.max_age, and was not restored",
                rounded(age)
            ));
            without_state(config, now)
        }
        LoadedState::Damaged(problem) => {
            tracing::error!(%problem, "the state cannot be used: active pools, hold-downs, freezes and pins are forgotten");
            troubles.push(format!("the state file could not be used at the start: {problem}"));
            without_state(config, now)
        }
    };
    (decision, Remembered::new())
}

/// Entries of the state that cannot be used: each is a line of the log, and the first ones stand in the status.
fn say_left_out(left_out: &[String], troubles: &mut Vec<String>) {
    const SAID: usize = 20;
    const SHOWN: usize = 3;
    for entry in left_out.iter().take(SAID) {
        tracing::error!(entry, "an entry of the state cannot be used: what it says is forgotten, all else is restored");
    }
    if left_out.is_empty() {
        return;
    }
    if left_out.len() > SAID {
        tracing::error!(more = left_out.len() - SAID, "further entries of the state cannot be used");
    }
    let shown = left_out[..left_out.len().min(SHOWN)].join("; ");
    let more = if left_out.len() > SHOWN { "; …" } else { "" };
    let count = left_out.len();
    troubles.push(format!("{count} entries of the state file could not be used at the start: {shown}{more}"));
}

/// What was known is lost. A service that only an operator may bring home may have been away: say so.
fn without_state(config: &Config, now: MonoTime) -> Decision {
    let manual = |service: &&Arc<Service>| service.failover.failback.mode == crate::config::FailbackMode::Manual;
    for service in config.services.iter().filter(manual) {
        tracing::error!(service = %service.name, "manual failback without a state: starts on the first pool that passes; check where it should be");
    }
    Decision::new(None, now)
}

fn rounded(span: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(span.as_secs()))
}
