//! The assembled proxy: control plane, data plane and admin port, started and stopped as one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::field::display;

use crate::access::{Grant, authorise};
use crate::admin::{self, AdminError, AdminHandle, AdminSetup, RecorderFeed};
use crate::config::Config;
use crate::control::{self, ControlError, ControlHandle, ControlSetup, Reloaded, new_act_id};
use crate::decision::{Act, ActCommand, Actor};
use crate::proxy::{self, DrainCut, DrainReport, ProxyHandle, ProxySetup};
use crate::sys::clock;
use crate::telemetry::access::AccessLog;
use crate::telemetry::logs::LogCounts;

/// Longest wait for the last access-log lines at the end.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Pause between two looks of [`App::until_ready`].
const LOOK: Duration = Duration::from_millis(5);

/// A running proxy: every listener, the health checks and failover decisions behind them, and the admin port.
///
/// The program `standfast`, the tests and an embedder use the same type. It takes nothing that belongs to the process: no
/// signal handler, no global `tracing` subscriber, no panic hook, no resource limit, and it never exits. It writes events with
/// `tracing`, so a subscriber of the embedder receives them. What it starts are threads of its own: `control`, one a worker,
/// `admin` where a port is configured, `recorder` where there is one, writers of files, and once in a process `clock`, which
/// finds pauses of the process.
///
/// [`AppBuilder::start`] blocks. The asynchronous methods need a Tokio runtime around them, of either kind: they wait on it, and
/// use its threads for blocking work.
///
/// Dropping an `App` that was not [stopped](App::stop) resets the connections that are in flight and ends its threads; the state
/// file then holds what was written before, as after a crash.
///
/// ```
/// use std::path::Path;
/// use standfast::{App, config};
///
/// let text = r#"
/// listeners:
///   - name: web
///     bind: 127.0.0.1:0
///     protocol: http
///     routes: [{service: shop}]
/// services:
///   shop:
///     protocol: http
///     pools:
///       - {name: sorry, static_response: "Back soon."}
/// "#;
/// let config = config::parse(text, Path::new("."))?.config;
/// let app = App::builder(config).start()?;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// runtime.block_on(async {
///     app.until_ready().await;
///     let address = app.listener_address("web").ok_or("no such listener")?;
///     println!("serving on http://{address}/");
///     // … until it is time to stop: work in flight gets `drain_timeout`.
///     let report = app.stop().await;
///     println!("{} finished, {} cut", report.finished, report.cut);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct App {
    /// `None`: drained. The first field, so that it ends before what it uses.
    proxy: Option<ProxyHandle>,
    control: ControlHandle,
    access_log: AccessLog,
    /// Held while the access log follows a configuration.
    following: Arc<Mutex<()>>,
    cut: DrainCut,
    /// `None`: stopped.
    admin: Option<AdminHandle>,
    drained: DrainReport,
}

/// What an [`App`] starts with; [`App::builder`] begins one.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct AppBuilder {
    config: Config,
    config_file: Option<PathBuf>,
    log_counts: Option<LogCounts>,
    recorder: Option<RecorderFeed>,
}

/// Why an [`App`] could not start. Nothing of it runs on.
#[derive(Debug, thiserror::Error)]
pub enum AppStartError {
    /// A listener's address, a certificate, or the control thread.
    #[error(transparent)]
    Control(#[from] control::StartError),
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The access log or the workers.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a reload was not carried out, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is refused, or the control plane has ended: nothing has changed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The configuration is in force, but the access log stays as it was.
    #[error("the configuration is in force, but the access log stays as it was: {0}")]
    AccessLog(#[source] io::Error),
}

impl AppBuilder {
    /// The file that [`App::reload`] reads. Without one only [`App::apply`] changes the configuration.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> AppBuilder {
        self.config_file = Some(path.into());
        self
    }

    /// The counts of the application log, for `standfast_log_dropped_lines_total`. Without them it stays 0.
    pub fn log_counts(mut self, counts: LogCounts) -> AppBuilder {
        self.log_counts = Some(counts);
        self
    }

    /// Feeds this recorder with every metric that `/metrics` shows, every `interval` (at least 100 ms) and once more at
    /// [`App::stop`], on a thread of its own. How counters, gauges and histograms arrive there is told at
    /// [`telemetry::recorder`](crate::telemetry::recorder). Nothing of it is on the way of a request.
    pub fn recorder(mut self, recorder: Arc<dyn metrics::Recorder + Send + Sync>, interval: Duration) -> AppBuilder {
        self.recorder = Some(RecorderFeed { recorder, interval });
        self
    }

    /// Binds, restores the state, and starts everything. It blocks, for seconds where names have to be looked up: on a runtime
    /// call it by `spawn_blocking`. Connections are accepted when it returns; [`App::until_ready`] waits for the first checks.
    ///
    /// # Errors
    /// An address is taken, a file cannot be read or written, a thread cannot be started: the message says which and what to do.
    pub fn start(self) -> Result<App, AppStartError> {
        let AppBuilder { config, config_file, log_counts, recorder } = self;
        clock::watch_for_pauses()?;
        let access_log = AccessLog::start(config.access_log.as_ref())?;
        let workers = config.workers.unwrap_or_else(available_cores);
        let (admin, metrics) = (config.admin.clone(), config.metrics);
        let shown = config_file.as_deref().map(|path| path.display().to_string());
        let control = control::start(ControlSetup { config, path: config_file, workers })?;
        let setup = AdminSetup {
            admin,
            metrics,
            control: control.clone(),
            access_log: access_log.clone(),
            recorder,
            log: log_counts,
        };
        let admin = admin::start(setup)?;
        let setup = ProxySetup { published: Arc::clone(control.published()), access_log: access_log.clone() };
        let proxy = proxy::start(setup)?;
        let (version, config) = (display(env!("CARGO_PKG_VERSION")), shown.map(display));
        tracing::info!(version, workers, admin = admin.address().map(display), config, "started");
        let (cut, drained) = (proxy.drain_cut(), DrainReport::default());
        let following = Arc::default();
        Ok(App { proxy: Some(proxy), control, access_log, following, cut, admin: Some(admin), drained })
    }
}

impl App {
    /// Begins one with this configuration, as [`config::parse`](crate::config::parse) or [`config::load`](crate::config::load)
    /// returns it.
    pub fn builder(config: Config) -> AppBuilder {
        AppBuilder { config, config_file: None, log_counts: None, recorder: None }
    }

    /// The engine: acts, the status, notices of what happens, the published table.
    pub fn control(&self) -> &ControlHandle {
        &self.control
    }

    /// The access log, which may be off.
    pub fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.control.published().load().config)
    }

    /// The address that this listener is bound to (its first one); the port is the real one where 0 is configured. `None`: there is
    /// no listener of this name.
    pub fn listener_address(&self, listener: &str) -> Option<SocketAddr> {
        let table = self.control.published().load();
        table.listener(listener)?.sockets.bound().first().map(|bound| bound.local)
    }

    /// The address that the admin port is bound to.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(AdminHandle::address)
    }

    /// The path of the admin port's unix socket.
    pub fn admin_socket(&self) -> Option<&Path> {
        self.admin.as_ref().and_then(AdminHandle::unix_socket)
    }

    /// The address that the separate port for `/metrics` is bound to.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(AdminHandle::metrics_address)
    }

    /// Every service has made its first choice, and every worker has taken it up. Once true, it stays true.
    pub fn is_ready(&self) -> bool {
        self.control.ready()
    }

    /// Returns once it [is ready](App::is_ready), which may be never. Cancel safe.
    pub async fn until_ready(&self) {
        while !self.is_ready() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Reads the configuration file again and puts it into force, all of it or nothing. The access log follows what is then in
    /// force; its file is opened again in any case, so that it may be rotated. A call that is dropped may still take effect.
    ///
    /// # Errors
    /// The file is refused, or there is none: the text has every problem. Or the access log could not follow.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reloaded = self.command_reload(Actor::standfast()).await;
        let followed = self.follow_with_access_log().await;
        both(reloaded, followed)
    }

    /// The first half of [`App::reload`], on record as a command of this actor, which has the rights of the process.
    ///
    /// # Errors
    /// The file is refused, or there is none.
    pub async fn command_reload(&self, actor: Actor) -> Result<Reloaded, ControlError> {
        let id = new_act_id().ok_or(ControlError::Stopped)?;
        let permit = authorise(&[Grant::admin()], Act::new(id, actor, ActCommand::Reload));
        let permit = permit.map_err(|denied| ControlError::Reload(denied.to_string()))?;
        self.control.reload(permit).await
    }

    /// Puts this configuration into force, all of it or nothing, as [`App::reload`] does. A call that is dropped may still take
    /// effect.
    ///
    /// # Errors
    /// The configuration is refused, or the access log could not follow.
    pub async fn apply(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let reloaded = self.control.apply(config).await;
        let followed = self.follow_with_access_log().await;
        both(reloaded, followed)
    }

    /// The second half of [`App::reload`], for a reload that was commanded in another way ([`ControlHandle::reloaded`] tells of it): the
    /// access log follows the configuration in force. A call that is dropped may still take effect.
    ///
    /// # Errors
    /// Its file cannot be opened; that is logged.
    pub async fn follow_with_access_log(&self) -> io::Result<()> {
        // One after the other, and each reads the configuration in its turn: the last one has the newest.
        let turn = Arc::clone(&self.following).lock_owned().await;
        let (access_log, config) = (self.access_log.clone(), self.config());
        // Opening a file may block (a FIFO without a reader, a network disk).
        let following = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            access_log.apply(config.access_log.as_ref())
        });
        let followed = following.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        followed.inspect_err(|problem| tracing::error!(%problem, "the access log stays as it was"))
    }

    /// Returns when the control plane has ended by itself, which is a bug: nothing fails over any more. Stop the `App` then and
    /// start another one, which restores the state. Cancel safe.
    pub async fn ended(&self) {
        self.control.ended().await;
    }

    /// A handle that ends a [drain](App::drain) before its time.
    pub fn drain_cut(&self) -> DrainCut {
        self.cut.clone()
    }

    /// Stops accepting, lets work in flight finish within `drain_timeout`, and resets the rest. `/readyz` says no from now on; the
    /// control plane and the admin port go on. A second call returns the report of the first. Not cancel safe: the drain goes on,
    /// its report is lost.
    pub async fn drain(&mut self) -> DrainReport {
        let Some(proxy) = self.proxy.take() else { return self.drained };
        if let Some(admin) = &self.admin {
            admin.draining();
        }
        let table = self.control.published().load();
        let timeout = table.config.drain_timeout;
        let in_flight: usize = table.services.iter().map(|service| service.stats.limits.in_use()).sum();
        drop(table);
        tracing::info!(in_flight, up_to = %humantime::format_duration(timeout), "draining");
        // It blocks until the workers are done.
        let draining = tokio::task::spawn_blocking(move || proxy.drain(timeout));
        self.drained = draining.await.unwrap_or_default();
        self.drained
    }

    /// [Drains](App::drain), writes the state and the last lines of the access log, closes the admin port, and ends every thread.
    /// Not cancel safe: dropped before its end it is no orderly stop.
    pub async fn stop(mut self) -> DrainReport {
        let report = self.drain().await;
        if let Some(last_feed) = self.admin.as_mut().and_then(AdminHandle::last_feed) {
            let _ = tokio::task::spawn_blocking(last_feed).await;
        }
        self.control.stop().await;
        let (admin, access_log) = (self.admin.take(), self.access_log.clone());
        let ending = move || {
            admin.into_iter().for_each(AdminHandle::stop);
            access_log.finish(LAST_LINES);
        };
        let _ = tokio::task::spawn_blocking(ending).await;
        match report.cut {
            0 => tracing::info!(finished = report.finished, "stopped: nothing was cut"),
            cut => tracing::warn!(finished = report.finished, cut, "stopped: the drain ended before all work did"),
        }
        report
    }
}

/// A configuration that is refused comes before an access log that does not follow.
fn both(reloaded: Result<Reloaded, ControlError>, followed: io::Result<()>) -> Result<Reloaded, ReloadError> {
    let reloaded = reloaded?;
    followed.map_err(ReloadError::AccessLog)?;
    Ok(reloaded)
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
