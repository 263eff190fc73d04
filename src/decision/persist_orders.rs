//! What operators have ordered, as it survives a restart: holds, evacuations, pins that end and weights. Times are what is left of
//! them, in microseconds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::WeightOverride;
use super::persist::{LONGEST_TIME, us};
use super::service::Service;
use super::timers::Timer;
use super::{ActCommand, HoldScope, SavedService};
use crate::config::{Name, is_name};
use crate::time::MonoTime;

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHold {
    /// Which switches it keeps from being made.
    pub scope: HoldScope,
    /// How long it still lasts.
    pub left_us: u64,
}

/// A weight in the place of the configured one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWeight {
    /// The endpoint.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// The configured weight that it stands in the place of.
    pub instead_of: u32,
    /// How long it still applies; `None` = until a reload changes the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_us: Option<u64>,
}

impl SavedService {
    /// The orders have less time left. Those that are over are gone.
    pub(super) fn shorten_orders(&mut self, by: Duration) {
        let shorten = |left: &mut u64| {
            *left = left.saturating_sub(us(by));
            *left == 0
        };
        self.hold.take_if(|hold| shorten(&mut hold.left_us));
        self.evacuated.retain_mut(|(_, left)| !shorten(left));
        self.weights.retain_mut(|weight| !weight.left_us.as_mut().is_some_and(shorten));
        if self.pinned_for_us.as_mut().is_some_and(shorten) {
            (self.pinned, self.pinned_for_us) = (None, None);
        }
    }

    /// Takes out orders that cannot be.
    pub(super) fn check_orders(&mut self, left_out: &mut Vec<String>) {
        let mut leave_out = |what: &str| left_out.push(format!("service {}: {what}", self.name));
        if self.hold.take_if(|hold| hold.left_us > LONGEST_TIME).is_some() {
            leave_out("a hold that is longer than any");
        }
        if self.pinned_for_us.take_if(|left| *left > LONGEST_TIME).is_some() {
            leave_out("a pin that is longer than any: it has no end now");
        }
        let mut zones = BTreeSet::new();
        self.evacuated.retain(|(zone, left)| {
            let good = is_name(zone) && *left <= LONGEST_TIME && zones.insert(zone.clone());
            if !good {
                leave_out("an evacuation that cannot be");
            }
            good
        });
        let mut known = BTreeSet::new();
        self.weights.retain(|weight| {
            let good = weight.weight <= ActCommand::LARGEST_WEIGHT
                && weight.left_us.is_none_or(|left| left <= LONGEST_TIME)
                && known.insert(weight.address);
            if !good {
                leave_out(&format!("a weight of {} that cannot be", weight.address));
            }
            good
        });
    }
}

impl Service {
    /// Adds what was ordered.
    pub(super) fn save_orders(&self, saved: &mut SavedService, now: MonoTime) {
        let left = |until: MonoTime| us(until.since(now));
        let hold = self.hold.zip(self.timers.armed(Timer::Hold));
        saved.hold = hold.map(|(scope, until)| SavedHold { scope, left_us: left(until) });
        saved.evacuated = self.evacuated.iter().map(|(zone, until)| (zone.clone(), left(*until))).collect();
        saved.pinned_for_us = self.timers.armed(Timer::Pin).map(left);
        let weights = self.every_endpoint().filter_map(|endpoint| {
            let WeightOverride { weight, instead_of } = endpoint.weight_override()?;
            let left_us = endpoint.timers.armed(Timer::Weight).map(left);
            Some(SavedWeight { address: endpoint.address, weight, instead_of, left_us })
        });
        saved.weights = weights.collect();
    }

    /// Takes up what an earlier process was ordered.
    pub(super) fn restore_orders(&mut self, saved: &SavedService, now: MonoTime) {
        let until = |left: u64| now.after(Duration::from_micros(left));
        if let Some(hold) = &saved.hold {
            self.hold_until(hold.scope, until(hold.left_us));
        }
        let zones = |(zone, left): &(Name, u64)| self.config.is_in(zone).then(|| (zone.clone(), until(*left)));
        self.evacuated = saved.evacuated.iter().filter_map(zones).collect();
        self.time_evacuations();
        if let Some(left) = saved.pinned_for_us.filter(|_| self.pinned.is_some()) {
            self.timers.arm(Timer::Pin, until(left));
        }
        for SavedWeight { address, weight, instead_of, left_us } in &saved.weights {
            let weight = WeightOverride { weight: *weight, instead_of: *instead_of };
            self.restore_weight(*address, weight, left_us.map(until));
        }
    }
}
