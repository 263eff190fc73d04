//! Reading the state file at the start.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::document::{StateDocument, parse};
use crate::config::StateFile;
use crate::config::file_names::{DAMAGED, PREVIOUS, beside};
use crate::control::discovery::Remembered;
use crate::control::file_reader::read_bounded;
use crate::decision::Saved;
use crate::sys::clock;

/// A larger file is not ours.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// What the file held at the start.
#[derive(Debug)]
pub(in crate::control) enum LoadedState {
    /// There is none: the first start.
    Absent,
    /// To be restored.
    Usable {
        /// The decisions.
        saved: Box<Saved>,
        /// What names stood for.
        names: Remembered,
        /// How long ago they were written.
        age: Duration,
        /// Why this is not simply the newest state, in words for people; `None` = it is.
        reserve: Option<String>,
        /// Entries that cannot be used, in words for people: all else is restored.
        left_out: Vec<String>,
    },
    /// Older than `max_age`.
    Stale {
        /// How long ago it was written.
        age: Duration,
    },
    /// Not to be used; the text says why and where it was put.
    Damaged(String),
}

/// Read the file, or the one before it if it is damaged. Never fails: what cannot be used is said.
pub(in crate::control) fn load(file: &StateFile) -> LoadedState {
    let problem = match found(&file.path) {
        Ok(None) => return LoadedState::Absent,
        Ok(Some(document)) => return in_time(file, document, None),
        Err(problem) => format!("{problem}{}", put_aside(&file.path)),
    };
    match found(&beside(&file.path, PREVIOUS)) {
        Ok(Some(document)) => in_time(file, document, Some(problem)),
        Ok(None) => LoadedState::Damaged(problem),
        Err(also) => LoadedState::Damaged(format!("{problem}; {also}")),
    }
}

/// What a file holds; `None` = there is none. The error names the file.
fn found(path: &Path) -> Result<Option<(StateDocument, Vec<String>)>, String> {
    let bytes = match read_bounded(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    parse(bytes).map(Some).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn in_time(
    file: &StateFile,
    (document, left_out): (StateDocument, Vec<String>),
    reserve: Option<String>,
) -> LoadedState {
    let age = Duration::from_millis(clock::unix_millis().saturating_sub(document.saved_unix_ms));
    if age > file.max_age {
        return LoadedState::Stale { age };
    }
    LoadedState::Usable { saved: Box::new(document.saved), names: document.names, age, reserve, left_out }
}

/// Keep the damaged file for people: the next write would replace it.
fn put_aside(path: &Path) -> String {
    let aside = beside(path, DAMAGED);
    match fs::rename(path, &aside) {
        Ok(()) => format!(" (kept as {})", aside.display()),
        Err(_) => String::new(),
    }
}
