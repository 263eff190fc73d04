//! What is wrong with a configuration, for people and machines: every problem with its path, its line and what to write
//! instead.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use super::fault::Severity;
use super::fault::{Faults, Spot};
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
    source: Option<(String, usize)>,
}

impl Problem {
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
            // What stands before the place is at most as wide as the window; a long line is shown from there.
            const WIDTH: usize = 100;
            let column = self.column.max(1) - 1;
            let skip = if column >= WIDTH { column - WIDTH / 2 } else { 0 };
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
}

impl Problems {
    /// A file that cannot be read.
    pub(super) fn unreadable(file: &Path, what: String) -> Problems {
        let problem = Problem {
            severity: Severity::Error,
            path: String::new(),
            line: 0,
            column: 0,
            what: printable(&what).into_owned(),
            advice: String::new(),
            source: None,
        };
        Problems { file: file.to_owned(), unreadable: true, list: vec![problem] }
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

/// Faults → problems: places looked up, in the order of the file.
pub(super) fn told(faults: Faults, tree: Option<&Tree>, text: &str) -> Vec<Problem> {
    let place = |spot: &Spot| match *spot {
        Spot::File => (0, 0, 1),
        Spot::Point { line, column } => (line, column, 1),
        Spot::Node(id) => {
            tree.and_then(|tree| tree.place(id)).map_or((0, 0, 1), |place| (place.line, place.column, place.length))
        }
    };
    let more = faults.len().saturating_sub(MOST);
    let mut faults = faults.kept();
    faults.sort_by_key(|fault| place(&fault.spot));
    if more > 0 {
        // Errors go first into the room that there is: a warning must not push one out.
        faults.sort_by_key(|fault| fault.severity);
        faults.truncate(MOST);
        faults.sort_by_key(|fault| place(&fault.spot));
    }
    let secret_lines =
        if faults.is_empty() { HashSet::new() } else { tree.map(Tree::secret_lines).unwrap_or_default() };
    let lines: Vec<&str> = lines(text.strip_prefix('\u{feff}').unwrap_or(text)).collect();
    let mut problems: Vec<Problem> = faults
        .into_iter()
        .map(|fault| {
            let (line, column, length) = place(&fault.spot);
            let path = match (fault.spot, tree) {
                (Spot::Node(id), Some(tree)) => tree.path(id),
                _ => String::new(),
            };
            let source = line.checked_sub(1).and_then(|index| lines.get(index));
            let is_secret = secret_lines.contains(&line)
                || source.is_some_and(|line| has_login(line))
                || tree.is_none() && may_be_secret(&lines, line);
            let source = source.filter(|_| !is_secret);
            Problem {
                severity: fault.severity,
                path,
                line,
                column,
                what: printable(&fault.what).into_owned(),
                advice: printable(&fault.advice).into_owned(),
                source: source.map(|line| (line.chars().take(10_000).collect(), length)),
            }
        })
        .collect();
    if more > 0 {
        problems.push(Problem {
            severity: problems.iter().map(|problem| problem.severity).min().unwrap_or(Severity::Error),
            path: String::new(),
            line: 0,
            column: 0,
            what: format!("and {more} more"),
            advice: "mend these first".into(),
            source: None,
        });
    }
    problems
}
