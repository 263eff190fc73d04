//! All problems of a file at once.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::diagnostic::Severity;
use super::named_files::NamedFiles;
use super::problem::Problem;
use crate::text::printable;

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

/// The line behind the last problem that is told.
pub(super) fn more_problems(severity: Severity, more: usize) -> Problem {
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
        list.push(more_problems(severity, left));
    }
}
