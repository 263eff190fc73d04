//! The admin port: binding, its thread, and its end.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::credentials::CredentialStore;
use super::gate::AdminGate;
use super::jwt::JwtStore;
use super::openapi;
use super::pages;
use super::port::{AdminListener, AdminPort};
use super::recorder_feed::{FeedThread, RecorderFeed};
use super::source::AdminSource;
use super::token_store::TokenStore;
use super::unix_socket::{self, UnixSocketError};
use crate::access::{FailureTable, Role};
use crate::config::{Admin, Bind};
use crate::control::ControlHandle;
use crate::control::jwks::KeySetReadError;
use crate::control::tokens::TokensReadError;
use crate::net::{self, BindError};
use crate::telemetry::access::AccessLog;
use crate::telemetry::logs::LogCounts;

/// Threads for blocking work: one makes a large page, one looks at the tokens file, one at the users of this host. Each file of keys
/// has one more.
const BLOCKING: usize = 3;

/// What the admin port starts with.
#[derive(Debug)]
pub struct AdminSetup {
    /// `admin`; `None` = no admin port.
    pub admin: Option<Admin>,
    /// `metrics.bind`; `None` = `/metrics` stands on the admin port only.
    pub metrics: Option<Bind>,
    /// The engine.
    pub control: ControlHandle,
    /// The access log.
    pub access_log: AccessLog,
    /// The log; `None` where it is not counted.
    pub log: Option<LogCounts>,
    /// A recorder to be fed; `None` = there is none.
    pub recorder: Option<RecorderFeed>,
}

/// Why the admin port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is not to be had.
    #[error("{key}: {problem}")]
    Bind {
        /// The configuration key to change.
        key: &'static str,
        /// What is wrong, and what to do.
        problem: BindError,
    },
    /// The unix socket cannot be made.
    #[error("admin.socket: {0}")]
    UnixSocket(#[from] UnixSocketError),
    /// The tokens file is refused: every line that is wrong, and what to do.
    #[error("admin.tokens_file: {0}\n{advice}", advice = .0.advice())]
    Tokens(#[from] TokensReadError),
    /// The keys of an issuer are refused.
    #[error("admin.jwt: {0}\n{advice}", advice = .0.advice())]
    Keys(#[from] KeySetReadError),
    /// The thread or its runtime could not be started.
    #[error("cannot start the admin thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The running admin port. Dropping it ends the thread without waiting for it.
#[derive(Debug)]
pub struct AdminHandle {
    admin: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    unix_socket: Option<PathBuf>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    feed: Option<FeedThread>,
}

/// Bind and serve on a thread named `admin`, and feed the recorder on a thread `recorder`; with neither there is no thread.
///
/// # Errors
/// An address is taken, the unix socket cannot be made, the tokens file or keys of an issuer are refused, a thread cannot be started.
pub fn start(setup: AdminSetup) -> Result<AdminHandle, AdminError> {
    let draining = Arc::new(AtomicBool::new(false));
    let admin = setup.admin;
    let bind = admin.as_ref().and_then(|admin| admin.bind);
    let on_admin = bind.map(|bind| listen("admin.bind", bind)).transpose()?;
    let on_metrics = setup.metrics.map(|bind| listen("metrics.bind", bind)).transpose()?;
    let credentials = admin.as_ref().map(|admin| credentials(admin, &setup.control)).transpose()?.unwrap_or_default();
    let (stop, stopped) = watch::channel(false);
    let mut handle = AdminHandle {
        admin: on_admin.as_ref().and_then(|listener| listener.local_addr().ok()),
        metrics: on_metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
        unix_socket: admin.as_ref().and_then(|admin| Some(admin.socket.as_ref()?.path.clone())),
        draining: draining.clone(),
        stop,
        thread: None,
        feed: None,
    };
    let published = Arc::clone(setup.control.published());
    let audit = setup.control.audit().cloned();
    let source = AdminSource::new(setup.control, setup.access_log, setup.log, draining);
    handle.feed = setup.recorder.map(|feed| FeedThread::start(feed, source.clone())).transpose()?;
    if on_metrics.is_none() && admin.is_none() {
        return Ok(handle);
    }
    let blocking = BLOCKING + admin.as_ref().map_or(0, |admin| admin.jwt.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(blocking).build()?;
    let mut listeners = Vec::new();
    {
        // Registered here: a port that cannot be served is an error of the start.
        let _inside = runtime.enter();
        if let Some(listener) = on_metrics {
            let listener = AdminListener::Tcp { listener: tokio::net::TcpListener::from_std(listener)?, tls: None };
            listeners.push((listener, pages::metrics_only(source.clone()), false));
        }
        if let Some(listener) = on_admin {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let tls = admin.as_ref().is_some_and(|admin| admin.tls.is_some()).then_some(published);
            listeners.push((
                AdminListener::Tcp { listener, tls },
                pages::admin(source.clone()).merge(openapi::route()),
                true,
            ));
        }
        if let Some(socket) = admin.as_ref().and_then(|admin| admin.socket.as_ref()) {
            let (listener, file) = unix_socket::listen(socket)?;
            let listener = tokio::net::UnixListener::from_std(listener)?;
            let (path, role) = (socket.path.display().to_string(), Role::from(socket.role));
            listeners.push((
                AdminListener::Unix { listener, _file: file, path, role },
                pages::admin(source).merge(openapi::route()),
                true,
            ));
        }
    }
    let gate = admin.map(|admin| AdminGate {
        hosts: admin.hosts,
        anonymous_viewer: admin.anonymous_viewer,
        credentials,
        failures: RefCell::new(FailureTable::default()),
        audit,
    });
    let serve = move || {
        let gate = gate.map(Rc::new);
        let _inside = runtime.enter();
        gate.iter().filter_map(|gate| gate.credentials.jwt.as_ref()).for_each(JwtStore::keep_fresh);
        let ports = listeners.into_iter().map(|(listener, router, is_gated)| {
            let gate = gate.clone().filter(|_| is_gated);
            (listener, AdminPort::new(router, gate))
        });
        LocalSet::new().block_on(&runtime, serve(ports.collect(), stopped));
    };
    handle.thread = Some(std::thread::Builder::new().name("admin".to_owned()).spawn(serve)?);
    for (name, address) in [("admin", handle.admin), ("metrics", handle.metrics)] {
        if let Some(address) = address {
            tracing::info!(name = %name, on = %address, protocol = %name, "listening");
        }
    }
    if let Some(path) = &handle.unix_socket {
        tracing::info!(name = %"admin", on = %path.display(), protocol = %"admin", "listening");
    }
    Ok(handle)
}

/// Reads the files of credentials. Blocks.
fn credentials(admin: &Admin, control: &ControlHandle) -> Result<CredentialStore, AdminError> {
    let jwt = (!admin.jwt.is_empty()).then(|| JwtStore::open(&admin.jwt, control.standing_troubles()));
    Ok(CredentialStore {
        tokens: admin.tokens_file.as_deref().map(TokenStore::open).transpose()?,
        jwt: jwt.transpose()?,
    })
}

fn listen(key: &'static str, bind: Bind) -> Result<TcpListener, AdminError> {
    match net::bind(bind, 1) {
        Ok(mut listeners) => listeners.pop().ok_or_else(|| AdminError::Thread(std::io::Error::other("no socket"))),
        Err(problem) => Err(AdminError::Bind { key, problem }),
    }
}

impl AdminHandle {
    /// Where the admin port really listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where the metrics port of its own really listens.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// The path of the unix socket.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_deref()
    }

    /// From now on `/readyz` says no: the process is about to stop.
    pub fn draining(&self) {
        self.draining.store(true, Relaxed);
    }

    /// What feeds the recorder for the last time; it blocks. `None`: there is no recorder.
    pub fn last_feed(&mut self) -> Option<impl FnOnce() + Send + use<>> {
        self.feed.take().map(|feed| move || feed.finish())
    }

    /// Stop accepting, finish what was asked within two seconds, end the thread. Blocks.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// All ports until told to stop.
async fn serve(ports: Vec<(AdminListener, AdminPort)>, stopped: watch::Receiver<bool>) {
    let mut loops = Vec::new();
    for (listener, port) in ports {
        loops.push(tokio::task::spawn_local(Rc::new(port).accept(listener, stopped.clone())));
    }
    for ended in loops {
        let _ = ended.await;
    }
}
