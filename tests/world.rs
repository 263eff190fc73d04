//! The main test of the decision core: simulated worlds. Each drives the real core and the real pure parts of the data plane
//! (table, pick, retry rule, budget, counters) against model upstreams that die, hang, lie and flap, with lost and late
//! messages, operators, reloads and restarts, on a virtual clock.
//!
//! `STANDFAST_SEED=17 cargo test --test world -- --nocapture` replays one world.

#[path = "world/calm.rs"]
mod calm;
#[path = "world/coverage.rs"]
mod coverage;
#[path = "world/oracle.rs"]
mod oracle;
#[path = "world/scene.rs"]
mod scene;
#[path = "world/sim.rs"]
mod sim;
#[path = "world/traffic.rs"]
mod traffic;
#[path = "world/upstream.rs"]
mod upstream;
#[path = "world/vigil.rs"]
mod vigil;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use coverage::Coverage;
use sim::World;

const SEEDS: u64 = 256;
const STEPS: u32 = 8000;

/// Everything that must be seen in each run, and how often at least.
const WANTED: &[(&str, u64)] = &[];

#[test]
fn worlds_stay_safe_and_become_well_again() {
    if let Some(seed) = std::env::var("STANDFAST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return live(seed).map(|coverage| coverage.print()).unwrap_or_else(|why| panic!("{why}"));
    }
    let (coverage, failures) = live_all();
    coverage.print();
    assert!(failures.is_empty(), "{} worlds failed:\n{}", failures.len(), failures.join("\n"));
    let missing = coverage.missing(WANTED);
    assert!(missing.is_empty(), "too rarely seen:\n{}", missing.join("\n"));
}

/// All seeds on all cores; stops early when a few have failed.
fn live_all() -> (Coverage, Vec<String>) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let (mut coverage, mut failures) = (Coverage::default(), Vec::new());
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= SEEDS {
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

/// One world: noise, then calm.
fn live(seed: u64) -> Result<Coverage, String> {
    let tell = |world: &World, step: u32, why: String| {
        format!("seed {seed}, step {step}, at {:?}: {why}\nreplay: STANDFAST_SEED={seed}", world.now)
    };
    let mut world = World::new(seed).map_err(|why| format!("seed {seed}, at the start: {why}"))?;
    for step in 0..STEPS {
        world.step().map_err(|why| tell(&world, step, why))?;
    }
    world.calm().map_err(|why| tell(&world, STEPS, why))?;
    world.replay().map_err(|why| tell(&world, STEPS, why))?;
    Ok(world.coverage)
}
