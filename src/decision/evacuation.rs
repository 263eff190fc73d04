//! An evacuation: the pools of a zone are left, and are used only where no other is available, until its time is over. Then the
//! service comes home by the ordinary rules.

use super::service::Service;
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::turn::Turn;
use super::{ActRefusal, Actor, ServiceStays, Serving, SwitchKind};
use crate::config::Name;
use crate::time::MonoTime;

impl Service {
    /// The evacuated zone that this pool is in.
    pub fn evacuated_zone(&self, pool: usize) -> Option<&Name> {
        self.config.pools[pool].zone.as_ref().filter(|zone| self.evacuated.contains_key(*zone))
    }

    /// Is this pool used only where no other is available?
    pub fn is_evacuated(&self, pool: usize) -> bool {
        self.evacuated_zone(pool).is_some()
    }

    /// Nothing but a pin leads to a pool that is evacuated.
    pub fn refuse_evacuated(&self, pool: usize) -> Result<(), ActRefusal> {
        let Some(zone) = self.evacuated_zone(pool).cloned() else { return Ok(()) };
        let (service, pool) = (self.name().clone(), self.pools[pool].name.clone());
        Err(ActRefusal::Evacuated { service, pool, zone })
    }

    /// Where the service goes when it leaves this zone; `None` = it is not there. `Err`: it cannot leave.
    pub fn way_out_of(&self, zone: &Name) -> Result<Option<usize>, ServiceStays> {
        let is_there = |pool: usize| self.config.pools[pool].zone.as_ref() == Some(zone);
        let serving: Vec<usize> = (0..self.pools.len()).filter(|pool| self.serves(*pool)).collect();
        let refuse = |why: String| Err(ServiceStays { service: self.name().clone(), why });
        if self.follows().is_some() {
            return refuse("it goes where its primary is".to_owned());
        }
        if self.serving == Serving::Starting {
            return refuse("it is still choosing its first pool".to_owned());
        }
        if !serving.iter().any(|pool| is_there(*pool)) {
            return Ok(None);
        }
        if let Some(pin) = &self.pinned {
            return refuse(format!("it is pinned to {pin}"));
        }
        if self.hold.is_some() {
            return refuse("it is held".to_owned());
        }
        let outside = |pool: &usize| {
            !is_there(*pool) && !self.pools[*pool].is_static && !self.is_evacuated(*pool) && self.available(*pool)
        };
        // (Where pools share the traffic, those that have a share take it.)
        let sharing = serving.iter().copied().find(outside);
        match sharing.or_else(|| (0..self.pools.len()).find(outside)) {
            Some(to) => Ok(Some(to)),
            None => refuse("no pool outside it is available".to_owned()),
        }
    }

    /// Leave this zone until then, for this pool where the service is in it.
    pub fn evacuate(&mut self, zone: &Name, until: MonoTime, to: Option<usize>, actor: &Actor, turn: &mut Turn<'_>) {
        self.evacuated.insert(zone.clone(), until);
        self.time_evacuations();
        self.note_decided();
        let Some(to) = to else { return };
        let switch = IntendedSwitch { actor: actor.clone(), ..IntendedSwitch::own(SwitchKind::Switchover, Some(to)) };
        if let Serving::Shared(_) = self.serving {
            // (It takes the shares at once, whatever it has still to prove.)
            let taken = self.pools[to].name.clone();
            self.lost.remove(&taken);
            let from = (0..self.pools.len()).find(|pool| self.serves(*pool) && self.is_evacuated(*pool));
            self.moved(switch, from, turn);
        } else {
            self.intend(switch, turn);
        }
    }

    /// The evacuation of this zone is over. Returns whether there was one.
    pub fn end_evacuation(&mut self, zone: &Name) -> bool {
        let ended = self.evacuated.remove(zone).is_some();
        self.time_evacuations();
        if ended {
            self.note_decided();
        }
        ended
    }

    /// Evacuations whose time is over end. Returns whether one did.
    pub fn end_evacuations(&mut self, now: MonoTime) -> bool {
        let before = self.evacuated.len();
        self.evacuated.retain(|_, until| *until > now);
        self.time_evacuations();
        self.evacuated.len() != before
    }

    /// A reload has changed the zones of pools.
    pub fn keep_zones(&mut self) {
        let config = &self.config;
        self.evacuated.retain(|zone, _| config.is_in(zone));
        self.time_evacuations();
    }

    pub fn time_evacuations(&mut self) {
        self.timers.set(Timer::Evacuation, self.evacuated.values().min().copied());
    }
}
