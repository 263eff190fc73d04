//! Tasks that serve one stream after the other. A stream is short, and its task large: making one for each would cost an
//! allocation and copies of kilobytes a request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::stream::{Stream, serve_stream};

/// Waiting tasks kept per worker (some ten kilobytes each).
const KEPT: usize = 256;

/// A worker's waiting tasks; the one that waits since the shortest time is the first to work.
#[derive(Default)]
pub struct Crew {
    waiting: RefCell<Vec<Rc<Seat>>>,
}

/// Where a task takes up its next stream.
struct Seat {
    next: Cell<Option<Stream>>,
    task: Cell<Option<Waker>>,
}

impl Crew {
    /// Has a stream served by a task of its own.
    pub(super) fn serve(self: &Rc<Self>, stream: Stream) {
        match self.waiting.borrow_mut().pop() {
            Some(seat) => {
                seat.next.set(Some(stream));
                if let Some(task) = seat.task.take() {
                    task.wake();
                }
            }
            None => {
                let seat = Rc::new(Seat { next: Cell::new(Some(stream)), task: Cell::new(None) });
                tokio::task::spawn_local(work(Rc::clone(self), seat));
            }
        }
    }

    /// A task has nothing to do. False: there are enough that wait.
    fn wait(&self, seat: &Rc<Seat>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let room = waiting.len() < KEPT;
        if room {
            waiting.push(Rc::clone(seat));
        }
        room
    }
}

async fn work(crew: Rc<Crew>, seat: Rc<Seat>) {
    loop {
        let stream = poll_fn(|cx| match seat.next.take() {
            Some(stream) => Poll::Ready(stream),
            None => {
                seat.task.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        serve_stream(stream.await).await;
        if !crew.wait(&seat) {
            return;
        }
    }
}
