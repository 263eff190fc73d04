//! The switch protocol of `routing::protocol` under many schedules, on cells of the schedule explorer: what the module
//! promises holds in every one of them, and each order that looks as good but is not is caught.
#![allow(unused_qualifications, reason = "`std::sync::Arc` is not of the explorer, whatever that names again")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64 as PlainU64, Ordering::SeqCst};

use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use standfast::routing::protocol::{NumberedTable, PublishBoard, SharedNumber, SharedSlot};

/// A table is its number.
struct Table(u64);

impl NumberedTable for Table {
    fn epoch(&self) -> u64 {
        self.0
    }
}

/// Stands in `ArcSwap`'s place.
struct Cell(Mutex<std::sync::Arc<Table>>);

impl SharedSlot<Table> for Cell {
    fn load(&self) -> std::sync::Arc<Table> {
        std::sync::Arc::clone(&self.0.lock().unwrap())
    }
    fn store(&self, table: std::sync::Arc<Table>) {
        *self.0.lock().unwrap() = table;
    }
}

struct Counter(AtomicU64);

impl SharedNumber for Counter {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }
    fn store(&self, value: u64) {
        self.0.store(value, SeqCst);
    }
}

type TestBoard = PublishBoard<Cell, Counter>;

fn board() -> Arc<TestBoard> {
    Arc::new(PublishBoard::new(Cell(Mutex::new(std::sync::Arc::new(Table(1)))), number(), number()))
}

fn number() -> Counter {
    Counter(AtomicU64::new(1))
}

fn table(epoch: u64) -> std::sync::Arc<Table> {
    std::sync::Arc::new(Table(epoch))
}

/// A session: the epoch it began under, and whether a sweep has told it to end.
#[derive(Clone)]
struct Session {
    epoch: u64,
    cut: std::sync::Arc<PlainU64>,
}

/// Sessions that other threads enter while the worker sweeps: harsher than the real, worker-local register.
#[derive(Default)]
struct Sessions {
    next: AtomicU64,
    entries: Mutex<BTreeMap<u64, Session>>,
}

/// A session's place, given up by dropping it.
struct Place {
    register: Arc<Sessions>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.register.entries.lock().unwrap().remove(&self.number);
    }
}

impl Sessions {
    fn enter(self: &Arc<Self>, session: Session) -> Place {
        let number = self.next.fetch_add(1, SeqCst);
        self.entries.lock().unwrap().insert(number, session);
        Place { register: Arc::clone(self), number }
    }

    fn sweep(&self, table: &Table) {
        for session in self.entries.lock().unwrap().values() {
            if session.epoch < table.0 {
                session.cut.store(table.0, SeqCst);
            }
        }
    }
}

/// The orders that are tried.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Right,
    /// The session looks at the epoch, then registers.
    CheckThenRegister,
    /// The worker sweeps by the new table, then the table is published.
    SweepThenPublish,
    /// The number is stored before the table.
    NumberFirst,
    /// A try does not look again before its first byte.
    NoReCheck,
    /// A try looks again, then awaits something, then writes.
    SuspendedAfterReCheck,
    /// The worker acknowledges, then sweeps.
    AcknowledgeThenSweep,
    /// The worker acknowledges the table it loaded instead of what had been announced before.
    AcknowledgeTheTable,
    /// The worker acknowledges the number, though it is not announced yet.
    AcknowledgeTheNumber,
}

const LAST: u64 = 3;

/// Two publishes, one worker that catches up with each, and sessions that begin at any time.
fn sessions(order: Order, count: usize) {
    let (board, register) = (board(), Arc::new(Sessions::default()));
    let acknowledged = Arc::new(Counter(AtomicU64::new(0)));
    let alive = Arc::new(std::sync::Mutex::new(Vec::<Session>::new()));
    let starters: Vec<_> = (0..count)
        .map(|_| {
            let (board, register, alive) = (Arc::clone(&board), Arc::clone(&register), Arc::clone(&alive));
            thread::spawn(move || {
                let epoch = board.load::<Table>().epoch();
                let session = Session { epoch, cut: Default::default() };
                let begun = match order {
                    Order::CheckThenRegister => board.is_current(epoch).then(|| register.enter(session.clone())),
                    _ => board.begin_session(epoch, || register.enter(session.clone())),
                };
                if let Some(place) = begun {
                    // It stays registered, even beyond an execution that failed.
                    #[allow(clippy::mem_forget, reason = "dropping it would take it out of the register")]
                    std::mem::forget(place);
                    alive.lock().unwrap().push(session);
                }
            })
        })
        .collect();
    let worker = {
        let (board, register, acknowledged) = (Arc::clone(&board), Arc::clone(&register), Arc::clone(&acknowledged));
        thread::spawn(move || {
            while acknowledged.load() < LAST {
                match order {
                    Order::AcknowledgeThenSweep => {
                        let table = board.load::<Table>();
                        acknowledged.store(table.epoch());
                        register.sweep(&table);
                    }
                    Order::SweepThenPublish => acknowledged.store(board.load::<Table>().epoch()),
                    Order::AcknowledgeTheTable => {
                        let table = board.load::<Table>();
                        register.sweep(&table);
                        acknowledged.store(table.epoch());
                    }
                    _ => board.catch_up(&*acknowledged, |table| register.sweep(&table)),
                }
                thread::yield_now();
            }
        })
    };
    let engine = {
        let (board, register) = (Arc::clone(&board), Arc::clone(&register));
        let (acknowledged, alive) = (Arc::clone(&acknowledged), Arc::clone(&alive));
        thread::spawn(move || {
            for epoch in 2..=LAST {
                if order == Order::SweepThenPublish {
                    register.sweep(&table(epoch));
                }
                board.publish(table(epoch), || {});
            }
            while acknowledged.load() < LAST {
                thread::yield_now();
            }
            // Acknowledged: a session that began under an older table is cut by now, not some time later.
            for session in alive.lock().unwrap().iter() {
                assert!(
                    session.epoch == LAST || session.cut.load(SeqCst) > 0,
                    "a session of {} slipped through",
                    session.epoch
                );
            }
        })
    };
    starters.into_iter().for_each(|starter| starter.join().unwrap());
    worker.join().unwrap();
    engine.join().unwrap();
    for session in alive.lock().unwrap().iter() {
        assert!(
            session.epoch == LAST || session.cut.load(SeqCst) > 0,
            "a session of {} slipped through",
            session.epoch
        );
    }
}

/// Two publishes, and a worker whose tasks are tries and the one that catches up. The worker is one thread: its tasks take
/// turns, which the lock stands for.
fn tries(order: Order, count: usize) {
    let board = board();
    let (turn, acknowledged) = (Arc::new(Mutex::new(())), Arc::new(Counter(AtomicU64::new(0))));
    // The newest epoch whose publish had returned. Plain: looking at it is no step of the schedule.
    let completed = std::sync::Arc::new(PlainU64::new(1));
    let writers: Vec<_> = (0..count)
        .map(|_| {
            let (board, turn, completed) = (Arc::clone(&board), Arc::clone(&turn), std::sync::Arc::clone(&completed));
            let acknowledged = Arc::clone(&acknowledged);
            thread::spawn(move || {
                for _ in 0..2 {
                    let picked = {
                        let _turn = turn.lock().unwrap();
                        board.load::<Table>().epoch()
                    };
                    // (connecting)
                    let mut own_turn = Some(turn.lock().unwrap());
                    let completed_before = completed.load(SeqCst);
                    if order != Order::NoReCheck && !board.is_current(picked) {
                        continue;
                    }
                    if order == Order::SuspendedAfterReCheck {
                        own_turn = None;
                        thread::yield_now();
                        own_turn.replace(turn.lock().unwrap());
                    }
                    // (first byte)
                    assert!(picked >= completed_before, "epoch {picked} after the publish of {completed_before}");
                    assert!(picked >= acknowledged.load(), "epoch {picked} after it was left behind");
                    drop(own_turn);
                }
            })
        })
        .collect();
    let worker = {
        let (board, turn, acknowledged) = (Arc::clone(&board), Arc::clone(&turn), Arc::clone(&acknowledged));
        thread::spawn(move || {
            while acknowledged.load() < LAST {
                let own_turn = turn.lock().unwrap();
                match order {
                    Order::AcknowledgeTheTable => acknowledged.store(board.load::<Table>().epoch()),
                    _ => board.catch_up(&*acknowledged, |_: std::sync::Arc<Table>| {}),
                }
                drop(own_turn);
                thread::yield_now();
            }
        })
    };
    let engine = {
        let board = Arc::clone(&board);
        thread::spawn(move || {
            for epoch in 2..=LAST {
                board.publish(table(epoch), || {});
                completed.store(epoch, SeqCst);
            }
        })
    };
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    worker.join().unwrap();
    engine.join().unwrap();
}

/// Two publishes that retire something, and a worker that looks for what is retired when it catches up.
fn retirements(order: Order) {
    let (board, acknowledged) = (board(), Arc::new(Counter(AtomicU64::new(0))));
    // The epoch for which everything is retired.
    let retired = Arc::new(Counter(AtomicU64::new(1)));
    let worker = {
        let (board, retired, acknowledged) = (Arc::clone(&board), Arc::clone(&retired), Arc::clone(&acknowledged));
        thread::spawn(move || {
            while acknowledged.load() < LAST {
                let mut swept = 0;
                match order {
                    Order::AcknowledgeTheNumber => {
                        let number = board.epoch();
                        swept = retired.load();
                        acknowledged.store(number);
                    }
                    _ => board.catch_up(&*acknowledged, |_: std::sync::Arc<Table>| swept = retired.load()),
                }
                assert!(swept >= acknowledged.load(), "acknowledged before everything was retired");
                thread::yield_now();
            }
        })
    };
    for epoch in 2..=LAST {
        board.publish(table(epoch), || retired.store(epoch));
    }
    worker.join().unwrap();
}

/// A reader that sees number N loads a table at least that new.
fn numbers(order: Order) {
    let cell = Arc::new(Cell(Mutex::new(table(1))));
    let number = Arc::new(Counter(AtomicU64::new(1)));
    let right = board();
    let reader = {
        let (right, cell, number) = (Arc::clone(&right), Arc::clone(&cell), Arc::clone(&number));
        thread::spawn(move || {
            for _ in 0..3 {
                let (seen, loaded) = match order {
                    Order::NumberFirst => (number.load(), cell.load().epoch()),
                    _ => (right.epoch(), right.load::<Table>().epoch()),
                };
                assert!(loaded >= seen, "number {seen}, table {loaded}");
            }
        })
    };
    for epoch in 2..=LAST {
        match order {
            Order::NumberFirst => {
                number.store(epoch);
                cell.store(table(epoch));
            }
            _ => right.publish(table(epoch), || {}),
        }
    }
    reader.join().unwrap();
}

/// Schedules for an order that holds.
const SCHEDULES: usize = 10_000;
/// Schedules until a broken order must have shown itself, and the seed that makes that the same in every run.
const ENOUGH: usize = 300_000;
const SEED: u64 = 1;

fn explore(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, 3);
}

fn caught(model: impl Fn() + Send + Sync + Clone + 'static) -> bool {
    catch_unwind(AssertUnwindSafe(|| shuttle::check_random_with_seed(model, SEED, ENOUGH))).is_err()
}

#[test]
fn no_session_slips_through_a_switch() {
    explore(|| sessions(Order::Right, 3));
}

#[test]
fn no_first_byte_goes_out_on_an_epoch_that_was_replaced_before_the_re_check() {
    explore(|| tries(Order::Right, 2));
}

#[test]
fn whoever_sees_a_number_loads_a_table_at_least_that_new() {
    explore(|| numbers(Order::Right));
}

#[test]
fn everything_is_retired_before_a_worker_sweeps() {
    explore(|| retirements(Order::Right));
}

#[test]
fn an_acknowledgement_of_a_number_that_is_not_announced_is_caught() {
    assert!(caught(|| retirements(Order::AcknowledgeTheNumber)));
}

#[test]
fn a_session_that_checks_before_it_registers_is_caught() {
    assert!(caught(|| sessions(Order::CheckThenRegister, 2)));
}

#[test]
fn a_sweep_before_the_publish_is_caught() {
    assert!(caught(|| sessions(Order::SweepThenPublish, 2)));
}

#[test]
fn an_acknowledgement_before_the_sweep_is_caught() {
    assert!(caught(|| sessions(Order::AcknowledgeThenSweep, 2)));
}

#[test]
fn a_number_stored_before_its_table_is_caught() {
    assert!(caught(|| numbers(Order::NumberFirst)));
}

#[test]
fn a_try_without_a_re_check_is_caught() {
    assert!(caught(|| tries(Order::NoReCheck, 2)));
}

#[test]
fn a_try_that_awaits_between_re_check_and_first_byte_is_caught() {
    assert!(caught(|| tries(Order::SuspendedAfterReCheck, 2)));
}

#[test]
fn an_acknowledgement_of_a_table_whose_number_is_not_out_yet_is_caught() {
    assert!(caught(|| sessions(Order::AcknowledgeTheTable, 2)));
    assert!(caught(|| tries(Order::AcknowledgeTheTable, 2)));
}
