//! Configurations and tables for the benches, made the way the program makes them: YAML, core, build.

#[path = "../../tests/support/fixture.rs"]
mod fixture;

use std::fmt::Write;
use std::sync::Arc;

use standfast::config::Config;
use standfast::decision::{Decision, Event};
use standfast::routing::{RoutingTable, SocketMap};
use standfast::time::MonoTime;

/// A moment after the core's origin.
pub const NOW: MonoTime = MonoTime::from_micros(1 << 45);

/// One service `s` with an active pool of this many endpoints and a standby pool of one.
pub fn one_service(balance: &str, endpoints: usize, weighted: bool) -> String {
    let mut text =
        format!("services:\n  s:\n    balance: {balance}\n    pools:\n      - name: active\n        endpoints:\n");
    for n in 0..endpoints {
        let weight = if weighted { n % 7 + 1 } else { 1 };
        let _ =
            writeln!(text, "          - {{address: 10.{}.{}.{}:80, weight: {weight}}}", n >> 16, n >> 8 & 255, n & 255);
    }
    text.push_str("      - {name: standby, endpoints: [10.200.0.1:80]}\n");
    text
}

/// Reads a configuration, with a listener of these routes in front.
pub fn config(services: &str, routes: &str) -> Arc<Config> {
    let text = format!(
        "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    protocol: http\n    routes:\n{routes}{services}"
    );
    Arc::new(fixture::config(&text))
}

/// What the core says of it: everything is healthy, because nothing is checked.
pub fn decided(config: &Arc<Config>) -> Decision {
    let mut decision = Decision::new(None, NOW);
    decision.handle(Event::Configured(Arc::clone(config)), NOW);
    decision
}

/// The first table.
pub fn table(config: &Arc<Config>) -> RoutingTable {
    RoutingTable::build(config, &decided(config).table(), None, &SocketMap::new(), &Arc::default(), 2, NOW)
}
