//! One thing that is wrong with a configuration, for people and machines: its path, its line and what to write instead.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

pub use super::diagnostic::Severity;
use crate::text::{is_command, printable};

/// An error or a warning with its place in the file.
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
    pub(super) source: Option<(Arc<str>, usize)>,
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
