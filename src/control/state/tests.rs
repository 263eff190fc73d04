//! Reading and writing of the state file: damage of every kind.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::document::*;
use super::read::*;
use super::write::replace;
use super::*;
use crate::config::StateFile;
use crate::control::file_writer::FileWriter;
use crate::decision::{Decision, Event, Saved};
use crate::sys::clock;
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
    let mut files = FileWriter::default();
    let writer = StateWriter::new(&mut files, file.path.clone(), |problem| panic!("{problem}")).unwrap();
    for _ in 0..100 {
        writer.write(saved(), Vec::new());
    }
    assert_eq!(files.finish(), Vec::<&str>::new());
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
    let document = StateDocument { saved_unix_ms: clock::unix_millis() - 3_700_000, saved: saved(), names: Vec::new() };
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
        ("/saved/services/0/last_switch/from", json!(wild), "the last switch", "/saved/services/0/last_switch/from"),
        ("/saved/services/0/failback_age_us", json!(-1), "failback_age_us: `-1`", "/saved/services/0/failback_age_us"),
        ("/saved/services/0/relapses", json!(u32::MAX), "more relapses", "/saved/services/0/relapses"),
        ("/saved/services/0/relapses", json!(1_u64 << 32), "relapses: `4294967296`", "/saved/services/0/relapses"),
        ("/saved/services/0/forced_ages_us/1", json!(1.5), "forced_ages_us: `1.5`", "/saved/services/0/forced_ages_us"),
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
        ("/saved/services/0/conditions/0/pool", json!(wild), "the condition all_down", "/saved/services/0/conditions"),
        ("/saved/incidents/0", json!(null), "incident 1: ", "/saved/incidents"),
        ("/saved/incidents/0/service", json!(wild), "is not a name", "/saved/incidents"),
        ("/saved/incidents/0/to", json!(wild), "is not a name", "/saved/incidents"),
        ("/saved/incidents/0/id", json!(u64::MAX), "number 18446744073709551615 is out of range", "/saved/incidents"),
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
    let mut files = FileWriter::default();
    let writer = StateWriter::new(&mut files, path, move |problem| told.send(problem).unwrap()).unwrap();
    writer.write(saved(), Vec::new());
    assert!(heard.recv().unwrap().contains("missing"));
    writer.write(saved(), Vec::new());
    assert_eq!(files.finish(), ["state"]);
    assert!(writer.counts().1 >= 1);
    assert!(heard.try_recv().is_err());
}

#[test]
fn no_link_in_the_way_is_written_through_and_no_other_user_reads_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (file, precious) = (at(&folder), folder.path().join("precious"));
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, folder.path().join("state.json.new")).unwrap();
    replace(&file.path, b"state").unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read(&file.path).unwrap(), b"state");
    let found = fs::symlink_metadata(&file.path).unwrap();
    assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600);
}
