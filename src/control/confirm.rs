//! The confirming connect: a second opinion on a connect that was refused or not answered, or on an opening that failed, begun at
//! once ([manual::one_failover](crate::manual::one_failover)). It opens a connection as traffic does: PROXY header, TLS, HTTP/2 up to the endpoint's SETTINGS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;

use crate::config::{Protocol, UpstreamProtocol};
use crate::decision::{ConnectOutcome, EndpointId};
use crate::net::dial::judge_connect;
use crate::net::tls::ClientTls;
use crate::net::{Connector, DialError, Transport, http2};
use crate::routing::ServiceView;
use crate::sys::clock;
use crate::wire::proxy_protocol;

/// How long a confirming connect may take: longer than any round trip, so that a refusal from another continent is a verdict
/// too, and shorter than the core waits for it.
const DEADLINE: Duration = Duration::from_millis(900);

/// How connections to an endpoint are opened.
pub(super) struct ConnectSetup {
    address: SocketAddr,
    /// It speaks for us: no client is behind it.
    header: Option<Vec<u8>>,
    tls: Option<Arc<ClientTls>>,
    protocol: UpstreamProtocol,
}

/// Why there is no open connection.
struct OpenError(ConnectOutcome);

impl ConnectSetup {
    /// As the traffic of this service opens its connections to this endpoint. `None`: it has no such endpoint.
    pub(super) fn of(service: &ServiceView, endpoint: EndpointId) -> Option<ConnectSetup> {
        let endpoint = service.find(endpoint)?;
        let upstream = &service.config.upstream;
        let protocol = match service.config.protocol {
            Protocol::Http => upstream.protocol,
            Protocol::Tcp => UpstreamProtocol::Http1,
        };
        Some(ConnectSetup {
            address: endpoint.address,
            header: upstream.proxy_protocol.map(|version| proxy_protocol::write(version, None)),
            tls: endpoint.tls.clone(),
            protocol,
        })
    }

    /// Opens one connection, says how that ended, and closes it. One that a pause of this process outlasted says nothing. Cancel
    /// safe.
    pub(super) async fn confirm(&self) -> ConnectOutcome {
        let began = clock::now();
        #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for one connect")]
        match tokio::time::timeout(DEADLINE, self.open()).await {
            Ok(Ok(())) => ConnectOutcome::Connected,
            // It may have failed because this process did not run.
            _ if clock::paused_since(began) => ConnectOutcome::Local,
            Ok(Err(OpenError(outcome))) => outcome,
            Err(_) => ConnectOutcome::Timeout,
        }
    }

    async fn open(&self) -> Result<(), OpenError> {
        let connector = Connector {
            header: self.header.as_deref(),
            tls: self.tls.as_deref(),
            reset_on_close: true,
            ..Connector::new(self.address)
        };
        let transport = connector.connect(None).await.map_err(|error| failed(&error))?;
        let shared = match (self.protocol, &self.tls) {
            (UpstreamProtocol::Http2, Some(_)) if !transport.is_http2() => {
                return Err(OpenError(ConnectOutcome::Refused));
            }
            (UpstreamProtocol::Http2, _) => true,
            (UpstreamProtocol::Auto, _) => transport.is_http2(),
            (UpstreamProtocol::Http1, _) => false,
        };
        if shared { open_http2(transport).await } else { Ok(()) }
    }
}

/// What a failed connect means. A failed handshake: the endpoint does not open a connection with us.
fn failed(error: &DialError) -> OpenError {
    OpenError(match error {
        DialError::Socket(error) => judge_connect(error),
        DialError::Tls(error) if error.kind() == io::ErrorKind::TimedOut => ConnectOutcome::Timeout,
        DialError::Tls(_) => ConnectOutcome::Refused,
    })
}

/// Opens HTTP/2, up to the endpoint's SETTINGS.
async fn open_http2(transport: Transport) -> Result<(), OpenError> {
    let mut builder = Builder::new();
    builder.initial_max_send_streams(0).enable_push(false);
    let opened = builder.handshake::<_, Bytes>(transport).await;
    let (sender, mut connection) = opened.map_err(|_| OpenError(ConnectOutcome::Refused))?;
    http2::await_settings(&sender, &mut connection).await.map_err(|_| OpenError(ConnectOutcome::Refused))
}
