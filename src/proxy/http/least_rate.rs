//! The least rate of a body for which the client is waited for: a deadline that every byte moves a little.

use std::time::Duration;

use crate::time::MonoTime;

/// The least rate, in bytes per second.
const BYTES_PER_SECOND: u64 = 512;
const MICROS_PER_SECOND: u64 = 1_000_000;

/// The time that a client has left to go on with one body: to send a request's, or to take a response's.
///
/// It begins with the window (`timeouts.body`), passes only while the client is waited for, and every 512 bytes give back a
/// second of it, up to the window. So silence ends after one window, a body at the least rate or above goes on for ever, and
/// one below it ends after window ÷ (1 − rate ÷ 512 B/s).
#[derive(Clone, Copy, Debug)]
pub struct LeastRate {
    window: Duration,
    left: Duration,
    /// The client has been waited for since then, and `left` is as of then.
    waiting_since: Option<MonoTime>,
    /// Bytes that were counted.
    bytes: u64,
}

impl LeastRate {
    /// Nothing has moved, and the client is not waited for.
    pub fn new(window: Duration) -> LeastRate {
        LeastRate { window, left: window, waiting_since: None, bytes: 0 }
    }

    /// The client is waited for, and so many bytes have moved in all: the time by which more have to.
    pub fn deadline(&mut self, bytes: u64, now: MonoTime) -> MonoTime {
        self.count(bytes, now);
        self.waiting_since = Some(now);
        now.after(self.left)
    }

    /// Something other than the client is waited for: its time does not pass.
    pub fn pause(&mut self, bytes: u64, now: MonoTime) {
        self.count(bytes, now);
        self.waiting_since = None;
    }

    /// What a body at the least rate moves in one window (bytes).
    pub fn bytes_per_window(&self) -> u64 {
        let micros = u64::try_from(self.window.as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(BYTES_PER_SECOND) / MICROS_PER_SECOND
    }

    fn count(&mut self, bytes: u64, now: MonoTime) {
        let passed = self.waiting_since.map_or(Duration::ZERO, |since| now.since(since));
        let micros = bytes.saturating_sub(self.bytes).saturating_mul(MICROS_PER_SECOND) / BYTES_PER_SECOND;
        self.left = self.left.saturating_sub(passed).saturating_add(Duration::from_micros(micros)).min(self.window);
        self.bytes = bytes;
    }
}

/// What an exchange in progress waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateWait {
    /// The endpoint, to take or to send some.
    Upstream,
    /// The client, to send some of the request's body.
    Upload,
    /// The client, to take some of the answer.
    Download,
    /// Either side, for as long as it likes.
    Anything,
}

/// The rates of a request's body and of its answer.
pub(super) struct BodyRates {
    pub(super) upload: LeastRate,
    pub(super) download: LeastRate,
    /// What was waited for, and how much had moved, when the deadline was set.
    seen: Option<(RateWait, u64)>,
}

impl BodyRates {
    /// With the windows of both.
    pub(super) fn new(upload: Duration, download: Duration) -> BodyRates {
        BodyRates { upload: LeastRate::new(upload), download: LeastRate::new(download), seen: None }
    }

    /// Another part of the exchange begins: its deadline is to be set whatever was seen before.
    pub(super) fn restart(&mut self) {
        self.seen = None;
    }

    /// Has anything moved since the last call, or is something else waited for?
    pub(super) fn has_changed(&mut self, awaits: RateWait, moved: u64) -> bool {
        self.seen.replace((awaits, moved)) != Some((awaits, moved))
    }

    /// The deadline of what is waited for, now that `received` bytes of the request's body have come and `taken` of the
    /// answer have gone; `patience` where it has no rate.
    pub(super) fn deadline(
        &mut self,
        awaits: RateWait,
        (received, taken): (u64, u64),
        patience: Duration,
        now: MonoTime,
    ) -> MonoTime {
        self.upload.pause(received, now);
        self.download.pause(taken, now);
        match awaits {
            RateWait::Upload => self.upload.deadline(received, now),
            RateWait::Download => self.download.deadline(taken, now),
            RateWait::Upstream | RateWait::Anything => now.after(patience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    /// When a body that moves `bytes` every `pause_ms` is given up; `None`: not within ten hours.
    fn given_up_after_ms(bytes: u64, pause_ms: u64) -> Option<u64> {
        let mut rate = LeastRate::new(WINDOW);
        let mut deadline = rate.deadline(0, at(0));
        for step in 1..=36_000_000 / pause_ms {
            if deadline < at(step * pause_ms) {
                return Some(deadline.as_micros() / 1000);
            }
            deadline = rate.deadline(step * bytes, at(step * pause_ms));
        }
        None
    }

    #[test]
    fn a_body_below_the_least_rate_ends_and_one_at_it_goes_on() {
        assert_eq!(given_up_after_ms(0, 1000), Some(30_000));
        let drip = given_up_after_ms(1, 9000).unwrap();
        assert!((30_000..=30_010).contains(&drip), "a byte in nine seconds: {drip} ms");
        let half = given_up_after_ms(64, 250).unwrap();
        assert!((58_000..=62_000).contains(&half), "half of the least rate: {half} ms");
        assert!(given_up_after_ms(500, 1000).is_some());
        assert_eq!(given_up_after_ms(512, 1000), None);
        assert_eq!(given_up_after_ms(15_360, 29_000), None, "in bursts");
        assert_eq!(given_up_after_ms(1_000_000, 31_000), Some(30_000), "what is sent at once buys no longer silence");
    }

    #[test]
    fn time_in_which_something_else_is_waited_for_does_not_count() {
        let mut rate = LeastRate::new(WINDOW);
        assert_eq!(rate.deadline(0, at(0)), at(30_000));
        rate.pause(0, at(20_000));
        rate.pause(0, at(500_000));
        assert_eq!(rate.deadline(0, at(1_000_000)), at(1_010_000));
        assert_eq!(rate.deadline(512, at(1_001_000)), at(1_011_000));
        assert_eq!(rate.deadline(0, at(1_002_000)), at(1_011_000), "a count that goes back is none");
    }

    #[test]
    fn each_side_has_its_own_time_and_the_endpoint_takes_none_of_it() {
        let mut rates = BodyRates::new(WINDOW, WINDOW);
        let patience = Duration::from_secs(5);
        assert!(rates.has_changed(RateWait::Upload, 0) && !rates.has_changed(RateWait::Upload, 0));
        assert_eq!(rates.deadline(RateWait::Upload, (0, 0), patience, at(0)), at(30_000));
        assert!(rates.has_changed(RateWait::Upstream, 0) && rates.has_changed(RateWait::Upstream, 1));
        assert_eq!(rates.deadline(RateWait::Upstream, (0, 0), patience, at(10_000)), at(15_000));
        assert_eq!(rates.deadline(RateWait::Download, (0, 0), patience, at(60_000)), at(90_000));
        assert_eq!(rates.deadline(RateWait::Upload, (512, 0), patience, at(70_000)), at(91_000));
        assert_eq!(rates.deadline(RateWait::Download, (512, 512), patience, at(70_000)), at(91_000));
    }

    #[test]
    fn extreme_windows_and_counts_are_no_panic() {
        for window in [Duration::ZERO, Duration::MAX] {
            let mut rate = LeastRate::new(window);
            rate.deadline(u64::MAX, at(u64::MAX / 1000));
            rate.pause(0, at(0));
            rate.bytes_per_window();
        }
    }
}
