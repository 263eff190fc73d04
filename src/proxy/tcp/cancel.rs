//! CancelRequest of PostgreSQL, in the clear: a connection of its own that names a session by a key which only its server knows. So it goes
//! to every endpoint that has sessions of the service. None of them answers it: their end says nothing about them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::config::{Protocol, RefusalLanguage, Service};
use crate::decision::{EndpointId, SessionAction};
use crate::net::{Connector, Stream, Transport};
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::guarded;
use crate::proxy::upstream::UpstreamPools;
use crate::routing::{Handle, ServiceView};
use crate::sys::clock;
use crate::wire::proxy_protocol::{self, ConnectionEnds};
use crate::wire::refusal::{LONGEST_CANCEL, PostgresOpening};

/// Bytes by which a first message is told apart.
const HEAD: usize = 8;
/// A head, the number of a process, and a key.
const SHORTEST: usize = 16;
/// How long the first bytes of a client are waited for, which speaks first: it is connected without them then.
const FIRST_BYTES: Duration = Duration::from_millis(200);
/// How long an endpoint may take: a server closes the connection when it has carried the request out.
const CARRIED_OUT: Duration = Duration::from_secs(2);

/// A request to cancel, as it came.
pub struct CancelRequest(Rc<[u8]>);

impl CancelRequest {
    /// Does this client of the service ask to cancel what another session does? Then its request is read; else its bytes stay where they
    /// are.
    pub async fn read(client: &mut Transport, service: &Service, alarm: &Alarm) -> Option<CancelRequest> {
        let is_postgres = RefusalLanguage::of(&service.pools) == Some(RefusalLanguage::Postgres);
        if service.protocol != Protocol::Tcp || !is_postgres || !matches!(client, Transport::Plain(_)) {
            return None;
        }
        let mut head = [0; HEAD];
        let mut head = ReadBuf::new(&mut head);
        let mut never = |_: &mut Context<'_>| Poll::Pending;
        alarm.set(clock::now().after(FIRST_BYTES));
        let peeked = guarded(alarm, &mut never, poll_fn(|cx| client.socket().poll_peek(cx, &mut head))).await;
        alarm.clear();
        match (peeked, PostgresOpening::of(head.filled())) {
            // Boxed, so that a task needs no room for it.
            (Ok(Ok(_)), PostgresOpening::Cancel) => Box::pin(CancelRequest::take(client, alarm)).await,
            _ => None,
        }
    }

    async fn take(client: &mut Transport, alarm: &Alarm) -> Option<CancelRequest> {
        let mut never = |_: &mut Context<'_>| Poll::Pending;
        alarm.set(clock::now().after(FIRST_BYTES));
        let mut message = vec![0; 4];
        let whole = async {
            client.read_exact(&mut message).await.ok()?;
            let length = u32::from_be_bytes(message.get(..4)?.try_into().ok()?);
            let length = usize::try_from(length).ok().filter(|length| (SHORTEST..=LONGEST_CANCEL).contains(length))?;
            message.resize(length, 0);
            client.read_exact(message.get_mut(4..)?).await.ok()
        };
        let read = guarded(alarm, &mut never, whole).await;
        alarm.clear();
        // (One that is cut short goes nowhere.)
        Some(CancelRequest(read.ok().flatten().map_or_else(|| Rc::from([]), |_| Rc::from(message))))
    }

    /// Sends it to the endpoints of the service that have sessions now, all at once, and waits until each has closed its connection, or
    /// has had its time. Returns how many took it.
    pub async fn pass_on(self, pools: &Rc<UpstreamPools>, table: &Handle, index: usize, ends: ConnectionEnds) -> usize {
        let request = self.0;
        if request.is_empty() {
            return 0;
        }
        let service = &table.services[index];
        let header = service.config.upstream.proxy_protocol.map(|version| proxy_protocol::write(version, Some(ends)));
        let header = Rc::new(header);
        let mut sent = Vec::new();
        for pool in &service.pools {
            for (place, endpoint) in pool.endpoints.iter().enumerate() {
                if may_have_sessions(service, endpoint.id) && endpoint.stats.in_flight() > 0 {
                    let target = CancelTarget { table: Rc::clone(table), service: index, pool: pool.index, place };
                    let (pools, request, header) = (Rc::clone(pools), Rc::clone(&request), Rc::clone(&header));
                    sent.push(tokio::task::spawn_local(async move {
                        let alarm = pools.core.deadlines.alarm();
                        alarm.set(clock::now().after(CARRIED_OUT));
                        let mut never = |_: &mut Context<'_>| Poll::Pending;
                        let sending = target.send(&pools, &request, header.as_deref(), &alarm);
                        guarded(&alarm, &mut never, sending).await == Ok(true)
                    }));
                }
            }
        }
        let mut taken = 0;
        for sent in sent {
            taken += usize::from(sent.await.unwrap_or(false));
        }
        taken
    }
}

/// An endpoint that has sessions.
struct CancelTarget {
    table: Handle,
    service: usize,
    pool: usize,
    place: usize,
}

impl CancelTarget {
    /// Connects, sends and waits for the end. `false`: it did not take the request, or may have no session any more.
    async fn send(&self, pools: &UpstreamPools, request: &[u8], header: Option<&[u8]>, alarm: &Alarm) -> bool {
        let core = &pools.core;
        let service = &self.table.services[self.service];
        let Some(endpoint) = service.endpoint(self.pool, self.place) else { return false };
        if service.config.upstream.tls.is_some() && endpoint.tls.is_none() {
            return false;
        }
        let Ok(permit) = pools.upstream_permit() else { return false };
        let connector = Connector { header, tls: endpoint.tls.as_deref(), ..Connector::new(endpoint.address) };
        let Ok(mut stream) = connector.connect(Some(permit)).await else { return false };
        // As with a session: either a newer table is seen here, or its sweep finds this connection.
        let _registered = core.sessions.register(service.pool_term(self.pool), endpoint.id, alarm.killer());
        let newest = core.table();
        let stands = newest.successor(service).is_some_and(|service| may_have_sessions(service, endpoint.id));
        if !stands || stream.write_all(request).await.is_err() {
            return false;
        }
        // (A server that went away has carried out nothing, and says no more than one that has.)
        let _ = stream.read(&mut [0; 1]).await;
        true
    }
}

/// No session is at an endpoint that is fenced by its row, or whose pool's sessions are cut.
fn may_have_sessions(service: &ServiceView, endpoint: EndpointId) -> bool {
    let goes_on = service.pools.iter().filter(|pool| pool.sessions.present != Some(SessionAction::Close));
    goes_on.flat_map(|pool| &pool.endpoints).any(|view| view.id == endpoint && !view.fenced)
}
