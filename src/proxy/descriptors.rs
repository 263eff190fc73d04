//! The descriptor budget of a configuration, and what is logged about it: how many clients the limit of descriptors allows.
//!
//! Where descriptors are short, new connections wait in the accept queue. So a limit below the sum of `limits.max_connections`
//! is no fault by itself: it is a warning where the configuration asks for more connections than it allows, where it allows few
//! clients, or where it leaves too few descriptors for probes and the admin port.

use std::io;

use crate::config::{Config, LISTENER_CONNECTIONS, Listener};
use crate::net::DescriptorBudget;
use crate::routing::RoutingTable;
use crate::sys::limits;

/// Fewer unused descriptors than this at the start are an error: nothing could be served.
const LEAST: usize = 8;

/// Begins the budget with what is unused now, and fits it to the first table.
pub(super) fn begin(budget: &DescriptorBudget, table: &RoutingTable, workers: usize) -> io::Result<()> {
    let Some(free) = limits::free_descriptors() else { return Ok(()) };
    if free < LEAST {
        return Err(io::Error::other(format!(
            "the limit of descriptors leaves {free} for connections: raise it (ulimit -n, LimitNOFILE), or lower `workers`"
        )));
    }
    budget.begin(free + listening_sockets(table, workers));
    fit(budget, table, workers);
    Ok(())
}

/// Fits the budget to what the table's listeners and checks take, and logs what that allows.
pub(super) fn fit(budget: &DescriptorBudget, table: &RoutingTable, workers: usize) {
    let pools = table.config.services.iter().flat_map(|service| &service.pools);
    let checked = pools.filter(|pool| pool.health_check.is_some()).map(|pool| pool.members.endpoints().len());
    let reserve = budget.fit(listening_sockets(table, workers), checked.sum());
    if let Some(clients) = budget.clients() {
        say(Allowance::new(&table.config, clients, reserve), clients);
    }
}

fn listening_sockets(table: &RoutingTable, workers: usize) -> usize {
    table.listeners.iter().map(|listener| listener.sockets.bound().len()).sum::<usize>() * workers
}

/// What the limit of descriptors allows, compared with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowance {
    /// As many connections as the listeners allow.
    All,
    /// Fewer, by the default of `limits.max_connections` alone.
    Bounded,
    /// Fewer than are written, or than [`FEW`].
    BelowWritten,
    /// Too few for the probes of the endpoints, the admin port and files beside the connections.
    Scarce,
}

impl Allowance {
    /// For so many clients. `reserve`: the whole reserve fits.
    fn new(config: &Config, clients: usize, reserve: bool) -> Allowance {
        let most = |listener: &Listener| listener.limits.max_connections;
        let all: usize = config.listeners.iter().map(|listener| most(listener)).sum();
        // (A listener with the default counts as one without the key.)
        let written =
            config.listeners.iter().map(|listener| most(listener)).filter(|most| *most != LISTENER_CONNECTIONS);
        match () {
            () if clients >= all => Allowance::All,
            () if !reserve => Allowance::Scarce,
            () if clients < written.sum() || clients < FEW => Allowance::BelowWritten,
            () => Allowance::Bounded,
        }
    }
}

/// Fewer clients at once than this are warned of, whatever the listeners allow.
const FEW: usize = 1_000;

fn say(allowance: Allowance, max_clients: usize) {
    let limit = limits::descriptor_limit();
    match allowance {
        Allowance::All => tracing::debug!(limit, max_clients, "descriptors for all connections of the listeners"),
        Allowance::Bounded => tracing::debug!(
            limit,
            max_clients,
            "the descriptor limit bounds the clients at once; further ones wait in the accept queue"
        ),
        Allowance::BelowWritten => tracing::warn!(
            limit,
            max_clients,
            "the descriptor limit allows fewer clients than limits.max_connections of the listeners; further ones wait in the \
             accept queue. Raise the limit (ulimit -n, LimitNOFILE) or lower limits.max_connections"
        ),
        Allowance::Scarce => tracing::warn!(
            limit,
            max_clients,
            "the descriptor limit is very low: probes and the admin port may lack descriptors, and few clients are served at once. \
             Raise it (ulimit -n, LimitNOFILE)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(listeners: &[&str]) -> Config {
        let listeners: String = listeners
            .iter()
            .enumerate()
            .map(|(n, limits)| format!("  - {{name: l{n}, bind: 127.0.0.1:{}, service: a{limits}}}\n", n + 1))
            .collect();
        let text =
            format!("listeners:\n{listeners}services: {{a: {{pools: [{{name: p, endpoints: [10.0.0.1:80]}}]}}}}\n");
        crate::config::parse(&text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    #[test]
    fn a_limit_is_warned_of_where_it_is_below_what_is_written_or_below_its_own_needs() {
        let written = |most: usize| format!(", limits: {{max_connections: {most}}}");
        for (listeners, clients, reserve, expected) in [
            (vec![String::new()], 10_000, true, Allowance::All),
            (vec![String::new()], 9_900, true, Allowance::Bounded),
            (vec![String::new(); 2], 9_900, true, Allowance::Bounded),
            (vec![String::new()], 1_000, true, Allowance::Bounded),
            (vec![String::new()], 380, true, Allowance::BelowWritten),
            (vec![String::new()], 100, false, Allowance::Scarce),
            (vec![written(20_000)], 9_900, true, Allowance::BelowWritten),
            (vec![written(6_000), written(6_000)], 9_900, true, Allowance::BelowWritten),
            (vec![written(6_000), String::new()], 9_900, true, Allowance::Bounded),
            (vec![written(9_900)], 9_900, true, Allowance::All),
            // A small proxy under a small limit is as its owner wants it.
            (vec![written(50)], 100, false, Allowance::All),
        ] {
            let listeners: Vec<_> = listeners.iter().map(String::as_str).collect();
            let found = Allowance::new(&config(&listeners), clients, reserve);
            assert_eq!(found, expected, "{listeners:?} {clients} {reserve}");
        }
    }
}
