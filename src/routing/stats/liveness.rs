//! Outstanding requests and connects of an endpoint: what workers count, and the suspected stall that a digest reports
//! ([manual::health](crate::manual::health)).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::decision::{Moment, Silence};

/// What was asked of an endpoint since it was last heard. One word a fact, all relaxed: what races is a request more or less,
/// which nobody decides by.
#[derive(Debug, Default)]
pub struct Hearing {
    /// Asked since it was last heard (lower half), and the witnesses among them (upper half).
    unanswered: AtomicU64,
    /// When the first of them was asked.
    since: AtomicU64,
    /// When somebody was last found to wait for too long.
    late: AtomicU64,
    heard: AtomicU64,
}

const WITNESS: u64 = 1 << 32;
/// Longer than this no unanswered question is remembered.
const WINDOW: Duration = Duration::from_secs(10);
/// How long an endpoint that was late is given less to do.
const DOUBT: Duration = Duration::from_secs(2);

impl Hearing {
    /// It was asked: from now on an answer is due. What was asked long ago is forgotten: whoever asked is gone.
    #[inline]
    pub fn asked(&self, now: Moment) {
        let since = Moment::from_micros(self.since.load(Relaxed));
        if self.unanswered.fetch_add(1, Relaxed) as u32 == 0 {
            self.since.store(now.as_micros(), Relaxed);
        } else if now.since(since) >= WINDOW {
            self.since.store(now.as_micros(), Relaxed);
            self.unanswered.store(1, Relaxed);
        }
    }

    /// Whoever asked at that time does not want the answer any more, and it was not late.
    pub fn excused(&self, asked: Moment) {
        if self.heard.load(Relaxed) < asked.as_micros() {
            // With the last question its witnesses go too.
            let less = |word: u64| (word as u32 > 0).then(|| if word as u32 == 1 { 0 } else { word - 1 });
            let _ = self.unanswered.fetch_update(Relaxed, Relaxed, less);
        }
    }

    /// It was heard, whomever it answered.
    #[inline]
    pub fn heard(&self, now: Moment) {
        self.heard.store(now.as_micros(), Relaxed);
        if self.unanswered.load(Relaxed) != 0 {
            self.unanswered.store(0, Relaxed);
        }
    }

    /// Somebody waits for longer than its answers usually take. `true`: that makes a suspicion, which was none before.
    pub fn late(&self, now: Moment) -> bool {
        let before = self.silence().is_some();
        self.late.store(now.as_micros(), Relaxed);
        !before && self.silence().is_some()
    }

    /// Somebody who asked then, and has no answer, was answered elsewhere: it is the endpoint, not the question. `true`: that
    /// makes a verdict, which was none before.
    pub fn witnessed(&self, asked: Moment) -> bool {
        if self.heard.load(Relaxed) >= asked.as_micros() {
            return false;
        }
        let before = self.unanswered.fetch_add(WITNESS, Relaxed);
        (before >> 32) as u32 + 1 == Silence::WITNESSES && self.silence().is_some()
    }

    /// Has it been heard since then, or has nobody asked lately?
    pub fn is_lively(&self, then: Moment, now: Moment) -> bool {
        self.unanswered.load(Relaxed) as u32 == 0
            || self.heard.load(Relaxed) >= then.as_micros()
            || now.since(Moment::from_micros(self.since.load(Relaxed))) >= WINDOW
    }

    /// When it was last heard.
    pub fn last_heard(&self) -> Moment {
        Moment::from_micros(self.heard.load(Relaxed))
    }

    /// Has somebody without an answer been waiting for so long? (Perhaps not any more: he was served elsewhere.)
    pub fn waits_for(&self, patience: Duration, now: Moment) -> bool {
        self.unanswered.load(Relaxed) as u32 > 0 && now.since(Moment::from_micros(self.since.load(Relaxed))) >= patience
    }

    /// Was somebody lately found to wait for too long?
    #[inline]
    pub fn was_late(&self, now: Moment) -> bool {
        let late = self.late.load(Relaxed);
        late != 0 && now.since(Moment::from_micros(late)) < DOUBT
    }

    /// It is asked and says nothing, and somebody waits for too long.
    pub fn silence(&self) -> Option<Silence> {
        let word = self.unanswered.load(Relaxed);
        let (late, heard) = (self.late.load(Relaxed), self.heard.load(Relaxed));
        let silence = Silence {
            since: Moment::from_micros(self.since.load(Relaxed)),
            late: Moment::from_micros(late),
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
        let hearing = Hearing::default();
        (0..3).for_each(|n| hearing.asked(at(n)));
        assert!(!hearing.late(at(250)));
        hearing.asked(at(251));
        let silence = hearing.silence().unwrap();
        assert_eq!((silence.since, silence.late, silence.unanswered), (at(0), at(250), 4));
        hearing.heard(at(260));
        assert_eq!(hearing.silence(), None);
        (0..9).for_each(|n| hearing.asked(at(300 + n)));
        assert_eq!(hearing.silence(), None, "nobody has waited for too long since");
        assert!(hearing.late(at(600)));
        assert_eq!(hearing.silence().unwrap().since, at(300));
    }

    #[test]
    fn three_witnesses_make_a_verdict_and_an_answer_sends_them_home() {
        let hearing = Hearing::default();
        (0..5).for_each(|n| hearing.asked(at(n)));
        hearing.late(at(250));
        assert_eq!([0, 1, 2].map(|asked| hearing.witnessed(at(asked))), [false, false, true]);
        assert_eq!(hearing.silence().unwrap().witnesses, 3);
        hearing.heard(at(300));
        assert!(!hearing.witnessed(at(3)));
        (0..9).for_each(|n| hearing.asked(at(301 + n)));
        hearing.late(at(600));
        assert_eq!(hearing.silence().unwrap().witnesses, 0, "who was asked before it was heard proves nothing");
    }

    #[test]
    fn lively_is_who_was_heard_since_or_was_not_asked() {
        let hearing = Hearing::default();
        assert!(hearing.is_lively(at(5), at(5)));
        hearing.asked(at(6));
        assert!(!hearing.is_lively(at(5), at(6)));
        hearing.heard(at(7));
        hearing.asked(at(8));
        assert!(hearing.is_lively(at(7), at(9)) && !hearing.is_lively(at(8), at(9)));
        assert!(hearing.is_lively(at(8), at(10_008)), "whoever asked is gone");
    }

    #[test]
    fn what_was_asked_long_ago_is_no_silence_of_today() {
        let hearing = Hearing::default();
        (0..9).for_each(|n| hearing.asked(at(n)));
        hearing.asked(at(60_000));
        assert!(!hearing.waits_for(Duration::from_millis(250), at(60_001)));
        assert!(!hearing.late(at(60_300)), "one is not four");
    }

    #[test]
    fn who_is_excused_waits_for_nothing() {
        let hearing = Hearing::default();
        hearing.asked(at(0));
        hearing.excused(at(0));
        assert!(hearing.is_lively(at(1), at(2)));
        hearing.asked(at(3));
        hearing.heard(at(4));
        hearing.asked(at(5));
        hearing.excused(at(3));
        assert!(!hearing.is_lively(at(5), at(6)), "that question was answered");
    }
}
