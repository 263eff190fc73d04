//! Tunnels: what a client's and an endpoint's connection become when a 101 has switched them to another protocol.
//!
//! From then on bytes are relayed as they come, what was read ahead of them first. The request lives on: its permit, its place
//! in flight and its pool term are held, and it is counted and logged at the end. A WebSocket that a switch or a stop ends is
//! closed in order: Close with status 1001 to both sides, between two frames, where a reset would come otherwise.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::client::ClientExchange;
use super::exchange::UpstreamExchange;
use super::memory::HttpMemory;
use super::request::Request;
use super::verdict::{ConnectionFate, TunnelProtocol};
use crate::config::Route;
use crate::net::{Stream, Transport};
use crate::proxy::buffer::Buffer;
use crate::proxy::guarded::WaitError;
use crate::proxy::tcp::{Direction, Relay, RelayEnd, RelayStream, SilenceLimits};
use crate::proxy::termination::{end_termination, interruption};
use crate::proxy::upstream::{Destination, Dispatch};
use crate::routing::{InFlight, SessionVerdict};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::wire::h1;
use crate::wire::websocket::{Frames, GOING_AWAY, going_away_masked};

/// How long the close of a WebSocket takes at most: the rest of a frame, the Close, and the peers' own ends. Less than the time in
/// which a worker closes its connections.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(900);

/// The endpoint's side of a tunnel.
pub struct Tunnel {
    /// What was agreed on.
    pub protocol: TunnelProtocol,
    /// The connection.
    pub stream: Transport,
    /// What was read from it behind the 101.
    pub ahead: Buffer,
    /// Where it leads.
    pub destination: Destination,
    /// The place in flight.
    pub in_flight: InFlight,
}

impl<C: ClientExchange> Request<'_, C> {
    /// A 101 has come: queues it for the client and returns the protocol. `None`: the client did not offer that.
    pub(super) fn switch<E: UpstreamExchange>(
        &mut self,
        exchange: &E,
        dispatch: &mut Dispatch<'_>,
        route: &Route,
        destination: &Destination,
    ) -> Option<TunnelProtocol> {
        let name = h1::agreed(self.head, &route.upgrades, exchange.reply()).filter(|_| exchange.is_sent())?;
        let websocket = name.eq_ignore_ascii_case(b"websocket");
        let now = clock::now();
        destination.endpoint().stats.count_response(self.context.core.id, exchange.reply().status());
        dispatch.answered(destination, true, now);
        dispatch.record_good(destination);
        self.account.answered(exchange.reply().status(), now);
        self.client.begin(exchange.reply(), &route.response_headers, false);
        Some(if websocket { TunnelProtocol::WebSocket } else { TunnelProtocol::Opaque })
    }

    /// Relays until both sides have ended, or the tunnel is ended.
    pub(super) async fn tunnel(&mut self, tunnel: Tunnel, dispatch: &mut Dispatch<'_>) -> ConnectionFate {
        let Tunnel { protocol, mut stream, ahead, destination, in_flight } = tunnel;
        let core = self.context.core;
        if let Err(interrupted) = self.flush().await {
            stream.reset_on_close();
            return self.abort(match interrupted {
                WaitError::Late => Termination::ClientTimeout,
                interrupted => interruption(interrupted, core),
            });
        }
        let alarm = self.context.alarm;
        let Some((client, client_ahead)) = self.client.hand_over() else {
            stream.reset_on_close();
            return self.abort(Termination::Internal);
        };
        let frames = (protocol == TunnelProtocol::WebSocket).then(Frames::new);
        let mut client = TunnelEnd { ahead: client_ahead, stream: client, frames };
        let mut endpoint = TunnelEnd { ahead, stream: &mut stream, frames };
        let mut relay = Relay::new(&core.buffers);
        let silence = SilenceLimits::both(dispatch.service().config.timeouts.tunnel);
        let end = relay.run(&mut client, &mut endpoint, &core.shared, alarm, silence, || {}).await;
        let mut in_order = end == RelayEnd::Closed;
        if end == RelayEnd::Killed && protocol == TunnelProtocol::WebSocket {
            in_order = close_in_order(self.context.memory, &mut relay, &mut client, &mut endpoint, &destination).await;
        } else if !in_order {
            endpoint.stream.reset_on_close();
        }
        let moved = relay.moved();
        in_flight.stats().count_bytes(core.id, moved.up, moved.down);
        // Cut, unless the client had ended first or a Close had passed: many servers answer that with a reset.
        let closed = [client.frames, endpoint.frames].iter().flatten().any(Frames::is_closed);
        if end == RelayEnd::Upstream && !moved.client_left_first && !closed {
            dispatch.record_cut(&destination);
        }
        self.account.received = moved.up;
        self.account.sent = moved.down;
        self.account.termination = end_termination(end, core);
        if in_order { ConnectionFate::Close } else { ConnectionFate::Abort }
    }
}

/// One end of a tunnel: what was read ahead, then the connection. Follows the frames that go to it.
struct TunnelEnd<'a, S: ?Sized> {
    ahead: Buffer,
    stream: &'a mut S,
    frames: Option<Frames>,
}

impl<S: Stream + ?Sized> RelayStream for TunnelEnd<'_, S> {
    fn bare(&self) -> Option<&TcpStream> {
        if self.frames.is_some() || !self.ahead.is_empty() { None } else { self.stream.bare() }
    }
}

impl<S: AsyncRead + Unpin + ?Sized> AsyncRead for TunnelEnd<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let side = self.get_mut();
        if side.ahead.is_empty() {
            return Pin::new(&mut *side.stream).poll_read(cx, into);
        }
        let count = side.ahead.len().min(into.remaining());
        into.put_slice(&side.ahead.bytes()[..count]);
        side.ahead.consume(count);
        side.ahead.release();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin + ?Sized> AsyncWrite for TunnelEnd<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let side = self.get_mut();
        let count = ready!(Pin::new(&mut *side.stream).poll_write(cx, bytes))?;
        if let Some(frames) = &mut side.frames {
            frames.pass(&bytes[..count]);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Closes both sides of a WebSocket, and waits a little for the peers to close too. The endpoint is reset unless that
/// went well, or at once where a switch fences it off (`sessions: close`). False: the client is to be reset too.
async fn close_in_order<S: Stream + ?Sized>(
    memory: &HttpMemory,
    relay: &mut Relay,
    client: &mut TunnelEnd<'_, S>,
    endpoint: &mut TunnelEnd<'_, Transport>,
    destination: &Destination,
) -> bool {
    let core = &memory.pools.core;
    let (pool_term, id) = memory.pool_term(destination);
    let verdict = core.table().verdict(&pool_term, id, clock::now());
    let fenced = !core.is_draining() && verdict == SessionVerdict::Close;
    let mask = core.pick.borrow_mut().rng.u32(..).to_be_bytes();
    let masked = going_away_masked(mask);
    let mut to_client = TunnelClose { direction: &mut relay.down, words: &GOING_AWAY, begun: false, ends: true };
    let mut to_endpoint = TunnelClose { direction: &mut relay.up, words: &masked, begun: false, ends: !fenced };
    // The request's own alarm was killed.
    let alarm = core.deadlines.alarm();
    alarm.set(clock::now().after(CLOSE_TIMEOUT));
    let (mut client_told, mut endpoint_told) = (None, None);
    poll_fn(|cx| {
        once(&mut client_told, || to_client.poll(cx, endpoint, client));
        once(&mut endpoint_told, || to_endpoint.poll(cx, client, endpoint));
        if fenced || (client_told.is_some() && endpoint_told.is_some()) {
            return Poll::Ready(());
        }
        alarm.poll(cx).map(|_| ())
    })
    .await;
    let (client_told, endpoint_told) = (client_told == Some(true), endpoint_told == Some(true));
    if fenced || !endpoint_told {
        endpoint.stream.reset_on_close();
    }
    if fenced {
        return client_told;
    }
    // Closed now, a connection on which more comes would be reset, and the Close might be lost with it.
    let (mut client_ended, mut endpoint_ended) = (!client_told, !endpoint_told);
    poll_fn(|cx| {
        client_ended = client_ended || poll_end(cx, client.stream).is_ready();
        endpoint_ended = endpoint_ended || poll_end(cx, endpoint.stream).is_ready();
        if client_ended && endpoint_ended { Poll::Ready(()) } else { alarm.poll(cx).map(|_| ()) }
    })
    .await;
    client_told
}

/// Polls until the first result; true: it was good.
fn once(done: &mut Option<bool>, poll: impl FnOnce() -> Poll<io::Result<()>>) {
    if done.is_none()
        && let Poll::Ready(result) = poll()
    {
        *done = Some(result.is_ok());
    }
}

/// The last of one direction: what is left of the frame that has begun, the Close, the end.
struct TunnelClose<'a> {
    direction: &'a mut Direction,
    /// The bytes that are left to send.
    words: &'a [u8],
    /// Some of them are sent.
    begun: bool,
    /// The stream is closed in order then, not reset.
    ends: bool,
}

impl TunnelClose<'_> {
    fn poll<F, T>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TunnelEnd<'_, F>,
        to: &mut TunnelEnd<'_, T>,
    ) -> Poll<io::Result<()>>
    where
        F: AsyncRead + Unpin + ?Sized,
        T: AsyncWrite + Unpin + ?Sized,
    {
        if self.direction.is_shut() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let frames = to.frames.unwrap_or_default();
            if frames.is_closed() || self.words.is_empty() {
                let to = Pin::new(&mut *to);
                return if self.ends { to.poll_shutdown(cx) } else { to.poll_flush(cx) };
            }
            let rest = &mut self.direction.rest;
            if self.begun || frames.is_between() {
                let count = written(ready!(Pin::new(&mut *to).poll_write(cx, self.words))?)?;
                self.words = &self.words[count..];
                self.begun = true;
            } else if rest.is_empty() {
                if ready!(rest.poll_fill(cx, from))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            } else {
                let of_this_frame = frames.rest_of_frame(rest.bytes());
                let count = written(ready!(Pin::new(&mut *to).poll_write(cx, &rest.bytes()[..of_this_frame]))?)?;
                rest.consume(count);
                self.direction.moved += count as u64;
            }
        }
    }
}

fn written(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}

/// Reads what is no longer needed, to its end.
fn poll_end<S: AsyncRead + Unpin + ?Sized>(cx: &mut Context<'_>, stream: &mut S) -> Poll<()> {
    let mut bytes = [0; 2048];
    loop {
        let mut space = ReadBuf::new(&mut bytes);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut space)) {
            Ok(()) if !space.filled().is_empty() => {}
            _ => return Poll::Ready(()),
        }
    }
}
