//! What an act is compared with on its way to the core, and what came of it.

use std::fmt;
use std::str::FromStr;

use crate::config::Name;
use crate::decision::{Act, ActId, ActOutcome, Incident, InstanceLife};

/// An act on its way to the core.
#[derive(Debug)]
pub(super) struct ActOrder {
    pub act: Act,
    /// The service must have this mark.
    pub expects: Option<ServiceMark>,
    /// Nothing is to change.
    pub dry: bool,
}

/// An id that no other act has: random. `None`: the system gives no random numbers.
pub fn new_act_id() -> Option<ActId> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    Some(ActId(u128::from_le_bytes(random)))
}

/// What came of an act, or would come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActReport {
    /// The core's answer.
    pub outcome: ActOutcome,
    /// The newest epoch after it: the workers that have taken it up act by it.
    pub epoch: u64,
    /// The switches that it makes.
    pub switches: Vec<Incident>,
    /// What becomes of the sessions on pools that are left.
    pub sessions: Vec<SessionsReport>,
    /// It was sent before, and did nothing now: this is its answer of then.
    pub repeated: bool,
    /// The service's mark after it; `None` = there is no such service, or it is not about one.
    pub mark: Option<ServiceMark>,
    /// Of a reload: what it asks for and does not get without a restart; what the reader of the file warned of.
    pub warnings: Vec<String>,
    /// What then happens by itself, in a sentence.
    pub next: Option<String>,
}

/// Requests and sessions on a pool that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsReport {
    /// The pool.
    pub pool: Name,
    /// How many there are.
    pub in_flight: u64,
    /// They may go on for so long; `None` = they are closed at once.
    pub may_end_within_ms: Option<u64>,
}

/// The state of what is decided about a service, as a short text: it changes with its active pool, its pin, its hold, its freeze, orders
/// and administrative states, and with the configuration; not with what probes say. No later state has it again. Written
/// `LIFE.GENERATION.N`, where N counts decisions about the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceMark(String);

/// A text is not a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mark: it has the form LIFE.GENERATION.N, as `mark` of a service shows it")]
pub struct ParseServiceMarkError;

impl fmt::Display for ServiceMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceMark {
    type Err = ParseServiceMarkError;

    fn from_str(text: &str) -> Result<ServiceMark, ParseServiceMarkError> {
        let is_life =
            |part: &str| part.len() == 16 && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let is_number = |part: &str| part.parse::<u64>().is_ok_and(|number| number.to_string() == part);
        match text.split('.').collect::<Vec<_>>()[..] {
            [life, generation, decisions] if is_life(life) && is_number(generation) && is_number(decisions) => {
                Ok(ServiceMark(text.to_owned()))
            }
            _ => Err(ParseServiceMarkError),
        }
    }
}

impl ServiceMark {
    /// The mark after so many decisions in this life, under the configuration of this number.
    pub(super) fn of(life: InstanceLife, generation: u64, decisions: u64) -> ServiceMark {
        ServiceMark(format!("{life}.{generation}.{decisions}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let text = "000000000000002a.7.12";
        assert_eq!(text.parse::<ServiceMark>().map(|mark| mark.to_string()), Ok(text.to_owned()));
        for wrong in
            ["", "2a.7.12", "000000000000002a.x.12", "000000000000002a.7.+1", "000000000000002a.7.012", "a.b.c.d"]
        {
            assert_eq!(wrong.parse::<ServiceMark>(), Err(ParseServiceMarkError), "{wrong}");
        }
    }
}
