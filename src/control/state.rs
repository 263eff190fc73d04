//! The state file: decisions that survive a restart (DESIGN §3.14). Written aside, synced and renamed by a thread of its
//! own, after the publish and off every request's path; a newer state replaces one that still waits.
//!
//! The file ends with a checksum of what stands before it (SHA-256), so that a bit that turned on a disk is never a pool
//! that serves; files of before there was one are read without. The state before the last one is kept beside it
//! (`.previous`) and read when the newest is damaged. Where the file itself is missing, this is a first start.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::discovery::Remembered;
use crate::config::StateFile;
use crate::decision::Saved;
use crate::sys::clock;

/// A larger file is not ours.
const MAX_BYTES: u64 = 64 << 20;
/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long a stop waits for the last write.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// What stands before the checksum, the last field of the document.
const SEAL: &[u8] = b",\"sha256\":\"";
/// What stands after it.
const SEAL_END: &[u8] = b"\"}";
/// Digits of the checksum.
const SEAL_DIGITS: usize = 64;
/// Numbers of publishing and of incidents beyond this one were never counted up to.
const MAX_COUNTED: u64 = 1 << 62;

/// What stands in the file. The ages in `saved` count from `saved_unix_ms`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    saved_unix_ms: u64,
    saved: Saved,
    /// What names stood for; absent in files of before there were names.
    #[serde(default)]
    names: Remembered,
}

/// The part of every version's document that must be readable.
#[derive(Debug, Deserialize)]
struct AnyDocument {
    saved: AnySaved,
}

#[derive(Debug, Deserialize)]
struct AnySaved {
    version: u32,
}

/// What the file held at the start.
#[derive(Debug)]
pub(super) enum Loaded {
    /// There is none: the first start.
    Absent,
    /// To be restored.
    Usable {
        /// The decisions.
        saved: Box<Saved>,
        /// What names stood for.
        names: Remembered,
        /// How long ago they were written.
        age: Duration,
        /// Why this is not simply the newest state, in words for people; `None` = it is.
        reserve: Option<String>,
    },
    /// Older than `max_age`.
    Stale {
        /// How long ago it was written.
        age: Duration,
    },
    /// Not to be used; the text says why and where it was put.
    Damaged(String),
}

/// Read the file, or the one before it if it is damaged. Never fails: what cannot be used is said.
pub(super) fn load(file: &StateFile) -> Loaded {
    let problem = match found(&file.path) {
        Ok(None) => return Loaded::Absent,
        Ok(Some(document)) => return in_time(file, document, None),
        Err(problem) => format!("{problem}{}", put_aside(&file.path)),
    };
    match found(&previous(&file.path)) {
        Ok(Some(document)) => in_time(file, document, Some(problem)),
        Ok(None) => Loaded::Damaged(problem),
        Err(also) => Loaded::Damaged(format!("{problem}; {also}")),
    }
}

/// What a file holds; `None` = there is none. The error names the file.
fn found(path: &Path) -> Result<Option<Document>, String> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    parse(bytes).map(Some).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn in_time(file: &StateFile, document: Document, reserve: Option<String>) -> Loaded {
    let age = Duration::from_millis(clock::unix_millis().saturating_sub(document.saved_unix_ms));
    if age > file.max_age {
        return Loaded::Stale { age };
    }
    Loaded::Usable { saved: Box::new(document.saved), names: document.names, age, reserve }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(mut bytes: Vec<u8>) -> Result<Document, String> {
    if let Some((body, digits)) = sealed(&bytes) {
        if digits != checksum(body).as_bytes() {
            return Err("damaged: its checksum is of something else".into());
        }
        // The document as it was before the checksum was added.
        let end = body.len();
        bytes.truncate(end);
        bytes.push(b'}');
    }
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|error| match serde_json::from_slice::<AnyDocument>(&bytes) {
            Ok(AnyDocument { saved: AnySaved { version } }) if version != Saved::VERSION => {
                let own = Saved::VERSION;
                format!("of format {version}, of which this program can read nothing ({error}); its own is {own}")
            }
            _ => format!("damaged: {error}"),
        })?;
    for (what, number) in [("epoch", document.saved.epoch), ("next_incident", document.saved.next_incident)] {
        if number > MAX_COUNTED {
            return Err(format!("damaged: {what} {number} is more than anybody has counted"));
        }
    }
    Ok(document)
}

/// What the checksum is of, and its digits. `None` = there is none, as in files of before there was one.
fn sealed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_suffix(SEAL_END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(SEAL_DIGITS)?)?;
    Some((rest.strip_suffix(SEAL)?, digits))
}

/// The document as bytes, with its checksum as the last field.
fn seal(document: &Document) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.pop(); // `}`
    let checksum = checksum(&bytes);
    [SEAL, checksum.as_bytes(), SEAL_END].into_iter().for_each(|part| bytes.extend_from_slice(part));
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Keep the damaged file for people: the next write would replace it.
fn put_aside(path: &Path) -> String {
    let aside = with_suffix(path, ".damaged");
    match fs::rename(path, &aside) {
        Ok(()) => format!(" (kept as {})", aside.display()),
        Err(_) => String::new(),
    }
}

/// Replace the file whole or not at all, even if the machine dies meanwhile. The one before it stays as `.previous`,
/// where the file system has hard links: at no moment is the file itself missing.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

fn previous(path: &Path) -> PathBuf {
    with_suffix(path, ".previous")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Hands states to the writing thread. Dropping it lets the thread end after what it has in hand.
#[derive(Debug)]
pub(super) struct Writer {
    desk: Arc<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    slot: Mutex<Slot>,
    changed: Condvar,
    written: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// The newest state that is not on disk.
    next: Option<Vec<u8>>,
    /// A write is going on.
    writing: bool,
    /// Nothing more will come.
    closed: bool,
}

impl Writer {
    /// Start the thread. `failed` hears of the first failure in a row, on that thread.
    pub(super) fn start(path: PathBuf, failed: impl Fn(String) + Send + 'static) -> io::Result<Writer> {
        let desk = Arc::new(Desk::default());
        let theirs = desk.clone();
        thread::Builder::new().name("state-writer".into()).spawn(move || theirs.run(&path, failed))?;
        Ok(Writer { desk })
    }

    /// Have this state on disk soon. Never blocks for IO.
    pub(super) fn write(&self, saved: Saved, names: Remembered) {
        let document = Document { saved_unix_ms: clock::unix_millis(), saved, names };
        match seal(&document) {
            Ok(bytes) => {
                self.desk.lock().next = Some(bytes);
                self.desk.changed.notify_all();
            }
            Err(error) => tracing::error!(%error, "the state cannot be written as JSON"),
        }
    }

    /// Wait (blocking, bounded) until everything is on disk or the last try has failed. True = on disk.
    pub(super) fn finish(&self) -> bool {
        let mut slot = self.desk.lock();
        slot.closed = true;
        self.desk.changed.notify_all();
        let unfinished = |slot: &mut Slot| slot.next.is_some() || slot.writing;
        let waited = self.desk.changed.wait_timeout_while(slot, LAST_WRITE, unfinished);
        slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        slot.next.is_none() && !slot.writing
    }

    /// Writes that succeeded and writes that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.desk.written.load(Ordering::Relaxed), self.desk.failed.load(Ordering::Relaxed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, path: &Path, told: impl Fn(String)) {
        let mut failing = false;
        while let Some(bytes) = self.take() {
            match replace(path, &bytes) {
                Ok(()) => {
                    self.written.fetch_add(1, Ordering::Relaxed);
                    if std::mem::take(&mut failing) {
                        tracing::info!(path = %path.display(), "the state file is written again");
                    }
                    self.done(None);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut failing, true) {
                        told(format!("{}: {error}", path.display()));
                    }
                    self.done(Some(bytes));
                }
            }
        }
    }

    /// The next state to write, or `None` when there will be none.
    fn take(&self) -> Option<Vec<u8>> {
        let idle = |slot: &mut Slot| slot.next.is_none() && !slot.closed;
        let mut slot = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let next = slot.next.take();
        slot.writing = next.is_some();
        next
    }

    /// A write ended. A failed one is tried again later, unless a newer state has come or nobody waits any more.
    fn done(&self, failed: Option<Vec<u8>>) {
        let mut slot = self.lock();
        slot.writing = false;
        self.changed.notify_all();
        let Some(bytes) = failed else { return };
        let nothing_new = |slot: &mut Slot| slot.next.is_none() && !slot.closed;
        let waited = self.changed.wait_timeout_while(slot, RETRY, nothing_new);
        slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        if slot.next.is_none() && !slot.closed {
            slot.next = Some(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Decision, Moment};

    fn saved() -> Saved {
        Decision::new(None, Moment::ZERO).saved(Moment::ZERO)
    }

    fn at(folder: &tempfile::TempDir) -> StateFile {
        StateFile { path: folder.path().join("state.json"), max_age: Duration::from_secs(3600) }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        assert!(matches!(load(&file), Loaded::Absent));
        let writer = Writer::start(file.path.clone(), |problem| panic!("{problem}")).unwrap();
        for _ in 0..100 {
            writer.write(saved(), Vec::new());
        }
        assert!(writer.finish());
        let Loaded::Usable { saved: read, age, reserve, .. } = load(&file) else { panic!("not usable") };
        assert_eq!(reserve, None);
        assert_eq!(*read, saved());
        assert!(age < Duration::from_secs(60));
        let (written, failed) = writer.counts();
        assert!((1..=100).contains(&written) && failed == 0, "{written} {failed}");
        let beside = |name: &str| folder.path().join(name).exists();
        assert_eq!(beside("state.json.previous"), written > 1);
        assert!(!beside("state.json.new"), "nothing is left aside");
    }

    #[test]
    fn an_old_file_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let document = Document { saved_unix_ms: clock::unix_millis() - 3_700_000, saved: saved(), names: Vec::new() };
        fs::write(&file.path, serde_json::to_vec(&document).unwrap()).unwrap();
        assert!(matches!(load(&file), Loaded::Stale { age } if age > Duration::from_secs(3600)));
    }

    fn document() -> Document {
        Document { saved_unix_ms: clock::unix_millis(), saved: saved(), names: Vec::new() }
    }

    #[test]
    fn a_damaged_file_is_said_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let whole = seal(&document()).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file.path, &whole[..cut]).unwrap();
            let Loaded::Damaged(why) = load(&file) else { panic!("cut at {cut}") };
            assert!(why.contains("state.json") && why.contains(".damaged"), "{why}");
            assert!(!file.path.exists());
        }
    }

    #[test]
    fn no_byte_that_turned_is_believed() {
        let whole = seal(&document()).unwrap();
        assert!(parse(whole.clone()).is_ok());
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut turned = whole.clone();
                turned[at] ^= 1 << bit;
                assert!(parse(turned.clone()).is_err(), "bit {bit} of byte {at}: {}", String::from_utf8_lossy(&turned));
            }
        }
    }

    #[test]
    fn a_file_of_before_there_was_a_checksum_is_read() {
        let before = serde_json::to_vec(&document()).unwrap();
        assert_eq!(parse(before).unwrap().saved, saved());
    }

    #[test]
    fn a_damaged_file_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        for _ in 0..2 {
            replace(&file.path, &seal(&document()).unwrap()).unwrap();
        }
        fs::write(&file.path, b"{").unwrap();
        let Loaded::Usable { saved: read, reserve, .. } = load(&file) else { panic!("not usable") };
        assert_eq!(*read, saved());
        assert!(reserve.unwrap().contains("state.json.damaged"));
        assert!(matches!(load(&file), Loaded::Absent), "a missing file is a first start");
    }

    #[test]
    fn numbers_that_would_wrap_are_damage() {
        let wild = Document { saved: Saved { epoch: u64::MAX, ..saved() }, ..document() };
        assert!(parse(seal(&wild).unwrap()).unwrap_err().contains("epoch 18446744073709551615"));
        let wild = Document { saved: Saved { next_incident: u64::MAX - 1, ..saved() }, ..document() };
        assert!(parse(seal(&wild).unwrap()).unwrap_err().contains("next_incident"));
    }

    #[test]
    fn another_format_is_read_as_far_as_it_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let next = Document { saved: Saved { version: 99, ..saved() }, ..document() };
        fs::write(&file.path, seal(&next).unwrap()).unwrap();
        assert!(matches!(load(&file), Loaded::Usable { .. }));
        fs::write(&file.path, r#"{"saved_unix_ms":1,"saved":{"version":99,"news":true}}"#).unwrap();
        let Loaded::Damaged(why) = load(&file) else { panic!("read") };
        assert!(why.contains("format 99") && !why.contains("json: damaged"), "{why}");
    }

    #[test]
    fn a_write_that_fails_is_told_once_and_does_not_hang_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        let path = folder.path().join("missing/state.json");
        let writer = Writer::start(path, move |problem| told.send(problem).unwrap()).unwrap();
        writer.write(saved(), Vec::new());
        assert!(heard.recv().unwrap().contains("missing"));
        writer.write(saved(), Vec::new());
        writer.finish();
        assert!(writer.counts().1 >= 1);
        assert!(heard.try_recv().is_err());
    }
}
