//! Embedded upstreams, for `standfast demo` and `standfast upstream`: HTTP/1 by hyper, and a TCP line echo. Each can be made
//! to fail as a process fails (crashed, frozen, slow, answering with errors), and to end in order.

use std::collections::{HashMap, VecDeque};
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
/// How long unused connections stay when one leaves: a request that is about to be sent on one still gets an answer, its last there.
const LINGER: Duration = Duration::from_millis(500);
/// How long work in flight gets when one leaves.
const FAREWELL: Duration = Duration::from_secs(5);

/// An answer takes so long.
const WORK: Duration = Duration::from_millis(2);
/// An answer of an upstream that is [`UpstreamBehaviour::Slow`] takes so long.
const SLOW: Duration = Duration::from_secs(1);

/// How often each POST of the load was executed, over all upstreams. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PostExecutions(Arc<Mutex<ExecutionCounts>>);

#[derive(Debug, Default)]
struct ExecutionCounts {
    counts: HashMap<String, u32>,
    /// The ids in `counts`, oldest first.
    order: VecDeque<String>,
    repeated: u64,
}

impl PostExecutions {
    /// Ids that are remembered: those of the last minutes.
    const KEPT: usize = 20_000;
    /// Longest id of the load; a longer one is of another client.
    const ID: usize = 32;

    fn note(&self, id: String) {
        let Some(mut inner) = self.0.lock().ok().filter(|_| id.len() <= PostExecutions::ID) else { return };
        let inner = &mut *inner;
        let count = inner.counts.entry(id.clone()).or_default();
        *count += 1;
        match *count {
            1 => inner.order.push_back(id),
            2 => inner.repeated += 1,
            _ => {}
        }
        if inner.order.len() > PostExecutions::KEPT
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.counts.remove(&oldest);
        }
    }

    /// POSTs that were executed more than once.
    pub fn repeated(&self) -> u64 {
        self.0.lock().map_or(0, |inner| inner.repeated)
    }
}

/// What an upstream is to be.
#[derive(Clone, Debug)]
pub struct EmbeddedSetup {
    /// As it calls itself in its answers.
    pub name: Arc<str>,
    /// Where it speaks HTTP; `None` = nowhere.
    pub http: Option<SocketAddr>,
    /// Where it echoes lines; `None` = nowhere.
    pub tcp: Option<SocketAddr>,
    /// Counts what it executes.
    pub executions: Option<PostExecutions>,
    /// What its page tells a person to do next.
    pub advice: &'static str,
}

/// What an upstream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamBehaviour {
    /// It answers.
    Running,
    /// As after `kill -9`: the ports refuse, every connection is closed by the kernel, work in flight is lost.
    Crashed,
    /// As after `kill -STOP`: the kernel still accepts connections, and nothing is answered.
    Frozen,
    /// Its answers take a second. Its health check is answered at once.
    Slow,
    /// It answers 503. Its health check passes.
    Erring,
    /// It ends in order.
    Leaving,
}

/// One upstream. Its addresses stay the same over a crash.
#[derive(Debug)]
pub struct EmbeddedUpstream {
    /// Where it speaks HTTP.
    pub http: Option<SocketAddr>,
    /// Where it echoes lines.
    pub tcp: Option<SocketAddr>,
    behaviour: watch::Sender<UpstreamBehaviour>,
    ports: Vec<JoinHandle<()>>,
}

impl EmbeddedUpstream {
    /// Binds and serves on the current runtime, until it leaves or the runtime ends.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn start(setup: EmbeddedSetup) -> io::Result<EmbeddedUpstream> {
        let EmbeddedSetup { name, executions, advice, .. } = setup;
        let http = setup.http.map(bind).transpose()?;
        let tcp = setup.tcp.map(bind).transpose()?;
        let (behaviour, watch) = watch::channel(UpstreamBehaviour::Running);
        let mut upstream = EmbeddedUpstream {
            http: http.as_ref().map(StdListener::local_addr).transpose()?,
            tcp: tcp.as_ref().map(StdListener::local_addr).transpose()?,
            behaviour,
            ports: Vec::new(),
        };
        let server = EmbeddedServer { name, executions, advice, behaviour: watch.clone() };
        if let Some(http) = http {
            let server = server.clone();
            let web = move |stream| server.clone().serve_http(stream);
            upstream.ports.push(tokio::spawn(listen(http, watch.clone(), web)));
        }
        if let Some(tcp) = tcp {
            let lines = move |stream| server.clone().serve_lines(stream);
            upstream.ports.push(tokio::spawn(listen(tcp, watch, lines)));
        }
        Ok(upstream)
    }

    /// From now on it does this.
    pub fn becomes(&self, behaviour: UpstreamBehaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// What it does now.
    pub fn behaviour(&self) -> UpstreamBehaviour {
        *self.behaviour.borrow()
    }

    /// Ends in order: the ports refuse, requests in flight are answered, then connections are closed.
    pub async fn leave(self) {
        self.becomes(UpstreamBehaviour::Leaving);
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

/// One port: accepts while the upstream answers, drops the listener and every connection at a crash, lets them end when it
/// leaves.
async fn listen<F, C>(first: StdListener, mut behaviour: watch::Receiver<UpstreamBehaviour>, serve: F)
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    use UpstreamBehaviour::{Crashed, Frozen, Leaving};
    let Ok(address) = first.local_addr() else { return };
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let mut connections = JoinSet::new();
        loop {
            let now = *behaviour.borrow_and_update();
            let Some(listening) = listener.as_ref().filter(|_| !matches!(now, Crashed | Leaving)) else { break };
            tokio::select! {
                changed = behaviour.changed() => if changed.is_err() { return },
                accepted = listening.accept(), if now != Frozen => if let Ok((stream, _)) = accepted {
                    connections.spawn(unless_frozen(behaviour.clone(), serve(stream)));
                },
                Some(_) = connections.join_next() => {}
            }
        }
        listener = None;
        if *behaviour.borrow() == Leaving {
            connections.join_all().await;
            return;
        }
        drop(connections);
        if behaviour.wait_for(|now| *now != Crashed).await.is_err() {
            return;
        }
        while listener.is_none() && !matches!(*behaviour.borrow(), Crashed | Leaving) {
            listener = bind(address).and_then(TcpListener::from_std).ok();
            if listener.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Does the work, with a pause for as long as the upstream is frozen.
async fn unless_frozen(mut behaviour: watch::Receiver<UpstreamBehaviour>, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    loop {
        if behaviour.wait_for(|now| *now != UpstreamBehaviour::Frozen).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            frozen = behaviour.wait_for(|now| *now == UpstreamBehaviour::Frozen) => if frozen.is_err() { return },
            () = work.as_mut() => return,
        }
    }
}

/// What answers on the connections of an upstream.
#[derive(Clone)]
struct EmbeddedServer {
    name: Arc<str>,
    executions: Option<PostExecutions>,
    advice: &'static str,
    behaviour: watch::Receiver<UpstreamBehaviour>,
}

impl EmbeddedServer {
    fn is(&self, behaviour: UpstreamBehaviour) -> bool {
        *self.behaviour.borrow() == behaviour
    }

    async fn serve_http(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut behaviour = self.behaviour.clone();
        let service = service_fn(move |request| {
            let server = self.clone();
            async move {
                let mut answer = server.answer(request).await;
                if server.is(UpstreamBehaviour::Leaving) {
                    answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection =
            pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        // A client that goes away, or a crash, ends the connection: nothing to report.
        let time_to_close = async {
            if behaviour.wait_for(|now| *now == UpstreamBehaviour::Leaving).await.is_ok() {
                tokio::time::sleep(LINGER).await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = time_to_close => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/healthz" {
            return text(StatusCode::OK, "ok\n".to_owned());
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let id = request.headers().get(LOAD_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let accepted = request.headers().get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let browser = method == Method::GET && accepted.is_some_and(|accept| accept.contains("text/html"));
        let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or cut short\n".to_owned());
        };
        if let (Some(id), Some(executions), &Method::POST) = (id, &self.executions, &method) {
            executions.note(id);
        }
        tokio::time::sleep(if self.is(UpstreamBehaviour::Slow) { SLOW } else { WORK }).await;
        let name = &self.name;
        if self.is(UpstreamBehaviour::Erring) {
            return text(StatusCode::SERVICE_UNAVAILABLE, format!("{name} is out of order\n"));
        }
        if browser {
            return page(name, self.advice);
        }
        let said = body.to_bytes();
        let line = match method {
            Method::GET | Method::HEAD => format!("hello from {name}: {path}\n"),
            _ => format!("{name} took {} bytes by {method} {path}\n", said.len()),
        };
        text(StatusCode::OK, line)
    }

    async fn serve_lines(self, mut stream: TcpStream) {
        let mut behaviour = self.behaviour.clone();
        let (read, mut write) = stream.split();
        let mut lines = BufReader::new(read).lines();
        loop {
            let line = tokio::select! {
                line = lines.next_line() => line,
                _ = behaviour.wait_for(|now| *now == UpstreamBehaviour::Leaving) => return,
            };
            let Ok(Some(line)) = line else { return };
            if self.is(UpstreamBehaviour::Erring) {
                return;
            }
            if self.is(UpstreamBehaviour::Slow) {
                tokio::time::sleep(SLOW).await;
            }
            if write.write_all(format!("{}: {line}\n", self.name).as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

/// For a browser: which upstream answered, asked again each second.
fn page(name: &str, advice: &str) -> Response<Full<Bytes>> {
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    response(StatusCode::OK, "text/html; charset=utf-8", html(&name, &format!("answered by <b>{name}</b>"), advice))
}

/// A page that loads itself again each second. The texts are HTML.
pub fn html(title: &str, headline: &str, advice: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <meta http-equiv=refresh content=1><title>{title}</title>\
         <style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;\
         margin:12vh auto;padding:0 1rem}}h1{{font-weight:400}}</style>\
         <h1>{headline}</h1><p>{advice}</html>\n"
    )
}

fn response(status: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(media));
    response
}
