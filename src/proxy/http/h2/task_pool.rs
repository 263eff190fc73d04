//! Tasks that serve one stream after the other. A stream is short, and its task large: making one for each would cost an
//! allocation and copies of kilobytes a request.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::stream::{OpenedStream, serve_stream};

/// Waiting tasks kept per worker (some ten kilobytes each).
const KEPT: usize = 256;

/// A worker's waiting tasks; the one that waits since the shortest time is the first to work.
#[derive(Default)]
pub struct TaskPool {
    waiting: RefCell<Vec<Rc<TaskSlot>>>,
}

/// Where a task takes up its next stream.
struct TaskSlot {
    next: Cell<Option<OpenedStream>>,
    task: Cell<Option<Waker>>,
}

impl TaskPool {
    /// Has a stream served by a task of its own.
    pub(super) fn serve(self: &Rc<Self>, stream: OpenedStream) {
        match self.waiting.borrow_mut().pop() {
            Some(slot) => {
                slot.next.set(Some(stream));
                if let Some(task) = slot.task.take() {
                    task.wake();
                }
            }
            None => {
                let slot = Rc::new(TaskSlot { next: Cell::new(Some(stream)), task: Cell::new(None) });
                tokio::task::spawn_local(work(Rc::clone(self), slot));
            }
        }
    }

    /// A task has nothing to do. False: there are enough that wait.
    fn wait(&self, slot: &Rc<TaskSlot>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let room = waiting.len() < KEPT;
        if room {
            waiting.push(Rc::clone(slot));
        }
        room
    }
}

async fn work(tasks: Rc<TaskPool>, slot: Rc<TaskSlot>) {
    loop {
        let stream = poll_fn(|cx| match slot.next.take() {
            Some(stream) => Poll::Ready(stream),
            None => {
                slot.task.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        serve_stream(stream.await).await;
        if !tasks.wait(&slot) {
            return;
        }
    }
}
