//! How an endpoint is picked among the open ones of a pool. Every structure is built once a publish and read by all workers;
//! what changes with each pick (cursor, random numbers) belongs to the worker.
//!
//! | balance | structure | pick |
//! |---|---|---|
//! | `round_robin` | one round, written down ([`rounds`]) | next place of the worker's cursor |
//! | `least_request` | none | two random endpoints, the one with less (in flight + 1) / weight |
//! | `random` | alias table ([`alias`]) | two random numbers |
//! | `hash` | maglev table over all configured endpoints ([`maglev`]) | one look-up; the next link of a hash chain when closed |

mod alias;
mod hash;
mod maglev;
mod rounds;

use std::sync::Arc;

use super::table::EndpointView;
use crate::config::BalancePolicy;
use alias::AliasTable;
use maglev::Maglev;
use rounds::WeightedRounds;

pub use hash::hash_bytes;
pub(super) use hash::mix;

/// What a balancer is built for.
pub(super) struct BalancerShape<'a> {
    pub balance: &'a BalancePolicy,
    pub endpoints: &'a [EndpointView],
}

/// The balancing structure of one pool.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// Open endpoints, ascending.
    open: Vec<u32>,
    method: BalancerMethod,
}

#[derive(Debug, Default)]
enum BalancerMethod {
    Rounds(Arc<WeightedRounds>),
    Alias(Arc<AliasTable>),
    Maglev(Arc<Maglev>),
    #[default]
    Least,
}

/// What a worker brings to a pick.
pub(super) struct PickDraw<'a> {
    /// Its place in the round.
    pub cursor: &'a mut u32,
    /// Its random number generator.
    pub rng: &'a mut fastrand::Rng,
    /// The request's hash.
    pub hash: u64,
}

impl Balancer {
    /// Over the `open` ones (ascending indices) of these endpoints. What still fits is taken over from the pool's old one.
    pub fn build(shape: &BalancerShape<'_>, open: Vec<u32>, old: Option<(&Balancer, &[EndpointView])>) -> Balancer {
        let weights = || open.iter().map(|place| shape.endpoints[*place as usize].weight).collect::<Vec<_>>();
        let same_open = |(balancer, endpoints): &(&Balancer, &[EndpointView])| {
            balancer.open == open && same_weights(endpoints, shape.endpoints)
        };
        let method = match shape.balance {
            BalancePolicy::LeastRequest => BalancerMethod::Least,
            BalancePolicy::RoundRobin => match old.filter(same_open).map(|(balancer, _)| &balancer.method) {
                Some(BalancerMethod::Rounds(rounds)) => BalancerMethod::Rounds(Arc::clone(rounds)),
                _ => BalancerMethod::Rounds(Arc::new(WeightedRounds::new(&weights()))),
            },
            BalancePolicy::Random => match old.filter(same_open).map(|(balancer, _)| &balancer.method) {
                Some(BalancerMethod::Alias(alias)) => BalancerMethod::Alias(Arc::clone(alias)),
                _ => BalancerMethod::Alias(Arc::new(AliasTable::new(&weights()))),
            },
            BalancePolicy::HashSource
            | BalancePolicy::HashHeader(_)
            | BalancePolicy::HashCookie(_)
            | BalancePolicy::HashQuery(_) => {
                let same = old.filter(|(_, endpoints)| same_weights(endpoints, shape.endpoints));
                match same.map(|(balancer, _)| &balancer.method) {
                    Some(BalancerMethod::Maglev(maglev)) => BalancerMethod::Maglev(Arc::clone(maglev)),
                    _ => BalancerMethod::Maglev(Arc::new(Maglev::new(
                        shape.endpoints.iter().map(|endpoint| (endpoint.address, endpoint.weight)),
                    ))),
                }
            }
        };
        Balancer { open, method }
    }

    /// How many endpoints are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// The open endpoints, ascending.
    pub fn open(&self) -> &[u32] {
        &self.open
    }

    /// The `attempt`-th proposal (from 0) for one request: an index into the endpoints, or `None` when nothing is open. A
    /// later proposal may repeat an earlier one; a hash proposes the same chain for the same hash.
    pub fn propose(&self, endpoints: &[EndpointView], draw: &mut PickDraw<'_>, attempt: u32) -> Option<u32> {
        if self.open.len() <= 1 {
            return self.open.first().copied();
        }
        match &self.method {
            BalancerMethod::Rounds(rounds) => {
                let place = rounds.at(*draw.cursor);
                *draw.cursor = draw.cursor.wrapping_add(1);
                self.open.get(place as usize).copied()
            }
            BalancerMethod::Alias(alias) => self.open.get(alias.draw(draw.rng) as usize).copied(),
            BalancerMethod::Maglev(maglev) => {
                let hash = chain(draw.hash, attempt);
                maglev.at(hash).filter(|place| self.open.binary_search(place).is_ok()).or_else(|| {
                    // Mostly closed pool: what is left shares by the hash itself.
                    (attempt >= CHAIN).then(|| self.open[(hash % self.open.len() as u64) as usize])
                })
            }
            BalancerMethod::Least => Some(self.less_loaded(endpoints, draw.rng)),
        }
    }

    /// Does the hash decide alone? Then a slow start must take hashes, not random numbers.
    pub fn by_hash(&self) -> bool {
        matches!(self.method, BalancerMethod::Maglev(_))
    }

    /// Power of two choices on (in flight + 1) / weight; compared crosswise, so without division.
    fn less_loaded(&self, endpoints: &[EndpointView], rng: &mut fastrand::Rng) -> u32 {
        let first = rng.usize(..self.open.len());
        let other = rng.usize(..self.open.len() - 1);
        let second = if other >= first { other + 1 } else { other };
        let (a, b) = (self.open[first], self.open[second]);
        let load = |place: u32, against: u32| {
            (endpoints[place as usize].stats.in_flight() as u64 + 1) * u64::from(endpoints[against as usize].weight)
        };
        if load(b, a) < load(a, b) { b } else { a }
    }
}

/// Links of a hash chain that are looked up in the maglev table before the open endpoints share by the hash itself.
const CHAIN: u32 = 8;

/// The hash of the next link: every key finds its own second choice, so a closed endpoint's keys spread over all others.
fn chain(hash: u64, attempt: u32) -> u64 {
    match attempt {
        0 => hash,
        n => mix(hash ^ u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

fn same_weights(a: &[EndpointView], b: &[EndpointView]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.id == b.id && a.weight == b.weight)
}

#[cfg(test)]
mod tests;
