//! After the noise: all faults end, and within a bound traffic is good and the service is home.

use std::time::Duration;

use standfast::config::FailbackMode;
use standfast::decision::{ActCommand, Administrative, Operational, Serving};

use super::world::{Verdict, World};

/// Longest freeze, then the longest hold-down (2 s, 8 ×), the longest ejection and its trials, and some slack.
const BOUND: Duration = Duration::from_secs(12 + 16 + 10);

impl World {
    pub fn calm(&mut self) -> Verdict {
        self.noise = false;
        self.sim.repair_all();
        for service in self.sim.config().services.clone().iter() {
            self.order(ActCommand::Unpin { service: service.name.clone() })?;
        }
        for (service, address) in self.addresses() {
            self.order(ActCommand::Administer { service, address, state: Administrative::Ready })?;
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
                if endpoint.standing.operational != Operational::Healthy {
                    return Err(format!("{name}: {} never recovered: {status:?}", endpoint.address));
                }
                if endpoint.suspected {
                    return Err(format!("{name}: {} is suspected for ever: {status:?}", endpoint.address));
                }
            }
            let auto = service.failover.failback.mode == FailbackMode::Auto;
            let first = service.pools.iter().position(|pool| !pool.members.endpoints().is_empty()).unwrap_or(0);
            let home = match &row.serving {
                Serving::Active(active) => *active == first || !auto || status.ordered,
                Serving::Shared(shares) => {
                    !auto
                        || shares
                            .iter()
                            .zip(&service.pools)
                            .all(|(share, pool)| *share > 0 || pool.members.endpoints().is_empty())
                }
                Serving::Starting | Serving::Down => false,
            };
            if !home {
                return Err(format!("{name} ({:?}) is not home: {status:?}", service.mode));
            }
            let answers = self.sim.answers(name);
            let good = answers.last_good.is_some_and(|at| self.now().since(at) < Duration::from_secs(1));
            let bad = answers.last_bad.is_some_and(|at| self.now().since(at) < Duration::from_secs(3));
            if !good || bad {
                return Err(format!("{name}: traffic is not good: {status:?}"));
            }
            if status.frozen_for_ms.is_some() || status.failing_open {
                return Err(format!("{name}: still frozen or failing open: {status:?}"));
            }
        }
        Ok(())
    }
}
