//! [`RecordRing`]: the newest records in memory, for readers that follow them and may go on where they stopped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::{ChangeRecord, InstanceLife, RecordId};
use super::sink::RecordSink;

/// Records that are kept at most …
const RECORDS: usize = 4096;
/// … and bytes of them, as JSON.
const BYTES: usize = 4 << 20;
/// Records of one page: the engine waits for no reader longer than it takes to count up so many references.
const PAGE: usize = 256;

/// The newest records of this life, bounded in number and in bytes. The engine writes, any number of readers read.
#[derive(Debug)]
pub(in crate::control) struct RecordRing {
    life: InstanceLife,
    kept: Mutex<KeptRecords>,
    newest: watch::Sender<u64>,
    /// Records and bytes at most.
    bounds: (usize, usize),
}

/// Records with their lengths, oldest first, without gaps.
#[derive(Debug, Default)]
struct KeptRecords {
    records: VecDeque<(Arc<ChangeRecord>, usize)>,
    bytes: usize,
    /// The number of the newest record that was ever put in; 0 = none.
    newest: u64,
}

/// Records in their order, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPage {
    /// Oldest first; a page has 256 at most.
    pub records: Vec<Arc<ChangeRecord>>,
    /// What to ask for next: the last record of this page, or the newest one that there is.
    pub next: RecordId,
    /// Records between what was asked for and the first one of this page are not kept any more, or were of another life: the
    /// reader has missed them.
    pub gap: bool,
}

impl RecordRing {
    pub(super) fn new(life: InstanceLife) -> RecordRing {
        RecordRing::bounded(life, (RECORDS, BYTES))
    }

    fn bounded(life: InstanceLife, bounds: (usize, usize)) -> RecordRing {
        RecordRing { life, kept: Mutex::default(), newest: watch::Sender::new(0), bounds }
    }

    fn lock(&self) -> MutexGuard<'_, KeptRecords> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, record: Arc<ChangeRecord>) {
        let (most, most_bytes) = self.bounds;
        let bytes = serde_json::to_vec(&*record).map_or(0, |json| json.len());
        let number = record.id.number;
        let mut kept = self.lock();
        kept.records.push_back((record, bytes));
        kept.bytes += bytes;
        kept.newest = number;
        while kept.records.len() > most || kept.bytes > most_bytes && kept.records.len() > 1 {
            if let Some((_, bytes)) = kept.records.pop_front() {
                kept.bytes -= bytes;
            }
        }
        drop(kept);
        self.newest.send_replace(number);
    }

    /// The records behind `after`; `None` = from the first one of this life.
    pub(in crate::control) fn page(&self, after: Option<RecordId>) -> RecordPage {
        let kept = self.lock();
        let oldest = kept.records.front().map_or(kept.newest + 1, |(record, _)| record.id.number);
        let known = after.filter(|after| after.life == self.life && after.number <= kept.newest);
        let asked = known.map_or(1, |after| after.number.saturating_add(1));
        let first = asked.max(oldest);
        let gap = first > asked || after.is_some() && known.is_none();
        let skip = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        let records: Vec<_> = kept.records.iter().skip(skip).take(PAGE).map(|(record, _)| Arc::clone(record)).collect();
        let number = records.last().map_or(kept.newest, |record| record.id.number);
        RecordPage { records, next: RecordId { life: self.life, number }, gap }
    }

    /// The number of the newest record, as it grows.
    pub(in crate::control) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl RecordSink for Arc<RecordRing> {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        self.put(Arc::clone(record));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{RecordTime, RecordedChange, RefusalRecord};
    use super::*;

    fn record(life: InstanceLife, number: u64) -> Arc<ChangeRecord> {
        let change = RecordedChange::ConfigRefused(RefusalRecord { problem: "p".repeat(40) });
        let at = RecordTime { unix_ms: 1, since_start_us: number };
        Arc::new(ChangeRecord { id: RecordId { life, number }, at, service: None, change })
    }

    fn numbers(page: &RecordPage) -> Vec<u64> {
        page.records.iter().map(|record| record.id.number).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped_and_learns_of_a_gap() {
        let life = InstanceLife::begin();
        let ring = RecordRing::bounded(life, (4, BYTES));
        let empty = ring.page(None);
        assert_eq!((numbers(&empty), empty.next.number, empty.gap), (vec![], 0, false));
        assert_eq!(ring.page(Some(empty.next)), empty);
        (1..=3).for_each(|number| ring.put(record(life, number)));
        let page = ring.page(Some(empty.next));
        assert_eq!((numbers(&page), page.next.number, page.gap), (vec![1, 2, 3], 3, false));
        assert_eq!(ring.page(None), page);
        ring.put(record(life, 4));
        let page = ring.page(Some(page.next));
        assert_eq!((numbers(&page), page.gap), (vec![4], false));
        (5..=9).for_each(|number| ring.put(record(life, number)));
        let late = ring.page(Some(page.next));
        assert_eq!((numbers(&late), late.next.number, late.gap), (vec![6, 7, 8, 9], 9, true));
        assert!(ring.page(None).gap);
        let end = ring.page(Some(late.next));
        assert_eq!((numbers(&end), end.next, end.gap), (vec![], late.next, false));
        assert_eq!(*ring.newest().borrow(), 9);
    }

    #[test]
    fn an_id_of_another_life_or_of_no_record_is_a_gap() {
        let (life, other) = (InstanceLife::begin(), InstanceLife::begin());
        let ring = RecordRing::bounded(life, (4, BYTES));
        ring.put(record(life, 1));
        for unknown in
            [RecordId { life: other, number: 1 }, RecordId { life, number: 2 }, RecordId { life, number: u64::MAX }]
        {
            let page = ring.page(Some(unknown));
            assert_eq!((numbers(&page), page.gap), (vec![1], true), "{unknown}");
        }
    }

    #[test]
    fn bytes_are_bounded_too_and_the_newest_record_stays() {
        let life = InstanceLife::begin();
        let one = serde_json::to_vec(&*record(life, 1)).unwrap().len();
        for (bytes, kept) in [(one * 2, 2), (one / 2, 1)] {
            let ring = RecordRing::bounded(life, (100, bytes));
            (1..=9).for_each(|number| ring.put(record(life, number)));
            assert_eq!(numbers(&ring.page(None)).len(), kept);
            assert_eq!(ring.page(None).next.number, 9);
        }
    }

    #[test]
    fn pages_are_bounded_and_follow_each_other() {
        let life = InstanceLife::begin();
        let ring = RecordRing::new(life);
        (1..=600).for_each(|number| ring.put(record(life, number)));
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = ring.page(after);
            if page.records.is_empty() {
                break;
            }
            assert!(page.records.len() <= PAGE && !page.gap);
            seen.extend(numbers(&page));
            after = Some(page.next);
        }
        assert_eq!(seen, (1..=600).collect::<Vec<_>>());
    }
}
