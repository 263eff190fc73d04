//! Records of what was denied: bounded in number, whatever asks.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::line::QueuedRecord;
use crate::config::Name;
use crate::control::records::record::RecordType;
use crate::decision::Actor;
use crate::time::MonoTime;

/// Shortest time between two records of one source.
const PAUSE: Duration = Duration::from_secs(1);
/// Sources that are told apart at a time; those beyond are one, [`OTHERS`].
const SOURCES: usize = 1024;
/// Records a second of all sources together: denials cannot push the rest of the log out.
const RECORDS: u32 = 10;
/// Bytes of a source and of what it was denied at most: they may be its own words.
const LONGEST: usize = 256;
/// The name of all sources that are not told apart.
const OTHERS: &str = "others";

/// Something that was denied.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// Where it came from: an address, or a user of this host.
    pub source: &'a str,
    /// Its actor, where it is known.
    pub actor: Option<&'a Actor>,
    /// What was denied, and why, for people.
    pub what: &'a str,
    /// The service that it was about.
    pub service: Option<&'a Name>,
}

/// What the record says.
#[derive(Clone, Debug, Serialize)]
struct DeniedRecord {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    denied: String,
    /// Denials of this source since the record before that have none of their own.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
    #[serde(skip)]
    service: Option<Name>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sources that were denied something lately.
#[derive(Debug, Default)]
pub(super) struct DenialTable {
    sources: HashMap<String, RecentDenials>,
    /// Sources with denials that have no record yet.
    waiting: usize,
    /// When the present second began, and the records in it.
    second: (MonoTime, u32),
}

#[derive(Debug)]
struct RecentDenials {
    told: MonoTime,
    left_out: u64,
    /// The last one that was left out.
    last: Option<DeniedRecord>,
}

impl DenialTable {
    /// The record of this denial; `None` = it is counted only.
    pub(super) fn denied(&mut self, denial: &Denial<'_>, now: MonoTime) -> Option<QueuedRecord> {
        let source = cut(denial.source);
        let source = if self.sources.contains_key(source) || self.has_room(now) { source } else { OTHERS };
        let record = DeniedRecord {
            source: source.to_owned(),
            actor: denial.actor.cloned(),
            denied: cut(denial.what).to_owned(),
            left_out: 0,
            service: denial.service.cloned(),
        };
        if let Some(recent) = self.sources.get_mut(source) {
            self.waiting += usize::from(recent.left_out == 0);
            recent.left_out += 1;
            recent.last = Some(record);
            return self.told_again(source, now);
        }
        let told = self.may_tell(now).then(|| queued(&record));
        // (Else its record comes as soon as there is room for it.)
        let (left_out, last) = if told.is_some() { (0, None) } else { (1, Some(record)) };
        self.waiting += left_out as usize;
        self.sources.insert(source.to_owned(), RecentDenials { told: now, left_out, last });
        told
    }

    /// Records of sources whose pause is over.
    pub(super) fn due(&mut self, now: MonoTime) -> Vec<QueuedRecord> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let waiting = self.sources.iter().filter(|(_, recent)| recent.left_out > 0);
        let due: Vec<String> =
            waiting.filter(|(_, recent)| is_over(recent, now)).map(|(name, _)| name.clone()).collect();
        due.iter().filter_map(|source| self.told_again(source, now)).collect()
    }

    /// When the next pause is over after which there is something to record.
    pub(super) fn next(&self) -> Option<MonoTime> {
        if self.waiting == 0 {
            return None;
        }
        let waiting = self.sources.values().filter(|recent| recent.left_out > 0);
        let first = waiting.map(|recent| recent.told.after(PAUSE)).min()?;
        // (While the second is full, it is the next one.)
        Some(if self.second.1 >= RECORDS { first.max(self.second.0.after(PAUSE)) } else { first })
    }

    /// Is there something that has no record yet?
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    fn told_again(&mut self, source: &str, now: MonoTime) -> Option<QueuedRecord> {
        if !self.sources.get(source).is_some_and(|recent| is_over(recent, now)) || !self.may_tell(now) {
            return None;
        }
        let recent = self.sources.get_mut(source)?;
        let record = recent.last.take()?;
        let left_out = std::mem::take(&mut recent.left_out).saturating_sub(1);
        recent.told = now;
        self.waiting -= 1;
        Some(queued(&DeniedRecord { left_out, ..record }))
    }

    /// One more record now?
    fn may_tell(&mut self, now: MonoTime) -> bool {
        if now.since(self.second.0) >= PAUSE {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        self.second.1 <= RECORDS
    }

    /// Is there room for another source? Those of before are forgotten.
    fn has_room(&mut self, now: MonoTime) -> bool {
        if self.sources.len() >= SOURCES {
            self.sources.retain(|_, recent| recent.left_out > 0 || !is_over(recent, now));
        }
        self.sources.len() < SOURCES
    }
}

fn is_over(recent: &RecentDenials, now: MonoTime) -> bool {
    now.since(recent.told) >= PAUSE
}

fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn queued(record: &DeniedRecord) -> QueuedRecord {
    QueuedRecord::new(RecordType::ActDenied, record.service.clone(), record)
}

#[cfg(test)]
mod tests {
    use super::super::line::AuditIdentity;
    use super::*;
    use crate::control::records::record::begin_life;

    #[test]
    fn a_flood_of_many_sources_has_few_records_and_each_denial_is_counted() {
        let identity = AuditIdentity { instance: "edge-1".into(), life: begin_life() };
        let counted = |records: &[QueuedRecord]| -> u64 {
            let what = |record: &QueuedRecord| record.fields(&identity).pop().map(|(_, what)| what).unwrap();
            let left_out =
                |what: String| serde_json::from_str::<serde_json::Value>(&what).unwrap()["left_out"].as_u64();
            records.iter().map(|record| 1 + left_out(what(record)).unwrap_or(0)).sum()
        };
        let (mut table, mut now) = (DenialTable::default(), MonoTime::from_micros(1 << 40));
        let sources: Vec<String> = (0..5000).map(|n| format!("2001:db8::{n:x}")).collect();
        let denied = |source| Denial { source, actor: None, what: "unknown token", service: None };
        let told: Vec<QueuedRecord> = sources.iter().filter_map(|source| table.denied(&denied(source), now)).collect();
        assert_eq!(told.len(), RECORDS as usize);
        assert_eq!(table.sources.len(), SOURCES + 1);
        let mut total = counted(&told);
        while let Some(next) = table.next() {
            assert!(next > now && next.since(now) <= PAUSE, "it neither spins nor sleeps");
            now = next;
            let due = table.due(now);
            assert!((1..=RECORDS as usize).contains(&due.len()), "{}", due.len());
            total += counted(&due);
        }
        assert_eq!((total, table.is_waiting()), (5000, false));
        // What is over is forgotten.
        now = now.after(PAUSE);
        assert!(table.denied(&denied("192.0.2.1"), now).is_some());
        assert!(table.sources.len() <= 2, "{}", table.sources.len());
    }
}
