//! Upstreams that speak HTTP/2: by the crate `h2`, or frame by frame.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::client::within;

type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = dyn Fn(AskedMethod) -> Answering + Send + Sync;

/// A request as an upstream got it.
pub struct AskedMethod {
    /// Which connection it came over, from 1.
    pub connection: usize,
    /// Which request of the upstream it is, from 1.
    pub number: usize,
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
}

impl AskedMethod {
    /// 200 with this body.
    pub fn say(mut self, body: &str) {
        let mut send = self.respond.send_response(Response::new(()), false).expect("the stream is open");
        send.send_data(Bytes::copy_from_slice(body.as_bytes()), true).expect("the stream is open");
    }

    /// The body, to its end.
    pub async fn body(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        read(self.request.body_mut()).await
    }

    /// Waits until the stream is reset.
    pub async fn reset(&mut self) -> Reason {
        within(std::future::poll_fn(|cx| self.respond.poll_reset(cx))).await.expect("a reset")
    }
}

/// A body, to its end.
pub async fn read(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).expect("it came");
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.unwrap_or_default())
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    goes_away: Notify,
}

/// An upstream that speaks HTTP/2.
pub struct Http2Upstream {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Http2Upstream {
    /// Every request goes to `handler`.
    pub async fn start<F>(handler: impl Fn(AskedMethod) -> F + Send + Sync + 'static) -> Http2Upstream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Http2Upstream::start_with(Builder::new(), handler).await
    }

    /// The same with other settings.
    pub async fn start_with<F>(
        builder: Builder,
        handler: impl Fn(AskedMethod) -> F + Send + Sync + 'static,
    ) -> Http2Upstream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let handler: Arc<Handler> = Arc::new(move |asked| Box::pin(handler(asked)));
        let accepting = tokio::spawn(accept(listener, builder, Arc::clone(&state), handler));
        Http2Upstream { address, state, accepting }
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Every connection says that it takes no further requests.
    pub fn go_away(&self) {
        self.state.goes_away.notify_waiters();
    }

    /// No port and no connections any more.
    pub fn die(&self) {
        self.accepting.abort();
        self.state.tasks.lock().expect("no panic").drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        self.die();
    }
}

async fn accept(listener: TcpListener, builder: Builder, state: Arc<State>, handler: Arc<Handler>) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).expect("alive");
        let connection = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let serving = serve(socket, builder.clone(), connection, Arc::clone(&state), Arc::clone(&handler));
        let task = tokio::spawn(serving);
        state.tasks.lock().expect("no panic").push(task);
    }
}

struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(socket: TcpStream, builder: Builder, connection: usize, state: Arc<State>, handler: Arc<Handler>) {
    state.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&state));
    let mut streams = tokio::task::JoinSet::new();
    let Ok(mut h2) = builder.handshake::<_, Bytes>(socket).await else { return };
    loop {
        tokio::select! {
            accepted = h2.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let number = state.requests.fetch_add(1, Ordering::SeqCst) + 1;
                    streams.spawn(handler(AskedMethod { connection, number, request, respond }));
                }
                _ => return,
            },
            () = state.goes_away.notified() => h2.graceful_shutdown(),
        }
    }
}

/// One connection of an upstream that writes its frames itself.
pub struct Raw {
    pub stream: TcpStream,
}

/// A frame's type.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
/// Flags.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it was read.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Raw {
    /// Accepts the next connection: reads the preface, sends SETTINGS.
    pub async fn accept(listener: &TcpListener) -> Raw {
        let mut raw = Raw::accept_silent(listener).await;
        raw.send(SETTINGS, 0, 0, &[]).await;
        raw
    }

    /// … without SETTINGS.
    pub async fn accept_silent(listener: &TcpListener) -> Raw {
        let (stream, _) = within(listener.accept()).await.expect("a connection");
        let mut raw = Raw { stream };
        let mut preface = [0; 24];
        within(raw.stream.read_exact(&mut preface)).await.expect("the preface");
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw
    }

    /// Writes a frame.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        // The other side may have gone: what is tested is what it made of what it got.
        let _ = self.stream.write_all(&bytes).await;
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        within(self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        within(self.stream.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind; `None` at the end.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

/// A header block without compression.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127, "one byte of length");
        block.push(0);
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}
