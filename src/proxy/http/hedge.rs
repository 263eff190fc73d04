//! Hedging (DESIGN §3.6): a safe request whose answer is late is asked elsewhere as well. The first good answer wins, and the
//! other try is told at once not to go on for nobody.
//!
//! From here on the request's tries are those of the hedge; the first try only waits. Where the hedge comes to nothing the
//! request waits for the first alone; where the first fails it is the hedge's to answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::attempt::{Awaited, Over, Tried, cut_before_answer, tell_failure};
use super::body::RequestBody;
use super::channel::Channel;
use super::client::{Client, ClientFault, Source};
use super::exchange::{Exchange, SendFault};
use super::outline::Outline;
use super::request::{Request, Scratch};
use super::waiting::{Ring, Times, Waiting, tell_overtaken};
use crate::config::RetryOn;
use crate::decision::Failure;
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::upstream::{Interrupted, Placed, Placing, Spot, Target, Unplaced, guarded, is_condemned, record};
use crate::routing::{Ended, How, InFlight, Next, Why};
use crate::sys::clock;
use crate::wire::Fields;
use crate::wire::h1::{BodyDecoder, ResponseHead};

/// What became of a request that was asked twice.
pub(super) enum Hedged {
    /// The first try goes on, or ended, like this.
    First(Awaited),
    /// The other did.
    Other(Tried),
}

/// What the other try came to.
#[allow(clippy::large_enum_variant, reason = "it lives in a box of its own")]
enum Other<'s> {
    /// A final head has come.
    Answered(Answer<'s>),
    /// It ended without one. `failure`: what that says about its endpoint.
    Failed { ended: Ended, spot: Spot, failure: Option<Failure> },
    /// A newer table came before its first byte.
    Stale,
    /// There is nobody to ask.
    Unplaced(Unplaced),
}

struct Answer<'s> {
    exchange: Channel<'s>,
    spot: Spot,
    in_flight: InFlight,
}

enum Raced<T> {
    First(Awaited),
    /// The first try's endpoint was condemned.
    Condemned,
    Other(T),
}

impl<C: Client> Request<'_, C> {
    /// Waits for two tries: `first`, which is late, and another one, for which the retry rule was asked already.
    pub(super) async fn hedged<E: Exchange>(
        &mut self,
        first: &mut E,
        placing: &mut Placing<'_>,
        outline: Outline<'_>,
        spot: &Spot,
        (mut waiting, times): (Waiting, Times),
    ) -> Hedged {
        let worker = self.setting.worker;
        // In retry: a switch must not end it.
        self.setting.place.set_tenure(None);
        let mut scratch = worker.scratch();
        let alarm = worker.deadlines.alarm();
        waiting.is_hedged();
        alarm.set(waiting.next());
        let mut judged = spot.table.epoch;
        let mut first = Some(first);
        let hedged = 'tries: loop {
            let Scratch { reply, decoder, body, .. } = &mut *scratch;
            body.reset(0);
            let other = {
                let mut other = pin!(ask(&outline, placing, times, reply, decoder, body));
                loop {
                    let Some(exchange) = &mut first else {
                        alarm.clear();
                        let gone = &mut |cx: &mut Context<'_>| self.client.poll_gone(cx);
                        match guarded(&alarm, gone, other.as_mut()).await {
                            Ok(other) => break other,
                            Err(_) => break 'tries Hedged::First(Awaited::Client(ClientFault::Gone)),
                        }
                    };
                    let race = self.race(&mut **exchange, spot, &mut waiting, &mut judged, &alarm, other.as_mut());
                    match race.await {
                        Raced::Other(other) => break other,
                        Raced::Condemned => {}
                        Raced::First(Awaited::Failed { how, failure }) => tell_failure(worker, spot, how, failure),
                        Raced::First(awaited) => break 'tries Hedged::First(awaited),
                    }
                    exchange.abandon();
                    first = None;
                }
            };
            let gone = match other {
                Other::Answered(answer) if first.is_none() || is_welcome(placing, spot, &answer) => {
                    if let Some(first) = &mut first {
                        tell_overtaken(worker, spot);
                        if spot.choice.trial {
                            record(worker, spot, Failure::Timeout);
                        }
                        first.abandon();
                    }
                    break Hedged::Other(self.win(answer, placing, outline).await);
                }
                Other::Answered(answer) => {
                    let status = answer.exchange.reply().status();
                    if !matches!(status, 502..=504) {
                        tell_overtaken(worker, spot);
                    } else {
                        record(worker, &answer.spot, Failure::Gateway);
                    }
                    let ended = self.ended(&answer.exchange, &answer.spot, How::Status(status), false);
                    placing.failed(&ended, answer.spot.service())
                }
                Other::Failed { ended, spot, failure } => {
                    tell_failure(worker, &spot, ended.how, failure);
                    placing.failed(&ended, spot.service())
                }
                Other::Stale => Next::Pick,
                Other::Unplaced(Unplaced::Interrupted(Interrupted::Killed)) => {
                    break Hedged::First(Awaited::Interrupted(Interrupted::Killed));
                }
                Other::Unplaced(Unplaced::GaveUp(why)) => Next::GiveUp(why),
                Other::Unplaced(_) => Next::GiveUp(Why::Exhausted),
            };
            let Next::GiveUp(why) = gone else { continue };
            match first {
                None => break Hedged::Other(Tried::Unplaced(Unplaced::GaveUp(why))),
                Some(first) => {
                    let awaited = self.wait_alone(first, placing, spot, &mut waiting, &mut judged, &alarm).await;
                    break Hedged::First(awaited);
                }
            }
        };
        worker.put_scratch(scratch);
        if let Hedged::First(Awaited::Answered) = &hedged {
            self.setting.place.set_tenure(Some(worker.tenure(&spot.table, spot.service, spot.choice.pool)));
        }
        placing.service().stats.count_hedge(worker.id, matches!(hedged, Hedged::Other(Tried::Done(_))));
        hedged
    }

    /// Waits for the first try, beside which nobody is left.
    async fn wait_alone<E: Exchange>(
        &mut self,
        first: &mut E,
        placing: &mut Placing<'_>,
        spot: &Spot,
        waiting: &mut Waiting,
        judged: &mut u64,
        alarm: &Alarm,
    ) -> Awaited {
        loop {
            let nobody = pin!(std::future::pending::<Infallible>());
            match self.race(first, spot, waiting, judged, alarm, nobody).await {
                Raced::First(awaited) => return awaited,
                Raced::Condemned if placing.leave_hedge(spot.service()) => return Awaited::Left,
                Raced::Condemned => {}
                Raced::Other(never) => match never {},
            }
        }
    }

    /// Waits for the first try's head or for the other to end.
    async fn race<E: Exchange, T>(
        &mut self,
        first: &mut E,
        spot: &Spot,
        waiting: &mut Waiting,
        judged: &mut u64,
        alarm: &Alarm,
        mut other: Pin<&mut impl Future<Output = T>>,
    ) -> Raced<T> {
        let worker = self.setting.worker;
        poll_fn(|cx| {
            loop {
                match first.poll_head(cx) {
                    Poll::Ready(Ok(())) if first.reply().is_interim() => self.pass_interim(first.reply()),
                    Poll::Ready(Ok(())) => {
                        spot.endpoint().stats.replies().heard(clock::now());
                        return Poll::Ready(Raced::First(Awaited::Answered));
                    }
                    Poll::Ready(Err(fault)) => {
                        return Poll::Ready(Raced::First(cut_before_answer(fault, spot.reused)));
                    }
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(done) = other.as_mut().poll(cx) {
                return Poll::Ready(Raced::Other(done));
            }
            if is_condemned(worker, spot, judged) {
                return Poll::Ready(Raced::Condemned);
            }
            if let Poll::Ready(Err(_)) = self.client.poll_flush(cx) {
                return Poll::Ready(Raced::First(Awaited::Client(ClientFault::Gone)));
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Raced::First(Awaited::Client(ClientFault::Gone)));
            }
            if let Poll::Ready(Interrupt::Killed) = self.setting.alarm.poll(cx) {
                return Poll::Ready(Raced::First(Awaited::Interrupted(Interrupted::Killed)));
            }
            waiting.poll(cx, alarm, worker, spot, first).map(|ring| match ring {
                Ring::Killed => Raced::First(Awaited::Interrupted(Interrupted::Killed)),
                Ring::Hedge | Ring::Timeout => {
                    Raced::First(Awaited::Failed { how: How::Timeout, failure: Some(Failure::Timeout) })
                }
            })
        })
        .await
    }

    /// The other try's answer is the client's.
    async fn win(&mut self, answer: Answer<'_>, placing: &mut Placing<'_>, outline: Outline<'_>) -> Tried {
        let Answer { mut exchange, spot, in_flight } = answer;
        let worker = self.setting.worker;
        self.setting.place.set_tenure(Some(worker.tenure(&spot.table, spot.service, spot.choice.pool)));
        self.account.reached(&spot);
        let tried = self.pass_on(&mut exchange, placing, outline.route, &spot).await;
        self.close(exchange, Over::Tried(tried), placing, spot, in_flight).await
    }
}

/// Is this what the client should get although the first try may still be answered? From another pool only what is good.
fn is_welcome(placing: &Placing<'_>, first: &Spot, answer: &Answer<'_>) -> bool {
    let status = answer.exchange.reply().status();
    let same_pool = answer.spot.pool().name == first.pool().name;
    status < 400 || (same_pool && !placing.service().config.retry.on.contains(&RetryOn::Status(status)))
}

/// One other try, up to its final head.
async fn ask<'s>(
    outline: &Outline<'_>,
    placing: &mut Placing<'_>,
    times: Times,
    reply: &'s mut ResponseHead,
    decoder: &'s mut BodyDecoder,
    body: &mut RequestBody,
) -> Other<'s> {
    let worker = outline.worker;
    let Target { spot, link, in_flight } = match placing.next(&mut |_: &mut Context<'_>| Poll::Pending).await {
        Ok(Placed::Endpoint(target)) => target,
        Ok(Placed::Static { .. }) => return Other::Unplaced(Unplaced::GaveUp(Why::Exhausted)),
        Err(unplaced) => return Other::Unplaced(unplaced),
    };
    let Ok(mut exchange) = outline.open(link, &spot, false, reply, decoder) else {
        return Other::Unplaced(Unplaced::GaveUp(Why::Exhausted));
    };
    let alarm = placing.alarm;
    alarm.set(clock::now().after(times.response));
    let mut waiting: Option<Waiting> = None;
    let awaited = poll_fn(|cx| {
        if !exchange.is_sent() {
            let still_holds = || worker.view.still_holds(&spot.table, spot.service());
            match exchange.poll_send(cx, &mut Bodiless, body, still_holds) {
                Poll::Ready(Ok(()) | Err(SendFault::Upstream)) => {
                    let begun = Waiting::begin(&spot, Times { hedge: None, ..times }, clock::now());
                    alarm.set(begun.next());
                    waiting = Some(begun);
                }
                Poll::Ready(Err(SendFault::Stale)) => return Poll::Ready(Awaited::Stale),
                Poll::Ready(Err(SendFault::Client(fault))) => return Poll::Ready(Awaited::Client(fault)),
                Poll::Pending => {}
            }
        }
        loop {
            match exchange.poll_head(cx) {
                Poll::Ready(Ok(())) if exchange.reply().is_interim() => {}
                Poll::Ready(Ok(())) => return Poll::Ready(Awaited::Answered),
                Poll::Ready(Err(fault)) => return Poll::Ready(cut_before_answer(fault, spot.reused)),
                Poll::Pending => break,
            }
        }
        let ring = match &mut waiting {
            Some(waiting) => waiting.poll(cx, alarm, worker, &spot, &exchange),
            None => alarm.poll(cx).map(|interrupt| match interrupt {
                Interrupt::Killed => Ring::Killed,
                Interrupt::Deadline => Ring::Timeout,
            }),
        };
        ring.map(|ring| match ring {
            Ring::Killed => Awaited::Interrupted(Interrupted::Killed),
            Ring::Hedge | Ring::Timeout => Awaited::Failed { how: How::Timeout, failure: Some(Failure::Timeout) },
        })
    })
    .await;
    match awaited {
        Awaited::Answered => {
            spot.endpoint().stats.replies().heard(clock::now());
            Other::Answered(Answer { exchange, spot, in_flight })
        }
        Awaited::Failed { how, failure } => {
            let reused = failure.is_none();
            let ended = Ended { choice: spot.choice, how, sent: exchange.sent() > 0, reused, replayable: true };
            Other::Failed { ended, spot, failure }
        }
        Awaited::Interrupted(interrupted) => Other::Unplaced(Unplaced::Interrupted(interrupted)),
        Awaited::Stale | Awaited::Left | Awaited::HedgeDue(_) => Other::Stale,
        Awaited::Client(_) | Awaited::ClientSlow => Other::Unplaced(Unplaced::GaveUp(Why::Exhausted)),
    }
}

/// The body of a request that has none.
struct Bodiless;

impl Source for Bodiless {
    fn poll_body(&mut self, _: &mut Context<'_>, _: &mut Buffer, _: usize) -> Poll<Result<(), ClientFault>> {
        Poll::Ready(Ok(()))
    }

    fn body_is_done(&self) -> bool {
        true
    }

    fn trailers(&self) -> &Fields {
        static NONE: Fields = Fields::new();
        &NONE
    }
}
