//! The connection of a probe: TCP, and TLS over it where the check asks for it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use super::error::ProbeError;
use crate::decision::{ConnectOutcome, ProbeFailure};
use crate::net::dial::judge_connect;
use crate::net::tls::{ClientTls, Distrust, explain};
use crate::net::{Connector, Transport};

/// How the connect of a probe stands: whatever becomes of the probe, this says whether there is a way to the endpoint.
#[derive(Default)]
pub(super) struct ConnectReport(Mutex<Option<ConnectOutcome>>);

impl ConnectReport {
    fn note(&self, outcome: ConnectOutcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// What there is to say, when the way is in question.
    pub(super) fn in_question(self) -> Option<ConnectOutcome> {
        let outcome = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.filter(|outcome| {
            matches!(outcome, ConnectOutcome::Timeout | ConnectOutcome::Unreachable | ConnectOutcome::NoRoute)
        })
    }
}

/// Connects, says what the header says, and shakes hands if `tls` says so. No deadline of its own. What it leaves behind is reset, so that probing
/// leaves no connection in TIME_WAIT on either side. Cancel safe.
pub(super) async fn connect(
    target: SocketAddr,
    header: Option<&[u8]>,
    tls: Option<&ClientTls>,
    way: &ConnectReport,
) -> Result<Transport, ProbeError> {
    let connector = Connector { header, tls, reset_on_close: true, ..Connector::new(target) };
    way.note(ConnectOutcome::Timeout); // until it is known better
    let opened = connector.open(None).await;
    way.note(opened.as_ref().err().map_or(ConnectOutcome::Connected, |error| judge_connect(error.io())));
    let socket = opened.map_err(|error| unconnected(error.io()))?;
    connector.secure(socket).await.map_err(|error| distrusted(error.io()))
}

/// What a failed connect says.
fn unconnected(error: &io::Error) -> ProbeError {
    let detail = format!("connect: {error}");
    match judge_connect(error) {
        ConnectOutcome::Timeout => ProbeError::Fail(ProbeFailure::Timeout, detail),
        ConnectOutcome::Refused | ConnectOutcome::Unreachable => ProbeError::Fail(ProbeFailure::Refused, detail),
        ConnectOutcome::Local | ConnectOutcome::NoRoute | ConnectOutcome::Connected => ProbeError::Local(detail),
    }
}

/// What a failed handshake says.
fn distrusted(error: &io::Error) -> ProbeError {
    let (distrust, detail) = explain(error);
    let kind = match distrust {
        Distrust::Certificate | Distrust::Alert => ProbeFailure::Mismatch,
        Distrust::Closed => ProbeFailure::Reset,
        Distrust::Protocol => ProbeFailure::Malformed,
    };
    ProbeError::Fail(kind, detail)
}
