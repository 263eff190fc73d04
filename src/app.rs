//! The whole proxy, put together: logs, control plane, data plane, admin port; what it does on signals; its end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use standfast::admin::{self, AdminError, AdminHandle, AdminSetup};
use standfast::config::Config;
use standfast::control::{self, ControlHandle, ControlSetup};
use standfast::proxy::{self, DrainReport, ProxyHandle, ProxySetup};
use standfast::sys::clock;
use standfast::sys::limits;
use standfast::sys::memory::{self, Reserve};
use standfast::sys::process::Process;
use standfast::telemetry::access::AccessLog;
use standfast::telemetry::logs::{self, LogError, Logs};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::Signal;
use tracing::field::display;

use crate::signals::{Signals, next};

/// Longest wait for the last access-log lines at the end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A running proxy.
pub struct App {
    /// Asks and orders the engine.
    pub control: ControlHandle,
    proxy: ProxyHandle,
    admin: AdminHandle,
    access_log: AccessLog,
    // Dropped last: it writes what waits.
    logs: Logs,
}

/// Why the proxy could not start. Nothing of it runs on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The listeners or the control thread.
    #[error(transparent)]
    Control(#[from] control::StartError),
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The access log or the workers.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The runtime of the main thread: signals and waiting, nothing else.
///
/// # Errors
/// No descriptors are left.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl App {
    /// Starts everything. It blocks, for seconds where names have to be looked up.
    ///
    /// # Errors
    /// An address is taken, a file cannot be written, a thread cannot be started: the message says which and what to do.
    pub fn start(config: Config, path: Option<PathBuf>) -> Result<App, StartError> {
        let logs = logs::start(&config.log)?;
        logs::report_panics();
        let descriptors = limits::raise_descriptors();
        if let Some(from) = descriptors.raised_from {
            tracing::debug!(from, limit = descriptors.limit, "the limit of descriptors was raised");
        }
        clock::watch_for_pauses()?;
        let access_log = AccessLog::start(config.access_log.as_ref())?;
        let workers = config.workers.unwrap_or_else(available_cores);
        let (admin, metrics) = (config.admin.as_ref().map(|admin| admin.bind), config.metrics);
        let shown = path.as_deref().map(|path| path.display().to_string());
        let control = control::start(ControlSetup { config, path, workers, journal: None })?;
        let setup = AdminSetup {
            admin,
            metrics,
            control: control.clone(),
            access_log: access_log.clone(),
            log: Some(logs.counts()),
        };
        let admin = admin::start(setup)?;
        let setup = ProxySetup { published: control.published().clone(), access_log: access_log.clone() };
        let proxy = proxy::start(setup)?;
        let (version, config) = (display(env!("CARGO_PKG_VERSION")), shown.map(display));
        tracing::info!(version, workers, admin = admin.address().map(display), config, "started");
        Ok(App { control, proxy, admin, access_log, logs })
    }

    /// Where this listener really listens (its first address).
    pub fn listening(&self, listener: &str) -> Option<SocketAddr> {
        let table = self.control.published().load();
        let view = table.listeners.iter().find(|view| &*view.config.name == listener)?;
        view.sockets.bound().first().map(|bound| bound.local)
    }

    /// Where the admin port really listens.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.address()
    }

    /// Obeys signals until one of them means stop. A reload in progress does not hold that up.
    ///
    /// # Errors
    /// The control plane has ended by itself: whoever restarts us gets a proxy that fails over again, with the state of
    /// before.
    pub async fn until_stopped(&self, signals: &mut Signals) -> Result<(), String> {
        let Signals { stop, hangup, reopen, reserved, .. } = signals;
        tokio::select! {
            biased;
            signal = stop.any() => {
                tracing::info!(signal = %signal, "stopping");
                Ok(())
            }
            () = self.control.ended() => Err("the control plane has ended by itself: nothing fails over".into()),
            never = self.reload_on(hangup) => match never {},
            never = reopen_on(reopen, &self.access_log) => match never {},
            never = report_reserved(reserved) => match never {},
            never = give_memory_back() => match never {},
        }
    }

    /// One reload at a time; signals that come during one are one further reload.
    async fn reload_on(&self, hangup: &mut Signal) -> Infallible {
        loop {
            next(hangup).await;
            self.reload().await;
        }
    }

    /// Reads the configuration again. The engine says how that went; the logs follow what is then in force, and their
    /// files are opened anew, so that they may be rotated.
    async fn reload(&self) {
        let _ = self.control.reload().await;
        let config = self.control.published().load().config.clone();
        if let Err(problem) = self.logs.apply(&config.log) {
            tracing::error!(%problem, "the log's filter stays as it was");
        }
        let access_log = self.access_log.clone();
        let applied = on_file(move || access_log.apply(config.access_log.as_ref())).await;
        if let Err(problem) = applied {
            tracing::error!(%problem, "the access log stays as it was");
        }
    }

    /// Stops accepting, lets work in flight finish within `drain_timeout`, persists, ends. A further SIGTERM or SIGINT ends the
    /// phase that runs.
    pub async fn stop(self, signals: &mut Signals) -> DrainReport {
        let App { control, proxy, admin, access_log, logs } = self;
        admin.draining();
        let table = control.published().load();
        let timeout = table.config.drain_timeout;
        let in_flight: usize = table.services.iter().map(|service| service.stats.limits.in_use()).sum();
        drop(table);
        tracing::info!(in_flight, up_to = %humantime::format_duration(timeout), "draining");
        let cut = proxy.drain_cut();
        // Draining blocks until the workers are done; the control plane goes on meanwhile.
        let draining = tokio::task::spawn_blocking(move || proxy.drain(timeout));
        let report = tokio::select! {
            report = signals.stop.phase("drain", draining, || cut.now()) => report.unwrap_or_default(),
            never = reopen_on(&mut signals.reopen, &access_log) => match never {},
            never = report_reserved(&mut signals.reserved) => match never {},
        };
        control.stop().await;
        let _ = tokio::task::spawn_blocking(move || admin.stop()).await;
        access_log.finish(LAST_LINES);
        match report.cut {
            0 => tracing::info!(finished = report.finished, "stopped: nothing was cut"),
            cut => tracing::warn!(finished = report.finished, cut, "stopped: the drain ended before all work did"),
        }
        drop(logs);
        report
    }
}

/// Opens the access log's file again whenever told to.
async fn reopen_on(reopen: &mut Signal, access_log: &AccessLog) -> Infallible {
    loop {
        next(reopen).await;
        let access_log = access_log.clone();
        match on_file(move || access_log.reopen()).await {
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

/// Gives back what a flood has left: this thread has nothing else to do.
async fn give_memory_back() -> Infallible {
    const PAUSE: Duration = Duration::from_secs(10);
    let (process, mut reserve) = (Process::now(), Reserve::default());
    let mut least = u64::MAX;
    let unused = |resident: u64| memory::used_bytes().map(|used| resident.saturating_sub(used));
    if let Some(unused) = process.resident_bytes().and_then(unused) {
        reserve.look(unused);
    }
    loop {
        // (What is in use is counted only where there is much.)
        let resident = process.resident_bytes().unwrap_or(0);
        least = least.min(resident);
        if resident > least.saturating_add(Reserve::MOST)
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

/// Opening a file may block (a FIFO without a reader, a network disk): it does so on a thread for blocking work.
async fn on_file(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
