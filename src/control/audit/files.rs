//! How the files of an audit log are named: the newest is at its path, those before it beside it, with the number of their first record
//! behind the name: `audit.jsonl.000000000001`. They are never renamed again, and sort by that number.

use std::io;
use std::path::{Path, PathBuf};

/// Digits of a number; a larger one has more.
const DIGITS: usize = 12;
/// What stands behind the name of the lock.
const LOCK: &str = ".lock";
/// What stands behind the name of the file with lines that were not written whole.
const TORN: &str = ".torn";
/// What stands behind the name of a file that is made and removed to try the disk.
const TRIAL: &str = ".trial";

/// The files of the log at `path` that are there, oldest first, the newest last.
///
/// # Errors
/// Its folder cannot be read.
pub fn log_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = rotated(path)?.into_iter().map(|(_, file)| file).collect();
    if path.try_exists()? {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// The files beside the newest one with their numbers, oldest first.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder(path))? {
        let entry = entry?;
        let found = entry.file_name();
        let number = found.as_encoded_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"."));
        let digits = number.filter(|digits| digits.len() >= DIGITS && digits.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort();
    Ok(files)
}

/// Where the file whose first record has this number is moved.
pub(super) fn numbered(path: &Path, first: u64) -> PathBuf {
    beside(path, &format!(".{first:0DIGITS$}"))
}

/// The file whose lock keeps other processes away. It holds the number of the process that has it.
pub(super) fn lock(path: &Path) -> PathBuf {
    beside(path, LOCK)
}

/// Where lines go that were not written whole.
pub(super) fn torn(path: &Path) -> PathBuf {
    beside(path, TORN)
}

/// Where the disk is tried.
pub(super) fn trial(path: &Path) -> PathBuf {
    beside(path, TRIAL)
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_log_are_found_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        assert_eq!(log_files(&path).unwrap(), Vec::<PathBuf>::new());
        for name in [".lock", ".torn", ".1", ".000000000020", ".00000000000x", ".1000000000000", ".000000000003", ""] {
            std::fs::write(beside(&path, name), "").unwrap();
        }
        std::fs::write(folder.path().join("other.jsonl.000000000001"), "").unwrap();
        let expected = [".000000000003", ".000000000020", ".1000000000000", ""].map(|name| beside(&path, name));
        assert_eq!(log_files(&path).unwrap(), expected);
        assert_eq!(
            (numbered(&path, 3), numbered(&path, 1_000_000_000_000)),
            (expected[0].clone(), expected[2].clone())
        );
    }
}
