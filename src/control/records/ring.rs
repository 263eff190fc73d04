//! The ring: the newest records in memory, for readers that follow them and may go on where they stopped.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::{ChangeRecord, RecordId};
use super::sink::RecordSink;
use crate::decision::InstanceLife;

/// Records that are kept at most …
const RECORDS: usize = 4096;
/// … and bytes of them, as JSON.
const BYTES: usize = 4 << 20;
/// Records of one page: the engine waits for no reader longer than it takes to count up so many references.
const PAGE: usize = 256;

/// The engine's side of the ring. Readers that wait learn of the engine's end when it is dropped.
#[derive(Debug)]
pub(in crate::control) struct RecordFeed {
    ring: Arc<RecordRing>,
    newest: watch::Sender<u64>,
}

/// The readers' side of the ring.
#[derive(Clone, Debug)]
pub(in crate::control) struct RecordReader {
    ring: Arc<RecordRing>,
    /// It never marks a number as seen: what is cloned of it sees the present one as a change.
    newest: watch::Receiver<u64>,
}

/// The newest records of this life, bounded in number and in bytes. The engine writes, any number of readers read.
#[derive(Debug)]
struct RecordRing {
    life: InstanceLife,
    kept: Mutex<KeptRecords>,
    /// Records and bytes at most.
    bounds: (usize, usize),
}

/// Records with their lengths, oldest first, without gaps.
#[derive(Debug, Default)]
struct KeptRecords {
    records: VecDeque<(Arc<ChangeRecord>, usize)>,
    bytes: usize,
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

impl RecordFeed {
    pub(super) fn new(life: InstanceLife) -> RecordFeed {
        RecordFeed::bounded(life, (RECORDS, BYTES))
    }

    fn bounded(life: InstanceLife, bounds: (usize, usize)) -> RecordFeed {
        let ring = Arc::new(RecordRing { life, kept: Mutex::default(), bounds });
        RecordFeed { ring, newest: watch::Sender::new(0) }
    }

    pub(super) fn reader(&self) -> RecordReader {
        RecordReader { ring: Arc::clone(&self.ring), newest: self.newest.subscribe() }
    }

    fn put(&self, record: Arc<ChangeRecord>) {
        let number = record.id.number;
        self.ring.put(record);
        self.newest.send_replace(number);
    }
}

impl RecordReader {
    /// The records behind `after`; `None` = from the first one of this life.
    pub(in crate::control) fn page(&self, after: Option<RecordId>) -> RecordPage {
        self.ring.page(after)
    }

    /// The same, when there are some or the engine has ended.
    pub(in crate::control) async fn wait(&self, after: Option<RecordId>) -> RecordPage {
        // (An id that is not of this ring is behind nothing: the reader learns of the gap at once.)
        let known = after.filter(|after| self.ring.knows(*after)).map_or(0, |after| after.number);
        let _ = self.newest.clone().wait_for(|newest| *newest > known).await;
        self.page(after)
    }

    /// The newest record that is still kept and is one of these.
    pub(in crate::control) fn find(&self, mut is_it: impl FnMut(&ChangeRecord) -> bool) -> Option<Arc<ChangeRecord>> {
        let kept: Vec<_> = self.ring.lock().records.iter().map(|(record, _)| Arc::clone(record)).collect();
        kept.into_iter().rev().find(|record| is_it(record))
    }

    /// The number of the newest record, as it grows.
    pub(in crate::control) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }
}

impl RecordRing {
    fn lock(&self) -> MutexGuard<'_, KeptRecords> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, record: Arc<ChangeRecord>) {
        let (most, most_bytes) = self.bounds;
        let bytes = json_bytes(&record);
        let mut kept = self.lock();
        kept.records.push_back((record, bytes));
        kept.bytes += bytes;
        while kept.records.len() > most || kept.bytes > most_bytes && kept.records.len() > 1 {
            if let Some((_, bytes)) = kept.records.pop_front() {
                kept.bytes -= bytes;
            }
        }
    }

    /// Was this record ever in the ring?
    fn knows(&self, id: RecordId) -> bool {
        id.life == self.life && id.number <= self.lock().newest()
    }

    fn page(&self, after: Option<RecordId>) -> RecordPage {
        let kept = self.lock();
        let newest = kept.newest();
        let oldest = kept.records.front().map_or(newest + 1, |(record, _)| record.id.number);
        let known = after.filter(|after| after.life == self.life && after.number <= newest);
        let asked = known.map_or(1, |after| after.number.saturating_add(1));
        let first = asked.max(oldest);
        let gap = first > asked || after.is_some() && known.is_none();
        let skip = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        let records: Vec<_> = kept.records.iter().skip(skip).take(PAGE).map(|(record, _)| Arc::clone(record)).collect();
        let number = records.last().map_or(newest, |record| record.id.number);
        RecordPage { records, next: RecordId { life: self.life, number }, gap }
    }
}

impl KeptRecords {
    /// The number of the newest record that was ever put in, which is always kept; 0 = none.
    fn newest(&self) -> u64 {
        self.records.back().map_or(0, |(record, _)| record.id.number)
    }
}

/// Bytes of a record as JSON.
fn json_bytes(record: &ChangeRecord) -> usize {
    let mut counted = CountedBytes(0);
    let written = serde_json::to_writer(&mut counted, record);
    written.map_or(0, |()| counted.0)
}

/// Counts what is written.
struct CountedBytes(usize);

impl io::Write for CountedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RecordSink for RecordFeed {
    fn take(&mut self, record: &Arc<ChangeRecord>) {
        self.put(Arc::clone(record));
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{RecordTime, RecordedChange, RefusalRecord};
    use super::*;
    use crate::control::records::record::begin_life;

    fn record(life: InstanceLife, number: u64) -> Arc<ChangeRecord> {
        let change = RecordedChange::ConfigRefused(RefusalRecord { problem: "p".repeat(40), by: None });
        let at = RecordTime { unix_ms: 1, since_start_us: number };
        Arc::new(ChangeRecord { id: RecordId { life, number }, at, service: None, change })
    }

    fn numbers(page: &RecordPage) -> Vec<u64> {
        page.records.iter().map(|record| record.id.number).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped_and_learns_of_a_gap() {
        let life = begin_life();
        let feed = RecordFeed::bounded(life, (4, BYTES));
        let ring = feed.reader();
        let empty = ring.page(None);
        assert_eq!((numbers(&empty), empty.next.number, empty.gap), (vec![], 0, false));
        assert_eq!(ring.page(Some(empty.next)), empty);
        (1..=3).for_each(|number| feed.put(record(life, number)));
        let page = ring.page(Some(empty.next));
        assert_eq!((numbers(&page), page.next.number, page.gap), (vec![1, 2, 3], 3, false));
        assert_eq!(ring.page(None), page);
        feed.put(record(life, 4));
        let page = ring.page(Some(page.next));
        assert_eq!((numbers(&page), page.gap), (vec![4], false));
        (5..=9).for_each(|number| feed.put(record(life, number)));
        let late = ring.page(Some(page.next));
        assert_eq!((numbers(&late), late.next.number, late.gap), (vec![6, 7, 8, 9], 9, true));
        assert!(ring.page(None).gap);
        let end = ring.page(Some(late.next));
        assert_eq!((numbers(&end), end.next, end.gap), (vec![], late.next, false));
        assert_eq!(*ring.newest().borrow(), 9);
    }

    #[test]
    fn an_id_of_another_life_or_of_no_record_is_a_gap() {
        let (life, other) = (begin_life(), begin_life());
        let feed = RecordFeed::bounded(life, (4, BYTES));
        let ring = feed.reader();
        feed.put(record(life, 1));
        for unknown in
            [RecordId { life: other, number: 1 }, RecordId { life, number: 2 }, RecordId { life, number: u64::MAX }]
        {
            let page = ring.page(Some(unknown));
            assert_eq!((numbers(&page), page.gap), (vec![1], true), "{unknown}");
        }
    }

    #[test]
    fn bytes_are_bounded_too_and_the_newest_record_stays() {
        let life = begin_life();
        let one = serde_json::to_vec(&*record(life, 1)).unwrap().len();
        for (bytes, kept) in [(one * 2, 2), (one / 2, 1)] {
            let feed = RecordFeed::bounded(life, (100, bytes));
            let ring = feed.reader();
            (1..=9).for_each(|number| feed.put(record(life, number)));
            assert_eq!(numbers(&ring.page(None)).len(), kept);
            assert_eq!(ring.page(None).next.number, 9);
        }
    }

    #[test]
    fn pages_are_bounded_and_follow_each_other() {
        let life = begin_life();
        let feed = RecordFeed::new(life);
        let ring = feed.reader();
        (1..=600).for_each(|number| feed.put(record(life, number)));
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

    /// Does the reader have to wait behind `after`?
    async fn waits(reader: &RecordReader, after: Option<RecordId>) -> bool {
        tokio::select! {
            biased;
            _ = reader.wait(after) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn a_reader_waits_for_the_next_record_and_learns_of_the_end() {
        let (life, other) = (begin_life(), begin_life());
        let feed = RecordFeed::new(life);
        let reader = feed.reader();
        assert!(waits(&reader, None).await, "there is none yet");
        let first = reader.page(None).next;
        // Between a page and the wait nothing is missed.
        feed.put(record(life, 1));
        assert_eq!(numbers(&reader.wait(Some(first)).await), [1]);
        assert!(reader.newest().has_changed().unwrap());
        let one = reader.wait(None).await.next;
        assert!(waits(&reader, Some(one)).await);
        for unknown in [RecordId { life: other, number: 9 }, RecordId { life, number: 9 }] {
            assert!(reader.wait(Some(unknown)).await.gap);
        }
        let (next, ()) = tokio::join!(reader.wait(Some(one)), async { feed.put(record(life, 2)) });
        assert_eq!(numbers(&next), [2]);
        let mut newest = reader.newest();
        newest.mark_unchanged();
        drop(feed);
        assert!(newest.changed().await.is_err());
        assert_eq!(numbers(&reader.wait(Some(one)).await), [2]);
        let end = reader.wait(Some(next.next)).await;
        assert!(end.records.is_empty() && !end.gap);
    }
}
