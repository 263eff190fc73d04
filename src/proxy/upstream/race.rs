//! Racing connects: one that is not answered as soon as usual is raced by one to another endpoint (after RFC 8305, "Happy
//! Eyeballs"). No byte of a request is sent before the race is over, so it is safe for every request; only safe ones may be
//! raced into another pool.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::destination::Destination;
use super::dispatch::{AnsweredFirst, Dispatch, RaceExhausted, SelectError, Selected};
use super::first_connect::FirstConnect;
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::routing::LatencyEstimate;
use crate::sys::clock;
use crate::time::MonoTime;

/// How a race ended.
pub enum RaceOutcome<T> {
    /// The first connect did, well or not.
    Own(T),
    /// Another one was answered first.
    Elsewhere(Box<AnsweredFirst>),
    /// The first was not answered in time, and the race goes no further.
    Unanswered,
    /// Nor was any other.
    Exhausted(Box<RaceExhausted>),
}

/// The outcome of the connect to another endpoint.
enum SecondConnect {
    Found(Box<AnsweredFirst>),
    /// Every endpoint for this request was tried.
    Exhausted(Box<RaceExhausted>),
    /// There is nothing to connect to.
    Nothing,
}

enum FirstReady<T> {
    Own(T),
    Other(SecondConnect),
}

impl Dispatch<'_> {
    /// Waits for the connect of a try, and after a while for one to another endpoint as well. That one goes on when the first is
    /// not answered in time, for no later one would be answered sooner.
    pub(super) async fn race<T>(
        &self,
        first: &FirstConnect<'_>,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
        connecting: impl Future<Output = T>,
    ) -> Result<RaceOutcome<T>, SelectError> {
        let deadline = first.tried.after(self.service().config.timeouts.connect);
        let mut connecting = pin!(connecting);
        self.alarm.set(first.tried.after(first.late_after).min(deadline));
        match guarded(self.alarm, gone, connecting.as_mut()).await {
            Ok(done) => {
                first.settle();
                Ok(RaceOutcome::Own(done))
            }
            // Boxed, so that a task needs no room for a race that hardly ever comes.
            Err(WaitError::Late) => Box::pin(self.race_late(first, deadline, gone, connecting)).await,
            Err(interrupted) => Err(SelectError::Interrupted(interrupted)),
        }
    }

    /// The first connect is late.
    async fn race_late<T>(
        &self,
        first: &FirstConnect<'_>,
        deadline: MonoTime,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
        mut connecting: Pin<&mut impl Future<Output = T>>,
    ) -> Result<RaceOutcome<T>, SelectError> {
        if clock::now() < deadline {
            first.step_out();
        }
        let alarm = self.core.deadlines.alarm();
        // (What was held connects once at a time: that is what its turn allows.)
        let mut other = (!self.is_held()).then(|| self.elsewhere(first.destination, &alarm));
        self.alarm.set(first.tried.after(LatencyEstimate::LEAST).min(deadline));
        loop {
            let both = poll_fn(|cx| {
                if let Poll::Ready(done) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(FirstReady::Own(done));
                }
                match &mut other {
                    Some(other) => other.as_mut().poll(cx).map(FirstReady::Other),
                    None => Poll::Pending,
                }
            });
            match guarded(self.alarm, gone, both).await {
                Ok(FirstReady::Own(done)) => {
                    first.settle();
                    return Ok(RaceOutcome::Own(done));
                }
                Ok(FirstReady::Other(SecondConnect::Found(elsewhere))) => {
                    first.tell_overtaken();
                    first.settle();
                    return Ok(RaceOutcome::Elsewhere(elsewhere));
                }
                Ok(FirstReady::Other(SecondConnect::Exhausted(..) | SecondConnect::Nothing)) => other = None,
                Err(WaitError::Late) if clock::now() < deadline => {
                    first.tell_late();
                    self.alarm.set(deadline);
                }
                Err(WaitError::Late) => break,
                Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
            }
        }
        first.settle();
        first.tell_unanswered();
        // Its connect is polled no more: what it holds before the gate is another one's.
        first.step_out();
        match other {
            Some(other) => self.second_alone(first, gone, other).await,
            None => Ok(RaceOutcome::Unanswered),
        }
    }

    /// The first connect was not answered in its time: the second one goes on.
    async fn second_alone<T>(
        &self,
        first: &FirstConnect<'_>,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
        other: Pin<Box<dyn Future<Output = SecondConnect> + '_>>,
    ) -> Result<RaceOutcome<T>, SelectError> {
        self.alarm.clear();
        match guarded(self.alarm, gone, other).await {
            Ok(SecondConnect::Found(elsewhere)) => {
                first.tell_overtaken();
                Ok(RaceOutcome::Elsewhere(elsewhere))
            }
            Ok(SecondConnect::Exhausted(exhausted)) => Ok(RaceOutcome::Exhausted(exhausted)),
            Ok(SecondConnect::Nothing) | Err(WaitError::Late) => Ok(RaceOutcome::Unanswered),
            Err(interrupted) => Err(SelectError::Interrupted(interrupted)),
        }
    }

    /// The connect to another endpoint.
    fn elsewhere<'s>(
        &'s self,
        destination: &'s Destination,
        alarm: &'s Alarm,
    ) -> Pin<Box<dyn Future<Output = SecondConnect> + 's>> {
        Box::pin(async move {
            let mut tries = self.tries.clone();
            tries.race(&destination.choice);
            let origin = Rc::clone(&self.origin);
            let faults = self.faults.fresh();
            let mut other = Dispatch { alarm, tries, origin, faults, hurries: true, hold: None, ..*self };
            match other.next(&mut |_: &mut Context<'_>| Poll::Pending).await {
                Ok(Selected::Endpoint(target)) => SecondConnect::Found(Box::new(AnsweredFirst {
                    target,
                    tries: other.tries,
                    attempts: other.attempts,
                })),
                Err(SelectError::GaveUp(why)) => SecondConnect::Exhausted(Box::new(RaceExhausted {
                    tries: other.tries,
                    attempts: other.attempts,
                    why,
                })),
                Ok(Selected::Static { .. }) | Err(_) => SecondConnect::Nothing,
            }
        })
    }
}
