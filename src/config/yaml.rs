//! The one file that reads YAML: text → spanned tree, through the events of `saphyr-parser`.
//!
//! What we take is YAML 1.2 with its sharp edges refused by name: tags, merge keys, several documents, keys that are not
//! words. Anchors and aliases work; what an alias repeats counts towards the bounds, so that a file cannot unfold
//! into more than [`MAX_NODES`] values. A key that stands twice is an error: YAML libraries keep the last one silently.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::diagnostic::{Diagnostic, DiagnosticList, SourceSpot};
use super::tree::{NodeId, NodePlace, PathStep, SpannedTree, TreeNode, TreeValue, lines, shorten, shown_key};

/// Longest file, in bytes. A thousand services with a dozen endpoints each are about one tenth of it.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting; our deepest key is at 9.
const MAX_DEPTH: usize = 32;
/// Most values in a file, those that aliases repeat included.
const MAX_NODES: usize = 400_000;
/// Most bytes of text in all values, those that aliases repeat included.
const MAX_TEXT: usize = 2 * MAX_BYTES;

/// Reads a text. What is found wrong on the way goes to `diagnostics`; `None` when there is no tree to go on with.
pub(super) fn read(text: &str, diagnostics: &mut DiagnosticList) -> Option<SpannedTree> {
    if text.len() > MAX_BYTES {
        diagnostics.push(Diagnostic::error(
            SourceSpot::File,
            format!("the file has {} bytes", text.len()),
            format!("at most {MAX_BYTES} are read"),
        ));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = YamlReader {
        events: Parser::new_from_str(text),
        text,
        places: Vec::new(),
        bytes: 0,
        anchors: HashMap::new(),
        diagnostics,
    };
    match reader.document() {
        Ok(root) => Some(SpannedTree::new(root, reader.places)),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// Ends the reading. Boxed: it is the rare way out of every step.
type FatalDiagnostic = Box<Diagnostic>;

struct YamlReader<'t, 'f> {
    events: Parser<'t, StrInput<'t>>,
    text: &'t str,
    places: Vec<NodePlace>,
    bytes: usize,
    anchors: HashMap<usize, TreeNode>,
    diagnostics: &'f mut DiagnosticList,
}

/// Where the next node hangs.
#[derive(Clone)]
struct ParentLink {
    parent: Option<NodeId>,
    step: PathStep,
    depth: usize,
}

impl<'t> YamlReader<'t, '_> {
    /// The one document of the file; an empty file is an empty document.
    fn document(&mut self) -> Result<TreeNode, FatalDiagnostic> {
        let top = ParentLink { parent: None, step: PathStep::Root, depth: 0 };
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(stop(&span, "a second document starts here", "keep one document: remove the `---`"));
                }
                Event::DocumentStart(_) => {}
                event => root = Some(self.node(event, span, top.clone())?),
            }
        }
        match root {
            Some(root) => Ok(root),
            None => Ok(TreeNode { id: self.place(&Span::default(), top)?, value: nothing() }),
        }
    }

    /// The node that starts with `event`.
    fn node(&mut self, event: Event<'t>, span: Span, hook: ParentLink) -> Result<TreeNode, FatalDiagnostic> {
        if hook.depth > MAX_DEPTH {
            return Err(stop(&span, format!("nested deeper than {MAX_DEPTH} levels"), ""));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.clone())
            }
            _ => (0, None),
        };
        if let Some(tag) = tag {
            let tag = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            let what = format!("a YAML tag (`{}`) has no meaning here", shorten(&tag));
            return Err(stop(&span, what, "write the value without it; quote it to make it a text"));
        }
        let node = match event {
            Event::Scalar(text, style, ..) => {
                self.spend(text.len(), &span)?;
                let value = TreeValue::Scalar { text: Rc::from(&*text), plain: style == ScalarStyle::Plain };
                TreeNode { id: self.place(&span, hook)?, value }
            }
            Event::SequenceStart(..) => self.list(&span, hook)?,
            Event::MappingStart(..) => self.map(&span, hook)?,
            Event::Alias(of) => match self.anchors.get(&of).cloned() {
                Some(node) => self.repeat(&node, Some(&span), hook)?,
                None => return Err(stop(&span, "this alias stands inside the value that it names", "")),
            },
            _ => return Err(stop(&span, "a value was expected here", "")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, span: &Span, hook: ParentLink) -> Result<TreeNode, FatalDiagnostic> {
        let depth = hook.depth + 1;
        let id = self.place(span, hook)?;
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(TreeNode { id, value: TreeValue::List(items.into()) });
            }
            let hook = ParentLink { parent: Some(id), step: PathStep::Index(items.len()), depth };
            items.push(self.node(event, span, hook)?);
        }
    }

    fn map(&mut self, span: &Span, hook: ParentLink) -> Result<TreeNode, FatalDiagnostic> {
        let depth = hook.depth + 1;
        let id = self.place(span, hook)?;
        let mut entries: Vec<(TreeNode, TreeNode)> = Vec::new();
        let mut lines: HashMap<Rc<str>, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(TreeNode { id, value: TreeValue::Map(entries.into()) });
            }
            let (word, key) = self.key(event, &span, id)?;
            let (event, value_span) = self.next()?;
            let hook = ParentLink { parent: Some(id), step: PathStep::Key(word.clone()), depth };
            let value = self.node(event, value_span, hook)?;
            match lines.get(&word) {
                Some(line) => self.diagnostics.push(Diagnostic::error(
                    SourceSpot::Node(key.id),
                    format!("the key `{}` stands twice", shown_key(&word)),
                    format!("keep one of them; the first is on line {line}"),
                )),
                None => {
                    lines.insert(word, span.start.line());
                    entries.push((key, value));
                }
            }
        }
    }

    /// A key: a word, and not `<<`.
    fn key(&mut self, event: Event<'t>, span: &Span, map: NodeId) -> Result<(Rc<str>, TreeNode), FatalDiagnostic> {
        let word: Rc<str> = match &event {
            Event::Scalar(text, ..) => Rc::from(&**text),
            _ => {
                let line = lines(self.text).nth(span.start.line().saturating_sub(1)).unwrap_or_default();
                let advice = if line.contains("{{") {
                    super::units::VARIABLES
                } else {
                    "write `key: value`; quote it if it starts with [ { or *"
                };
                return Err(stop(span, "a key must be a word", advice));
            }
        };
        if &*word == "<<" {
            return Err(stop(
                span,
                "merge keys (`<<`) are not taken",
                "name a whole value with `&name` and repeat it with `*name`",
            ));
        }
        let hook = ParentLink { parent: Some(map), step: PathStep::Key(word.clone()), depth: 0 };
        let node = self.node(event, *span, hook)?;
        Ok((word, node))
    }

    /// A copy of an anchored node under another hook. The copy stands where the alias stands (`span`); what is inside
    /// it keeps the lines where it was written.
    fn repeat(&mut self, node: &TreeNode, span: Option<&Span>, hook: ParentLink) -> Result<TreeNode, FatalDiagnostic> {
        let here = Span::default();
        let depth = hook.depth + 1;
        if depth > MAX_DEPTH {
            return Err(stop(span.unwrap_or(&here), format!("nested deeper than {MAX_DEPTH} levels"), ""));
        }
        let original = self.places.get(node.id.0 as usize).cloned();
        let id = self.place(span.unwrap_or(&here), hook)?;
        if let (None, Some(original), Some(place)) = (span, original, self.places.last_mut()) {
            (place.line, place.column, place.length) = (original.line, original.column, original.length);
        }
        let value = match &node.value {
            TreeValue::Scalar { text, plain } => {
                self.spend(text.len(), span.unwrap_or(&here))?;
                TreeValue::Scalar { text: text.clone(), plain: *plain }
            }
            TreeValue::List(items) => {
                let mut copies = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let hook = ParentLink { parent: Some(id), step: PathStep::Index(index), depth };
                    copies.push(self.repeat(item, None, hook)?);
                }
                TreeValue::List(copies.into())
            }
            TreeValue::Map(entries) => {
                let mut copies = Vec::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    let TreeValue::Scalar { text, .. } = &key.value else { continue };
                    let hook = ParentLink { parent: Some(id), step: PathStep::Key(text.clone()), depth };
                    copies.push((self.repeat(key, None, hook.clone())?, self.repeat(value, None, hook)?));
                }
                TreeValue::Map(copies.into())
            }
        };
        Ok(TreeNode { id, value })
    }

    /// Notes the place of a new node.
    fn place(&mut self, span: &Span, hook: ParentLink) -> Result<NodeId, FatalDiagnostic> {
        if self.places.len() >= MAX_NODES {
            return Err(stop(
                span,
                format!("more than {MAX_NODES} values"),
                "look for an alias that unfolds into too much",
            ));
        }
        let id = NodeId(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        let one_line = span.start.line() == span.end.line();
        let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        let (line, column) = position(span);
        self.places.push(NodePlace { parent: hook.parent, step: hook.step, line, column, length: length.max(1) });
        Ok(id)
    }

    fn spend(&mut self, bytes: usize, span: &Span) -> Result<(), FatalDiagnostic> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_TEXT {
            return Err(stop(span, "too much text", "look for an alias that unfolds into too much"));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), FatalDiagnostic> {
        match self.events.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let line = error.marker().line().max(1);
                let column = error.marker().col() + 1;
                Err(self.not_yaml(line, column, error.info()))
            }
            None => Err(self.not_yaml(lines(self.text).count(), 1, "the file ends too early")),
        }
    }

    /// A syntax error, with the usual cause where it can be seen. Nothing of the file is repeated but addresses: what cannot be
    /// read may be a secret.
    fn not_yaml(&self, line: usize, column: usize, info: &str) -> FatalDiagnostic {
        let advice = self.usual_cause(line, column, info);
        Box::new(Diagnostic::error(SourceSpot::Point { line, column }, format!("this is not YAML: {info}"), advice))
    }

    fn usual_cause(&self, line: usize, column: usize, info: &str) -> String {
        let first = line.saturating_sub(1).max(1);
        let around: Vec<&str> = lines(self.text).skip(first - 1).take(line + 2 - first).collect();
        let text = |line: usize| line.checked_sub(first).and_then(|at| around.get(at)).copied().unwrap_or_default();
        let indent = |line: usize| &text(line)[..text(line).len() - text(line).trim_start().len()];
        let is_tabbed = |line: &usize| *line > 0 && indent(*line).contains('\t');
        if let Some(line) = [line, line.saturating_sub(1), line + 1].into_iter().find(is_tabbed) {
            return format!("line {line} is indented with a tab; indent with spaces");
        }
        let here = text(line).char_indices().nth(column.saturating_sub(1)).map_or("", |(at, _)| &text(line)[at..]);
        if info.contains("unknown anchor") {
            let address = address_at(here).unwrap_or_else(|| "*:80".to_owned());
            return format!("a text that begins with `*` is written in quotes: `\"{address}\"`");
        }
        if let Some(address) = [line, line.saturating_sub(1)].into_iter().find_map(|line| bracketed_address(text(line)))
        {
            return format!("an address of IPv6 is written in quotes: `\"{address}\"`");
        }
        if info.contains("unexpected character") {
            return "a text that begins with `@`, `%` or a backquote is written in quotes: `key: \"@text\"`".to_owned();
        }
        if info.contains("quoted scalar") {
            return format!("a quote that opens on line {line} or before is not closed: write `key: \"text\"`");
        }
        if info.contains("flow construct") {
            return "a `[` or `{` above is not closed: add the `]` or `}`".to_owned();
        }
        // A key, a colon, and a value in which another colon stands.
        let value = text(line).trim_start().trim_start_matches("- ").split_once(": ").map_or("", |(_, value)| value);
        let in_value = value.contains(": ") && !value.starts_with(['"', '\'']);
        if in_value && (info.contains("not allowed") || info.contains("flow mapping")) {
            return "a text with `: ` in it is written in quotes: `body: \"Sorry: back soon\"`".to_owned();
        }
        let before = text(line.saturating_sub(1)).trim_start().trim_start_matches("- ");
        let glued = before.split_once(':').is_some_and(|(key, value)| {
            !value.is_empty() && !value.starts_with(' ') && !key.contains(' ') && !before.contains(": ")
        });
        if info.contains("not allowed") && glued {
            let line = line - 1;
            return format!("on line {line} a space is missing behind the colon: `name: web`");
        }
        if info.contains("not allowed") {
            return "the keys of one map begin in the same column: indent this line as the one above, and end a key with `: `"
                .to_owned();
        }
        match ["expected", "simple key", "indent"].iter().any(|word| info.contains(word)) {
            true => "check the indentation, and that every key is followed by `: `".to_owned(),
            false => String::new(),
        }
    }
}

/// The address that a text begins with: digits, colons and stars, nothing else.
fn address_at(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && !"*:.[]%".contains(c)).unwrap_or(text.len());
    let found = text[..end].trim_end_matches(']').to_owned();
    (found.len() > 1 && found.len() < 50 && found.parse::<super::Bind>().is_ok()).then_some(found)
}

/// `[::]:8080`, written as a list is.
fn bracketed_address(line: &str) -> Option<String> {
    let (at, _) = line.match_indices('[').find(|(at, _)| {
        let before = line[..*at].trim_end();
        let rest = &line[*at..];
        let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !":.[]%".contains(c)).unwrap_or(rest.len());
        !before.ends_with(['"', '\'']) && rest[..end].parse::<std::net::SocketAddr>().is_ok()
    })?;
    let rest = &line[at..];
    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !":.[]%".contains(c)).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

fn nothing() -> TreeValue {
    TreeValue::Scalar { text: Rc::from(""), plain: true }
}

fn position(span: &Span) -> (usize, usize) {
    (span.start.line().max(1), span.start.col() + 1)
}

fn stop(span: &Span, what: impl Into<String>, advice: impl Into<String>) -> FatalDiagnostic {
    let (line, column) = position(span);
    Box::new(Diagnostic::error(SourceSpot::Point { line, column }, what, advice))
}
