//! The admin port: binding, its thread, and the bounds of a connection.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::connections::{OpenConnection, OpenConnections, TrackedStream};
use super::pages;
use super::recorder_feed::{FeedThread, RecorderFeed};
use super::source::AdminSource;
use crate::config::Bind;
use crate::control::ControlHandle;
use crate::net::{self, BindError};
use crate::telemetry::access::AccessLog;
use crate::telemetry::logs::LogCounts;

/// Connections at once on each port; for one more, [another](OpenConnections::close_one) is closed.
const CONNECTIONS: usize = 64;
/// To send a request's head, and between two requests.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Longest life of a connection, so that a slow reader does not keep one of [`CONNECTIONS`].
const LIFE: Duration = Duration::from_secs(60);
/// To finish what was asked when that life (or ours) ends.
const GRACE: Duration = Duration::from_secs(2);

/// What the admin port starts with.
#[derive(Debug)]
pub struct AdminSetup {
    /// `admin.bind`; `None` = no admin port.
    pub admin: Option<Bind>,
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
    /// The thread or its runtime could not be started.
    #[error("cannot start the admin thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The running admin port. Dropping it ends the thread without waiting for it.
#[derive(Debug)]
pub struct AdminHandle {
    admin: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    feed: Option<FeedThread>,
}

/// Bind and serve on a thread named `admin`, and feed the recorder on a thread `recorder`; with neither there is no thread.
pub fn start(setup: AdminSetup) -> Result<AdminHandle, AdminError> {
    let draining = Arc::new(AtomicBool::new(false));
    let admin = setup.admin.map(|bind| listen("admin.bind", bind)).transpose()?;
    let metrics = setup.metrics.map(|bind| listen("metrics.bind", bind)).transpose()?;
    let (stop, stopped) = watch::channel(false);
    let mut handle = AdminHandle {
        admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
        metrics: metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
        draining: draining.clone(),
        stop,
        thread: None,
        feed: None,
    };
    let source = AdminSource::new(setup.control, setup.access_log, setup.log, draining);
    handle.feed = setup.recorder.map(|feed| FeedThread::start(feed, source.clone())).transpose()?;
    if admin.is_none() && metrics.is_none() {
        return Ok(handle);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
    let mut ports = Vec::new();
    {
        // Registered here: a port that cannot be served is an error of the start.
        let _inside = runtime.enter();
        if let Some(listener) = admin {
            ports.push((tokio::net::TcpListener::from_std(listener)?, pages::admin(source.clone())));
        }
        if let Some(listener) = metrics {
            ports.push((tokio::net::TcpListener::from_std(listener)?, pages::metrics_only(source)));
        }
    }
    let serve = move || LocalSet::new().block_on(&runtime, serve(ports, stopped));
    handle.thread = Some(std::thread::Builder::new().name("admin".to_owned()).spawn(serve)?);
    for (name, address) in [("admin", handle.admin), ("metrics", handle.metrics)] {
        if let Some(address) = address {
            tracing::info!(name = %name, on = %address, protocol = %name, "listening");
        }
    }
    Ok(handle)
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
async fn serve(ports: Vec<(tokio::net::TcpListener, Router)>, stopped: watch::Receiver<bool>) {
    let mut loops = Vec::new();
    for (listener, router) in ports {
        loops.push(tokio::task::spawn_local(accept(listener, router, stopped.clone())));
    }
    for ended in loops {
        let _ = ended.await;
    }
}

/// One port: accepts until told to stop, then lets its connections finish.
async fn accept(listener: tokio::net::TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let open = Rc::new(OpenConnections::default());
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if open.count() >= CONNECTIONS {
                    open.close_one();
                }
                let (router, stopped, place) = (router.clone(), stopped.clone(), open.enter());
                tokio::task::spawn_local(connection(stream, router, stopped, Rc::new(place)));
            }
            // Out of descriptors, most likely: one of ours helps, and what others give back.
            Err(error) => {
                let closed_one = open.close_one();
                tracing::warn!(%error, closed_one, "the admin port cannot accept: trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    // Every connection ends within its grace, so this wait ends too.
    open.all_closed().await;
}

/// One connection, for [`LIFE`] at most and [`GRACE`] beyond. Dropping it closes it, at any point.
async fn connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>, place: Rc<OpenConnection>) {
    let (router, asking) = (TowerToHyperService::new(router), Rc::clone(&place));
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let is_taken = asking.asked(!pages::is_small(request.uri().path()));
        let (answer, asking) = (is_taken.then(|| router.call(request)), Rc::clone(&asking));
        async move {
            let answer: Result<Response, Infallible> = match answer {
                Some(answer) => answer.await,
                None => Ok(pages::busy()),
            };
            asking.answered();
            answer
        }
    });
    let stream = TrackedStream { stream, connection: Rc::clone(&place) };
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // A client that misbehaves or goes away is its own problem.
        _ = serving.as_mut() => return,
        () = place.told_to_close() => return,
        () = tokio::time::sleep(LIFE) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        _ = serving => {}
        () = place.told_to_close() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
}
