//! The audit log of the program on a disk that is full.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use standfast::audit::ChainVerifier;
use standfast::control::audit::files::log_files;

use super::waiting::eventually;
use super::{Program, two};

fn audited(program: &Program) -> String {
    format!("audit: {{path: {}}}", program.path("audit.jsonl").display())
}

#[test]
fn on_a_disk_that_is_full_it_does_not_start_and_says_what_to_do() {
    let ((home, standby), program) = (two(), Program::new());
    program.configure(&home, &standby, &audited(&program), "");
    let status = program.limited("-f 8").status().unwrap();
    let said = program.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("audit.jsonl: the audit log cannot be kept") && said.contains("free some space"), "{said}");
}

#[test]
fn a_disk_that_becomes_full_stops_no_traffic_and_no_failover() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, &audited(&program), "");
    // (Blocks of 512 bytes; a soft limit can be lifted again.)
    let mut command = program.limited("-S -f 200");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    program.start_by(command);
    program.healthy(&standby);
    let metric = |name: &str| {
        let metrics = program.ask_admin("/metrics").unwrap().1;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
        line.parse::<f64>().unwrap()
    };
    assert!(metric("standfast_audit_writable") > 0.5);
    // A refused reload tells all of its problems.
    let good = fs::read_to_string(program.path("standfast.yaml")).unwrap();
    let bad: String = (0..50).map(|n| format!("no_such_key_{n}_{}: 1\n", "x".repeat(60))).collect();
    fs::write(program.path("standfast.yaml"), bad + &good).unwrap();
    eventually("the disk is full", || {
        program.signal(Signal::HUP);
        (metric("standfast_audit_writable") < 0.5).then_some(())
    });
    let troubles = program.status().troubles;
    assert!(troubles.iter().any(|trouble| trouble.contains("the audit log cannot be written")), "{troubles:?}");
    home.die();
    assert_eq!(program.get("/").unwrap(), (200, "standby".into()));
    program.active("standby");
    assert!(metric("standfast_audit_failures_total") > 0.5);

    // There is room again: everything that waited is written, in its order.
    let pid = Pid::from_child(program.child.as_ref().unwrap());
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    eventually("it is written again", || (metric("standfast_audit_writable") > 0.5).then_some(()));
    assert!(metric("standfast_audit_lost_total") < 0.5);
    program.signal(Signal::TERM);
    assert!(program.ended().success());
    let mut verifier = ChainVerifier::new(None, Vec::new());
    let mut text = String::new();
    for file in log_files(&program.path("audit.jsonl")).unwrap() {
        verifier.file(&file.display().to_string());
        text.push_str(&fs::read_to_string(file).unwrap());
    }
    text.lines().for_each(|line| verifier.line(line.as_bytes(), true));
    let report = verifier.finish();
    assert!(report.is_sound(), "{report:?}");
    assert!(text.contains("service.switched") && text.contains("instance.stopping"), "{text}");
}
