//! What must give the same core again: the journal of one life of the process, and a hand-over of the state.

use standfast::decision::{Decision, Event};
use standfast::time::MonoTime;

use super::world::Verdict;

/// What the core was told, and when; `None` = a tick.
pub type LifeJournal = Vec<(MonoTime, Option<Event>)>;

/// The core that this life began with, at the end of its journal.
pub fn replayed(mut again: Decision, journal: &LifeJournal) -> Decision {
    for (now, event) in journal {
        match event {
            Some(event) => again.handle(event.clone(), *now),
            None => again.tick(*now),
        }
        again.effects();
    }
    again
}

/// Is the core the one that its journal gives?
pub fn same_by_journal(again: &Decision, core: &Decision) -> Verdict {
    if again == core { Ok(()) } else { Err("the journal replayed gives another state".to_owned()) }
}

/// The core as another process takes it over.
pub fn handed_over(core: &Decision) -> Result<Decision, String> {
    let text = serde_json::to_string(core).map_err(|error| error.to_string())?;
    let taken: Decision = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match taken == *core {
        true => Ok(taken),
        false => Err("a deserialized state differs from the one that was serialized".to_owned()),
    }
}
