//! Commands about endpoints: their administrative state, their weight, and ejections. None takes the last endpoint of a serving pool
//! without being forced to.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::commands::CommandAnswer;
use super::endpoint::{Endpoint, EndpointRules, WeightOverride};
use super::service::Service;
use super::turn::Turn;
use super::{ActCommand, ActOutcome, ActRefusal, Actor, Administrative, Cause, EndpointSelection};
use crate::config::PoolMembers;
use crate::time::MonoTime;

impl Service {
    /// Change the administrative state of endpoints.
    pub fn administer(
        &mut self,
        endpoints: &EndpointSelection,
        state: Administrative,
        force: bool,
        actor: &Actor,
        turn: &mut Turn<'_>,
    ) -> CommandAnswer {
        let selected = self.selected(endpoints)?;
        if state != Administrative::Ready {
            self.refuse_last(&selected, force)?;
        }
        self.out_of_use(actor, turn, |service| {
            let mut changed = false;
            for endpoint in service.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
                if selected.contains(&endpoint.address) {
                    changed |= std::mem::replace(&mut endpoint.administrative, state) != state;
                }
            }
            changed
        })
    }

    /// Give an endpoint another weight than the configured one.
    pub fn weigh(
        &mut self,
        address: SocketAddr,
        (weight, until): (u32, Option<MonoTime>),
        force: bool,
        actor: &Actor,
        turn: &mut Turn<'_>,
    ) -> CommandAnswer {
        if weight > ActCommand::LARGEST_WEIGHT {
            return Err(ActRefusal::WeightTooLarge { weight });
        }
        let selected = self.selected(&EndpointSelection::Address(address))?;
        if weight == 0 {
            self.refuse_last(&selected, force)?;
        }
        self.out_of_use(actor, turn, |service| {
            let endpoint = service.pools.iter_mut().flat_map(|pool| &mut pool.endpoints);
            let endpoint = endpoint.filter(|endpoint| endpoint.address == address);
            endpoint.fold(false, |_, endpoint| endpoint.override_weight(weight, until))
        })
    }

    /// Eject an endpoint as real traffic would.
    pub fn eject_ordered(
        &mut self,
        address: SocketAddr,
        force: bool,
        actor: &Actor,
        turn: &mut Turn<'_>,
    ) -> CommandAnswer {
        let selected = self.selected(&EndpointSelection::Address(address))?;
        self.refuse_last(&selected, force)?;
        let config = self.config.clone();
        let mut changed = false;
        for (pool, meant) in self.pools.iter_mut().zip(&config.pools) {
            let rules = EndpointRules::of(meant, &config.failover);
            for endpoint in pool.endpoints.iter_mut().filter(|endpoint| endpoint.address == address) {
                changed = !endpoint.ejection.holds();
                if changed {
                    endpoint.eject(rules, Cause::Ordered, format!("ejected by {}", actor.name), turn.now);
                }
            }
        }
        Ok(if changed { ActOutcome::Done } else { ActOutcome::NoChange })
    }

    /// End an ejection.
    pub fn uneject(&mut self, address: SocketAddr, actor: &Actor, turn: &Turn<'_>) -> CommandAnswer {
        self.selected(&EndpointSelection::Address(address))?;
        let service = self.name().clone();
        let endpoints = self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints);
        let mut ejected = endpoints.filter(|endpoint| endpoint.address == address && endpoint.ejection.holds());
        let Some(endpoint) = ejected.next() else { return Err(ActRefusal::NotEjected { service, address }) };
        endpoint.acquit(Cause::Ordered, format!("its ejection was ended by {}", actor.name), turn.now);
        Ok(ActOutcome::Done)
    }

    /// Take endpoints out of use, or back into it. If the active pool is left for that, it is left by this actor's order.
    fn out_of_use(
        &mut self,
        actor: &Actor,
        turn: &mut Turn<'_>,
        change: impl FnOnce(&mut Service) -> bool,
    ) -> CommandAnswer {
        let was_available = self.serving.active().is_some_and(|active| self.available(active));
        if !change(self) {
            return Ok(ActOutcome::NoChange);
        }
        let changes = self.conclude_standings(turn.now);
        self.report(changes, turn);
        self.leave_drained_pool(was_available, actor, turn);
        Ok(ActOutcome::Done)
    }

    /// The addresses of these endpoints; there is at least one.
    fn selected(&self, endpoints: &EndpointSelection) -> Result<BTreeSet<SocketAddr>, ActRefusal> {
        let of = |wanted: &dyn Fn(usize) -> bool| -> BTreeSet<SocketAddr> {
            let pools = self.pools.iter().enumerate().filter(|(index, _)| wanted(*index));
            pools.flat_map(|(_, pool)| &pool.endpoints).map(|endpoint| endpoint.address).collect()
        };
        let service = self.name().clone();
        match endpoints {
            EndpointSelection::Address(address) => {
                let known = of(&|_| true).contains(address);
                known
                    .then(|| BTreeSet::from([*address]))
                    .ok_or(ActRefusal::UnknownEndpoint { service, address: *address })
            }
            EndpointSelection::Pool(pool) => self.known(pool).map(|wanted| of(&|index| index == wanted)),
            EndpointSelection::Zone(zone) if self.config.is_in(zone) => {
                Ok(of(&|index| self.config.pools[index].zone.as_ref() == Some(zone)))
            }
            EndpointSelection::Zone(zone) => Err(ActRefusal::unknown_zone(zone, [&*self.config])),
        }
    }

    /// Would a serving pool that is available not be so any more without these endpoints?
    fn refuse_last(&self, without: &BTreeSet<SocketAddr>, force: bool) -> Result<(), ActRefusal> {
        let needed = self.config.failover.min_healthy.max(1);
        let left = |pool: usize| {
            let stays = |e: &&Endpoint| e.usable() && !without.contains(&e.address);
            self.pools[pool].is_static || self.pools[pool].endpoints.iter().filter(stays).count() >= needed
        };
        let lost = (0..self.pools.len()).find(|pool| self.serves(*pool) && self.available(*pool) && !left(*pool));
        let Some(lost) = lost.filter(|_| !force) else { return Ok(()) };
        let next = self.best_available_of(|pool| pool != lost && left(pool));
        let next = next.filter(|_| self.pinned.is_none() && !self.holds_all());
        let name = |pool: usize| self.pools[pool].name.clone();
        Err(ActRefusal::LastEndpoint { service: self.name().clone(), pool: name(lost), next: next.map(name) })
    }

    /// The weights of the configuration, which overrides stand in the place of.
    pub fn configured_weight(&self, address: SocketAddr) -> Option<u32> {
        let members = self.config.pools.iter().map(|pool| &pool.members).flat_map(PoolMembers::endpoints);
        members.filter(|endpoint| endpoint.address == address).map(|endpoint| endpoint.weight).next()
    }

    /// An override of an earlier process, if the configured weight is still the one that it stood in the place of.
    pub fn restore_weight(&mut self, address: SocketAddr, weight: WeightOverride, until: Option<MonoTime>) {
        if self.configured_weight(address) != Some(weight.instead_of) {
            return;
        }
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            if endpoint.address == address {
                endpoint.override_weight(weight.weight, until);
            }
        }
    }
}
