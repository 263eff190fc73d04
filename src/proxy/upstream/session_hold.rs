//! What a TCP session that looks for an endpoint has of its service: a permit, or while it is [held](super::hold) a place in line.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::routing::{HeldPlace, Limits, Permit, PermitError};

/// What a TCP session has of its service while it looks for an endpoint: a permit, or while it is held a place in line.
#[derive(Default)]
pub struct SessionHold {
    permit: RefCell<Option<Permit>>,
    place: RefCell<Option<HeldPlace>>,
    waits: Cell<bool>,
}

/// While there is one, its session waits for an endpoint and does nothing else.
pub struct HoldWait<'h>(&'h SessionHold);

impl Drop for HoldWait<'_> {
    fn drop(&mut self) {
        self.0.waits.set(false);
    }
}

impl SessionHold {
    /// The session has this permit and looks for an endpoint.
    pub fn take_permit(&self, permit: Permit) {
        self.permit.replace(Some(permit));
    }

    /// Does the session only wait, and connect to no endpoint? Then a client that closes its side leaves.
    pub fn waits(&self) -> bool {
        self.waits.get()
    }

    /// The search is over: the place in line is given back, and the permit is the caller's. `None`: there was none.
    pub fn end(&self) -> Option<Permit> {
        self.place.take();
        self.permit.take()
    }

    /// The session is held: it takes a place in line, unless it has one, and gives its permit back.
    pub(super) fn enter(&self, limits: &Arc<Limits>) -> Result<(), PermitError> {
        let mut place = self.place.borrow_mut();
        if place.is_none() {
            *place = Some(limits.hold()?);
        }
        self.permit.take();
        Ok(())
    }

    /// Has it a place in line?
    pub(super) fn is_in_line(&self) -> bool {
        self.place.borrow().is_some()
    }

    /// Has a hold taken its permit?
    pub(super) fn lacks_permit(&self) -> bool {
        self.is_in_line() && self.permit.borrow().is_none()
    }

    /// From now on it only waits, until what is returned is dropped.
    pub(super) fn wait(&self) -> HoldWait<'_> {
        self.waits.set(true);
        HoldWait(self)
    }

    /// Waits for its turn.
    pub(super) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.place.borrow().as_ref().map_or(Poll::Ready(()), |place| place.poll_turn(cx))
    }
}
