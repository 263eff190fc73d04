//! The listener that a client's connection came in by, in the newest table; and a connection that turned out to speak HTTP/2.

use std::sync::Arc;

use crate::config::Listener;
use crate::proxy::buffer::Buffer;
use crate::proxy::handshake::AcceptedConn;
use crate::routing::{Handle, ListenerView};

/// A connection that speaks HTTP/2.
pub struct Http2Conn {
    /// Its listener.
    pub listener: Arc<ListenerView>,
    /// The connection.
    pub conn: Box<AcceptedConn>,
    /// What was read of it already.
    pub ahead: Buffer,
}

/// The listener as this table has it, nearly always the same `Arc`; `None` when it is gone, or demands something of
/// clients that was not demanded of those that connected before.
pub fn current<'t>(listener: &Arc<ListenerView>, table: &'t Handle) -> Option<&'t Arc<ListenerView>> {
    let same = |other: &&Arc<ListenerView>| Arc::ptr_eq(other, listener);
    let by_name =
        || table.listener(&listener.config.name).filter(|now| has_same_handshake(&listener.config, &now.config));
    table.listeners.iter().find(same).or_else(by_name)
}

/// TLS or not, the same demand for client certificates, the same rule of PROXY headers. (A certificate of ours that was
/// renewed closes no connection.)
fn has_same_handshake(before: &Listener, now: &Listener) -> bool {
    let demand = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.client_auth.clone());
    demand(before) == demand(now) && before.proxy_protocol == now.proxy_protocol
}
