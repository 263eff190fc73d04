//! The tokens file on disk. It is taken as a whole or not at all: with a line that is wrong, or where others than its owner could
//! have written it.

use std::io;
use std::path::{Path, PathBuf};

use super::credential_file::{self, CredentialFileError, FileVersion};
use crate::access::tokens_file::LARGEST_FILE;
use crate::access::{TokensFile, TokensFileError};

/// A tokens file that is right in every line.
#[derive(Clone, Debug)]
pub struct ReadTokens {
    /// The tokens.
    pub file: TokensFile,
    /// What was read.
    pub version: FileVersion,
}

/// Why a tokens file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokensReadError {
    /// It cannot be read.
    #[error("{}: the tokens file cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner could give themselves a token.
    #[error("{}: others than its owner can write it (mode {mode:04o})", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It has lines that are wrong.
    #[error("{}: {problems}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: TokensFileError,
    },
}

impl TokensReadError {
    /// What to do.
    pub fn advice(&self) -> String {
        match self {
            TokensReadError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "`standfast token create` makes it".to_owned()
            }
            TokensReadError::Unreadable { .. } => "the user that runs the proxy must be able to read it".to_owned(),
            TokensReadError::Writable { path, .. } => format!("`chmod go-w {}`", path.display()),
            TokensReadError::Wrong { .. } => {
                "correct these lines or take them out: no token of the file is taken before".to_owned()
            }
        }
    }
}

/// Reads a tokens file. Blocks.
///
/// # Errors
/// It cannot be read, others can write it, or lines are wrong: all of them are named.
pub fn read(path: &Path) -> Result<ReadTokens, TokensReadError> {
    let path = || path.to_owned();
    let (text, version) = credential_file::read(&path(), LARGEST_FILE).map_err(|error| match error {
        CredentialFileError::Unreadable(source) => TokensReadError::Unreadable { path: path(), source },
        CredentialFileError::Writable(mode) => TokensReadError::Writable { path: path(), mode },
    })?;
    let file = TokensFile::parse(&text).map_err(|problems| TokensReadError::Wrong { path: path(), problems })?;
    Ok(ReadTokens { file, version })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(id: &str) -> String {
        format!("{id} ada operator * 2026-11-30 never {}\n", "0".repeat(64))
    }

    #[test]
    fn a_file_that_others_can_write_is_refused_and_one_that_they_can_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, line("0123456789")).unwrap();
        for (mode, is_good) in [(0o600, true), (0o444, true), (0o644, true), (0o620, false), (0o666, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read(&path) {
                Ok(read) => assert!(is_good && read.file.entries().len() == 1, "{mode:o}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!is_good && text.contains(&format!("(mode {mode:04o})")), "{mode:o} {text}");
                    assert_eq!(error.advice(), format!("`chmod go-w {}`", path.display()));
                }
            }
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(TokensReadError::Unreadable { .. })));
        let missing = read(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.advice(), "`standfast token create` makes it");
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read(&fifo).unwrap_err().to_string().ends_with("it is no file"));
        let large = folder.path().join("large");
        fs::write(&large, "#".repeat(LARGEST_FILE + 1)).unwrap();
        assert!(read(&large).unwrap_err().to_string().contains("larger than"));
    }

    #[test]
    fn every_change_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, line("0123456789")).unwrap();
        let first = read(&path).unwrap().version;
        assert_eq!(FileVersion::now(&path).unwrap(), first);
        let other = folder.path().join("other");
        fs::write(&other, line("1123456789")).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(FileVersion::now(&path).unwrap(), first, "another file of the same size");
    }
}
