//! Racing connects: one that is not answered as soon as usual is raced by one to another endpoint (after RFC 8305, "Happy
//! Eyeballs"). No byte of a request is sent before the race is over, so it is safe for every request; only safe ones may be
//! raced into another pool.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::destination::Spot;
use super::place::{Elsewhere, Placed, Placing, Spent, Unplaced};
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{Interrupted, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointStats, LatencyEstimate};
use crate::sys::clock;
use crate::time::MonoTime;

/// How a race ended.
pub enum Raced<T> {
    /// The first connect did, well or not.
    Own(T),
    /// Another one was answered first.
    Elsewhere(Box<Elsewhere>),
    /// The first was not answered in time, and the race goes no further.
    Unanswered,
    /// Nor was any other.
    Spent(Box<Spent>),
}

/// What the way to another endpoint came to.
enum Beside {
    Found(Box<Elsewhere>),
    /// Every endpoint for this request was tried.
    Spent(Box<Spent>),
    /// There is nothing to connect to.
    Nothing,
}

enum Either<T> {
    Own(T),
    Other(Beside),
}

impl Placing<'_> {
    /// Waits for a connect to this endpoint that began then, and after a while for one to another endpoint as well. `leads`: it
    /// was begun for this request, which speaks for all that wait for it. `unanswered` counts that it was not answered in time; the
    /// one to another endpoint goes on then, for no later one would be answered sooner.
    pub(super) async fn race<T>(
        &self,
        spot: &Spot,
        began: MonoTime,
        leads: bool,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
        connecting: impl Future<Output = T>,
        unanswered: impl FnOnce(),
    ) -> Result<Raced<T>, Unplaced> {
        let stats = &spot.endpoint().stats;
        let deadline = began.after(self.service().config.timeouts.connect);
        let mut connecting = pin!(connecting);
        let asked = Asked::at(stats, began, leads);
        self.alarm.set(began.after(stats.connect_late_after()).min(deadline));
        match guarded(self.alarm, gone, connecting.as_mut()).await {
            Ok(done) => {
                asked.settle();
                return Ok(Raced::Own(done));
            }
            Err(Interrupted::Late) => {}
            Err(interrupted) => return Err(Unplaced::Interrupted(interrupted)),
        }
        let alarm = self.core.deadlines.alarm();
        let mut other = Some(self.elsewhere(spot, &alarm));
        self.alarm.set(began.after(LatencyEstimate::LEAST).min(deadline));
        loop {
            let both = poll_fn(|cx| {
                if let Poll::Ready(done) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(Either::Own(done));
                }
                match &mut other {
                    Some(other) => other.as_mut().poll(cx).map(Either::Other),
                    None => Poll::Pending,
                }
            });
            match guarded(self.alarm, gone, both).await {
                Ok(Either::Own(done)) => {
                    asked.settle();
                    return Ok(Raced::Own(done));
                }
                Ok(Either::Other(Beside::Found(elsewhere))) => {
                    if leads {
                        tell(self.core, spot, Some(began));
                    }
                    asked.settle();
                    return Ok(Raced::Elsewhere(elsewhere));
                }
                Ok(Either::Other(Beside::Spent(..) | Beside::Nothing)) => other = None,
                Err(Interrupted::Late) if clock::now() < deadline => {
                    if leads {
                        tell(self.core, spot, None);
                    }
                    self.alarm.set(deadline);
                }
                Err(Interrupted::Late) => break,
                Err(interrupted) => return Err(Unplaced::Interrupted(interrupted)),
            }
        }
        asked.settle();
        unanswered();
        let Some(other) = other else { return Ok(Raced::Unanswered) };
        self.alarm.clear();
        match guarded(self.alarm, gone, other).await {
            Ok(Beside::Found(elsewhere)) => {
                if leads {
                    tell(self.core, spot, Some(began));
                }
                Ok(Raced::Elsewhere(elsewhere))
            }
            Ok(Beside::Spent(spent)) => Ok(Raced::Spent(spent)),
            Ok(Beside::Nothing) | Err(Interrupted::Late) => Ok(Raced::Unanswered),
            Err(interrupted) => Err(Unplaced::Interrupted(interrupted)),
        }
    }

    /// The way to another endpoint.
    fn elsewhere<'s>(&'s self, spot: &'s Spot, alarm: &'s Alarm) -> Pin<Box<dyn Future<Output = Beside> + 's>> {
        Box::pin(async move {
            let mut tries = self.tries.clone();
            tries.race(&spot.choice);
            let origin = Rc::clone(&self.origin);
            let faults = self.faults.fresh();
            let mut other = Placing { alarm, tries, origin, faults, ..*self };
            match other.next(&mut |_: &mut Context<'_>| Poll::Pending).await {
                Ok(Placed::Endpoint(target)) => {
                    Beside::Found(Box::new(Elsewhere { target, tries: other.tries, attempts: other.attempts }))
                }
                Err(Unplaced::GaveUp(why)) => {
                    Beside::Spent(Box::new(Spent { tries: other.tries, attempts: other.attempts, why }))
                }
                Ok(Placed::Static { .. }) | Err(_) => Beside::Nothing,
            }
        })
    }
}

/// A connect that an answer is due to. Dropped before it is settled, and before it was late, it is no longer outstanding.
struct Asked<'s>(Option<(&'s EndpointStats, MonoTime)>);

impl<'s> Asked<'s> {
    fn at(stats: &'s EndpointStats, began: MonoTime, counts: bool) -> Asked<'s> {
        if counts {
            stats.connects().asked(began);
        }
        Asked(counts.then_some((stats, began)))
    }

    fn settle(mut self) {
        self.0 = None;
    }
}

impl Drop for Asked<'_> {
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
fn tell(core: &WorkerCore, spot: &Spot, overtaken: Option<MonoTime>) {
    let (stats, now) = (&spot.endpoint().stats, clock::now());
    let connects = stats.connects();
    let plain = spot.service().config.upstream.tls.is_none();
    let mut urgent = overtaken.filter(|_| plain).is_some_and(|began| connects.witnessed(began));
    if connects.waits_for(LatencyEstimate::LEAST, now) {
        urgent |= connects.late(now);
    }
    if urgent && stats.make_urgent() {
        core.view.urgent();
    }
}
