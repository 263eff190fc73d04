//! The whole proxy, put together: logs, control plane, data plane, admin port; its signals; its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use standfast::admin::{self, AdminError, AdminHandle, AdminSetup};
use standfast::config::Config;
use standfast::control::{self, ControlHandle, ControlSetup};
use standfast::proxy::{self, DrainReport, ProxyHandle, ProxySetup};
use standfast::sys::clock;
use standfast::sys::limits::{self, Descriptors};
use standfast::telemetry::access::AccessLog;
use standfast::telemetry::logs::{self, LogError, Logs};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

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
    /// Starts everything. Call it inside a runtime.
    ///
    /// # Errors
    /// An address is taken, a file cannot be written, a thread cannot be started: the message says which and what to do.
    pub fn start(config: Config, path: Option<PathBuf>) -> Result<App, StartError> {
        let logs = logs::start(&config.log)?;
        logs::report_panics();
        report_descriptors(&config, limits::raise_descriptors());
        clock::watch_for_pauses()?;
        let access_log = AccessLog::start(config.access_log.as_ref())?;
        let workers = config.workers.unwrap_or_else(available_cores);
        let (admin, metrics) = (config.admin.as_ref().map(|admin| admin.bind), config.metrics);
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
        tracing::info!(version = env!("CARGO_PKG_VERSION"), workers, admin = ?admin.address(), "started");
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

    /// Obeys SIGHUP until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The control plane has ended by itself: whoever restarts us gets a proxy that fails over again, with the state of
    /// before.
    pub async fn until_stopped(&self) -> Result<(), String> {
        let mut stop = std::pin::pin!(stop_signal());
        let mut brainless = std::pin::pin!(self.control.ended());
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| format!("cannot hear SIGHUP: {error}"))?;
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = &mut brainless => return Err("the control plane has ended by itself: nothing fails over".into()),
                _ = hangup.recv() => self.reload().await,
            }
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
        if let Err(problem) = self.access_log.apply(config.access_log.as_ref()) {
            tracing::error!(%problem, "the access log stays as it was");
        }
    }

    /// Stops accepting, lets work in flight finish within `drain_timeout`, persists, ends.
    pub async fn stop(self) -> DrainReport {
        self.admin.draining();
        let timeout = self.control.published().load().config.drain_timeout;
        let proxy = self.proxy;
        // Draining blocks until the workers are done; the control plane goes on meanwhile.
        let report = tokio::task::spawn_blocking(move || proxy.drain(timeout)).await.unwrap_or_default();
        self.control.stop().await;
        let admin = self.admin;
        let _ = tokio::task::spawn_blocking(move || admin.stop()).await;
        self.access_log.finish(LAST_LINES);
        match report.cut {
            0 => tracing::info!(finished = report.finished, "stopped: nothing was cut"),
            cut => tracing::warn!(finished = report.finished, cut, "stopped: drain_timeout ran out"),
        }
        drop(self.logs);
        report
    }
}

/// Waits for SIGTERM or SIGINT. Where signals cannot be had, forever.
pub async fn stop_signal() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Every client connection may need one more towards an upstream, and every endpoint one for its probes: say so when the
/// limit is lower than the configured ones.
fn report_descriptors(config: &Config, descriptors: Descriptors) {
    let clients: usize = config.listeners.iter().map(|listener| listener.limits.max_connections).sum();
    let pools = config.services.iter().flat_map(|service| &service.pools);
    let checked = pools.filter(|pool| pool.health_check.is_some()).map(|pool| pool.members.endpoints().len());
    let wanted = (2 * clients + checked.sum::<usize>()) as u64 + 100;
    match descriptors.limit {
        Some(limit) if limit < wanted => tracing::warn!(
            limit,
            wanted,
            "the descriptor limit is lower than the listeners' limits.max_connections ask for: raise it (ulimit -n, \
             LimitNOFILE) or lower them; beyond it new connections wait"
        ),
        _ => tracing::debug!(limit = ?descriptors.limit, raised_from = descriptors.raised_from, "descriptor limit"),
    }
}
