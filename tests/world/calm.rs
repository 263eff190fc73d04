//! After the noise: all faults end, and within a bound traffic is good and the service is home.

use std::time::Duration;

use standfast::config::{FailbackMode, Pool, Service};
use standfast::decision::{ActCommand, Administrative, EndpointSelection, Operational, Serving};

use super::scene::ZONES;
use super::world::{Verdict, World, ensure};

/// Longest freeze, then the longest hold-down (2 s, 8 ×), the longest ejection and its trials, and some slack.
const BOUND: Duration = Duration::from_secs(12 + 16 + 10);

impl World {
    pub fn calm(&mut self) -> Verdict {
        self.noise = false;
        self.sim.repair_all();
        for service in self.sim.config().services.clone().iter() {
            self.order(ActCommand::Unpin { service: service.name.clone() })?;
            self.order(ActCommand::Release { service: service.name.clone() })?;
        }
        for zone in ZONES {
            let services = self.services_in(&zone.into());
            self.order(ActCommand::Return { zone: zone.into(), services })?;
        }
        for (service, address) in self.addresses() {
            let endpoints = EndpointSelection::Address(address);
            let (state, force) = (Administrative::Ready, false);
            self.order(ActCommand::Administer { service: service.clone(), endpoints, state, force })?;
            self.order(ActCommand::Uneject { service, address })?;
        }
        self.run(BOUND)?;
        self.all_is_well()
    }

    fn all_is_well(&self) -> Verdict {
        let status = self.sim.decision().status(self.now());
        for ((row, service), status) in
            self.sim.decision().table().services.iter().zip(&self.sim.config().services).zip(&status)
        {
            let name = &row.name;
            for endpoint in row.pools.iter().flat_map(|pool| &pool.endpoints) {
                let healthy = endpoint.standing.operational == Operational::Healthy;
                ensure!(healthy, "{name}: {} never recovered: {status:?}", endpoint.address);
                ensure!(!endpoint.suspected, "{name}: {} is suspected for ever: {status:?}", endpoint.address);
            }
            let home = is_home(service, &row.serving, status.ordered);
            ensure!(home, "{name} ({:?}) is not home: {status:?}", service.mode);
            let answers = self.sim.answers(name);
            let good = answers.last_good.is_some_and(|at| self.now().since(at) < Duration::from_secs(1));
            let bad = answers.last_bad.is_some_and(|at| self.now().since(at) < Duration::from_secs(3));
            ensure!(good && !bad, "{name}: traffic is not good: {status:?}");
            let free = status.frozen_for_ms.is_none() && !status.failing_open;
            ensure!(free, "{name}: still frozen or failing open: {status:?}");
        }
        Ok(())
    }
}

/// Is the service at home, or need it not be?
pub fn is_home(service: &Service, serving: &Serving, ordered: bool) -> bool {
    let auto = service.failover.failback.mode == FailbackMode::Auto;
    let page = |pool: &Pool| pool.members.endpoints().is_empty();
    let first = service.pools.iter().position(|pool| !page(pool)).unwrap_or(0);
    match serving {
        Serving::Active(active) => *active == first || !auto || ordered,
        Serving::Shared(shares) => {
            !auto || shares.iter().zip(&service.pools).all(|(share, pool)| *share > 0 || page(pool))
        }
        Serving::Starting | Serving::Down => false,
    }
}
