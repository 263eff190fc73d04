//! The TCP probe: a connect, and TLS where the check has it. Nothing is sent beside a PROXY header, and nothing is kept.

use std::time::Duration;

use super::error::ProbeError;
use super::kept::ProbeRun;
use crate::sys::clock;

/// A probe over TCP.
pub(super) struct TcpProbe;

impl TcpProbe {
    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<Duration, ProbeError> {
        let start = clock::now();
        attempt.target.connect(attempt.report).await?;
        Ok(clock::now().since(start))
    }
}
