//! The connection of a check over HTTP: opened for a probe, and kept for the next one for as long as `reuse` says.

use std::pin::pin;
use std::time::Duration;

use super::connect::{ConnectReport, ProbeTarget};
use super::error::ProbeError;
use super::http_client::ProbeClient;
use super::stream::ProbeStream;
use crate::sys::clock;

/// What one probe may do, and what it reports beside its result.
pub(super) struct ProbeRun<'a> {
    pub(super) target: &'a ProbeTarget,
    /// The deadline of the probe, from its start.
    pub(super) timeout: Duration,
    /// A kept connection has this time for itself; then a new one is used as well.
    pub(super) patience: Duration,
    /// A kept connection must not be used.
    pub(super) fresh: bool,
    pub(super) report: &'a ConnectReport,
}

/// One kind of request over HTTP.
pub(super) trait ProbeExchange: Sync {
    /// A client on this connection.
    fn open(&self, stream: ProbeStream) -> impl Future<Output = Result<ProbeClient, ProbeError>> + Send;

    /// One request, and the judgement of its answer. The caller holds the deadline.
    fn exchange(&self, client: &mut ProbeClient) -> impl Future<Output = Result<(), ProbeError>> + Send;
}

/// A check over HTTP: its request, and the connection that it owns.
pub(super) struct KeptClient<E> {
    exchange: E,
    /// A connection is used for this long; zero: for one probe.
    reuse: Duration,
    client: Option<ProbeClient>,
}

impl<E: ProbeExchange> KeptClient<E> {
    pub(super) fn new(exchange: E, reuse: Duration) -> KeptClient<E> {
        KeptClient { exchange, reuse, client: None }
    }

    /// One probe: on the connection of an earlier one, while it may be used, or on a new one. One that was left in the middle or
    /// did not pass is not kept, so cancelling closes the connection. The latency is from the start of the connect, or of the
    /// exchange on a kept connection.
    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<Duration, ProbeError> {
        let kept = self.client.take().filter(|client| !attempt.fresh && client.opened().elapsed() < self.reuse);
        let (latency, client) = match kept {
            Some(client) => on_kept_connection(&self.exchange, client, attempt).await?,
            None => on_new_connection(&self.exchange, attempt).await?,
        };
        self.client = Some(client).filter(|client| !self.reuse.is_zero() && client.is_reusable());
        Ok(latency)
    }
}

/// A failure on a kept connection is no evidence: the connection may be at fault. What fails there is tried on a new one, and
/// what takes longer than the patience is tried there as well.
async fn on_kept_connection(
    exchange: &impl ProbeExchange,
    mut client: ProbeClient,
    attempt: &ProbeRun<'_>,
) -> Result<(Duration, ProbeClient), ProbeError> {
    let start = clock::now();
    {
        let mut answered = pin!(exchange.exchange(&mut client));
        let early = tokio::select! {
            biased;
            verdict = &mut answered => Some(verdict),
            () = tokio::time::sleep(attempt.patience) => None,
        };
        match early {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                let (target, why) = (attempt.target.address, error.detail());
                tracing::debug!(%target, why, "a kept probe connection is of no use");
                return on_new_connection(exchange, attempt).await;
            }
            None => tokio::select! {
                biased;
                Ok(()) = answered => {}
                verdict = on_new_connection(exchange, attempt) => return verdict,
            },
        }
    }
    Ok((clock::now().since(start), client))
}

async fn on_new_connection(
    exchange: &impl ProbeExchange,
    attempt: &ProbeRun<'_>,
) -> Result<(Duration, ProbeClient), ProbeError> {
    let start = clock::now();
    let stream = attempt.target.connect(attempt.report).await?;
    let mut client = exchange.open(stream).await?;
    exchange.exchange(&mut client).await?;
    Ok((clock::now().since(start), client))
}
