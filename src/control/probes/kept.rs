//! The connection of a check over HTTP: opened for a probe, and kept for the next one for as long as `reuse` says.

use std::pin::pin;
use std::time::Duration;

use super::connect::{ConnectReport, ProbeTarget};
use super::error::ProbeError;
use super::http_client::ProbeClient;
use super::stream::ProbeStream;
use crate::decision::Reading;
use crate::sys::clock;

/// What one probe may do, and what it reports beside its result.
pub(super) struct Attempt<'a> {
    pub(super) target: &'a ProbeTarget,
    /// A kept connection has this time for itself; then a new one is used as well.
    pub(super) patience: Duration,
    /// A kept connection must not be used.
    pub(super) fresh: bool,
    pub(super) report: &'a ConnectReport,
}

/// A probe passed.
pub(super) struct Passed {
    /// From the start of the connect, or of the exchange on a kept connection.
    pub(super) latency: Duration,
    /// What the endpoint said of its data.
    pub(super) reading: Option<Reading>,
}

/// One kind of request over HTTP.
pub(super) trait Exchange: Sync {
    /// A client on this connection.
    fn open(&self, stream: ProbeStream) -> impl Future<Output = Result<ProbeClient, ProbeError>> + Send;

    /// One request, and the judgement of its answer. The caller holds the deadline.
    fn exchange(&self, client: &mut ProbeClient) -> impl Future<Output = Result<Option<Reading>, ProbeError>> + Send;
}

/// The connection of one check.
pub(super) struct KeptClient {
    /// A connection is used for this long; zero: for one probe.
    reuse: Duration,
    client: Option<ProbeClient>,
}

impl KeptClient {
    pub(super) fn new(reuse: Duration) -> KeptClient {
        KeptClient { reuse, client: None }
    }

    /// One probe: on the connection of an earlier one, while it may be used, or on a new one. One that was left in the middle or
    /// did not pass is not kept, so cancelling closes the connection.
    pub(super) async fn probe(
        &mut self,
        exchange: &impl Exchange,
        attempt: &Attempt<'_>,
    ) -> Result<Passed, ProbeError> {
        let kept = self.client.take().filter(|client| !attempt.fresh && client.opened().elapsed() < self.reuse);
        let (passed, client) = match kept {
            Some(client) => on_kept_connection(exchange, client, attempt).await?,
            None => on_new_connection(exchange, attempt).await?,
        };
        self.client = Some(client).filter(|client| !self.reuse.is_zero() && client.is_reusable());
        Ok(passed)
    }
}

/// A failure on a kept connection is no evidence: the connection may be at fault. What fails there is tried on a new one, and
/// what takes longer than the patience is tried there as well.
async fn on_kept_connection(
    exchange: &impl Exchange,
    mut client: ProbeClient,
    attempt: &Attempt<'_>,
) -> Result<(Passed, ProbeClient), ProbeError> {
    let start = clock::now();
    let reading = {
        let mut answered = pin!(exchange.exchange(&mut client));
        let early = tokio::select! {
            biased;
            verdict = &mut answered => Some(verdict),
            () = tokio::time::sleep(attempt.patience) => None,
        };
        match early {
            Some(Ok(reading)) => reading,
            Some(Err(error)) => {
                let (target, why) = (attempt.target.address, error.detail());
                tracing::debug!(%target, why, "a kept probe connection is of no use");
                return on_new_connection(exchange, attempt).await;
            }
            None => tokio::select! {
                biased;
                Ok(reading) = answered => reading,
                verdict = on_new_connection(exchange, attempt) => return verdict,
            },
        }
    };
    Ok((Passed { latency: clock::now().since(start), reading }, client))
}

async fn on_new_connection(
    exchange: &impl Exchange,
    attempt: &Attempt<'_>,
) -> Result<(Passed, ProbeClient), ProbeError> {
    let start = clock::now();
    let stream = attempt.target.connect(attempt.report).await?;
    let mut client = exchange.open(stream).await?;
    let reading = exchange.exchange(&mut client).await?;
    Ok((Passed { latency: clock::now().since(start), reading }, client))
}
