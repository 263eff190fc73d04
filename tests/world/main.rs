//! The main test of the decision core: simulated worlds. Each drives the real core and the real pure parts of the data plane
//! (table, pick, retry rule, hedges, races, budget, counters, response tracker) against model endpoints that die, hang, freeze, stall, fail
//! and flap, with lost and late messages, operators, reloads and restarts, on a virtual clock.
//!
//! `STANDFAST_SEED=17 cargo test --test world -- --nocapture` replays one world.

mod calm;
mod conditions;
mod coverage;
#[path = "../support/fixture.rs"]
mod fixture;
mod gates;
mod gates_oracle;
mod journal;
mod judge;
mod oracle;
mod plays;
mod primaries;
mod prove;
mod scene;
mod stage;
mod switch_protocol;
mod vigil;
mod world;

use coverage::Coverage;
use prove::prove;
use world::World;

const SEEDS: u64 = 256;
const STEPS: u32 = 8000;

/// Everything that must be seen in each run, and how often at least.
const WANTED: &[(&str, u64)] = &[
    ("Checking/Start -> Healthy/ChecksPassed", 1_000),
    ("Checking/Start -> Unhealthy/ChecksFailed", 200),
    ("Healthy/ChecksPassed -> Unhealthy/ChecksFailed", 500),
    ("Healthy/ChecksPassed -> Unhealthy/Refused", 100),
    ("Healthy/ChecksPassed -> Ejected/Consecutive", 200),
    ("Healthy/ChecksPassed -> Ejected/FailureRate", 20),
    ("Healthy/ChecksPassed -> Ejected/Stalled", 100),
    ("Healthy/Unchecked -> Unhealthy/Refused", 20),
    ("Healthy/Unchecked -> Ejected/Consecutive", 50),
    ("Healthy/Unchecked -> Ejected/FailureRate", 3),
    ("Healthy/Unchecked -> Ejected/Stalled", 15),
    ("Healthy/TrialsPassed -> Ejected/Consecutive", 5),
    ("Healthy/TrialsPassed -> Unhealthy/ChecksFailed", 5),
    ("Healthy/TrialsPassed -> Unhealthy/Refused", 5),
    ("Healthy/EjectionOver -> Unhealthy/ChecksFailed", 10),
    ("Healthy/EjectionOver -> Unhealthy/Refused", 1),
    ("Unhealthy/ChecksFailed -> Healthy/ChecksPassed", 500),
    ("Unhealthy/ChecksFailed -> Unhealthy/Refused", 10),
    ("Unhealthy/Refused -> Healthy/ChecksPassed", 100),
    ("Unhealthy/Refused -> Healthy/Unchecked", 20),
    ("Unhealthy/Refused -> Healthy/TrialsPassed", 3),
    ("Unhealthy/Refused -> Unhealthy/ChecksFailed", 10),
    ("Ejected/Consecutive -> Healthy/TrialsPassed", 50),
    ("Ejected/Consecutive -> Healthy/EjectionOver", 100),
    ("Ejected/Consecutive -> Unhealthy/ChecksFailed", 1),
    ("Ejected/FailureRate -> Healthy/TrialsPassed", 3),
    ("Ejected/FailureRate -> Healthy/EjectionOver", 5),
    ("Ejected/Stalled -> Healthy/TrialsPassed", 25),
    ("Ejected/Stalled -> Healthy/EjectionOver", 50),
    ("Ready -> Drain", 100),
    ("Ready -> Maint", 100),
    ("Drain -> Ready", 50),
    ("Drain -> Maint", 20),
    ("Maint -> Ready", 50),
    ("Maint -> Drain", 20),
    ("Failover own pool to pool", 200),
    ("Failover own to nobody", 100),
    ("Recovery own from nobody", 100),
    ("avoids who fails the target", 1000),
    ("Failover because ChecksFailed", 200),
    ("Failover because Refused", 100),
    ("Failover because Consecutive", 100),
    ("Failover because FailureRate", 5),
    ("Failover because Stalled", 80),
    ("Failback own pool to pool", 100),
    ("Failback ordered pool to pool", 20),
    ("Switchover ordered pool to pool", 100),
    ("Switchover ordered from nobody", 10),
    ("Switchover own pool to pool", 15),
    ("Rollback own pool to pool", 40),
    ("Rollback because Consecutive", 20),
    ("Rollback because Refused", 4),
    ("Rollback because ChecksFailed", 10),
    ("Rollback because Stalled", 15),
    ("answered Failover", 200),
    ("answered Failback", 100),
    ("answered Switchover", 100),
    ("answered Rollback", 30),
    ("condition all_down raised", 100),
    ("condition all_down cleared", 100),
    ("condition pinned_to_unusable raised", 100),
    ("condition pinned_to_unusable cleared", 100),
    ("condition frozen raised", 50),
    ("condition check_blind cleared", 1000),
    ("condition frozen cleared", 30),
    ("alert ObjectiveMissed", 100),
    ("act Done", 500),
    ("act NoChange", 100),
    ("act refused expired", 100),
    ("act refused not_available", 50),
    ("act refused not_frozen", 100),
    ("act refused not_pinned", 300),
    ("act refused pinned", 50),
    ("sessions Close", 200),
    ("sessions Drain", 200),
    ("held one_source", 20),
    ("crosses rather than asking again", 100),
    ("confirm", 300),
    ("probe now", 1_000),
    ("pace fast=true", 1_000),
    ("pace fast=false", 1_000),
    ("digest dropped", 500),
    ("digest late", 2_000),
    ("stale try picks again", 100),
    ("suspected", 1_000),
    ("suspicion proven", 100),
    ("suspicion over", 1_000),
    ("waits for the verdict on a suspicion", 250),
    ("leaves the condemned", 300),
    ("connect given up", 150),
    ("race won", 200),
    ("hedge", 1_000),
    ("hedge put off", 1_000),
    ("hedge won", 800),
    ("hedge came to nothing", 10),
    ("first try answered beside its hedge", 250),
    ("first try left to its hedge", 15),
    ("restart", 300),
    ("hand-over", 2_000),
    ("replay", 500),
    ("request good", 100_000),
    ("request bad", 1_000),
    ("fault Dead", 500),
    ("fault Unreachable", 500),
    ("fault FailingTraffic", 500),
    ("fault FailingChecks", 500),
    ("fault Resetting", 500),
    ("fault Flaky", 500),
    ("fault Frozen", 500),
    ("fault Stalled", 500),
    ("fault Slow", 500),
    ("reload check", 50),
    ("reload endpoints", 50),
    ("reload failback_mode", 50),
    ("reload hold_down", 50),
    ("reload nothing", 50),
    ("reload order", 50),
    ("reload pool_added", 50),
    ("reload pool_removed", 50),
    ("reload weight", 50),
];

#[test]
fn worlds_stay_safe_and_become_well_again() {
    prove(SEEDS, live, WANTED);
}

/// One world: noise, then calm.
fn live(seed: u64) -> Result<Coverage, String> {
    let tell = |world: &World, step: u32, why: String| {
        format!("seed {seed}, step {step}, at {:?}: {why}\nreplay: STANDFAST_SEED={seed}", world.now())
    };
    let mut world = World::new(seed).map_err(|why| format!("seed {seed}, at the start: {why}"))?;
    for step in 0..STEPS {
        world.step().map_err(|why| tell(&world, step, why))?;
    }
    world.calm().map_err(|why| tell(&world, STEPS, why))?;
    world.replay().map_err(|why| tell(&world, STEPS, why))?;
    Ok(world.sim.observer.coverage)
}
