//! What the scripted demo found, as a short report and an exit code.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::load::{LoadOutcome, SLOW};

/// Everything the script measured.
#[derive(Debug, Default)]
pub struct ScriptReport {
    /// What became of every request.
    pub outcomes: Vec<LoadOutcome>,
    /// POSTs of the load that were executed more than once.
    pub executed_twice: u64,
    /// Crash of the first pool → first answer from the second one, as Standfast measured it.
    pub rto: Option<Duration>,
    /// Return of the first pool → first answer from it again.
    pub failback: Option<Duration>,
}

impl ScriptReport {
    /// No safe request failed, no POST ran twice, and both switches happened.
    pub fn passed(&self) -> bool {
        self.failed(false) == 0
            && self.executed_twice == 0
            && self.rto.is_some()
            && self.failback.is_some()
            && !self.outcomes.is_empty()
    }

    fn of(&self, post: bool) -> impl Iterator<Item = &LoadOutcome> {
        self.outcomes.iter().filter(move |outcome| outcome.post == post)
    }

    fn failed(&self, post: bool) -> usize {
        self.of(post).filter(|outcome| outcome.result.is_err()).count()
    }

    fn slow(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.result.is_ok() && outcome.took > SLOW).count()
    }
}

impl fmt::Display for ScriptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| time.map_or("did not happen".to_owned(), |t| format!("{t:.1?}"));
        writeln!(
            f,
            "requests          {} ({} GET, {} POST)",
            self.outcomes.len(),
            self.of(false).count(),
            self.of(true).count()
        )?;
        writeln!(f, "failed            {} GET, {} POST", self.failed(false), self.failed(true))?;
        let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for outcome in &self.outcomes {
            if let Err(why) = &outcome.result {
                *kinds.entry((if outcome.post { "POST" } else { "GET" }, why)).or_default() += 1;
            }
        }
        for ((method, why), count) in kinds {
            writeln!(f, "                  {count} x {method}: {why}")?;
        }
        writeln!(f, "slower than {:?} {}", SLOW, self.slow())?;
        let mut servers: BTreeMap<&str, usize> = BTreeMap::new();
        for server in self.outcomes.iter().filter_map(|outcome| outcome.result.as_deref().ok()) {
            *servers.entry(server).or_default() += 1;
        }
        let shares: Vec<String> = servers.iter().map(|(server, count)| format!("{server} {count}")).collect();
        writeln!(f, "answered by       {}", shares.join(", "))?;
        writeln!(f, "POSTs run twice   {}", self.executed_twice)?;
        writeln!(f, "failover          measured RTO {}", seconds(self.rto))?;
        writeln!(f, "failback          {} after north came back", seconds(self.failback))?;
        write!(f, "verdict           {}", if self.passed() { "passed" } else { "FAILED" })
    }
}
