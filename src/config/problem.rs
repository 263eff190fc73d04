//! What is wrong with a configuration, for people and machines: every problem with its path, its line and what to write
//! instead.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use super::fault::Severity;
use super::fault::{Faults, Spot};
use super::named_files::{NamedFiles, TypedFile};
use super::tree::{Tree, lines};
use crate::text::{is_command, printable};

/// One thing that is wrong, or that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// An error refuses the file, a warning does not.
    pub severity: Severity,
    /// Where in the configuration: `services.shop.pools[1].endpoints[0]`; empty = the file as a whole.
    pub path: String,
    /// Line of the file, from 1; 0 = the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 = the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead; may be empty.
    pub advice: String,
    /// The line itself and how many characters to underline: only for people at a terminal.
    #[serde(skip)]
    source: Option<(Arc<str>, usize)>,
}

impl Problem {
    /// One that has no line: `path` is empty for the file as a whole.
    pub fn without_place(severity: Severity, path: &str, what: &str, advice: &str) -> Problem {
        let place = Problem {
            severity,
            path: printable(path).into_owned(),
            line: 0,
            column: 0,
            what: String::new(),
            advice: String::new(),
            source: None,
        };
        place.saying(severity, what, advice)
    }

    /// Another one at the same place.
    pub(super) fn saying(&self, severity: Severity, what: &str, advice: &str) -> Problem {
        let (what, advice) = (printable(what).into_owned(), printable(advice).into_owned());
        Problem { severity, what, advice, ..self.clone() }
    }

    /// As compilers print it: the line of the file with a caret under the place.
    ///
    /// ```text
    /// error: unknown key `bnid`
    ///   --> standfast.yaml:3:5  listeners[0].bnid
    ///    |
    ///  3 |     bnid: 0.0.0.0:80
    ///    |     ^^^^
    ///    = did you mean `bind`? Known here: `name`, `bind`, …
    /// ```
    pub fn explain(&self, file: &Path, colour: bool) -> String {
        let paint = |code: &str, text: &str| {
            if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
        };
        let (word, code) = match self.severity {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        };
        let gutter = " ".repeat(self.line.to_string().len().max(2));
        let bar = paint("1;34", "|");
        let mut text = format!("{}: {}\n", paint(code, word), paint("1", &self.what));
        text.push_str(&format!("{gutter}{} {}\n", paint("1;34", "-->"), self.place(file)));
        if let Some((line, length)) = &self.source {
            // Of a long line a window is shown, with the place in its middle as far as the line goes.
            const WIDTH: usize = 100;
            let column = self.column.max(1) - 1;
            let last = line.chars().count().saturating_sub(WIDTH);
            let middle = column + (*length).clamp(1, WIDTH) / 2;
            let skip = middle.saturating_sub(WIDTH / 2).min(last).min(column);
            let shown: String =
                line.chars().skip(skip).take(WIDTH).map(|c| if is_command(c) { ' ' } else { c }).collect();
            let carets = "^".repeat((*length).clamp(1, (WIDTH + skip).saturating_sub(column).max(1)));
            let number = format!("{:>width$}", self.line, width = gutter.len());
            text.push_str(&format!("{gutter} {bar}\n{} {bar} {shown}\n", paint("1;34", &number)));
            text.push_str(&format!("{gutter} {bar} {}{}\n", " ".repeat(column - skip), paint(code, &carets)));
        }
        if !self.advice.is_empty() {
            text.push_str(&format!("{gutter} {} {}\n", paint("1;34", "="), self.advice));
        }
        text
    }

    fn place(&self, file: &Path) -> String {
        let mut place = printable(&file.display().to_string()).into_owned();
        if self.line > 0 {
            place.push_str(&format!(":{}:{}", self.line, self.column));
        }
        if !self.path.is_empty() {
            place.push_str(&format!("  {}", self.path));
        }
        place
    }
}

/// One line: `3:5 listeners[0].bnid: unknown key `bnid`; did you mean `bind`?` Fit for logs: it repeats nothing of the
/// file but the words that are wrong.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{} ", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

/// Why a file was refused: all problems at once, in the order of the file, warnings among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The file could not be read at all (as opposed to: it was read and is wrong).
    pub unreadable: bool,
    /// At least one error.
    pub list: Vec<Problem>,
    /// Files that it names nevertheless. They are not looked at yet.
    #[serde(skip)]
    pub files: Vec<NamedFiles>,
}

impl Problems {
    /// A file that cannot be read, and what to do about it.
    pub fn of_file(file: &Path, what: String, advice: &str) -> Problems {
        let problem = Problem::without_place(Severity::Error, "", &what, advice);
        Problems { file: file.to_owned(), unreadable: true, list: vec![problem], files: Vec::new() }
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// All of them with their source lines, for people. `colour`: on a terminal.
    pub fn explain(&self, colour: bool) -> String {
        self.list.iter().map(|problem| problem.explain(&self.file, colour) + "\n").collect()
    }

    /// For machines: `{"file": …, "unreadable": …, "list": [{"severity", "path", "line", "column", "what", "advice"}]}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The first line names the file, each further one is a problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", printable(&self.file.display().to_string()))?;
        match (self.list.as_slice(), self.errors()) {
            ([one], _) => return write!(f, "{one}"),
            (_, 1) => f.write_str("1 problem")?,
            (_, n) => write!(f, "{n} problems")?,
        }
        self.list.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Most problems of one file that are told; behind the last one a line says how many more there are.
pub(super) const MOST: usize = 100;

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
struct Places<'t> {
    tree: Option<&'t Tree>,
    lines: Vec<&'t str>,
    secret_lines: HashSet<usize>,
    /// Lines that were asked for, by their number: many places may share one. `None` = it is not shown.
    shown: HashMap<usize, Option<Arc<str>>>,
}

impl<'t> Places<'t> {
    fn new(tree: Option<&'t Tree>, text: &'t str) -> Places<'t> {
        Places {
            tree,
            lines: lines(text.strip_prefix('\u{feff}').unwrap_or(text)).collect(),
            secret_lines: tree.map(Tree::secret_lines).unwrap_or_default(),
            shown: HashMap::new(),
        }
    }

    /// Line, column and length.
    fn find(&self, spot: &Spot) -> (usize, usize, usize) {
        let place = |id| self.tree.and_then(|tree| tree.place(id));
        match *spot {
            Spot::File => (0, 0, 1),
            Spot::Point { line, column } => (line, column, 1),
            Spot::Node(id) => place(id).map_or((0, 0, 1), |place| (place.line, place.column, place.length)),
        }
    }

    /// A problem there that says nothing yet.
    fn problem(&mut self, spot: &Spot) -> Problem {
        let (line, column, length) = self.find(spot);
        let path = match (spot, self.tree) {
            (Spot::Node(id), Some(tree)) => tree.path(*id),
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
        let shown = self.look_at(line);
        self.shown.insert(line, shown.clone());
        shown
    }

    fn look_at(&self, line: usize) -> Option<Arc<str>> {
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

/// Faults → problems: places looked up, in the order of the file. And the files that it names, with their places.
pub(super) fn told(
    faults: Faults,
    files: Vec<NamedFiles<TypedFile>>,
    tree: Option<&Tree>,
    text: &str,
) -> (Vec<Problem>, Vec<NamedFiles>) {
    if faults.len() == 0 && files.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut places = Places::new(tree, text);
    let more = faults.len().saturating_sub(MOST);
    let mut faults = faults.kept();
    faults.sort_by_key(|fault| places.find(&fault.spot));
    if more > 0 {
        // Errors go first into the room that there is: a warning must not push one out.
        faults.sort_by_key(|fault| fault.severity);
        faults.truncate(MOST);
        faults.sort_by_key(|fault| places.find(&fault.spot));
    }
    let mut problems: Vec<Problem> = faults
        .iter()
        .map(|fault| places.problem(&fault.spot).saying(fault.severity, &fault.what, &fault.advice))
        .collect();
    if more > 0 {
        let severity = problems.iter().map(|problem| problem.severity).min().unwrap_or(Severity::Error);
        problems.push(and_more(severity, more));
    }
    let mut place = |at| places.problem(&Spot::Node(at));
    let files = files.into_iter().map(|files| files.placed(&mut place)).collect();
    (problems, files)
}

fn and_more(severity: Severity, more: usize) -> Problem {
    Problem::without_place(severity, "", &format!("and {more} more"), "mend these first")
}

/// Puts `more` among the problems of a file, in the order of the file.
pub(super) fn merge(list: &mut Vec<Problem>, mut more: Vec<Problem>) {
    let left = more.len().saturating_sub(MOST);
    more.truncate(MOST);
    let last = list.pop_if(|last| last.line == 0 && last.what.ends_with(" more"));
    list.append(&mut more);
    list.sort_by_key(|problem| (problem.line, problem.column));
    list.extend(last);
    if left > 0 {
        let severity = list.iter().map(|problem| problem.severity).min().unwrap_or(Severity::Error);
        list.push(and_more(severity, left));
    }
}
