//! What a walk over all metrics reads.

use crate::control::{ChangeTally, Status};
use crate::routing::RoutingTable;
use crate::sys::process::ProcessUsage;
use crate::telemetry::lines::LineCounts;

/// What a walk reads. Where the engine does not answer, its metrics are missing and the rest is told.
#[derive(Clone, Copy, Debug)]
pub struct MetricsWalk<'a> {
    /// The published table with the workers' counts; its configuration says how much is told of each endpoint.
    pub table: &'a RoutingTable,
    /// The newest table that each worker has taken up.
    pub acknowledged: &'a [u64],
    /// The engine's counts.
    pub tally: Option<&'a ChangeTally>,
    /// The engine's state.
    pub status: Option<&'a Status>,
    /// The access log's lines.
    pub access_log: LineCounts,
    /// The log's lines.
    pub log: LineCounts,
    /// What `/readyz` says.
    pub ready: bool,
    /// This process.
    pub process: &'a ProcessUsage,
}
