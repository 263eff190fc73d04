//! A thing that is wrong, while the tree is still at hand: where, what, and what to write instead.

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

impl Fault {
    pub(super) fn error(spot: Spot, what: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { severity: Severity::Error, spot, what: what.into(), advice: advice.into() }
    }

    pub(super) fn warning(spot: Spot, what: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { severity: Severity::Warning, ..Fault::error(spot, what, advice) }
    }
}
