//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::agent::AgentProbe;
use super::connect::{ConnectReport, ProbeTarget};
use super::datagram::DatagramProbe;
use super::dns::DnsProbe;
use super::error::ProbeError;
use super::exec::{CheckedPlace, ExecProbe};
use super::grpc::HealthCall;
use super::http::HttpExchange;
use super::kept::{KeptClient, ProbeRun};
use super::mysql::MysqlProbe;
use super::postgres::PostgresProbe;
use super::redis::RedisProbe;
use super::stream::ClosingStream;
use super::tcp::TcpProbe;
use crate::config::{CheckKind, Endpoint, HealthCheck};
use crate::decision::{ConnectOutcome, ProbeFailure, ProbeOutcome, Reading};
use crate::net::tls::ClientTls;
use crate::routing::materials::check_tls;
use crate::sys::clock;
use crate::wire::proxy_protocol;

/// Longest detail in characters; see [`ProbeOutcome::Fail`].
const DETAIL: usize = 200;

/// A kept connection has this part of the timeout for itself; then a new one is used as well.
const PATIENCE: u32 = 4;

/// A program that is to be killed at its deadline is given up so long after it.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// The probe of one endpoint: prepared once, run often. It owns the connection that it keeps from one run to the next.
pub(super) struct Probe {
    target: ProbeTarget,
    kind: ProbeKind,
    /// Of its kind.
    name: &'static str,
}

enum ProbeKind {
    Tcp(TcpProbe),
    Http(Box<KeptClient<HttpExchange>>),
    Grpc(Box<KeptClient<HealthCall>>),
    Postgres(PostgresProbe),
    Mysql(MysqlProbe),
    Redis(RedisProbe),
    Exec(ExecProbe),
    Agent(AgentProbe),
    Dns(Box<DnsProbe>),
    Udp(DatagramProbe),
}

/// The probe read nothing of the endpoint's data.
fn unread(latency: Duration) -> (Duration, Option<Reading>) {
    (latency, None)
}

/// What came of a probe.
pub(super) struct ProbeResult {
    pub(super) outcome: ProbeOutcome,
    /// How its connect ended, when it is in question whether the endpoint can be reached.
    pub(super) reach: Option<ConnectOutcome>,
    /// What an agent that passed stated as its share, in percent of its weight.
    pub(super) share: Option<u16>,
}

impl Probe {
    /// What this check asks of the endpoint, over TLS where it says so, and by the name that DNS resolved to it.
    pub(super) fn new(
        endpoint: &Endpoint,
        check: &HealthCheck,
        tls: Option<&Arc<ClientTls>>,
        place: CheckedPlace<'_>,
    ) -> Probe {
        let (own, host) = (endpoint.address, endpoint.host.as_deref());
        let at =
            |ip: IpAddr, port: Option<u16>| SocketAddr::new(ip, endpoint.check_port.or(port).unwrap_or(own.port()));
        let (address, kind) = match &check.kind {
            CheckKind::Tcp(check) => (at(own.ip(), check.port), ProbeKind::Tcp(TcpProbe::new(check))),
            CheckKind::Grpc(grpc) => {
                let address = at(own.ip(), grpc.port);
                let call = HealthCall::new(address, host, grpc);
                (address, ProbeKind::Grpc(Box::new(KeptClient::new(call, grpc.reuse))))
            }
            CheckKind::Postgres(check) => (at(own.ip(), check.port), ProbeKind::Postgres(PostgresProbe(check.clone()))),
            CheckKind::Mysql(check) => (at(own.ip(), check.port), ProbeKind::Mysql(MysqlProbe(check.clone()))),
            CheckKind::Redis(check) => (at(own.ip(), check.port), ProbeKind::Redis(RedisProbe(check.clone()))),
            CheckKind::Agent(check) => (at(own.ip(), Some(check.port)), ProbeKind::Agent(AgentProbe::new(check))),
            CheckKind::Dns(check) => (at(own.ip(), check.port), ProbeKind::Dns(Box::new(DnsProbe::new(check)))),
            CheckKind::Udp(check) => (at(own.ip(), check.port), ProbeKind::Udp(DatagramProbe::new(check))),
            CheckKind::Exec(exec) => {
                let address = at(own.ip(), exec.port);
                (address, ProbeKind::Exec(ExecProbe::new(exec, endpoint, address, &place, check.timeout)))
            }
            CheckKind::Http(http) => {
                let address = at(http.address.unwrap_or(own.ip()), http.port);
                let exchange = HttpExchange::new(address, host, http);
                (address, ProbeKind::Http(Box::new(KeptClient::new(exchange, http.reuse))))
            }
        };
        let tls = match tls {
            None if check_tls(&check.kind).is_some() => Err("TLS is not set up"),
            tls => Ok(tls.map(|tls| Arc::new(tls.named(host)))),
        };
        let header = check.proxy_protocol.map(|version| proxy_protocol::write(version, None));
        Probe {
            target: ProbeTarget { address, tls, header, closing: ClosingStream::default() },
            kind,
            name: check.kind.as_str(),
        }
    }

    /// Probe once: on the connection that an earlier probe kept, while it may be used, or on a new one; `fresh`: on a new one.
    /// Always ends by `timeout`, once a program has a place to run. Cancel safe.
    pub(super) async fn run(&mut self, timeout: Duration, fresh: bool) -> ProbeResult {
        let (place, limit) = match &self.kind {
            // (It is killed at its deadline, which is a verdict of its own.)
            ProbeKind::Exec(probe) => (probe.place().await, timeout + KILLED_WITHIN),
            _ => (None, timeout),
        };
        let report = ConnectReport::default();
        let began = clock::now();
        let attempt = ProbeRun { target: &self.target, timeout, patience: timeout / PATIENCE, fresh, report: &report };
        let mut share = None;
        let probing = async {
            match &mut self.kind {
                ProbeKind::Tcp(probe) => probe.probe(&attempt).await.map(unread),
                ProbeKind::Http(probe) => probe.probe(&attempt).await.map(unread),
                ProbeKind::Grpc(probe) => probe.probe(&attempt).await.map(unread),
                ProbeKind::Postgres(probe) => probe.probe(&attempt).await,
                ProbeKind::Mysql(probe) => probe.probe(&attempt).await,
                ProbeKind::Redis(probe) => probe.probe(&attempt).await,
                ProbeKind::Exec(probe) => probe.probe(&attempt, place).await.map(unread),
                ProbeKind::Dns(probe) => probe.probe(&attempt).await.map(unread),
                ProbeKind::Udp(probe) => probe.probe(&attempt).await.map(unread),
                ProbeKind::Agent(probe) => probe.probe(&attempt).await.map(|(latency, stated)| {
                    share = Some(stated);
                    unread(latency)
                }),
            }
        };
        #[allow(clippy::disallowed_methods, reason = "not on the data path")]
        let verdict = tokio::time::timeout(limit, probing).await;
        let outcome = match verdict {
            Ok(Ok((latency, reading))) => {
                return ProbeResult { outcome: ProbeOutcome::Pass { latency, reading }, reach: None, share };
            }
            // It may have failed because this process did not run.
            _ if clock::paused_since(began) => {
                let detail = self.describe("this process was paused while it was out".to_owned());
                return ProbeResult { outcome: ProbeOutcome::Local { detail }, reach: None, share: None };
            }
            Ok(Err(ProbeError::Fail(kind, detail))) => ProbeOutcome::Fail { kind, detail: self.describe(detail) },
            Ok(Err(ProbeError::Busy(detail))) => ProbeOutcome::Busy { detail: self.describe(detail) },
            Ok(Err(ProbeError::Blind(detail))) => ProbeOutcome::Blind { detail: self.describe(detail) },
            Ok(Err(ProbeError::Local(detail))) => ProbeOutcome::Local { detail: self.describe(detail) },
            Err(_) => {
                let detail = format!("no verdict within {}", humantime::format_duration(timeout));
                ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: self.describe(detail) }
            }
        };
        ProbeResult { outcome, reach: report.in_question(), share: None }
    }

    /// The detail with the kind and the address of the probe, bounded.
    fn describe(&self, detail: String) -> String {
        format!("{} {}: {detail}", self.name, self.target.address).chars().take(DETAIL).collect()
    }
}
