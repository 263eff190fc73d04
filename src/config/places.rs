//! Diagnostics → problems: places looked up in the text, secrets kept out of what is shown of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::diagnostic::{DiagnosticList, Severity, SourceSpot};
use super::named_files::{NamedFiles, TypedFile};
use super::problem::Problem;
use super::problems::{MOST, more_problems};
use super::tree::{SpannedTree, lines};

/// A URL or an address with a name and a password in it.
fn has_login(line: &str) -> bool {
    let words = line.split([' ', '"', '\'', ',', '[', ']', '{', '}']);
    words.filter_map(|word| word.split_once('@')).any(|(login, _)| login.contains(':'))
}

/// In a text that is not YAML: is this line one of header fields, or does it speak of a secret?
fn may_be_secret(lines: &[&str], line: usize) -> bool {
    const WORDS: [&str; 10] = [
        "headers",
        "request_body",
        "authorization",
        "bearer",
        "basic ",
        "token",
        "cookie",
        "secret",
        "password",
        "api-key",
    ];
    let indent = |line: &str| line.len() - line.trim_start().len();
    let speaks = |line: &str| WORDS.iter().any(|word| line.to_ascii_lowercase().contains(word));
    let mut around = usize::MAX;
    // The line, the one before it (where a value may have begun), and each line that it stands under.
    lines[..line.min(lines.len())].iter().rev().take(1000).enumerate().any(|(back, line)| {
        let is_around = indent(line) < around && !line.trim().is_empty();
        if is_around {
            around = indent(line);
        }
        (is_around || back <= 1) && speaks(line)
    })
}

/// Looks places up in the text.
struct PlaceLookup<'t> {
    tree: Option<&'t SpannedTree>,
    lines: Vec<&'t str>,
    secret_lines: HashSet<usize>,
    /// Lines that were asked for, by their number: many places may share one. `None` = it is not shown.
    shown: HashMap<usize, Option<Arc<str>>>,
}

impl<'t> PlaceLookup<'t> {
    fn new(tree: Option<&'t SpannedTree>, text: &'t str) -> PlaceLookup<'t> {
        PlaceLookup {
            tree,
            lines: lines(text.strip_prefix('\u{feff}').unwrap_or(text)).collect(),
            secret_lines: tree.map(SpannedTree::secret_lines).unwrap_or_default(),
            shown: HashMap::new(),
        }
    }

    /// Line, column and length.
    fn find(&self, spot: &SourceSpot) -> (usize, usize, usize) {
        let place = |id| self.tree.and_then(|tree| tree.place(id));
        match *spot {
            SourceSpot::File => (0, 0, 1),
            SourceSpot::Point { line, column } => (line, column, 1),
            SourceSpot::Node(id) => place(id).map_or((0, 0, 1), |place| (place.line, place.column, place.length)),
        }
    }

    /// A problem there that says nothing yet.
    fn problem(&mut self, spot: &SourceSpot) -> Problem {
        let (line, column, length) = self.find(spot);
        let path = match (spot, self.tree) {
            (SourceSpot::Node(id), Some(tree)) => tree.path(*id),
            _ => String::new(),
        };
        Problem {
            severity: Severity::Error,
            path,
            line,
            column,
            what: String::new(),
            advice: String::new(),
            source: self.source(line).map(|source| (source, length)),
        }
    }

    /// The line, unless it may hold a secret.
    fn source(&mut self, line: usize) -> Option<Arc<str>> {
        if let Some(known) = self.shown.get(&line) {
            return known.clone();
        }
        let shown = self.read_line(line);
        self.shown.insert(line, shown.clone());
        shown
    }

    fn read_line(&self, line: usize) -> Option<Arc<str>> {
        /// So many characters of it are kept.
        const LONGEST: usize = 10_000;
        let source = *self.lines.get(line.checked_sub(1)?)?;
        let is_secret = self.secret_lines.contains(&line)
            || has_login(source)
            || self.tree.is_none() && may_be_secret(&self.lines, line);
        let end = source.char_indices().nth(LONGEST).map_or(source.len(), |(end, _)| end);
        (!is_secret).then(|| source[..end].into())
    }
}

/// Diagnostics → problems: places looked up, in the order of the file. And the files that it names, with their places.
pub(super) fn located(
    diagnostics: DiagnosticList,
    files: Vec<NamedFiles<TypedFile>>,
    tree: Option<&SpannedTree>,
    text: &str,
) -> (Vec<Problem>, Vec<NamedFiles>) {
    if diagnostics.len() == 0 && files.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut places = PlaceLookup::new(tree, text);
    let more = diagnostics.len().saturating_sub(MOST);
    let mut diagnostics = diagnostics.kept();
    diagnostics.sort_by_key(|diagnostic| places.find(&diagnostic.spot));
    if more > 0 {
        // Errors go first into the room that there is: a warning must not push one out.
        diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
        diagnostics.truncate(MOST);
        diagnostics.sort_by_key(|diagnostic| places.find(&diagnostic.spot));
    }
    let mut problems: Vec<Problem> = diagnostics
        .iter()
        .map(|diagnostic| {
            places.problem(&diagnostic.spot).saying(diagnostic.severity, &diagnostic.what, &diagnostic.advice)
        })
        .collect();
    if more > 0 {
        let severity = problems.iter().map(|problem| problem.severity).min().unwrap_or(Severity::Error);
        problems.push(more_problems(severity, more));
    }
    let mut place = |at| places.problem(&SourceSpot::Node(at));
    let files = files.into_iter().map(|files| files.placed(&mut place)).collect();
    (problems, files)
}
