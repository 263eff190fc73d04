//! [`authorise`]: the one way from an act to a [`Permit`]. Deny by default.

use super::role::{Right, Role};
use super::scope::ServiceScope;
use crate::decision::{Act, ActCommand};

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
pub struct Permit {
    act: Act,
}

impl Permit {
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
pub fn authorise(grants: &[Grant], act: Act) -> Result<Permit, Denied> {
    let (right, service) = (right_of(&act.command), act.command.service());
    let service = Some(&**service);
    allowed(grants, right, service, act.command.as_str())?;
    Ok(Permit { act })
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
fn right_of(command: &ActCommand) -> Right {
    match command {
        ActCommand::Switchover { .. }
        | ActCommand::Failback { .. }
        | ActCommand::Pin { .. }
        | ActCommand::Unpin { .. }
        | ActCommand::Thaw { .. }
        | ActCommand::Administer { .. } => Right::Operate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{ActId, Actor, Administrative};

    fn grant(role: Role, services: &[&str]) -> Grant {
        Grant { role, services: ServiceScope::parse(services.iter().copied()).expect("patterns") }
    }

    fn commands() -> Vec<ActCommand> {
        let (service, pool) = (|| "shop".into(), || "eu".into());
        vec![
            ActCommand::Switchover { service: service(), pool: pool() },
            ActCommand::Failback { service: service() },
            ActCommand::Pin { service: service(), pool: pool() },
            ActCommand::Unpin { service: service() },
            ActCommand::Thaw { service: service() },
            ActCommand::Administer {
                service: service(),
                address: "192.0.2.1:80".parse().expect("an address"),
                state: Administrative::Drain,
            },
        ]
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
                    assert_eq!((denied.needs, denied.service.as_deref()), (Role::Operator, Some("shop")));
                }
            }
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
