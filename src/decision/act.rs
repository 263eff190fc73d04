//! [`Act`]: a command to the core as a value, and the core's one answer to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ActCommand, ActRefusal, ServiceStays};
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

/// The number of an act, of 128 bits, written as 32 hexadecimal digits. The sender chooses it, and uses none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "ActIdForm", into = "String")]
pub struct ActId(pub u128);

/// A text is not the id of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an act: 32 hexadecimal digits, or a UUID")]
pub struct ParseActIdError;

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ActId {
    type Err = ParseActIdError;

    fn from_str(text: &str) -> Result<ActId, ParseActIdError> {
        let is_uuid = text.len() == 36 && [8, 13, 18, 23].iter().all(|dash| text.as_bytes()[*dash] == b'-');
        let digits = if is_uuid { text.replace('-', "") } else { text.to_owned() };
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParseActIdError);
        }
        u128::from_str_radix(&digits, 16).map(ActId).map_err(|_| ParseActIdError)
    }
}

/// How an id is written. Journals of before have a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum ActIdForm {
    Number(u64),
    Digits(ActIdDigits),
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ActIdDigits(ActId);

impl TryFrom<String> for ActIdDigits {
    type Error = ParseActIdError;

    fn try_from(text: String) -> Result<ActIdDigits, ParseActIdError> {
        text.parse().map(ActIdDigits)
    }
}

impl From<ActIdForm> for ActId {
    fn from(form: ActIdForm) -> ActId {
        match form {
            ActIdForm::Number(number) => ActId(number.into()),
            ActIdForm::Digits(digits) => digits.0,
        }
    }
}

impl From<ActId> for String {
    fn from(id: ActId) -> String {
        id.to_string()
    }
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
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
    /// No credential: it may read at most.
    Anonymous,
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
    /// It was carried out for some services: these stay as they were.
    Partly {
        /// Which, and why.
        stays: Vec<ServiceStays>,
    },
    /// It was not carried out.
    Refused(ActRefusal),
}

impl ActOutcome {
    /// Its word in answers: does not change.
    pub fn as_str(&self) -> &'static str {
        match self {
            ActOutcome::Done => "done",
            ActOutcome::NoChange => "no_change",
            ActOutcome::Waiting => "waiting",
            ActOutcome::Partly { .. } => "partly",
            ActOutcome::Refused(_) => "refused",
        }
    }

    /// Was it not carried out?
    pub fn is_refused(&self) -> bool {
        matches!(self, ActOutcome::Refused(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Name;

    #[test]
    fn an_id_is_read_as_it_is_written_and_as_a_uuid() {
        let id = ActId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "0123456789abcdef0011223344556677");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("01234567-89AB-cdef-0011-223344556677".parse(), Ok(id));
        for wrong in ["", "7", "+123456789abcdef0011223344556677", "01234567-89ab-cdef-0011-22334455667-"] {
            assert_eq!(wrong.parse::<ActId>(), Err(ParseActIdError), "{wrong}");
        }
        let written = serde_json::to_value(id).ok();
        assert_eq!(written, Some("0123456789abcdef0011223344556677".into()));
        let read = |json: &str| serde_json::from_str::<ActId>(json).ok();
        assert_eq!((read("7"), read("\"7\"")), (Some(ActId(7)), None), "a journal of before has numbers");
    }

    #[test]
    fn a_pool_that_is_not_there_is_answered_with_those_that_are() {
        let known = ["eu-west", "eu-north"].map(Name::from).to_vec();
        let refusal = |pool: &str| {
            ActRefusal::UnknownPool { service: "shop".into(), pool: pool.into(), known: known.clone() }.to_string()
        };
        assert_eq!(refusal("eu-wst"), "shop has no pool eu-wst: it has eu-west, eu-north; did you mean eu-west?");
        assert_eq!(refusal("us"), "shop has no pool us: it has eu-west, eu-north");
    }
}
