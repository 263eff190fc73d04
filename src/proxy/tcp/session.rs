//! One TCP session: select, connect, register, re-check, relay, count.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, ReadBuf};

use super::cancel::CancelRequest;
use super::hello;
use super::refusal::{RefusalCause, refuse};
use super::relay::{RelayEnd, RelayedBytes, relay};
use super::silence::SilenceLimits;
use crate::config::{Name, Service, ServiceTimeouts, Target as ListenerTarget};
use crate::decision::{Failure, Mark, Source};
use crate::net::stream::closed_by_peer;
use crate::net::{Stream, Transport};
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::{Alarm, TaskKiller};
use crate::proxy::handshake::AcceptedConn;
use crate::proxy::termination::{count_rejection, end_termination, unselected_termination};
use crate::proxy::upstream::{
    ClientInfo, Destination, Dispatch, FaultSubject, SelectError, Selected, SelectedTarget, SessionHold, UpstreamLink,
    UpstreamPools, hash_peer,
};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::tries::SILENT_VERDICT_WAIT;
use crate::routing::{
    ConnRejection, GiveUpReason, Handle, ListenerView, RegisteredSession, RequestClass, RetryReasons, ServiceView,
    SourceKey, Tries, sni,
};
use crate::sys::{clock, tcp};
use crate::telemetry::access::{AccessRecord, Termination};
use crate::time::MonoTime;
use crate::wire::proxy_protocol::ConnectionEnds;

/// How long a session may look for an endpoint, whatever the configured timeouts add up to; without the time that it is held.
const LONGEST_SEARCH: Duration = Duration::from_secs(30);

/// The account of a session: what is counted and logged when it has ended.
struct SessionAccount {
    began: MonoTime,
    began_unix_millis: u64,
    /// The server's name that the client asked for, where TLS is passed through.
    name: Option<String>,
    first_byte: Option<MonoTime>,
    moved: RelayedBytes,
    tries: u32,
    retried: RetryReasons,
    reached: Option<ReachedEndpoint>,
    termination: Termination,
}

/// Where a session went.
struct ReachedEndpoint {
    pool: Name,
    endpoint: SocketAddr,
    endpoint_name: Option<Name>,
    epoch: u64,
}

/// Serves one client connection of a TCP listener, to its end.
pub async fn serve_connection(pools: &Rc<UpstreamPools>, listener: &Arc<ListenerView>, conn: Box<AcceptedConn>) {
    let core = &pools.core;
    let AcceptedConn { transport: mut client, peer, reached, alarm, entry, .. } = *conn;
    let mut account = SessionAccount {
        began: clock::now(),
        began_unix_millis: if core.access.enabled() { clock::unix_millis() } else { 0 },
        name: None,
        first_byte: None,
        moved: RelayedBytes::default(),
        tries: 0,
        retried: RetryReasons::default(),
        reached: None,
        termination: Termination::Complete,
    };
    let mut first = Buffer::new(&core.buffers);
    let before = core.table();
    let name = match service_of(core, listener, &mut client, &mut first, &alarm, &mut account).await {
        Ok(name) => name,
        Err(rejection) => {
            listener.stats.count_conn_rejection(core.id, rejection);
            account.termination = rejection_termination(rejection);
            return record(core, listener, "", peer, &account);
        }
    };
    entry.set_busy(true);
    let table = core.table();
    // (While the ClientHello was read, a reload may have renamed the service.)
    let renamed = || before.service(&name).and_then(|service| table.successor(service));
    let Some(service) = table.service(&name).or_else(renamed).map(Arc::clone) else { return };
    let ends = ConnectionEnds { source: peer, destination: reached };
    session(pools, &table, service.index, (client, first), ends, &alarm, &mut account).await;
    listener.stats.bytes_in.add(core.id, account.moved.up);
    listener.stats.bytes_out.add(core.id, account.moved.down);
    service.stats.count_response(core.id, account.reached.as_ref().map(|_| 200));
    record(core, listener, &service.config.name, peer, &account);
}

/// The name of the service that the session is for. Where that depends on the server's name, the ClientHello is read
/// into `first`.
async fn service_of(
    core: &WorkerCore,
    listener: &ListenerView,
    client: &mut Transport,
    first: &mut Buffer,
    alarm: &Alarm,
    account: &mut SessionAccount,
) -> Result<Name, ConnRejection> {
    let routes = match &listener.config.target {
        ListenerTarget::Service(name) => return Ok(Arc::clone(name)),
        ListenerTarget::Sni(routes) => routes,
        ListenerTarget::Routes(_) => return Err(ConnRejection::NoRoute),
    };
    if let Some(route) = sni::takes_all(routes) {
        return Ok(Arc::clone(&route.service));
    }
    let asked = hello::collect(core, client, first, alarm).await?;
    let found = sni::find(routes, asked.as_ref()).map(|route| Arc::clone(&route.service));
    let rejection = if asked.is_some() { ConnRejection::NoRoute } else { ConnRejection::NotTls };
    account.name = asked.and_then(|asked| asked.name);
    found.ok_or(rejection)
}

fn rejection_termination(rejection: ConnRejection) -> Termination {
    match rejection {
        ConnRejection::NoRoute | ConnRejection::NotTls => Termination::Unrouted,
        ConnRejection::Closed => Termination::ClientAborted,
        ConnRejection::Timeout => Termination::ClientTimeout,
        ConnRejection::Untrusted
        | ConnRejection::NoHeader
        | ConnRejection::MalformedHeader
        | ConnRejection::MalformedHello => Termination::Refused,
    }
}

async fn session(
    pools: &Rc<UpstreamPools>,
    table: &Handle,
    index: usize,
    client: (Transport, Buffer),
    ends: ConnectionEnds,
    alarm: &Alarm,
    account: &mut SessionAccount,
) {
    let (mut client, first) = client;
    let deadline = clock::now().after(longest_search(&table.services[index].config));
    let tries = Tries::new(RequestClass::opaque(), deadline);
    let source = Source::of(ends.source.ip());
    let client_info = ClientInfo { hash: hash_peer(ends.source), ends };
    let subject = FaultSubject { source, key: SourceKey::of(&source), route: index, path: b"" };
    let request = match first.is_empty() {
        true => CancelRequest::read(&mut client, &table.services[index].config, alarm).await,
        false => None,
    };
    let hold = SessionHold::default();
    let mut dispatch = Dispatch::new(pools, alarm, table, index, account.began, tries, (client_info, subject));
    if let Some(request) = request {
        // Boxed, so that a task needs no room for it.
        return Box::pin(cancel(&dispatch, client, request, account)).await;
    }
    dispatch.hold = Some(&hold);
    let connected = connect(&mut dispatch, &hold, &client).await;
    let permit = hold.end();
    (account.tries, account.retried) = (dispatch.attempts, dispatch.tries.reasons());
    match connected {
        Ok((target, registered)) => {
            relay_session(&mut dispatch, client, first, target, account).await;
            drop((registered, permit));
        }
        Err(unselected) => {
            drop(permit);
            count_rejection(dispatch.core, dispatch.service(), unselected);
            account.termination = unselected_termination(unselected, dispatch.last, dispatch.core);
            let service = newest_service(&dispatch);
            match (service.config.refusal_language(), RefusalCause::of(unselected, &service.config)) {
                // Boxed, so that a task needs no room for it.
                (Some(language), Some(cause)) => {
                    account.moved.down = Box::pin(refuse(&mut client, first, language, cause, alarm)).await;
                }
                _ => client.reset_on_close(),
            }
        }
    }
}

/// A request to cancel goes where sessions are, and is never answered: its client waits for the end of the connection.
async fn cancel(dispatch: &Dispatch<'_>, mut client: Transport, request: CancelRequest, account: &mut SessionAccount) {
    let mut never = |_: &mut Context<'_>| Poll::Pending;
    let permit = match dispatch.permit(dispatch.service(), &mut never).await {
        Ok(permit) => permit,
        Err(unselected) => {
            count_rejection(dispatch.core, dispatch.service(), unselected);
            account.termination = unselected_termination(unselected, dispatch.last, dispatch.core);
            return client.reset_on_close();
        }
    };
    let table = dispatch.core.table();
    if let Some(service) = table.successor(dispatch.service()) {
        account.tries = request.pass_on(dispatch.pools, &table, service.index, dispatch.client_info.ends).await as u32;
    }
    drop(permit);
    // (It may have left already.)
    let _ = client.shutdown().await;
}

/// The service as the newest table has it, if it has it.
fn newest_service(dispatch: &Dispatch<'_>) -> Arc<ServiceView> {
    let newest = dispatch.core.table();
    Arc::clone(newest.successor(dispatch.service()).unwrap_or(dispatch.service()))
}

async fn connect(
    dispatch: &mut Dispatch<'_>,
    hold: &SessionHold,
    client: &Transport,
) -> Result<(SelectedTarget, RegisteredSession<TaskKiller>), SelectError> {
    let core = dispatch.core;
    let mut closed = None;
    let mut gone = |cx: &mut Context<'_>| match hold.waits() {
        true => poll_closed(client, &mut closed, cx),
        false => was_reset(client, cx),
    };
    hold.take_permit(dispatch.permit(dispatch.service(), &mut gone).await?);
    loop {
        let target = match dispatch.next(&mut gone).await? {
            Selected::Endpoint(target) => target,
            Selected::Static { .. } => return Err(SelectError::GaveUp(GiveUpReason::Down)),
        };
        // Register first, then re-check: either we see the newer table here, or its sweep finds us there.
        let Destination { choice, .. } = &target.destination;
        let pool_term = target.destination.service().pool_term(choice.pool);
        let registered = core.sessions.register(pool_term, choice.id, dispatch.alarm.killer());
        if core.view.still_holds(&target.destination.table, target.destination.service()) {
            return Ok((target, registered));
        }
    }
}

async fn relay_session(
    dispatch: &mut Dispatch<'_>,
    mut client: Transport,
    first: Buffer,
    target: SelectedTarget,
    account: &mut SessionAccount,
) {
    let SelectedTarget { destination, link, in_flight } = target;
    // Only exchanges of HTTP share connections.
    let UpstreamLink::Own(mut stream) = link else { return };
    let core = dispatch.core;
    account.reached = Some(ReachedEndpoint {
        pool: Arc::clone(&destination.pool().name),
        endpoint: destination.endpoint().address,
        endpoint_name: destination.endpoint().name.clone(),
        epoch: destination.table.epoch,
    });
    let alarm = dispatch.alarm;
    let ServiceTimeouts { tunnel: both, client: of_client, upstream, .. } = dispatch.service().config.timeouts;
    let silence = SilenceLimits { both, client: of_client, upstream };
    let first_byte = &mut account.first_byte;
    let answered = || {
        let now = clock::now();
        *first_byte = Some(now);
        dispatch.record_good(&destination);
        dispatch.answered(&destination, true, now);
    };
    let relayed = relay(&mut client, &mut stream, first, &core.shared, alarm, silence, answered).await;
    let (end, moved) = relayed;
    account.moved = moved;
    account.termination = end_termination(end, core);
    if end != RelayEnd::Closed {
        client.reset_on_close();
        stream.reset_on_close();
    }
    in_flight.stats().count_bytes(core.id, moved.up, moved.down);
    judge(dispatch, &destination, end, &moved);
}

/// The evidence of a session about its endpoint, beside that it answered.
fn judge(dispatch: &mut Dispatch<'_>, destination: &Destination, end: RelayEnd, moved: &RelayedBytes) {
    match end {
        // Cut, unless the client had ended first: many servers answer that with a reset.
        RelayEnd::Upstream if !moved.client_left_first => dispatch.record(destination, Failure::Reset),
        // It accepted, sent nothing and closed: what a port forwarder without its server does. Where the client had sent
        // something, that may be why.
        RelayEnd::Closed | RelayEnd::Client if moved.down == 0 && moved.upstream_left_first => {
            let mark = if moved.up > 0 { Mark::HungUp } else { Mark::None };
            dispatch.record_marked(destination, Failure::Reset, mark);
        }
        _ => {}
    }
}

fn longest_search(service: &Service) -> Duration {
    let most = service.pools.iter().map(|pool| pool.members.endpoints().len()).max().unwrap_or(1) as u32;
    (service.timeouts.connect * (most + 1) + SILENT_VERDICT_WAIT).min(LONGEST_SEARCH) + service.hold_requests
}

/// A client that has closed its side may still want the answer; one that has reset the connection does not.
fn was_reset(client: &Transport, cx: &mut Context<'_>) -> Poll<()> {
    let mut byte = [0];
    match client.socket().poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        _ => Poll::Pending,
    }
}

/// A client that closes its side while it is held leaves, also behind bytes that nothing has read: it does not wait for the answer
/// to what was not sent on.
fn poll_closed<'c>(
    client: &'c Transport,
    closed: &mut Option<Pin<Box<dyn Future<Output = ()> + 'c>>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if tcp::is_closed_by_peer(client.socket()) {
        return Poll::Ready(());
    }
    closed.get_or_insert_with(|| Box::pin(closed_by_peer(client.socket()))).as_mut().poll(cx)
}

fn record(core: &WorkerCore, listener: &ListenerView, service: &str, peer: SocketAddr, account: &SessionAccount) {
    if !core.access.enabled() {
        return;
    }
    core.access.record(&AccessRecord {
        began_unix_millis: account.began_unix_millis,
        listener: &listener.config.name,
        client: peer,
        method: b"",
        target: b"",
        version: "",
        host: account.name.as_deref().unwrap_or_default().as_bytes(),
        request_id: b"",
        user_agent: b"",
        referer: b"",
        status: None,
        service,
        pool: account.reached.as_ref().map_or("", |reached| &reached.pool),
        endpoint: account.reached.as_ref().map(|reached| reached.endpoint),
        endpoint_name: account
            .reached
            .as_ref()
            .and_then(|reached| reached.endpoint_name.as_deref())
            .unwrap_or_default(),
        epoch: account.reached.as_ref().map_or(0, |reached| reached.epoch),
        tries: account.tries,
        retried: &account.retried.to_string(),
        malformed: "",
        received: account.moved.up,
        sent: account.moved.down,
        duration: clock::now().since(account.began),
        first_byte: account.first_byte.map(|first| first.since(account.began)),
        termination: account.termination,
    });
}
