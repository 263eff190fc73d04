//! The audit log of a real control plane: what is asked comes before what is done, over restarts and rotations; what was changed in it
//! is found, by the program and by a script that knows the format alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use standfast::access::{Grant, authorise};
use standfast::config::{AuditFailurePolicy, Config};
use standfast::control::audit::files::log_files;
use standfast::control::{self, ControlError, ControlSetup, RecordedChange};
use standfast::decision::{Act, ActCommand, ActId, ActOutcome, Actor};

use super::support::{Manners, Plane, Upstream, eventually, file, read, service};

struct Log {
    _folder: tempfile::TempDir,
    path: PathBuf,
    upstream: Upstream,
}

impl Log {
    async fn new() -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        Log { _folder: folder, path, upstream: Upstream::start(Manners::ok()).await }
    }

    fn config(&self, more: &str) -> Config {
        let top = format!("instance: edge-1\naudit: {{path: {}{more}}}\n", self.path.display());
        read(&file(&[("s", service("s", "health_check: {http: {path: /}, interval: 1h}", &[&[&self.upstream]]))], &top))
    }

    fn start(&self, more: &str) -> Plane {
        Plane::with(self.config(more), None)
    }

    fn files(&self) -> Vec<PathBuf> {
        log_files(&self.path).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let texts = self.files().into_iter().map(|path| fs::read_to_string(path).unwrap());
        texts
            .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
            .collect()
    }

    /// Does the program find it sound, and what does it say? A script that knows the format alone agrees.
    fn verified(&self, more: &[&str]) -> (bool, String) {
        let program =
            run(Command::new(env!("CARGO_BIN_EXE_standfast")).args(["audit", "verify"]).args(more).args(self.files()));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/config/audit-verify.py");
        if more.is_empty() {
            match Command::new("python3").arg(script).args(self.files()).output() {
                Ok(python) => {
                    let code = python.status.code();
                    let codes = (code == Some(0), code == Some(1));
                    assert_eq!((program.0 == 0, program.0 == 1), codes, "{program:?} {python:?}");
                }
                Err(error) => eprintln!("SKIPPED: python3 does not run here ({error})"),
            }
        }
        (program.0 == 0, program.1)
    }
}

fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

fn pin(id: u64) -> Act {
    let command = ActCommand::Pin { service: "s".into(), pool: "a".into(), until: None };
    Act { reason: Some("maintenance".to_owned()), ..Act::new(ActId(id.into()), Actor::local("ada"), command) }
}

fn thaw(id: u64) -> Act {
    Act::new(ActId(id.into()), Actor::local("bob"), ActCommand::Thaw { service: "s".into() })
}

/// The place of the first line of this type about this act.
fn place(lines: &[Value], kind: &str, act: u64) -> usize {
    lines
        .iter()
        .position(|line| line["type"] == kind && line["what"]["act"] == ActId(act.into()).to_string())
        .unwrap_or_else(|| panic!("{kind}: {lines:#?}"))
}

#[tokio::test]
async fn an_act_is_asked_before_its_outcome_and_a_restart_goes_on_with_the_chain() {
    let log = Log::new().await;
    let plane = log.start("");
    plane.active("s", "a").await;
    assert_eq!(plane.act(pin(1)).await, Ok(ActOutcome::Done));
    assert!(matches!(plane.act(thaw(2)).await, Err(ControlError::Refused(_))));
    let counts = plane.handle.tally().await.unwrap().audit.unwrap();
    assert!(counts.is_writable && counts.records >= 4 && (counts.failures, counts.lost) == (0, 0), "{counts:?}");
    plane.handle.stop().await;
    let lines = log.lines();
    assert!(place(&lines, "act.asked", 1) < place(&lines, "act.done", 1));
    assert!(place(&lines, "act.asked", 2) < place(&lines, "act.refused", 2));
    assert_eq!((&lines[0]["type"], &lines[0]["instance"]), (&"instance.started".into(), &"edge-1".into()));
    assert_eq!(lines.last().unwrap()["type"], "instance.stopping");
    for line in lines.iter().filter(|line| line["type"] != "act.asked") {
        let record = line["record"].as_str().unwrap();
        assert_eq!(Some(record.split('.').next().unwrap()), line["life"].as_str());
    }

    let plane = log.start("");
    plane.active("s", "a").await;
    plane.act(pin(3)).await.unwrap();
    // As in a crash: what is on disk is what was asked and answered.
    drop(plane);
    let start = || control::start(ControlSetup { config: log.config(""), path: None, workers: 1 });
    let again = eventually("the lock is free again", || async { start().ok() }).await;
    again.stop().await;
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| line["type"] == "instance.started").count(), 3);
    assert!(place(&lines, "act.asked", 3) < place(&lines, "act.done", 3));
    let (sound, text) = log.verified(&[]);
    assert!(sound && text.contains("no checkpoint was verified"), "{text}");

    // The program shows them.
    let show = |more: &[&str]| {
        run(Command::new(env!("CARGO_BIN_EXE_standfast")).args(["audit", "show"]).args(more).arg(&log.path))
    };
    let (code, text) = show(&["--actor", "ada", "--service", "s"]);
    assert!(
        code == 0 && text.lines().count() == 4 && text.contains("act.done  pin a by local:ada (maintenance)"),
        "{text}"
    );
    let (code, text) = show(&["--since", "1h", "--json", "--actor", "bob"]);
    assert!(code == 0 && text.lines().all(|line| line.starts_with("{\"seq\":")) && text.lines().count() == 2, "{text}");
}

#[tokio::test]
async fn what_was_changed_is_found_by_record_and_line() {
    let log = Log::new().await;
    let key = log.path.with_file_name("audit.key");
    let program = env!("CARGO_BIN_EXE_standfast");
    let (code, public) = run(Command::new(program).args(["audit", "key", "new", "--instance", "edge-1"]).arg(&key));
    assert_eq!(code, 0, "{public}");
    let plane = log.start(&format!(", checkpoint: {{every: 3, key_file: {}}}", key.display()));
    plane.active("s", "a").await;
    for id in 1..=4 {
        plane.act(pin(id)).await.unwrap();
    }
    let told = eventually("a checkpoint is a record", || async {
        let page = plane.handle.records(None);
        page.records.iter().find_map(|record| match &record.change {
            RecordedChange::AuditCheckpoint(checkpoint) => Some(checkpoint.clone()),
            _ => None,
        })
    })
    .await;
    plane.handle.stop().await;
    let whole = fs::read_to_string(&log.path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let (sound, text) = log.verified(&["--key", public.trim(), "--expect", &format!("{}:{}", told.seq, told.hash)]);
    assert!(sound && text.contains("the last record has no checkpoint"), "{text}");
    a_part_verifies_by_itself(&log, &lines, public.trim(), told.seq + 1);

    let edited = whole.replacen("maintenance", "maintenances", 1);
    let line = lines.iter().position(|line| line.contains("maintenance")).unwrap() + 1;
    let removed = [&lines[..4], &lines[5..]].concat().join("\n") + "\n";
    let mut moved = lines.clone();
    moved.swap(2, 3);
    let moved = moved.join("\n") + "\n";
    for (text, finding) in [
        (edited, format!("audit.jsonl:{line}: record {line} was edited")),
        (removed, "audit.jsonl:5: record 5 is missing".to_owned()),
        (moved, "audit.jsonl:4: record 3 stands where 5 belongs".to_owned()),
    ] {
        fs::write(&log.path, text).unwrap();
        let (sound, told) = log.verified(&[]);
        assert!(!sound && told.contains(&finding), "{finding}: {told}");
    }
    // A whole log of another key, and one whose end was cut off.
    fs::write(&log.path, lines[..4].join("\n") + "\n").unwrap();
    let (sound, text) = log.verified(&["--expect", &format!("{}:{}", lines.len(), "0".repeat(64))]);
    assert!(!sound && text.contains("is not the one that was expected"), "{text}");
    let other = log.path.with_file_name("other.key");
    let (_, other) = run(Command::new(program).args(["audit", "key", "new", "--instance", "edge-1"]).arg(&other));
    fs::write(&log.path, &whole).unwrap();
    let (sound, text) = log.verified(&["--key", other.trim()]);
    assert!(!sound && text.contains("is a checkpoint that the key did not sign so"), "{text}");
}

/// What is exported goes on to the checkpoint, the record of this number, and is verified as a log is.
fn a_part_verifies_by_itself(log: &Log, lines: &[&str], public: &str, checkpoint: u64) {
    let program = env!("CARGO_BIN_EXE_standfast");
    let export = |more: &[&str], file: &Path| {
        let output = Command::new(program).args(["audit", "export"]).args(more).arg(file).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), told)
    };
    let text = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let part = log.path.with_file_name("part.jsonl");
    let (code, exported, told) = export(&["--from", "2", "--to", "2"], &log.path);
    assert_eq!((code, told), (0, format!("records 2 to {checkpoint}, a checkpoint\n")));
    assert_eq!(exported, text(&lines[1..checkpoint as usize]));
    fs::write(&part, &exported).unwrap();
    let (code, found) = run(Command::new(program).args(["audit", "verify", "--key", public]).arg(&part));
    assert!(code == 0 && found.contains("record 1 was not looked at") && found.contains("sound"), "{found}");
    assert_eq!(export(&[], &log.path).1, text(lines));
    // Behind the last checkpoint there is none.
    let behind = lines.iter().rposition(|line| line.contains("audit.checkpoint")).unwrap();
    fs::write(&part, text(&lines[..behind])).unwrap();
    let (code, exported, told) = export(&["--from", &behind.to_string()], &part);
    assert_eq!((code, exported), (0, text(&lines[behind - 1..behind])));
    assert!(told.contains("no checkpoint follows"), "{told}");
    // A last record without its line feed is one; a torn one is none.
    fs::write(&part, text(&lines[..2]) + lines[2] + "\n" + &lines[3][..20]).unwrap();
    assert_eq!(export(&[], &part).1, text(&lines[..3]));
    fs::write(&part, lines[..3].join("\n")).unwrap();
    assert_eq!(export(&[], &part).1, text(&lines[..3]));
    // What is not there, wholly or in part, is told.
    let some = lines.len().to_string();
    for (range, missing) in
        [(["--from", "4711"], "no record of that part"), (["--to", "4711"], "to 4711 are not there")]
    {
        let (code, _, told) = export(&range, &log.path);
        assert!(code == 1 && told.contains(missing), "{range:?}: {told}");
    }
    fs::write(&part, text(&lines[4..])).unwrap();
    let (code, _, told) = export(&["--from", "2", "--to", &some], &part);
    assert!(code == 1 && told.contains("records 2 to 4 are not there"), "{told}");
    assert_eq!(export(&["--from", "3", "--to", "2"], &log.path).0, 2);
    // Whatever was changed in the log, also where the part begins and ends, an export of it is not called good.
    for (place, from, to) in
        [("\"seq\":3,", "\"seq\":99,", "3"), ("\"seq\":2,", "\"seq\":99,", "3"), ("\"seq\":4,", "\"seq\":99,", "3")]
    {
        fs::write(&part, text(lines).replacen(place, from, 1)).unwrap();
        let (code, _, told) = export(&["--from", "2", "--to", to], &part);
        assert!(code == 1 && told.contains("not sound"), "{place}: {told}");
    }
    fs::write(&part, format!("no record\n{}", text(&lines[1..]))).unwrap();
    let (code, exported, _) = export(&[], &part);
    assert!(code == 1 && exported.starts_with("no record\n"), "{exported}");
    fs::remove_file(&part).unwrap();
}

#[tokio::test]
async fn a_dry_run_is_on_record_and_nothing_waits_for_it() {
    let log = Log::new().await;
    let plane = log.start("");
    plane.active("s", "a").await;
    let permit = authorise(&[Grant::admin()], pin(7)).unwrap();
    let report = plane.handle.rehearse(permit, None).await.unwrap();
    assert_eq!(report.outcome, ActOutcome::Done);
    plane.handle.stop().await;
    let lines = log.lines();
    let line = &lines[place(&lines, "act.rehearsed", 7)];
    assert_eq!((&line["service"], &line["what"]["actor"]["name"]), (&"s".into(), &"ada".into()));
    assert!(lines.iter().all(|line| line["type"] != "act.asked" && line["type"] != "act.done"), "{lines:#?}");
    assert!(log.verified(&[]).0);
}

#[tokio::test]
async fn files_are_rotated_and_verified_together() {
    let log = Log::new().await;
    let mut config = log.config("");
    let audit = config.audit.as_mut().unwrap();
    (audit.rotate, audit.keep) = (8 << 10, 4);
    let plane = Plane::with(config, None);
    plane.active("s", "a").await;
    for id in 1..=60 {
        let _ = plane.act(thaw(id)).await;
    }
    plane.handle.stop().await;
    let files = log.files();
    assert_eq!(files.len(), 5);
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 8 << 10));
    let (sound, text) = log.verified(&[]);
    assert!(sound && text.contains("in 5 files") && text.contains("were not looked at"), "{text}");
    fs::remove_file(&files[2]).unwrap();
    let (sound, text) = log.verified(&[]);
    assert!(!sound && text.contains("are missing"), "{text}");
}

#[tokio::test]
async fn a_log_that_cannot_be_kept_refuses_the_start() {
    let log = Log::new().await;
    let refused = |config: Config| match control::start(ControlSetup { config, path: None, workers: 1 }) {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    };
    let plane = log.start("");
    let error = refused(log.config(""));
    assert!(error.contains(&format!("process {} writes this audit log", std::process::id())), "{error}");
    drop(plane);
    let mut config = log.config("");
    config.audit.as_mut().unwrap().path = Path::new("/nowhere/at/all.jsonl").to_owned();
    assert!(refused(config).contains("there is no folder /nowhere/at: `mkdir -p /nowhere/at`"));
    let mut config = log.config("");
    config.audit.as_mut().unwrap().checkpoint.key_file = Some("/nowhere/audit.key".into());
    assert!(refused(config).contains("`standfast audit key new /nowhere/audit.key` makes one"));
}

#[tokio::test]
async fn a_log_that_is_lost_refuses_acts_where_it_is_told_to() {
    let log = Log::new().await;
    for policy in [AuditFailurePolicy::RefuseActs, AuditFailurePolicy::Continue] {
        let mut config = log.config("");
        config.audit.as_mut().unwrap().on_error = policy;
        let plane = Plane::with(config, None);
        plane.active("s", "a").await;
        // Another file stands in its place: nothing can be added.
        let aside = log.path.with_extension("aside");
        fs::rename(&log.path, &aside).unwrap();
        fs::write(&log.path, "other").unwrap();
        let answer = plane.act(pin(1)).await;
        let is_refused = policy == AuditFailurePolicy::RefuseActs;
        assert_eq!(matches!(&answer, Err(ControlError::NotRecorded(_))), is_refused, "{answer:?}");
        assert_eq!(plane.service("s").await.pinned.is_some(), !is_refused);
        let troubles = plane.status().await.troubles;
        assert!(troubles.iter().any(|trouble| trouble.contains("the audit log cannot be written")), "{troubles:?}");
        assert!(!plane.handle.tally().await.unwrap().audit.unwrap().is_writable);
        // It goes on as soon as it can, with everything that waited.
        fs::rename(&aside, &log.path).unwrap();
        plane.act(thaw(2)).await.unwrap_err();
        assert_eq!(plane.status().await.troubles, Vec::<String>::new());
        plane.handle.stop().await;
        let lines = log.lines();
        let outcome = if is_refused { "act.refused" } else { "act.done" };
        assert!(place(&lines, "act.asked", 1) < place(&lines, outcome, 1));
        assert!(log.verified(&[]).0);
        fs::remove_file(&log.path).unwrap();
    }
}

/// A log of format 1, as it was written by the first version that had one: it is read for ever.
#[test]
fn logs_of_every_format_are_read() {
    let formats = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats"));
    let (log, key) = (formats.join("audit-1.jsonl"), formats.join("audit-1.pub"));
    let program = env!("CARGO_BIN_EXE_standfast");
    let (code, text) = run(Command::new(program).args(["audit", "verify", "--key"]).arg(&key).arg(&log));
    assert!(code == 0 && text.contains("sound"), "{text}");
    let (code, text) = run(Command::new(program).args(["audit", "show"]).arg(&log));
    assert!(
        code == 0
            && ["act.asked", "act.done", "act.refused", "act.denied", "audit.gap", "audit.checkpoint"]
                .iter()
                .all(|kind| text.contains(kind)),
        "{text}"
    );
}
