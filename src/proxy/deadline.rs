//! Deadlines and other interruptions of a worker's tasks: one coarse sweep per worker instead of a timer per read.
//!
//! Arming an alarm is a store. An alarm is queued once in a ring of ticks; when its tick comes and the deadline has been
//! moved since, it is queued again. So a connection that sets a new deadline at every read costs the ring one move in
//! seconds, not one a read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::routing::SessionVerdict;
use crate::sys::clock;
use crate::time::MonoTime;

/// The precision of every deadline of the data path: none fires early, none more than two ticks late.
pub const TICK: Duration = Duration::from_millis(10);
/// The ring's horizon in ticks; what lies beyond is looked at again when the horizon is reached.
const RING: u64 = 512;
/// What lies beyond the horizon is looked at together, every so many ticks: thousands of idle connections, each with a
/// deadline of its own minutes away, must not wake the worker at every tick.
const FAR: u64 = 64;
/// A sweep that comes so many ticks too late lets the sockets be read before it …
const LATE: u64 = 3;
/// … so often: the runtime takes a bounded number of events at once.
const READS: u32 = 8;
const NEVER: u64 = u64::MAX;

/// Why a task has to stop waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Its deadline has passed.
    Deadline,
    /// It was decided that it has to end ([`TaskKiller::kill`]).
    Killed,
}

/// A worker's alarms.
pub struct Deadlines {
    ring: RefCell<Vec<Vec<Rc<AlarmEntry>>>>,
    /// Ticks up to this one have been swept.
    swept: Cell<u64>,
    /// The tick until which the sweep waits.
    sleeping_to: Cell<u64>,
    earlier: Notify,
    /// Entries of ended tasks, some of them still queued: the next task takes them as they are.
    retired: RefCell<Vec<Rc<AlarmEntry>>>,
}

struct AlarmEntry {
    /// The deadline.
    at: Cell<u64>,
    /// The time at which another task ends it.
    end: Cell<u64>,
    queued: Cell<u64>,
    due: Cell<bool>,
    killed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl AlarmEntry {
    fn next(&self) -> u64 {
        self.at.get().min(self.end.get())
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

fn tick_of(at: MonoTime) -> u64 {
    at.as_micros().div_ceil(TICK.as_micros() as u64)
}

impl Deadlines {
    /// No alarms yet; `now` is where time begins.
    pub fn new(now: MonoTime) -> Rc<Deadlines> {
        Rc::new(Deadlines {
            ring: RefCell::new((0..RING).map(|_| Vec::new()).collect()),
            swept: Cell::new(tick_of(now)),
            sleeping_to: Cell::new(NEVER),
            earlier: Notify::new(),
            retired: RefCell::default(),
        })
    }

    /// An alarm for one task, not armed.
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        let entry = self.retired.borrow_mut().pop().unwrap_or_else(|| {
            Rc::new(AlarmEntry {
                at: Cell::new(NEVER),
                end: Cell::new(NEVER),
                queued: Cell::new(NEVER),
                due: Cell::new(false),
                killed: Cell::new(false),
                waker: RefCell::new(None),
            })
        });
        Alarm { entry, deadlines: self.clone() }
    }

    fn queue(&self, entry: Rc<AlarmEntry>) {
        let horizon = self.swept.get() + RING - 1;
        let next = entry.next();
        let tick = if next > horizon { horizon / FAR * FAR } else { next.max(self.swept.get() + 1) };
        entry.queued.set(tick);
        self.ring.borrow_mut()[(tick % RING) as usize].push(entry);
        if tick < self.sleeping_to.get() {
            self.sleeping_to.set(tick);
            self.earlier.notify_one();
        }
    }

    /// Wakes every task whose deadline has passed by `now`.
    fn sweep(&self, now: MonoTime) {
        let now = now.as_micros() / TICK.as_micros() as u64;
        let from = self.swept.get() + 1;
        if now < from {
            return;
        }
        self.swept.set(now);
        // First take, then fire: what is queued again may land in a slot of this very range, one turn of the ring later.
        let last = now.min(from + RING - 1);
        let taken: Vec<_> = {
            let mut ring = self.ring.borrow_mut();
            (from..=last).flat_map(|tick| std::mem::take(&mut ring[(tick % RING) as usize])).collect()
        };
        for entry in taken {
            self.fire(entry, now);
        }
    }

    fn fire(&self, entry: Rc<AlarmEntry>, now: u64) {
        if entry.queued.get() > now {
            return; // it has been queued again since, or fired already from an earlier tick
        }
        entry.queued.set(NEVER);
        if entry.end.get() <= now {
            entry.end.set(NEVER);
            entry.killed.set(true);
            entry.wake();
        }
        if entry.at.get() <= now {
            entry.at.set(NEVER);
            entry.due.set(true);
            entry.wake();
        }
        if entry.next() != NEVER {
            self.queue(entry);
        }
    }

    fn next_tick(&self) -> Option<u64> {
        let ring = self.ring.borrow();
        let from = self.swept.get() + 1;
        (from..from + RING).find(|tick| !ring[(tick % RING) as usize].is_empty())
    }

    /// Was the worker kept from sweeping: by a pause of the process, or by too much else to do? `pauses`: how many there were.
    fn is_behind(&self, now: MonoTime, pauses: &mut u64) -> bool {
        let late = now.as_micros() / TICK.as_micros() as u64 > self.sleeping_to.get().saturating_add(LATE);
        let paused = clock::pauses_seen();
        std::mem::replace(pauses, paused) != paused || late
    }

    /// Sweeps for as long as the worker lives. When it was kept from that, the sockets are read first: an answer that has
    /// arrived is not late.
    pub async fn run(self: Rc<Self>) {
        let mut pauses = clock::pauses_seen();
        loop {
            let next = self.next_tick();
            self.sleeping_to.set(next.unwrap_or(NEVER));
            match next {
                None => self.earlier.notified().await,
                Some(tick) => {
                    let wait = MonoTime::from_micros(tick * TICK.as_micros() as u64).since(clock::now());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.earlier.notified() => {}
                    }
                }
            }
            if self.is_behind(clock::now(), &mut pauses) {
                for _ in 0..READS {
                    tokio::task::yield_now().await;
                }
            }
            self.sweep(clock::now());
        }
    }
}

/// One task's alarm. Dropping it disarms it.
pub struct Alarm {
    entry: Rc<AlarmEntry>,
    deadlines: Rc<Deadlines>,
}

impl Alarm {
    /// Armed for `at`, whatever it was armed for before.
    pub fn set(&self, at: MonoTime) {
        let tick = tick_of(at);
        self.entry.at.set(tick);
        self.entry.due.set(false);
        if tick < self.entry.queued.get() {
            self.deadlines.queue(self.entry.clone());
        }
    }

    /// Armed for `at`, unless it was armed for an earlier time.
    pub fn hasten(&self, at: MonoTime) {
        if tick_of(at) < self.entry.at.get() {
            self.set(at);
        }
    }

    /// Not armed any more.
    pub fn clear(&self) {
        self.entry.at.set(NEVER);
        self.entry.due.set(false);
    }

    /// Ready when the deadline has passed (until it is set again) or the task was killed (for good).
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if self.entry.killed.get() {
            return Poll::Ready(Interrupt::Killed);
        }
        if self.entry.due.get() {
            return Poll::Ready(Interrupt::Deadline);
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Was the task killed? Then the alarm cannot be used for another one.
    pub fn is_killed(&self) -> bool {
        self.entry.killed.get()
    }

    /// A handle by which others may end the task.
    pub fn killer(&self) -> TaskKiller {
        TaskKiller { entry: self.entry.clone(), deadlines: self.deadlines.clone() }
    }

    /// Cancels a [kill at a later time](TaskKiller::kill_at): its reason is gone.
    pub fn pardon(&self) {
        self.entry.end.set(NEVER);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
        self.pardon();
        self.entry.waker.borrow_mut().take();
        // A killer that is still held elsewhere must not end the entry's next owner.
        let shared_with_killers = Rc::strong_count(&self.entry) > 1 + usize::from(self.entry.queued.get() != NEVER);
        if !shared_with_killers && !self.entry.killed.get() {
            self.deadlines.retired.borrow_mut().push(self.entry.clone());
        }
    }
}

/// A handle that ends a task from outside.
pub struct TaskKiller {
    entry: Rc<AlarmEntry>,
    deadlines: Rc<Deadlines>,
}

impl TaskKiller {
    /// Ends the task: its [`Alarm::poll`] returns [`Interrupt::Killed`] from now on.
    pub fn kill(&self) {
        self.entry.killed.set(true);
        self.entry.wake();
    }

    /// Like [`TaskKiller::kill`] at that time, unless [pardoned](Alarm::pardon) before. Of several times the earliest holds.
    pub fn kill_at(&self, at: MonoTime) {
        let tick = tick_of(at).min(self.entry.end.get());
        self.entry.end.set(tick);
        if tick < self.entry.queued.get() {
            self.deadlines.queue(self.entry.clone());
        }
    }

    /// Cancels a kill at a later time: its reason is gone.
    pub fn pardon(&self) {
        self.entry.end.set(NEVER);
    }

    /// Carries out a verdict on the task's session.
    pub fn apply(&self, verdict: SessionVerdict) {
        match verdict {
            SessionVerdict::Stay { .. } => self.pardon(),
            SessionVerdict::Drain { until } => self.kill_at(until),
            SessionVerdict::Close => self.kill(),
        }
    }

    /// Wakes the task.
    pub fn nudge(&self) {
        self.entry.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(1_000_000 + ms * 1000)
    }

    fn rung(alarm: &Alarm) -> Option<Interrupt> {
        match alarm.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(interrupt) => Some(interrupt),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_alarm_rings_at_its_deadline_and_not_before() {
        let deadlines = Deadlines::new(at(0));
        let alarm = deadlines.alarm();
        alarm.set(at(95));
        deadlines.sweep(at(94));
        assert_eq!(rung(&alarm), None);
        deadlines.sweep(at(100));
        assert_eq!(rung(&alarm), Some(Interrupt::Deadline));
        alarm.set(at(300));
        assert_eq!(rung(&alarm), None);
    }

    #[test]
    fn a_deadline_can_be_moved_both_ways() {
        let deadlines = Deadlines::new(at(0));
        let alarm = deadlines.alarm();
        alarm.set(at(1000));
        alarm.set(at(50));
        deadlines.sweep(at(60));
        assert_eq!(rung(&alarm), Some(Interrupt::Deadline));
        alarm.set(at(100));
        alarm.set(at(2000));
        deadlines.sweep(at(1500));
        assert_eq!(rung(&alarm), None);
        deadlines.sweep(at(2000));
        assert_eq!(rung(&alarm), Some(Interrupt::Deadline));
    }

    #[test]
    fn a_deadline_beyond_the_ring_is_kept() {
        let deadlines = Deadlines::new(at(0));
        let alarm = deadlines.alarm();
        alarm.set(at(3_600_000));
        for ms in (0..3_600_000).step_by(700) {
            deadlines.sweep(at(ms));
            assert_eq!(rung(&alarm), None, "at {ms}");
        }
        deadlines.sweep(at(3_600_000));
        assert_eq!(rung(&alarm), Some(Interrupt::Deadline));
    }

    #[test]
    fn a_long_pause_of_the_sweep_loses_no_alarm() {
        let deadlines = Deadlines::new(at(0));
        let alarms: Vec<_> = (1..2000).map(|n| (n, deadlines.alarm())).collect();
        alarms.iter().for_each(|(n, alarm)| alarm.set(at(n * 10)));
        deadlines.sweep(at(15_000));
        deadlines.sweep(at(15_010));
        for (n, alarm) in &alarms {
            assert_eq!(rung(alarm).is_some(), n * 10 <= 15_010, "alarm {n}");
        }
    }

    #[test]
    fn resetting_an_alarm_at_every_read_does_not_fill_the_ring() {
        let deadlines = Deadlines::new(at(0));
        let alarm = deadlines.alarm();
        for ms in 0..100_000 {
            alarm.set(at(ms + if ms % 2 == 0 { 100 } else { 60_000 }));
            deadlines.sweep(at(ms));
        }
        assert!(deadlines.ring.borrow().iter().map(Vec::len).sum::<usize>() < 100);
    }

    #[test]
    fn a_task_is_killed_at_its_time_unless_pardoned() {
        let deadlines = Deadlines::new(at(0));
        let (condemned, pardoned) = (deadlines.alarm(), deadlines.alarm());
        for alarm in [&condemned, &pardoned] {
            alarm.set(at(60_000));
            alarm.killer().kill_at(at(500));
            alarm.killer().kill_at(at(900));
        }
        pardoned.pardon();
        deadlines.sweep(at(400));
        assert_eq!((rung(&condemned), rung(&pardoned)), (None, None));
        deadlines.sweep(at(500));
        assert_eq!((rung(&condemned), rung(&pardoned)), (Some(Interrupt::Killed), None));
        (1..600).for_each(|n| deadlines.sweep(at(n * 100)));
        assert_eq!(rung(&pardoned), None);
        deadlines.sweep(at(60_000));
        assert_eq!(rung(&pardoned), Some(Interrupt::Deadline));
    }

    #[test]
    fn a_killed_task_stays_killed_and_its_entry_is_not_reused() {
        let deadlines = Deadlines::new(at(0));
        let alarm = deadlines.alarm();
        let killer = alarm.killer();
        killer.kill();
        assert_eq!(rung(&alarm), Some(Interrupt::Killed));
        alarm.set(at(10));
        assert_eq!(rung(&alarm), Some(Interrupt::Killed));
        assert!(alarm.is_killed() && !deadlines.alarm().is_killed());
        drop(alarm);
        assert_eq!(rung(&deadlines.alarm()), None);
        let second = deadlines.alarm();
        let killer = second.killer();
        drop(second);
        let third = deadlines.alarm();
        killer.kill();
        assert_eq!(rung(&third), None);
    }
}
