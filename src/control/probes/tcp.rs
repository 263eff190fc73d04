//! The TCP probe: a connect, TLS where the check has it, and what it sends and expects. Nothing is kept.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ProbeError, broken};
use super::expected::ExpectedBytes;
use super::kept::ProbeRun;
use super::stream::ProbeStream;
use crate::config::{TcpCheck, payload_bytes};
use crate::sys::clock;

/// Bytes that are read at once.
const PIECE: usize = 4096;

/// A probe over TCP.
pub(super) struct TcpProbe {
    send: Vec<u8>,
    expect: Option<Vec<u8>>,
}

impl TcpProbe {
    pub(super) fn new(check: &TcpCheck) -> TcpProbe {
        // (The reader of the configuration has looked at both.)
        let bytes = |text: &str| payload_bytes(text).unwrap_or_default();
        TcpProbe {
            send: check.send.as_ref().map(|text| bytes(text.reveal())).unwrap_or_default(),
            expect: check.expect.as_deref().map(bytes),
        }
    }

    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<Duration, ProbeError> {
        let start = clock::now();
        let mut stream = attempt.target.connect(attempt.report).await?;
        if !self.send.is_empty() {
            stream.write_all(&self.send).await.map_err(broken)?;
            stream.flush().await.map_err(broken)?;
        }
        if let Some(wanted) = &self.expect {
            expect(&mut stream, wanted).await?;
        }
        Ok(clock::now().since(start))
    }
}

/// Reads until the answer contains this. No deadline of its own.
async fn expect(stream: &mut ProbeStream, wanted: &[u8]) -> Result<(), ProbeError> {
    let mut expected = ExpectedBytes::new(wanted);
    let mut piece = [0; PIECE];
    loop {
        let count = stream.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            return Err(expected.missing());
        }
        if let Some(verdict) = expected.push(&piece[..count]) {
            return verdict;
        }
    }
}
