//! Running time: monotonic time without the gaps in which the process did not run.
//!
//! A process that was stopped (SIGSTOP, a frozen container, a stolen CPU) finds every deadline passed when it goes on, though
//! it had no chance to read the answers that came meanwhile. So a gap is taken out of the clock: what is armed moves by its
//! length, and what has waited has waited for as long as the process ran.
//!
//! A gap is found by whichever thread reads the clock first after it. Threads that read the clock show that the process runs (a
//! *sign*); one thread does nothing but give a sign every [`RunningClock::PULSE`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Gaps that are kept one by one; older ones count as one.
const KEPT: usize = 64;

/// All gaps so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockPauses {
    /// How many.
    pub count: u64,
    /// Their length in all.
    pub total: Duration,
    /// The length of the last one.
    pub last: Duration,
}

/// See the module. All times in microseconds; *running* times have the gaps taken out.
pub(super) struct RunningClock {
    /// The length of all gaps.
    lost: AtomicU64,
    /// The newest sign, in running time; 0 = gaps are not looked for.
    sign: AtomicU64,
    /// The end of the last gap, in running time; 0 = there was none.
    resumed: AtomicU64,
    count: AtomicU64,
    gaps: Mutex<ClockGaps>,
}

#[derive(Default)]
struct ClockGaps {
    /// Running time and length of each, the newest last.
    kept: Vec<(u64, u64)>,
}

impl RunningClock {
    /// How often a sign is given at least.
    pub(super) const PULSE: Duration = Duration::from_millis(25);
    /// Signs that are closer than this are not worth a write.
    const SIGN: u64 = 10_000;
    /// No sign for so long: the process did not run. Several pulses, so that a thread which is only late makes no gap.
    const GAP: u64 = 100_000;

    pub(super) const fn new() -> RunningClock {
        RunningClock {
            lost: AtomicU64::new(0),
            sign: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            count: AtomicU64::new(0),
            gaps: Mutex::new(ClockGaps { kept: Vec::new() }),
        }
    }

    /// Look for gaps from now on. From here on some thread must give signs.
    pub(super) fn watch(&self, raw: u64) {
        let _gaps = self.gaps();
        self.sign.store(raw.saturating_sub(self.lost.load(Ordering::Relaxed)), Ordering::Release);
    }

    /// The running time at this raw time, which is now.
    #[inline]
    pub(super) fn at(&self, raw: u64) -> u64 {
        // A gap is taken out by two values, the sign first. Read twice the same, the sign does not belong to the time before a gap whose
        // length is in `lost` already. A newer sign with an older `lost` gives a time that is not within a sign of it. Under the lock
        // the two belong together.
        let sign = self.sign.load(Ordering::Acquire);
        let time = raw.saturating_sub(self.lost.load(Ordering::Acquire));
        if time.wrapping_sub(sign) < Self::SIGN && self.sign.load(Ordering::Relaxed) == sign {
            return time;
        }
        if sign == 0 { time } else { self.give_sign(raw) }
    }

    /// Gives a sign, and takes a gap out of the clock, unless another thread has done it meanwhile. The first moment after a gap is
    /// one sign later than the last one before it: later than all that was read before.
    #[cold]
    fn give_sign(&self, raw: u64) -> u64 {
        let mut gaps = self.gaps();
        let (sign, lost) = (self.sign.load(Ordering::Acquire), self.lost.load(Ordering::Relaxed));
        let time = raw.saturating_sub(lost);
        let since = time.saturating_sub(sign);
        if since < Self::SIGN {
            return time.max(sign);
        }
        if since < Self::GAP {
            self.sign.store(time, Ordering::Release);
            return time;
        }
        let resumed = sign + Self::SIGN;
        let length = time - resumed;
        gaps.add(resumed, length);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.resumed.store(resumed, Ordering::Release);
        self.sign.store(resumed, Ordering::Release);
        self.lost.store(lost + length, Ordering::Release);
        resumed
    }

    /// The running time at which the last gap ended; 0 = there was none.
    pub(super) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Acquire)
    }

    /// How many gaps there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// All gaps.
    pub(super) fn pauses(&self) -> ClockPauses {
        let gaps = self.gaps();
        ClockPauses {
            count: self.count(),
            total: Duration::from_micros(self.lost.load(Ordering::Relaxed)),
            last: Duration::from_micros(gaps.kept.last().map_or(0, |(_, length)| *length)),
        }
    }

    /// The length of the gaps since this running time.
    pub(super) fn lost_since(&self, time: u64) -> u64 {
        if self.resumed() <= time {
            return 0;
        }
        self.gaps().kept.iter().filter(|(at, _)| *at > time).map(|(_, length)| length).sum()
    }

    fn gaps(&self) -> MutexGuard<'_, ClockGaps> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockGaps {
    fn add(&mut self, at: u64, length: u64) {
        self.kept.push((at, length));
        if self.kept.len() > KEPT {
            let (_, oldest) = self.kept.remove(0);
            self.kept[0].1 += oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000_000;

    fn watched() -> RunningClock {
        let clock = RunningClock::new();
        clock.watch(START);
        clock
    }

    fn ms(ms: u64) -> u64 {
        START + ms * 1000
    }

    #[test]
    fn a_gap_is_taken_out_and_told_once() {
        let clock = watched();
        assert_eq!(clock.at(ms(20)), ms(20));
        assert_eq!(clock.at(ms(3_020)), ms(30));
        assert_eq!(clock.at(ms(3_025)), ms(35));
        assert_eq!(clock.at(ms(3_095)), ms(105));
        let length = Duration::from_millis(2_990);
        assert_eq!(clock.pauses(), ClockPauses { count: 1, total: length, last: length });
        assert_eq!(clock.resumed(), ms(30));
        assert_eq!((clock.lost_since(ms(20)), clock.lost_since(ms(30))), (2_990_000, 0));
    }

    #[test]
    fn a_thread_that_is_only_late_makes_no_gap() {
        let clock = watched();
        for at in [25, 50, 140, 230, 329] {
            assert_eq!(clock.at(ms(at)), ms(at));
        }
        assert_eq!(clock.pauses(), ClockPauses::default());
    }

    #[test]
    fn nothing_is_taken_out_of_a_clock_that_is_not_watched() {
        let clock = RunningClock::new();
        assert_eq!((clock.at(ms(0)), clock.at(ms(60_000))), (ms(0), ms(60_000)));
        assert_eq!(clock.pauses().count, 0);
    }

    #[test]
    fn who_was_stopped_between_two_reads_is_before_nobody() {
        let clock = watched();
        clock.at(ms(20));
        clock.at(ms(5_000));
        assert_eq!(clock.at(ms(21)), ms(30), "it read the raw time before the gap");
    }

    #[test]
    fn many_gaps_keep_their_sum() {
        let clock = watched();
        for n in 1..=100 {
            clock.at(ms(n * 1_000));
        }
        let pauses = clock.pauses();
        assert_eq!((pauses.count, pauses.total), (100, Duration::from_micros(clock.lost_since(0))));
        assert_eq!(clock.at(ms(100_000)), ms(1_000));
    }

    #[test]
    fn time_never_goes_back_whichever_threads_read_it() {
        let clock = watched();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut before = 0;
                    for step in 0..20_000u64 {
                        // Every thousandth step is a gap that all threads see at about the same time.
                        let now = clock.at(ms(step / 10 + step / 1_000 * 500));
                        assert!(now >= before, "{now} after {before}");
                        before = now;
                    }
                });
            }
        });
    }
}
