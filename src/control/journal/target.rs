//! The files of the journal, as their thread writes them: the newest segments are at `path`, those before them beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::format::{CHECK_BYTES, ChecksumChain, MARK};
use crate::config::file_names::{PREVIOUS, beside};
use crate::control::file_writer::{WriteJob, WrittenFile};

/// The rights of the files.
const MODE: u32 = 0o600;

/// What both sides know of the segment that is written.
#[derive(Debug, Default)]
pub(super) struct SegmentState {
    /// A segment was asked for, and has not begun yet.
    pub(super) beginning: AtomicBool,
    /// Bytes of its file when it had begun: its head and its snapshot, and what stands before them.
    pub(super) base: AtomicU64,
}

/// The file at `path`, and the one before it.
pub(super) struct JournalTarget {
    path: PathBuf,
    /// Bytes of one file at most.
    most: u64,
    /// A segment of this process was begun.
    has_begun: bool,
    open: Option<OpenSegment>,
    shared: Arc<SegmentState>,
}

struct OpenSegment {
    file: File,
    /// Bytes of the file that are written whole.
    bytes: u64,
    chain: ChecksumChain,
    /// Behind them stands a part of a batch.
    torn: bool,
}

impl JournalTarget {
    pub(super) fn new(path: PathBuf, most: u64, shared: Arc<SegmentState>) -> JournalTarget {
        JournalTarget { path, most, has_begun: false, open: None, shared }
    }

    fn begin(&mut self, mut content: Vec<u8>) -> io::Result<()> {
        let mut chain = ChecksumChain::begin();
        let check = chain.close(&content);
        content.extend_from_slice(&check);
        let bytes = content.len() as u64;
        if bytes > self.most / 4 {
            let least = bytes.saturating_mul(8);
            return Err(io::Error::other(format!(
                "a snapshot has {bytes} bytes: journal.max_bytes has to be {least} at least"
            )));
        }
        self.open = None;
        let (mut file, before) = self.place(bytes)?;
        // (A batch that was torn when a process ended does not run into the head.)
        let whole = if before > 0 { [b"\n", &*content].concat() } else { content };
        if let Err(error) = file.write_all(&whole) {
            // (What was begun and not ended is no segment.)
            let _ = if before > 0 { file.set_len(before) } else { fs::remove_file(&self.path) };
            return Err(error);
        }
        let bytes = before + whole.len() as u64;
        self.open = Some(OpenSegment { file, bytes, chain, torn: false });
        self.has_begun = true;
        self.shared.base.store(bytes, Ordering::Release);
        self.shared.beginning.store(false, Ordering::Release);
        Ok(())
    }

    /// The file for a segment that begins with so many bytes, and its length. What is no journal is neither replaced nor added to.
    fn place(&self, bytes: u64) -> io::Result<(File, u64)> {
        let before = beside(&self.path, PREVIOUS);
        let (newest, older) = (open_journal(&self.path)?, open_journal(&before)?);
        // (It may be of a time when more was kept.)
        if older.is_some_and(|(_, size)| size > self.most) {
            fs::remove_file(&before)?;
        }
        if let Some((mut file, size)) = newest {
            // A start adds to the file where it can: a process that restarts again and again keeps what led to it.
            if size == 0 || !self.has_begun && size + bytes < self.most / 2 {
                file.seek(SeekFrom::End(0))?;
                return Ok((file, size));
            }
            fs::rename(&self.path, &before)?;
            if size > self.most {
                fs::remove_file(&before)?;
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&self.path)?;
        Ok((file, 0))
    }

    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.bytes + (batch.len() + CHECK_BYTES) as u64 > self.most {
            // What follows would lack this: the segment ends here, as the engine finds by the same sum.
            self.open = None;
            return Ok(());
        }
        open.append(batch)
    }
}

impl OpenSegment {
    /// Whole or not at all: what fails is written again at the same place.
    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.mend()?;
        let mut chain = self.chain.clone();
        let whole = [batch, &chain.close(batch)].concat();
        if let Err(error) = self.file.write_all(&whole) {
            self.torn = true;
            let _ = self.mend();
            return Err(error);
        }
        self.bytes += whole.len() as u64;
        self.chain = chain;
        Ok(())
    }

    /// Takes away the part of a batch.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
            self.torn = false;
        }
        Ok(())
    }
}

impl WrittenFile for JournalTarget {
    fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, job: &WriteJob) -> io::Result<()> {
        match job {
            WriteJob::Whole(content) => self.begin(content()?),
            WriteJob::Append(batch) => self.append(batch),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_all())
    }
}

/// The journal at this path, and its length. `None` = nothing stands there. What is something else is an error. A file that is empty, as
/// a crash may leave it, is a journal if it has the mode of one.
fn open_journal(path: &Path) -> io::Result<Option<(File, u64)>> {
    let problem = |what: &str| io::Error::other(format!("{} {what}", path.display()));
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return Err(problem("is no regular file: no journal can be kept there"));
    }
    // (It may have been replaced meanwhile: no link is followed, and no FIFO is waited for.)
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let mut begins = Vec::new();
    (&mut file).take(MARK.len() as u64).read_to_end(&mut begins)?;
    let is_ours = if begins.is_empty() { found.mode() & 0o777 == MODE } else { MARK.starts_with(&begins) };
    if !found.is_file() || !is_ours {
        return Err(problem("is no journal, and is not replaced"));
    }
    Ok(Some((file, found.len())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn target(folder: &tempfile::TempDir) -> JournalTarget {
        JournalTarget::new(folder.path().join("a.journal"), 1 << 20, Arc::default())
    }

    #[test]
    fn what_is_no_journal_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        for name in ["a.journal", "a.journal.previous"] {
            let path = folder.path().join(name);
            let refused = |why: &str| {
                let error = target(&folder).begin(b"{}\n".to_vec()).unwrap_err().to_string();
                assert!(error.contains(why), "{name}: {error}");
                fs::remove_file(&path).unwrap();
            };
            fs::write(&path, "precious").unwrap();
            refused("no journal");
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            refused("no journal");
            fs::write(&precious, "precious").unwrap();
            std::os::unix::fs::symlink(&precious, &path).unwrap();
            refused("no regular file");
            let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(MODE));
            rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
            refused("no regular file");
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn an_empty_file_that_a_crash_left_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut target = target(&folder);
        fs::write(&target.path, "").unwrap();
        fs::set_permissions(&target.path, fs::Permissions::from_mode(MODE)).unwrap();
        target.begin(b"{}\n".to_vec()).unwrap();
        assert!(fs::read(&target.path).unwrap().starts_with(b"{}\n"));
        assert!(!beside(&target.path, PREVIOUS).exists());
    }

    #[test]
    fn a_torn_batch_is_taken_away_before_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "whole\ntor").unwrap();
        // (A file that is open for reading alone can neither be written nor cut.)
        let chain = ChecksumChain::begin();
        let mut segment = OpenSegment { file: File::open(&path).unwrap(), bytes: 6, chain, torn: false };
        segment.append(b"next\n").unwrap_err();
        assert!(segment.torn);
        segment.append(b"next\n").unwrap_err();
        segment.file = OpenOptions::new().write(true).open(&path).unwrap();
        segment.append(b"next\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("whole\nnext\n{\"c\":") && text.len() as u64 == segment.bytes, "{text}");
    }
}
