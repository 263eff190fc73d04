//! The TLS handshake with a client: within its deadline, ended by a stop, counted by how it went.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::decision::Moment;
use crate::net::tls::{Handshake, ServerTls, Shaken};
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::worker::Worker;
use crate::routing::ListenerView;
use crate::sys::clock;

/// How long a handshake may go on when the worker stops.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Shakes hands before `until`. `None`: the connection is closed and the reason is counted.
pub async fn shake_hands(
    worker: &Worker,
    listener: &ListenerView,
    tls: &ServerTls,
    socket: TcpStream,
    alarm: &Alarm,
    until: Moment,
) -> Option<Shaken> {
    alarm.set(until);
    let mut hurried = false;
    let mut shaking = pin!(tls.accept(socket));
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(shaken) = shaking.as_mut().poll(cx) {
            return Poll::Ready(shaken.map_err(|(how, error)| (how, error.to_string())));
        }
        if worker.is_draining() && !std::mem::replace(&mut hurried, true) {
            alarm.set(clock::now().after(LAST_CALL).min(until));
        }
        alarm.poll(cx).map(|interrupt| {
            Err(match interrupt {
                Interrupt::Deadline => (Handshake::Timeout, "timeouts.handshake ran out".to_owned()),
                Interrupt::Killed => (Handshake::Closed, "stopped".to_owned()),
            })
        })
    })
    .await;
    alarm.clear();
    match shaken {
        Ok(shaken) => {
            listener.stats.count_handshake(worker.id, shaken.how);
            listener.stats.count_tls_version(worker.id, shaken.version);
            Some(shaken)
        }
        Err((how, reason)) => {
            listener.stats.count_handshake(worker.id, how);
            tracing::debug!(listener = &*listener.config.name, how = how.as_str(), reason, "TLS handshake failed");
            None
        }
    }
}
