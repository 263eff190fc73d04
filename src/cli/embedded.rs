//! Embedded upstreams, for `standfast demo` and `standfast upstream`: HTTP/1 by hyper, and a TCP line echo. They can be
//! crashed and revived like processes, or leave in order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The header that names a request of the scripted load, so that executions can be counted.
pub const LOAD_ID: &str = "x-demo-id";

/// Largest body they take.
const BODY_LIMIT: usize = 1 << 20;
/// How long unused connections stay when one leaves: whoever is about to send on one still gets an answer, its last there.
const LINGER: Duration = Duration::from_millis(500);
/// How long work in flight gets when one leaves.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often each request of the scripted load was executed, by its id.
pub type Executions = Arc<Mutex<HashMap<String, u32>>>;

/// What an upstream is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// As it calls itself in its answers.
    pub name: Arc<str>,
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where it echoes lines; `None` = nowhere.
    pub tcp: Option<SocketAddr>,
    /// Counts what it executes.
    pub executions: Option<Executions>,
}

/// How an upstream lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Crashed,
    Leaving,
}

/// One upstream. Its addresses stay the same over crash and revival.
#[derive(Debug)]
pub struct Upstream {
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where it echoes lines.
    pub tcp: Option<SocketAddr>,
    life: watch::Sender<Life>,
    ports: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Binds and serves on the current runtime, until it leaves or the runtime ends.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn start(setup: Setup) -> io::Result<Upstream> {
        let Setup { name, executions, .. } = setup;
        let http = bind(setup.http)?;
        let tcp = setup.tcp.map(bind).transpose()?;
        let (life, watch) = watch::channel(Life::Running);
        let mut upstream = Upstream {
            http: http.local_addr()?,
            tcp: tcp.as_ref().map(StdListener::local_addr).transpose()?,
            life,
            ports: Vec::new(),
        };
        let (called, seen) = (name.clone(), watch.clone());
        let web = move |stream| serve_http(stream, called.clone(), executions.clone(), seen.clone());
        upstream.ports.push(tokio::spawn(live(http, watch.clone(), web)));
        if let Some(tcp) = tcp {
            let seen = watch.clone();
            let lines = move |stream| serve_lines(stream, name.clone(), seen.clone());
            upstream.ports.push(tokio::spawn(live(tcp, watch, lines)));
        }
        Ok(upstream)
    }

    /// As `kill -9` would: the ports refuse, every connection is closed by the kernel, work in flight is lost.
    pub fn crash(&self) {
        self.life.send_replace(Life::Crashed);
    }

    /// Starts again on the same ports.
    pub fn revive(&self) {
        self.life.send_replace(Life::Running);
    }

    /// Ends in order: the ports refuse, requests in flight are answered, then connections are closed.
    pub async fn leave(self) {
        self.life.send_replace(Life::Leaving);
        let ports = async {
            for port in self.ports {
                let _ = port.await;
            }
        };
        #[allow(clippy::disallowed_methods, reason = "once, at the end of a program")]
        let _ = tokio::time::timeout(FAREWELL, ports).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One port through its lives: listens while running, drops the listener and every connection at a crash, lets them end
/// when it leaves.
async fn live<F, C>(first: StdListener, mut life: watch::Receiver<Life>, serve: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let Ok(address) = first.local_addr() else { return };
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let mut connections = JoinSet::new();
        while *life.borrow_and_update() == Life::Running {
            let Some(listening) = &listener else { break };
            tokio::select! {
                changed = life.changed() => if changed.is_err() { return },
                accepted = listening.accept() => if let Ok((stream, _)) = accepted { connections.spawn(serve(stream)); },
                Some(_) = connections.join_next() => {}
            }
        }
        listener = None;
        if *life.borrow() == Life::Leaving {
            connections.join_all().await;
            return;
        }
        drop(connections);
        if life.wait_for(|life| *life != Life::Crashed).await.is_err() {
            return;
        }
        while listener.is_none() && *life.borrow() == Life::Running {
            listener = bind(address).and_then(TcpListener::from_std).ok();
            if listener.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_http(
    stream: TcpStream,
    name: Arc<str>,
    executions: Option<Executions>,
    mut life: watch::Receiver<Life>,
) {
    let _ = stream.set_nodelay(true);
    let leaving = life.clone();
    let service = service_fn(move |request| {
        let (name, executions, leaving) = (name.clone(), executions.clone(), leaving.clone());
        async move {
            let mut answer = answer(request, name, executions).await;
            if *leaving.borrow() == Life::Leaving {
                answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection =
        pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    // A client that goes away, or a crash, ends the connection: nothing to report.
    let time_to_close = async {
        if life.wait_for(|life| *life == Life::Leaving).await.is_ok() {
            tokio::time::sleep(LINGER).await;
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return,
        () = time_to_close => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, name: Arc<str>, executions: Option<Executions>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/healthz" {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = request.headers().get(LOAD_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or cut short\n".to_owned());
    };
    if let (Some(id), Some(Ok(mut counts))) = (id, executions.as_ref().map(|counts| counts.lock())) {
        *counts.entry(id).or_default() += 1;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    let said = body.to_bytes();
    let line = match method {
        Method::GET | Method::HEAD => format!("hello from {name}: {path}\n"),
        _ => format!("{name} took {} bytes by {method} {path}\n", said.len()),
    };
    text(StatusCode::OK, line)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn serve_lines(mut stream: TcpStream, name: Arc<str>, mut life: watch::Receiver<Life>) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            _ = life.wait_for(|life| *life == Life::Leaving) => return,
        };
        let Ok(Some(line)) = line else { return };
        if write.write_all(format!("{name}: {line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
