//! Layer 7: one request function, and the protocols that clients and endpoints speak around it.
//!
//! `request` is the list of steps of one request, `attempt` one try of it (`outline` what it says, `channel` what it goes
//! over, `waiting` when its answer is late, `hedge` what is done then), `body` the replay of its body, `upload` what of that has
//! to be here before the request has a permit, `least_rate` the deadline of both bodies, `respond` the one
//! place that maps failures to answers, `account` what is counted and logged at its end. `client` is what the request
//! function asks of a client's protocol, `exchange` what it asks of an endpoint's; `h1` and `h2` implement both.
//! `tunnel` is what becomes of both connections when a reply switches protocols.
mod account;
mod attempt;
mod body;
mod channel;
mod client;
mod exchange;
mod grpc;
mod h1;
mod h2;
mod hedge;
mod least_rate;
mod outline;
mod request;
mod respond;
mod tunnel;
mod upload;
mod waiting;

use std::rc::Rc;
use std::sync::Arc;

pub use h1::Desks;
pub use h2::Crew;
pub use request::Scratch;

use super::buffer::Buffer;
use super::door::Guest;
use super::worker::Worker;
use crate::config::Listener;
use crate::routing::{Handle, ListenerView};
use crate::sys::clock;

/// Serves one client connection of an HTTP listener, to its end: HTTP/2 if it was agreed on, or (in the clear) if its
/// first bytes say so.
pub async fn serve_connection(worker: &Rc<Worker>, listener: Arc<ListenerView>, guest: Box<Guest>) {
    let accepted = clock::now();
    let http2 = if guest.http2 {
        Http2 { listener, guest, ahead: Buffer::new(&worker.buffers) }
    } else {
        match h1::serve_connection(worker, listener, *guest, accepted).await {
            Some(http2) => http2,
            None => return,
        }
    };
    // Boxed: connections of HTTP/1 shall not be as large as those of HTTP/2.
    Box::pin(h2::serve_connection(worker, http2, accepted)).await;
}

/// A connection that speaks HTTP/2.
struct Http2 {
    listener: Arc<ListenerView>,
    guest: Box<Guest>,
    /// What was read of it already.
    ahead: Buffer,
}

/// The listener as this table has it, nearly always the same `Arc`; `None` when it is gone, or asks for something that the
/// clients who came in before were not asked for.
fn current<'t>(listener: &Arc<ListenerView>, table: &'t Handle) -> Option<&'t Arc<ListenerView>> {
    let same = |other: &&Arc<ListenerView>| Arc::ptr_eq(other, listener);
    let by_name = || table.listener(&listener.config.name).filter(|now| has_same_door(&listener.config, &now.config));
    table.listeners.iter().find(same).or_else(by_name)
}

/// TLS or not, the same demand for client certificates, the same rule of PROXY headers. (A certificate of ours that was
/// renewed sends nobody away.)
fn has_same_door(before: &Listener, now: &Listener) -> bool {
    let demand = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.client_auth.clone());
    demand(before) == demand(now) && before.proxy_protocol == now.proxy_protocol
}
