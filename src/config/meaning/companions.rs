//! `failover.follow`: services that move together.

use std::collections::HashMap;

use super::diagnostics::Diagnostics;
use super::services::{PoolsByName, ServiceIndex, ServicesByName};
use crate::config::advice::nearest;
use crate::config::model::{FailbackMode, LeadingService, Mode, Name, Service, Sessions};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::{NodeId, shorten};

/// Finds the service that each one follows, and checks that both can be at the same place.
pub(super) fn companions(diagnostics: &mut Diagnostics, file: &schema::File, services: &mut ServiceIndex) {
    let typed = ServicesByName::of(file);
    let mut leaders: HashMap<Name, (LeadingService, bool)> = HashMap::new();
    for named in &services.list {
        let Some(failover) = typed.find(&named.name).and_then(|(_, typed)| typed.get()?.failover.get()) else {
            continue;
        };
        let Some((at, leader)) = failover.follow.found() else {
            if let Some(at) = failover.votes.at() {
                let what = "`votes` has no effect: the service follows no other one";
                diagnostics.warning(at, what, "write `follow: SERVICE`, or leave it out");
            }
            continue;
        };
        let Some(found) = services.find(leader) else {
            let names: Vec<&str> = services.list.iter().map(|service| &*service.name).collect();
            diagnostics.problem(at, format!("there is no service `{}`", shorten(leader)), nearest(leader, &names));
            continue;
        };
        let further = typed.find(leader).and_then(|(_, typed)| typed.get()?.failover.get()?.follow.found());
        if named.name == found.name {
            diagnostics.problem(at, "a service cannot follow itself", "name the service that decides, or leave it out");
        } else if let Some((_, further)) = further {
            let what = format!("`{leader}` follows `{}` itself: there is one leader, and no chain", shorten(further));
            diagnostics.problem(at, what, format!("write `follow: {}` here too", shorten(further)));
        } else if let Some((leader, own)) = found.meaning.as_ref().zip(named.meaning.as_ref()) {
            let mut pair = Pair { diagnostics, typed: &typed, at, leader, own };
            if pair.can_move_together(failover) {
                let votes = failover.votes.get().is_none_or(|votes| votes.0);
                let closes = leader.failover.following.is_some() && failover.sessions.at().is_none();
                let leader = LeadingService { name: leader.name.clone(), votes };
                leaders.insert(named.name.clone(), (leader, closes));
            }
        }
    }
    for service in services.list.iter_mut().filter_map(|named| named.meaning.as_mut()) {
        let Some((leader, closes)) = leaders.remove(&service.name) else { continue };
        // (What goes on at the former primary's side would write there.)
        if closes {
            service.failover.sessions = Sessions::Close;
        }
        service.failover.failback.mode = FailbackMode::Manual;
        service.failover.leader = Some(leader);
    }
}

/// A service, and the one that it is to follow.
struct Pair<'a, 'd> {
    diagnostics: &'a mut Diagnostics<'d>,
    typed: &'a ServicesByName<'a>,
    at: NodeId,
    leader: &'a Service,
    own: &'a Service,
}

impl Pair<'_, '_> {
    /// What keeps them from moving together is a problem, and what has no effect then a warning.
    fn can_move_together(&mut self, failover: &schema::Failover) -> bool {
        let (leader, own) = (self.leader, self.own);
        let before = self.diagnostics.found.errors();
        if own.failover.following.is_some() {
            let what = "its own checks say where this service goes, and so would the service that it follows";
            self.diagnostics.problem(self.at, what, "leave `role` out of its checks, or leave `follow` out");
        }
        if let Some(shared) = [own, leader].into_iter().find(|service| service.mode == Mode::ActiveActive) {
            let what = format!("service `{}` is `active_active`: there is no one pool to follow", shared.name);
            self.diagnostics.problem(self.at, what, "only `active_passive` services move together");
        }
        self.check_pools(own, leader);
        self.check_pools(leader, own);
        if let Some(at) = failover.failback.at().filter(|_| own.failover.failback.mode == FailbackMode::Auto) {
            let what = format!("`failback` has no effect: service `{}` says when", leader.name);
            self.diagnostics.warning(at, what, "leave it out, or give it to that one");
        }
        let is_useless = leader.failover.following.is_some() && failover.votes.get().is_some_and(|votes| votes.0);
        if let Some(at) = failover.votes.at().filter(|_| is_useless) {
            let what = format!("`votes` has no effect: service `{}` goes where its primary is", leader.name);
            self.diagnostics.warning(at, what, "leave it out");
        }
        self.diagnostics.found.errors() == before
    }

    /// Each pool with endpoints of the first service must be one of the second.
    fn check_pools(&mut self, of: &Service, to: &Service) {
        for pool in of.pools.iter().filter(|pool| !pool.is_static()) {
            if to.pools.iter().any(|other| other.name == pool.name && !other.is_static()) {
                continue;
            }
            let what = format!(
                "pool `{}` of service `{}` has no match in service `{}`: pools of services that move together are \
                 matched by name",
                pool.name, of.name, to.name
            );
            let at = self.place_of(&of.name, &pool.name).unwrap_or(self.at);
            self.diagnostics.problem(at, what, format!("give `{}` a pool `{}`", to.name, pool.name));
        }
    }

    fn place_of(&self, service: &str, pool: &str) -> Option<NodeId> {
        let typed = self.typed.find(service)?.1.get()?;
        PoolsByName::of(typed).find(pool).and_then(Spanned::at)
    }
}
