//! [`DecisionSnapshot`]: the whole state of the decision as a value with a format number. `GET /v1/decision` shows it, and a copy of
//! it can be replayed.
//!
//! Secrets of the configuration in it are written as `***`. A build reads its own format and every earlier one, and ignores members
//! that it does not know: `tests/formats/decision-N.json` is one of each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decision::Decision;
use crate::sys::clock;
use crate::time::MonoTime;

/// The decision at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionSnapshot {
    /// [`DecisionSnapshot::FORMAT`] of the build that wrote it.
    pub format: u32,
    /// Of the program.
    pub version: String,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_unix_ms: u64,
    /// The same on the clock of `decision`: microseconds since an origin of this process's own.
    #[schema(value_type = u64)]
    pub taken_us: MonoTime,
    /// The decision. Its members belong to the format, and are not described.
    #[schema(value_type = Object)]
    pub decision: Decision,
}

impl DecisionSnapshot {
    /// The format this build writes.
    pub const FORMAT: u32 = 1;

    /// Taken now.
    pub(super) fn of(decision: &Decision) -> DecisionSnapshot {
        DecisionSnapshot {
            format: DecisionSnapshot::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_unix_ms: clock::unix_millis(),
            taken_us: clock::now(),
            decision: decision.clone(),
        }
    }
}
