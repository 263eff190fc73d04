//! The lag of a replica: how much of its primary's history it has not applied yet, in bytes, and how long ago the primary was where the
//! replica is now. Pure.
//!
//! The time comes from samples of the primary's position that probes have read ([`PositionTrack`]), and from no clock of a server. So it
//! does not grow while nothing is written, and it is as exact as the probes are frequent: a replica that has all that was seen of the
//! primary has a lag of 0.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DataPosition;
use super::position::PositionRelation;
use crate::time::MonoTime;

/// Samples of one primary.
const SAMPLES: usize = 64;
/// Into how many steps the longest lag of interest is divided: samples that are closer together are thinned out.
const STEPS: u32 = 16;
/// The longest lag of interest where no limit names one.
pub(super) const USUAL_REACH: Duration = Duration::from_secs(60);

/// How far a replica is behind its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaLag {
    /// Bytes of the log that it has not applied; absent = its positions are not counted in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long ago the primary was where the replica is, in milliseconds.
    pub ms: u64,
    /// It is longer: the primary was never seen where the replica is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub longer: bool,
}

impl fmt::Display for ReplicaLag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.longer {
            f.write_str("more than ")?;
        }
        match self.ms {
            ms @ ..10_000 => write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100)?,
            ms => write!(f, "{} s", ms / 1000)?,
        }
        self.bytes.map_or(Ok(()), |bytes| write!(f, " and {bytes} bytes"))
    }
}

/// Where a primary was, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PositionSample {
    at: MonoTime,
    position: DataPosition,
}

/// Where a primary was over time, within one lineage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PositionTrack {
    samples: VecDeque<PositionSample>,
    /// When its present lineage was first seen.
    began: MonoTime,
}

impl PositionTrack {
    /// The newest position.
    pub fn newest(&self) -> Option<&DataPosition> {
        self.samples.back().map(|sample| &sample.position)
    }

    /// When that was read.
    pub fn newest_at(&self) -> Option<MonoTime> {
        self.samples.back().map(|sample| sample.at)
    }

    /// When its present lineage was first seen.
    pub fn began(&self) -> MonoTime {
        self.began
    }

    /// The primary was there then. Samples reach back for `reach` and some more. What does not continue them begins again.
    pub fn note(&mut self, position: &DataPosition, at: MonoTime, reach: Duration) {
        let Some(last) = self.samples.back() else { return self.begin(position, at) };
        if position.lacks_of(&last.position) != Some(0) {
            return self.begin(position, at);
        }
        if at <= last.at {
            return;
        }
        let gap = reach / STEPS;
        let before = self.samples.len().checked_sub(2).and_then(|index| self.samples.get(index));
        if before.is_some_and(|before| last.at.since(before.at) < gap) {
            self.samples.pop_back();
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(PositionSample { at, position: position.clone() });
    }

    fn begin(&mut self, position: &DataPosition, at: MonoTime) {
        self.samples.clear();
        self.samples.push_back(PositionSample { at, position: position.clone() });
        self.began = at;
    }

    /// The lag of a replica that was there then; `None` = it is in another lineage, or nothing is known of the primary.
    pub fn lag(&self, replica: &DataPosition, read_at: MonoTime) -> Option<ReplicaLag> {
        let newest = self.samples.back()?;
        let has = |sample: &PositionSample| replica.lacks_of(&sample.position) == Some(0);
        let none = ReplicaLag { bytes: replica.bytes_lacked_of(&newest.position), ms: 0, longer: false };
        if replica.lacks_of(&newest.position)? == 0 {
            return Some(none);
        }
        // What the primary has written since the replica was asked says nothing of it.
        let known = self.samples.iter().rev().filter(|sample| sample.at <= read_at);
        let (Some(last), Some(first)) = (known.clone().next(), known.clone().next_back()) else {
            return Some(ReplicaLag { longer: true, ..none });
        };
        let bytes = replica.bytes_lacked_of(&last.position);
        let ms = |sample: &PositionSample| read_at.since(sample.at).as_millis() as u64;
        Some(match known.clone().find(|sample| has(sample)) {
            _ if has(last) => ReplicaLag { bytes, ..none },
            Some(sample) => ReplicaLag { bytes, ms: ms(sample), longer: false },
            None => ReplicaLag { bytes, ms: ms(first), longer: true },
        })
    }
}

impl DataPosition {
    /// How much of that history of its own lineage it lacks, in the unit of its kind; `None` = it is of another lineage.
    fn lacks_of(&self, other: &DataPosition) -> Option<u64> {
        match self.relation(other, false) {
            PositionRelation::Same { lacks } => Some(lacks),
            _ => None,
        }
    }

    /// The same in bytes; `None` also where positions are not counted in bytes.
    fn bytes_lacked_of(&self, other: &DataPosition) -> Option<u64> {
        match self {
            DataPosition::Postgres(_) | DataPosition::Redis(_) => self.lacks_of(other),
            DataPosition::Transactions(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decision::{Lsn, PostgresPosition, RedisPosition, SystemId};

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    fn place(timeline: u32, lsn: u64) -> DataPosition {
        let (system, lsn) = (SystemId(7), Lsn(lsn));
        DataPosition::Postgres(PostgresPosition { system, timeline, lsn, recovered: None, fork: None, started: None })
    }

    fn track(samples: &[(u64, u64)]) -> PositionTrack {
        let mut track = PositionTrack::default();
        samples.iter().for_each(|(ms, lsn)| track.note(&place(1, *lsn), at(*ms), Duration::from_secs(5)));
        track
    }

    fn lag(bytes: u64, ms: u64, longer: bool) -> Option<ReplicaLag> {
        Some(ReplicaLag { bytes: Some(bytes), ms, longer })
    }

    #[test]
    fn lag_is_how_long_ago_the_primary_was_there() {
        let busy = track(&[(1000, 100), (2000, 200), (3000, 300)]);
        for (lsn, read, wanted) in [
            (300, 3500, lag(0, 0, false)),
            (999, 3500, lag(0, 0, false)),
            (299, 3500, lag(1, 1500, false)),
            (200, 3500, lag(100, 1500, false)),
            (150, 3500, lag(150, 2500, false)),
            (50, 3500, lag(250, 2500, true)), // it was never seen there
            (200, 2500, lag(0, 0, false)),    // what was written since the replica was asked says nothing
            (150, 2500, lag(50, 1500, false)),
            (150, 500, lag(150, 0, true)), // nothing was known of the primary then
            (300, 500, lag(0, 0, false)),
        ] {
            assert_eq!(busy.lag(&place(1, lsn), at(read)), wanted, "{lsn} at {read}");
        }
        assert_eq!(busy.lag(&place(2, 300), at(3500)), None, "of a later lineage");
        assert_eq!(busy.lag(&place(1, 300), at(3500)).map(|lag| lag.to_string()).unwrap(), "0.0 s and 0 bytes");
        assert_eq!(PositionTrack::default().lag(&place(1, 300), at(3500)), None);
    }

    #[test]
    fn an_idle_primary_makes_no_lag() {
        let mut idle = track(&[(0, 100)]);
        for second in 1..=600 {
            idle.note(&place(1, 100), at(second * 1000), Duration::from_secs(5));
            assert_eq!(idle.lag(&place(1, 100), at(second * 1000 + 500)), lag(0, 0, false));
        }
        // And what is missing then is as old as the last time at which nothing was missing.
        idle.note(&place(1, 150), at(601_000), Duration::from_secs(5));
        assert_eq!(idle.lag(&place(1, 100), at(603_000)), lag(50, 3000, false));
    }

    #[test]
    fn what_does_not_continue_the_samples_begins_again() {
        let mut track = track(&[(0, 100), (1000, 200)]);
        track.note(&place(1, 150), at(2000), Duration::from_secs(5)); // a crash took some of it away
        assert_eq!((track.newest_at(), track.samples.len(), track.began()), (Some(at(2000)), 1, at(2000)));
        track.note(&place(2, 160), at(3000), Duration::from_secs(5));
        assert_eq!((track.samples.len(), track.began()), (1, at(3000)));
        track.note(&place(2, 170), at(2500), Duration::from_secs(5));
        assert_eq!(track.newest_at(), Some(at(3000)), "a late one says nothing");
    }

    #[test]
    fn a_stream_of_redis_has_a_lag_too() {
        let place = |id: &str, offset| {
            DataPosition::Redis(RedisPosition { id: id.into(), former: None, forked: None, offset, run: None })
        };
        let mut track = PositionTrack::default();
        track.note(&place("a", 100), at(0), Duration::from_secs(5));
        track.note(&place("a", 150), at(1000), Duration::from_secs(5));
        assert_eq!(track.lag(&place("a", 120), at(4000)), lag(30, 4000, false));
        assert_eq!(track.lag(&place("b", 150), at(4000)), None);
    }

    proptest! {
        /// Thinned samples never say less than all of them would, and not much more; memory is bounded.
        #[test]
        fn thinning_errs_on_the_side_of_more(
            steps in prop::collection::vec((1_u64..400, 0_u64..50), 1..300), behind in 0_u64..2000, reach in 1_u64..10,
        ) {
            let reach = Duration::from_secs(reach);
            let (mut track, mut all) = (PositionTrack::default(), Vec::new());
            let (mut ms, mut lsn) = (0, 1000);
            for (pause, written) in steps {
                (ms, lsn) = (ms + pause, lsn + written);
                track.note(&place(1, lsn), at(ms), reach);
                all.push((ms, lsn));
                prop_assert!(track.samples.len() <= SAMPLES);
            }
            let replica = lsn.saturating_sub(behind);
            let found = track.lag(&place(1, replica), at(ms)).expect("it is of the same lineage");
            let exact = all.iter().rev().find(|(_, lsn)| *lsn <= replica).map(|(then, _)| ms - then);
            let exact = if replica >= lsn { Some(0) } else { exact };
            prop_assert_eq!(found.bytes, Some(lsn.saturating_sub(replica)));
            match exact {
                Some(exact) => {
                    // A sample that was thinned out has one before it that is not farther than the gap and a pause.
                    prop_assert!(found.longer || found.ms >= exact);
                    prop_assert!(found.longer || found.ms <= exact + reach.as_millis() as u64 / 16 + 400);
                    prop_assert!(!found.longer || u128::from(found.ms) >= reach.as_millis().min(u128::from(exact)));
                }
                None => prop_assert!(found.longer),
            }
        }
    }
}
