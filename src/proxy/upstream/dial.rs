//! Connects: a new connection for one request, its PROXY header and its TLS, and the evidence of a failed one.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::destination::Destination;
use super::dispatch::{Dispatch, LinkOutcome, SelectError, UpstreamLink};
use super::faults::{connect_unanswered, record_connect};
use super::first_connect::FirstConnect;
use super::idle::IdleConn;
use super::pools::UpstreamPools;
use super::race::RaceOutcome;
use crate::config::{Protocol, ServiceTimeouts};
use crate::decision::{ConnectOutcome, Failure};
use crate::net::dial::judge_connect;
use crate::net::tls::explain;
use crate::net::{Connector, DialError, Transport};
use crate::proxy::guarded::guarded;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::TryFailure;
use crate::sys::clock;
use crate::time::MonoTime;
use crate::wire::proxy_protocol;

/// The outcome of a try's own connect.
enum OwnConnect {
    /// A connection that another exchange gave back.
    Given(Transport),
    /// A connect, which began then.
    Ended(MonoTime, Result<Transport, DialError>),
}

impl Dispatch<'_> {
    /// A new connection, or one that an exchange gives back while this request waits before the [gate](super::dial_gate). It is
    /// given up when a newer table has condemned the endpoint or left its pool: no byte was sent, so any request may go
    /// elsewhere at once.
    pub(super) async fn dial(
        &self,
        destination: &mut Destination,
        gone: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<LinkOutcome, SelectError> {
        let header = self.header(destination);
        let (raced, began, generation) = {
            let first = FirstConnect::own(self.pools, destination, clock::now(), self.is_gated(destination));
            let connecting = async {
                tokio::select! {
                    biased;
                    connected = self.connect(&first, header.as_deref()) => Some(connected),
                    () = self.superseded(destination) => None,
                }
            };
            let raced = self.race(&first, gone, connecting).await?;
            (raced, first.began(), first.generation())
        };
        destination.generation = generation;
        Ok(match raced {
            RaceOutcome::Own(Some(OwnConnect::Given(stream))) => {
                destination.reused = true;
                LinkOutcome::Ready(UpstreamLink::Own(stream))
            }
            RaceOutcome::Own(Some(OwnConnect::Ended(began, reached))) => {
                match connected(self.core, destination, began, reached) {
                    Ok(stream) => LinkOutcome::Ready(UpstreamLink::Own(stream)),
                    Err(how) => LinkOutcome::Failed(how),
                }
            }
            RaceOutcome::Own(None) => {
                began.into_iter().for_each(|began| destination.endpoint().stats.connects().excused(began));
                LinkOutcome::Superseded
            }
            RaceOutcome::Elsewhere(elsewhere) => {
                let timeouts = self.service().config.timeouts;
                // (Later it is known to be unanswered.)
                if let Some(began) = began.filter(|began| clock::now() < began.after(timeouts.connect)) {
                    prove(self.pools, destination.clone(), header, began, timeouts);
                }
                LinkOutcome::Elsewhere(elsewhere)
            }
            RaceOutcome::Unanswered => LinkOutcome::Failed(TryFailure::ConnectTimeout),
            RaceOutcome::Exhausted(exhausted) => LinkOutcome::Exhausted(exhausted),
        })
    }

    /// May this request wait in line for a connection? Not where another exchange's connection is of no use to it, and it would
    /// only be held up; nor beside a try that is late.
    fn is_gated(&self, destination: &Destination) -> bool {
        let is_http = self.service().config.protocol == Protocol::Http;
        is_http && !self.hurries && self.may_reuse(destination, clock::now())
    }

    /// Waits in line, then connects. Cancel safe.
    async fn connect(&self, first: &FirstConnect<'_>, header: Option<&[u8]>) -> OwnConnect {
        while let Some(given) = self.turn(first).await {
            if !self.may_reuse(first.destination, clock::now()) {
                // (Not any more.)
                first.pass_on(given);
            } else if let Some(stream) = first.take(given) {
                return OwnConnect::Given(stream);
            }
        }
        let began = first.begin();
        let reached = reach(self.pools, first.destination, header).await;
        first.end(&reached);
        OwnConnect::Ended(began, reached)
    }

    /// A turn at the gate, which is of no use any more where a newer table would not go to the endpoint: that ends the try.
    async fn turn(&self, first: &FirstConnect<'_>) -> Option<IdleConn<Transport>> {
        let given = poll_fn(|cx| first.poll_turn(cx)).await;
        if first.has_waited() {
            let (newest, picked) = (self.core.table(), &first.destination.table);
            if newest.epoch > picked.epoch && self.is_left_by(&newest, first.destination) {
                std::future::pending::<()>().await;
            }
        }
        given
    }

    /// The PROXY header that begins a new connection.
    pub(super) fn header(&self, destination: &Destination) -> Option<Vec<u8>> {
        let version = destination.service().config.upstream.proxy_protocol;
        version.map(|version| proxy_protocol::write(version, Some(self.client_info.ends)))
    }
}

/// A new connection to the endpoint, with the header ahead of everything else. Cancel safe.
pub(super) async fn reach(
    pools: &UpstreamPools,
    destination: &Destination,
    header: Option<&[u8]>,
) -> Result<Transport, DialError> {
    let endpoint = destination.endpoint();
    let secured = destination.service().config.upstream.tls.is_some();
    if secured && endpoint.tls.is_none() {
        // A table without what the configuration asks for is never published; in the clear nothing is sent there.
        return Err(DialError::Socket(io::Error::other("TLS is not set up")));
    }
    let permit = pools.upstream_permit().map_err(DialError::Socket)?;
    let connector =
        Connector { header, tls: endpoint.tls.as_deref(), keep_alive: true, ..Connector::new(endpoint.address) };
    connector.connect(Some(permit)).await.inspect_err(|error| pools.note_connect_error(error.io()))
}

/// Counts the end of a connect that began then.
fn connected(
    core: &WorkerCore,
    destination: &Destination,
    began: MonoTime,
    reached: Result<Transport, DialError>,
) -> Result<Transport, TryFailure> {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    match reached {
        Ok(stream) => {
            stats.count_connect(core.id, ConnectOutcome::Connected);
            stats.connects().heard(now);
            stats.note_connect(now.since(began));
            Ok(stream)
        }
        Err(error) => {
            let how = unreached(core, destination, &error);
            match how {
                TryFailure::Local | TryFailure::NoRoute => stats.connects().excused(began),
                _ => stats.connects().heard(now),
            }
            Err(how)
        }
    }
}

/// Finds out whether an overtaken connect is only slow. One for each worker and endpoint goes on in the background; its connection
/// is kept for the next exchange.
fn prove(
    pools: &Rc<UpstreamPools>,
    destination: Destination,
    header: Option<Vec<u8>>,
    began: MonoTime,
    timeouts: ServiceTimeouts,
) {
    if !pools.proofs.borrow_mut().insert(destination.choice.id) {
        return;
    }
    let pools = Rc::clone(pools);
    tokio::task::spawn_local(async move {
        let alarm = pools.core.deadlines.alarm();
        alarm.set(began.after(timeouts.connect));
        let mut never = |_: &mut Context<'_>| Poll::Pending;
        match guarded(&alarm, &mut never, reach(&pools, &destination, header.as_deref())).await {
            Ok(reached) => {
                if let Ok(stream) = connected(&pools.core, &destination, began, reached) {
                    pools.keep(&destination, stream, true, timeouts.idle);
                }
            }
            Err(_) => {
                connect_unanswered(&pools.core, &destination);
            }
        }
        pools.proofs.borrow_mut().remove(&destination.choice.id);
    });
}

pub(super) fn unreached(core: &WorkerCore, destination: &Destination, error: &DialError) -> TryFailure {
    match error {
        DialError::Socket(error) => connect_failed(core, destination, error),
        DialError::Tls(error) => handshake_failed(core, destination, error),
    }
}

/// Counts a failed TLS handshake: evidence like a connection that is cut. Whether it is a refusal, which could be a verdict on the
/// whole pool, the engine finds out by a handshake of its own.
fn handshake_failed(core: &WorkerCore, destination: &Destination, error: &io::Error) -> TryFailure {
    let endpoint = destination.endpoint();
    let (why, text) = explain(error);
    endpoint.stats.count_connect(core.id, ConnectOutcome::Connected);
    endpoint.stats.count_tls_failure(core.id, why);
    core.warn_of_tls_failure(&destination.service().config.name, endpoint.address, &text);
    record_connect(core, destination, Failure::Reset);
    TryFailure::Handshake
}

fn connect_failed(core: &WorkerCore, destination: &Destination, error: &io::Error) -> TryFailure {
    let endpoint = destination.endpoint();
    let outcome = judge_connect(error);
    endpoint.stats.count_connect(core.id, outcome);
    let (kind, how) = match outcome {
        ConnectOutcome::Refused | ConnectOutcome::Unreachable => (Failure::Refused, TryFailure::Refused),
        ConnectOutcome::NoRoute => {
            core.warn_of_connect_error(&destination.service().config.name, endpoint.address, error);
            if endpoint.stats.note_no_route() {
                core.view.urgent();
            }
            return TryFailure::NoRoute;
        }
        ConnectOutcome::Timeout => (Failure::ConnectTimeout, TryFailure::ConnectTimeout),
        ConnectOutcome::Connected | ConnectOutcome::Local => {
            core.warn_of_connect_error(&destination.service().config.name, endpoint.address, error);
            return TryFailure::Local;
        }
    };
    record_connect(core, destination, kind);
    how
}
