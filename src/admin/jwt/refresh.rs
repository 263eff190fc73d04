//! [`RefreshSchedule`]: when an issuer is asked for its keys, and when it has to be told that they are old. Pure: the time is an
//! argument.

use std::time::Duration;

use crate::time::MonoTime;

/// Between two answers.
const EVERY: Duration = Duration::from_secs(600);
/// Least time between two times that a token with an unknown key has it asked.
const HURRY: Duration = Duration::from_secs(30);
/// After the first of several failures; it doubles up to [`EVERY`].
const RETRY: Duration = Duration::from_secs(15);
/// Keys that could not be fetched again for so long are told in the status.
const OLD: Duration = Duration::from_secs(3600);

/// Keys that could not be fetched again for so long are not good any more.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// What is known of the attempts.
#[derive(Debug)]
pub(super) struct RefreshSchedule {
    /// The last attempt that was begun, or asked for.
    attempted: Option<MonoTime>,
    succeeded: Option<MonoTime>,
    /// Failures since then.
    failures: u32,
    /// An attempt is under way or about to begin.
    running: bool,
    problem: Option<String>,
}

impl RefreshSchedule {
    /// Nothing was asked; the first attempt is about to begin.
    pub fn new() -> RefreshSchedule {
        RefreshSchedule { attempted: None, succeeded: None, failures: 0, running: true, problem: None }
    }

    /// An attempt begins.
    pub fn begins(&mut self, now: MonoTime) {
        (self.attempted, self.running) = (Some(now), true);
    }

    /// It has brought keys.
    pub fn succeeds(&mut self, now: MonoTime) {
        *self = RefreshSchedule { succeeded: Some(now), running: false, failures: 0, problem: None, ..*self };
    }

    /// It has brought none. Is it another problem than the last one?
    pub fn fails(&mut self, problem: String) -> bool {
        self.running = false;
        self.failures = self.failures.saturating_add(1);
        let is_other = self.problem.as_ref() != Some(&problem);
        self.problem = Some(problem);
        is_other
    }

    /// Could the keys not be fetched again for so long that they may have been withdrawn meanwhile?
    pub fn is_stale(&self, now: MonoTime) -> bool {
        self.succeeded.is_some_and(|succeeded| now.since(succeeded) >= STALE)
    }

    /// Is an attempt under way?
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// A token has a key that is unknown: may the issuer be asked at once? If so the attempt counts as begun.
    pub fn hurries(&mut self, now: MonoTime) -> bool {
        let may = !self.running && self.attempted.is_none_or(|attempted| now.since(attempted) >= HURRY);
        if may {
            self.begins(now);
        }
        may
    }

    /// From the end of an attempt to the next one. `spread`: from 0 to 1, so that many instances do not ask at once.
    pub fn pause(&self, spread: f64) -> Duration {
        let pause = match self.failures {
            0 => EVERY,
            failures => RETRY.saturating_mul(1 << (failures - 1).min(16)).min(EVERY),
        };
        pause.mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0))
    }

    /// What is to be told of the keys: there are none, or they are old.
    pub fn trouble(&self, now: MonoTime) -> Option<String> {
        let problem = self.problem.as_ref()?;
        match self.succeeded {
            None => Some(format!("they could not be fetched yet: {problem}")),
            Some(succeeded) if now.since(succeeded) >= OLD => {
                let minutes = now.since(succeeded).as_secs() / 60;
                Some(format!(
                    "they could not be fetched again for {minutes} minutes: {problem}; the last ones stay in force"
                ))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn failures_are_tried_again_sooner_and_ever_later() {
        let mut schedule = RefreshSchedule::new();
        assert!(schedule.is_running());
        schedule.begins(at(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.fails("refused".to_owned());
            pauses.push(schedule.pause(0.5).as_secs());
        }
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 600, 600]);
        for _ in 0..100 {
            schedule.fails("refused".to_owned());
        }
        assert_eq!(schedule.pause(0.5), EVERY);
        schedule.succeeds(at(9));
        assert_eq!([0.0, 0.5, 1.0, 7.0].map(|spread| schedule.pause(spread).as_secs()), [540, 600, 660, 660]);
    }

    #[test]
    fn an_unknown_key_has_the_issuer_asked_once_in_30_seconds() {
        let mut schedule = RefreshSchedule::new();
        assert!(!schedule.hurries(at(0)), "the first attempt is about to begin");
        schedule.begins(at(0));
        schedule.succeeds(at(1));
        assert!(!schedule.hurries(at(29)));
        assert!(schedule.hurries(at(30)) && schedule.is_running());
        assert!(!schedule.hurries(at(90)), "it is under way");
        schedule.fails("no".to_owned());
        assert!(!schedule.hurries(at(59)) && schedule.hurries(at(60)));
    }

    #[test]
    fn keys_are_told_of_when_they_are_an_hour_old_or_were_never_there() {
        let mut schedule = RefreshSchedule::new();
        assert_eq!(schedule.trouble(at(9999)), None, "nothing has failed");
        assert!(schedule.fails("refused".to_owned()) && !schedule.fails("refused".to_owned()));
        assert_eq!(schedule.trouble(at(0)).as_deref(), Some("they could not be fetched yet: refused"));
        schedule.succeeds(at(100));
        assert_eq!(schedule.trouble(at(100)), None);
        assert!(schedule.fails("refused".to_owned()), "it is said again");
        assert_eq!(schedule.trouble(at(3699)), None);
        let trouble = schedule.trouble(at(3700)).expect("an hour");
        assert!(trouble.contains("for 60 minutes: refused; the last ones stay"), "{trouble}");
        assert!(!schedule.is_stale(at(100 + 86_399)) && schedule.is_stale(at(100 + 86_400)));
        schedule.succeeds(at(3701));
        assert_eq!(schedule.trouble(at(99_999)), None);
    }
}
