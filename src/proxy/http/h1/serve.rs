//! The life of a client's HTTP/1 connection: it waits, is served, and waits again, to its end.

use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use super::desk::{self, Desks};
use crate::proxy::door::Guest;
use crate::proxy::http::listener::Http2;
use crate::proxy::http::memory::HttpMemory;
use crate::proxy::http::verdict::Finish;
use crate::routing::ListenerView;
use crate::time::MonoTime;

/// Serves one client connection, to its end or to where it turns out to speak HTTP/2.
pub fn serve_connection<'s>(
    memory: &Rc<HttpMemory>,
    slots: &'s Desks,
    listener: Arc<ListenerView>,
    guest: Guest,
    accepted: MonoTime,
) -> impl Future<Output = Option<Http2>> + use<'s> {
    serve(Box::new(Connection::new(memory, listener, guest, accepted)), slots)
}

async fn serve(mut connection: Box<Connection>, slots: &Desks) -> Option<Http2> {
    loop {
        // Between two requests there is nothing but the connection.
        let mut finish = connection.park().await;
        if finish == Finish::Next {
            (connection, finish) = desk::serve(connection, slots).await;
        }
        if connection.is_http2 {
            return Some(connection.into_http2());
        }
        if finish != Finish::Next {
            connection.close(finish).await;
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http::memory::Scratch;

    /// Of the future that this makes.
    fn size<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_is_small_and_a_request_is_not_part_of_it() {
        let waiting = size_of::<Connection>()
            + size(|(connection, slots): (Box<Connection>, &'static Desks)| serve(connection, slots));
        let served =
            size(|(connection, scratch): (&'static mut Connection, &'static mut Scratch)| connection.serve(scratch));
        assert!(waiting <= 768 && waiting < served, "waiting: {waiting} bytes, served: {served}");
    }
}
