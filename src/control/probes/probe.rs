//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::connect::{ConnectReport, connect};
use super::error::ProbeError;
use super::grpc::GrpcProbe;
use super::http::HttpProbe;
use super::http_client::ProbeClient;
use crate::config::{CheckKind, Endpoint, HealthCheck};
use crate::decision::{ConnectOutcome, ProbeFailure, ProbeOutcome};
use crate::net::tls::ClientTls;
use crate::routing::materials::check_tls;
use crate::sys::clock;
use crate::wire::proxy_protocol;

/// Longest detail in characters; see [`ProbeOutcome::Fail`].
const DETAIL: usize = 200;

/// A kept connection has this part of the timeout for itself; then a new one is asked as well.
const PATIENCE: u32 = 4;

/// What is asked of whom: prepared once, asked often.
pub(super) struct Probe {
    target: SocketAddr,
    /// `Err`: the check asks for TLS and there is nothing to speak it with.
    tls: Result<Option<Arc<ClientTls>>, &'static str>,
    /// A PROXY header: the probe speaks for itself.
    header: Option<Vec<u8>>,
    /// For so long a connection is asked again and again; zero: each is asked once.
    reuse: Duration,
    kind: Kind,
}

enum Kind {
    Tcp,
    Http(Box<HttpProbe>),
    Grpc(Box<GrpcProbe>),
}

/// What came of a probe.
pub(super) struct ProbeResult {
    pub(super) outcome: ProbeOutcome,
    /// What the next one may be asked on.
    pub(super) open: Option<ProbeClient>,
    /// How its connect ended, where the way to the endpoint is in probe.
    pub(super) way: Option<ConnectOutcome>,
}

/// A probe passed.
struct Passed {
    /// From the start of the connect, or of the probe on a kept connection.
    latency: Duration,
    /// What it was asked on.
    client: Option<ProbeClient>,
}

impl Probe {
    /// What this check asks of the endpoint, over TLS where it says so, and by the name that DNS resolved to it.
    pub(super) fn new(endpoint: &Endpoint, check: &HealthCheck, tls: Option<&Arc<ClientTls>>) -> Probe {
        let (address, host) = (endpoint.address, endpoint.host.as_deref());
        let header = check.proxy_protocol.map(|version| proxy_protocol::write(version, None));
        let tls = match tls {
            None if check_tls(&check.kind).is_some() => Err("TLS is not set up"),
            tls => Ok(tls.map(|tls| Arc::new(tls.named(host)))),
        };
        let at =
            |ip: IpAddr, port: Option<u16>| SocketAddr::new(ip, endpoint.check_port.or(port).unwrap_or(address.port()));
        let (target, reuse, kind) = match &check.kind {
            CheckKind::Tcp { port, .. } => (at(address.ip(), *port), Duration::ZERO, Kind::Tcp),
            CheckKind::Grpc(grpc) => {
                let target = at(address.ip(), grpc.port);
                (target, grpc.reuse, Kind::Grpc(Box::new(GrpcProbe::new(target, host, grpc))))
            }
            CheckKind::Http(http) => {
                let target = at(http.address.unwrap_or(address.ip()), http.port);
                (target, http.reuse, Kind::Http(Box::new(HttpProbe::new(target, host, http))))
            }
        };
        Probe { target, tls, header, reuse, kind }
    }

    /// Ask once: on the connection that an earlier probe `kept`, while it may be reused, or on a new one. Gives the outcome,
    /// what the next probe may be asked on, and how its connect ended where the way to the endpoint is in probe. Always ends
    /// by `timeout`. Cancel safe.
    pub(super) async fn ask(&self, timeout: Duration, kept: Option<ProbeClient>) -> ProbeResult {
        let way = ConnectReport::default();
        let kept = kept.filter(|client| client.opened().elapsed() < self.reuse);
        let began = clock::now();
        #[allow(clippy::disallowed_methods, reason = "not on the data path")]
        let verdict = tokio::time::timeout(timeout, self.ask_kept(kept, timeout / PATIENCE, &way)).await;
        let refuted = match verdict {
            Ok(Ok(Passed { latency, client })) => {
                let client = client.filter(|client| !self.reuse.is_zero() && client.is_reusable());
                return ProbeResult { outcome: ProbeOutcome::Pass { latency }, open: client, way: None };
            }
            // It may have failed because this process did not run.
            _ if clock::paused_since(began) => {
                let outcome =
                    ProbeOutcome::Local { detail: self.place("this process was paused while it was out".to_owned()) };
                return ProbeResult { outcome, open: None, way: None };
            }
            Ok(Err(ProbeError::Fail(kind, detail))) => ProbeOutcome::Fail { kind, detail: self.place(detail) },
            Ok(Err(ProbeError::Local(detail))) => ProbeOutcome::Local { detail: self.place(detail) },
            Err(_) => {
                let detail = format!("no verdict within {}", humantime::format_duration(timeout));
                ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: self.place(detail) }
            }
        };
        ProbeResult { outcome: refuted, open: None, way: way.in_question() }
    }

    /// Nothing that happens on a kept connection condemns: it may be the connection that is ill. What does not pass there is
    /// asked on a new one, and what does not within `patience` is asked there as well.
    async fn ask_kept(
        &self,
        kept: Option<ProbeClient>,
        patience: Duration,
        way: &ConnectReport,
    ) -> Result<Passed, ProbeError> {
        let Some(mut client) = kept else { return self.on_new_connection(way).await };
        let start = clock::now();
        {
            let mut asked = pin!(self.exchange(&mut client));
            let early = tokio::select! {
                biased;
                verdict = &mut asked => Some(verdict),
                () = tokio::time::sleep(patience) => None,
            };
            match early {
                Some(Ok(())) => {}
                Some(Err(refutation)) => {
                    tracing::debug!(target = %self.target, why = refutation.detail(), "a kept probe connection is of no use");
                    return self.on_new_connection(way).await;
                }
                None => tokio::select! {
                    biased;
                    Ok(()) = asked => {}
                    verdict = self.on_new_connection(way) => return verdict,
                },
            }
        }
        Ok(Passed { latency: clock::now().since(start), client: Some(client) })
    }

    async fn on_new_connection(&self, way: &ConnectReport) -> Result<Passed, ProbeError> {
        let start = clock::now();
        let tls = self.tls.as_ref().map_err(|problem| ProbeError::Local((*problem).to_owned()))?;
        let stream = connect(self.target, self.header.as_deref(), tls.as_deref(), way).await?;
        let mut client = match &self.kind {
            Kind::Tcp => return Ok(Passed { latency: clock::now().since(start), client: None }),
            Kind::Http(probe) => probe.open(stream).await?,
            Kind::Grpc(_) => ProbeClient::http2(stream).await?,
        };
        self.exchange(&mut client).await?;
        Ok(Passed { latency: clock::now().since(start), client: Some(client) })
    }

    async fn exchange(&self, client: &mut ProbeClient) -> Result<(), ProbeError> {
        match &self.kind {
            Kind::Tcp => Ok(()),
            Kind::Http(probe) => probe.ask(client).await,
            Kind::Grpc(probe) => probe.ask(client).await,
        }
    }

    /// The detail with whom we asked, bounded.
    fn place(&self, detail: String) -> String {
        let kind = match self.kind {
            Kind::Tcp => "tcp",
            Kind::Http(_) => "http",
            Kind::Grpc(_) => "grpc",
        };
        format!("{kind} {}: {detail}", self.target).chars().take(DETAIL).collect()
    }
}
