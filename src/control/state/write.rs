//! Writing the state file. It has mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::document::{StateDocument, seal};
use crate::config::file_names::{NEW, PREVIOUS, beside};
use crate::control::discovery::Remembered;
use crate::control::file_writer::{FileLane, FileWriter, LaneRule, WriteJob, WrittenFile};
use crate::decision::Saved;
use crate::sys::clock;

/// Hands states to the file's thread.
#[derive(Debug)]
pub(in crate::control) struct StateWriter {
    lane: FileLane,
}

impl StateWriter {
    /// A newer state replaces one that waits. `failed` hears of the first failure in a row, on the file's thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub(in crate::control) fn new(
        writer: &mut FileWriter,
        path: PathBuf,
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> io::Result<StateWriter> {
        Ok(StateWriter { lane: writer.add("state", StateTarget { path }, LaneRule::Newest, failed)? })
    }

    /// Have this state on disk soon. Never blocks for IO; the text and its checksum are made on the file's thread.
    pub(in crate::control) fn write(&self, saved: Saved, names: Remembered) {
        let document = StateDocument { saved_unix_ms: clock::unix_millis(), saved, names };
        self.lane.put(WriteJob::Whole(Box::new(move || Ok(seal(&document)?))));
    }

    /// Writes that succeeded and writes that failed.
    pub(in crate::control) fn counts(&self) -> (u64, u64) {
        self.lane.counts()
    }
}

/// The file itself.
struct StateTarget {
    path: PathBuf,
}

impl WrittenFile for StateTarget {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, job: &WriteJob) -> io::Result<()> {
        match job {
            WriteJob::Whole(content) => replace(&self.path, &content()?),
            WriteJob::Append(_) => Err(io::Error::other("the state is written as a whole")),
        }
    }
}

/// Replace the file whole or not at all, even if the machine dies meanwhile. The one before it stays as `.previous`,
/// where the file system has hard links: at no moment is the file itself missing.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = beside(path, NEW);
    // (What an earlier process left, or a link that was laid there, is not written through.)
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let previous = beside(path, PREVIOUS);
    let _ = fs::remove_file(&previous);
    let _ = fs::hard_link(path, &previous);
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
