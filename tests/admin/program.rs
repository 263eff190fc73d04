//! What the program itself shows: its log, its access log, `standfast status` and their exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support;
use crate::waiting::{PATIENCE, eventually};

fn standfast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standfast")).args(arguments).env_remove("STANDFAST_ADMIN").output().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
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

/// Answers every connection's first read with one HTTP reply, until the process ends.
fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nnone\n");
        }
    });
    address
}

/// A running `standfast run` with a TCP and an HTTP service, its log kept.
struct Running {
    program: Child,
    admin: String,
    access_log: PathBuf,
    log: std::thread::JoinHandle<Vec<serde_json::Value>>,
}

impl Running {
    fn start(dir: &Path, upstream: SocketAddr, web: SocketAddr) -> Running {
        let file = dir.join("standfast.yaml");
        let access_log = dir.join("access.log");
        let text = format!(
            "admin: {{bind: 127.0.0.1:0}}\nworkers: 1\naccess_log: {{path: {}, format: json}}\n\
             listeners:\n  - {{name: lines, bind: 127.0.0.1:0, protocol: tcp, service: echo}}\n\
             \x20 - {{name: web, bind: 127.0.0.1:0, service: shop}}\n\
             services:\n  echo:\n    protocol: tcp\n    failover: {{on_all_down: fail_closed}}\n\
             \x20   health_check: {{tcp: {{}}, interval: 100ms, timeout: 50ms, fast_interval: 50ms, fall: 1, rise: 1}}\n\
             \x20   pools:\n      - {{name: main, endpoints: [\"{upstream}\"]}}\n\
             \x20 shop: {{pools: [{{name: home, endpoints: [\"{web}\"]}}]}}\n",
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
            let admin = value["admin"].as_str().map(str::to_owned);
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

    /// Says something to the listener of this number, leaves, and hears everything.
    fn say(&self, listener: usize, words: &str) -> String {
        let address = self.json()["listeners"][listener]["bound"][0].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        heard
    }

    /// The access log when it has so many lines.
    fn accesses(&self, count: usize) -> Vec<serde_json::Value> {
        let read = || std::fs::read_to_string(&self.access_log).unwrap_or_default();
        until("the access log's lines", || read().ends_with('\n') && read().lines().count() >= count);
        read().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
    let running = Running::start(dir.path(), upstream, web());
    until("served", || running.status(&[]).status.code() == Some(0));
    let shown = String::from_utf8(running.status(&[]).stdout).unwrap();
    assert!(shown.contains("echo") && shown.contains("main") && shown.contains(&upstream.to_string()), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour where there is no terminal");

    assert_eq!(running.say(0, "hello\n"), "hello\n");
    let line = running.accesses(1).remove(0);
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
    running.say(0, "again\n");
    let access_log = running.access_log.clone();
    let log = running.stop();
    assert_eq!(std::fs::read_to_string(&rotated).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(&access_log).unwrap().lines().count(), 1);
    let said = |part: &str| log.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(part)));
    assert!(said("started") && said("stopped"), "{log:?}");
    assert!(log.iter().all(|line| line["level"] != "DEBUG" && line["timestamp"].is_string()));
}

#[test]
fn a_request_is_told_and_counted_and_a_hostile_one_stays_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let home = web();
    let running = Running::start(dir.path(), echo(), home);
    until("served", || running.status(&[]).status.code() == Some(0));
    let request = "POST /cart?x=%0a HTTP/1.1\r\nHost: shop\r\nUser-Agent: \"a\\b\tc\r\nX-Request-Id: r-1\r\n\
                   Content-Length: 3\r\nConnection: close\r\n\r\nabc";
    let reply = running.say(1, request);
    assert!(reply.starts_with("HTTP/1.1 404") && reply.ends_with("\r\n\r\nnone\n"), "{reply}");
    let refused = running.say(1, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");

    let refused = running.accesses(2).remove(1);
    assert_eq!(refused["status"], 400);
    assert_eq!(refused["termination"], "refused");
    assert!(refused["client"].is_string() && refused.get("target").is_none(), "{refused}");
    let line = running.accesses(2).remove(0);
    let told = [
        ("method", "POST"),
        ("target", "/cart?x=%0a"),
        ("host", "shop"),
        ("user_agent", "\"a\\b\tc"),
        ("request_id", "r-1"),
    ];
    told.iter().for_each(|(field, value)| assert_eq!(line[field], *value, "{line}"));
    let placed = [("listener", "web"), ("service", "shop"), ("pool", "home"), ("termination", "complete")];
    placed.iter().for_each(|(field, value)| assert_eq!(line[field], *value, "{line}"));
    assert_eq!(line["endpoint"], home.to_string());
    [("status", 404), ("tries", 1), ("received", 3), ("sent", 5)]
        .iter()
        .for_each(|(field, value)| assert_eq!(line[field], *value));

    let families = support::exposition::parse(&get(&running.admin, "/metrics"));
    let count = |name: &str, labels: &[(&str, &str)]| families[name].value(labels);
    assert_eq!(count("standfast_requests_total", &[("service", "shop"), ("code", "4xx")]), 1.0);
    assert_eq!(count("standfast_request_duration_seconds", &[("service", "shop"), ("__suffix", "_count")]), 1.0);
    assert_eq!(count("standfast_endpoint_responses_total", &[("service", "shop"), ("code", "4xx")]), 1.0);
    assert_eq!(count("standfast_endpoint_tries_total", &[("service", "shop"), ("outcome", "good")]), 1.0);
    assert_eq!(count("standfast_listener_accepted_total", &[("listener", "web")]), 2.0);
    assert_eq!(count("standfast_listener_bytes_total", &[("listener", "web"), ("direction", "received")]), 3.0);
    assert_eq!(count("standfast_listener_bytes_total", &[("listener", "web"), ("direction", "sent")]), 5.0);
    assert_eq!(count("standfast_protocol_refusals_total", &[("listener", "web"), ("reason", "host_repeated")]), 1.0);
    support::known(&families);
    running.stop();
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_service_that_is_down_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = Running::start(dir.path(), nobody, nobody);
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
        ("ftp://127.0.0.1:1", "only http"),
        ("https://127.0.0.1:1", "--admin"),
        ("not an address", "host:port"),
    ] {
        let output = standfast(&["status", "--admin", admin]);
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{problem}");
        assert!(output.stdout.is_empty() && problem.contains(says) && problem.contains(admin), "{problem}");
    }
}

#[test]
fn a_health_check_says_ready_in_its_exit_code_and_why_not_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), echo(), web());
    let check = |more: &[&str]| standfast(&[&["healthcheck", "--admin", &running.admin], more].concat());
    until("ready", || check(&[]).status.code() == Some(0));
    let nothing = check(&["--path", "/nothing"]);
    let said = String::from_utf8(nothing.stdout).unwrap();
    assert!(
        nothing.status.code() == Some(1) && said.starts_with("404 Not Found: ") && said.lines().count() == 1,
        "{said}"
    );
    let admin = running.admin.clone();
    running.stop();
    let gone = standfast(&["healthcheck", "--admin", &admin]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8(gone.stdout).unwrap().contains(&admin));
}

#[test]
fn an_upstream_answers_by_its_name_and_leaves_in_order() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_standfast"))
        .args(["upstream", "--name", "a1", "--http", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(program.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let address = said.trim().strip_prefix("a1 answers on http://").unwrap_or_else(|| panic!("{said}")).to_owned();
    assert_eq!(standfast(&["healthcheck", "--admin", &address, "--path", "/healthz"]).status.code(), Some(0));
    assert!(get(&address, "/one").ends_with("hello from a1: /one\n"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&program), rustix::process::Signal::TERM).unwrap();
    until("it no longer listens", || TcpStream::connect(&address).is_err());
    assert!(program.wait().unwrap().success());
}
