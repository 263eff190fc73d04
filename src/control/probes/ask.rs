//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::http::HttpQuestion;
use crate::config::{CheckKind, GrpcCheck};
use crate::decision::{ConnectOutcome, ProbeFailure, ProbeOutcome};
use crate::net::{Stream, stream};
use crate::sys::clock;

/// Longest detail in characters; see [`ProbeOutcome::Fail`].
const DETAIL: usize = 200;

/// What is asked of whom: prepared once, asked often.
pub(super) struct Question {
    target: SocketAddr,
    kind: Kind,
}

enum Kind {
    Tcp,
    Http(Box<HttpQuestion>),
}

/// Why a probe did not pass.
pub(super) enum Refutation {
    /// The endpoint's fault.
    Fail(ProbeFailure, String),
    /// Ours.
    Local(String),
}

/// What a failed connect says.
fn unconnected(error: io::Error) -> Refutation {
    let detail = format!("connect: {error}");
    match stream::judge_connect(&error) {
        ConnectOutcome::Timeout => Refutation::Fail(ProbeFailure::Timeout, detail),
        ConnectOutcome::Refused => Refutation::Fail(ProbeFailure::Refused, detail),
        ConnectOutcome::Local | ConnectOutcome::Connected => Refutation::Local(detail),
    }
}

impl Question {
    /// What this check asks of the endpoint at `address`.
    pub(super) fn new(address: SocketAddr, check: &CheckKind) -> Question {
        match check {
            CheckKind::Tcp { port, .. } | CheckKind::Grpc(GrpcCheck { port, .. }) => {
                let target = SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
                Question { target, kind: Kind::Tcp }
            }
            CheckKind::Http(http) => {
                let ip = http.address.unwrap_or(address.ip());
                let target = SocketAddr::new(ip, http.port.unwrap_or(address.port()));
                Question { target, kind: Kind::Http(Box::new(HttpQuestion::new(target, http))) }
            }
        }
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
        let stream = stream::connect(self.target).await.map_err(unconnected)?;
        // So that probing leaves no connection in TIME_WAIT on either side.
        stream.reset_on_close();
        match &self.kind {
            Kind::Tcp => Ok(()),
            Kind::Http(question) => question.ask(stream).await,
        }
    }

    /// The detail with whom we asked, bounded.
    fn place(&self, detail: String) -> String {
        let kind = match self.kind {
            Kind::Tcp => "tcp",
            Kind::Http(_) => "http",
        };
        format!("{kind} {}: {detail}", self.target).chars().take(DETAIL).collect()
    }
}
