//! Streams of HTTP/2 connections, which many requests share, and the connect that is made for all that wait for one.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::destination::Destination;
use super::dial::{reach, unreached};
use super::dispatch::{Dispatch, LinkOutcome, SelectError, UpstreamLink};
use super::faults::{connect_unanswered, record_connect};
use super::first_connect::FirstConnect;
use super::h2_connection::H2Setup;
use super::h2_pool::{DialOutcome, H2Endpoint, H2Offer, OpenDial, SpokenVersion};
use super::pools::UpstreamPools;
use super::race::RaceOutcome;
use crate::config::UpstreamProtocol;
use crate::decision::{ConnectOutcome, Failure};
use crate::proxy::guarded::guarded;
use crate::routing::TryFailure;
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::h1::Scheme;

/// How often a request lets the task of a shared connection look at what has come before it dials another.
const SETTLING: u32 = 3;

impl Dispatch<'_> {
    /// A stream of a shared connection. Where there is none, one connect is made for all requests that wait. An endpoint that
    /// chooses the protocol may choose HTTP/1.1, whose connections are not shared.
    pub(super) async fn shared(
        &self,
        destination: &mut Destination,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<LinkOutcome, SelectError> {
        // Where endpoints are told of the client, only its own requests share a connection.
        let about = destination.is_about_one_client().then_some(self.client_info.ends);
        let shared = self.pools.h2.endpoint(destination.choice.id, about, &destination.endpoint().stats);
        let began = clock::now();
        let mut settling = 0;
        loop {
            // A wait may have seen a table by which the endpoint is spoken to in another way.
            if !self.core.view.still_holds(&destination.table, destination.service()) {
                return Ok(LinkOutcome::Superseded);
            }
            destination.generation = destination.endpoint().stats.generation();
            let stats = &destination.endpoint().stats;
            let trusted = stats.trusts_idle(self.tries.request_class().idempotent(), clock::now());
            match shared.take(destination.generation, self.tries.fresh_only() || !trusted) {
                H2Offer::Stream(stream) => {
                    destination.reused = stream.was_idle;
                    return Ok(LinkOutcome::Ready(UpstreamLink::Shared(stream)));
                }
                H2Offer::Unsettled if settling < SETTLING => {
                    settling += 1;
                    tokio::task::yield_now().await;
                    continue;
                }
                H2Offer::Unsettled | H2Offer::Nothing => {}
            }
            let alone = shared.speaks() == Some(SpokenVersion::Http1);
            if alone && let Some(stream) = self.take_idle(destination) {
                return Ok(LinkOutcome::Ready(UpstreamLink::Own(stream)));
            }
            destination.reused = false;
            let raced = self.race_shared(destination, began, &shared, alone, gone).await?;
            match raced {
                RaceOutcome::Own(Some(DialOutcome::Http2 | DialOutcome::Http1(None))) => {}
                RaceOutcome::Own(Some(DialOutcome::Http1(Some(stream)))) => {
                    return Ok(LinkOutcome::Ready(UpstreamLink::Own(stream)));
                }
                RaceOutcome::Own(Some(DialOutcome::Failed(how))) => return Ok(LinkOutcome::Failed(how)),
                RaceOutcome::Own(None) => return Ok(LinkOutcome::Superseded),
                RaceOutcome::Elsewhere(elsewhere) => return Ok(LinkOutcome::Elsewhere(elsewhere)),
                RaceOutcome::Unanswered => return Ok(LinkOutcome::Failed(TryFailure::ConnectTimeout)),
                RaceOutcome::Exhausted(exhausted) => return Ok(LinkOutcome::Exhausted(exhausted)),
            }
        }
    }

    /// Waits for a dial that is on its way, or for one that begins for this request.
    async fn race_shared(
        &self,
        destination: &Destination,
        began: MonoTime,
        shared: &Rc<H2Endpoint>,
        alone: bool,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<RaceOutcome<Option<DialOutcome>>, SelectError> {
        let mut leads = false;
        let waiter = shared.join(alone, |dial| {
            leads = true;
            let idle = self.service().config.timeouts.idle;
            let connect = self.service().config.timeouts.connect;
            let header = self.header(destination);
            let pools = Rc::clone(self.pools);
            tokio::task::spawn_local(dial_shared(pools, destination.clone(), header, dial, (connect, idle)));
        });
        let dialled = async {
            tokio::select! {
                biased;
                dialled = waiter.ended() => Some(dialled),
                () = self.superseded(destination) => None,
            }
        };
        let first = FirstConnect::shared(self.pools, destination, began, leads);
        self.race(&first, gone, dialled).await
    }
}

/// May the endpoint's connections be shared?
pub(super) fn shares(destination: &Destination) -> bool {
    let upstream = &destination.service().config.upstream;
    match upstream.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => upstream.tls.is_some(),
    }
}

/// Connects for all waiting requests, to the end, also when some of them leave.
async fn dial_shared(
    pools: Rc<UpstreamPools>,
    destination: Destination,
    header: Option<Vec<u8>>,
    dial: OpenDial,
    (connect, idle): (Duration, Duration),
) {
    let (alarm, began) = (pools.core.deadlines.alarm(), clock::now());
    alarm.set(began.after(connect));
    let mut never = |_: &mut Context<'_>| Poll::Pending;
    let opened =
        guarded(&alarm, &mut never, open_shared(&pools, &destination, header.as_deref(), dial.endpoint(), idle)).await;
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    match &opened {
        Ok(DialOutcome::Failed(TryFailure::Local | TryFailure::NoRoute)) => stats.connects().excused(began),
        Err(_) => {}
        Ok(DialOutcome::Failed(_)) => stats.connects().heard(now),
        Ok(DialOutcome::Http2 | DialOutcome::Http1(_)) => {
            stats.connects().heard(now);
            stats.note_connect(now.since(began));
        }
    }
    dial.end(opened.unwrap_or_else(|_| DialOutcome::Failed(connect_unanswered(&pools.core, &destination))));
}

async fn open_shared(
    pools: &UpstreamPools,
    destination: &Destination,
    header: Option<&[u8]>,
    shared: &Rc<H2Endpoint>,
    idle: Duration,
) -> DialOutcome {
    let (core, stats) = (&pools.core, &destination.endpoint().stats);
    let transport = match reach(pools, destination, header).await {
        Ok(transport) => transport,
        Err(error) => return DialOutcome::Failed(unreached(core, destination, &error)),
    };
    if !core.view.still_serves(&destination.table, destination.service(), &destination.choice, clock::now()) {
        // Made by a table that has been replaced: the waiting requests look again.
        stats.count_connect(core.id, ConnectOutcome::Connected);
        return DialOutcome::Http2;
    }
    let upstream = &destination.service().config.upstream;
    let secured = upstream.tls.is_some();
    if secured && !transport.is_http2() {
        stats.count_connect(core.id, ConnectOutcome::Connected);
        if upstream.protocol == UpstreamProtocol::Auto {
            shared.spoke(SpokenVersion::Http1);
            return DialOutcome::Http1(Some(transport));
        }
        record_connect(core, destination, Failure::Malformed);
        return DialOutcome::Failed(TryFailure::Malformed);
    }
    let scheme = if secured { Scheme::Https } else { Scheme::Http };
    let opening = H2Setup { transport, scheme, generation: destination.generation, idle };
    let opened = shared.open(core.id, opening, core.deadlines.alarm()).await;
    stats.count_connect(core.id, ConnectOutcome::Connected);
    match opened {
        Ok(()) => {
            shared.spoke(SpokenVersion::Http2);
            DialOutcome::Http2
        }
        Err(how) => {
            record_connect(
                core,
                destination,
                if how == TryFailure::Malformed { Failure::Malformed } else { Failure::Reset },
            );
            DialOutcome::Failed(how)
        }
    }
}
