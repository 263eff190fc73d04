//! The confirming connect: a second opinion on a refusal, begun at once (DESIGN §3.2).

use std::net::SocketAddr;
use std::time::Duration;

use crate::decision::ConnectOutcome;
use crate::net::{Stream, stream};
use crate::sys::clock;

/// How long a confirming connect may take: longer than any round trip, so that a refusal from another continent is a verdict
/// too, and shorter than the core waits for it.
const DEADLINE: Duration = Duration::from_millis(900);

/// Connect once, say how it ended, and close. One that a pause of this process outlasted says nothing. Cancel safe.
pub(super) async fn confirm(address: SocketAddr) -> ConnectOutcome {
    let began = clock::now();
    #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for one connect")]
    match tokio::time::timeout(DEADLINE, stream::connect(address)).await {
        Ok(Ok(connection)) => {
            connection.reset_on_close();
            ConnectOutcome::Connected
        }
        Ok(Err(error)) => stream::judge_connect(&error),
        Err(_) if clock::paused_since(began) => ConnectOutcome::Local,
        Err(_) => ConnectOutcome::Timeout,
    }
}
