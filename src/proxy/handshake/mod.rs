//! From an accepted socket to an [`AcceptedConn`]: PROXY header and TLS, before the first byte of the listener's protocol.

mod header;
mod tls;

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::clients::ClientEntry;
use super::deadline::Alarm;
use super::worker_core::WorkerCore;
use crate::config::{Bind, Target};
use crate::net::Transport;
use crate::net::listen::canonical;
use crate::net::tls::TlsAccepted;
use crate::routing::{ConnRejection, ListenerView};
use crate::sys::clock;
use crate::wire::h1::Scheme;
use crate::wire::proxy_protocol::ConnectionEnds;

pub use header::hurry;

/// A client connection after its PROXY header and TLS handshake. On a listener that passes TLS through, its alarm is armed for
/// the ClientHello.
pub struct AcceptedConn {
    /// Its connection; nothing of the listener's protocol was read from it.
    pub transport: Transport,
    /// The client: the other end of the socket, or the one that a trusted PROXY header names.
    pub peer: SocketAddr,
    /// The address that it reached, ours or that of the proxy before us.
    pub reached: SocketAddr,
    /// How it reached us.
    pub scheme: Scheme,
    /// HTTP/2 was agreed on by ALPN.
    pub http2: bool,
    /// The alarm of its task.
    pub alarm: Alarm,
    /// Its entry in the worker's register.
    pub entry: ClientEntry,
}

/// Reads the PROXY header and sets up TLS, where the listener has them; `None`: the connection was closed. (Boxed: it moves from
/// one future to the next, and each would have room for it.)
pub async fn admit(
    core: &WorkerCore,
    listener: &ListenerView,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<Box<AcceptedConn>> {
    let alarm = core.deadlines.alarm();
    let entry = core.clients.enter(&alarm);
    let config = &listener.config;
    let until = clock::now().after(config.timeouts.handshake);
    if config.proxy_protocol.is_some() || matches!(config.target, Target::Sni(_)) {
        alarm.set(until);
    }
    let ConnectionEnds { source: peer, destination: reached } = match ends(core, listener, &socket, peer, &alarm).await
    {
        Ok(ends) => ends,
        Err(rejection) => {
            listener.stats.count_conn_rejection(core.id, rejection);
            return None;
        }
    };
    if config.tls.is_none() {
        let transport = socket.into();
        return Some(Box::new(AcceptedConn {
            transport,
            peer,
            reached,
            scheme: Scheme::Http,
            http2: false,
            alarm,
            entry,
        }));
    }
    // A table without what the configuration asks for is never published; no connection is taken in the clear here.
    let tls = listener.tls.as_ref()?;
    // In a box of its own, so that no connection has room for a handshake to its end.
    let shaken = Box::pin(tls::tls_handshake(core, listener, tls, socket, &alarm, until)).await?;
    let TlsAccepted { transport, http2, .. } = shaken;
    Some(Box::new(AcceptedConn { transport, peer, reached, scheme: Scheme::Https, http2, alarm, entry }))
}

/// Both ends of the client's connection, by the PROXY header or by the socket itself.
async fn ends(
    core: &WorkerCore,
    listener: &ListenerView,
    socket: &TcpStream,
    peer: SocketAddr,
    alarm: &Alarm,
) -> Result<ConnectionEnds, ConnRejection> {
    if let Some(proxy) = &listener.config.proxy_protocol
        && let Some(ends) = Box::pin(header::take_header(core, proxy, socket, peer, alarm)).await?
    {
        return Ok(ConnectionEnds { source: canonical(ends.source), destination: canonical(ends.destination) });
    }
    let destination = match listener.config.bind[..] {
        [Bind::Address(bind)] if !bind.ip().is_unspecified() && bind.port() != 0 => bind,
        // Of several addresses the socket knows which one was reached.
        _ => socket.local_addr().map(canonical).map_err(|_| ConnRejection::Closed)?,
    };
    Ok(ConnectionEnds { source: peer, destination })
}
