//! Embedded upstreams that can be crashed and revived like processes: HTTP/1 by hyper, and a TCP line echo.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
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
use tokio::task::JoinSet;

/// The header that names a request of the scripted load, so that executions can be counted.
pub const LOAD_ID: &str = "x-demo-id";

/// Largest body the demo's upstreams take.
const BODY_LIMIT: usize = 1 << 20;

/// How often each request of the scripted load was executed, by its id.
pub type Executions = Arc<Mutex<HashMap<String, u32>>>;

/// One upstream: two addresses that stay the same over crash and revival.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where it echoes lines.
    pub tcp: SocketAddr,
    alive: watch::Sender<bool>,
}

impl Upstream {
    /// Binds two free loopback ports and serves on the current runtime until the runtime ends.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(name: &'static str, executions: Executions) -> io::Result<Upstream> {
        let http = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let tcp = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let (alive, watch) = watch::channel(true);
        let upstream = Upstream { http: http.local_addr()?, tcp: tcp.local_addr()?, alive };
        tokio::spawn(live(http, watch.clone(), move |stream| serve_http(stream, name, executions.clone())));
        tokio::spawn(live(tcp, watch, move |stream| serve_lines(stream, name)));
        Ok(upstream)
    }

    /// As `kill -9` would: the ports refuse, every connection is closed by the kernel, work in flight is lost.
    pub fn crash(&self) {
        self.alive.send_replace(false);
    }

    /// Starts again on the same ports.
    pub fn revive(&self) {
        self.alive.send_replace(true);
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

/// One port through its lives: listens while alive, drops the listener and every connection at a crash.
async fn live<F, C>(first: StdListener, mut alive: watch::Receiver<bool>, serve: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let Ok(address) = first.local_addr() else { return };
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let mut connections = JoinSet::new();
        while *alive.borrow_and_update() {
            let Some(listening) = &listener else { break };
            tokio::select! {
                changed = alive.changed() => if changed.is_err() { return },
                accepted = listening.accept() => if let Ok((stream, _)) = accepted { connections.spawn(serve(stream)); },
                Some(_) = connections.join_next() => {}
            }
        }
        listener = None;
        drop(connections);
        if alive.wait_for(|alive| *alive).await.is_err() {
            return;
        }
        while listener.is_none() && *alive.borrow() {
            listener = bind(address).and_then(TcpListener::from_std).ok();
            if listener.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_http(stream: TcpStream, name: &'static str, executions: Executions) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, name, executions.clone()));
    // A client that goes away, or a crash, ends the connection: nothing to report.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    name: &'static str,
    executions: Executions,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/healthz" {
        return Ok(text(StatusCode::OK, "ok\n".to_owned()));
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = request.headers().get(LOAD_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or cut short\n".to_owned()));
    };
    if let (Some(id), Ok(mut counts)) = (id, executions.lock()) {
        *counts.entry(id).or_default() += 1;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    let said = body.to_bytes();
    let line = match method {
        Method::GET | Method::HEAD => format!("hello from {name}: {path}\n"),
        _ => format!("{name} took {} bytes by {method} {path}\n", said.len()),
    };
    Ok(text(StatusCode::OK, line))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn serve_lines(mut stream: TcpStream, name: &'static str) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if write.write_all(format!("{name}: {line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
