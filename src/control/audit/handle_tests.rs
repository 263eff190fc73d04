//! The log with files that answer, fail or hang as they are told.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use serde_json::Value;

use super::*;
use crate::audit::{ChainVerifier, CheckpointVerifier};
use crate::config::AuditCheckpoints;
use crate::control::audit::writer::LineFile;
use crate::control::records::record::begin_life;
use crate::decision::{ActCommand, ActId};

/// What a file was told to do, and what it holds.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<ToldState>>);

#[derive(Default)]
struct ToldState {
    text: String,
    writes: usize,
    is_full: bool,
    hangs: Option<mpsc::Receiver<()>>,
}

impl LineFile for Told {
    fn path(&self) -> &Path {
        Path::new("audit.jsonl")
    }

    fn append(&mut self, _: u64, lines: &[u8]) -> io::Result<()> {
        let hangs = self.0.lock().unwrap().hangs.take();
        if let Some(hangs) = hangs {
            let _ = hangs.recv();
        }
        let mut state = self.0.lock().unwrap();
        if state.is_full {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space"));
        }
        state.text.push_str(std::str::from_utf8(lines).unwrap());
        state.writes += 1;
        Ok(())
    }
}

impl Told {
    fn full(&self, is_full: bool) {
        self.0.lock().unwrap().is_full = is_full;
    }

    fn lines(&self) -> Vec<Value> {
        self.0.lock().unwrap().text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn types(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn rules(every: u64) -> AuditCheckpoints {
    AuditCheckpoints { every, interval: Duration::from_secs(3600), key_file: None }
}

fn log(file: &Told, policy: AuditFailurePolicy) -> AuditLog {
    log_with(file, policy, AuditDesk::new(0), None, &rules(1_000_000))
}

fn log_with(
    file: &Told,
    policy: AuditFailurePolicy,
    desk: AuditDesk,
    key: Option<CheckpointKey>,
    rules: &AuditCheckpoints,
) -> AuditLog {
    let identity = AuditIdentity { instance: "edge-1".into(), life: begin_life() };
    let writer = AuditWriter::new(Box::new(file.clone()), AuditChain::default(), identity, key, rules);
    AuditLog::begin(desk, writer, policy, |_| {}).unwrap()
}

fn act(actor: Actor) -> Act {
    let command = ActCommand::Pin { service: "shop".into(), pool: "eu-west".into(), until: None };
    Act { reason: Some("a test".to_owned()), ..Act::new(ActId(7), actor, command) }
}

fn ada() -> Act {
    act(Actor::local("ada"))
}

fn refused(text: &str) -> QueuedRecord {
    let refusal = crate::control::RefusalRecord { problem: text.to_owned(), by: None };
    QueuedRecord::new(RecordType::ConfigRefused, None, &RecordedChange::ConfigRefused(refusal))
}

fn key() -> CheckpointKey {
    CheckpointKey::parse("edge-1", &CheckpointKey::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn an_act_is_on_disk_when_its_caller_hears_of_it() {
    let file = Told::default();
    let log = log(&file, AuditFailurePolicy::RefuseActs);
    log.handle().asked(&ada()).await.unwrap();
    let line = file.lines().remove(0);
    assert_eq!(
        (&line["type"], &line["service"], &line["instance"]),
        (&"act.asked".into(), &"shop".into(), &"edge-1".into())
    );
    assert_eq!(line["what"]["command"]["pin"]["pool"], "eu-west");
    assert_eq!(
        (&line["what"]["act"], &line["what"]["reason"]),
        (&"00000000000000000000000000000007".into(), &"a test".into())
    );
    assert_eq!((&line["what"]["actor"]["kind"], &line["what"]["actor"]["name"]), (&"local".into(), &"ada".into()));
    assert!(
        line["time"].as_str().is_some_and(|time| humantime::parse_rfc3339(time).is_ok() && time.len() == 24),
        "{line}"
    );
    assert!(log.finish());
    assert_eq!(log.handle().asked(&ada()).await, Err(AuditError::Closed));
    assert_eq!(log.handle().counts(), AuditCounts { records: 1, failures: 0, lost: 0, is_writable: true });
}

#[tokio::test]
async fn what_waits_together_is_one_write() {
    let file = Told::default();
    let (go, hangs) = mpsc::channel();
    file.0.lock().unwrap().hangs = Some(hangs);
    let log = log(&file, AuditFailurePolicy::Continue);
    let first = log.handle().asked(&ada());
    let others: Vec<_> = (0..50).map(|_| log.handle().asked(&ada())).collect();
    drop(go);
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(file.lines().len(), 51);
    assert!(file.0.lock().unwrap().writes <= 3, "{} writes", file.0.lock().unwrap().writes);
}

#[tokio::test]
async fn a_disk_that_hangs_holds_no_act_for_longer_than_a_second() {
    let file = Told::default();
    let (go, hangs) = mpsc::channel();
    file.0.lock().unwrap().hangs = Some(hangs);
    let log = log(&file, AuditFailurePolicy::Continue);
    let handle = log.handle();
    assert_eq!(handle.asked(&ada()).await, Err(AuditError::Late));
    // The policy lets it go on, and its outcome follows it.
    assert_eq!(handle.admit(&ada()).await, Ok(()));
    assert!(handle.trouble().is_some_and(|trouble| trouble.contains("does not answer")));
    assert!(!handle.counts().is_writable);
    handle.desk.put(refused("later")).unwrap();
    drop(go);
    assert!(log.finish());
    assert_eq!(file.types(), ["act.asked", "act.asked", "config.refused"]);
    assert!(handle.counts().is_writable);
}

#[tokio::test]
async fn on_a_full_disk_the_policy_decides_and_records_wait() {
    let file = Told::default();
    file.full(true);
    let log = log(&file, AuditFailurePolicy::RefuseActs);
    let handle = log.handle();
    let error = handle.admit(&ada()).await.unwrap_err();
    assert_eq!(error.to_string(), "the audit log cannot be written: no space");
    for root in ["root", "root(0)"] {
        assert_eq!(handle.admit(&act(Actor::local(root))).await, Ok(()), "root can still act");
    }
    assert_eq!(handle.trouble().as_deref(), Some("no space"));
    file.full(false);
    handle.admit(&ada()).await.unwrap();
    assert!(log.finish());
    assert_eq!(
        file.types(),
        ["act.asked", "act.refused", "act.asked", "act.asked", "act.asked"],
        "all of it, in its order"
    );
    assert_eq!(file.lines()[1]["what"]["code"], "not_recorded");
    let counts = handle.counts();
    assert!(counts.failures >= 3 && counts.lost == 0 && counts.is_writable, "{counts:?}");
}

#[test]
fn what_does_not_fit_in_the_queue_is_a_gap_where_it_is_missing() {
    let file = Told::default();
    file.full(true);
    let bound = 4 * refused("n").bytes();
    let log = log_with(&file, AuditFailurePolicy::Continue, AuditDesk::bounded(0, bound), None, &rules(1_000_000));
    let desk = &log.handle().desk;
    let put = |count: usize| (0..count).filter(|_| desk.put(refused("n")).is_ok()).count();
    assert_eq!(put(9), 4);
    assert_eq!(log.handle().counts().lost, 5);
    file.full(false);
    while log.handle().counts().records < 5 {
        std::thread::yield_now();
    }
    assert_eq!(put(1), 1);
    assert!(log.finish());
    let types = file.types();
    assert_eq!(types[4], "audit.gap", "{types:?}");
    assert_eq!((file.lines()[4]["what"]["lost"].clone(), types.len()), (5.into(), 6));
    assert_eq!(
        log.handle().news().first(),
        Some(&RecordedChange::AuditGap(crate::control::AuditGapRecord { lost: 5 }))
    );
}

#[test]
fn records_that_cannot_be_written_at_the_end_are_lost_and_counted() {
    let file = Told::default();
    file.full(true);
    let log = log(&file, AuditFailurePolicy::Continue);
    log.handle().desk.put(refused("a")).unwrap();
    assert!(!log.finish());
    assert_eq!(log.handle().counts().lost, 1);
    assert_eq!(file.types(), Vec::<String>::new());
}

#[test]
fn checkpoints_are_signed_after_so_many_records_and_at_the_end() {
    let (file, key) = (Told::default(), key());
    let public = key.verifier();
    let log = log_with(&file, AuditFailurePolicy::Continue, AuditDesk::new(0), Some(key), &rules(3));
    (0..7).for_each(|n| log.handle().desk.put(refused(&n.to_string())).unwrap());
    assert!(log.finish());
    let signed: Vec<usize> =
        file.types().iter().enumerate().filter(|(_, kind)| *kind == "audit.checkpoint").map(|(at, _)| at).collect();
    assert_eq!(signed, [3, 7, 9]);
    assert_eq!(log.handle().news().len(), 3);
    let report = verified(&file, Some(public));
    assert!(report.is_sound() && report.witnessed == Some(9), "{report:?}");
}

#[test]
fn a_checkpoint_comes_after_its_interval_if_there_was_a_record() {
    let (file, key) = (Told::default(), key());
    let rules = AuditCheckpoints { interval: Duration::from_millis(5), ..rules(1000) };
    let log = log_with(&file, AuditFailurePolicy::Continue, AuditDesk::new(0), Some(key), &rules);
    log.handle().desk.put(refused("a")).unwrap();
    while log.handle().counts().records < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
    assert!(log.finish());
    assert_eq!(file.types(), ["config.refused", "audit.checkpoint"], "none without a record");
}

#[test]
fn without_a_key_a_checkpoint_is_told_and_no_record() {
    let file = Told::default();
    let log = log_with(&file, AuditFailurePolicy::Continue, AuditDesk::new(0), None, &rules(2));
    (0..2).for_each(|n| log.handle().desk.put(refused(&n.to_string())).unwrap());
    assert!(log.finish());
    assert_eq!(file.types().len(), 2);
    let hash = file.lines()[1]["hash"].as_str().unwrap().to_owned();
    let expected = crate::control::AuditCheckpointRecord { seq: 2, hash, note: None };
    assert_eq!(log.handle().news(), [RecordedChange::AuditCheckpoint(expected)]);
}

#[test]
fn denials_are_one_a_second_a_source_and_none_is_uncounted() {
    let file = Told::default();
    let log = log(&file, AuditFailurePolicy::Continue);
    for source in ["192.0.2.1", "192.0.2.2"] {
        let denial = Denial { source, actor: None, what: "unknown token", service: None };
        (0..1000).for_each(|_| log.handle().denied(&denial));
    }
    while file.lines().len() < 4 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(log.finish());
    let mut counted = std::collections::BTreeMap::new();
    for line in file.lines() {
        assert_eq!((&line["type"], &line["what"]["denied"]), (&"act.denied".into(), &"unknown token".into()));
        let source = line["what"]["source"].as_str().unwrap().to_owned();
        *counted.entry(source).or_insert(0) += 1 + line["what"]["left_out"].as_u64().unwrap_or(0);
    }
    assert_eq!(counted.into_values().collect::<Vec<_>>(), [1000, 1000]);
}

#[tokio::test]
async fn what_is_too_long_for_a_line_stops_nothing() {
    let file = Told::default();
    let log = log(&file, AuditFailurePolicy::RefuseActs);
    let long = "x".repeat(70_000);
    let act = Act { reason: Some(long.clone()), ..ada() };
    assert!(matches!(log.handle().admit(&act).await, Err(AuditError::TooLong(_))));
    let named = Act { command: ActCommand::Thaw { service: long.as_str().into() }, ..ada() };
    assert!(matches!(log.handle().asked(&named).await, Err(AuditError::TooLong(_))));
    log.handle().desk.put(refused(&long)).unwrap();
    log.handle().asked(&ada()).await.unwrap();
    assert!(log.finish());
    assert_eq!(file.types(), ["act.refused", "config.refused", "act.asked"]);
    assert!(file.lines()[1]["what"]["too_long"].as_u64() > Some(70_000));
}

fn verified(file: &Told, key: Option<CheckpointVerifier>) -> crate::audit::AuditReport {
    let mut verifier = ChainVerifier::new(key, Vec::new());
    verifier.file("audit.jsonl");
    file.0.lock().unwrap().text.lines().for_each(|line| verifier.line(line.as_bytes(), true));
    verifier.finish()
}
