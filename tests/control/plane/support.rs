//! What the tests need: upstreams that misbehave on command, a control plane with a worker that takes up tables, and
//! waiting for conditions.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use standfast::access::{Grant, authorise};
use standfast::config::{self, Config};
use standfast::control::{self, ControlError, ControlHandle, ControlSetup, EndpointReport, ServiceReport, Status};
use standfast::decision::{Act, ActOutcome, Failure, Operational};
use standfast::routing::{EndpointStats, WorkerId, WorkerView};
use standfast::sys::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A check that finds a fault within a few of its probes.
pub const QUICK: &str =
    "health_check: {http: {path: /}, interval: 20ms, timeout: 1s, fast_interval: 10ms, fall: 2, rise: 1}";
/// A check whose first probe is the only one of a test.
pub const LAZY: &str = "health_check: {http: {path: /}, interval: 1h, timeout: 2s, fast_interval: 30m}";

/// Longer than anything here may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ask until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    #[allow(clippy::disallowed_methods, reason = "a test")]
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// What an upstream does with a connection.
#[derive(Clone, Debug)]
pub enum Manners {
    /// Read a request head, write this, keep the connection for the next one.
    Say(Vec<u8>),
    /// The same to the first request of a connection, and then this.
    First(Vec<u8>, Box<Manners>),
    /// Read and never answer.
    Hang,
    /// Close at once.
    Close,
}

impl Manners {
    /// An answer with this status, header lines (each ended by CRLF) and body.
    pub fn answer(status: u16, headers: &str, body: &str) -> Manners {
        Manners::Say(answer(status, headers, body))
    }

    pub fn ok() -> Manners {
        Manners::answer(200, "", "fine")
    }
}

pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Some\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server on a port of its own.
pub struct Upstream {
    pub address: SocketAddr,
    manners: Arc<Mutex<Manners>>,
    asked: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
    task: Option<JoinHandle<()>>,
}

impl Upstream {
    pub async fn start(manners: Manners) -> Upstream {
        Upstream::at("127.0.0.1:0".parse().unwrap(), manners).await.unwrap()
    }

    /// `None`: the address is taken.
    pub async fn at(address: SocketAddr, manners: Manners) -> Option<Upstream> {
        let listener = TcpListener::bind(address).await.ok()?;
        let address = listener.local_addr().unwrap();
        let mut upstream = Upstream {
            address,
            manners: Arc::new(Mutex::new(manners)),
            asked: Arc::default(),
            served: Arc::default(),
            last: Arc::default(),
            task: None,
        };
        upstream.serve(listener);
        Some(upstream)
    }

    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// Connections so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// The last request: its head and what it had of a body.
    pub fn last_request(&self) -> String {
        self.last.lock().unwrap().clone()
    }

    /// From now on connects are refused.
    pub async fn die(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listen again on the same port.
    pub async fn revive(&mut self) {
        let address = self.address;
        let listener = eventually("port free again", || async move { TcpListener::bind(address).await.ok() }).await;
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let (manners, asked, last) = (self.manners.clone(), self.asked.clone(), self.last.clone());
        let served = self.served.clone();
        self.task = Some(tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                open.spawn(attend(stream, manners.clone(), last.clone(), served.clone()));
                while open.try_join_next().is_some() {}
            }
        }));
    }
}

async fn attend(
    mut stream: TcpStream,
    manners: Arc<Mutex<Manners>>,
    last: Arc<Mutex<String>>,
    served: Arc<AtomicUsize>,
) {
    if matches!(*manners.lock().unwrap(), Manners::Close) {
        return;
    }
    let mut buffer = [0; 4096];
    let mut first = true;
    loop {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => head.extend_from_slice(&buffer[..n]),
            }
        }
        let blank = head.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let whole = blank + content_length(&head[..blank]);
        while head.len() < whole {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => head.extend_from_slice(&buffer[..n]),
            }
        }
        served.fetch_add(1, Ordering::SeqCst);
        *last.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
        let mut manners = manners.lock().unwrap().clone();
        if let Manners::First(answer, then) = manners {
            manners = if std::mem::take(&mut first) { Manners::Say(answer) } else { *then };
        }
        match manners {
            Manners::Say(answer) if stream.write_all(&answer).await.is_ok() => {}
            // Until the other side has had enough.
            Manners::Hang => while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {},
            Manners::Say(_) | Manners::Close | Manners::First(..) => return,
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(0, |length| length.parse().unwrap())
}

/// A configuration from its text.
pub fn read(text: &str) -> Config {
    config::parse(text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
}

/// A running control plane, and a worker that takes up every table. Dropped, it ends as in a crash.
pub struct Plane {
    pub handle: ControlHandle,
    gone: Arc<Notify>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

impl Plane {
    /// An act of somebody who may do everything.
    pub async fn act(&self, act: Act) -> Result<ActOutcome, ControlError> {
        let permit = authorise(&[Grant::admin()], act).unwrap();
        self.handle.act(permit, None).await.map(|report| report.outcome)
    }

    pub fn start(text: &str) -> Plane {
        Plane::with(read(text), None)
    }

    pub fn from_file(path: &Path) -> Plane {
        Plane::with(config::load(path).unwrap().config, Some(path))
    }

    pub fn with(config: Config, path: Option<&Path>) -> Plane {
        let path = path.map(Path::to_path_buf);
        let handle = control::start(ControlSetup { config, path, workers: 1 }).unwrap();
        let gone = Arc::new(Notify::new());
        let (published, ended) = (handle.published().clone(), gone.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let view = WorkerView::new(published, WorkerId(0));
                loop {
                    tokio::select! {
                        () = view.changed() => view.catch_up(|_| {}),
                        () = ended.notified() => return,
                    }
                }
            });
        });
        Plane { handle, gone }
    }

    pub async fn status(&self) -> Status {
        self.handle.status().await.unwrap()
    }

    pub async fn service(&self, name: &str) -> ServiceReport {
        self.status().await.services.into_iter().find(|s| &*s.name == name).unwrap()
    }

    pub async fn endpoint(&self, address: SocketAddr) -> EndpointReport {
        let status = self.status().await;
        let mut endpoints = status.services.into_iter().flat_map(|s| s.pools).flat_map(|p| p.endpoints);
        endpoints.find(|e| e.state.address == address).unwrap()
    }

    /// Wait until this endpoint stands so; its report then.
    pub async fn stands(&self, upstream: &Upstream, wanted: Operational) -> EndpointReport {
        eventually(&format!("{} is {wanted:?}", upstream.address), || async {
            Some(self.endpoint(upstream.address).await).filter(|e| e.state.standing.operational == wanted)
        })
        .await
    }

    /// Wait until this pool is the active one; the service's report then.
    pub async fn active(&self, service: &str, pool: &str) -> ServiceReport {
        eventually(&format!("{service} on {pool}"), || async {
            Some(self.service(service).await).filter(|s| s.active.as_deref() == Some(pool))
        })
        .await
    }

    /// A request of the data plane failed so at this upstream.
    pub fn failed(&self, upstream: &Upstream, failure: Failure) {
        if self.stats(upstream).record_failure(0, failure, false, clock::now()) {
            self.handle.published().urgent();
        }
    }

    /// The data plane got a good answer from this pool of the service `s`.
    pub fn answered(&self, pool: usize) {
        let published = self.handle.published();
        if published.load().service("s").unwrap().answered(pool, clock::now(), clock::now()) {
            published.urgent();
        }
    }

    /// The counters that workers write.
    pub fn stats(&self, upstream: &Upstream) -> Arc<EndpointStats> {
        let table = self.handle.published().load();
        let mut endpoints = table.services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.endpoints);
        endpoints.find(|e| e.address == upstream.address).unwrap().stats.clone()
    }
}

/// A service with one pool for each list of upstreams, named a, b, c …; `more` is YAML at the level of the service's keys.
pub fn service(name: &str, more: &str, pools: &[&[&Upstream]]) -> String {
    let mut text = format!("  {name}:\n");
    for line in more.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text.push_str("    pools:\n");
    for (letter, pool) in ('a'..).zip(pools) {
        let endpoints: Vec<String> = pool.iter().map(|upstream| format!("\"{}\"", upstream.address)).collect();
        text.push_str(&format!("      - {{name: {letter}, endpoints: [{}]}}\n", endpoints.join(", ")));
    }
    text
}

/// A whole file: one TCP listener on a free port for each service (nothing may be referred to by nobody).
pub fn file(services: &[(&str, String)], more: &str) -> String {
    let mut text = format!("{more}listeners:\n");
    for (name, service) in services {
        let protocol = if service.contains("protocol: tcp") { "tcp" } else { "http" };
        let target = match protocol {
            "tcp" => format!("service: {name}"),
            _ => format!("routes: [{{service: {name}}}]"),
        };
        text.push_str(&format!("  - {{name: {name}, bind: \"127.0.0.1:0\", protocol: {protocol}, {target}}}\n"));
    }
    text.push_str("services:\n");
    text.extend(services.iter().map(|(_, service)| service.as_str()));
    text
}
