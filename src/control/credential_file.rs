//! A file that says which credentials are good, such as the tokens file: it is not read where others than its owner could have
//! written it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Permissions that such a file must not have: the group or others can write it.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// What tells whether a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    file: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds of the last change of its content, and of anything else about it.
    changed: [(i64, i64); 2],
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum CredentialFileError {
    /// It cannot be read.
    Unreadable(io::Error),
    /// Others than its owner could give themselves a credential. Its permissions.
    Writable(u32),
}

impl From<io::Error> for CredentialFileError {
    fn from(error: io::Error) -> CredentialFileError {
        CredentialFileError::Unreadable(error)
    }
}

impl FileVersion {
    /// The version that is there now. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn now(path: &Path) -> io::Result<FileVersion> {
        std::fs::metadata(path).map(|found| FileVersion::of(&found))
    }

    fn of(found: &Metadata) -> FileVersion {
        FileVersion {
            file: (found.dev(), found.ino()),
            size: found.size(),
            changed: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
        }
    }
}

/// The text of a file of so many bytes at most, and its version. Blocks.
pub(super) fn read(path: &Path, most: usize) -> Result<(String, FileVersion), CredentialFileError> {
    // (A FIFO is opened without waiting for its writer, and refused.)
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file").into());
    }
    let mode = found.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(CredentialFileError::Writable(mode));
    }
    Ok((text(file, most)?, FileVersion::of(&found)))
}

fn text(file: File, most: usize) -> io::Result<String> {
    let mut text = String::new();
    file.take(most as u64 + 1).read_to_string(&mut text)?;
    match text.len() > most {
        true => Err(io::Error::other(format!("it is larger than {most} bytes"))),
        false => Ok(text),
    }
}
