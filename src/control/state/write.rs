//! Writing the state file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::document::{StateDocument, seal};
use crate::control::discovery::Remembered;
use crate::control::file_writer::{FileLane, FileWriter, LaneRule, WriteJob, WrittenFile};
use crate::decision::Saved;
use crate::sys::clock;

/// Hands states to the writing thread.
#[derive(Debug)]
pub(in crate::control) struct StateWriter {
    lane: FileLane,
}

impl StateWriter {
    /// A newer state replaces one that waits. `failed` hears of the first failure in a row, on the writing thread.
    pub(in crate::control) fn new(
        writer: &FileWriter,
        path: PathBuf,
        failed: impl Fn(String) + Send + Sync + 'static,
    ) -> StateWriter {
        StateWriter { lane: writer.add("state", StateTarget { path }, LaneRule::Newest, failed) }
    }

    /// Have this state on disk soon. Never blocks for IO.
    pub(in crate::control) fn write(&self, saved: Saved, names: Remembered) {
        let document = StateDocument { saved_unix_ms: clock::unix_millis(), saved, names };
        match seal(&document) {
            Ok(bytes) => {
                self.lane.put(WriteJob::Replace(bytes));
            }
            Err(error) => tracing::error!(%error, "the state cannot be written as JSON"),
        }
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
            WriteJob::Replace(bytes) => replace(&self.path, bytes),
            WriteJob::Begin(content) => replace(&self.path, &content()?),
            WriteJob::Append(_) => Err(io::Error::other("the state is written as a whole")),
        }
    }
}

/// Replace the file whole or not at all, even if the machine dies meanwhile. The one before it stays as `.previous`,
/// where the file system has hard links: at no moment is the file itself missing.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = with_suffix(path, ".new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let previous = previous(path);
    let _ = fs::remove_file(&previous);
    let _ = fs::hard_link(path, &previous);
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

pub(super) fn previous(path: &Path) -> PathBuf {
    with_suffix(path, ".previous")
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
