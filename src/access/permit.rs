//! [`authorise`]: the one way from an act to an [`ActPermit`]. Deny by default.

use super::role::{Right, Role};
use super::scope::ServiceScope;
use crate::decision::{Act, ActCommand, ActTarget};

/// A role, on some services. An actor may have several; each is looked at by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub role: Role,
    /// To which services.
    pub services: ServiceScope,
}

impl Grant {
    /// Everything, everywhere: the process itself, and root on its socket.
    pub fn admin() -> Grant {
        Grant { role: Role::Admin, services: ServiceScope::all() }
    }

    fn allows(&self, right: Right, service: Option<&str>) -> bool {
        let covered = match service {
            Some(service) => self.services.covers(service),
            None => self.services.covers_all(),
        };
        covered && self.role.has(right)
    }
}

/// An act that is allowed. [`authorise`] alone makes one, so that what takes a permit cannot be reached without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActPermit {
    act: Act,
}

impl ActPermit {
    /// The act.
    pub fn act(&self) -> &Act {
        &self.act
    }

    /// The act, to be carried out.
    pub fn into_act(self) -> Act {
        self.act
    }
}

/// Why an act, or reading something, is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} needs the role {} on {}", needs.as_str(), on(service.as_deref()))]
pub struct Denied {
    /// What was asked for.
    pub what: &'static str,
    /// The role with the fewest rights that would be enough.
    pub needs: Role,
    /// On this service; `None` = on all of them.
    pub service: Option<String>,
}

fn on(service: Option<&str>) -> String {
    service.map_or_else(|| "all services".to_owned(), |service| format!("service {service}"))
}

/// May the actor with these grants do this? Whether the service exists is not asked here: a refusal must not tell.
pub fn authorise(grants: &[Grant], act: Act) -> Result<ActPermit, Denied> {
    let (right, what) = (right_of(&act.command), act.command.as_str());
    match act.command.target() {
        ActTarget::Service(service) => allowed(grants, right, Some(service), what)?,
        // (Of no service: then what it is about is not there, and that is not for everyone to learn.)
        ActTarget::Services([]) | ActTarget::Instance => allowed(grants, right, None, what)?,
        ActTarget::Services(services) => {
            // (Which of them is not allowed, or whether there are any, is not told.)
            let all = services.iter().all(|service| allowed(grants, right, Some(service), what).is_ok());
            if !all {
                return Err(Denied { what, needs: right.least_role(), service: None });
            }
        }
    }
    Ok(ActPermit { act })
}

/// May an actor with these grants use this right on this service (`None`: on the instance)? For everything that is no act.
pub fn authorise_right(grants: &[Grant], right: Right, service: Option<&str>) -> Result<(), Denied> {
    allowed(grants, right, service, right.meaning())
}

fn allowed(grants: &[Grant], right: Right, service: Option<&str>, what: &'static str) -> Result<(), Denied> {
    match grants.iter().any(|grant| grant.allows(right, service)) {
        true => Ok(()),
        false => Err(Denied { what, needs: right.least_role(), service: service.map(str::to_owned) }),
    }
}

/// The right that a command needs. No command is without one: a new one does not compile before it stands here.
pub const fn right_of(command: &ActCommand) -> Right {
    match command {
        ActCommand::Switchover { .. }
        | ActCommand::Failback { .. }
        | ActCommand::Pin { .. }
        | ActCommand::Unpin { .. }
        | ActCommand::Thaw { .. }
        | ActCommand::Hold { .. }
        | ActCommand::Release { .. }
        | ActCommand::Administer { .. }
        | ActCommand::Weight { .. }
        | ActCommand::Eject { .. }
        | ActCommand::Uneject { .. }
        | ActCommand::Accept { .. }
        | ActCommand::Evacuate { .. }
        | ActCommand::Return { .. } => Right::Operate,
        ActCommand::Reload => Right::Reload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Name;
    use crate::decision::{ActId, ActUntil, Actor, Administrative, EndpointSelection, HoldScope};
    use crate::time::MonoTime;

    fn grant(role: Role, services: &[&str]) -> Grant {
        Grant { role, services: ServiceScope::parse(services.iter().copied()).expect("patterns") }
    }

    fn commands() -> Vec<ActCommand> {
        let (service, pool) = (|| "shop".into(), || "eu".into());
        let address = "192.0.2.1:80".parse().expect("an address");
        vec![
            ActCommand::Switchover { service: service(), pool: pool() },
            ActCommand::Failback { service: service() },
            ActCommand::Pin { service: service(), pool: pool(), until: None },
            ActCommand::Unpin { service: service() },
            ActCommand::Thaw { service: service() },
            ActCommand::Hold { service: service(), scope: HoldScope::All, until: until() },
            ActCommand::Release { service: service() },
            ActCommand::Administer {
                service: service(),
                endpoints: EndpointSelection::Address(address),
                state: Administrative::Drain,
                force: false,
            },
            ActCommand::Weight { service: service(), address, weight: 7, until: None, force: false },
            ActCommand::Eject { service: service(), address, force: false },
            ActCommand::Uneject { service: service(), address },
            ActCommand::Accept { service: service(), address },
            ActCommand::Evacuate { zone: pool(), until: until(), partial: true, services: vec![service()] },
            ActCommand::Return { zone: pool(), services: vec![service()] },
        ]
    }

    fn until() -> ActUntil {
        ActUntil { at: MonoTime::ZERO, said: "1h".to_owned() }
    }

    fn act(command: ActCommand) -> Act {
        Act::new(ActId(1), Actor::local("ada"), command)
    }

    #[test]
    fn the_table_of_roles_scopes_and_commands() {
        // Role, services, and whether commands about `shop` are allowed.
        type Case = (&'static [(Role, &'static [&'static str])], bool);
        let table: [Case; 9] = [
            (&[], false),
            (&[(Role::Viewer, &["*"])], false),
            (&[(Role::Drill, &["*"])], false),
            (&[(Role::Operator, &["shop"])], true),
            (&[(Role::Operator, &["sho*"])], true),
            (&[(Role::Operator, &["pay"])], false),
            (&[(Role::Admin, &["*"])], true),
            (&[(Role::Admin, &["pay"])], false),
            // Two grants do not add up: a role here and a service there.
            (&[(Role::Operator, &["pay"]), (Role::Viewer, &["shop"])], false),
        ];
        for (grants, wanted) in table {
            let grants: Vec<_> = grants.iter().map(|(role, services)| grant(*role, services)).collect();
            for command in commands() {
                let outcome = authorise(&grants, act(command.clone()));
                assert_eq!(outcome.is_ok(), wanted, "{grants:?} {command:?}");
                if let Err(denied) = outcome {
                    let service = command.service().map(|service| &**service);
                    assert_eq!((denied.needs, denied.service.as_deref()), (Role::Operator, service));
                }
            }
        }
    }

    #[test]
    fn what_concerns_several_services_needs_all_of_them() {
        let evacuate = |services: &[&str]| {
            let services = services.iter().map(|name| Name::from(*name)).collect();
            act(ActCommand::Evacuate { zone: "eu".into(), until: until(), partial: true, services })
        };
        let grants = [grant(Role::Operator, &["shop"]), grant(Role::Operator, &["pay"]), grant(Role::Viewer, &["*"])];
        assert!(authorise(&grants, evacuate(&["shop", "pay"])).is_ok());
        let denied = authorise(&grants, evacuate(&["shop", "bank", "pay"])).expect_err("one is not allowed");
        assert_eq!((denied.needs, denied.service.as_deref()), (Role::Operator, None), "a refusal must not tell");
        assert!(authorise(&grants, evacuate(&[])).is_err() && authorise(&[Grant::admin()], evacuate(&[])).is_ok());
    }

    #[test]
    fn a_reload_is_for_admins_of_everything() {
        let reload = || act(ActCommand::Reload);
        assert!(authorise(&[Grant::admin()], reload()).is_ok());
        for wrong in [grant(Role::Operator, &["*"]), grant(Role::Admin, &["shop"])] {
            let denied = authorise(std::slice::from_ref(&wrong), reload()).expect_err("not enough");
            assert_eq!((denied.needs, denied.service), (Role::Admin, None), "{wrong:?}");
        }
    }

    #[test]
    fn what_concerns_the_instance_needs_all_services() {
        let some = [grant(Role::Admin, &["shop", "pay-*"])];
        let denied = authorise_right(&some, Right::Reload, None).expect_err("some services");
        assert_eq!(denied.needs, Role::Admin);
        assert!(denied.to_string().ends_with("needs the role admin on all services"), "{denied}");
        assert_eq!(authorise_right(&[Grant::admin()], Right::Reload, None), Ok(()));
    }

    #[test]
    fn a_denial_says_the_role_that_would_be_enough() {
        for right in Right::all() {
            let denied = authorise_right(&[], right, Some("shop")).expect_err("no grants");
            assert_eq!(authorise_right(&[grant(denied.needs, &["shop"])], right, Some("shop")), Ok(()), "{right:?}");
        }
    }
}
