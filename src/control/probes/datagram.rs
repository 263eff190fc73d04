//! The probe by datagrams: something is sent, and an answer expected. The socket is connected, so that the kernel takes datagrams
//! of the endpoint only, and tells what the endpoint's host refuses (ICMP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::error::ProbeError;
use super::expected::ExpectedBytes;
use super::kept::ProbeRun;
use crate::config::{UdpCheck, UdpExpectation, payload_bytes};
use crate::decision::{ConnectOutcome, ProbeFailure};
use crate::net::dial::judge_connect;
use crate::sys::clock;

/// Bytes of the longest datagram.
pub(super) const LONGEST: usize = 65_535;

/// A probe of this kind waits so long a part of its timeout for a refusal where no answer is expected.
const WAIT: u32 = 2;

/// A probe by datagrams.
pub(super) struct DatagramProbe {
    send: Vec<u8>,
    expect: DatagramAnswer,
}

enum DatagramAnswer {
    /// None: what is not refused passes.
    Silence,
    /// Any.
    Any,
    /// One that contains this.
    Contains(Vec<u8>),
}

impl DatagramProbe {
    pub(super) fn new(check: &UdpCheck) -> DatagramProbe {
        // (The reader of the configuration has looked at both.)
        let bytes = |text: &str| payload_bytes(text).unwrap_or_default();
        let expect = match &check.expect {
            UdpExpectation::Nothing => DatagramAnswer::Silence,
            UdpExpectation::Any => DatagramAnswer::Any,
            UdpExpectation::Contains(text) => DatagramAnswer::Contains(bytes(text)),
        };
        DatagramProbe { send: bytes(check.send.reveal()), expect }
    }

    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<Duration, ProbeError> {
        let start = clock::now();
        let socket = connected(attempt.target.address).await?;
        socket.send(&self.send).await.map_err(|error| refused(&error))?;
        let mut answer = vec![0; LONGEST];
        match &self.expect {
            DatagramAnswer::Any => drop(socket.recv(&mut answer).await.map_err(|error| refused(&error))?),
            DatagramAnswer::Contains(wanted) => {
                let count = socket.recv(&mut answer).await.map_err(|error| refused(&error))?;
                let mut expected = ExpectedBytes::new(wanted);
                expected.push(&answer[..count]).unwrap_or_else(|| Err(expected.missing()))?;
            }
            DatagramAnswer::Silence => {
                tokio::select! {
                    answered = socket.recv(&mut answer) => drop(answered.map_err(|error| refused(&error))?),
                    () = tokio::time::sleep(attempt.timeout / WAIT) => {}
                }
            }
        }
        Ok(clock::now().since(start))
    }
}

/// A socket for datagrams to and from this address alone.
pub(super) async fn connected(address: SocketAddr) -> Result<UdpSocket, ProbeError> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let local = |error: io::Error| ProbeError::Local(format!("no socket: {error}"));
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(local)?;
    socket.connect(address).await.map_err(|error| refused(&error))?;
    Ok(socket)
}

/// What an error of a socket says about the endpoint.
pub(super) fn refused(error: &io::Error) -> ProbeError {
    match judge_connect(error) {
        ConnectOutcome::Refused => {
            ProbeError::Fail(ProbeFailure::Refused, "the port is closed, its host says (ICMP)".to_owned())
        }
        ConnectOutcome::Unreachable => ProbeError::Fail(ProbeFailure::Refused, error.to_string()),
        ConnectOutcome::Timeout => ProbeError::Fail(ProbeFailure::Timeout, error.to_string()),
        ConnectOutcome::Local | ConnectOutcome::NoRoute | ConnectOutcome::Connected => {
            ProbeError::Local(error.to_string())
        }
    }
}
