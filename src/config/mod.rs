//! Configuration: YAML text → [`Config`], every problem at once with its line and what to write instead.
mod defaults;
mod dump;
mod fault;
mod item;
mod keys;
mod meaning;
mod model;
mod objective;
mod problem;
mod schema;
mod tree;
mod typing;
mod units;
mod yaml;

use std::io::Read;
use std::path::Path;

pub use dump::dump;
pub use keys::{Key, keys};
pub use model::*;
pub use objective::{Detection, detections, worst_case};
pub use problem::{Problem, Problems, Severity};

/// A configuration that is valid, and what somebody should look at all the same.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is meant, all defaults filled in.
    pub config: Config,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// Reads a file. Relative paths in it count from its folder.
///
/// # Errors
/// All problems of the file at once; [`Problems::unreadable`] when it could not be read at all.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let text = read(path).map_err(|error| Problems::unreadable(path, format!("cannot read it: {error}")))?;
    let base_dir = path.parent().unwrap_or(Path::new(""));
    match String::from_utf8(text) {
        Ok(text) => understand(&text, base_dir, path),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Problems::unreadable(path, format!("it is not UTF-8 text (line {line})")))
        }
    }
}

/// Reads a text; relative paths in it count from `base_dir`.
///
/// # Errors
/// All problems of the text at once.
pub fn parse(text: &str, base_dir: &Path) -> Result<Loaded, Problems> {
    understand(text, base_dir, Path::new("standfast.yaml"))
}

/// At most one byte more than the reader takes: the rest would only be refused.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Text → tree → typed → meant; what is wrong is collected on the way and told at the end.
fn understand(text: &str, base_dir: &Path, file: &Path) -> Result<Loaded, Problems> {
    let mut faults = Vec::new();
    let tree = yaml::read(text, &mut faults);
    let config = tree.as_ref().and_then(|tree| {
        let typed = typing::typed::<schema::File>(tree, keys::is_later, &mut faults);
        meaning::config(&typed, base_dir, &mut faults)
    });
    let told = problem::told(faults, tree.as_ref(), text);
    match config {
        Some(config) if told.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(Loaded { config, warnings: told })
        }
        _ => Err(Problems { file: file.to_owned(), unreadable: false, list: told }),
    }
}
