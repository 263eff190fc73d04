//! Raw upstreams whose behaviour a test changes at any time, and which count what they executed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::black_hole::BlackHole;

/// How an upstream treats a request, once it has read it whole.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Write these bytes, then do that.
    Say(Vec<u8>, Then),
    /// Wait, then behave like this.
    After(Duration, Box<Behaviour>),
    /// Wait until it is told to go on, then behave like this.
    When(watch::Receiver<bool>, Box<Behaviour>),
    /// Write these bytes, then behave like this.
    Begin(Vec<u8>, Box<Behaviour>),
    /// Requests whose path begins so are treated like the first, all others like the second.
    OnPath(&'static str, Box<Behaviour>, Box<Behaviour>),
    /// Behave like this, but every so many requests that meet a connection used before find it closed.
    Racing(usize, Box<Behaviour>),
    /// Read the request and never answer.
    Hang,
    /// Answer with status 200 and the request's own body and head in it, as text.
    Echo,
    /// Answer before reading any body.
    Early(Vec<u8>, Then),
}

/// What happens to the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Ready for the next request.
    Keep,
    /// In order: FIN, over TLS after a close_notify.
    Close,
    /// FIN without a word, which is a cut over TLS.
    Fin,
    /// RST.
    Reset,
    /// Neither more bytes nor an end.
    Stall,
}

impl Behaviour {
    /// A whole answer with this status and body.
    pub fn answer(status: u16, body: &str) -> Behaviour {
        Behaviour::Say(response(status, body), Then::Keep)
    }
    /// 200 with this body.
    pub fn ok(body: &str) -> Behaviour {
        Behaviour::answer(200, body)
    }
    /// Reset instead of an answer.
    pub fn reset() -> Behaviour {
        Behaviour::Say(Vec::new(), Then::Reset)
    }
    /// Close instead of an answer.
    pub fn close() -> Behaviour {
        Behaviour::Say(Vec::new(), Then::Close)
    }
    /// A head that promises `promised` bytes, `sent` of them, then that.
    pub fn cut(promised: usize, sent: usize, then: Then) -> Behaviour {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n");
        Behaviour::Say([head.into_bytes(), vec![b'x'; sent]].concat(), then)
    }
    /// The same, later.
    pub fn after(self, wait: Duration) -> Behaviour {
        Behaviour::After(wait, Box::new(self))
    }
    /// The same, when it is told.
    pub fn when(self, told: &watch::Sender<bool>) -> Behaviour {
        Behaviour::When(told.subscribe(), Box::new(self))
    }
    /// The same, but on this path like the other.
    pub fn but(self, path: &'static str, other: Behaviour) -> Behaviour {
        Behaviour::OnPath(path, Box::new(other), Box::new(self))
    }
    /// The same behind a health page that says all is well.
    pub fn green(self) -> Behaviour {
        self.but("/health", Behaviour::ok("green"))
    }
}

/// A whole HTTP/1.1 answer.
pub fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

struct State {
    behaviour: Mutex<Behaviour>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<Vec<u8>>>,
    executed: Mutex<HashMap<String, usize>>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    shaken: AtomicUsize,
    resumed: AtomicUsize,
    reused: AtomicUsize,
    frozen: watch::Sender<bool>,
}

/// An upstream on a port of its own.
pub struct Upstream {
    /// Where it listens, also after [`Upstream::refuse`] and [`Upstream::listen_again`].
    pub address: SocketAddr,
    state: Arc<State>,
    life: Option<Life>,
    hole: Option<BlackHole>,
}

/// While it listens.
struct Life {
    end: watch::Sender<()>,
    socket: Socket,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(behaviour: Behaviour) -> Upstream {
        Upstream::begin(behaviour, None).await
    }

    /// Over TLS.
    pub async fn start_tls(behaviour: Behaviour, tls: Arc<ServerConfig>) -> Upstream {
        Upstream::begin(behaviour, Some(tls)).await
    }

    /// Shows another certificate from now on.
    pub fn certify(&self, tls: Arc<ServerConfig>) {
        *self.state.tls.lock().unwrap() = Some(tls);
    }

    /// TLS handshakes that ended well.
    pub fn shaken(&self) -> usize {
        self.state.shaken.load(Ordering::SeqCst)
    }

    /// Those among them that resumed a session of before.
    pub fn resumed(&self) -> usize {
        self.state.resumed.load(Ordering::SeqCst)
    }

    async fn begin(behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            heads: Mutex::default(),
            bodies: Mutex::default(),
            executed: Mutex::default(),
            tls: Mutex::new(tls),
            shaken: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            reused: AtomicUsize::new(0),
            frozen: watch::channel(false).0,
        });
        let life = Some(Upstream::serve(listener, state.clone()));
        Upstream { address, state, life, hole: None }
    }

    fn serve(listener: TcpListener, state: Arc<State>) -> Life {
        let socket = SockRef::from(&listener).try_clone().expect("a descriptor");
        let (life, alive) = watch::channel(());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut end = alive.clone();
            loop {
                tokio::select! {
                    accepted = unless_frozen(&state, listener.accept()) => {
                        let Ok((stream, _)) = accepted else { continue };
                        state.accepted.fetch_add(1, Ordering::SeqCst);
                        connections.spawn(connection(stream, state.clone(), alive.clone()));
                    }
                    _ = end.changed() => break,
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        Life { end: life, socket, task }
    }

    /// From now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// Stops listening and resets every connection: connects are refused.
    pub async fn refuse(&mut self) {
        if let Some(Life { end, socket, task }) = self.life.take() {
            drop((end, socket));
            task.await.expect("no panic upstream");
        }
    }

    /// Listens again on the same port.
    pub async fn listen_again(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).expect("the port is still ours");
        self.life = Some(Upstream::serve(socket.listen(1024).unwrap(), self.state.clone()));
    }

    /// Stands still as by SIGSTOP: its kernel goes on to accept connections and bytes.
    pub fn freeze(&self) {
        self.state.frozen.send_replace(true);
    }

    /// Goes on where it stood still, with what has come meanwhile.
    pub fn thaw(&self) {
        self.state.frozen.send_replace(false);
    }

    /// Stands still, and connects are not even answered.
    pub async fn vanish(&mut self) {
        self.freeze();
        let socket = self.life.as_ref().expect("it listens").socket.try_clone().expect("a descriptor");
        self.hole = Some(BlackHole::fill(socket).await);
    }

    /// Is there again after [`Upstream::vanish`].
    pub fn reappear(&mut self) {
        self.hole = None;
        self.life.as_ref().expect("it listens").socket.listen(1024).expect("it did before");
        self.thaw();
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
    /// Connections open now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
    /// Requests read whole (or, for [`Behaviour::Early`], their heads) since the start.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
    /// How often the request with this `X-Request-Id` was executed.
    pub fn executed(&self, id: &str) -> usize {
        self.state.executed.lock().unwrap().get(id).copied().unwrap_or(0)
    }
    /// The heads of all requests, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }
    /// The bodies of all requests, decoded.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.state.bodies.lock().unwrap().clone()
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, mut alive: watch::Receiver<()>) {
    state.open.fetch_add(1, Ordering::SeqCst);
    let tls = state.tls.lock().unwrap().clone();
    match tls {
        None => serve(stream, &state, &mut alive, |stream| stream).await,
        Some(config) => {
            let shaking = TlsAcceptor::from(config).accept(stream);
            if let Ok(stream) = shaking.await {
                state.shaken.fetch_add(1, Ordering::SeqCst);
                let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                state.resumed.fetch_add(usize::from(resumed), Ordering::SeqCst);
                serve(stream, &state, &mut alive, |stream| stream.get_ref().0).await;
            }
        }
    }
    state.open.fetch_sub(1, Ordering::SeqCst);
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    state: &State,
    alive: &mut watch::Receiver<()>,
    socket: impl Fn(&S) -> &TcpStream,
) {
    let then = tokio::select! {
        then = unless_frozen(state, requests(&mut stream, state)) => then,
        _ = alive.changed() => Then::Reset,
    };
    match then {
        Then::Reset => drop(socket(&stream).set_zero_linger()),
        Then::Close => drop(stream.shutdown().await),
        _ => {}
    }
}

/// Works only while the upstream does not stand still.
async fn unless_frozen<T>(state: &State, work: impl Future<Output = T>) -> T {
    let mut frozen = state.frozen.subscribe();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            _ = frozen.wait_for(|frozen| *frozen) => {}
            done = &mut work => return done,
        }
        let _ = frozen.wait_for(|frozen| !*frozen).await;
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, state: &State) -> Then {
    let mut input = Vec::new();
    let mut used = false;
    loop {
        let Some(head) = read_head(stream, &mut input).await else { return Then::Close };
        let mut behaviour = state.behaviour.lock().unwrap().clone();
        let path = head.split(' ').nth(1).unwrap_or_default();
        while let Behaviour::OnPath(prefix, there, elsewhere) = behaviour {
            behaviour = if path.starts_with(prefix) { *there } else { *elsewhere };
        }
        if let Behaviour::Racing(every, inner) = behaviour {
            if used && (state.reused.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every) {
                return Then::Reset;
            }
            behaviour = *inner;
        }
        used = true;
        state.heads.lock().unwrap().push(head.clone());
        if let Behaviour::Early(bytes, then) = &behaviour {
            state.requests.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(bytes).await;
            match then {
                Then::Stall => std::future::pending().await,
                then => return *then,
            }
        }
        if header(&head, "expect").is_some() && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Then::Close;
        }
        let Some(body) = read_body(stream, &mut input, &head).await else { return Then::Close };
        state.bodies.lock().unwrap().push(body.clone());
        if let Some(id) = header(&head, "x-request-id") {
            *state.executed.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        match answer(stream, behaviour, &head, &body).await {
            Then::Keep => {}
            then => return then,
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    behaviour: Behaviour,
    head: &str,
    body: &[u8],
) -> Then {
    let mut behaviour = behaviour;
    loop {
        behaviour = match behaviour {
            Behaviour::After(wait, inner) => {
                tokio::time::sleep(wait).await;
                *inner
            }
            Behaviour::When(mut told, inner) => {
                let _ = told.wait_for(|told| *told).await;
                *inner
            }
            Behaviour::Begin(bytes, inner) => {
                if stream.write_all(&bytes).await.is_err() {
                    return Then::Close;
                }
                *inner
            }
            done => {
                behaviour = done;
                break;
            }
        }
    }
    let (bytes, then) = match behaviour {
        Behaviour::Say(bytes, then) | Behaviour::Early(bytes, then) => (bytes, then),
        Behaviour::Echo => (response(200, &format!("{head}\r\n\r\n{}", String::from_utf8_lossy(body))), Then::Keep),
        _ => (Vec::new(), Then::Stall),
    };
    if stream.write_all(&bytes).await.is_err() {
        return Then::Close;
    }
    if then == Then::Stall {
        // Until the other side gives up.
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
        return Then::Close;
    }
    then
}

/// The head without its empty line; `None` at the end of the stream.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&input[..end]).into_owned();
            input.drain(..end + 4);
            return Some(head);
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

/// The body that belongs to this head, decoded; `None` when it is cut short.
pub async fn read_body<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Vec<u8>, head: &str) -> Option<Vec<u8>> {
    if header(head, "transfer-encoding").is_some() {
        return read_chunked(stream, input).await;
    }
    let length = header(head, "content-length").map_or(Some(0), |value| value.parse::<usize>().ok())?;
    while input.len() < length {
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
    Some(input.drain(..length).collect())
}

async fn read_chunked<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream, input).await?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            while !read_line(stream, input).await?.is_empty() {}
            return Some(body);
        }
        while input.len() < size + 2 {
            if stream.read_buf(input).await.ok()? == 0 {
                return None;
            }
        }
        body.extend(input.drain(..size));
        input.drain(..2);
    }
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = input.windows(2).position(|window| window == b"\r\n") {
            let line = String::from_utf8_lossy(&input[..end]).into_owned();
            input.drain(..end + 2);
            return Some(line);
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

/// The first field of this name (lower case).
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
