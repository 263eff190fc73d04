//! Pooled tasks that serve requests. A request needs many times the memory of a connection, and most connections are idle most of
//! the time: so that memory belongs to the worker. A connection takes a slot when its request begins and gives it back when
//! that is served; the next one uses the slot as it is, without an allocation.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::connection::H1Connection;
use crate::proxy::http::memory::ExchangeScratch;
use crate::proxy::http::verdict::ConnectionFate;

/// Free slots kept per worker (some three kilobytes each).
const KEPT: usize = 256;

/// A worker's free slots; the one that was used last is the first to be used again.
#[derive(Default)]
pub struct SlotPool {
    free: RefCell<Vec<RequestSlot>>,
}

struct RequestSlot {
    /// The task. It never ends; between two requests it holds no connection, and waits for one.
    work: Pin<Box<dyn Future<Output = Infallible>>>,
    mailbox: Rc<SlotMailbox>,
}

/// The connections that go to a slot's task and come from it. No waker: the caller polls the task itself.
#[derive(Default)]
struct SlotMailbox {
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

/// Serves one request of a connection, and gives the connection back. Dropped (or in a panic) the slot goes with it.
pub(super) async fn serve(connection: Box<H1Connection>, slots: &SlotPool) -> (Box<H1Connection>, ConnectionFate) {
    let free = slots.free.borrow_mut().pop();
    let mut slot = free.unwrap_or_else(|| RequestSlot::new(connection.memory().scratch()));
    slot.mailbox.asked.set(Some(connection));
    let (connection, finish) = poll_fn(|cx| {
        let Poll::Pending = slot.work.as_mut().poll(cx);
        slot.mailbox.served.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    slots.put_back(slot);
    (connection, finish)
}

impl RequestSlot {
    fn new(scratch: Box<ExchangeScratch>) -> RequestSlot {
        let mailbox = Rc::<SlotMailbox>::default();
        RequestSlot { work: Box::pin(work(Rc::clone(&mailbox), scratch)), mailbox }
    }
}

async fn work(mailbox: Rc<SlotMailbox>, mut scratch: Box<ExchangeScratch>) -> Infallible {
    loop {
        let asked = poll_fn(|_| mailbox.asked.take().map_or(Poll::Pending, Poll::Ready));
        let mut connection = asked.await;
        let finish = connection.serve(&mut scratch).await;
        scratch.shrink();
        mailbox.served.set(Some((connection, finish)));
    }
}
