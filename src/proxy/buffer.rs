//! Byte buffers, pooled per worker: a connection that holds no bytes holds no memory.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::PipePool;
use crate::net::{Stream, WorkerDescriptors};

/// The class that most exchanges fit.
pub const SMALL: usize = 16 * 1024;
/// Request heads and replayed bodies at their limits.
pub const MEDIUM: usize = 64 * 1024 + SMALL;
/// For bodies that keep filling smaller ones: halves the cost of bulk transfer against [`SMALL`].
pub const LARGE: usize = 256 * 1024;

/// Free buffers kept per class.
const KEPT: [usize; 3] = [512, 32, 32];
/// Large buffers in use at once per worker; beyond, bulk goes on through small ones, so that slow readers cannot pin
/// unbounded memory.
const LARGE_IN_USE: usize = 128;

/// A worker's free buffers by class.
#[derive(Default)]
pub struct BufferPool {
    free: [RefCell<Vec<Box<[u8]>>>; 3],
    outgoing: RefCell<Vec<Vec<u8>>>,
    /// Pipes, for bulk that the kernel moves.
    pub pipes: PipePool,
    large_in_use: Cell<usize>,
}

impl BufferPool {
    fn has_large(&self) -> bool {
        self.large_in_use.get() < LARGE_IN_USE
    }

    /// An empty pool, whose pipes are counted here.
    pub fn new(descriptors: Arc<WorkerDescriptors>) -> Rc<BufferPool> {
        Rc::new(BufferPool { pipes: PipePool::new(descriptors), ..BufferPool::default() })
    }

    fn take(&self, class: usize) -> Box<[u8]> {
        if class == 2 {
            self.large_in_use.set(self.large_in_use.get() + 1);
        }
        let kept = self.free[class].borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; [SMALL, MEDIUM, LARGE][class]].into_boxed_slice())
    }

    fn put(&self, bytes: Box<[u8]>) {
        let class = match bytes.len() {
            SMALL => 0,
            MEDIUM => 1,
            LARGE => 2,
            _ => return,
        };
        if class == 2 {
            self.large_in_use.set(self.large_in_use.get() - 1);
        }
        let mut free = self.free[class].borrow_mut();
        if free.len() < KEPT[class] {
            free.push(bytes);
        }
    }
}

/// Bytes on their way: filled at the end, consumed at the start. Takes its memory from the pool when the first byte
/// comes and gives it back by [`Buffer::release`] or when dropped.
pub struct Buffer {
    pool: Rc<BufferPool>,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer without memory.
    pub fn new(pool: &Rc<BufferPool>) -> Buffer {
        Buffer { pool: pool.clone(), bytes: Box::default(), start: 0, end: 0 }
    }

    /// Where its memory comes from.
    pub fn pool(&self) -> &Rc<BufferPool> {
        &self.pool
    }

    /// The bytes in it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How much it can hold as it is (0 while it has no memory).
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Takes `count` bytes off the front.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start += count.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Forgets the content, keeps the memory.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Gives the memory back if nothing is in it.
    pub fn release(&mut self) {
        if self.is_empty() && !self.bytes.is_empty() {
            self.pool.put(std::mem::take(&mut self.bytes));
            (self.start, self.end) = (0, 0);
        }
    }

    /// Has room for `count` more bytes: by compacting, or by moving to a larger class. False when the largest class is
    /// too small for content plus `count`.
    pub fn reserve(&mut self, count: usize) -> bool {
        if self.bytes.len() - self.end >= count {
            return true;
        }
        let wanted = self.len() + count;
        if wanted <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
            return true;
        }
        let Some(class) = [SMALL, MEDIUM, LARGE].iter().position(|size| *size >= wanted) else { return false };
        self.move_to(class);
        true
    }

    /// May it move to the largest class now?
    pub fn may_be_large(&self) -> bool {
        self.bytes.len() == LARGE || self.pool.has_large()
    }

    /// Bulk is coming: moves to the largest class, unless this worker has too many of them in use.
    pub fn enlarge(&mut self) {
        if self.bytes.len() < LARGE && self.pool.has_large() {
            self.move_to(2);
        }
    }

    fn move_to(&mut self, class: usize) {
        let mut bytes = self.pool.take(class);
        let length = self.len();
        bytes[..length].copy_from_slice(self.bytes());
        self.pool.put(std::mem::replace(&mut self.bytes, bytes));
        (self.start, self.end) = (0, length);
    }

    /// Appends bytes. False (and nothing appended) when they fit in no class.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if !self.reserve(bytes.len()) {
            return false;
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    /// One read into the spare room (taking a small buffer if there is no memory yet); `Ok(0)` is the end of the stream.
    /// The caller makes sure that there is room. Gives the memory back while it has to wait with nothing in hand.
    pub fn poll_fill<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut S) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.bytes = self.pool.take(0);
        }
        let mut spare = ReadBuf::new(&mut self.bytes[self.end..]);
        debug_assert!(spare.capacity() > 0, "a full buffer would look like the end of the stream");
        match Pin::new(io).poll_read(cx, &mut spare) {
            Poll::Pending => {
                self.release();
                Poll::Pending
            }
            Poll::Ready(result) => {
                let count = spare.filled().len();
                self.end += count;
                Poll::Ready(result.map(|()| count))
            }
        }
    }

    /// Like [`Buffer::poll_fill`]; memory is taken only when there is something to read.
    pub fn poll_fill_from<S: Stream>(&mut self, cx: &mut Context<'_>, io: &mut S) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            ready!(io.poll_readable(cx))?;
        }
        self.poll_fill(cx, io)
    }

    /// Like [`Buffer::poll_fill`], but at most `most` bytes.
    pub fn poll_fill_at_most<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let end = (self.end + most).min(self.bytes.len());
        let mut spare = ReadBuf::new(&mut self.bytes[self.end..end]);
        debug_assert!(spare.capacity() > 0, "a full buffer would look like the end of the stream");
        ready!(Pin::new(io).poll_read(cx, &mut spare))?;
        let count = spare.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// One write from the front; the written bytes are consumed.
    pub fn poll_drain<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut S) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(io).poll_write(cx, self.bytes()))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

/// Encoded bytes that wait for a peer to take them. Its memory comes from the pool and goes back there when all
/// is taken.
pub struct OutgoingBytes {
    pool: Rc<BufferPool>,
    bytes: Vec<u8>,
    taken: usize,
}

impl OutgoingBytes {
    /// Nothing to send, no memory.
    pub fn new(pool: &Rc<BufferPool>) -> OutgoingBytes {
        OutgoingBytes { pool: Rc::clone(pool), bytes: Vec::new(), taken: 0 }
    }

    /// Where encoders append.
    pub fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            let kept = self.pool.outgoing.borrow_mut().pop();
            self.bytes = kept.unwrap_or_else(|| Vec::with_capacity(SMALL));
        }
        &mut self.bytes
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The peer has taken the first `count` bytes.
    pub fn take(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.bytes.len() {
            self.clear();
        }
    }

    /// Forgets what waits and gives the memory back.
    pub fn clear(&mut self) {
        self.taken = 0;
        if self.bytes.capacity() == 0 {
            return;
        }
        self.bytes.clear();
        let mut kept = self.pool.outgoing.borrow_mut();
        if self.bytes.capacity() <= LARGE && kept.len() < KEPT[0] {
            kept.push(std::mem::take(&mut self.bytes));
        } else {
            self.bytes = Vec::new();
        }
    }

    /// One write; `Ok(0)` only when nothing waits.
    pub fn poll_drain<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut S) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(Pin::new(io).poll_write(cx, self.bytes()))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.take(count);
        Poll::Ready(Ok(count))
    }

    /// One write of what waits and of `more` behind it; returns how much of `more` was taken.
    pub fn poll_drain_with<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut S,
        more: &[u8],
    ) -> Poll<io::Result<usize>> {
        let waiting = self.len();
        let pieces = [io::IoSlice::new(self.bytes()), io::IoSlice::new(more)];
        let count = ready!(Pin::new(io).poll_write_vectored(cx, &pieces))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.take(count.min(waiting));
        Poll::Ready(Ok(count.saturating_sub(waiting)))
    }
}

impl Drop for OutgoingBytes {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_holds_no_memory_and_reuses_what_was_given_back() {
        let pool = Rc::new(BufferPool::default());
        let mut buffer = Buffer::new(&pool);
        assert_eq!(buffer.capacity(), 0);
        assert!(buffer.push(b"hello"));
        assert_eq!(buffer.capacity(), SMALL);
        buffer.consume(5);
        buffer.release();
        assert_eq!(buffer.capacity(), 0);
        assert_eq!(pool.free[0].borrow().len(), 1);
        assert!(buffer.push(b"x"));
        assert_eq!(pool.free[0].borrow().len(), 0);
    }

    #[test]
    fn growing_keeps_the_content_and_stops_at_the_largest_class() {
        let pool = Rc::new(BufferPool::default());
        let mut buffer = Buffer::new(&pool);
        assert!(buffer.push(&[1; SMALL]));
        buffer.consume(10);
        assert!(buffer.push(&[2; 10]));
        assert_eq!(buffer.capacity(), SMALL);
        assert!(buffer.push(&[3; 10]));
        assert_eq!(buffer.capacity(), MEDIUM);
        assert_eq!(buffer.bytes()[SMALL - 10..], [[2; 10], [3; 10]].concat());
        assert!(!buffer.push(&[4; LARGE]));
        assert_eq!(buffer.len(), SMALL + 10);
    }

    #[test]
    fn large_buffers_in_use_are_bounded() {
        let pool = Rc::new(BufferPool::default());
        let mut held: Vec<_> = (0..LARGE_IN_USE + 1).map(|_| Buffer::new(&pool)).collect();
        held.iter_mut().for_each(Buffer::enlarge);
        assert_eq!(held.iter().filter(|buffer| buffer.capacity() == LARGE).count(), LARGE_IN_USE);
        drop(held);
        assert_eq!(pool.large_in_use.get(), 0);
    }
}
