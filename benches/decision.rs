//! What a turn of the decision core costs: a probe and a digest that say nothing new, a digest that does, and reading the table.

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use standfast::decision::{Decision, Digest, EndpointId, Event, Failure, FailureCounts, ProbeOutcome};
use standfast::time::MonoTime;

#[path = "support/tables.rs"]
#[allow(dead_code, reason = "shared by several benches")]
mod tables;
use tables::NOW;

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [2, 200, 2000];

/// One service with this many endpoints, all of them healthy.
fn core(endpoints: usize) -> Decision {
    let config = tables::config(&tables::one_service("round_robin", endpoints, true), "      - {service: s}\n");
    let mut core = Decision::new(None, NOW);
    core.handle(Event::Configured(Arc::clone(&config)), NOW);
    for id in 0..endpoints as u32 {
        core.handle(passed(id, NOW), NOW);
        core.handle(digest(id, NOW, 0), NOW);
    }
    core.effects();
    core
}

fn passed(id: u32, seen: MonoTime) -> Event {
    let outcome = ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None };
    Event::Probed { endpoint: EndpointId(id), seen, outcome, began: None }
}

fn digest(id: u32, seen: MonoTime, failed: u32) -> Event {
    let mut counts = FailureCounts::default();
    counts.0[Failure::Gateway as usize] = failed;
    let digest = Digest { good: 9, failed: counts, streak: failed, streak_since: seen, ..Digest::default() };
    Event::InBand { endpoint: EndpointId(id), seen, digest }
}

/// Feed events a millisecond apart, each endpoint in turn.
fn feed(bencher: Bencher, endpoints: usize, event: impl Fn(u32, MonoTime) -> Event) {
    let mut core = core(endpoints);
    let (mut id, mut now) = (0, NOW);
    bencher.bench_local(|| {
        id = (id + 1) % endpoints as u32;
        now = now.after(Duration::from_millis(1));
        core.handle(black_box(event(id, now)), now);
        core.effects()
    });
}

#[divan::bench(args = SIZES)]
fn a_probe_passes(bencher: Bencher, endpoints: usize) {
    feed(bencher, endpoints, passed);
}

#[divan::bench(args = SIZES)]
fn a_quiet_digest(bencher: Bencher, endpoints: usize) {
    feed(bencher, endpoints, |id, now| digest(id, now, 0));
}

#[divan::bench(args = SIZES)]
fn a_digest_with_a_failure(bencher: Bencher, endpoints: usize) {
    feed(bencher, endpoints, |id, now| digest(id, now, 1));
}

#[divan::bench(args = SIZES)]
fn table(bencher: Bencher, endpoints: usize) {
    let core = core(endpoints);
    bencher.bench_local(|| black_box(&core).table());
}
