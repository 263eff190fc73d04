//! A gate before the connects to one endpoint: at most so many are under way at once from one worker, and requests beyond that
//! wait in line, first in first out, for whichever comes first: a connection that an exchange gives back, or a permit to connect.
//!
//! Without it a burst of requests that finds no idle connection, as after a switch to a standby, is a burst of connects: a
//! connect costs its worker about four times as much as an exchange, and the first request is sent when the last connect has
//! begun. With it the first ones are answered meanwhile, and their connections serve most of the others.
//!
//! * A request takes a permit at once while there is one. There are waiting requests only while no permit is left, and each
//!   permit that comes back goes to the first of them: so a connect is under way as long as a request waits.
//! * A connection that is given back goes to the first waiting request and not to the idle pool: a newcomer does not overtake.
//! * A connect that ends without a connection lets all waiting requests go: each connects for itself, as if there were no gate. The
//!   verdict on an endpoint that refuses is not slowed down, and no request fails for a connect that it did not make.
//!
//! The types here only keep the order. [`FirstConnect`](super::first_connect::FirstConnect) gives back what a request holds when
//! it leaves.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::decision::EndpointId;
use crate::time::MonoTime;

/// Connects to one endpoint under way at once from one worker, for each [`PACE`] of a round trip to it. Sixteen a millisecond are
/// about what a worker can do beside its exchanges (20 µs each, TLS many times that): with fewer it would be idle, and more would
/// only delay what has been answered. Few services have more than sixteen requests at once that find no idle connection; the
/// others never meet the gate.
const AT_ONCE: usize = 16;
/// The round trip for which [`AT_ONCE`] are enough. An endpoint that is farther away gets as many more at once: it is the rate of
/// connects that costs something, and sixteen at a time would be 320 a second over a round trip of 50 ms. (How long a connect
/// takes says less: where the worker or the endpoint has too much to do, it takes longer, and more at once would make it worse.)
const PACE: Duration = Duration::from_millis(1);
/// The longest round trip that the limit follows: beyond 64 ms an endpoint gets no more connects at once.
const FARTHEST: Duration = Duration::from_millis(64);
/// A measured round trip counts for so long: the way may have become another.
const MEASURED_FOR: Duration = Duration::from_secs(30);

/// One worker's gates by endpoint. `T` is a connection.
pub struct DialGates<T> {
    gates: RefCell<BTreeMap<EndpointId, Rc<DialGate<T>>>>,
    /// Requests that wait in line, over all gates.
    waiting: Rc<Cell<usize>>,
}

/// The gate of one endpoint.
pub struct DialGate<T> {
    /// Permits in use or granted.
    connecting: Cell<usize>,
    /// The shortest round trip of late, and until when it counts.
    round_trip: Cell<Option<(Duration, MonoTime)>>,
    /// The first of it has not left.
    line: RefCell<VecDeque<Rc<LineEntry<T>>>>,
    waiting: Rc<Cell<usize>>,
}

/// A waiting request. It is in the line until something is granted to it.
struct LineEntry<T> {
    granted: Cell<Option<LineGrant<T>>>,
    waker: Cell<Option<Waker>>,
    /// Its request has left.
    left: Cell<bool>,
}

/// What a waiting request gets.
enum LineGrant<T> {
    Permit,
    Connection(T),
}

/// A request's turn at a gate. It has to be given back by one of the functions of [`DialGate`] that take it.
#[must_use]
pub struct GateTurn<T>(TurnState<T>);

enum TurnState<T> {
    /// It has a permit.
    Connecting,
    Waiting(Rc<LineEntry<T>>),
    /// It was given a connection.
    Served,
}

impl<T> Default for DialGates<T> {
    fn default() -> DialGates<T> {
        DialGates { gates: RefCell::default(), waiting: Rc::default() }
    }
}

impl<T> DialGates<T> {
    /// The gate of an endpoint.
    pub fn gate(&self, endpoint: EndpointId) -> Rc<DialGate<T>> {
        let mut gates = self.gates.borrow_mut();
        Rc::clone(gates.entry(endpoint).or_insert_with(|| Rc::new(DialGate::new(&self.waiting))))
    }

    /// Does any request wait in line, at whichever gate?
    #[inline]
    pub fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Gives a connection that has become free to the first request that waits for one to this endpoint. It is returned where
    /// no request does.
    pub fn offer(&self, endpoint: EndpointId, connection: T) -> Option<T> {
        match self.gates.borrow().get(&endpoint) {
            Some(gate) => gate.offer(connection),
            None => Some(connection),
        }
    }

    /// Forgets gates that are not in use, and round trips that were measured too long ago.
    pub fn sweep(&self, now: MonoTime) {
        self.gates.borrow_mut().retain(|_, gate| {
            gate.round_trip.set(gate.round_trip.get().filter(|(_, until)| now < *until));
            gate.connecting.get() > 0 || Rc::strong_count(gate) > 1
        });
    }
}

impl<T> DialGate<T> {
    fn new(waiting: &Rc<Cell<usize>>) -> DialGate<T> {
        DialGate {
            connecting: Cell::new(0),
            round_trip: Cell::new(None),
            line: RefCell::default(),
            waiting: Rc::clone(waiting),
        }
    }

    /// A request comes: it takes a permit, or a place at the end of the line.
    pub fn enter(&self) -> GateTurn<T> {
        self.turn(VecDeque::push_back)
    }

    /// The connection that this turn came to was no longer usable: a permit, or the first place in the line.
    pub fn enter_again(&self, turn: GateTurn<T>) -> GateTurn<T> {
        debug_assert!(matches!(turn.0, TurnState::Served), "it was given a connection");
        self.turn(VecDeque::push_front)
    }

    fn turn(&self, join: impl FnOnce(&mut VecDeque<Rc<LineEntry<T>>>, Rc<LineEntry<T>>)) -> GateTurn<T> {
        if self.connecting.get() < self.most() {
            self.connecting.set(self.connecting.get() + 1);
            return GateTurn(TurnState::Connecting);
        }
        let entry = Rc::new(LineEntry { granted: Cell::new(None), waker: Cell::new(None), left: Cell::new(false) });
        join(&mut self.line.borrow_mut(), Rc::clone(&entry));
        self.waiting.set(self.waiting.get() + 1);
        GateTurn(TurnState::Waiting(entry))
    }

    /// The first request in line gets this connection, which is returned where there is none.
    fn offer(&self, connection: T) -> Option<T> {
        match self.first() {
            Some(first) => first.grant(LineGrant::Connection(connection)),
            None => return Some(connection),
        }
        None
    }

    /// A connect under this turn has ended with a connection. `round_trip` is asked where requests wait.
    pub fn connected(&self, turn: GateTurn<T>, now: MonoTime, round_trip: impl FnOnce() -> Option<Duration>) {
        if (!self.line.borrow().is_empty() || self.round_trip.get().is_some())
            && let Some(took) = round_trip()
        {
            let measured = (took.min(FARTHEST), now.after(MEASURED_FOR));
            // A longer one is news only when the shorter one no longer counts.
            let shortest = self.round_trip.get().filter(|(shortest, _)| *shortest < measured.0);
            self.round_trip.set(Some(shortest.unwrap_or(measured)));
        }
        self.give_back(&turn);
    }

    /// … without one: all waiting requests may connect.
    pub fn failed(&self, turn: GateTurn<T>) {
        self.give_back(&turn);
        while let Some(first) = self.first() {
            self.permit(&first);
        }
    }

    /// The request leaves. Returned is the connection that it was given and has not taken: it is another one's.
    pub fn leave(&self, turn: GateTurn<T>) -> Option<T> {
        if let TurnState::Waiting(entry) = &turn.0 {
            match entry.granted.take() {
                Some(LineGrant::Connection(connection)) => return Some(connection),
                Some(LineGrant::Permit) => self.free_permit(),
                None => {
                    // It is skipped when its place comes up: a long line whose requests all leave costs each of them the same.
                    entry.left.set(true);
                    self.waiting.set(self.waiting.get() - 1);
                    self.drop_left();
                }
            }
        }
        self.give_back(&turn);
        None
    }

    fn give_back(&self, turn: &GateTurn<T>) {
        if let TurnState::Connecting = turn.0 {
            self.free_permit();
        }
    }

    fn free_permit(&self) {
        self.connecting.set(self.connecting.get() - 1);
        while self.connecting.get() < self.most() {
            let Some(first) = self.first() else { return };
            self.permit(&first);
        }
    }

    fn permit(&self, entry: &LineEntry<T>) {
        self.connecting.set(self.connecting.get() + 1);
        entry.grant(LineGrant::Permit);
    }

    /// The first in line, which leaves it.
    fn first(&self) -> Option<Rc<LineEntry<T>>> {
        let first = self.line.borrow_mut().pop_front()?;
        self.drop_left();
        self.waiting.set(self.waiting.get() - 1);
        Some(first)
    }

    /// Takes requests that have left out of the front of the line.
    fn drop_left(&self) {
        let mut line = self.line.borrow_mut();
        while line.front().is_some_and(|entry| entry.left.get()) {
            line.pop_front();
        }
    }

    /// How many connects may be under way at once.
    fn most(&self) -> usize {
        let paces = self.round_trip.get().map_or(1, |(shortest, _)| shortest.as_micros() / PACE.as_micros());
        usize::try_from(paces.max(1)).unwrap_or(usize::MAX).saturating_mul(AT_ONCE)
    }
}

impl<T> GateTurn<T> {
    /// Does it wait in line?
    pub fn waits(&self) -> bool {
        matches!(self.0, TurnState::Waiting(_))
    }

    /// `Ready(None)`: it has a permit to connect.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let TurnState::Waiting(entry) = &self.0 else { return Poll::Ready(None) };
        match entry.granted.take() {
            Some(LineGrant::Permit) => {
                self.0 = TurnState::Connecting;
                Poll::Ready(None)
            }
            Some(LineGrant::Connection(connection)) => {
                self.0 = TurnState::Served;
                Poll::Ready(Some(connection))
            }
            None => {
                entry.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> LineEntry<T> {
    fn grant(&self, what: LineGrant<T>) {
        self.granted.set(Some(what));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    const HOME: EndpointId = EndpointId(1);

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    /// What a turn has come to.
    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Waits,
        Permit,
        Connection(u32),
    }

    struct GateFixture {
        gates: DialGates<u32>,
        gate: Rc<DialGate<u32>>,
    }

    impl GateFixture {
        fn new() -> GateFixture {
            let gates = DialGates::default();
            let gate = gates.gate(HOME);
            GateFixture { gates, gate }
        }

        /// All permits are in use, and so many requests wait.
        fn full(waiting: usize) -> (GateFixture, Vec<GateTurn<u32>>, VecDeque<GateTurn<u32>>) {
            let rig = GateFixture::new();
            let mut connecting: Vec<_> = (0..AT_ONCE).map(|_| rig.gate.enter()).collect();
            assert!(connecting.iter_mut().all(|turn| seen(turn) == Seen::Permit));
            let mut line: VecDeque<_> = (0..waiting).map(|_| rig.gate.enter()).collect();
            assert!(line.iter_mut().all(|turn| seen(turn) == Seen::Waits));
            assert_eq!(rig.gates.waiting.get(), waiting);
            (rig, connecting, line)
        }

        fn offer(&self, connection: u32) -> Option<u32> {
            self.gates.offer(HOME, connection)
        }

        /// Everything was given back.
        fn is_unused(&self) -> bool {
            let unused = self.gate.connecting.get() == 0 && self.gate.line.borrow().is_empty();
            unused && self.gates.waiting.get() == 0
        }
    }

    fn seen(turn: &mut GateTurn<u32>) -> Seen {
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Seen::Waits,
            Poll::Ready(None) => Seen::Permit,
            Poll::Ready(Some(connection)) => Seen::Connection(connection),
        }
    }

    #[test]
    fn a_connection_goes_to_the_first_in_line() {
        let (rig, connecting, mut line) = GateFixture::full(3);
        let mut newcomer = rig.gate.enter();
        assert_eq!((rig.offer(7), rig.offer(8)), (None, None));
        let all: Vec<_> = line.iter_mut().map(seen).collect();
        assert_eq!(all, [Seen::Connection(7), Seen::Connection(8), Seen::Waits]);
        assert_eq!(seen(&mut newcomer), Seen::Waits);
        assert_eq!((rig.offer(9), rig.offer(10)), (None, None));
        assert_eq!((seen(&mut line[2]), seen(&mut newcomer)), (Seen::Connection(9), Seen::Connection(10)));
        assert_eq!(rig.offer(11), Some(11), "no request waits");
        assert_eq!(rig.gates.offer(EndpointId(2), 12), Some(12), "nor elsewhere");
        let turns = line.into_iter().chain([newcomer]).chain(connecting);
        assert!(turns.map(|turn| rig.gate.leave(turn)).all(|left| left.is_none()));
        assert!(rig.is_unused());
    }

    #[test]
    fn a_permit_that_comes_back_goes_to_the_first_in_line() {
        let (rig, mut connecting, mut line) = GateFixture::full(3);
        rig.gate.connected(connecting.pop().unwrap(), at(0), || Some(Duration::from_micros(40)));
        let all: Vec<_> = line.iter_mut().map(seen).collect();
        assert_eq!(all, [Seen::Permit, Seen::Waits, Seen::Waits]);
        assert_eq!(rig.gate.connecting.get(), AT_ONCE);
        assert_eq!(rig.gate.leave(line.pop_front().unwrap()), None, "its connect is given up");
        assert_eq!((seen(&mut line[0]), seen(&mut line[1])), (Seen::Permit, Seen::Waits));
    }

    #[test]
    fn one_endpoint_does_not_wait_for_another() {
        let (rig, _connecting, _line) = GateFixture::full(1);
        let other = rig.gates.gate(EndpointId(2));
        assert_eq!(seen(&mut other.enter()), Seen::Permit);
    }

    #[test]
    fn a_failed_connect_lets_all_go() {
        let (rig, mut connecting, mut line) = GateFixture::full(500);
        rig.gate.failed(connecting.pop().unwrap());
        assert!(line.iter_mut().all(|turn| seen(turn) == Seen::Permit));
        assert_eq!(rig.gate.connecting.get(), AT_ONCE - 1 + 500);
        let mut newcomer = rig.gate.enter();
        assert_eq!(seen(&mut newcomer), Seen::Waits, "until a further one fails");
        rig.gate.failed(line.pop_back().unwrap());
        assert_eq!(seen(&mut newcomer), Seen::Permit);
        let turns = line.into_iter().chain([newcomer]).chain(connecting);
        turns.for_each(|turn| assert_eq!(rig.gate.leave(turn), None));
        assert!(rig.is_unused());
    }

    #[test]
    fn what_leaves_in_any_state_takes_nothing_with_it() {
        let (rig, mut connecting, mut line) = GateFixture::full(5);
        // In line.
        assert_eq!(rig.gate.leave(line.remove(1).unwrap()), None);
        assert_eq!(rig.gates.waiting.get(), 4);
        // With a connection that it has not looked at.
        assert_eq!(rig.offer(7), None);
        let left = rig.gate.leave(line.pop_front().unwrap());
        assert_eq!(left, Some(7));
        assert_eq!(rig.offer(left.unwrap()), None, "the next one takes it");
        let mut served = line.pop_front().unwrap();
        assert_eq!(seen(&mut served), Seen::Connection(7));
        // With a connection that it has taken.
        assert_eq!(rig.gate.leave(served), None);
        // With a permit that it has not looked at.
        rig.gate.connected(connecting.pop().unwrap(), at(0), || Some(Duration::from_micros(40)));
        assert_eq!(rig.gate.leave(line.pop_front().unwrap()), None);
        assert_eq!(rig.gate.connecting.get(), AT_ONCE);
        assert_eq!(seen(&mut line[0]), Seen::Permit, "passed on");
        // Connecting.
        connecting.into_iter().chain(line).for_each(|turn| assert_eq!(rig.gate.leave(turn), None));
        assert!(rig.is_unused());
    }

    #[test]
    fn a_connection_that_is_of_no_use_costs_no_place() {
        let (rig, mut connecting, mut line) = GateFixture::full(2);
        assert_eq!(rig.offer(7), None);
        let mut first = line.pop_front().unwrap();
        assert_eq!(seen(&mut first), Seen::Connection(7));
        let mut first = rig.gate.enter_again(first);
        assert_eq!(rig.offer(8), None);
        assert_eq!((seen(&mut first), seen(&mut line[0])), (Seen::Connection(8), Seen::Waits));
        connecting.drain(..).for_each(|turn| rig.gate.connected(turn, at(0), || Some(Duration::from_micros(40))));
        assert_eq!(seen(&mut rig.gate.enter_again(first)), Seen::Permit, "there are permits again");
    }

    #[test]
    fn an_endpoint_far_away_gets_more_connects_at_once() {
        let (rig, mut connecting, mut line) = GateFixture::full(100);
        rig.gate.connected(connecting.pop().unwrap(), at(0), || Some(Duration::from_micros(4_500)));
        let granted = line.iter_mut().map(seen).filter(|seen| *seen == Seen::Permit).count();
        assert_eq!(granted, 4 * AT_ONCE - connecting.len());
        rig.gate.connected(connecting.pop().unwrap(), at(0), || Some(Duration::from_micros(900)));
        assert_eq!(rig.gate.most(), AT_ONCE, "the shortest one counts");
        rig.gates.sweep(at(29));
        assert_eq!(rig.gate.round_trip.get(), Some((Duration::from_micros(900), at(30))), "for some time");
        rig.gates.sweep(at(30));
        assert_eq!(rig.gate.round_trip.get(), None);
    }

    #[test]
    fn the_limit_follows_no_round_trip_beyond_the_farthest() {
        let (rig, mut connecting, _line) = GateFixture::full(1);
        rig.gate.connected(connecting.pop().unwrap(), at(0), || Some(Duration::from_secs(60)));
        assert_eq!(rig.gate.most(), 64 * AT_ONCE);
    }

    #[test]
    fn a_line_that_leaves_as_a_whole_is_skipped() {
        let (rig, connecting, mut line) = GateFixture::full(1000);
        let mut last = line.pop_back().unwrap();
        line.into_iter().for_each(|turn| assert_eq!(rig.gate.leave(turn), None));
        assert_eq!((rig.gates.waiting.get(), rig.gate.line.borrow().len()), (1, 1));
        assert_eq!((rig.offer(7), seen(&mut last)), (None, Seen::Connection(7)));
        connecting.into_iter().chain([last]).for_each(|turn| assert_eq!(rig.gate.leave(turn), None));
        assert!(rig.is_unused());
    }

    #[test]
    fn gates_that_are_not_in_use_are_forgotten() {
        let gates = DialGates::<u32>::default();
        let turn = gates.gate(HOME).enter();
        gates.sweep(at(0));
        assert_eq!(gates.gates.borrow().len(), 1);
        assert_eq!(gates.gate(HOME).leave(turn), None);
        gates.sweep(at(0));
        assert_eq!(gates.gates.borrow().len(), 0);
    }

    #[test]
    fn what_is_granted_wakes_its_request_and_no_other() {
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let (rig, mut connecting, mut line) = GateFixture::full(3);
        let woken: Vec<_> = (0..3).map(|_| Arc::<Count>::default()).collect();
        for (turn, count) in line.iter_mut().zip(&woken) {
            assert!(turn.poll(&mut Context::from_waker(&Waker::from(Arc::clone(count)))).is_pending());
        }
        let counts = || woken.iter().map(|count| count.0.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!(rig.offer(7), None);
        assert_eq!(counts(), [1, 0, 0]);
        rig.gate.connected(connecting.pop().unwrap(), at(0), || None);
        assert_eq!(counts(), [1, 1, 0]);
        rig.gate.failed(connecting.pop().unwrap());
        assert_eq!(counts(), [1, 1, 1]);
    }
}
