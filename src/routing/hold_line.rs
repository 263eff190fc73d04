//! The line of a service's held sessions, over all workers: oldest first, and at most `limits.release` of them have their turn
//! at once. Only the turn allows a session to connect, so that a promotion is not followed by a storm of connects.
//!
//! * A session takes its place when it begins to hold and has its turn as soon as fewer than `limits.release` others have
//!   theirs. While nothing serves, the oldest ones have it and wait for a newer table; the others sleep until their turn comes.
//! * A turn ends with the place: when the session has its connection, is refused, or its client has left. The oldest session
//!   that is still in line has the next one.
//! * A connect that fails ends no turn. The session keeps its place, which is among the oldest, and waits for a newer table.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

/// The line of one service. It only keeps the order: [`HeldPlace`](super::limits::HeldPlace) gives back what it has taken.
#[derive(Debug)]
pub struct HoldLine(Mutex<LineState>);

#[derive(Debug)]
struct LineState {
    /// Turns at once.
    most: usize,
    turns: usize,
    /// The number of the next place.
    next: u64,
    /// Places that have not had their turn, with the waker of the task that waits for it.
    waiting: BTreeMap<u64, Option<Waker>>,
}

type Wakers = SmallVec<[Waker; 4]>;

impl HoldLine {
    /// No session yet; so many turns at once.
    pub fn new(most: usize) -> HoldLine {
        HoldLine(Mutex::new(LineState { most, turns: 0, next: 0, waiting: BTreeMap::new() }))
    }

    /// A place at the end of the line. It has to be given back by [`HoldLine::leave`].
    pub fn enter(&self) -> u64 {
        let mut line = self.lock();
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, None);
        let wakers = line.grant();
        drop(line);
        wake(wakers);
        number
    }

    /// Waits for the turn of this place. Once `Ready`, it stays so.
    pub fn poll_turn(&self, number: u64, cx: &mut Context<'_>) -> Poll<()> {
        match self.lock().waiting.get_mut(&number) {
            None => Poll::Ready(()),
            Some(waker) => {
                if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Gives a place back, and its turn if it had one.
    pub fn leave(&self, number: u64) {
        let mut line = self.lock();
        if line.waiting.remove(&number).is_none() {
            line.turns -= 1;
        }
        let wakers = line.grant();
        drop(line);
        wake(wakers);
    }

    /// A reload changed how many turns there are at once. Those that are taken stay.
    pub fn resize(&self, most: usize) {
        let mut line = self.lock();
        line.most = most;
        let wakers = line.grant();
        drop(line);
        wake(wakers);
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineState {
    /// Gives free turns to the oldest places.
    fn grant(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while self.turns < self.most
            && let Some((_, waker)) = self.waiting.pop_first()
        {
            self.turns += 1;
            wakers.extend(waker);
        }
        wakers
    }
}

/// Outside the lock: a task that is woken may ask at once.
fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    fn has_turn(line: &HoldLine, number: u64) -> bool {
        line.poll_turn(number, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn turns(line: &HoldLine, numbers: &[u64]) -> Vec<bool> {
        numbers.iter().map(|number| has_turn(line, *number)).collect()
    }

    /// Turns, and places that wait for one.
    fn in_use(line: &HoldLine) -> (usize, usize) {
        let line = line.lock();
        (line.turns, line.waiting.len())
    }

    #[test]
    fn the_oldest_have_their_turn_and_no_more_than_allowed() {
        let line = HoldLine::new(2);
        let places: Vec<_> = (0..5).map(|_| line.enter()).collect();
        assert_eq!(turns(&line, &places), [true, true, false, false, false]);
        line.leave(places[3]);
        assert_eq!(turns(&line, &places[..3]), [true, true, false], "one that leaves the line frees no turn");
        line.leave(places[1]);
        assert_eq!(turns(&line, &[places[2], places[4]]), [true, false]);
        line.leave(places[0]);
        line.leave(places[2]);
        line.leave(places[4]);
        assert_eq!(in_use(&line), (0, 0));
    }

    #[test]
    fn a_turn_that_was_not_noticed_is_given_back_too() {
        let line = HoldLine::new(1);
        let (first, second) = (line.enter(), line.enter());
        line.leave(first);
        line.leave(second);
        assert_eq!(line.lock().turns, 0);
    }

    #[test]
    fn a_reload_changes_how_many_have_their_turn() {
        let line = HoldLine::new(1);
        let places: Vec<_> = (0..4).map(|_| line.enter()).collect();
        line.resize(3);
        assert_eq!(turns(&line, &places), [true, true, true, false]);
        line.resize(1);
        line.leave(places[0]);
        line.leave(places[1]);
        assert!(!has_turn(&line, places[3]), "one turn is taken, and there is one");
        line.leave(places[2]);
        assert!(has_turn(&line, places[3]));
    }

    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn only_the_task_whose_turn_has_come_is_woken() {
        let line = HoldLine::new(1);
        let places: Vec<_> = (0..3).map(|_| line.enter()).collect();
        let counted: Vec<_> = places.iter().map(|_| Arc::new(Counted(AtomicUsize::new(0)))).collect();
        for (number, counted) in places.iter().zip(&counted) {
            let _ = line.poll_turn(*number, &mut Context::from_waker(&Waker::from(Arc::clone(counted))));
        }
        line.leave(places[0]);
        let woken: Vec<_> = counted.iter().map(|counted| counted.0.load(SeqCst)).collect();
        assert_eq!(woken, [0, 1, 0]);
    }

    #[test]
    fn workers_share_the_turns() {
        let line = Arc::new(HoldLine::new(3));
        let most = Arc::new(AtomicUsize::new(0));
        let at_once = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (line, most, at_once) = (Arc::clone(&line), Arc::clone(&most), Arc::clone(&at_once));
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        let number = line.enter();
                        while !has_turn(&line, number) {
                            std::thread::yield_now();
                        }
                        most.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
                        at_once.fetch_sub(1, SeqCst);
                        line.leave(number);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(most.load(SeqCst) <= 3);
        assert_eq!(in_use(&line), (0, 0));
    }
}
