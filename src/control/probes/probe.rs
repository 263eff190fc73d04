//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::agent::AgentProbe;
use super::connect::{ConnectReport, ProbeTarget};
use super::datagram::DatagramProbe;
use super::dns::DnsProbe;
use super::error::ProbeError;
use super::exec::{CheckedPlace, ExecProbe};
use super::grpc::HealthCall;
use super::http::HttpExchange;
use super::kept::{KeptClient, ProbeRun};
use super::login::{self, LoginCheck, LoginProbe};
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
    target: Arc<ProbeTarget>,
    kind: ProbeKind,
    /// Of its kind.
    name: &'static str,
}

enum ProbeKind {
    Plain(PlainProbe),
    Login(LoginCheck),
}

/// A kind that reads nothing of the endpoint's data.
enum PlainProbe {
    Tcp(TcpProbe),
    Http(Box<KeptClient<HttpExchange>>),
    Grpc(Box<KeptClient<HealthCall>>),
    Exec(ExecProbe),
    Agent(AgentProbe),
    Dns(Box<DnsProbe>),
    Udp(DatagramProbe),
}

/// A probe that passed.
struct ProbePass {
    latency: Duration,
    reading: Option<Reading>,
    share: Option<u16>,
}

impl PlainProbe {
    /// `place`: of the programs that may run at once.
    async fn probe(
        &mut self,
        attempt: &ProbeRun<'_>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<ProbePass, ProbeError> {
        let mut share = None;
        let latency = match self {
            PlainProbe::Tcp(probe) => probe.probe(attempt).await?,
            PlainProbe::Http(probe) => probe.probe(attempt).await?,
            PlainProbe::Grpc(probe) => probe.probe(attempt).await?,
            PlainProbe::Exec(probe) => probe.probe(attempt, place).await?,
            PlainProbe::Dns(probe) => probe.probe(attempt).await?,
            PlainProbe::Udp(probe) => probe.probe(attempt).await?,
            PlainProbe::Agent(probe) => {
                let (latency, stated) = probe.probe(attempt).await?;
                share = Some(stated);
                latency
            }
        };
        Ok(ProbePass { latency, reading: None, share })
    }
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
        let (plain, login) = (ProbeKind::Plain, |probe| ProbeKind::Login(LoginCheck::new(probe)));
        let (address, kind) = match &check.kind {
            CheckKind::Tcp(check) => (at(own.ip(), check.port), plain(PlainProbe::Tcp(TcpProbe::new(check)))),
            CheckKind::Grpc(grpc) => {
                let address = at(own.ip(), grpc.port);
                let call = HealthCall::new(address, host, grpc);
                (address, plain(PlainProbe::Grpc(Box::new(KeptClient::new(call, grpc.reuse)))))
            }
            CheckKind::Postgres(check) => {
                (at(own.ip(), check.port), login(LoginProbe::Postgres(PostgresProbe::new(check.clone()))))
            }
            CheckKind::Mysql(check) => (at(own.ip(), check.port), login(LoginProbe::Mysql(MysqlProbe(check.clone())))),
            CheckKind::Redis(check) => (at(own.ip(), check.port), login(LoginProbe::Redis(RedisProbe(check.clone())))),
            CheckKind::Agent(check) => {
                (at(own.ip(), Some(check.port)), plain(PlainProbe::Agent(AgentProbe::new(check))))
            }
            CheckKind::Dns(check) => (at(own.ip(), check.port), plain(PlainProbe::Dns(Box::new(DnsProbe::new(check))))),
            CheckKind::Udp(check) => (at(own.ip(), check.port), plain(PlainProbe::Udp(DatagramProbe::new(check)))),
            CheckKind::Exec(exec) => {
                let address = at(own.ip(), exec.port);
                let probe = ExecProbe::new(exec, endpoint, address, &place, check.timeout);
                (address, plain(PlainProbe::Exec(probe)))
            }
            CheckKind::Http(http) => {
                let address = at(http.address.unwrap_or(own.ip()), http.port);
                let exchange = HttpExchange::new(address, host, http);
                (address, plain(PlainProbe::Http(Box::new(KeptClient::new(exchange, http.reuse)))))
            }
        };
        let tls = match tls {
            None if check_tls(&check.kind).is_some() => Err("TLS is not set up"),
            tls => Ok(tls.map(|tls| Arc::new(tls.named(host)))),
        };
        let header = check.proxy_protocol.map(|version| proxy_protocol::write(version, None));
        let keep_alive = matches!(kind, ProbeKind::Login(_));
        Probe {
            target: Arc::new(ProbeTarget { address, tls, header, keep_alive, closing: ClosingStream::default() }),
            kind,
            name: check.kind.as_str(),
        }
    }

    /// Probe once: on the connection that an earlier probe kept, while it may be used, or on a new one; `fresh`: on a new one.
    /// Always ends by `timeout`, once a program has a place to run. Cancel safe.
    pub(super) async fn run(&mut self, timeout: Duration, fresh: bool) -> ProbeResult {
        let (place, limit) = match &self.kind {
            // (It is killed at its deadline, which is a verdict of its own.)
            ProbeKind::Plain(PlainProbe::Exec(probe)) => (probe.place().await, timeout + KILLED_WITHIN),
            _ => (None, timeout),
        };
        let began = clock::now();
        let (verdict, report) = match &mut self.kind {
            ProbeKind::Login(check) => {
                let (verdict, report) = check.run(&self.target, timeout).await;
                let pass = |(latency, reading)| ProbePass { latency, reading, share: None };
                (verdict.map(|verdict| verdict.map(pass)), report)
            }
            ProbeKind::Plain(probe) => {
                let report = Arc::new(ConnectReport::default());
                let patience = timeout / PATIENCE;
                let attempt = ProbeRun { target: &self.target, timeout, patience, fresh, report: &report };
                #[allow(clippy::disallowed_methods, reason = "not on the data path")]
                let verdict = tokio::time::timeout(limit, probe.probe(&attempt, place)).await;
                (verdict.ok(), report)
            }
        };
        let outcome = match verdict {
            Some(Ok(ProbePass { latency, reading, share })) => {
                return ProbeResult { outcome: ProbeOutcome::Pass { latency, reading }, reach: None, share };
            }
            // It may have failed because this process did not run.
            _ if clock::paused_since(began) => {
                let detail = self.describe("this process was paused while it was out".to_owned());
                return ProbeResult { outcome: ProbeOutcome::Local { detail }, reach: None, share: None };
            }
            Some(Err(ProbeError::Fail(kind, detail))) => ProbeOutcome::Fail { kind, detail: self.describe(detail) },
            Some(Err(ProbeError::Busy(detail))) => ProbeOutcome::Busy { detail: self.describe(detail) },
            Some(Err(ProbeError::Blind(detail))) => ProbeOutcome::Blind { detail: self.describe(detail) },
            Some(Err(ProbeError::Local(detail))) => ProbeOutcome::Local { detail: self.describe(detail) },
            None => {
                let detail = match &self.kind {
                    ProbeKind::Login(check) if check.unanswered() >= login::MOST => {
                        format!("no answer to {} logins: no other one is sent before one ends", login::MOST)
                    }
                    _ => format!("no verdict within {}", humantime::format_duration(timeout)),
                };
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
