//! The PROXY header, by which a proxy before this one names its client ahead of everything else.

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::ProxyProtocol;
use crate::net::stream;
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ConnRejection;
use crate::sys::clock;
use crate::wire::proxy_protocol::{ConnectionEnds, HeaderProgress, LONGEST, ProxyHeaderError, read};

/// How long a connection on which nothing came may hold up a stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Reads the header, by the armed alarm, and not one byte behind it. `None`: it names no client, and the ends are those of the
/// socket itself.
pub async fn take_header(
    core: &WorkerCore,
    proxy: &ProxyProtocol,
    socket: &TcpStream,
    peer: SocketAddr,
    alarm: &Alarm,
) -> Result<Option<ConnectionEnds>, ConnRejection> {
    if !is_trusted(proxy, peer) {
        return if proxy.required { Err(ConnRejection::Untrusted) } else { Ok(None) };
    }
    match guarded(alarm, &mut hurry(core, alarm), find_header(proxy, socket)).await {
        Ok(found) => found,
        Err(WaitError::Late) => Err(ConnRejection::Timeout),
        Err(WaitError::Gone | WaitError::Killed) => Err(ConnRejection::Closed),
    }
}

/// While the worker stops, no client is waited for in full: an interruption that never comes, and moves the alarm once.
pub fn hurry<'a>(core: &'a WorkerCore, alarm: &'a Alarm) -> impl FnMut(&mut Context<'_>) -> Poll<()> + 'a {
    let mut hurried = false;
    move |_| {
        if core.is_draining() && !std::mem::replace(&mut hurried, true) {
            alarm.hasten(clock::now().after(STOP_GRACE));
        }
        Poll::Pending
    }
}

fn is_trusted(proxy: &ProxyProtocol, peer: SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    proxy.required && proxy.trusted.is_empty() || proxy.trusted.iter().any(|network| network.contains(&ip))
}

async fn find_header(proxy: &ProxyProtocol, socket: &TcpStream) -> Result<Option<ConnectionEnds>, ConnRejection> {
    let mut known = 0;
    let progress = loop {
        match stream::peek_more::<LONGEST, _>(socket, &mut known, read).await {
            Ok(Some(Ok(HeaderProgress::Partial))) => {}
            Ok(Some(progress)) => break progress,
            // What came before the end may be a request of its own, where no header is required.
            Ok(None) if !proxy.required => return Ok(None),
            Ok(None) | Err(_) => return Err(ConnRejection::Closed),
        }
    };
    match progress {
        Ok(HeaderProgress::Complete { length, ends }) => {
            stream::take(socket, length).await.map_err(|_| ConnRejection::Closed)?;
            Ok(ends)
        }
        Err(ProxyHeaderError::Absent) if !proxy.required => Ok(None),
        Ok(HeaderProgress::Partial) | Err(ProxyHeaderError::Absent) => Err(ConnRejection::NoHeader),
        Err(ProxyHeaderError::Malformed(why)) => {
            tracing::debug!(why, "a malformed PROXY header");
            Err(ConnRejection::MalformedHeader)
        }
    }
}
