//! How a probe connects to its endpoint: TCP, a PROXY header, and TLS where the check has it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::ProbeError;
use super::stream::{ClosingStream, ProbeStream};
use crate::decision::{ConnectOutcome, ProbeFailure};
use crate::net::dial::judge_connect;
use crate::net::tls::{ClientTls, TlsFailure, explain};
use crate::net::{Connector, Socket};

/// How the connect of a probe stands: whatever becomes of the probe, this says whether the endpoint can be reached.
#[derive(Default)]
pub(super) struct ConnectReport(Mutex<Option<ConnectOutcome>>);

impl ConnectReport {
    fn note(&self, outcome: ConnectOutcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// It is connected.
    pub(super) fn is_connected(&self) -> bool {
        self.outcome() == Some(ConnectOutcome::Connected)
    }

    fn outcome(&self) -> Option<ConnectOutcome> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome, when it is in question whether the endpoint can be reached.
    pub(super) fn in_question(&self) -> Option<ConnectOutcome> {
        self.outcome().filter(|outcome| {
            matches!(outcome, ConnectOutcome::Timeout | ConnectOutcome::Unreachable | ConnectOutcome::NoRoute)
        })
    }
}

/// Where a probe connects to, and how.
pub(super) struct ProbeTarget {
    pub(super) address: SocketAddr,
    /// `Err`: the check asks for TLS, and none is set up.
    pub(super) tls: Result<Option<Arc<ClientTls>>, &'static str>,
    /// A PROXY header, which names no client: the probe speaks for itself.
    pub(super) header: Option<Vec<u8>>,
    /// Connections may be waited for, for as long as the endpoint does not answer: the kernel looks whether it is still there.
    pub(super) keep_alive: bool,
    /// The connection of an earlier probe that is being closed.
    pub(super) closing: ClosingStream,
}

impl ProbeTarget {
    /// A new connection. No deadline of its own. Cancel safe.
    pub(super) async fn connect(&self, report: &ConnectReport) -> Result<ProbeStream, ProbeError> {
        let socket = self.open(report).await?;
        self.secure(socket).await
    }

    /// The first half: TCP, and the header. No deadline of its own. Cancel safe.
    pub(super) async fn open(&self, report: &ConnectReport) -> Result<Socket, ProbeError> {
        let connector = self.connector()?;
        self.closing.end();
        report.note(ConnectOutcome::Timeout); // until it is known better
        let opened = connector.open(None).await;
        report.note(opened.as_ref().err().map_or(ConnectOutcome::Connected, |error| judge_connect(error.io())));
        opened.map_err(|error| unconnected(error.io()))
    }

    /// The second half: TLS, where the check has it. No deadline of its own. Cancel safe.
    pub(super) async fn secure(&self, socket: Socket) -> Result<ProbeStream, ProbeError> {
        let secured = self.connector()?.secure(socket).await;
        let stream = |transport| ProbeStream::new(transport, self.closing.clone());
        secured.map(stream).map_err(|error| handshake_error(error.io()))
    }

    /// The second half, without TLS even where the check has it.
    pub(super) fn without_tls(&self, socket: Socket) -> ProbeStream {
        ProbeStream::new(socket.into(), self.closing.clone())
    }

    /// The check has TLS.
    pub(super) fn has_tls(&self) -> bool {
        !matches!(self.tls, Ok(None))
    }

    fn connector(&self) -> Result<Connector<'_>, ProbeError> {
        let tls = self.tls.as_ref().map_err(|problem| ProbeError::Local((*problem).to_owned()))?;
        Ok(Connector {
            header: self.header.as_deref(),
            tls: tls.as_deref(),
            keep_alive: self.keep_alive,
            ..Connector::new(self.address)
        })
    }
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
fn handshake_error(error: &io::Error) -> ProbeError {
    let (failure, detail) = explain(error);
    let kind = match failure {
        TlsFailure::Certificate | TlsFailure::Alert => ProbeFailure::Mismatch,
        TlsFailure::Closed => ProbeFailure::Reset,
        TlsFailure::Protocol => ProbeFailure::Malformed,
    };
    ProbeError::Fail(kind, detail)
}
