//! [`Decision`]: the whole brain as one value. Its shell calls `handle`, `tick`, `deadline` and `effects`.

use serde::{Deserialize, Serialize};

use super::{Effect, Event, Incident, Moment, Saved, ServiceStatus, Table};

/// The failover brain: plain data, deterministic, no clock of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    epoch: u64,
    effects: Vec<Effect>,
    incidents: Vec<Incident>,
}

impl Decision {
    /// A brain that knows no configuration yet; what `saved` remembers is taken up by the first [`Event::Configured`].
    pub fn new(_saved: Option<Saved>, _now: Moment) -> Decision {
        Decision { epoch: 0, effects: Vec::new(), incidents: Vec::new() }
    }

    /// Take in one event; `Configured` comes first.
    pub fn handle(&mut self, _event: Event, _now: Moment) {}

    /// Do what is due; to be called when [`Decision::deadline`] has come (earlier is harmless).
    pub fn tick(&mut self, _now: Moment) {}

    /// The earliest time at which [`Decision::tick`] has something to do.
    pub fn deadline(&self) -> Option<Moment> {
        None
    }

    /// What the shell must do since the last call, in the fixed order: publish, sessions, probes, incidents, records.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// All conclusions, under the newest epoch.
    pub fn table(&self) -> Table {
        Table { epoch: self.epoch, services: Vec::new() }
    }

    /// What is worth keeping over a restart.
    pub fn saved(&self, _now: Moment) -> Saved {
        Saved {
            version: Saved::VERSION,
            epoch: self.epoch,
            next_incident: 0,
            services: Vec::new(),
            incidents: Vec::new(),
        }
    }

    /// The last incidents (at most 64), newest last.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter()
    }

    /// The state for people.
    pub fn status(&self, _now: Moment) -> Vec<ServiceStatus> {
        Vec::new()
    }
}
