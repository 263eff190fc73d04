//! [`Act`]: a command to the core as a value, and the core's one answer to it.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Administrative;
use crate::config::Name;
use crate::time::MonoTime;

/// Something that a person or a program commands: carried out at once, or refused with the reason. The core gives each exactly
/// one answer, [`Effect::Acted`](super::Effect::Acted).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The answer refers to it.
    pub id: ActId,
    /// Who commands it.
    pub actor: Actor,
    /// Why, in the actor's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// From this time on it is refused: it was meant for a state that has passed. `None` = it does not expire.
    #[serde(default)]
    pub expires: Option<MonoTime>,
    /// What is to be done.
    pub command: ActCommand,
}

impl Act {
    /// An act without a reason that does not expire.
    pub fn new(id: ActId, actor: Actor, command: ActCommand) -> Act {
        Act { id, actor, reason: None, expires: None, command }
    }
}

/// The number of an act. The sender chooses it; it should not use one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActId(pub u64);

/// The origin of an act or of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ActorForm", into = "ActorForm")]
pub struct Actor {
    /// How it was recognized.
    pub kind: ActorKind,
    /// The name it was recognized by.
    pub name: String,
    /// Where it is: an address, a path or a host; `None` = not known.
    pub origin: Option<String>,
}

/// How an actor was recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActorKind {
    /// A secret token.
    Token,
    /// A client certificate.
    Certificate,
    /// A signed JSON web token (RFC 7519).
    Jwt,
    /// A user of this host.
    Local,
    /// A program that is run at switches.
    Hook,
    /// A drill of the configuration.
    Drill,
    /// Another instance of Standfast.
    Peer,
    /// A signal to the process.
    Signal,
    /// Standfast itself.
    Standfast,
}

impl Actor {
    /// Standfast itself.
    pub fn standfast() -> Actor {
        Actor { kind: ActorKind::Standfast, name: "standfast".to_owned(), origin: None }
    }

    /// A user of this host.
    pub fn local(name: impl Into<String>) -> Actor {
        Actor { kind: ActorKind::Local, name: name.into(), origin: None }
    }

    /// Is it Standfast itself?
    pub fn is_own(&self) -> bool {
        self.kind == ActorKind::Standfast
    }
}

/// How an actor is written: `"standfast"`, or its parts. State files of before have `{"operator": "ada"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ActorForm {
    Own(OwnWord),
    Operator {
        operator: String,
    },
    Parts {
        kind: ActorKind,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OwnWord {
    Standfast,
}

impl From<ActorForm> for Actor {
    fn from(form: ActorForm) -> Actor {
        match form {
            ActorForm::Own(OwnWord::Standfast) => Actor::standfast(),
            ActorForm::Operator { operator } => Actor::local(operator),
            ActorForm::Parts { kind, name, origin } => Actor { kind, name, origin },
        }
    }
}

impl From<Actor> for ActorForm {
    fn from(actor: Actor) -> ActorForm {
        if actor == Actor::standfast() {
            return ActorForm::Own(OwnWord::Standfast);
        }
        let Actor { kind, name, origin } = actor;
        ActorForm::Parts { kind, name, origin }
    }
}

/// What an act asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActCommand {
    /// Go to this pool now (an ordered switchover).
    Switchover {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
    },
    /// Go home now, without waiting for the hold-down.
    Failback {
        /// The service.
        service: Name,
    },
    /// Stay on this pool whatever happens, until unpinned.
    Pin {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
    },
    /// Decide freely again.
    Unpin {
        /// The service.
        service: Name,
    },
    /// End a freeze.
    Thaw {
        /// The service.
        service: Name,
    },
    /// Change an endpoint's administrative state.
    Administer {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
        /// Its new state.
        state: Administrative,
    },
}

impl ActCommand {
    /// The service that it concerns.
    pub fn service(&self) -> &Name {
        match self {
            ActCommand::Switchover { service, .. }
            | ActCommand::Failback { service }
            | ActCommand::Pin { service, .. }
            | ActCommand::Unpin { service }
            | ActCommand::Thaw { service }
            | ActCommand::Administer { service, .. } => service,
        }
    }

    /// Its name in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            ActCommand::Switchover { .. } => "switchover",
            ActCommand::Failback { .. } => "failback",
            ActCommand::Pin { .. } => "pin",
            ActCommand::Unpin { .. } => "unpin",
            ActCommand::Thaw { .. } => "thaw",
            ActCommand::Administer { .. } => "administer",
        }
    }
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// It was carried out.
    Done,
    /// It asked for what is so already.
    NoChange,
    /// It asks for a switch that waits for its gates; [`Effect::Transition`](super::Effect::Transition) tells its end.
    Waiting,
    /// It was not carried out.
    Refused(ActRefusal),
}

impl ActOutcome {
    /// Was it not carried out?
    pub fn is_refused(&self) -> bool {
        matches!(self, ActOutcome::Refused(_))
    }
}

/// Why an act was not carried out. `Display` writes the text and the advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ActRefusal {
    /// Its time has passed.
    Expired,
    /// The configuration has no such service.
    UnknownService {
        /// The name that was given.
        service: Name,
    },
    /// The service has no such pool.
    UnknownPool {
        /// The service.
        service: Name,
        /// The name that was given.
        pool: Name,
        /// The pools that it has.
        known: Vec<Name>,
    },
    /// The service has no endpoint with this address.
    UnknownEndpoint {
        /// The service.
        service: Name,
        /// The address that was given.
        address: SocketAddr,
    },
    /// A switchover has no meaning for an `active_active` service.
    ActiveActive {
        /// The service.
        service: Name,
    },
    /// The service is pinned.
    Pinned {
        /// The service.
        service: Name,
        /// To this pool.
        pool: Name,
    },
    /// The service has not chosen its first pool yet.
    Starting {
        /// The service.
        service: Name,
    },
    /// The pool cannot take the service.
    NotAvailable {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
    },
    /// No pool that the service would rather be on is available.
    NoBetterPool {
        /// The service.
        service: Name,
    },
    /// There is no pin to take away.
    NotPinned {
        /// The service.
        service: Name,
    },
    /// There is no freeze to end.
    NotFrozen {
        /// The service.
        service: Name,
    },
}

impl ActRefusal {
    /// Its name for programs: does not change.
    pub fn code(&self) -> &'static str {
        match self {
            ActRefusal::Expired => "expired",
            ActRefusal::UnknownService { .. } => "unknown_service",
            ActRefusal::UnknownPool { .. } => "unknown_pool",
            ActRefusal::UnknownEndpoint { .. } => "unknown_endpoint",
            ActRefusal::ActiveActive { .. } => "active_active",
            ActRefusal::Pinned { .. } => "pinned",
            ActRefusal::Starting { .. } => "starting",
            ActRefusal::NotAvailable { .. } => "not_available",
            ActRefusal::NoBetterPool { .. } => "no_better_pool",
            ActRefusal::NotPinned { .. } => "not_pinned",
            ActRefusal::NotFrozen { .. } => "not_frozen",
        }
    }

    /// For people: why.
    pub fn text(&self) -> String {
        match self {
            ActRefusal::Expired => "it has expired".to_owned(),
            ActRefusal::UnknownService { service } => format!("there is no service {service}"),
            ActRefusal::UnknownPool { service, pool, .. } => format!("{service} has no pool {pool}"),
            ActRefusal::UnknownEndpoint { service, address } => format!("{service} has no endpoint {address}"),
            ActRefusal::ActiveActive { service } => format!("{service} is active_active"),
            ActRefusal::Pinned { service, pool } => format!("{service} is pinned to {pool}"),
            ActRefusal::Starting { service } => format!("{service} is still choosing its first pool"),
            ActRefusal::NotAvailable { service, pool } => format!("pool {pool} of {service} is not available"),
            ActRefusal::NoBetterPool { service } => format!("no better pool of {service} is available"),
            ActRefusal::NotPinned { service } => format!("{service} is not pinned"),
            ActRefusal::NotFrozen { service } => format!("{service} is not frozen"),
        }
    }

    /// For people: what would make it possible; `None` = nothing has to be done.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            ActRefusal::Expired => "look at the state again, and send a new one".to_owned(),
            ActRefusal::UnknownService { .. } => "`standfast status` lists the services".to_owned(),
            ActRefusal::UnknownPool { known, .. } => {
                let known: Vec<&str> = known.iter().map(|pool| &**pool).collect();
                format!("it has {}", known.join(", "))
            }
            ActRefusal::UnknownEndpoint { .. } => "`standfast status` lists its endpoints".to_owned(),
            ActRefusal::ActiveActive { .. } => "pin it to one pool instead".to_owned(),
            ActRefusal::Pinned { .. } => "unpin it first".to_owned(),
            ActRefusal::Starting { .. } => "try again in a moment".to_owned(),
            ActRefusal::NotAvailable { service, .. } => format!("pin {service} to it to go there nevertheless"),
            ActRefusal::NoBetterPool { .. } => "its endpoints must be healthy first".to_owned(),
            ActRefusal::NotPinned { .. } | ActRefusal::NotFrozen { .. } => return None,
        })
    }
}

impl fmt::Display for ActRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())?;
        self.advice().map_or(Ok(()), |advice| write!(f, ": {advice}"))
    }
}
