//! Where requests are served. What one request needs is many times what a connection is, and most connections ask nothing
//! most of the time: so that room is the worker's. A connection is laid on a desk when its request begins and taken away
//! when that is done; the next one finds the desk as it is, without an allocation.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::connection::H1Connection;
use crate::proxy::http::memory::ExchangeScratch;
use crate::proxy::http::verdict::ConnectionFate;

/// Free desks kept per worker (some three kilobytes each).
const KEPT: usize = 256;

/// A worker's free desks; the one that was used last is the first to be used again.
#[derive(Default)]
pub struct SlotPool {
    free: RefCell<Vec<RequestSlot>>,
}

struct RequestSlot {
    /// It never ends. Between two requests it borrows nothing, and waits for what is put in.
    work: Pin<Box<dyn Future<Output = Infallible>>>,
    exchange_cell: Rc<SlotExchange>,
}

/// What goes to a slot's task and comes from it. No waker: the caller polls the task itself.
#[derive(Default)]
struct SlotExchange {
    asked: Cell<Option<Box<H1Connection>>>,
    served: Cell<Option<(Box<H1Connection>, ConnectionFate)>>,
}

impl SlotPool {
    fn put_back(&self, slot: RequestSlot) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT {
            free.push(slot);
        }
    }
}

/// Serves one request of a connection, and gives it back. Dropped (or in a panic) the desk goes with it.
pub(super) async fn serve(connection: Box<H1Connection>, slots: &SlotPool) -> (Box<H1Connection>, ConnectionFate) {
    let free = slots.free.borrow_mut().pop();
    let mut slot = free.unwrap_or_else(|| RequestSlot::new(connection.memory().scratch()));
    slot.exchange_cell.asked.set(Some(connection));
    let (connection, finish) = poll_fn(|cx| {
        let Poll::Pending = slot.work.as_mut().poll(cx);
        slot.exchange_cell.served.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    slots.put_back(slot);
    (connection, finish)
}

impl RequestSlot {
    fn new(scratch: Box<ExchangeScratch>) -> RequestSlot {
        let exchange_cell = Rc::<SlotExchange>::default();
        RequestSlot { work: Box::pin(work(Rc::clone(&exchange_cell), scratch)), exchange_cell }
    }
}

async fn work(exchange_cell: Rc<SlotExchange>, mut scratch: Box<ExchangeScratch>) -> Infallible {
    loop {
        let asked = poll_fn(|_| exchange_cell.asked.take().map_or(Poll::Pending, Poll::Ready));
        let mut connection = asked.await;
        let finish = connection.serve(&mut scratch).await;
        scratch.shrink();
        exchange_cell.served.set(Some((connection, finish)));
    }
}
