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
    /// When it last said that.
    #[serde(default)]
    replica_at: MonoTime,
    /// Where it is, with its fork as it was first known.
    #[serde(default)]
    place: Option<DataPosition>,
}

impl EndpointData {
    /// A probe passed. One that comes late says nothing.
    pub fn note(&mut self, reading: Option<&Reading>, seen: MonoTime) {
        let Some(reading) = reading.filter(|_| seen >= self.read_at) else { return };
        let position = reading.position.clone();
        if reading.role == DataRole::Replica {
            self.as_replica.clone_from(&position);
            self.replica_at = seen;
        }
        let was_primary = self.reading.as_ref().is_some_and(|before| before.role == DataRole::Primary);
        self.place = position.map(|position| match &self.place {
            _ if reading.role != DataRole::Primary => position.with_fork_seen(None),
            Some(before) if was_primary && position.is_of_the_lineage_of(before) => position.keep_fork_of(before),
            _ => position.with_fork_seen(self.as_replica.as_ref()),
        });
        self.reading = Some(reading.clone());
        self.read_at = seen;
    }

    /// Where it was when it last said that it is a replica, if that was after this time.
    pub fn as_replica_since(&self, time: MonoTime) -> Option<&DataPosition> {
        self.as_replica.as_ref().filter(|_| self.replica_at > time)
    }

    /// It was seen as a replica of an earlier lineage after that time, and has begun the one that it is in by itself.
    pub fn began_its_lineage_after(&self, time: MonoTime) -> bool {
        let place = self.place.as_ref().zip(self.as_replica.as_ref());
        self.replica_at > time && place.is_some_and(|(place, replica)| place.began_after(replica))
    }

    /// Where its data is in its history.
    pub fn place(&self) -> Option<&DataPosition> {
        self.place.as_ref()
    }
}
