//! The schedule of one endpoint's check: a probe starts `interval` (in transition: `fast_interval`) after the start of the
//! one before, or as soon as that one has ended, if it took longer; never two at a time.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::probe::{Probe, ProbeResult};
use crate::config::HealthCheck;
use crate::decision::{EndpointId, Event};
use crate::sys::clock;
use crate::time::MonoTime;

/// Probes that are due within so short a time start together: the thread that makes thousands of them a second has one timer
/// for many.
const BEAT: Duration = Duration::from_millis(10);

/// The engine's requests to a running check. A repeated one has no further effect.
#[derive(Debug)]
pub(super) struct ProbeNudge {
    fast: AtomicBool,
    now: AtomicBool,
    told: Notify,
}

impl ProbeNudge {
    pub(super) fn new(fast: bool) -> ProbeNudge {
        ProbeNudge { fast: AtomicBool::new(fast), now: AtomicBool::new(false), told: Notify::new() }
    }

    /// Probe as soon as no probe is running: one that runs already may have asked before the fault.
    pub(super) fn now(&self) {
        self.now.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// From now on at `fast_interval`, or at `interval` again.
    pub(super) fn pace(&self, fast: bool) {
        self.fast.store(fast, Ordering::Release);
        self.told.notify_one();
    }

    pub(super) fn is_fast(&self) -> bool {
        self.fast.load(Ordering::Acquire)
    }
}

/// Probe until aborted, the first time after `wait`. When the engine's queue is full the check waits; no outcome is dropped.
pub(super) async fn run(
    endpoint: EndpointId,
    mut probe: Probe,
    check: HealthCheck,
    nudge: Arc<ProbeNudge>,
    wait: Duration,
    events: mpsc::Sender<Event>,
) {
    let mut stretch = PauseStretch::new(check.jitter);
    let first = clock::now().after(wait);
    turn(&nudge, |_| first).await;
    let mut fresh = true;
    loop {
        let start = clock::now();
        let ProbeResult { outcome, reach, share } = probe.run(check.timeout, fresh).await;
        let seen = clock::now();
        let reach = reach.map(|outcome| Event::ReachChecked { endpoint, seen, outcome });
        // (A share of 0 counts before the probe that stated it has passed.)
        let share = share.map(|percent| Event::ShareStated { endpoint, percent });
        for event in
            reach.into_iter().chain(share).chain([Event::Probed { endpoint, seen, began: Some(start), outcome }])
        {
            if events.send(event).await.is_err() {
                return;
            }
        }
        let factor = stretch.next();
        let due = |fast| start.after(if fast { check.fast_interval } else { check.interval }.mul_f64(factor));
        let told = turn(&nudge, due).await;
        // Doubt is settled on a new connection.
        fresh = told || nudge.is_fast();
    }
}

/// Wait for the next probe: until `due(fast)`, or a request to probe now. True = it was requested.
async fn turn(nudge: &ProbeNudge, due: impl Fn(bool) -> MonoTime) -> bool {
    while !nudge.now.swap(false, Ordering::AcqRel) {
        let due = due(nudge.is_fast());
        tokio::select! {
            () = clock::sleep_until(on_the_beat(due)) => return false,
            () = nudge.told.notified() => {}
        }
    }
    true
}

/// The first beat at or after this time. What is due already stays so.
fn on_the_beat(due: MonoTime) -> MonoTime {
    if due.since(clock::now()) < BEAT {
        return due;
    }
    MonoTime::from_micros(due.as_micros().next_multiple_of(BEAT.as_micros() as u64))
}

/// By how much each pause is stretched or shortened: `1 ± jitter`. The first pause is a random share of the interval, so
/// that checks which started together do not go on together.
struct PauseStretch {
    jitter: f64,
    first: bool,
    random: u64,
}

impl PauseStretch {
    fn new(jitter: f64) -> PauseStretch {
        PauseStretch { jitter, first: true, random: RandomState::new().hash_one(0) }
    }

    fn next(&mut self) -> f64 {
        let random = self.random();
        if std::mem::take(&mut self.first) && self.jitter > 0.0 {
            return 0.5 + random / 2.0;
        }
        1.0 + self.jitter * (2.0 * random - 1.0)
    }

    /// In 0..1 (splitmix64).
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_within_the_jitter() {
        let mut stretch = PauseStretch::new(0.1);
        assert!((0.5..=1.0).contains(&stretch.next()));
        let factors: Vec<f64> = (0..1000).map(|_| stretch.next()).collect();
        assert!(factors.iter().all(|f| (0.9..=1.1).contains(f)));
        assert!(factors.iter().any(|f| *f < 0.92) && factors.iter().any(|f| *f > 1.08));
    }

    #[test]
    fn without_jitter_every_pause_is_the_interval() {
        let mut stretch = PauseStretch::new(0.0);
        assert_eq!([stretch.next(), stretch.next(), stretch.next()], [1.0; 3]);
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(flavor = "current_thread")]
    async fn a_pace_told_during_the_pause_counts_at_once() {
        let nudge = ProbeNudge::new(false);
        let start = clock::now();
        let due = |fast| if fast { start } else { start.after(HOUR) };
        tokio::join!(turn(&nudge, due), async { nudge.pace(true) });
    }

    #[tokio::test(flavor = "current_thread")]
    async fn told_now_is_now_and_only_once() {
        let nudge = ProbeNudge::new(false);
        let start = clock::now();
        nudge.now();
        nudge.now();
        assert!(turn(&nudge, |_| start.after(HOUR)).await);
        let again = turn(&nudge, |_| start.after(HOUR));
        tokio::select! {
            biased;
            _ = again => panic!("told once more"),
            () = tokio::task::yield_now() => {}
        }
    }
}
