//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::connect::connect;
use super::grpc::GrpcQuestion;
use super::http::HttpQuestion;
use crate::config::{CheckKind, HealthCheck, Name};
use crate::decision::{ProbeFailure, ProbeOutcome};
use crate::net::tls::ClientTls;
use crate::routing::materials::check_tls;
use crate::sys::clock;
use crate::wire::proxy_protocol;

/// Longest detail in characters; see [`ProbeOutcome::Fail`].
const DETAIL: usize = 200;

/// What is asked of whom: prepared once, asked often.
pub(super) struct Question {
    target: SocketAddr,
    /// `Err`: the check asks for TLS and there is nothing to speak it with.
    tls: Result<Option<Arc<ClientTls>>, &'static str>,
    /// A PROXY header: the probe speaks for itself.
    header: Option<Vec<u8>>,
    kind: Kind,
}

enum Kind {
    Tcp,
    Http(Box<HttpQuestion>),
    Grpc(Box<GrpcQuestion>),
}

/// Why a probe did not pass.
pub(super) enum Refutation {
    /// The endpoint's fault.
    Fail(ProbeFailure, String),
    /// Ours.
    Local(String),
}

impl Question {
    /// What this check asks of the endpoint at `address`, over TLS where it says so, and by the name that DNS resolved
    /// to it.
    pub(super) fn new(
        address: SocketAddr,
        host: Option<&Name>,
        check: &HealthCheck,
        tls: Option<&Arc<ClientTls>>,
    ) -> Question {
        let host = host.map(|host| &**host);
        let header = check.proxy_protocol.map(|version| proxy_protocol::write(version, None));
        let tls = match tls {
            None if check_tls(&check.kind).is_some() => Err("TLS is not set up"),
            tls => Ok(tls.map(|tls| Arc::new(tls.named(host)))),
        };
        let at = |ip: IpAddr, port: Option<u16>| SocketAddr::new(ip, port.unwrap_or(address.port()));
        let (target, kind) = match &check.kind {
            CheckKind::Tcp { port, .. } => (at(address.ip(), *port), Kind::Tcp),
            CheckKind::Grpc(grpc) => {
                let target = at(address.ip(), grpc.port);
                (target, Kind::Grpc(Box::new(GrpcQuestion::new(target, host, grpc))))
            }
            CheckKind::Http(http) => {
                let target = at(http.address.unwrap_or(address.ip()), http.port);
                (target, Kind::Http(Box::new(HttpQuestion::new(target, host, http))))
            }
        };
        Question { target, tls, header, kind }
    }

    /// Ask once. Always ends by `timeout`. Cancel safe.
    pub(super) async fn ask(&self, timeout: Duration) -> ProbeOutcome {
        let start = clock::now();
        #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole probe")]
        let verdict = tokio::time::timeout(timeout, self.exchange()).await;
        match verdict {
            Ok(Ok(())) => ProbeOutcome::Pass { latency: clock::now().since(start) },
            Ok(Err(Refutation::Fail(kind, detail))) => ProbeOutcome::Fail { kind, detail: self.place(detail) },
            Ok(Err(Refutation::Local(detail))) => ProbeOutcome::Local { detail: self.place(detail) },
            Err(_) => {
                let detail = format!("no verdict within {}", humantime::format_duration(timeout));
                ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: self.place(detail) }
            }
        }
    }

    async fn exchange(&self) -> Result<(), Refutation> {
        let tls = self.tls.as_ref().map_err(|problem| Refutation::Local((*problem).to_owned()))?;
        let stream = connect(self.target, self.header.as_deref(), tls.as_deref()).await?;
        match &self.kind {
            Kind::Tcp => Ok(()),
            Kind::Http(question) => question.ask(stream).await,
            Kind::Grpc(question) => question.ask(stream).await,
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
