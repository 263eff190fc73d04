//! The one place that reads a clock.

use std::io;
use std::sync::Once;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::running::RunningClock;
use crate::time::MonoTime;

pub use super::running::ClockPauses;

/// What the clock shows when the machine starts: one year, in microseconds. So [`MonoTime::ZERO`] is always in the past and
/// can stand for "never" in an atomic, and what an earlier process saved as an age has a moment of its own in this one.
const START: u64 = 365 * 24 * 3600 * 1_000_000;

static RUNNING: RunningClock = RunningClock::new();

/// What failed so soon after a pause may have failed in it: the process did not run when the answer came.
const SHAKEN: Duration = Duration::from_millis(100);

/// The monotonic time now (`CLOCK_MONOTONIC`: time since the machine started), without the time in which this process was paused
/// since it is [watched](watch_for_pauses).
#[inline]
pub fn now() -> MonoTime {
    MonoTime::from_micros(RUNNING.at(raw()))
}

fn raw() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    START + now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// From now on a gap in which no thread of this process ran (SIGSTOP, a frozen container, a stolen CPU) is taken out of the clock:
/// what is armed moves by it. (A suspended machine stops the clock itself.)
///
/// # Errors
/// There cannot be another thread.
pub fn watch_for_pauses() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut started = Ok(());
    ONCE.call_once(|| {
        let spawned = thread::Builder::new().name("clock".to_owned()).spawn(|| {
            RUNNING.watch(raw());
            loop {
                thread::sleep(RunningClock::PULSE);
                now();
            }
        });
        started = spawned.map(drop);
    });
    started
}

/// All pauses so far.
pub fn pauses() -> ClockPauses {
    RUNNING.pauses()
}

/// How many there were.
pub fn pauses_seen() -> u64 {
    RUNNING.count()
}

/// Was the process paused since then?
pub fn paused_since(then: MonoTime) -> bool {
    now();
    RUNNING.resumed() > then.as_micros()
}

/// Has the process just gone on after a pause? Then what fails now says nothing about its peer.
pub fn has_just_resumed(now: MonoTime) -> bool {
    let resumed = RUNNING.resumed();
    resumed != 0 && now.since(MonoTime::from_micros(resumed)) < SHAKEN
}

/// How long the process was paused since then: what is to be added to an age in running time to get one in the world's, for records
/// that people read.
pub fn paused_for(since: MonoTime) -> Duration {
    Duration::from_micros(RUNNING.lost_since(since.as_micros()))
}

/// Sleeps until then. A pause of the process moves it.
pub async fn sleep_until(then: MonoTime) {
    loop {
        let wait = then.since(now());
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// Wall-clock time, in whole milliseconds: for what ends on a day, never for decisions.
pub fn wall_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_millis())
}

/// Wall-clock time in milliseconds since the Unix epoch: for records that people read, never for decisions.
pub fn unix_millis() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
