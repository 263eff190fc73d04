//! A proxy that is the whole process: its log, its limits, what it does on signals, its memory.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use standfast::config::Config;
use standfast::decision::{Actor, ActorKind};
use standfast::proxy::DrainReport;
use standfast::sys::limits;
use standfast::sys::memory::{self, MemoryReserve};
use standfast::sys::process::ProcessUsage;
use standfast::telemetry::access::AccessLog;
use standfast::telemetry::logs::{self, LogError, Logs};
use standfast::{App, AppStartError};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::Signal;

use crate::signals::{Signals, next};

/// A running proxy and what it takes of the process.
pub struct ServerProcess {
    /// The proxy.
    pub app: App,
    // Dropped last: it writes what waits.
    logs: Logs,
}

/// Why the process could not start serving. Nothing of it runs on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The proxy.
    #[error(transparent)]
    App(#[from] AppStartError),
}

/// The runtime of the main thread: signals and waiting, nothing else.
///
/// # Errors
/// No descriptors are left.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl ServerProcess {
    /// Sets the log up, raises the limit of descriptors, and starts the proxy. It blocks, for seconds where names have to be
    /// looked up.
    ///
    /// # Errors
    /// An address is taken, a file cannot be written, a thread cannot be started: the message says which and what to do.
    pub fn start(config: Config, path: Option<PathBuf>) -> Result<ServerProcess, ServeError> {
        let logs = logs::start(&config.log)?;
        logs::report_panics();
        let descriptors = limits::raise_descriptors();
        if let Some(from) = descriptors.raised_from {
            tracing::debug!(from, limit = descriptors.limit, "the limit of descriptors was raised");
        }
        let builder = App::builder(config).log_counts(logs.counts());
        let builder = match path {
            Some(path) => builder.config_file(path),
            None => builder,
        };
        Ok(ServerProcess { app: builder.start()?, logs })
    }

    /// Obeys signals until one of them means stop. A reload in progress does not hold that up.
    ///
    /// # Errors
    /// The control plane has ended by itself: exit so that the supervisor restarts the process; the state is restored.
    pub async fn until_stopped(&self, signals: &mut Signals) -> Result<(), String> {
        let Signals { stop, hangup, reopen, reserved, .. } = signals;
        tokio::select! {
            biased;
            signal = stop.any() => {
                tracing::info!(signal = %signal, "stopping");
                Ok(())
            }
            () = self.app.ended() => Err("the control plane has ended by itself: nothing fails over".into()),
            never = self.reload_on(hangup) => match never {},
            never = reopen_on(reopen, self.app.access_log()) => match never {},
            never = report_reserved(reserved) => match never {},
            never = give_memory_back() => match never {},
        }
    }

    /// One reload at a time; signals that come during one are one further reload. The logs follow every
    /// configuration that is put into force, and after a refused reload the access log is opened again.
    async fn reload_on(&self, hangup: &mut Signal) -> Infallible {
        loop {
            tokio::select! {
                () = next(hangup) => {
                    if self.app.command_reload(hangup_actor()).await.is_ok() {
                        continue; // (the next turn hears of it)
                    }
                }
                // By this or another command.
                () = self.app.control().reloaded() => {}
            }
            // The log's filter does not wait for the access log, whose file may block.
            if let Err(problem) = self.logs.apply(&self.app.config().log) {
                tracing::error!(%problem, "the log's filter stays as it was");
            }
            let _ = self.app.follow_with_access_log().await;
        }
    }

    /// Stops accepting, lets work in flight finish within `drain_timeout`, persists, ends. A further SIGTERM or SIGINT ends the
    /// phase that runs.
    pub async fn stop(self, signals: &mut Signals) -> DrainReport {
        let ServerProcess { mut app, logs } = self;
        let (cut, access_log) = (app.drain_cut(), app.access_log().clone());
        tokio::select! {
            _ = signals.stop.phase("drain", app.drain(), || cut.now()) => {}
            never = reopen_on(&mut signals.reopen, &access_log) => match never {},
            never = report_reserved(&mut signals.reserved) => match never {},
        }
        let report = app.stop().await;
        drop(logs);
        report
    }
}

/// Opens the access log's file again on each SIGUSR1.
async fn reopen_on(reopen: &mut Signal, access_log: &AccessLog) -> Infallible {
    loop {
        next(reopen).await;
        let access_log = access_log.clone();
        // Opening a file may block (a FIFO without a reader, a network disk).
        let opened = tokio::task::spawn_blocking(move || access_log.reopen()).await;
        match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => tracing::info!("SIGUSR1: log files were opened again"),
            Err(problem) => tracing::error!(%problem, "SIGUSR1: the access log stays as it was"),
        }
    }
}

async fn report_reserved(reserved: &mut Signal) -> Infallible {
    loop {
        next(reserved).await;
        tracing::warn!("SIGUSR2 is reserved: nothing was done");
    }
}

/// Returns memory that the allocator kept after a peak to the system: the main thread has nothing else to do.
async fn give_memory_back() -> Infallible {
    const PAUSE: Duration = Duration::from_secs(10);
    let (process, mut reserve) = (ProcessUsage::now(), MemoryReserve::default());
    let mut least = u64::MAX;
    let unused = |resident: u64| memory::used_bytes().map(|used| resident.saturating_sub(used));
    if let Some(unused) = process.resident_bytes().and_then(unused) {
        reserve.look(unused);
    }
    loop {
        // (What is in use is counted only where there is much.)
        let resident = process.resident_bytes().unwrap_or(0);
        least = least.min(resident);
        if resident > least.saturating_add(MemoryReserve::MOST)
            && let Some(before) = unused(resident)
            && reserve.look(before)
        {
            memory::give_back();
            let left = process.resident_bytes().and_then(unused).unwrap_or(before);
            tracing::debug!(bytes = before.saturating_sub(left), "unused memory was given back");
            reserve.left(left);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The sender of SIGHUP: the system lets root and this process's user send it.
fn hangup_actor() -> Actor {
    Actor { kind: ActorKind::Signal, name: "SIGHUP".to_owned(), origin: None }
}
