//! [`EndpointWeight`]: the weight of an endpoint as far as decisions depend on it, and an operator's weight in the place of the
//! configured one. It ends with the endpoint's timer `Weight`.

use serde::{Deserialize, Serialize};

use super::super::timers::{Timer, Timers};
use crate::time::MonoTime;

/// All of a weight, in percent.
const WHOLE: u16 = 100;

/// An operator's weight of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::decision) struct WeightOverride {
    pub weight: u32,
    /// The configured weight of then: when a reload changes it, the operator's ends.
    pub instead_of: u32,
}

/// The weights of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::decision) struct EndpointWeight {
    configured: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<WeightOverride>,
    /// What its agent stated as its share, in percent of its weight; `None`: its check is no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<u16>,
}

impl Default for EndpointWeight {
    fn default() -> EndpointWeight {
        EndpointWeight { configured: 1, order: None, share: None }
    }
}

impl EndpointWeight {
    /// The configuration says this; another weight than before ends an operator's.
    pub fn configure(&mut self, weight: u32, timers: &mut Timers) {
        self.configured = weight;
        if self.order.is_some_and(|order| order.instead_of != weight) {
            self.end(timers);
        }
    }

    /// An operator says this until then. Returns whether that is new.
    pub fn order(&mut self, weight: u32, until: Option<MonoTime>, timers: &mut Timers) -> bool {
        let order = WeightOverride { weight, instead_of: self.configured };
        let before = (self.order.replace(order), timers.armed(Timer::Weight));
        timers.set(Timer::Weight, until);
        before != (Some(order), until)
    }

    /// The operator's weight.
    pub fn ordered(self) -> Option<WeightOverride> {
        self.order
    }

    /// The operator's weight ends if its time is over. Returns whether it did.
    pub fn end_at(&mut self, timers: &mut Timers, now: MonoTime) -> bool {
        let over = timers.fired(Timer::Weight, now);
        if over {
            self.end(timers);
        }
        over
    }

    fn end(&mut self, timers: &mut Timers) {
        self.order = None;
        timers.disarm(Timer::Weight);
    }

    /// Its check is an agent, or is none. A new agent has stated nothing yet.
    pub fn follow_agent(&mut self, follow: bool) {
        self.share = follow.then(|| self.share.unwrap_or(WHOLE));
    }

    /// Its agent states this. Returns whether that is new.
    pub fn state_share(&mut self, percent: u16) -> bool {
        self.share.is_some_and(|before| before != percent) && {
            self.share = Some(percent);
            true
        }
    }

    /// Its agent takes it out of use.
    pub fn is_drained_by_agent(self) -> bool {
        self.share == Some(0)
    }

    /// It gets no new work.
    pub fn is_zero(self) -> bool {
        self.is_drained_by_agent() || self.order.map_or(self.configured, |order| order.weight) == 0
    }

    /// What counts in the place of the configured weight. All endpoints of a pool have agents, or none has: so the weights of those that
    /// have are in hundredths.
    pub fn in_force(self) -> Option<u32> {
        let order = self.order.map(|order| order.weight);
        match self.share {
            Some(share) => Some(order.unwrap_or(self.configured).saturating_mul(u32::from(share))),
            None => order,
        }
    }
}
