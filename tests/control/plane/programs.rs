//! Checks by a program: scripts that answer, hang, crash and leave children behind.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use standfast::decision::{CheckAnswerClass, Operational};

use super::databases::{answers, is_healthy, is_told_to_be_blind, plane, until};
use super::support::{Plane, eventually, file};

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("check");
    // (Another one takes its place as a whole: it may be running.)
    fs::write(folder.join("new"), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(folder.join("new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(folder.join("new"), &path).unwrap();
    path
}

#[tokio::test]
async fn the_exit_code_is_the_verdict_and_unknown_is_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path = script(folder.path(), "exit 0");
    let plane = plane(&format!("exec: {{command: {}}}", path.display()), &[7001]);
    until(&plane, 7001, "healthy", is_healthy).await;
    let epoch = plane.status().await.epoch;
    for (text, words) in [
        ("echo cannot say; exit 2", "exit code 2: cannot say"),
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "ended by signal 9"),
        ("no-such-program", "exit code 127"),
    ] {
        script(folder.path(), text);
        until(&plane, 7001, words, |found| answers(found, CheckAnswerClass::Blind, words)).await;
        assert!(is_healthy(&plane.endpoint("127.0.0.1:7001".parse().unwrap()).await), "{text}");
    }
    eventually("it is told", || async { is_told_to_be_blind(&plane).await.then_some(()) }).await;
    assert_eq!(plane.status().await.epoch, epoch, "nothing has moved");
    script(folder.path(), "echo; echo replication is broken; echo more; exit 1");
    let found = until(&plane, 7001, "unhealthy", |found| !is_healthy(found)).await;
    assert!(found.state.evidence.contains("exit code 1: replication is broken"), "{}", found.state.evidence);
    script(folder.path(), "exit 0");
    until(&plane, 7001, "healthy again", is_healthy).await;
    fs::remove_file(&path).unwrap();
    until(&plane, 7001, "gone", |found| answers(found, CheckAnswerClass::Blind, "the program cannot be run")).await;
}

#[tokio::test]
async fn a_program_is_told_what_it_checks() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let text = format!("{{ echo \"$@\"; env | sort; }} > {0}.new; mv {0}.new {0}", told.display());
    let path = script(folder.path(), &text);
    let check = format!(
        "exec: {{command: [{}, '-H', '{{address}}:{{port}}', '$(id)', '{{host}}'], environment: {{TOKEN: s3cret}}, port: 99}}",
        path.display()
    );
    let _plane = plane(&check, &[7002]);
    let text = eventually("it ran", || async { fs::read_to_string(&told).ok() }).await;
    let wanted = "-H 127.0.0.1:99 $(id) 127.0.0.1\nLANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         PWD=/\nSTANDFAST_ADDRESS=127.0.0.1\nSTANDFAST_ENDPOINT=127.0.0.1:7002\nSTANDFAST_HOST=127.0.0.1\n\
         STANDFAST_POOL=a\nSTANDFAST_PORT=99\nSTANDFAST_SERVICE=s\nSTANDFAST_TIMEOUT_MS=5000\nTOKEN=s3cret\n";
    assert_eq!(text, wanted);
}

/// Processes whose command line has this in it; `leaders`: those that lead a group.
fn running(mark: &str, leaders: bool) -> usize {
    let is_one = |folder: &Path| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let group = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
        let leads = folder.file_name().and_then(|id| id.to_str()) == group;
        line.windows(mark.len()).any(|part| part == mark.as_bytes()) && (leads || !leaders)
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|process| is_one(&process.path())).count()
}

#[tokio::test]
async fn programs_that_hang_are_killed_with_their_children_and_only_so_many_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("{}", 987_000 + std::process::id() % 1000);
    let text = format!("echo waits; for i in 1 2 3; do sh -c 'sleep {mark} & wait' & done; wait");
    let path = script(folder.path(), &text);
    let endpoints: Vec<String> = (1..=60).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let service = format!(
        "  s:\n    protocol: tcp\n    health_check: {{exec: {{command: {}}}, interval: 50ms, timeout: 300ms, fast_interval: 50ms, \
         fall: 1}}\n    pools: [{{name: a, endpoints: [{}]}}]\n",
        path.display(),
        endpoints.join(", ")
    );
    let plane = Plane::start(&file(&[("s", service)], ""));
    let at_once = std::thread::available_parallelism().unwrap().get() * 4;
    let most = Cell::new(0);
    for port in 1..=60 {
        let found = until(&plane, port, "a verdict", |found| {
            most.set(most.get().max(running(&path.display().to_string(), true)));
            found.state.standing.operational == Operational::Unhealthy
        });
        let found = found.await;
        assert!(answers(&found, CheckAnswerClass::Failing, "killed after 300ms: waits"), "{:?}", found.state.check);
    }
    assert!((1..=at_once).contains(&most.get()), "{} ran at once", most.get());
    drop(plane);
    eventually("none is left", || async { (running(&mark, false) == 0).then_some(()) }).await;
}
