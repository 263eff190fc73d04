//! From an accepted socket to a guest: what comes before the first byte of the protocol that the listener speaks.

mod tls;

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::deadline::Alarm;
use super::worker::{Client, Worker};
use crate::net::Transport;
use crate::net::tls::Shaken;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::wire::h1::Scheme;

/// A client that may be served.
pub struct Guest {
    /// Its connection; nothing of the listener's protocol was read from it.
    pub transport: Transport,
    /// Who asks: the other end of the socket, or whom a trusted PROXY header names.
    pub peer: SocketAddr,
    /// How it reached us.
    pub scheme: Scheme,
    /// HTTP/2 was agreed on by ALPN.
    pub http2: bool,
    /// The alarm of its task.
    pub alarm: Alarm,
    /// Its place in the worker's register.
    pub place: Client,
}

/// Lets a client in, or closes its connection.
pub async fn admit(worker: &Rc<Worker>, listener: &ListenerView, socket: TcpStream, peer: SocketAddr) -> Option<Guest> {
    let alarm = worker.deadlines.alarm();
    let place = worker.clients.enter(worker, &alarm);
    if listener.config.tls.is_none() {
        return Some(Guest { transport: socket.into(), peer, scheme: Scheme::Http, http2: false, alarm, place });
    }
    let until = clock::now().after(listener.config.timeouts.handshake);
    // A table without what the configuration asks for is never published; in the clear nobody is let in here.
    let tls = listener.tls.as_ref()?;
    // In a box of its own, so that no connection carries room for a handshake for the rest of its life.
    let shaken = Box::pin(tls::shake_hands(worker, listener, tls, socket, &alarm, until)).await?;
    let Shaken { transport, http2, .. } = shaken;
    Some(Guest { transport, peer, scheme: Scheme::Https, http2, alarm, place })
}
