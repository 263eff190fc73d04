//! Waits that the client's leaving or an alarm may end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use super::deadline::{Alarm, Interrupt};

/// Why waiting ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// The client left.
    Gone,
    /// The deadline came.
    Late,
    /// A switch or a stop ended it.
    Killed,
}

/// Waits for `work`, unless the client leaves first or the alarm fires.
pub async fn guarded<T>(
    alarm: &Alarm,
    gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    work: impl Future<Output = T>,
) -> Result<T, WaitError> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if gone(cx).is_ready() {
            return Poll::Ready(Err(WaitError::Gone));
        }
        alarm.poll(cx).map(|interrupt| {
            Err(match interrupt {
                Interrupt::Deadline => WaitError::Late,
                Interrupt::Killed => WaitError::Killed,
            })
        })
    })
    .await
}
