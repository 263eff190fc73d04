//! What must come to pass while the noise goes on: a fault is noticed within the detection bound, and a pool that is well does not
//! stand by for long while the service is down. Here the truth about the endpoints is known.

use std::collections::BTreeMap;
use std::time::Duration;

use standfast::decision::{
    Administrative, Cause, EndpointId, EndpointRow, HoldScope, Operational, PoolRow, ServiceRow, Serving,
};
use standfast::simulation::{EndpointBehaviour, ModelEndpoint};
use standfast::time::MonoTime;

use super::oracle::endpoints_of;
use super::world::{Verdict, World};

/// For a fault that checks see: interval × 1.1 + 3 × timeout + 2 × fast_interval, and twice that for local errors and for checks
/// that begin again after a reload.
const NOTICED: Duration = Duration::from_millis(2000);
/// For one that only traffic sees (six requests a second and more go to each endpoint).
const FELT: Duration = Duration::from_millis(3500);
/// For a pool that is well to serve when no other does: the longest ejection, and trials.
const FOUND: Duration = Duration::from_millis(4500);
/// … and for a trial to show it, when it was ejected and waited for its hold-down until the others died.
const TRIED: Duration = Duration::from_millis(500);

/// Since when something has been so.
#[derive(Debug, Default)]
pub struct Vigil {
    ready: BTreeMap<EndpointId, MonoTime>,
    steps: u32,
}

/// No operator takes it out of use. (An ejection by order lasts as long as one for cause: half a minute without an in-band rule.)
fn in_use(endpoint: &EndpointRow) -> bool {
    let is_ejected = (endpoint.standing.operational, endpoint.standing.cause) == (Operational::Ejected, Cause::Ordered);
    endpoint.standing.administrative == Administrative::Ready && !is_ejected
}

impl World {
    pub fn keep_vigil(&mut self) -> Verdict {
        if !self.sim.clients().is_empty() {
            return Ok(()); // a play says itself what must come of it
        }
        self.vigil.steps += 1;
        if !self.vigil.steps.is_multiple_of(16) {
            return Ok(());
        }
        let table = self.sim.decision().table();
        let mut ready = BTreeMap::new();
        for endpoint in endpoints_of(&table).filter(|endpoint| in_use(endpoint)) {
            ready.insert(endpoint.id, self.vigil.ready.get(&endpoint.id).copied().unwrap_or(self.now()));
        }
        self.vigil.ready = ready;
        table.services.iter().enumerate().try_for_each(|(place, row)| self.watch(place, row))
    }

    fn watch(&self, place: usize, row: &ServiceRow) -> Verdict {
        let status = &self.sim.decision().status(self.now())[place];
        let served = Duration::from_millis(status.for_ms);
        match row.serving {
            Serving::Active(active) => {
                let others = |page: bool| {
                    let fits = |pool: &PoolRow| pool.available && (page || !pool.endpoints.is_empty());
                    row.pools.iter().enumerate().any(|(other, pool)| other != active && fits(pool))
                };
                // (Where only a page is left, what traffic says does not condemn the whole pool.)
                let seen = |endpoint: &EndpointRow| !self.sim.endpoint(endpoint.address).behaviour.seen_by_traffic();
                let others = others(row.pools[active].endpoints.iter().all(seen));
                let held = status.hold.as_ref().is_some_and(|hold| hold.scope == HoldScope::All);
                if others && status.pinned.is_none() && !held && self.condemned(place, row, active, served) {
                    return Err(format!("{} is still on {}, which is dead: {row:?}", row.name, row.pools[active].name));
                }
            }
            Serving::Down | Serving::Starting if served > TRIED => {
                let well = (0..row.pools.len()).find(|pool| self.well(row, *pool));
                if let Some(well) = well {
                    return Err(format!(
                        "{} is {:?}, but {} is well: {row:?}",
                        row.name, row.serving, row.pools[well].name
                    ));
                }
            }
            Serving::Shared(_) | Serving::Down | Serving::Starting => {}
        }
        Ok(())
    }

    /// Every endpoint in use has been bad for so long that it must have been noticed, by a pool that has served for so long.
    fn condemned(&self, place: usize, row: &ServiceRow, pool: usize, served: Duration) -> bool {
        let config = &self.sim.config().services[place].pools[pool];
        let bad = |id: EndpointId, model: ModelEndpoint| {
            let since = self.vigil.ready.get(&id).copied().unwrap_or(self.now()).max(model.since);
            let since = self.now().since(since);
            match model.behaviour {
                behaviour if behaviour.seen_by_traffic() => {
                    config.outlier_detection.is_some() && since.min(served) > FELT
                }
                behaviour if behaviour.seen_by_checks() => config.health_check.is_some() && since > NOTICED,
                _ => false,
            }
        };
        let mut endpoints = row.pools[pool].endpoints.iter();
        !config.members.endpoints().is_empty()
            && endpoints
                .all(|e| e.standing.administrative != Administrative::Ready || bad(e.id, self.sim.endpoint(e.address)))
    }

    /// Every endpoint has been well and in use for so long that the pool must serve if no other does.
    fn well(&self, row: &ServiceRow, pool: usize) -> bool {
        let endpoints = &row.pools[pool].endpoints;
        !endpoints.is_empty()
            && endpoints.iter().all(|e| {
                let model = self.sim.endpoint(e.address);
                let ready = self.vigil.ready.get(&e.id).copied().unwrap_or(self.now());
                model.behaviour == EndpointBehaviour::Up && self.now().since(model.since.max(ready)) > FOUND
            })
    }
}
