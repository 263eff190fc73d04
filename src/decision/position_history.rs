//! [`PositionHistory`]: where the holder was, and when. It turns a loss in bytes into a time: when the holder was last known to be where
//! the log of another one ends. No clock of a server is asked, and an idle primary does not fall behind itself.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::time::MonoTime;

/// Samples that are kept. Of the older half every second one is left out when there are more, so old times are known less exactly.
const KEPT: usize = 64;

/// Samples of one lineage, oldest first: both their times and their offsets grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PositionHistory(VecDeque<PositionSample>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct PositionSample {
    at: MonoTime,
    offset: u64,
}

impl PositionHistory {
    /// It was there at that time. A sample that comes late says nothing. What lay beyond is no part of its history any more.
    pub fn note(&mut self, offset: u64, at: MonoTime) {
        if self.0.back().is_some_and(|last| at < last.at) {
            return;
        }
        while self.0.back().is_some_and(|last| last.offset >= offset) {
            self.0.pop_back();
        }
        self.0.push_back(PositionSample { at, offset });
        if self.0.len() > KEPT {
            let mut place = 0;
            self.0.retain(|_| {
                place += 1;
                place > KEPT / 2 || place % 2 == 1
            });
        }
    }

    /// Another lineage begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// When it was last known to be there, or before: what it wrote beyond was written after that. `None` = never.
    pub fn last_at(&self, offset: u64) -> Option<MonoTime> {
        self.0.iter().rev().find(|sample| sample.offset <= offset).map(|sample| sample.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> MonoTime {
        MonoTime::from_micros(micros)
    }

    #[test]
    fn an_idle_primary_does_not_fall_behind_itself() {
        let mut history = PositionHistory::default();
        for second in 0..600 {
            history.note(100, at(second));
        }
        assert_eq!((history.last_at(100), history.last_at(99)), (Some(at(599)), None));
        history.note(50, at(600));
        assert_eq!((history.last_at(100), history.last_at(49)), (Some(at(600)), None), "what it lost is no part of it");
        history.note(70, at(599));
        assert_eq!(history.last_at(70), Some(at(600)), "a late sample says nothing");
    }

    proptest! {
        /// Whatever is left out, the time is never later than the truth, and of the newest samples it is exact.
        #[test]
        fn a_time_is_never_later_than_it_was(steps in prop::collection::vec((1..1000_u64, 0..50_u64), 1..500), wanted in 0..25_000_u64) {
            let mut history = PositionHistory::default();
            let (mut now, mut offset, mut truth) = (0, 0, Vec::new());
            for (time, bytes) in steps {
                now += time;
                offset += bytes;
                history.note(offset, at(now));
                truth.push((now, offset));
            }
            prop_assert!(history.0.len() <= KEPT);
            let last = truth.iter().rev().find(|(_, offset)| *offset <= wanted).map(|(time, _)| at(*time));
            prop_assert!(history.last_at(wanted) <= last);
            prop_assert_eq!(history.last_at(wanted).is_none(), last.is_none());
            prop_assert_eq!(history.last_at(offset), Some(at(now)));
        }
    }
}
