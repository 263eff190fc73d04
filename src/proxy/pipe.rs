//! Kernel pipes, pooled per worker: bulk is spliced through one from socket to socket without being copied. A direction has one
//! only while there are bytes in it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::net::TcpStream;

use super::buffer::LARGE;
use crate::net::stream::poll_write_with;
use crate::net::{PipePermit, WorkerDescriptors};
use crate::sys::pipe;

/// Pipes per worker, two descriptors each; beyond, bulk is copied, so that slow readers cannot pin unbounded memory.
const MOST: usize = 128;
/// Room in one, if every piece fills its page. Twice and four times as much saves nothing, and peers on the same machine get
/// their windows in larger lumps than is good for them.
const SIZE: usize = 128 * 1024;
/// The most that is moved at once: pieces may be larger than a page.
const AT_ONCE: usize = LARGE;

/// A worker's pipes.
#[derive(Default)]
pub struct PipePool {
    /// Empty ones.
    free: RefCell<Vec<Pipe>>,
    /// The fewest free ones since they were last looked through.
    spare: Cell<usize>,
    /// Every pipe has a share in it.
    open: Rc<()>,
    /// The kernel has refused one a moment ago.
    refused: Cell<bool>,
    /// `None`: they are not counted.
    descriptors: Option<Arc<WorkerDescriptors>>,
}

impl PipePool {
    /// None yet; they are counted here.
    pub fn new(descriptors: Arc<WorkerDescriptors>) -> PipePool {
        PipePool { descriptors: Some(descriptors), ..PipePool::default() }
    }

    /// An empty pipe. `None`: there are too many already, or descriptors are short.
    pub fn take(&self) -> Option<Pipe> {
        let mut free = self.free.borrow_mut();
        if let Some(pipe) = free.pop() {
            self.spare.set(self.spare.get().min(free.len()));
            return Some(pipe);
        }
        if self.refused.get() || Rc::strong_count(&self.open) > MOST {
            return None;
        }
        let permit = match &self.descriptors {
            Some(descriptors) => Some(descriptors.try_pipe()?),
            None => None,
        };
        match pipe::open(SIZE) {
            Ok((read, write)) => Some(Pipe { read, write, held: 0, _open: Rc::clone(&self.open), _permit: permit }),
            Err(_) => {
                self.refused.set(true);
                None
            }
        }
    }

    /// Puts one back. One that is not empty is closed, as if dropped.
    pub fn put(&self, pipe: Pipe) {
        if pipe.is_empty() {
            self.free.borrow_mut().push(pipe);
        }
    }

    /// Closes those that were not needed since the last time, and asks the kernel again where it has refused.
    pub fn tidy(&self) {
        let mut free = self.free.borrow_mut();
        let needed = free.len() - self.spare.get().min(free.len());
        free.truncate(needed);
        self.spare.set(needed);
        self.refused.set(false);
    }

    /// Descriptors are short: closes all free ones.
    pub fn clear(&self) {
        self.free.borrow_mut().clear();
        self.spare.set(0);
        self.refused.set(true);
    }
}

/// Bytes between two sockets, in the kernel. Dropped, it forgets them.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    _open: Rc<()>,
    _permit: Option<PipePermit>,
}

impl Pipe {
    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills it, while it is empty, with at most `most` of what has come. `Ok(0)` only means that the stream has to be read: nothing
    /// has come, it has ended, or the kernel cannot do it (urgent data stops it, too).
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty(), "a full pipe would look like a quiet socket");
        ready!(from.poll_read_ready(cx))?;
        // Readiness stays: less than asked for does not mean that there is no more, only reading knows that.
        self.held = match pipe::splice(from, &self.write, most.min(AT_ONCE)) {
            Ok(count) => count,
            Err(error) if is_ours(error) => 0,
            // The kernel reports it once.
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        Poll::Ready(Ok(self.held))
    }

    /// Moves some of what is in it on. Not to be called while it is empty.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let count = ready!(poll_write_with(to, cx, || pipe::splice(&self.read, to, self.held)))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held -= count.min(self.held);
        Poll::Ready(Ok(count))
    }
}

/// Is this an error of the pipe, and not of the connection?
fn is_ours(error: Errno) -> bool {
    use Errno as E;
    matches!(
        error,
        E::AGAIN | E::INTR | E::INVAL | E::NOSYS | E::OPNOTSUPP | E::PERM | E::ACCESS | E::NOMEM | E::NOBUFS
    )
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_came_in_goes_out_and_an_end_is_left_to_reading() {
        let ((mut sender, from), (to, mut reader)) = (pair().await, pair().await);
        let mut pipe = PipePool::default().take().unwrap();
        sender.write_all(b"hello").await.unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 3)).await.unwrap(), 3);
        assert_eq!(poll_fn(|cx| pipe.poll_drain(cx, &to)).await.unwrap(), 3);
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, SIZE)).await.unwrap(), 2);
        assert_eq!(pipe.len(), 2);
        assert_eq!(poll_fn(|cx| pipe.poll_drain(cx, &to)).await.unwrap(), 2);
        let mut came = [0; 5];
        reader.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"hello");
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, SIZE)).await.unwrap(), 0, "nothing has come");
        drop(sender);
        from.readable().await.unwrap();
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, SIZE)).await.unwrap(), 0, "it has ended");
    }

    #[tokio::test]
    async fn a_reset_is_told_although_it_is_told_once() {
        let (sender, from) = pair().await;
        sender.set_zero_linger().unwrap();
        drop(sender);
        from.ready(Interest::READABLE).await.unwrap();
        let mut pipe = PipePool::default().take().unwrap();
        let error = poll_fn(|cx| pipe.poll_fill(cx, &from, SIZE)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn pipes_are_bounded_reused_and_closed_when_nobody_needs_them() {
        let ((mut sender, from), pipes) = (pair().await, PipePool::default());
        let mut held: Vec<_> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(held.len(), MOST);
        sender.write_all(b"x").await.unwrap();
        let mut full = held.pop().unwrap();
        assert_eq!(poll_fn(|cx| full.poll_fill(cx, &from, SIZE)).await.unwrap(), 1);
        pipes.put(full);
        assert_eq!(pipes.free.borrow().len(), 0, "what is not empty is of no use to the next");
        held.drain(2..).for_each(drop);
        held.drain(..).for_each(|pipe| pipes.put(pipe));
        pipes.tidy();
        assert_eq!(pipes.free.borrow().len(), 2, "they were needed a moment ago");
        let one = pipes.take().unwrap();
        pipes.put(one);
        pipes.tidy();
        assert_eq!(pipes.free.borrow().len(), 1, "one is enough");
        pipes.tidy();
        assert_eq!(Rc::strong_count(&pipes.open), 1);
    }

    #[test]
    fn where_descriptors_are_short_nobody_asks_again_for_a_while() {
        let pipes = PipePool::default();
        let one = pipes.take().unwrap();
        pipes.put(one);
        pipes.clear();
        assert!(pipes.take().is_none());
        assert_eq!(Rc::strong_count(&pipes.open), 1);
        pipes.tidy();
        assert!(pipes.take().is_some());
    }
}
