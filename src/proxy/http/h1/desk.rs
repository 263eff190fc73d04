//! Where requests are served. What one request needs is many times what a connection is, and most connections ask nothing
//! most of the time: so that room is the worker's. A connection is laid on a desk when its request begins and taken away
//! when that is done; the next one finds the desk as it is, without an allocation.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::connection::Connection;
use crate::proxy::http::memory::Scratch;
use crate::proxy::http::verdict::Finish;

/// Free desks kept per worker (some three kilobytes each).
const KEPT: usize = 256;

/// A worker's free desks; the one that was used last is the first to be used again.
#[derive(Default)]
pub struct Desks {
    free: RefCell<Vec<Desk>>,
}

struct Desk {
    /// It never ends. Between two requests it borrows nothing, and waits for what is put in.
    work: Pin<Box<dyn Future<Output = Infallible>>>,
    tray: Rc<Tray>,
}

/// What goes to a desk and comes from it. Nobody is woken: whoever puts something in looks for what comes out.
#[derive(Default)]
struct Tray {
    asked: Cell<Option<Box<Connection>>>,
    served: Cell<Option<(Box<Connection>, Finish)>>,
}

impl Desks {
    fn put_back(&self, desk: Desk) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(desk);
        }
    }
}

/// Serves one request of a connection, and gives it back. Dropped (or in a panic) the desk goes with it.
pub(super) async fn serve(connection: Box<Connection>, desks: &Desks) -> (Box<Connection>, Finish) {
    let free = desks.free.borrow_mut().pop();
    let mut desk = free.unwrap_or_else(|| Desk::new(connection.memory().scratch()));
    desk.tray.asked.set(Some(connection));
    let (connection, finish) = poll_fn(|cx| {
        let Poll::Pending = desk.work.as_mut().poll(cx);
        desk.tray.served.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    desks.put_back(desk);
    (connection, finish)
}

impl Desk {
    fn new(scratch: Box<Scratch>) -> Desk {
        let tray = Rc::<Tray>::default();
        Desk { work: Box::pin(work(Rc::clone(&tray), scratch)), tray }
    }
}

async fn work(tray: Rc<Tray>, mut scratch: Box<Scratch>) -> Infallible {
    loop {
        let asked = poll_fn(|_| tray.asked.take().map_or(Poll::Pending, Poll::Ready));
        let mut connection = asked.await;
        let finish = connection.serve(&mut scratch).await;
        scratch.shrink();
        tray.served.set(Some((connection, finish)));
    }
}
