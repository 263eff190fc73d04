//! What the program itself shows: its log, its access log, `standfast status` and their exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use standfast::sys::clock;

const PATIENCE: Duration = Duration::from_secs(30);

fn standfast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standfast")).args(arguments).env_remove("STANDFAST_ADMIN").output().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = clock::now();
    while !holds() {
        assert!(clock::now().since(begun) < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Gives every connection its bytes back, until the process ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
        }
    });
    address
}

/// A running `standfast run` with one TCP service, its log kept.
struct Running {
    program: Child,
    admin: String,
    access_log: PathBuf,
    log: std::thread::JoinHandle<Vec<serde_json::Value>>,
}

impl Running {
    fn start(dir: &Path, upstream: SocketAddr) -> Running {
        let file = dir.join("standfast.yaml");
        let access_log = dir.join("access.log");
        let text = format!(
            "admin: {{bind: 127.0.0.1:0}}\nworkers: 1\naccess_log: {{path: {}, format: json}}\n\
             listeners:\n  - {{name: lines, bind: 127.0.0.1:0, protocol: tcp, service: echo}}\n\
             services:\n  echo:\n    protocol: tcp\n    failover: {{on_all_down: fail_closed}}\n\
             \x20   health_check: {{tcp: {{}}, interval: 100ms, timeout: 50ms, fast_interval: 50ms, fall: 1, rise: 1}}\n\
             \x20   pools:\n      - {{name: main, endpoints: [\"{upstream}\"]}}\n",
            access_log.display()
        );
        std::fs::write(&file, text).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_standfast"))
            .args(["run", "--config"])
            .arg(&file)
            .env_remove("STANDFAST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        // The line that says where the admin port is.
        let admin = loop {
            let line = lines.next().expect("it ended before it started").unwrap();
            let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            let admin = value["admin"].as_str().map(|text| text.trim_matches(|c: char| !c.is_ascii_digit()).to_owned());
            seen.push(value);
            if let Some(admin) = admin {
                break admin;
            }
        };
        let log = std::thread::spawn(move || {
            seen.extend(lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap()));
            seen
        });
        Running { program, admin, access_log, log }
    }

    fn status(&self, more: &[&str]) -> Output {
        standfast(&[&["status", "--admin", &self.admin], more].concat())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.status(&["--output", "json"]).stdout).unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.program);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// One session: says a line, hears it, leaves.
    fn session(&self, line: &str) {
        let address = self.json()["listeners"][0]["bound"][0].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, line);
    }

    /// Stops it with SIGTERM; its log.
    fn stop(mut self) -> Vec<serde_json::Value> {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.program.wait().unwrap().success());
        self.log.join().unwrap()
    }
}

#[test]
fn status_and_both_logs_tell_of_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = echo();
    let running = Running::start(dir.path(), upstream);
    until("served", || running.status(&[]).status.code() == Some(0));
    let shown = String::from_utf8(running.status(&[]).stdout).unwrap();
    assert!(shown.contains("echo") && shown.contains("main") && shown.contains(&upstream.to_string()), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour where there is no terminal");

    running.session("hello\n");
    until("the session's line", || std::fs::read_to_string(&running.access_log).is_ok_and(|text| text.ends_with('\n')));
    let text = std::fs::read_to_string(&running.access_log).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["listener"], "lines");
    assert_eq!(line["service"], "echo");
    assert_eq!(line["pool"], "main");
    assert_eq!(line["endpoint"], upstream.to_string());
    assert_eq!(line["received"], 6);
    assert_eq!(line["sent"], 6);
    assert_eq!(line["termination"], "complete");
    assert!(line["epoch"].as_u64().is_some_and(|epoch| epoch > 0));

    // Rotation: the file is moved away, SIGHUP opens it anew, the last line is there before the program has ended.
    let rotated = dir.path().join("access.log.1");
    std::fs::rename(&running.access_log, &rotated).unwrap();
    running.signal(rustix::process::Signal::HUP);
    until("the file anew", || running.access_log.exists());
    running.session("again\n");
    let access_log = running.access_log.clone();
    let log = running.stop();
    assert_eq!(std::fs::read_to_string(&rotated).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(&access_log).unwrap().lines().count(), 1);
    let said = |part: &str| log.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(part)));
    assert!(said("started") && said("stopped"), "{log:?}");
    assert!(log.iter().all(|line| line["level"] != "DEBUG" && line["timestamp"].is_string()));
}

#[test]
fn a_service_that_is_down_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = Running::start(dir.path(), nobody);
    until("down", || running.json()["services"][0]["serving"] == "down");
    let output = running.status(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("DOWN"));
    running.stop();
}

#[test]
fn an_instance_that_cannot_be_asked_is_exit_code_2_and_says_what_to_do() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    for (admin, says) in [
        (nobody.as_str(), "--admin"),
        (&stranger, "not as Standfast"),
        ("https://127.0.0.1:1", "only http"),
        ("not an address", "host:port"),
    ] {
        let output = standfast(&["status", "--admin", admin]);
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{problem}");
        assert!(output.stdout.is_empty() && problem.contains(says) && problem.contains(admin), "{problem}");
    }
}
