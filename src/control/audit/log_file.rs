//! [`LogFile`]: the files of an audit log, as their thread writes them. The lock keeps every other process away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::files;
use super::writer::LineFile;
use crate::audit::{AuditChain, AuditLine, LONGEST_LINE};

/// The rights of the files.
const MODE: u32 = 0o600;
/// What every record begins with.
const BEGINS: &[u8] = b"{\"seq\":";
/// Bytes at the end of a file that are looked at: what a crash leaves of one write, and a line before it.
const TAIL: u64 = 1 << 20;
/// Bytes that must fit on the disk at the start.
const TRIAL: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Bytes of one file at most.
    rotate: u64,
    /// Files beside the newest one that stay.
    keep: usize,
    newest: NewestFile,
    /// Held as long as this is.
    _lock: File,
}

#[derive(Debug)]
struct NewestFile {
    file: File,
    inode: u64,
    /// Bytes that are written whole.
    bytes: u64,
    /// The number of its first record; `None` = it has none.
    first: Option<u64>,
    /// Behind them stands a part of a write.
    torn: bool,
}

/// How a file ends.
struct FileEnd {
    /// Bytes of whole lines.
    whole: u64,
    /// What stands behind them.
    torn: Vec<u8>,
    /// The end of the chain.
    chain: Option<AuditChain>,
}

impl LogFile {
    /// Locks the log at `path` and finds the end of its chain. A line that a crash has left torn is set aside.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(super) fn open(path: &Path, rotate: u64, keep: usize) -> Result<(LogFile, AuditChain), String> {
        let explained = |error: io::Error| explain(path, &error);
        let lock = lock(path)?;
        try_disk(path).map_err(explained)?;
        let mut file = open_newest(path).map_err(explained)?;
        let end = file_end(&file, path)?;
        if !end.torn.is_empty() {
            set_aside(path, &end.torn).map_err(explained)?;
            file.set_len(end.whole).and_then(|()| file.sync_all()).map_err(explained)?;
            let (bytes, aside) = (end.torn.len(), files::torn(path));
            tracing::warn!(
                path = %path.display(), bytes, aside = %aside.display(),
                "the last line of the audit log was not written whole (a crash): it is set aside, and the chain goes on before it"
            );
        }
        // (A file that is new is in its folder for good only then.)
        sync_folder(path).map_err(explained)?;
        let chain = match end.chain {
            Some(chain) => chain,
            None => end_of_rotated(path)?,
        };
        let first = first_record(&mut file).map_err(explained)?;
        let newest = NewestFile::new(file, end.whole, first).map_err(explained)?;
        Ok((LogFile { path: path.to_owned(), rotate, keep, newest, _lock: lock }, chain))
    }

    /// The newest file gets its number, and another one begins.
    fn rotate(&mut self, first: u64) -> io::Result<()> {
        let aside = files::numbered(&self.path, first);
        if aside.try_exists()? {
            return Err(io::Error::other(format!("{} is there already: move it away", aside.display())));
        }
        self.newest.mend()?;
        self.newest.file.sync_all()?;
        fs::rename(&self.path, &aside)?;
        self.newest = NewestFile::new(open_newest(&self.path)?, 0, None)?;
        sync_folder(&self.path)?;
        tracing::info!(path = %aside.display(), "the audit log is rotated");
        self.remove_old()
    }

    fn remove_old(&self) -> io::Result<()> {
        let rotated = files::rotated(&self.path)?;
        let old = rotated.len().saturating_sub(self.keep);
        for (_, file) in &rotated[..old] {
            fs::remove_file(file)?;
            tracing::info!(path = %file.display(), keep = self.keep, "the oldest file of the audit log is removed (audit.keep)");
        }
        Ok(())
    }

    /// Another program may have moved, cut or replaced the file: the chain goes on, and `audit verify` shows what is missing.
    fn look_at_place(&mut self) -> io::Result<()> {
        let path = self.path.display();
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.ino() == self.newest.inode => {
                if found.len() != self.newest.bytes && !self.newest.torn {
                    tracing::error!(%path, "another program has changed the audit log: `standfast audit verify` shows what is wrong");
                    self.newest.bytes = found.len();
                }
                return Ok(());
            }
            Ok(found) if found.len() > 0 => {
                return Err(io::Error::other("another file stands in its place: move it away"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.newest = NewestFile::new(open_newest(&self.path)?, 0, None)?;
        sync_folder(&self.path)?;
        tracing::error!(%path, "the audit log was moved or removed by another program: another file goes on with its chain");
        Ok(())
    }
}

impl LineFile for LogFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, first: u64, lines: &[u8]) -> io::Result<()> {
        self.look_at_place()?;
        if let Some(begins) = self.newest.first
            && self.newest.bytes + lines.len() as u64 > self.rotate
        {
            self.rotate(begins)?;
        }
        self.newest.append(lines)?;
        self.newest.first.get_or_insert(first);
        Ok(())
    }
}

impl NewestFile {
    fn new(file: File, bytes: u64, first: Option<u64>) -> io::Result<NewestFile> {
        let inode = file.metadata()?.ino();
        Ok(NewestFile { file, inode, bytes, first, torn: false })
    }

    /// Whole and on disk, or not at all: what fails is written again at the same place. (After an fsync that failed the system may have
    /// forgotten what it held, so that a second one alone would prove nothing.)
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.mend()?;
        if let Err(error) = self.file.write_all(lines).and_then(|()| self.file.sync_data()) {
            self.torn = true;
            let _ = self.mend();
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Takes away the part of a write.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// Opens the file to add to it; a new one is empty. No link is followed, and no FIFO is waited for.
fn open_newest(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Keeps every other process away from the log.
fn lock(path: &Path) -> Result<File, String> {
    let place = files::lock(path);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags(flags)
        .open(&place);
    let mut file = opened.map_err(|error| explain(path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = (&mut file).take(32).read_to_string(&mut holder);
            let holder =
                holder.trim().parse::<u32>().map_or("another process".to_owned(), |pid| format!("process {pid}"));
            return Err(format!(
                "{}: {holder} writes this audit log (it holds {}): two never write one chain; stop it, or give this instance another \
                 audit.path",
                path.display(),
                place.display()
            ));
        }
        Err(error) => return Err(format!("{}: cannot be locked: {error}", place.display())),
    }
    // (Who holds it is for messages: the lock itself counts.)
    let _ = file.set_len(0).and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
    Ok(file)
}

/// Can the disk take something?
fn try_disk(path: &Path) -> io::Result<()> {
    let place = files::trial(path);
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).custom_flags(flags).open(&place)?;
    let tried = file.write_all(&[b' '; TRIAL]).and_then(|()| file.sync_all());
    fs::remove_file(&place)?;
    tried
}

/// The end of a file. What is no audit log is left alone.
fn file_end(file: &File, path: &Path) -> Result<FileEnd, String> {
    let explained = |error: io::Error| explain(path, &error);
    let foreign = |what: &str| {
        let path = path.display();
        format!(
            "{path}: {what}: nothing is added to it. `standfast audit verify {path}` says more; to begin another chain, move it and its \
             numbered files away"
        )
    };
    let length = file.metadata().map_err(explained)?.len();
    if length == 0 {
        return Ok(FileEnd { whole: 0, torn: Vec::new(), chain: None });
    }
    let mut begins = [0; BEGINS.len()];
    let count = file.read_at(&mut begins, 0).map_err(explained)?;
    if !BEGINS.starts_with(&begins[..count]) {
        return Err(foreign("it is no audit log"));
    }
    let mut tail = vec![0; length.min(TAIL) as usize];
    let from = length - tail.len() as u64;
    file.read_exact_at(&mut tail, from).map_err(explained)?;
    let Some(last) = memchr::memrchr(b'\n', &tail) else {
        return match from {
            0 => Ok(FileEnd { whole: 0, torn: tail, chain: None }),
            _ => Err(foreign("it has no lines")),
        };
    };
    let begin = memchr::memrchr(b'\n', &tail[..last]).map_or(0, |before| before + 1);
    let chain = match AuditLine::parse(&tail[begin..last]) {
        Ok(line) if line.is_unedited() => line.chain(),
        Ok(line) => return Err(foreign(&format!("its last record, {}, was edited", line.seq))),
        Err(problem) => return Err(foreign(&format!("its last line is no record: {problem}"))),
    };
    Ok(FileEnd { whole: from + last as u64 + 1, torn: tail.split_off(last + 1), chain: Some(chain) })
}

/// The end of the chain in the last of the files before.
fn end_of_rotated(path: &Path) -> Result<AuditChain, String> {
    let explained = |error: io::Error| explain(path, &error);
    let Some((_, last)) = files::rotated(path).map_err(explained)?.pop() else { return Ok(AuditChain::default()) };
    let file = File::open(&last).map_err(|error| explain(&last, &error))?;
    Ok(file_end(&file, &last)?.chain.unwrap_or_default())
}

/// The number of the first record of a file.
fn first_record(file: &mut File) -> io::Result<Option<u64>> {
    let mut begins = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST_LINE as u64 + 1).read_to_end(&mut begins)?;
    let line = begins.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(AuditLine::parse(line).ok().map(|line| line.seq))
}

/// What was not written whole is kept, a line each.
fn set_aside(path: &Path, torn: &[u8]) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let place = files::torn(path);
    let mut file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(place)?;
    file.write_all(&[torn, b"\n"].concat())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(files::folder(path))?.sync_all()
}

/// What is wrong with a path, and what to do.
fn explain(path: &Path, error: &io::Error) -> String {
    let folder = files::folder(path).display();
    let advice = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {folder}: `mkdir -p {folder}`, or change audit.path"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free some space, or change audit.path".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => "change audit.path, or mount the disk for writing".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("the user that runs this must be allowed to write in {folder}")
        }
        _ => "change audit.path".to_owned(),
    };
    format!("{}: the audit log cannot be kept: {error}; {advice}", path.display())
}

#[cfg(test)]
#[path = "log_file_tests.rs"]
mod tests;
