//! The confirming connect: a second opinion on a refusal, within 50 ms (DESIGN §3.2).

use std::net::SocketAddr;
use std::time::Duration;

use super::probes::{ConnectError, connect};
use crate::decision::ConnectOutcome;

/// How long a confirming connect may take.
const DEADLINE: Duration = Duration::from_millis(50);

/// Connect once, say how it ended, and close. Cancel safe.
pub(super) async fn confirm(address: SocketAddr) -> ConnectOutcome {
    #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for one connect")]
    match tokio::time::timeout(DEADLINE, connect(address)).await {
        Ok(Ok(_)) => ConnectOutcome::Connected,
        Ok(Err(ConnectError::Refused(_))) => ConnectOutcome::Refused,
        Ok(Err(ConnectError::Local(_))) => ConnectOutcome::Local,
        Ok(Err(ConnectError::Timeout(_))) | Err(_) => ConnectOutcome::Timeout,
    }
}
