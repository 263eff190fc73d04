//! Racing connects: one that is not answered as soon as usual is raced by one to another endpoint (after RFC 8305, "Happy
//! Eyeballs"). No byte of a request is sent before the race is over, so it is safe for every request; only safe ones may be
//! raced into another pool.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::destination::Destination;
use super::dispatch::{AnsweredFirst, Dispatch, RaceExhausted, SelectError, Selected};
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointStats, LatencyEstimate};
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

/// What the way to another endpoint came to.
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
    /// Waits for a connect to this endpoint that began then, and after a while for one to another endpoint as well. `leads`: it
    /// was begun for this request, which speaks for all that wait for it. `unanswered` counts that it was not answered in time; the
    /// one to another endpoint goes on then, for no later one would be answered sooner.
    pub(super) async fn race<T>(
        &self,
        destination: &Destination,
        began: MonoTime,
        leads: bool,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
        connecting: impl Future<Output = T>,
        unanswered: impl FnOnce(),
    ) -> Result<RaceOutcome<T>, SelectError> {
        let stats = &destination.endpoint().stats;
        let deadline = began.after(self.service().config.timeouts.connect);
        let mut connecting = pin!(connecting);
        let asked = DueConnect::at(stats, began, leads);
        self.alarm.set(began.after(stats.connect_late_after()).min(deadline));
        match guarded(self.alarm, gone, connecting.as_mut()).await {
            Ok(done) => {
                asked.settle();
                return Ok(RaceOutcome::Own(done));
            }
            Err(WaitError::Late) => {}
            Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
        }
        let alarm = self.core.deadlines.alarm();
        let mut other = Some(self.elsewhere(destination, &alarm));
        self.alarm.set(began.after(LatencyEstimate::LEAST).min(deadline));
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
                    asked.settle();
                    return Ok(RaceOutcome::Own(done));
                }
                Ok(FirstReady::Other(SecondConnect::Found(elsewhere))) => {
                    if leads {
                        tell(self.core, destination, Some(began));
                    }
                    asked.settle();
                    return Ok(RaceOutcome::Elsewhere(elsewhere));
                }
                Ok(FirstReady::Other(SecondConnect::Exhausted(..) | SecondConnect::Nothing)) => other = None,
                Err(WaitError::Late) if clock::now() < deadline => {
                    if leads {
                        tell(self.core, destination, None);
                    }
                    self.alarm.set(deadline);
                }
                Err(WaitError::Late) => break,
                Err(interrupted) => return Err(SelectError::Interrupted(interrupted)),
            }
        }
        asked.settle();
        unanswered();
        let Some(other) = other else { return Ok(RaceOutcome::Unanswered) };
        self.alarm.clear();
        match guarded(self.alarm, gone, other).await {
            Ok(SecondConnect::Found(elsewhere)) => {
                if leads {
                    tell(self.core, destination, Some(began));
                }
                Ok(RaceOutcome::Elsewhere(elsewhere))
            }
            Ok(SecondConnect::Exhausted(spent)) => Ok(RaceOutcome::Exhausted(spent)),
            Ok(SecondConnect::Nothing) | Err(WaitError::Late) => Ok(RaceOutcome::Unanswered),
            Err(interrupted) => Err(SelectError::Interrupted(interrupted)),
        }
    }

    /// The way to another endpoint.
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
            let mut other = Dispatch { alarm, tries, origin, faults, ..*self };
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

/// A connect that an answer is due to. Dropped before it is settled, and before it was late, it is no longer outstanding.
struct DueConnect<'s>(Option<(&'s EndpointStats, MonoTime)>);

impl<'s> DueConnect<'s> {
    fn at(stats: &'s EndpointStats, began: MonoTime, counts: bool) -> DueConnect<'s> {
        if counts {
            stats.connects().asked(began);
        }
        DueConnect(counts.then_some((stats, began)))
    }

    fn settle(mut self) {
        self.0 = None;
    }
}

impl Drop for DueConnect<'_> {
    fn drop(&mut self) {
        if let Some((stats, began)) = self.0
            && clock::now().since(began) < LatencyEstimate::LEAST
        {
            stats.connects().excused(began);
        }
    }
}

/// A connect is late. `overtaken`: it began then, and a connection to another endpoint was there first. (That is no witness
/// where a handshake may be what takes so long.)
fn tell(core: &WorkerCore, destination: &Destination, overtaken: Option<MonoTime>) {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    let connects = stats.connects();
    let plain = destination.service().config.upstream.tls.is_none();
    let mut urgent = overtaken.filter(|_| plain).is_some_and(|began| connects.witnessed(began));
    if connects.waits_for(LatencyEstimate::LEAST, now) {
        urgent |= connects.late(now);
    }
    if urgent && stats.make_urgent() {
        core.view.urgent();
    }
}
