//! The TLS handshake with a client: within its deadline, ended by a stop, counted by how it went.

use std::rc::Rc;

use tokio::net::TcpStream;

use super::header::hurry;
use crate::decision::Moment;
use crate::net::tls::{Handshake, ServerTls, Shaken};
use crate::proxy::deadline::Alarm;
use crate::proxy::upstream::{Interrupted, guarded};
use crate::proxy::worker::Worker;
use crate::routing::ListenerView;

/// Shakes hands before `until`. `None`: the connection is closed and the reason is counted.
pub async fn shake_hands(
    worker: &Rc<Worker>,
    listener: &ListenerView,
    tls: &ServerTls,
    socket: TcpStream,
    alarm: &Alarm,
    until: Moment,
) -> Option<Shaken> {
    alarm.set(until);
    let shaken = match guarded(alarm, &mut hurry(worker, alarm), tls.accept(socket)).await {
        Ok(shaken) => shaken.map_err(|(how, error)| (how, error.to_string())),
        Err(Interrupted::Late) => Err((Handshake::Timeout, "timeouts.handshake ran out".to_owned())),
        Err(Interrupted::Gone | Interrupted::Killed) => Err((Handshake::Closed, "stopped".to_owned())),
    };
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
