//! [`Role`] and [`Right`]: the table that says which role has which right. Everything that is not in it is denied.

use serde::{Deserialize, Serialize};

use crate::config::AdminRole;

/// A set of rights with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the state.
    Viewer,
    /// Starts and stops drills.
    Drill,
    /// Commands its services.
    Operator,
    /// May do everything.
    Admin,
}

/// One thing that may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Read status, events, incidents and metrics.
    ReadState,
    /// Start and stop drills.
    Drill,
    /// Command a service: switchover, pin, drain and the like.
    Operate,
    /// Put the configuration file into force.
    Reload,
    /// Read the configuration in force, secrets redacted.
    ReadConfig,
    /// Read the audit log.
    ReadAudit,
    /// Read the snapshot of the decision.
    ReadDecision,
    /// Hand over to another binary.
    Upgrade,
}

/// The table: each right with the roles that have it, least first.
const RIGHTS: [(Right, &[Role]); 8] = [
    (Right::ReadState, &[Role::Viewer, Role::Drill, Role::Operator, Role::Admin]),
    (Right::Drill, &[Role::Drill, Role::Admin]),
    (Right::Operate, &[Role::Operator, Role::Admin]),
    (Right::Reload, &[Role::Admin]),
    (Right::ReadConfig, &[Role::Admin]),
    (Right::ReadAudit, &[Role::Admin]),
    (Right::ReadDecision, &[Role::Admin]),
    (Right::Upgrade, &[Role::Admin]),
];

impl Role {
    /// All roles, least first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Drill, Role::Operator, Role::Admin];

    /// Has it this right?
    pub fn has(self, right: Right) -> bool {
        right.roles().contains(&self)
    }

    /// Its word in files and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Drill => "drill",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// As the configuration writes it.
impl From<AdminRole> for Role {
    fn from(written: AdminRole) -> Role {
        match written {
            AdminRole::Viewer => Role::Viewer,
            AdminRole::Drill => Role::Drill,
            AdminRole::Operator => Role::Operator,
            AdminRole::Admin => Role::Admin,
        }
    }
}

impl Right {
    /// All rights, in the order of the table.
    pub fn all() -> impl Iterator<Item = Right> {
        RIGHTS.iter().map(|(right, _)| *right)
    }

    /// The roles that have it, least first.
    pub fn roles(self) -> &'static [Role] {
        RIGHTS.iter().find(|(right, _)| *right == self).map_or(&[], |(_, roles)| *roles)
    }

    /// The role with the fewest rights that is enough.
    pub fn least_role(self) -> Role {
        self.roles().first().copied().unwrap_or(Role::Admin)
    }

    /// What it allows, in words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Right::ReadState => "read status, events, incidents and metrics",
            Right::Drill => "start and stop drills where `drills.allow` names the service",
            Right::Operate => "command services: switchover, failback, pin, thaw, drain and the like",
            Right::Reload => "put the configuration file into force",
            Right::ReadConfig => "read the configuration in force, secrets redacted",
            Right::ReadAudit => "read the audit log",
            Right::ReadDecision => "read the snapshot of the decision",
            Right::Upgrade => "hand over to another binary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_stands_in_the_table_once_and_admin_has_all() {
        let rights = [
            Right::ReadState,
            Right::Drill,
            Right::Operate,
            Right::Reload,
            Right::ReadConfig,
            Right::ReadAudit,
            Right::ReadDecision,
            Right::Upgrade,
        ];
        assert_eq!(Right::all().collect::<Vec<_>>(), rights);
        for right in rights {
            assert!(Role::Admin.has(right), "{right:?}");
        }
    }

    #[test]
    fn each_role_has_what_its_description_says_and_nothing_else() {
        let rights = |role: Role| Right::all().filter(|right| role.has(*right)).collect::<Vec<_>>();
        assert_eq!(rights(Role::Viewer), [Right::ReadState]);
        assert_eq!(rights(Role::Drill), [Right::ReadState, Right::Drill]);
        assert_eq!(rights(Role::Operator), [Right::ReadState, Right::Operate]);
        assert_eq!(rights(Role::Admin).len(), Right::all().count());
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).ok(), Some(serde_json::Value::from(role.as_str())));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
