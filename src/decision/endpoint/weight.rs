//! [`EndpointWeight`]: the weight of an endpoint as far as decisions depend on it, and an operator's weight in the place of the
//! configured one. It ends with the endpoint's timer `Weight`.

use serde::{Deserialize, Serialize};

use super::super::timers::{Timer, Timers};
use crate::time::MonoTime;

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
}

impl Default for EndpointWeight {
    fn default() -> EndpointWeight {
        EndpointWeight { configured: 1, order: None }
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

    /// It gets no new work.
    pub fn is_zero(self) -> bool {
        self.order.map_or(self.configured, |order| order.weight) == 0
    }
}
