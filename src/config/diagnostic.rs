//! A diagnostic with its node in the tree: what is wrong, where, and what to write instead.

use std::collections::HashSet;

use super::tree::NodeId;

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted; the operator should check this.
    Warning,
}

/// The place of a diagnostic in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceSpot {
    /// The file as a whole.
    File,
    /// A place without a node: the text is not YAML there. Line and column from 1.
    Point { line: usize, column: usize },
    /// A value or a key.
    Node(NodeId),
}

/// One diagnostic. It becomes a [`Problem`](super::Problem) when the places are looked up.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    pub(super) severity: Severity,
    pub(super) spot: SourceSpot,
    pub(super) what: String,
    /// Empty = the message says it all.
    pub(super) advice: String,
}

/// All diagnostics of a file, in the order in which they were found. The first thousands are kept, the others are only counted:
/// the size of the file bounds their number, not the memory they take.
#[derive(Debug, Default)]
pub(super) struct DiagnosticList {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// Keys that the advice of an error gives, with the map that they belong to.
    supplied: HashSet<(u32, &'static str)>,
}

impl DiagnosticList {
    /// Most that are kept of each severity: so many that those which stand first in the file are among them.
    const MOST: usize = 5_000;

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        let found = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *found += 1;
        if *found <= DiagnosticList::MOST {
            self.kept.push(diagnostic);
        }
    }

    /// The advice of an error gives this key of the map at `owner`.
    pub(super) fn supplied(&mut self, owner: NodeId, key: &'static str) {
        if self.supplied.len() < DiagnosticList::MOST {
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
        let errors = self.kept.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let mut nodes: Vec<NodeId> = errors
            .filter_map(|diagnostic| match diagnostic.spot {
                SourceSpot::Node(id) => Some(id),
                _ => None,
            })
            .collect();
        nodes.sort_unstable_by_key(|id| id.0);
        nodes
    }

    /// Those that were kept.
    pub(super) fn kept(self) -> Vec<Diagnostic> {
        self.kept
    }
}

impl Diagnostic {
    pub(super) fn error(spot: SourceSpot, what: impl Into<String>, advice: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, spot, what: what.into(), advice: advice.into() }
    }

    pub(super) fn warning(spot: SourceSpot, what: impl Into<String>, advice: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(spot, what, advice) }
    }
}
