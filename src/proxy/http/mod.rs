//! Layer 7: one request function, and the protocols that clients and endpoints speak around it.
//!
//! `request` is the list of steps of one request, `attempt` one exchange of it (`upstream_try` its course,
//! `outline` its head, `channel` its connection, `waiting` when its answer is late, `hedge` the second try then, `answer` the
//! answer), `body` the replay of its body, `upload` what of that has to be here before the request has a permit, `least_rate`
//! the deadline of both bodies, `respond` the one place that maps failures to answers, `account` what is counted and logged at
//! its end. `client` is what the request function needs of a client's protocol, `exchange` what it needs of an endpoint's; `h1`
//! and `h2` implement both. `context` is what a request needs beside itself, `memory` what requests use one after the other,
//! `verdict` how tries end.
//! `listener` is the listener of a connection by the newest table.
//! `tunnel` is what becomes of both connections when a reply switches protocols.
mod account;
mod answer;
mod attempt;
mod body;
mod channel;
mod client;
mod context;
mod exchange;
mod grpc;
mod h1;
mod h2;
mod hedge;
mod least_rate;
mod listener;
mod memory;
mod outline;
mod request;
mod respond;
mod tunnel;
mod upload;
mod upstream_try;
mod verdict;
mod waiting;

use std::rc::Rc;
use std::sync::Arc;

use h1::SlotPool;
use h2::TaskPool;
use listener::Http2Conn;
use memory::HttpMemory;

use super::buffer::Buffer;
use super::handshake::AcceptedConn;
use super::upstream::UpstreamPools;
use crate::routing::ListenerView;
use crate::sys::clock;

/// The server of one worker's HTTP connections: memory for requests, and the tasks that serve them.
pub struct HttpServer {
    memory: Rc<HttpMemory>,
    /// Tasks for requests over HTTP/1.
    slots: SlotPool,
    /// Tasks for streams of HTTP/2.
    tasks: Rc<TaskPool>,
}

impl HttpServer {
    /// Nothing is served yet.
    pub fn new(pools: &Rc<UpstreamPools>) -> HttpServer {
        HttpServer { memory: Rc::new(HttpMemory::new(pools)), slots: SlotPool::default(), tasks: Rc::default() }
    }
}

/// Serves one client connection of an HTTP listener, to its end: HTTP/2 if it was agreed on, or (in the clear) if its
/// first bytes say so.
pub async fn serve_connection(server: &HttpServer, listener: Arc<ListenerView>, conn: Box<AcceptedConn>) {
    let HttpServer { memory, slots, tasks } = server;
    let accepted = clock::now();
    let http2 = if conn.http2 {
        Http2Conn { listener, conn, ahead: Buffer::new(&memory.pools.core.buffers) }
    } else {
        match h1::serve_connection(memory, slots, listener, *conn, accepted).await {
            Some(http2) => http2,
            None => return,
        }
    };
    // Boxed: connections of HTTP/1 shall not be as large as those of HTTP/2.
    Box::pin(h2::serve_connection(memory, tasks, http2, accepted)).await;
}
