//! The connection of a probe: TCP, and TLS over it where the check asks for it.

use std::io;
use std::net::SocketAddr;

use super::ask::Refutation;
use crate::decision::{ConnectOutcome, ProbeFailure};
use crate::net::tls::{ClientTls, Distrust, explain};
use crate::net::{Stream, Transport, stream};

/// Connects, says what the header says, and shakes hands if `tls` says so. No deadline of its own. What it leaves behind is reset, so that probing
/// leaves no connection in TIME_WAIT on either side. Cancel safe.
pub(super) async fn connect(
    target: SocketAddr,
    header: Option<&[u8]>,
    tls: Option<&ClientTls>,
) -> Result<Transport, Refutation> {
    let socket = stream::connect_with_header(target, header).await.map_err(|error| unconnected(&error))?;
    socket.reset_on_close();
    match tls {
        None => Ok(socket.into()),
        Some(tls) => tls.connect(socket, target).await.map_err(|error| distrusted(&error)),
    }
}

/// What a failed connect says.
fn unconnected(error: &io::Error) -> Refutation {
    let detail = format!("connect: {error}");
    match stream::judge_connect(error) {
        ConnectOutcome::Timeout => Refutation::Fail(ProbeFailure::Timeout, detail),
        ConnectOutcome::Refused => Refutation::Fail(ProbeFailure::Refused, detail),
        ConnectOutcome::Local | ConnectOutcome::Connected => Refutation::Local(detail),
    }
}

/// What a failed handshake says.
fn distrusted(error: &io::Error) -> Refutation {
    let (distrust, detail) = explain(error);
    let kind = match distrust {
        Distrust::Certificate | Distrust::Alert => ProbeFailure::Mismatch,
        Distrust::Closed => ProbeFailure::Reset,
        Distrust::Protocol => ProbeFailure::Malformed,
    };
    Refutation::Fail(kind, detail)
}
