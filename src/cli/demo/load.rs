//! The demo's load: GETs and POSTs at a constant rate over keep-alive connections, without any retry of the client's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cli::embedded::LOAD_ID;

/// A client's patience.
const PATIENCE: Duration = Duration::from_secs(8);
/// An answer that took longer counts as slow.
pub const SLOW: Duration = Duration::from_millis(500);

/// Outcomes that may wait to be counted.
pub const QUEUE: usize = 1024;

/// Connections that are kept for the next request.
const IDLE: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct LoadPlan {
    /// Requests per second.
    pub rate: u32,
    /// Every n-th request is a POST.
    pub post_every: u64,
    /// What becomes of requests that were due while the demo was paused: `Burst` sends all of them.
    pub missed: MissedTickBehavior,
}

/// What became of one request.
#[derive(Clone, Debug)]
pub struct LoadOutcome {
    /// Was it a POST?
    pub post: bool,
    /// Which upstream answered, or how it failed.
    pub result: Result<String, String>,
    /// From the scheduled start to the end of the answer.
    pub took: Duration,
}

/// Sends until `stop` turns true, then waits for the answers. Each outcome goes to `outcomes` when it is known.
pub async fn run(proxy: SocketAddr, plan: LoadPlan, mut stop: watch::Receiver<bool>, outcomes: Sender<LoadOutcome>) {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut running = JoinSet::new();
    let mut clock = interval(Duration::from_secs(1) / plan.rate);
    clock.set_missed_tick_behavior(plan.missed);
    for number in 0_u64.. {
        tokio::select! {
            scheduled = clock.tick() => {
                let post = number % plan.post_every == plan.post_every - 1;
                let (idle, outcomes) = (idle.clone(), outcomes.clone());
                running.spawn(async move {
                    let outcome = one(proxy, post, number, scheduled, &idle).await;
                    // The demo has ended: nothing counts any more.
                    let _ = outcomes.send(outcome).await;
                });
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

type LoadConnection = SendRequest<Full<Bytes>>;

async fn one(
    proxy: SocketAddr,
    post: bool,
    number: u64,
    scheduled: Instant,
    idle: &Mutex<Vec<LoadConnection>>,
) -> LoadOutcome {
    let id = format!("load-{number}");
    #[allow(clippy::disallowed_methods, reason = "a client's patience, not the data path")]
    let result = match tokio::time::timeout(PATIENCE, exchange(proxy, post, &id, idle)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
    };
    LoadOutcome { post, result, took: scheduled.elapsed() }
}

async fn exchange(
    proxy: SocketAddr,
    post: bool,
    id: &str,
    idle: &Mutex<Vec<LoadConnection>>,
) -> Result<String, String> {
    let kept = idle.lock().await.pop();
    let mut connection = match kept {
        Some(connection) if !connection.is_closed() => connection,
        _ => connect(proxy).await.map_err(|e| format!("connect: {e}"))?,
    };
    let body = if post { Bytes::from_static(b"an order that must not run twice") } else { Bytes::new() };
    let request = Request::builder()
        .method(if post { Method::POST } else { Method::GET })
        .uri(if post { "/orders" } else { "/catalogue" })
        .header("host", "demo.local")
        .header(LOAD_ID, id)
        .body(Full::new(body))
        .map_err(|e| e.to_string())?;
    let response = connection.send_request(request).await.map_err(|e| format!("exchange: {e}"))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
    if connection.is_ready() || connection.ready().await.is_ok() {
        let mut idle = idle.lock().await;
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
    match status {
        StatusCode::OK => Ok(server(&String::from_utf8_lossy(&body))),
        other => Err(format!("status {}", other.as_u16())),
    }
}

async fn connect(proxy: SocketAddr) -> Result<LoadConnection, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let (sender, driver) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(sender)
}

/// The server's name in the demo upstreams' answers.
fn server(body: &str) -> String {
    body.trim_start_matches("hello from ").split([':', ' ']).next().unwrap_or_default().to_owned()
}
