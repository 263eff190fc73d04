//! Outstanding requests and connects of an endpoint: what workers count, and the suspected stall that a digest reports
//! ([manual::health](crate::manual::health)).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::decision::Silence;
use crate::time::MonoTime;

/// The outstanding requests of an endpoint since its last answer. One word a fact, all relaxed: a race costs a request more or
/// less in the count, which changes no decision.
#[derive(Debug, Default)]
pub struct ResponseTracker {
    /// Requests since the last answer (lower half), and the witnesses among them (upper half).
    unanswered: AtomicU64,
    /// When the first of them was sent.
    since: AtomicU64,
    /// When a request was last found late.
    late: AtomicU64,
    heard: AtomicU64,
}

const WITNESS: u64 = 1 << 32;
/// Outstanding requests are forgotten after this time.
const WINDOW: Duration = Duration::from_secs(10);
/// How long an endpoint that was slow gets fewer requests.
const DOUBT: Duration = Duration::from_secs(2);

impl ResponseTracker {
    /// Counts an outstanding request. Requests older than [`WINDOW`] are dropped from the count: their clients are gone.
    #[inline]
    pub fn asked(&self, now: MonoTime) {
        let since = MonoTime::from_micros(self.since.load(Relaxed));
        if self.unanswered.fetch_add(1, Relaxed) as u32 == 0 {
            self.since.store(now.as_micros(), Relaxed);
        } else if now.since(since) >= WINDOW {
            self.since.store(now.as_micros(), Relaxed);
            self.unanswered.store(1, Relaxed);
        }
    }

    /// The request that was sent at that time does not want its answer any more, and the answer was not late.
    pub fn excused(&self, asked: MonoTime) {
        if self.heard.load(Relaxed) < asked.as_micros() {
            // With the last question its witnesses go too.
            let less = |word: u64| (word as u32 > 0).then(|| if word as u32 == 1 { 0 } else { word - 1 });
            let _ = self.unanswered.fetch_update(Relaxed, Relaxed, less);
        }
    }

    /// An answer came, to any request.
    #[inline]
    pub fn heard(&self, now: MonoTime) {
        self.heard.store(now.as_micros(), Relaxed);
        if self.unanswered.load(Relaxed) != 0 {
            self.unanswered.store(0, Relaxed);
        }
    }

    /// A request waits for longer than answers usually take. `true`: this makes a suspected stall, and there was none before.
    pub fn late(&self, now: MonoTime) -> bool {
        let before = self.silence().is_some();
        self.late.store(now.as_micros(), Relaxed);
        !before && self.silence().is_some()
    }

    /// A request that was sent then and has no answer was answered by another endpoint: this endpoint is at fault, not the
    /// request. `true`: this makes a verdict, and there was none before.
    pub fn witnessed(&self, asked: MonoTime) -> bool {
        if self.heard.load(Relaxed) >= asked.as_micros() {
            return false;
        }
        let before = self.unanswered.fetch_add(WITNESS, Relaxed);
        (before >> 32) as u32 + 1 == Silence::WITNESSES && self.silence().is_some()
    }

    /// Has an answer come since then, or is no recent request outstanding?
    pub fn is_lively(&self, then: MonoTime, now: MonoTime) -> bool {
        self.unanswered.load(Relaxed) as u32 == 0
            || self.heard.load(Relaxed) >= then.as_micros()
            || now.since(MonoTime::from_micros(self.since.load(Relaxed))) >= WINDOW
    }

    /// When the last answer came.
    pub fn last_heard(&self) -> MonoTime {
        MonoTime::from_micros(self.heard.load(Relaxed))
    }

    /// Has a request been outstanding for so long? (Perhaps it was answered elsewhere meanwhile.)
    pub fn waits_for(&self, patience: Duration, now: MonoTime) -> bool {
        self.unanswered.load(Relaxed) as u32 > 0
            && now.since(MonoTime::from_micros(self.since.load(Relaxed))) >= patience
    }

    /// Was a request recently found late?
    #[inline]
    pub fn was_late(&self, now: MonoTime) -> bool {
        let late = self.late.load(Relaxed);
        late != 0 && now.since(MonoTime::from_micros(late)) < DOUBT
    }

    /// The suspected stall: requests are outstanding, and one of them is late.
    pub fn silence(&self) -> Option<Silence> {
        let word = self.unanswered.load(Relaxed);
        let (late, heard) = (self.late.load(Relaxed), self.heard.load(Relaxed));
        let silence = Silence {
            since: MonoTime::from_micros(self.since.load(Relaxed)),
            late: MonoTime::from_micros(late),
            unanswered: word as u32,
            witnesses: (word >> 32) as u32,
            sources: [None; 3],
            targets: 0,
        };
        (silence.unanswered >= Silence::UNANSWERED && late > heard).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::at;

    #[test]
    fn four_unanswered_and_one_late_make_a_suspicion_until_it_is_heard() {
        let tracker = ResponseTracker::default();
        (0..3).for_each(|n| tracker.asked(at(n)));
        assert!(!tracker.late(at(250)));
        tracker.asked(at(251));
        let silence = tracker.silence().unwrap();
        assert_eq!((silence.since, silence.late, silence.unanswered), (at(0), at(250), 4));
        tracker.heard(at(260));
        assert_eq!(tracker.silence(), None);
        (0..9).for_each(|n| tracker.asked(at(300 + n)));
        assert_eq!(tracker.silence(), None, "no request has waited for too long since");
        assert!(tracker.late(at(600)));
        assert_eq!(tracker.silence().unwrap().since, at(300));
    }

    #[test]
    fn three_witnesses_make_a_verdict_and_an_answer_sends_them_home() {
        let tracker = ResponseTracker::default();
        (0..5).for_each(|n| tracker.asked(at(n)));
        tracker.late(at(250));
        assert_eq!([0, 1, 2].map(|asked| tracker.witnessed(at(asked))), [false, false, true]);
        assert_eq!(tracker.silence().unwrap().witnesses, 3);
        tracker.heard(at(300));
        assert!(!tracker.witnessed(at(3)));
        (0..9).for_each(|n| tracker.asked(at(301 + n)));
        tracker.late(at(600));
        assert_eq!(tracker.silence().unwrap().witnesses, 0, "who was asked before it was heard proves nothing");
    }

    #[test]
    fn lively_is_who_was_heard_since_or_was_not_asked() {
        let tracker = ResponseTracker::default();
        assert!(tracker.is_lively(at(5), at(5)));
        tracker.asked(at(6));
        assert!(!tracker.is_lively(at(5), at(6)));
        tracker.heard(at(7));
        tracker.asked(at(8));
        assert!(tracker.is_lively(at(7), at(9)) && !tracker.is_lively(at(8), at(9)));
        assert!(tracker.is_lively(at(8), at(10_008)), "the outstanding request is too old to count");
    }

    #[test]
    fn what_was_asked_long_ago_is_no_silence_of_today() {
        let tracker = ResponseTracker::default();
        (0..9).for_each(|n| tracker.asked(at(n)));
        tracker.asked(at(60_000));
        assert!(!tracker.waits_for(Duration::from_millis(250), at(60_001)));
        assert!(!tracker.late(at(60_300)), "one is not four");
    }

    #[test]
    fn who_is_excused_waits_for_nothing() {
        let tracker = ResponseTracker::default();
        tracker.asked(at(0));
        tracker.excused(at(0));
        assert!(tracker.is_lively(at(1), at(2)));
        tracker.asked(at(3));
        tracker.heard(at(4));
        tracker.asked(at(5));
        tracker.excused(at(3));
        assert!(!tracker.is_lively(at(5), at(6)), "that question was answered");
    }
}
