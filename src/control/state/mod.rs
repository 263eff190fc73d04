//! The state file: decisions that survive a restart ([manual::persistence](crate::manual::persistence)). Written aside, synced
//! and renamed by a thread of its own, after the publish and off every request's path; a newer state replaces one that still waits.
//!
//! The file ends with a checksum of what stands before it (SHA-256), so that a bit that turned on a disk is never a pool
//! that serves; files of before there was one are read without. The state before the last one is kept beside it
//! (`.previous`) and read when the newest is damaged. Where the file itself is missing, this is a first start.
//!
//! What is read is checked entry by entry: a service, a pool, an endpoint, an incident or a name that cannot be is left out and
//! told, in the log and in the status; all else is restored.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::discovery::{self, FoundAddress, Remembered};
use crate::config::{Question, StateFile};
use crate::decision::{Administrative, Saved, SavedCondition, SavedIncident, SavedService, SavedSwitch};
use crate::sys::clock;
use crate::text::shortened;

/// A larger file is not ours.
const MAX_BYTES: u64 = 16 << 20;
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

/// What stands in the file. The ages in `saved` count from `saved_unix_ms`.
#[derive(Debug, Serialize)]
struct StateDocument {
    saved_unix_ms: u64,
    saved: Saved,
    /// What names stood for; absent in files of before there were names.
    names: Remembered,
}

/// The same as it is read: entry by entry, so that one that cannot be used costs nothing but itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadDocument {
    saved_unix_ms: u64,
    saved: ReadSaved,
    #[serde(default)]
    names: Vec<ListEntry<RememberedName>>,
}

#[derive(Deserialize)]
struct ReadSaved {
    version: u32,
    epoch: u64,
    next_incident: u64,
    services: Vec<ListEntry<SavedService>>,
    incidents: Vec<ListEntry<SavedIncident>>,
}

/// What one name stood for.
type RememberedName = (Question, Vec<ListEntry<FoundAddress>>);

/// An entry of a list, or why it is none. Parts of a service that have a default are left out alone.
struct ListEntry<T> {
    value: Result<T, String>,
    left_out: Vec<String>,
}

/// What a service can be restored without.
const PARTS: [&str; 11] = [
    "active",
    "lost",
    "ordered",
    "pinned",
    "last_switch",
    "failback_age_us",
    "relapses",
    "forced_ages_us",
    "frozen_for_us",
    "conditions",
    "administrative",
];

/// What stands in such a part when there is nothing to say.
fn nothing(part: &str) -> Value {
    match part {
        "lost" | "forced_ages_us" | "administrative" | "conditions" => Value::Array(Vec::new()),
        "ordered" => false.into(),
        "relapses" => 0.into(),
        _ => Value::Null,
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ListEntry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListEntry<T>, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let first = match T::deserialize(&value) {
            Ok(value) => return Ok(ListEntry { value: Ok(value), left_out: Vec::new() }),
            Err(error) => error.to_string(),
        };
        // Part by part, and items of lists one by one.
        let mut left_out = Vec::new();
        for part in PARTS {
            let Some(written) = value.get_mut(part) else { continue };
            let kept = match std::mem::take(written) {
                Value::Array(items) if nothing(part).is_array() => {
                    let (good, bad): (Vec<Value>, Vec<Value>) =
                        items.into_iter().partition(|item| is_readable(part, item));
                    left_out.extend(bad.iter().map(|item| format!("{part}: `{}` cannot be read", shown(item))));
                    Value::Array(good)
                }
                found if is_readable(part, &found) => found,
                found => {
                    left_out.push(format!("{part}: `{}` cannot be read", shown(&found)));
                    nothing(part)
                }
            };
            *written = kept;
        }
        match T::deserialize(&value) {
            Ok(value) if !left_out.is_empty() => Ok(ListEntry { value: Ok(value), left_out }),
            _ => Ok(ListEntry { value: Err(first), left_out: Vec::new() }),
        }
    }
}

/// Is it what stands in this part of a service, or in its list?
fn is_readable(part: &str, value: &Value) -> bool {
    match part {
        "active" | "pinned" => value.is_null() || value.is_string(),
        "lost" => value.is_string(),
        "ordered" => value.is_boolean(),
        "failback_age_us" | "frozen_for_us" => value.is_null() || value.is_u64(),
        "forced_ages_us" => value.is_u64(),
        "conditions" => SavedCondition::deserialize(value).is_ok(),
        "relapses" => u32::deserialize(value).is_ok(),
        "last_switch" => Option::<SavedSwitch>::deserialize(value).is_ok(),
        "administrative" => <(SocketAddr, Administrative)>::deserialize(value).is_ok(),
        _ => false,
    }
}

/// A damaged part for a message.
fn shown(value: &Value) -> String {
    shortened(&value.to_string(), 60)
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
pub(super) enum LoadedState {
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
        /// Entries that cannot be used, in words for people: all else is restored.
        left_out: Vec<String>,
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
pub(super) fn load(file: &StateFile) -> LoadedState {
    let problem = match found(&file.path) {
        Ok(None) => return LoadedState::Absent,
        Ok(Some(document)) => return in_time(file, document, None),
        Err(problem) => format!("{problem}{}", put_aside(&file.path)),
    };
    match found(&previous(&file.path)) {
        Ok(Some(document)) => in_time(file, document, Some(problem)),
        Ok(None) => LoadedState::Damaged(problem),
        Err(also) => LoadedState::Damaged(format!("{problem}; {also}")),
    }
}

/// What a file holds; `None` = there is none. The error names the file.
fn found(path: &Path) -> Result<Option<(StateDocument, Vec<String>)>, String> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    parse(bytes).map(Some).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn in_time(
    file: &StateFile,
    (document, left_out): (StateDocument, Vec<String>),
    reserve: Option<String>,
) -> LoadedState {
    let age = Duration::from_millis(clock::unix_millis().saturating_sub(document.saved_unix_ms));
    if age > file.max_age {
        return LoadedState::Stale { age };
    }
    LoadedState::Usable { saved: Box::new(document.saved), names: document.names, age, reserve, left_out }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_BYTES {
        return Err(io::Error::other(format!("it has {size} bytes: at most {MAX_BYTES} are read")));
    }
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The document, and what of it cannot be used.
fn parse(mut bytes: Vec<u8>) -> Result<(StateDocument, Vec<String>), String> {
    if let Some((body, digits)) = sealed(&bytes) {
        if digits != checksum(body).as_bytes() {
            return Err("damaged: its checksum is of something else".into());
        }
        // The document as it was before the checksum was added.
        let end = body.len();
        bytes.truncate(end);
        bytes.push(b'}');
    }
    let document: ReadDocument =
        serde_json::from_slice(&bytes).map_err(|error| match serde_json::from_slice::<AnyDocument>(&bytes) {
            Ok(AnyDocument { saved: AnySaved { version } }) if version != Saved::VERSION => {
                let own = Saved::VERSION;
                let error = shortened(&error.to_string(), 200);
                format!("of format {version}, of which this program can read nothing ({error}); its own is {own}")
            }
            _ => format!("damaged: {}", shortened(&error.to_string(), 200)),
        })?;
    document.checked().map_err(|problem| format!("damaged: {problem}"))
}

impl ReadDocument {
    fn checked(self) -> Result<(StateDocument, Vec<String>), String> {
        let ReadDocument { saved_unix_ms, saved, names } = self;
        let mut left_out = Vec::new();
        let services = readable("service", saved.services, &mut left_out);
        let incidents = readable("incident", saved.incidents, &mut left_out);
        if saved.version != Saved::VERSION {
            left_out.push(format!(
                "what is new in format {} (it was read as format {})",
                saved.version,
                Saved::VERSION
            ));
        }
        let (version, epoch, next_incident) = (Saved::VERSION, saved.epoch, saved.next_incident);
        let saved = Saved { version, epoch, next_incident, services, incidents }.checked(&mut left_out)?;
        let mut remembered = Remembered::new();
        for (question, found) in readable("name", names, &mut left_out) {
            let found = readable(&format!("address of {}", shortened(&question.name, 60)), found, &mut left_out);
            if let Some(entry) = discovery::checked(question, found, &mut left_out) {
                remembered.push(entry);
            }
        }
        Ok((StateDocument { saved_unix_ms, saved, names: remembered }, left_out))
    }
}

/// The entries that can be read; the others are told, by their place in the list.
fn readable<T>(what: &str, entries: Vec<ListEntry<T>>, left_out: &mut Vec<String>) -> Vec<T> {
    let mut good = Vec::with_capacity(entries.len());
    for (entry, at) in entries.into_iter().zip(1..) {
        left_out.extend(entry.left_out.into_iter().map(|part| format!("{what} {at}: {part}")));
        match entry.value {
            Ok(value) => good.push(value),
            Err(problem) => left_out.push(format!("{what} {at}: {}", shortened(&problem, 200))),
        }
    }
    good
}

/// Reads what stands in a file, and writes it again as it would be written now.
#[doc(hidden)]
pub fn read_and_write(bytes: &[u8]) -> Result<(Saved, Vec<u8>), String> {
    let (document, _) = parse(bytes.to_vec())?;
    let written = seal(&document).map_err(|error| error.to_string())?;
    Ok((document.saved, written))
}

/// What the checksum is of, and its digits. `None` = there is none, as in files of before there was one.
fn sealed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_suffix(SEAL_END)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(SEAL_DIGITS)?)?;
    Some((rest.strip_suffix(SEAL)?, digits))
}

/// The document as bytes, with its checksum as the last field.
fn seal(document: &StateDocument) -> serde_json::Result<Vec<u8>> {
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
pub(super) struct StateWriter {
    desk: Arc<WriterDesk>,
}

#[derive(Debug, Default)]
struct WriterDesk {
    slot: Mutex<WriterSlot>,
    changed: Condvar,
    written: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct WriterSlot {
    /// The newest state that is not on disk.
    next: Option<Vec<u8>>,
    /// A write is going on.
    writing: bool,
    /// Nothing more will come.
    closed: bool,
}

impl StateWriter {
    /// Start the thread. `failed` hears of the first failure in a row, on that thread.
    pub(super) fn start(path: PathBuf, failed: impl Fn(String) + Send + 'static) -> io::Result<StateWriter> {
        let desk = Arc::new(WriterDesk::default());
        let theirs = desk.clone();
        thread::Builder::new().name("state-writer".into()).spawn(move || theirs.run(&path, failed))?;
        Ok(StateWriter { desk })
    }

    /// Have this state on disk soon. Never blocks for IO.
    pub(super) fn write(&self, saved: Saved, names: Remembered) {
        let document = StateDocument { saved_unix_ms: clock::unix_millis(), saved, names };
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
        let unfinished = |slot: &mut WriterSlot| slot.next.is_some() || slot.writing;
        let waited = self.desk.changed.wait_timeout_while(slot, LAST_WRITE, unfinished);
        slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        slot.next.is_none() && !slot.writing
    }

    /// Writes that succeeded and writes that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.desk.written.load(Ordering::Relaxed), self.desk.failed.load(Ordering::Relaxed))
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl WriterDesk {
    fn lock(&self) -> MutexGuard<'_, WriterSlot> {
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
        let idle = |slot: &mut WriterSlot| slot.next.is_none() && !slot.closed;
        let mut slot = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let next = slot.next.take();
        slot.writing = next.is_some();
        next
    }

    /// A write ended. A failed one is tried again later, unless a newer state has come or the writer is gone.
    fn done(&self, failed: Option<Vec<u8>>) {
        let mut slot = self.lock();
        slot.writing = false;
        self.changed.notify_all();
        let Some(bytes) = failed else { return };
        let nothing_new = |slot: &mut WriterSlot| slot.next.is_none() && !slot.closed;
        let waited = self.changed.wait_timeout_while(slot, RETRY, nothing_new);
        slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        if slot.next.is_none() && !slot.closed {
            slot.next = Some(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decision::{Decision, Event};
    use crate::time::MonoTime;

    fn saved() -> Saved {
        Decision::new(None, MonoTime::ZERO).saved(MonoTime::ZERO)
    }

    fn at(folder: &tempfile::TempDir) -> StateFile {
        StateFile { path: folder.path().join("state.json"), max_age: Duration::from_secs(3600) }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        assert!(matches!(load(&file), LoadedState::Absent));
        let writer = StateWriter::start(file.path.clone(), |problem| panic!("{problem}")).unwrap();
        for _ in 0..100 {
            writer.write(saved(), Vec::new());
        }
        assert!(writer.finish());
        let LoadedState::Usable { saved: read, age, reserve, .. } = load(&file) else { panic!("not usable") };
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
        let document =
            StateDocument { saved_unix_ms: clock::unix_millis() - 3_700_000, saved: saved(), names: Vec::new() };
        fs::write(&file.path, serde_json::to_vec(&document).unwrap()).unwrap();
        assert!(matches!(load(&file), LoadedState::Stale { age } if age > Duration::from_secs(3600)));
    }

    fn document() -> StateDocument {
        StateDocument { saved_unix_ms: clock::unix_millis(), saved: saved(), names: Vec::new() }
    }

    #[test]
    fn a_damaged_file_is_said_and_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let whole = seal(&document()).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file.path, &whole[..cut]).unwrap();
            let LoadedState::Damaged(why) = load(&file) else { panic!("cut at {cut}") };
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
        assert_eq!(parse(before).unwrap().0.saved, saved());
    }

    #[test]
    fn a_damaged_file_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        for _ in 0..2 {
            replace(&file.path, &seal(&document()).unwrap()).unwrap();
        }
        fs::write(&file.path, b"{").unwrap();
        let LoadedState::Usable { saved: read, reserve, .. } = load(&file) else { panic!("not usable") };
        assert_eq!(*read, saved());
        assert!(reserve.unwrap().contains("state.json.damaged"));
        assert!(matches!(load(&file), LoadedState::Absent), "a missing file is a first start");
    }

    #[test]
    fn numbers_that_would_wrap_are_damage() {
        let wild = StateDocument { saved: Saved { epoch: u64::MAX, ..saved() }, ..document() };
        assert!(parse(seal(&wild).unwrap()).unwrap_err().contains("epoch 18446744073709551615"));
        let wild = StateDocument { saved: Saved { next_incident: u64::MAX - 1, ..saved() }, ..document() };
        assert!(parse(seal(&wild).unwrap()).unwrap_err().contains("next_incident"));
    }

    /// Two services, an incident and a name, all of them whole.
    fn full() -> Value {
        let service = |name: &str| {
            json!({"name": name, "active": "b", "lost": ["a"], "ordered": true, "pinned": "b",
                   "last_switch": {"kind": "failover", "from": "a", "age_us": 5_000_000}, "failback_age_us": 7,
                   "relapses": 2, "forced_ages_us": [9, 8], "frozen_for_us": 1_000_000,
                   "conditions": [{"kind": "all_down", "pool": null, "age_us": 5}],
                   "administrative": [["10.0.0.1:80", "drain"], ["10.0.0.2:80", "maint"]]})
        };
        let incident = json!({"id": 3, "service": "shop", "kind": "failover", "from": "a", "to": "b", "actor": "standfast",
            "epoch": 7, "fault": 9, "detected": 8, "decided": 7, "answered": 6, "outage": true,
            "evidence": [{"address": "10.0.0.1:80", "cause": "refused", "detail": "refused", "seen": 9}]});
        let found = |address: &str| json!({"address": address, "host": "app.test", "weight": null});
        let question = json!({"name": "app.test", "port": 80, "family": "auto"});
        json!({"saved_unix_ms": 1, "saved": {"version": 1, "epoch": 7, "next_incident": 4,
               "services": [service("shop"), service("raw")], "incidents": [incident]},
               "names": [[question, [found("10.0.0.3:80"), found("10.0.0.4:80")]]]})
    }

    fn parsed(document: &Value) -> Result<(StateDocument, Vec<String>), String> {
        parse(serde_json::to_vec(document).unwrap())
    }

    #[test]
    fn a_whole_state_loses_nothing() {
        let (document, left_out) = parsed(&full()).unwrap();
        assert_eq!(left_out, Vec::<String>::new());
        assert_eq!(serde_json::to_value(&document).unwrap(), full());
    }

    /// Each is a place in the document, what stands there instead, what is said, and what is left out: everything else stays.
    #[test]
    fn an_entry_that_cannot_be_used_costs_itself_alone() {
        let wild = "\u{1b}[2J\r\nX: y\u{202e}";
        let services = "/saved/services";
        let cases: Vec<(&str, Value, &str, &str)> = vec![
            ("/saved/services/0", json!(7), "service 1: ", services),
            ("/saved/services/0/name", json!(wild), "this is not a name", services),
            ("/saved/services/0/name", json!("raw"), "service raw: it stands there twice", services),
            ("/saved/services/0/active", json!(wild), "the active pool", "/saved/services/0/active"),
            ("/saved/services/0/active", json!([1]), "service 1: active", "/saved/services/0/active"),
            ("/saved/services/0/pinned", json!("a b"), "the pin `a b` is not a name", "/saved/services/0/pinned"),
            ("/saved/services/0/lost/0", json!(wild), "is not a name", "/saved/services/0/lost"),
            ("/saved/services/0/lost/0", json!(5), "service 1: lost: `5`", "/saved/services/0/lost"),
            ("/saved/services/0/last_switch/kind", json!("nonsense"), "last_switch", "/saved/services/0/last_switch"),
            (
                "/saved/services/0/last_switch/from",
                json!(wild),
                "the last switch",
                "/saved/services/0/last_switch/from",
            ),
            (
                "/saved/services/0/failback_age_us",
                json!(-1),
                "failback_age_us: `-1`",
                "/saved/services/0/failback_age_us",
            ),
            ("/saved/services/0/relapses", json!(u32::MAX), "more relapses", "/saved/services/0/relapses"),
            ("/saved/services/0/relapses", json!(1_u64 << 32), "relapses: `4294967296`", "/saved/services/0/relapses"),
            (
                "/saved/services/0/forced_ages_us/1",
                json!(1.5),
                "forced_ages_us: `1.5`",
                "/saved/services/0/forced_ages_us",
            ),
            ("/saved/services/0/frozen_for_us", json!(u64::MAX), "a freeze of", "/saved/services/0/frozen_for_us"),
            (
                "/saved/services/0/administrative/0/0",
                json!("10.0.0.1:x"),
                "administrative",
                "/saved/services/0/administrative",
            ),
            ("/saved/services/0/administrative/0/1", json!(wild), "administrative", "/saved/services/0/administrative"),
            (
                "/saved/services/0/administrative/0/0",
                json!("10.0.0.2:80"),
                "10.0.0.2:80 stands",
                "/saved/services/0/administrative",
            ),
            ("/saved/services/0/conditions/0/kind", json!("?"), "conditions", "/saved/services/0/conditions"),
            (
                "/saved/services/0/conditions/0/pool",
                json!(wild),
                "the condition all_down",
                "/saved/services/0/conditions",
            ),
            ("/saved/incidents/0", json!(null), "incident 1: ", "/saved/incidents"),
            ("/saved/incidents/0/service", json!(wild), "is not a name", "/saved/incidents"),
            ("/saved/incidents/0/to", json!(wild), "is not a name", "/saved/incidents"),
            (
                "/saved/incidents/0/id",
                json!(u64::MAX),
                "number 18446744073709551615 is out of range",
                "/saved/incidents",
            ),
            ("/saved/incidents/0/epoch", json!(8), "it is of epoch 8", "/saved/incidents"),
            ("/names/0", json!("x"), "name 1: ", "/names"),
            ("/names/0/0/name", json!(wild), "this is not a name", "/names"),
            ("/names/0/1/0", json!({}), "address of app.test 1: ", "/names/0/1"),
            ("/names/0/1/0/host", json!("app.test\r\nX: y"), "is not its host", "/names/0/1"),
            ("/names/0/1/0/host", json!("other.test"), "is not its host", "/names/0/1"),
            ("/names/0/1/0/address", json!("0.0.0.0:80"), "0.0.0.0:80 is not an address of this name", "/names/0/1"),
            ("/names/0/1/0/address", json!("10.0.0.3:81"), "10.0.0.3:81 is not an address of this name", "/names/0/1"),
            ("/names/0/1/0/address", json!("10.0.0.4:80"), "stands there twice", "/names/0/1"),
            ("/names/0/1/0/weight", json!(0), "weight 0", "/names/0/1"),
            ("/names/0/1/0/weight", json!(u32::MAX), "weight 4294967295", "/names/0/1"),
        ];
        for (place, instead, said, costs) in cases {
            let mut document = full();
            *document.pointer_mut(place).unwrap() = instead.clone();
            let (read, left_out) = parsed(&document).unwrap_or_else(|problem| panic!("{place}: {problem}"));
            assert_eq!(left_out.len(), 1, "{place}: {left_out:?}");
            assert!(left_out[0].contains(said), "{place} {instead}: {left_out:?}");
            assert!(!left_out[0].contains(crate::text::is_command), "{place}: {left_out:?}");
            let (mut read, mut whole) = (serde_json::to_value(&read).unwrap(), full());
            assert_ne!(read, whole, "{place}: nothing was left out");
            let shrunk = |value: &Value| value.pointer(costs).and_then(Value::as_array).map(Vec::len);
            if let (Some(left), Some(before)) = (shrunk(&read), shrunk(&whole)) {
                assert_eq!(left, before - 1, "{place}: {read}");
            }
            for value in [&mut read, &mut whole] {
                *value.pointer_mut(costs).unwrap_or(&mut Value::Null) = Value::Null;
            }
            if costs == "/names" {
                read["names"] = Value::Null;
            }
            assert_eq!(read, whole, "{place}: something else was left out too");
        }
    }

    #[test]
    fn incidents_go_on_behind_the_last_one_whatever_the_file_says() {
        let mut document = full();
        document["saved"]["next_incident"] = json!(0);
        assert_eq!(parsed(&document).unwrap().0.saved.next_incident, 4);
    }

    #[test]
    fn what_people_wrote_into_a_record_is_printable() {
        let mut document = full();
        document["saved"]["incidents"][0]["evidence"][0]["detail"] = json!("\u{1b}[2Jrefused");
        document["saved"]["incidents"][0]["actor"] = json!({"operator": "ada\u{202e}"});
        let (read, left_out) = parsed(&document).unwrap();
        assert!(left_out.is_empty(), "{left_out:?}");
        let text = serde_json::to_string(&read).unwrap();
        assert!(text.contains("\u{fffd}[2Jrefused") && text.contains("ada\u{fffd}"), "{text}");
    }

    /// Numbers at their ends are restored without a panic, and what follows from them is written again.
    #[test]
    fn numbers_at_their_ends_do_not_wrap() {
        let mut document = full();
        let saved = &mut document["saved"];
        (saved["epoch"], saved["next_incident"]) = (json!(1_u64 << 62), json!(1_u64 << 62));
        for service in 0..2 {
            let service = &mut saved["services"][service];
            service["failback_age_us"] = json!(u64::MAX);
            service["last_switch"]["age_us"] = json!(u64::MAX);
            service["forced_ages_us"] = json!([u64::MAX, 0]);
        }
        for time in ["fault", "detected", "decided", "answered"] {
            saved["incidents"][0][time] = json!(u64::MAX);
        }
        let (read, left_out) = parsed(&document).unwrap();
        assert!(left_out.is_empty(), "{left_out:?}");
        let now = MonoTime::from_micros(50);
        let saved = read.saved.aged(Duration::MAX);
        let mut decision = Decision::new(Some(saved), now);
        let text = "listeners: [{name: l, bind: '127.0.0.1:80', service: shop}]\n\
                    services: {shop: {health_check: {tcp: {}}, pools: [{name: a, endpoints: ['10.0.0.1:80']}, {name: b, endpoints: ['10.0.0.2:80']}]}}\n";
        let config = crate::config::parse(text, Path::new("")).unwrap().config;
        decision.handle(Event::Configured(Arc::new(config)), now);
        decision.tick(MonoTime::from_micros(60_000_000));
        assert_eq!(decision.saved(now).services[0].administrative.len(), 2, "it was restored");
        seal(&StateDocument { saved_unix_ms: u64::MAX, saved: decision.saved(now), names: Vec::new() }).unwrap();
        for (epoch, problem) in
            [((1_u64 << 62) + 1, "epoch 4611686018427387905 is out of range"), (u64::MAX, "is out of range")]
        {
            document["saved"]["epoch"] = json!(epoch);
            assert!(parsed(&document).unwrap_err().contains(problem));
        }
    }

    #[test]
    fn another_format_is_read_as_far_as_it_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        let next = StateDocument { saved: Saved { version: 99, ..saved() }, ..document() };
        fs::write(&file.path, seal(&next).unwrap()).unwrap();
        let LoadedState::Usable { saved, left_out, .. } = load(&file) else { panic!("not read") };
        assert_eq!(saved.version, Saved::VERSION, "or the core would not take it");
        assert!(left_out.iter().any(|what| what.contains("format 99")), "{left_out:?}");
        fs::write(&file.path, r#"{"saved_unix_ms":1,"saved":{"version":99,"news":true}}"#).unwrap();
        let LoadedState::Damaged(why) = load(&file) else { panic!("read") };
        assert!(why.contains("format 99") && !why.contains("json: damaged"), "{why}");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = at(&folder);
        File::create(&file.path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let LoadedState::Damaged(why) = load(&file) else { panic!("read") };
        assert!(why.contains("16777217 bytes"), "{why}");
    }

    #[test]
    fn a_write_that_fails_is_told_once_and_does_not_hang_the_stop() {
        let folder = tempfile::tempdir().unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        let path = folder.path().join("missing/state.json");
        let writer = StateWriter::start(path, move |problem| told.send(problem).unwrap()).unwrap();
        writer.write(saved(), Vec::new());
        assert!(heard.recv().unwrap().contains("missing"));
        writer.write(saved(), Vec::new());
        writer.finish();
        assert!(writer.counts().1 >= 1);
        assert!(heard.try_recv().is_err());
    }
}
