//! [`SingleSource`]: the last time that a pool was left on the evidence of one client network, or of fewer than would convict
//! anyway. The rule is in few_sources.rs.

use serde::{Deserialize, Serialize};

use super::{Failure, Source};
use crate::config::Name;
use crate::time::MonoTime;

/// The last time that a pool was left on the evidence of few sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SingleSource {
    pub sources: Vec<Source>,
    /// How what they reported had failed.
    pub kinds: Vec<Failure>,
    pub at: MonoTime,
    /// When a pool had been left so before, if that was not long ago.
    pub before: Option<MonoTime>,
    pub from: Name,
    /// Where the service went; `None` until it has.
    pub to: Option<Name>,
    /// The sources' exchanges there.
    pub good: u32,
    pub failed: u32,
    pub proof: SourceProof,
}

/// Was the evidence right?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceProof {
    Open,
    Right,
    /// And the service has not gone home yet.
    Wrong,
    /// It has.
    Undone,
}

impl SingleSource {
    /// Pools have other names now.
    pub fn rename(&mut self, now_called: impl Fn(&Name) -> Option<Name>) {
        self.from = now_called(&self.from).unwrap_or_else(|| self.from.clone());
        self.to = self.to.take().map(|to| now_called(&to).unwrap_or(to));
    }
}
