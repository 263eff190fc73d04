//! [`Caller`]: the sender of a request as its credential names it, with what it may do. Every request that reaches a route has
//! one in its extensions, but for paths that are [open](super::gate::is_open).

use std::net::IpAddr;

use crate::access::jwt::LONGEST_SUBJECT;
use crate::access::{Grant, JwtIdentity, Role, ServiceScope, TokenEntry};
use crate::decision::{Actor, ActorKind};
use crate::text::shortened;

/// The user that the kernel shows for users of another namespace. It stands for no single user.
const OVERFLOW_UID: u32 = 65_534;

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its name on the record.
    pub actor: Actor,
    /// What it may do; each grant is looked at by itself.
    pub grants: Vec<Grant>,
    /// The address it connects from; `None` = the unix socket.
    pub source: Option<IpAddr>,
}

impl Caller {
    /// Without a credential: it may read.
    pub fn anonymous(source: IpAddr) -> Caller {
        let actor =
            Actor { kind: ActorKind::Anonymous, name: "anonymous".to_owned(), origin: Some(source.to_string()) };
        let viewer = Grant { role: Role::Viewer, services: ServiceScope::all() };
        Caller { actor, grants: vec![viewer], source: Some(source) }
    }

    /// With a token of the tokens file. Two tokens may have one name: the id tells them apart.
    pub fn with_token(token: &TokenEntry, source: IpAddr) -> Caller {
        let name = format!("{}({})", token.name, token.id);
        let actor = Actor { kind: ActorKind::Token, name, origin: Some(source.to_string()) };
        Caller { actor, grants: vec![token.grant.clone()], source: Some(source) }
    }

    /// With a JSON web token.
    pub fn with_jwt(identity: JwtIdentity, source: IpAddr) -> Caller {
        Caller { actor: jwt_actor(&identity.subject, source), grants: vec![identity.grant], source: Some(source) }
    }

    /// A user of this host, on the unix socket at `path`. Root and the user of this process (`own`) may do everything, others
    /// have `role` on all services.
    pub fn local(uid: u32, own: u32, user: Option<&str>, role: Role, path: &str) -> Caller {
        let is_own = uid == 0 || uid == own && uid != OVERFLOW_UID;
        let role = if is_own { Role::Admin } else { role };
        let actor =
            Actor { origin: Some(path.to_owned()), ..Actor::local(format!("{}({uid})", user.unwrap_or("uid"))) };
        Caller { actor, grants: vec![Grant { role, services: ServiceScope::all() }], source: None }
    }
}

/// The subject of a token that its issuer has signed.
pub(super) fn jwt_actor(subject: &str, source: IpAddr) -> Actor {
    Actor { kind: ActorKind::Jwt, name: shortened(subject, LONGEST_SUBJECT), origin: Some(source.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_own_user_are_admin_and_others_have_the_role_of_the_socket() {
        let role = |uid, own| Caller::local(uid, own, None, Role::Viewer, "/run/s").grants[0].role;
        for (uid, own, expected) in [
            (0, 999, Role::Admin),
            (999, 999, Role::Admin),
            (1000, 999, Role::Viewer),
            (OVERFLOW_UID, OVERFLOW_UID, Role::Viewer),
        ] {
            assert_eq!(role(uid, own), expected, "{uid} {own}");
        }
        let ada = Caller::local(1000, 0, Some("ada"), Role::Operator, "/run/s").actor;
        assert_eq!(
            (ada.kind, ada.name.as_str(), ada.origin.as_deref()),
            (ActorKind::Local, "ada(1000)", Some("/run/s"))
        );
    }
}
