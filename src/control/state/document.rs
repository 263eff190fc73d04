//! The document in the state file: its form, its checksum, and how an entry that cannot be used is left out.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Question;
use crate::control::discovery::{self, FoundAddress, Remembered};
use crate::decision::{Administrative, Saved, SavedAct, SavedCondition, SavedIncident, SavedService, SavedSwitch};
use crate::digest::{hex, sha256};
use crate::text::shortened;

/// What stands before the checksum, the last field of the document.
const SEAL: &[u8] = b",\"sha256\":\"";
/// What stands after it.
const SEAL_END: &[u8] = b"\"}";
/// Digits of the checksum.
const SEAL_DIGITS: usize = 64;

/// What stands in the file. The ages in `saved` count from `saved_unix_ms`.
#[derive(Debug, Serialize)]
pub(super) struct StateDocument {
    pub(super) saved_unix_ms: u64,
    pub(super) saved: Saved,
    /// What names stood for; absent in files of before there were names.
    pub(super) names: Remembered,
}

/// The same as it is read: entry by entry, so that one that cannot be used costs nothing but itself.
#[derive(Deserialize)]
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
    #[serde(default)]
    acts: Vec<ListEntry<SavedAct>>,
}

/// What one name stood for.
type RememberedName = (Question, Vec<ListEntry<FoundAddress>>);

/// An entry of a list, or why it is none. Parts of a service that have a default are left out alone.
struct ListEntry<T> {
    value: Result<T, String>,
    left_out: Vec<String>,
}

/// What a service can be restored without.
const PARTS: [&str; 12] = [
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
    "following",
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

/// Fields of a document without a checksum: no version wrote others.
const WITHOUT_CHECKSUM: [&str; 3] = ["saved_unix_ms", "saved", "names"];

/// The document, and what of it cannot be used. Fields that are not known are those of a later version, and ignored. (Where there is
/// no checksum, another field may be a damaged one, such as the checksum's.)
pub(super) fn parse(mut bytes: Vec<u8>) -> Result<(StateDocument, Vec<String>), String> {
    let is_sealed = sealed(&bytes).is_some();
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
    if !is_sealed {
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Some(field) = fields.keys().find(|field| !WITHOUT_CHECKSUM.contains(&field.as_str())) {
            return Err(format!("damaged: a field `{}`, and no checksum", shortened(field, 60)));
        }
    }
    document.checked().map_err(|problem| format!("damaged: {problem}"))
}

impl ReadDocument {
    fn checked(self) -> Result<(StateDocument, Vec<String>), String> {
        let ReadDocument { saved_unix_ms, saved, names } = self;
        let mut left_out = Vec::new();
        let services = readable("service", saved.services, &mut left_out);
        let incidents = readable("incident", saved.incidents, &mut left_out);
        let acts = readable("act", saved.acts, &mut left_out);
        if saved.version != Saved::VERSION {
            left_out.push(format!(
                "what is new in format {} (it was read as format {})",
                saved.version,
                Saved::VERSION
            ));
        }
        let (version, epoch, next_incident) = (Saved::VERSION, saved.epoch, saved.next_incident);
        let saved = Saved { version, epoch, next_incident, services, incidents, acts }.checked(&mut left_out)?;
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
pub(super) fn seal(document: &StateDocument) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.pop(); // `}`
    let checksum = checksum(&bytes);
    [SEAL, checksum.as_bytes(), SEAL_END].into_iter().for_each(|part| bytes.extend_from_slice(part));
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> String {
    hex(&sha256(&[bytes]))
}
