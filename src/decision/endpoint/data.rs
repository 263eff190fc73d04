//! [`EndpointData`]: what its probes read of its data.

use serde::{Deserialize, Serialize};

use super::super::{DataPosition, DataRole, Reading};
use crate::time::MonoTime;

/// What its probes read of its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::decision) struct EndpointData {
    /// What the last passed probe that read anything said.
    pub reading: Option<Reading>,
    /// When that was.
    #[serde(default)]
    pub read_at: MonoTime,
    /// Where it was when it last said that it is a replica.
    #[serde(default)]
    as_replica: Option<DataPosition>,
}

impl EndpointData {
    /// A probe passed. One that comes late says nothing.
    pub fn note(&mut self, reading: Option<&Reading>, seen: MonoTime) {
        let Some(reading) = reading.filter(|_| seen >= self.read_at) else { return };
        if reading.role == DataRole::Replica {
            self.as_replica.clone_from(&reading.position);
        }
        self.reading = Some(reading.clone());
        self.read_at = seen;
    }

    /// Where its data is in its history.
    pub fn place(&self) -> Option<DataPosition> {
        let position = self.reading.as_ref()?.position.clone()?;
        Some(position.with_fork_seen(self.as_replica.as_ref()))
    }
}
