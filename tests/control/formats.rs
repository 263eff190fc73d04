//! Files of every format in `tests/formats`: each is read as it is, and with members that a later version may add. They are never
//! edited.

use std::fs;

use serde_json::{Value, json};
use standfast::control::{DecisionSnapshot, readers};
use standfast::decision::{Administrative, ConditionKind, Decision, SwitchKind};
use standfast::time::MonoTime;

fn read(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/formats/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a fixture")
}

/// The same with another member in every object. Left as they are: maps by number, spans of time, and objects that say by their one
/// member which form it is.
fn with_later_members(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(with_later_members),
        Value::Object(members) => {
            members.values_mut().for_each(with_later_members);
            let is_map = members.keys().all(|key| key.bytes().all(|b| b.is_ascii_digit()));
            if !is_map && members.len() > 1 && !members.contains_key("nanos") {
                members.insert("of_a_later_version".to_owned(), json!({"a": [1, null]}));
            }
        }
        _ => {}
    }
}

#[test]
fn snapshots_of_the_decision_of_every_format_are_read() {
    let mut value: Value = serde_json::from_str(&read("decision-1.json")).expect("JSON");
    let snapshot: DecisionSnapshot = serde_json::from_value(value.clone()).expect("format 1");
    assert_eq!(snapshot.format, 1);
    let status = snapshot.decision.status(snapshot.taken_us);
    let shop = status.iter().find(|service| &*service.name == "shop").expect("the service");
    assert_eq!((shop.active.as_deref(), shop.pinned.as_deref()), (Some("south"), Some("south")));
    let drained = shop
        .pools
        .iter()
        .flat_map(|pool| &pool.endpoints)
        .filter(|endpoint| endpoint.standing.administrative == Administrative::Drain);
    assert_eq!(drained.count(), 1);
    assert!(snapshot.decision.incidents().any(|incident| incident.kind == SwitchKind::Switchover));

    with_later_members(&mut value);
    let later: DecisionSnapshot = serde_json::from_value(value).expect("members of a later version are ignored");
    assert_eq!(later, snapshot);
}

#[test]
fn state_files_of_every_format_are_read() {
    let text = read("state-1.json");
    let (saved, written) = readers::state_file(text.as_bytes()).expect("format 1");
    assert_eq!(saved.version, 1);
    let service = |name: &str| saved.services.iter().find(|service| &*service.name == name).expect("the service");
    let shop = service("shop");
    assert_eq!((shop.active.as_deref(), shop.pinned.as_deref()), (Some("south"), Some("south")));
    assert_eq!(shop.administrative.len(), 1);
    assert!(shop.last_switch.is_some());
    assert!(service("pay").conditions.iter().any(|condition| condition.kind == ConditionKind::AllDown));
    assert!(!saved.incidents.is_empty() && !saved.acts.is_empty());
    // Nothing of it is lost when it is written again.
    let unsealed = |text: &[u8]| {
        let mut value: Value = serde_json::from_slice(text).expect("JSON");
        value.as_object_mut().expect("an object").remove("sha256");
        value
    };
    assert_eq!(unsealed(&written), unsealed(text.as_bytes()));
    assert!(unsealed(&written)["names"].as_array().is_some_and(|names| !names.is_empty()));

    let mut later = unsealed(text.as_bytes());
    with_later_members(&mut later);
    let (again, _) = readers::state_file(&sealed(&later)).expect("members of a later version are ignored");
    assert_eq!(again, saved);
    let now = MonoTime::from_micros(1_000_000_000);
    assert_eq!(Decision::new(Some(again), now).epoch(), saved.epoch);
}

/// As a version that has these members would write it.
fn sealed(document: &Value) -> Vec<u8> {
    let mut text = document.to_string();
    text.pop();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{text},\"sha256\":\"{digits}\"}}").into_bytes()
}
