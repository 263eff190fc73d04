//! Configuration: `standfast.yaml` → [`Config`], or every problem at once, each with its line and what to write instead.
//!
//! # How a file becomes a `Config`
//!
//! ```text
//! text ──yaml──▶ tree ──typing──▶ schema ──meaning──▶ Config ──dump──▶ text
//!          │             │                   │
//!          └─────────────┴── diagnostics ────┴──places──▶ Problems
//! ```
//!
//! 1. `yaml` is the one file that reads YAML. It follows the events of a parser and builds a `tree`: every value with line
//!    and column, duplicate keys found, aliases unfolded within bounds, what is not supported (tags, merge keys, a
//!    second document) refused by name.
//! 2. `typing` lets serde type the tree into the `schema`: the types there are what can be *typed*, with the short
//!    forms, and nothing is filled in. Every value is `Spanned`: absent, bad or good, and where it stands. A bad
//!    value is noted and the next one is read, so one run finds all mistakes. The schema denies unknown keys; keys whose
//!    name is fixed and whose function is not built are there as `ReservedKey`, and refused. Keys and words of other proxies
//!    are known to `hints`, which says what to write instead.
//! 3. `meaning` turns the schema into the [`Config`], what is *meant*: every default filled in (all of them are in
//!    `defaults`, with their reasons), names that exist, numbers in range, addresses that do not conflict, files that can be
//!    read, and an objective that the checks can keep ([`detections`]). Rooms below this one re-check nothing.
//! 4. `places` looks up where the diagnostics stand and makes `Problems` of them: for people with the line and a caret, for
//!    logs in one line, for programs as JSON. One error refuses the whole file; warnings come with the configuration.
//!
//! [`dump()`] goes the other way and writes every value out; reading a dump gives an equal configuration (except for
//! secrets, which it does not show). [`keys()`] walks the schema itself, so that the reference file can be compared with what
//! the reader really knows.
//!
//! Nothing in here panics on any input, and no input makes it work without bound; `tests/fuzz` checks it with
//! arbitrary texts. The only IO is reading the file and the `body_file`s that it names, and a look at the paths of the state
//! file and the access log.
//!
//! # To add a key
//!
//! `schema/`, `defaults/`, `model/`, `meaning/` and `dump/` have one file for each section of `standfast.yaml`, with the same
//! name in each folder: a key of `retry:` is a line in `retry.rs` of each of the five, next to the keys of its section and to
//! no others. The steps:
//!
//! 1. `schema/SECTION.rs`: the key and its notation.
//! 2. `defaults/SECTION.rs`: its default with the reason, unless it has none.
//! 3. `model/SECTION.rs`: the field, with unit and meaning.
//! 4. `meaning/SECTION.rs`: reading and checking it; what concerns several sections is in `meaning/cross.rs`, what concerns
//!    the parts of one service in `meaning/consistency.rs`.
//! 5. `dump/SECTION.rs` and `config/reference.yaml`: a line each; tests miss it in both.
//! 6. `tests/config/cases/`: a case that shows what happens when it is wrong.
//!
//! A new section is a file in each folder and a `mod` line (with a `use` line where the folder names its parts again). Hardly
//! anything else builds these types field by field: tests read theirs from YAML (`tests/support/fixture.rs`).
mod advice;
mod bind;
mod bytes_or_time;
mod defaults;
mod diagnostic;
mod dump;
mod emit;
pub(crate) mod file_names;
mod flow;
mod hints;
mod keys;
mod lag_limit;
pub(crate) mod log_filter;
mod meaning;
mod model;
mod named_files;
mod objective;
mod own_listener;
mod places;
mod problem;
mod problems;
mod schema;
mod spanned;
mod tree;
mod typing;
mod units;
mod yaml;

use std::io::Read;
use std::path::Path;

pub use bind::{Bind, ParseBindError};
pub use defaults::LISTENER_CONNECTIONS;
pub use dump::dump;
pub use keys::{SchemaKey, keys};
pub use model::*;
pub use named_files::{NamedFile, NamedFiles};
pub use objective::{Detection, by_sum, detections, worst_case};
pub use own_listener::{OwnEndpoint, OwnListener, OwnPort, own_listeners};
pub use problem::{Problem, Severity};
pub use problems::Problems;

/// A valid configuration with its warnings.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// What is meant, all defaults filled in.
    pub config: Config,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Problem>,
    /// Files that it names for TLS and to be written. They are not looked at yet.
    pub files: Vec<NamedFiles>,
}

/// The same after a look at the files that it names: an error among `more` refuses it.
///
/// # Errors
/// What was refused before stays refused, with more problems.
pub fn with_problems(
    found: Result<LoadedConfig, Problems>,
    file: &Path,
    more: Vec<Problem>,
) -> Result<LoadedConfig, Problems> {
    match found {
        Ok(mut loaded) if more.iter().all(|problem| problem.severity == Severity::Warning) => {
            problems::merge(&mut loaded.warnings, more);
            Ok(loaded)
        }
        Ok(LoadedConfig { warnings: mut list, files, .. }) => {
            problems::merge(&mut list, more);
            Err(Problems { file: file.to_owned(), unreadable: false, list, files })
        }
        Err(mut problems) => {
            problems::merge(&mut problems.list, more);
            Err(problems)
        }
    }
}

/// Reads a file. Relative paths in it count from its folder.
///
/// # Errors
/// All problems of the file at once; [`unreadable`](field@Problems::unreadable) when it could not be read at all.
pub fn load(path: &Path) -> Result<LoadedConfig, Problems> {
    let (text, bytes) = read(path).map_err(|error| cannot_read(path, &error))?;
    if text.len() > yaml::MAX_BYTES {
        let size = bytes.map_or_else(|| format!("more than {}", yaml::MAX_BYTES), |bytes| bytes.to_string());
        let what = format!("it has {size} bytes: at most {} are read", yaml::MAX_BYTES);
        return Err(Problems::of_file(path, what, "is this the right file?"));
    }
    let base_dir = path.parent().unwrap_or(Path::new(""));
    match String::from_utf8(text) {
        Ok(text) => parse_text(&text, base_dir, path),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            // What follows the text that is good stands in its last line.
            let line = tree::lines(&format!("{}.", String::from_utf8_lossy(&error.as_bytes()[..good]))).count();
            Err(Problems::of_file(path, format!("it is not UTF-8 text (line {line})"), "save it as UTF-8"))
        }
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Problems {
    let advice = match error.kind() {
        std::io::ErrorKind::NotFound => "check the path",
        std::io::ErrorKind::PermissionDenied => "the user that runs this command must be allowed to read it",
        std::io::ErrorKind::IsADirectory => "name the file in it",
        _ => "",
    };
    Problems::of_file(path, format!("cannot read it: {error}"), advice)
}

/// Reads a text; relative paths in it count from `base_dir`.
///
/// # Errors
/// All problems of the text at once.
pub fn parse(text: &str, base_dir: &Path) -> Result<LoadedConfig, Problems> {
    parse_text(text, base_dir, Path::new("standfast.yaml"))
}

/// At most one byte more than the reader takes: the rest would only be refused. And the size of the file, if it has one.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, Option<u64>)> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path)?;
    let found = file.metadata()?;
    file.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok((text, found.is_file().then_some(found.len())))
}

/// Text → tree → typed → meant; what is wrong is collected on the way and told at the end.
fn parse_text(text: &str, base_dir: &Path, file: &Path) -> Result<LoadedConfig, Problems> {
    let mut diagnostics = diagnostic::DiagnosticList::default();
    let tree = yaml::read(text, &mut diagnostics);
    let mut files = Vec::new();
    let config = tree.as_ref().and_then(|tree| {
        let typed = typing::typed::<schema::File>(tree, keys::is_reserved, &mut diagnostics);
        meaning::config(&typed, base_dir, file, &mut diagnostics, &mut files)
    });
    let (told, files) = places::located(diagnostics, files, tree.as_ref(), text);
    match config {
        Some(config) if told.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(LoadedConfig { config, warnings: told, files })
        }
        _ => Err(Problems { file: file.to_owned(), unreadable: false, list: told, files }),
    }
}

#[cfg(test)]
#[path = "../../tests/support/fixture.rs"]
pub(crate) mod fixture;
