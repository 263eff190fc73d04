//! One probe, whatever its kind: from the connect to a verdict within the deadline.

use std::net::SocketAddr;
use std::time::Duration;

use super::connect::{ConnectError, connect};
use super::http::HttpQuestion;
use crate::config::CheckKind;
use crate::decision::{ProbeFailure, ProbeOutcome};
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

impl From<ConnectError> for Refutation {
    fn from(error: ConnectError) -> Refutation {
        match error {
            ConnectError::Refused(e) => Refutation::Fail(ProbeFailure::Refused, format!("connect: {e}")),
            ConnectError::Timeout(e) => Refutation::Fail(ProbeFailure::Timeout, format!("connect: {e}")),
            ConnectError::Local(e) => Refutation::Local(format!("connect: {e}")),
        }
    }
}

impl Question {
    /// What this check asks of the endpoint at `address`.
    pub(super) fn new(address: SocketAddr, check: &CheckKind) -> Question {
        match check {
            CheckKind::Tcp { port } => {
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
        let stream = connect(self.target).await?;
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
