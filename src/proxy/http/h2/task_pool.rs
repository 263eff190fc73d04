//! Pooled tasks, each of which serves one stream after the other. A stream is short, and its task large: a task for each would
//! cost an allocation and copies of kilobytes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::stream::{OpenedStream, serve_stream};

/// Waiting tasks kept per worker (some ten kilobytes each).
const KEPT: usize = 256;

/// A worker's waiting tasks; the one that was used last is the first to be used again.
#[derive(Default)]
pub struct TaskPool {
    waiting: RefCell<Vec<Rc<TaskSlot>>>,
}

/// A task's next stream.
struct TaskSlot {
    next: Cell<Option<OpenedStream>>,
    task: Cell<Option<Waker>>,
}

impl TaskPool {
    /// Serves a stream by a task of its own.
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

    /// A task waits for its next stream. False: enough tasks wait.
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
