//! The sweep: what workers counted since the last time becomes one digest per changed endpoint, and the first good answer
//! after a switch becomes an event.

use std::collections::HashMap;

use super::places::EndpointPlaces;
use crate::config::{Config, Name};
use crate::decision::{EndpointId, Event};
use crate::routing::{DigestCursor, RoutingTable};
use crate::time::MonoTime;

/// How far each counter has been read.
#[derive(Debug, Default)]
pub(super) struct CounterSweep {
    cursors: HashMap<EndpointId, DigestCursor>,
    /// The switch of each service whose first good answer was told.
    told: HashMap<Name, u64>,
}

impl CounterSweep {
    /// Everything new, endpoints first: an answer closes what their evidence opened.
    pub(super) fn take(&mut self, table: &RoutingTable, now: MonoTime) -> Vec<Event> {
        let mut news = Vec::new();
        for service in &table.services {
            for endpoint in service.pools.iter().flat_map(|pool| &pool.endpoints) {
                let cursor = self.cursors.entry(endpoint.id).or_default();
                if let Some(mut digest) = endpoint.stats.take_digest(cursor) {
                    let told = !digest.reports.is_empty() || digest.silence.is_some();
                    digest.callers = told.then(|| service.stats.callers.count(now));
                    news.push(Event::InBand { endpoint: endpoint.id, seen: now, digest });
                }
            }
        }
        for service in &table.services {
            let Some(first) = &service.awaiting else { continue };
            let (name, epoch) = (&service.config.name, first.epoch);
            if let Some(seen) = first.seen()
                && self.told.get(name) != Some(&epoch)
            {
                self.told.insert(name.clone(), epoch);
                news.push(Event::Answered { service: name.clone(), epoch, seen });
            }
        }
        news
    }

    /// Forget endpoints and services that are gone.
    pub(super) fn keep(&mut self, places: &EndpointPlaces, config: &Config) {
        self.told.retain(|name, _| config.services.iter().any(|service| service.name == *name));
        self.cursors.retain(|endpoint, _| places.contains_key(endpoint));
    }
}
