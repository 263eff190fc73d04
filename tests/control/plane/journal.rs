//! The journal of a real control plane: replayed, it leads to the same incidents; damaged, it is refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use standfast::control::RecordedChange;
use standfast::control::journal::{JournalError, JournalSegment, ReplayVerdict, parse, read_journal, replay};
use standfast::decision::{Failure, IncidentId, Operational, SwitchKind};

use super::support::{Manners, Plane, QUICK, Upstream, eventually, file, service};

fn text(state: &Path, pools: &[&[&Upstream]]) -> String {
    file(&[("s", service("s", QUICK, pools))], &format!("state: {{path: {}}}\n", state.display()))
}

fn journal(state: &Path) -> PathBuf {
    state.with_file_name("state.json.journal")
}

/// A failover with its first good answer; its incidents.
async fn failover(state: &Path) -> Vec<(IncidentId, SwitchKind, bool)> {
    let (mut a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let plane = Plane::start(&text(state, &[&[&a], &[&b]]));
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    a.die().await;
    plane.failed(&a, Failure::Refused);
    plane.active("s", "b").await;
    plane.answered(1);
    let incidents = eventually("the measured recovery", || async {
        Some(plane.status().await.incidents).filter(|all| all.last().is_some_and(|last| last.rto_ms.is_some()))
    })
    .await;
    let dropped = plane.handle.tally().await.unwrap().journal.expect("a journal").dropped;
    assert_eq!(dropped, 0);
    plane.handle.stop().await;
    incidents.iter().map(|incident| (incident.id, incident.kind, incident.rto_ms.is_some())).collect()
}

#[tokio::test]
async fn a_journal_replays_to_the_same_incidents() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let incidents = failover(&state).await;
    let segments = read_journal(&journal(&state)).unwrap().segments;
    assert_eq!((segments.len(), segments[0].torn), (1, 0));
    let replayed = replay(&segments);
    assert_eq!(replayed[0].verdict, ReplayVerdict::Last);
    let told: Vec<_> = replayed[0].decision.incidents().map(|i| (i.id, i.kind, i.answered.is_some())).collect();
    assert_eq!(told, incidents);
    let records = &replayed[0].records;
    assert!(records.iter().any(|record| matches!(record.change, RecordedChange::Switched(_))));
    assert!(records.iter().any(|record| matches!(record.change, RecordedChange::Answered(_))));

    // The program shows it.
    let shown = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_standfast")).arg("journal").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let path = journal(&state).display().to_string();
    let (code, people, _) = shown(&[&path]);
    assert!(code == Some(0) && people.contains("service.switched  failover a -> b"), "{people}");
    let (code, programs, _) = shown(&["--json", &path]);
    let lines: Vec<serde_json::Value> = programs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(code == Some(0) && lines.iter().any(|line| line["type"] == "service.switched"), "{programs}");

    // A second life keeps the first one's journal before its own.
    let upstream = Upstream::start(Manners::ok()).await;
    let plane = Plane::start(&text(&state, &[&[&upstream]]));
    plane.stands(&upstream, Operational::Healthy).await;
    plane.handle.stop().await;
    let both = read_journal(&journal(&state)).unwrap();
    let segments = &both.segments;
    assert_eq!((segments.len(), segments[0].torn, both.problems.len()), (2, 0, 0));
    assert_ne!(segments[0].head.life, segments[1].head.life);

    // The newest file may be missing.
    let bytes = std::fs::read(journal(&state)).unwrap();
    let previous = journal(&state).with_file_name("state.json.journal.previous");
    std::fs::rename(journal(&state), &previous).unwrap();
    assert_eq!(read_journal(&journal(&state)).unwrap(), both);

    // What is damaged, or of another program, hides neither what stands before it nor the other file.
    std::fs::write(journal(&state), &bytes).unwrap();
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap().len();
    for at in [0, first + 2] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&previous, &damaged).unwrap();
        let found = read_journal(&journal(&state)).unwrap();
        assert_eq!((found.segments.len(), found.problems.len()), (3, 1), "{at}");
        let (code, people, problem) = shown(&[&path]);
        assert!(code == Some(2) && problem.contains("state.json.journal.previous"), "{problem}");
        assert!(people.contains("service.switched  failover a -> b"), "{people}");
    }
    std::fs::remove_file(&previous).unwrap();
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
    let mut damaged = bytes.clone();
    damaged[end - 3] ^= 1;
    std::fs::write(journal(&state), &damaged).unwrap();
    let found = read_journal(&journal(&state)).unwrap().segments;
    assert!(found[0].damage.is_some() && found[0].torn > 0 && segments[0].entries.starts_with(&found[0].entries));
    assert_eq!(found[1], segments[1]);
    let (code, people, problem) = shown(&[&path]);
    assert!(code == Some(2) && problem.contains("damaged at line"), "{problem}");
    assert!(people.contains("is left out"), "{people}");
}

#[tokio::test]
async fn no_cut_and_no_turned_byte_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    failover(&state).await;
    let whole = std::fs::read(journal(&state)).unwrap();
    let segment = parse(&whole).unwrap();
    let cut = |at: usize| match parse(&whole[..at]) {
        Ok(JournalSegment { head, snapshot, entries, torn, damage }) => {
            assert_eq!(damage, None, "cut at {at}");
            assert_eq!((&head, &snapshot), (&segment.head, &segment.snapshot), "cut at {at}");
            assert!(segment.entries.starts_with(&entries) && (torn > 0 || whole[at - 1] == b'\n'), "cut at {at}");
        }
        Err(error) => assert!(
            matches!(
                error,
                JournalError::Unfinished | JournalError::NotAJournal | JournalError::Damaged { line: 1, .. }
            ),
            "cut at {at}: {error}"
        ),
    };
    (0..whole.len().min(3_000)).for_each(cut);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(256));
    let turned = (0..whole.len(), 0..8_u32, 0..whole.len());
    runner
        .run(&turned, |(at, bit, end)| {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            // In what was not written whole nothing is read at all; elsewhere it is found.
            match parse(&damaged) {
                Ok(read) => prop_assert!(read.torn > 0 && segment.entries.starts_with(&read.entries), "{at} {bit}"),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
            cut(end);
            Ok(())
        })
        .unwrap();
    // Another version, and no journal at all.
    let newer = String::from_utf8(whole).unwrap().replacen("\"standfast_journal\":1", "\"standfast_journal\":2", 1);
    let problem = parse(newer.as_bytes()).unwrap_err().to_string();
    assert!(problem.contains("version 2") && problem.contains("version 1"), "{problem}");
    for other in ["", "{}", "listeners: []\n"] {
        let error = parse(other.as_bytes()).unwrap_err();
        assert!(matches!(error, JournalError::NotAJournal | JournalError::Unfinished), "{other}: {error}");
    }
}
