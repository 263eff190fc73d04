//! The spanned tree: what a YAML file says, every value with the line and column where it stands. No YAML and no
//! meaning in here.

use std::rc::Rc;

/// Names a node of one [`Tree`]; the place of the node is looked up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

/// A value of the file. A clone shares what is inside.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A word, a number, a quoted text. `plain` = written without quotes, so that `true`, `5` and nothing at all may
    /// be more than text.
    Scalar { text: Rc<str>, plain: bool },
    /// `[a, b]` or `- a`.
    List(Rc<[Node]>),
    /// `{key: value}`, in the order of the file; keys are scalars and stand at most once.
    Map(Rc<[(Node, Node)]>),
}

impl Value {
    /// Nothing was written (`key:`), or `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Scalar { text, plain: true } if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// For messages: `the text "x"`, `a list`, `nothing`.
    pub(super) fn describe(&self) -> String {
        match self {
            _ if self.is_null() => "nothing".into(),
            Value::Scalar { text, .. } => format!("`{}`", shorten(text)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }
}

/// Cuts a text that goes into a message; no terminal obeys what is left of it.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    crate::text::shortened(text, LONGEST)
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The whole file.
    Root,
    /// A key of a map, or the value under it.
    Key(Rc<str>),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// Where a node stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: Option<NodeId>,
    pub(super) step: Step,
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Characters to underline, at least 1.
    pub(super) length: usize,
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
    places: Vec<Place>,
}

impl Tree {
    pub(super) fn new(root: Node, places: Vec<Place>) -> Tree {
        Tree { root, places }
    }

    /// Where a node stands; `None` for an id of another tree.
    pub(super) fn place(&self, id: NodeId) -> Option<&Place> {
        self.places.get(id.0 as usize)
    }

    /// The key under which a node stands, or of the nearest value around it that has one.
    pub(super) fn key(&self, id: NodeId) -> String {
        let mut at = self.place(id);
        while let Some(place) = at {
            match &place.step {
                Step::Key(key) => return shorten(key),
                Step::Root | Step::Index(_) => at = place.parent.and_then(|parent| self.place(parent)),
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
                Step::Root => {}
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&shorten(key));
                }
            }
        }
        path
    }
}
