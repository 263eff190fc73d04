//! Names of the files that stand beside a file that is written: it has a suffix behind the name of that file.

use std::path::{Path, PathBuf};

/// The one before the newest: of the state file, and of the journal.
pub const PREVIOUS: &str = ".previous";
/// The next state while it is written.
pub const NEW: &str = ".new";
/// A state file that could not be used, kept for people.
pub const DAMAGED: &str = ".damaged";
/// The journal of a state file.
pub const JOURNAL: &str = ".journal";

/// The file beside `path` whose name has this suffix.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
