//! The TCP probe: a connect, and TLS where the check has it. Nothing is sent beside a PROXY header, and nothing is kept.

use super::error::ProbeError;
use super::kept::{Attempt, Passed};
use crate::sys::clock;

/// A probe over TCP.
pub(super) struct TcpProbe;

impl TcpProbe {
    pub(super) async fn probe(&mut self, attempt: &Attempt<'_>) -> Result<Passed, ProbeError> {
        let start = clock::now();
        attempt.target.connect(attempt.report).await?;
        Ok(Passed { latency: clock::now().since(start), reading: None })
    }
}
