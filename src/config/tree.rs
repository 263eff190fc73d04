//! The spanned tree: what a YAML file says, every value with the line and column where it stands. No YAML and no
//! meaning in here.

use std::collections::HashSet;
use std::rc::Rc;

/// Names a node of one [`SpannedTree`]; the place of the node is looked up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

/// A value of the file. A clone shares what is inside.
#[derive(Clone, Debug)]
pub(super) struct TreeNode {
    pub(super) id: NodeId,
    pub(super) value: TreeValue,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum TreeValue {
    /// A word, a number, a quoted text. `plain` = written without quotes, so that `true`, `5` and nothing at all may
    /// be more than text.
    Scalar { text: Rc<str>, plain: bool },
    /// `[a, b]` or `- a`.
    List(Rc<[TreeNode]>),
    /// `{key: value}`, in the order of the file; keys are scalars and stand at most once.
    Map(Rc<[(TreeNode, TreeNode)]>),
}

impl TreeValue {
    /// Nothing was written (`key:`), or `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, TreeValue::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// For messages: `the text "x"`, `a list`, `nothing`.
    pub(super) fn describe(&self) -> String {
        match self {
            _ if self.is_null() => "nothing".into(),
            TreeValue::Scalar { text, .. } => format!("`{}`", shorten(text)),
            TreeValue::List(_) => "a list".into(),
            TreeValue::Map(_) => "a map".into(),
        }
    }
}

/// Cuts a text that goes into a message; no terminal obeys what is left of it.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    crate::text::shortened(text, LONGEST)
}

/// The lines of a text as YAML counts them: a CR alone ends one too.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// A key for a message. What stands behind a name in it was meant as its value, and may be a secret.
pub(super) fn shown_key(key: &str) -> String {
    match key.find([':', '=', ' ']) {
        Some(end) if end > 0 && end + 1 < key.len() => format!("{}…", shorten(&key[..end])),
        _ => shorten(key),
    }
}

/// Keys whose values are shown nowhere: header fields carry tokens and passwords.
const SECRETIVE: [&str; 5] = ["request_headers", "response_headers", "headers", "request_body", "password"];

/// One step of a path.
#[derive(Clone, Debug)]
pub(super) enum PathStep {
    /// The whole file.
    Root,
    /// A key of a map, or the value under it.
    Key(Rc<str>),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// Where a node stands.
#[derive(Clone, Debug)]
pub(super) struct NodePlace {
    pub(super) parent: Option<NodeId>,
    pub(super) step: PathStep,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Characters to underline, at least 1.
    pub(super) length: usize,
}

impl NodePlace {
    fn is_secretive(&self, around: Option<&NodePlace>) -> bool {
        let is = |place: &NodePlace, keys: &[&str]| matches!(&place.step, PathStep::Key(key) if keys.contains(&&**key));
        // (`limits.headers` is a number.)
        is(self, &SECRETIVE) && !around.is_some_and(|around| is(around, &["limits"]))
    }
}

/// A whole file.
#[derive(Debug)]
pub(super) struct SpannedTree {
    pub(super) root: TreeNode,
    places: Vec<NodePlace>,
}

impl SpannedTree {
    pub(super) fn new(root: TreeNode, places: Vec<NodePlace>) -> SpannedTree {
        SpannedTree { root, places }
    }

    /// Where a node stands; `None` for an id of another tree.
    pub(super) fn place(&self, id: NodeId) -> Option<&NodePlace> {
        self.places.get(id.0 as usize)
    }

    /// May this value, or what is around it, be a secret?
    pub(super) fn is_secret(&self, id: NodeId) -> bool {
        let mut at = self.place(id);
        while let Some(place) = at {
            let around = place.parent.and_then(|parent| self.place(parent));
            if place.is_secretive(around) {
                return true;
            }
            at = around;
        }
        false
    }

    /// Lines on which a value begins that may be a secret.
    pub(super) fn secret_lines(&self) -> HashSet<usize> {
        let mut secret: Vec<bool> = Vec::with_capacity(self.places.len());
        let mut lines = HashSet::new();
        for place in &self.places {
            // (What is around a node was placed before it.)
            let inside = place.parent.and_then(|parent| secret.get(parent.0 as usize).copied()).unwrap_or(false);
            let around = place.parent.and_then(|parent| self.place(parent));
            let is_secret = inside || place.is_secretive(around);
            secret.push(is_secret);
            if is_secret {
                lines.insert(place.line);
            }
        }
        lines
    }

    /// The key under which a node stands, or of the nearest value around it that has one.
    pub(super) fn key(&self, id: NodeId) -> String {
        let mut at = self.place(id);
        while let Some(place) = at {
            match &place.step {
                PathStep::Key(key) => return shown_key(key),
                PathStep::Root | PathStep::Index(_) => at = place.parent.and_then(|parent| self.place(parent)),
            }
        }
        String::new()
    }

    /// `services.shop.pools[1].endpoints[0]`; empty for the whole file.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = self.place(id);
        while let Some(place) = at {
            steps.push(&place.step);
            at = place.parent.and_then(|parent| self.place(parent));
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                PathStep::Root => {}
                PathStep::Index(index) => path.push_str(&format!("[{index}]")),
                PathStep::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&shown_key(key));
                }
            }
        }
        path
    }
}
