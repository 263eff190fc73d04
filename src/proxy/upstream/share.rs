//! A place on a connection that many requests share, and dialling one for all that wait for it.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::destination::Spot;
use super::dial::{connect_unanswered, reach, unreached};
use super::faults::record_connect;
use super::h2_connection::Opening;
use super::h2_pool::{Dialled, Dialling, Shelf, Speaks, Take};
use super::place::{Link, Linked, Placing, Unplaced};
use super::pools::UpstreamPools;
use super::race::Raced;
use crate::config::UpstreamProtocol;
use crate::decision::{ConnectOutcome, Failure};
use crate::proxy::guarded::guarded;
use crate::routing::TryFailure;
use crate::sys::clock;
use crate::wire::h1::Scheme;

/// How often a request lets the task of a shared connection look at what has come before it dials another.
const SETTLING: u32 = 3;

impl Placing<'_> {
    /// A place on a shared connection. Where there is none, one is dialled, by one for all who wait. An endpoint that may
    /// choose can turn out not to share.
    pub(super) async fn shared(
        &self,
        spot: &mut Spot,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Linked, Unplaced> {
        // Where endpoints are told of the client, only its own requests share a connection.
        let about = spot.is_about_one_client().then_some(self.asker.ends);
        let shelf = self.pools.lines.shelf(spot.choice.id, about, &spot.endpoint().stats);
        let began = clock::now();
        let mut settling = 0;
        loop {
            // A wait may have seen a table by which the endpoint is spoken to in another way.
            if !self.core.view.still_holds(&spot.table, spot.service()) {
                return Ok(Linked::Superseded);
            }
            spot.generation = spot.endpoint().stats.generation();
            let stats = &spot.endpoint().stats;
            let trusted = stats.trusts_idle(self.tries.request_class().idempotent(), clock::now());
            match shelf.take(spot.generation, self.tries.fresh_only() || !trusted) {
                Take::Strand(strand) => {
                    spot.reused = strand.was_idle;
                    return Ok(Linked::Ready(Link::Shared(strand)));
                }
                Take::Unsettled if settling < SETTLING => {
                    settling += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                Take::Unsettled | Take::Nothing => {}
            }
            let alone = shelf.speaks() == Some(Speaks::Http1);
            if alone && let Some(stream) = self.take_idle(spot) {
                return Ok(Linked::Ready(Link::Own(stream)));
            }
            spot.reused = false;
            let mut leads = false;
            let waiter = shelf.join(alone, |dial| {
                leads = true;
                let idle = self.service().config.timeouts.idle;
                let connect = self.service().config.timeouts.connect;
                let header = self.header(spot);
                let pools = Rc::clone(self.pools);
                tokio::task::spawn_local(dial_shared(pools, spot.clone(), header, dial, (connect, idle)));
            });
            let dialled = async {
                tokio::select! {
                    biased;
                    dialled = waiter.ended() => Some(dialled),
                    () = self.superseded(spot) => None,
                }
            };
            // (The task that dials counts a connect that is not answered.)
            match self.race(spot, began, leads, gone, dialled, || ()).await? {
                Raced::Own(Some(Dialled::Line | Dialled::Http1(None))) => {}
                Raced::Own(Some(Dialled::Http1(Some(stream)))) => return Ok(Linked::Ready(Link::Own(stream))),
                Raced::Own(Some(Dialled::Failed(how))) => return Ok(Linked::Failed(how)),
                Raced::Own(None) => return Ok(Linked::Superseded),
                Raced::Elsewhere(elsewhere) => return Ok(Linked::Elsewhere(elsewhere)),
                Raced::Unanswered => return Ok(Linked::Failed(TryFailure::ConnectTimeout)),
                Raced::Spent(spent) => return Ok(Linked::Spent(spent)),
            }
        }
    }
}

/// May the endpoint's connections be shared?
pub(super) fn shares(spot: &Spot) -> bool {
    let upstream = &spot.service().config.upstream;
    match upstream.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => upstream.tls.is_some(),
    }
}

/// Dials for all waiting requests, to the end, also when some of them leave.
async fn dial_shared(
    pools: Rc<UpstreamPools>,
    spot: Spot,
    header: Option<Vec<u8>>,
    dial: Dialling,
    (connect, idle): (Duration, Duration),
) {
    let (alarm, began) = (pools.core.deadlines.alarm(), clock::now());
    alarm.set(began.after(connect));
    let mut never = |_: &mut Context<'_>| Poll::Pending;
    let opened = guarded(&alarm, &mut never, open_shared(&pools, &spot, header.as_deref(), dial.shelf(), idle)).await;
    let (stats, now) = (&spot.endpoint().stats, clock::now());
    match &opened {
        Ok(Dialled::Failed(TryFailure::Local | TryFailure::NoRoute)) => stats.connects().excused(began),
        Err(_) => {}
        Ok(Dialled::Failed(_)) => stats.connects().heard(now),
        Ok(Dialled::Line | Dialled::Http1(_)) => {
            stats.connects().heard(now);
            stats.note_connect(now.since(began));
        }
    }
    dial.end(opened.unwrap_or_else(|_| Dialled::Failed(connect_unanswered(&pools.core, &spot))));
}

async fn open_shared(
    pools: &UpstreamPools,
    spot: &Spot,
    header: Option<&[u8]>,
    shelf: &Rc<Shelf>,
    idle: Duration,
) -> Dialled {
    let (core, stats) = (&pools.core, &spot.endpoint().stats);
    let transport = match reach(pools, spot, header).await {
        Ok(transport) => transport,
        Err(error) => return Dialled::Failed(unreached(core, spot, &error)),
    };
    if !core.view.still_serves(&spot.table, spot.service(), &spot.choice, clock::now()) {
        // Made by a table that has been replaced: the waiting requests look again.
        stats.count_connect(core.id, ConnectOutcome::Connected);
        return Dialled::Line;
    }
    let upstream = &spot.service().config.upstream;
    let secured = upstream.tls.is_some();
    if secured && !transport.is_http2() {
        stats.count_connect(core.id, ConnectOutcome::Connected);
        if upstream.protocol == UpstreamProtocol::Auto {
            shelf.spoke(Speaks::Http1);
            return Dialled::Http1(Some(transport));
        }
        record_connect(core, spot, Failure::Malformed);
        return Dialled::Failed(TryFailure::Malformed);
    }
    let scheme = if secured { Scheme::Https } else { Scheme::Http };
    let opening = Opening { transport, scheme, generation: spot.generation, idle };
    let opened = shelf.open(core.id, opening, core.deadlines.alarm()).await;
    stats.count_connect(core.id, ConnectOutcome::Connected);
    match opened {
        Ok(()) => {
            shelf.spoke(Speaks::Http2);
            Dialled::Line
        }
        Err(how) => {
            record_connect(core, spot, if how == TryFailure::Malformed { Failure::Malformed } else { Failure::Reset });
            Dialled::Failed(how)
        }
    }
}
