//! A thing that is wrong, while the tree is still at hand: where, what, and what to write instead.

use std::collections::HashSet;

use super::tree::NodeId;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; somebody should look.
    Warning,
}

/// Where it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// The file as a whole.
    File,
    /// A place without a node: the text is not YAML there. Line and column from 1.
    Point { line: usize, column: usize },
    /// A value or a key.
    Node(NodeId),
}

/// See the module. It becomes a [`Problem`](super::Problem) when the places are looked up.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) severity: Severity,
    pub(super) spot: Spot,
    pub(super) what: String,
    /// Empty = the message says it all.
    pub(super) advice: String,
}

/// All faults of a file, in the order in which they were found. Of a file that is wrong everywhere some thousands are kept, and
/// the others counted: how many there are is for the file to say.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: Vec<Fault>,
    errors: usize,
    warnings: usize,
    /// Keys that the advice of an error gives, with the map that they belong to.
    supplied: HashSet<(u32, &'static str)>,
}

impl Faults {
    /// Most that are kept of each severity: so many that those which stand first in the file are among them.
    const MOST: usize = 5_000;

    pub(super) fn push(&mut self, fault: Fault) {
        let found = match fault.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *found += 1;
        if *found <= Faults::MOST {
            self.kept.push(fault);
        }
    }

    /// The advice of an error gives this key of the map at `owner`.
    pub(super) fn supplied(&mut self, owner: NodeId, key: &'static str) {
        if self.supplied.len() < Faults::MOST {
            self.supplied.insert((owner.0, key));
        }
    }

    /// Does the advice of an error give this key already?
    pub(super) fn is_supplied(&self, owner: NodeId, key: &'static str) -> bool {
        self.supplied.contains(&(owner.0, key))
    }

    /// How many there are, those that are only counted included.
    pub(super) fn len(&self) -> usize {
        self.errors + self.warnings
    }

    /// How many errors there are.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The nodes that errors are at, in their order. (Of more than are kept some.)
    pub(super) fn wrong_nodes(&self) -> Vec<NodeId> {
        let errors = self.kept.iter().filter(|fault| fault.severity == Severity::Error);
        let mut nodes: Vec<NodeId> = errors
            .filter_map(|fault| match fault.spot {
                Spot::Node(id) => Some(id),
                _ => None,
            })
            .collect();
        nodes.sort_unstable_by_key(|id| id.0);
        nodes
    }

    /// Those that were kept.
    pub(super) fn kept(self) -> Vec<Fault> {
        self.kept
    }
}

impl Fault {
    pub(super) fn error(spot: Spot, what: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { severity: Severity::Error, spot, what: what.into(), advice: advice.into() }
    }

    pub(super) fn warning(spot: Spot, what: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { severity: Severity::Warning, ..Fault::error(spot, what, advice) }
    }
}
