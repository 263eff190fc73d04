//! The life of a client's HTTP/1 connection: it waits, is served, and waits again, to its end.

use std::rc::Rc;
use std::sync::Arc;

use super::connection::H1Connection;
use super::request_slot::{self, SlotPool};
use crate::proxy::handshake::AcceptedConn;
use crate::proxy::http::listener::Http2Conn;
use crate::proxy::http::memory::HttpMemory;
use crate::proxy::http::verdict::ConnectionFate;
use crate::routing::ListenerView;
use crate::time::MonoTime;

/// Serves one client connection, to its end or to where it turns out to speak HTTP/2.
pub fn serve_connection<'s>(
    memory: &Rc<HttpMemory>,
    slots: &'s SlotPool,
    listener: Arc<ListenerView>,
    conn: AcceptedConn,
    accepted: MonoTime,
) -> impl Future<Output = Option<Http2Conn>> + use<'s> {
    serve(Box::new(H1Connection::new(memory, listener, conn, accepted)), slots)
}

async fn serve(mut connection: Box<H1Connection>, slots: &SlotPool) -> Option<Http2Conn> {
    loop {
        // Between two requests there is nothing but the connection.
        let mut finish = connection.park().await;
        if finish == ConnectionFate::Next {
            (connection, finish) = request_slot::serve(connection, slots).await;
        }
        if connection.is_http2 {
            return Some(connection.into_http2());
        }
        if finish != ConnectionFate::Next {
            connection.close(finish).await;
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http::memory::ExchangeScratch;

    /// Of the future that this makes.
    fn size<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_is_small_and_a_request_is_not_part_of_it() {
        let waiting = size_of::<H1Connection>()
            + size(|(connection, slots): (Box<H1Connection>, &'static SlotPool)| serve(connection, slots));
        let served = size(|(connection, scratch): (&'static mut H1Connection, &'static mut ExchangeScratch)| {
            connection.serve(scratch)
        });
        assert!(waiting <= 768 && waiting < served, "waiting: {waiting} bytes, served: {served}");
    }
}
