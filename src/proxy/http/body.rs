//! A request's body between client and upstream: staged, and kept from its beginning for as long as it fits, so that
//! another try can send it again.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::client::{BodySource, ClientFault};
use crate::proxy::buffer::{Buffer, BufferPool, LARGE, SMALL};

/// The staged part of one request's body.
pub struct RequestBody {
    staged: Buffer,
    /// How much of it the current try has taken.
    taken: usize,
    /// The most to keep.
    keep: usize,
    /// `staged` no longer begins where the body begins.
    cut: bool,
    /// Bytes received from the client.
    received: u64,
}

impl RequestBody {
    /// Nothing yet; no memory.
    pub fn new(pool: &Rc<BufferPool>) -> RequestBody {
        RequestBody { staged: Buffer::new(pool), taken: 0, keep: 0, cut: false, received: 0 }
    }

    /// Starts with the next request, keeping at most `keep` bytes of its body.
    pub fn reset(&mut self, keep: usize) {
        self.staged.clear();
        self.staged.release();
        (self.taken, self.keep, self.cut, self.received) = (0, keep.min(LARGE), false, 0);
    }

    /// Could another try send it from its beginning?
    pub fn is_replayable(&self) -> bool {
        !self.cut && self.staged.len() <= self.keep
    }

    /// Another try begins: while it [is replayable](RequestBody::is_replayable), or nothing of it was ever sent.
    pub fn rewind(&mut self) {
        debug_assert!(!self.cut, "what was forgotten cannot be sent again");
        self.taken = 0;
    }

    /// What the current try has not taken yet.
    pub fn pending(&self) -> &[u8] {
        &self.staged.bytes()[self.taken..]
    }

    /// The current try has taken so much of [`RequestBody::pending`].
    pub fn take(&mut self, count: usize) {
        self.taken += count;
    }

    /// Bytes received from the client so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads on behind what no try has taken yet. Call it before the first try, while less than [`SMALL`] bytes are here.
    /// `Ready(Ok)`: something came, or the body is at its end.
    pub fn poll_ahead<S: BodySource>(&mut self, cx: &mut Context<'_>, source: &mut S) -> Poll<Result<(), ClientFault>> {
        let before = self.staged.len();
        let result = source.poll_body(cx, &mut self.staged, self.keep.max(SMALL).saturating_sub(before).max(1));
        self.received += (self.staged.len() - before) as u64;
        self.staged.release();
        result
    }

    /// Would another read leave what was taken in place?
    pub fn keeps_more(&self) -> bool {
        !self.cut && self.staged.len() < self.keep
    }

    /// Reads on from the client. Call it when nothing is pending and what was taken is with the kernel. `Ready(Ok)`:
    /// something came, or the body is at its end.
    pub fn poll_more<S: BodySource>(&mut self, cx: &mut Context<'_>, source: &mut S) -> Poll<Result<(), ClientFault>> {
        if source.body_is_done() {
            return Poll::Ready(Ok(()));
        }
        if self.cut || self.staged.len() >= self.keep {
            self.cut |= !self.staged.is_empty();
            self.staged.clear();
            self.taken = 0;
        }
        self.poll_ahead(cx, source)
    }
}
