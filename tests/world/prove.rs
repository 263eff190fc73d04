//! Runs all worlds of one kind: none may fail, and together they must have seen enough.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::coverage::Coverage;

/// One world, from its seed to its end.
pub type LiveWorld = fn(u64) -> Result<Coverage, String>;

/// So many worlds; `STANDFAST_SEED` replays one. `wanted`: everything that must be seen, and how often at least.
pub fn prove(seeds: u64, live: LiveWorld, wanted: &[(&str, u64)]) {
    if let Some(seed) = std::env::var("STANDFAST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return live(seed).map(|coverage| coverage.print()).unwrap_or_else(|why| panic!("{why}"));
    }
    let (coverage, failures) = live_all(seeds, live);
    coverage.print();
    assert!(failures.is_empty(), "{} worlds failed:\n{}", failures.len(), failures.join("\n"));
    let missing = coverage.missing(wanted);
    assert!(missing.is_empty(), "too rarely seen:\n{}", missing.join("\n"));
}

/// All seeds on all cores; stops early when a few have failed.
fn live_all(seeds: u64, live: LiveWorld) -> (Coverage, Vec<String>) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let (mut coverage, mut failures) = (Coverage::default(), Vec::new());
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                break;
            }
            match live(seed) {
                Ok(seen) => coverage.merge(seen),
                Err(why) => failures.push(why),
            }
            if failures.len() > 2 {
                stop.store(true, Relaxed);
            }
        }
        (coverage, failures)
    };
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let (mut coverage, mut failures) = (Coverage::default(), Vec::new());
        for thread in running {
            let (seen, failed) = thread.join().expect("a world panicked; its message is above");
            coverage.merge(seen);
            failures.extend(failed);
        }
        (coverage, failures)
    })
}
