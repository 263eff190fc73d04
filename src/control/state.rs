//! The state file: decisions that survive a restart (DESIGN §3.14). Written aside, synced and renamed by a thread of its
//! own, after the publish and off every request's path; a newer state replaces one that still waits.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

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

/// What stands in the file. The ages in `saved` count from `saved_unix_ms`.
#[derive(Debug, Serialize, Deserialize)]
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
    },
    /// Older than `max_age`.
    Stale {
        /// How long ago it was written.
        age: Duration,
    },
    /// Not to be used; the text says why and where it was put.
    Damaged(String),
}

/// Read the file. Never fails: what cannot be used is said.
pub(super) fn load(file: &StateFile) -> Loaded {
    let bytes = match read(&file.path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Loaded::Absent,
        Err(error) => return Loaded::Damaged(format!("{}: {error}", file.path.display())),
    };
    let document = match parse(&bytes) {
        Ok(document) => document,
        Err(problem) => return Loaded::Damaged(format!("{}: {problem}{}", file.path.display(), put_aside(&file.path))),
    };
    let age = Duration::from_millis(clock::unix_millis().saturating_sub(document.saved_unix_ms));
    if age > file.max_age {
        return Loaded::Stale { age };
    }
    Loaded::Usable { saved: Box::new(document.saved), names: document.names, age }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Document, String> {
    let any: AnyDocument = serde_json::from_slice(bytes).map_err(|error| format!("not a state file: {error}"))?;
    if any.saved.version != Saved::VERSION {
        return Err(format!("format {}, this program reads format {}", any.saved.version, Saved::VERSION));
    }
    serde_json::from_slice(bytes).map_err(|error| format!("damaged: {error}"))
}

/// Keep the damaged file for people: the next write would replace it.
fn put_aside(path: &Path) -> String {
    let aside = with_suffix(path, ".damaged");
    match fs::rename(path, &aside) {
        Ok(()) => format!(" (kept as {})", aside.display()),
        Err(_) => String::new(),
    }
}

/// Replace the file whole or not at all, even if the machine dies meanwhile.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = with_suffix(path, ".new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
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
        match serde_json::to_vec(&document) {
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
        let Loaded::Usable { saved: read, age, .. } = load(&file) else { panic!("not usable") };
        assert_eq!(*read, saved());
        assert!(age < Duration::from_secs(60));
        let (written, failed) = writer.counts();
        assert!((1..=100).contains(&written) && failed == 0, "{written} {failed}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn an_old_file_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let document = Document { saved_unix_ms: clock::unix_millis() - 3_700_000, saved: saved(), names: Vec::new() };
        fs::write(&file.path, serde_json::to_vec(&document).unwrap()).unwrap();
        assert!(matches!(load(&file), Loaded::Stale { age } if age > Duration::from_secs(3600)));
    }

    #[test]
    fn a_damaged_file_is_said_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let whole =
            serde_json::to_vec(&Document { saved_unix_ms: clock::unix_millis(), saved: saved(), names: Vec::new() })
                .unwrap();
        for cut in 0..whole.len() {
            fs::write(&file.path, &whole[..cut]).unwrap();
            let Loaded::Damaged(why) = load(&file) else { panic!("cut at {cut}") };
            assert!(why.contains("state.json") && why.contains(".damaged"), "{why}");
            assert!(!file.path.exists());
        }
    }

    #[test]
    fn another_format_is_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        fs::write(&file.path, r#"{"saved_unix_ms":1,"saved":{"version":99,"news":true}}"#).unwrap();
        let Loaded::Damaged(why) = load(&file) else { panic!("read") };
        assert!(why.contains("format 99"), "{why}");
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
