//! The program itself, as a child process: start, reload, crash, stop, and what it says when it cannot start.

mod audit;
mod demo;
mod route;
#[path = "../support/waiting.rs"]
mod waiting;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use standfast::control::{ServiceReport, Status};
use standfast::decision::{Operational, SwitchKind};
use tempfile::TempDir;

use waiting::{PATIENCE, eventually, free_port};

// ---- an upstream ------------------------------------------------------------------------------------------------------

/// Answers every request with its name; `/slow` only when the gate is open.
struct Upstream {
    address: SocketAddr,
    name: &'static str,
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

impl Upstream {
    fn start(name: &'static str) -> Upstream {
        Upstream::start_at(Ipv4Addr::LOCALHOST, name)
    }

    fn start_at(host: Ipv4Addr, name: &'static str) -> Upstream {
        let upstream = Upstream { address: (host, free_port()).into(), name, inside: Arc::default() };
        upstream.revive();
        upstream
    }

    fn revive(&self) {
        let listener = eventually("the port is free again", || TcpListener::bind(self.address).ok());
        let (name, inside) = (self.name, self.inside.clone());
        inside.open.lock().unwrap().insert(self.address, listening(&listener));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (Ok(peer), Ok(copy)) = (stream.peer_addr(), stream.try_clone()) else { continue };
                inside.open.lock().unwrap().insert(peer, copy);
                let inside = inside.clone();
                thread::spawn(move || {
                    let _ = attend(stream, name, &inside);
                    inside.open.lock().unwrap().remove(&peer);
                });
            }
        });
    }

    /// Refuse connections and reset those that are open.
    fn die(&self) {
        for stream in self.inside.open.lock().unwrap().drain().map(|(_, stream)| stream) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        eventually("the upstream is dead", || TcpStream::connect(self.address).is_err().then_some(()));
    }

    fn slow_requests(&self) -> usize {
        self.inside.gate.lock().unwrap().waiting
    }

    fn open_gate(&self) {
        self.inside.gate.lock().unwrap().open = true;
        self.inside.moved.notify_all();
    }
}

/// The listening socket in a coat that can be shut down with the others.
fn listening(listener: &TcpListener) -> TcpStream {
    socket2::Socket::from(listener.try_clone().unwrap()).into()
}

fn attend(mut stream: TcpStream, name: &str, inside: &Inside) -> io::Result<()> {
    loop {
        let head = read_head(&mut stream)?;
        if head.contains(" /slow ") {
            let mut gate = inside.gate.lock().unwrap();
            gate.waiting += 1;
            drop(inside.moved.wait_while(gate, |gate| !gate.open));
        }
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len())?;
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

// ---- the program ------------------------------------------------------------------------------------------------------

/// A configuration of one service with pools `home` and `standby`, and the program that runs it.
struct Program {
    folder: TempDir,
    /// Where it listens, and in which network namespace it runs.
    host: Ipv4Addr,
    namespace: Option<String>,
    web: u16,
    admin: u16,
    child: Option<Child>,
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("---- what the program said\n{}", self.said());
        }
    }
}

impl Program {
    fn new() -> Program {
        Program::at(Ipv4Addr::LOCALHOST, None)
    }

    fn at(host: Ipv4Addr, namespace: Option<String>) -> Program {
        let folder = tempfile::tempdir().unwrap();
        Program { folder, host, namespace, web: free_port(), admin: free_port(), child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, home: &Upstream, standby: &Upstream, top: &str, service: &str) {
        let state = self.path("state.json");
        let text = format!(
            r#"admin: {{bind: "{host}:{admin}"}}
state: {{path: {state}}}
{top}
listeners:
  - name: web
    bind: "{host}:{web}"
    protocol: http
    routes: [{{service: shop}}]
services:
  shop:
    health_check: {{http: {{path: /healthz}}, interval: 100ms, timeout: 90ms, fast_interval: 20ms, fall: 2, rise: 1}}
    failover: {{failback: {{mode: auto, hold_down: 1h}}}}
    {service}
    pools:
      - {{name: home, endpoints: ["{home}"]}}
      - {{name: standby, endpoints: ["{standby}"]}}
"#,
            host = self.host,
            admin = self.admin,
            web = self.web,
            state = state.display(),
            home = home.address,
            standby = standby.address,
        );
        fs::write(self.path("standfast.yaml"), text).unwrap();
    }

    /// The same, and what it says is kept.
    fn logged(&self, mut command: Command) -> Command {
        let log = File::options().append(true).create(true).open(self.path("said")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn command(&self, file: &Path) -> Command {
        let program = env!("CARGO_BIN_EXE_standfast");
        let mut command = match &self.namespace {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, program]);
                command
            }
        };
        command.args(["run", "-c"]).arg(file);
        self.logged(command)
    }

    fn start(&mut self) {
        self.start_by(self.command(&self.path("standfast.yaml")));
    }

    /// By this command, until it is ready.
    fn start_by(&mut self, mut command: Command) {
        self.child = Some(command.spawn().unwrap());
        eventually("ready", || (self.ask_admin("/readyz")?.0 == 200).then_some(()));
    }

    /// The same under limits of the shell.
    fn limited(&self, limits: &str) -> Command {
        let inner = self.command(&self.path("standfast.yaml"));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limits}; exec \"$0\" \"$@\"")]);
        command.arg(inner.get_program()).args(inner.get_args());
        self.logged(command)
    }

    /// Run a file that cannot be run: the exit status and what was said.
    fn fail(&self, file: &Path) -> (ExitStatus, String) {
        let status = self.command(file).status().unwrap();
        (status, self.said())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    /// The whole lines of a log in JSON.
    fn lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.said().split_inclusive('\n').filter(|line| line.ends_with('\n')).map(read).collect()
    }

    /// The first line with this message; it is awaited.
    fn line(&self, message: &str) -> Value {
        eventually(message, || self.lines().into_iter().find(|line| line["message"] == message))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        eventually("the program has ended", || child.try_wait().unwrap())
    }

    /// Status and body of a GET through the proxy.
    fn get(&self, path: &str) -> io::Result<(u16, String)> {
        ask((self.host, self.web).into(), "GET", path)
    }

    fn ask_admin(&self, path: &str) -> Option<(u16, String)> {
        ask((self.host, self.admin).into(), "GET", path).ok()
    }

    fn status(&self) -> Status {
        let (code, body) = self.ask_admin("/status").expect("the admin port answers");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Wait until this pool serves; the service's report then.
    fn active(&self, pool: &str) -> ServiceReport {
        eventually(&format!("{pool} serves"), || {
            self.status().services.into_iter().find(|service| service.active.as_deref() == Some(pool))
        })
    }

    fn healthy(&self, upstream: &Upstream) {
        eventually(&format!("{} is healthy", upstream.name), || {
            let status = self.status();
            let mut endpoints = status.services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.endpoints);
            let endpoint = endpoints.find(|e| e.state.address == upstream.address)?;
            (endpoint.state.standing.operational == Operational::Healthy).then_some(())
        });
    }
}

fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    ask((Ipv4Addr::LOCALHOST, port).into(), "GET", path)
}

fn ask(address: SocketAddr, method: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let head = read_head(&mut stream)?;
    let mut body = String::new();
    stream.read_to_string(&mut body)?;
    let code = head.get(9..12).and_then(|code| code.parse().ok());
    Ok((code.ok_or(io::ErrorKind::InvalidData)?, body))
}

fn two() -> (Upstream, Upstream) {
    (Upstream::start("home"), Upstream::start("standby"))
}

// ---- claims -----------------------------------------------------------------------------------------------------------

#[test]
fn it_serves_and_fails_over_and_says_so() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    program.start();
    program.healthy(&standby);
    assert_eq!(program.get("/").unwrap(), (200, "home".into()));
    home.die();
    assert_eq!(program.get("/").unwrap(), (200, "standby".into()), "the first request already goes over");
    assert_eq!(program.active("standby").why, Some(SwitchKind::Failover));
    assert_eq!(program.get("/").unwrap(), (200, "standby".into()));
    let incident = eventually("the measured recovery", || {
        program.status().incidents.pop().filter(|incident| incident.rto_ms.is_some())
    });
    assert_eq!((incident.from.as_deref(), incident.to.as_deref()), (Some("home"), Some("standby")));
}

/// The smallest configurations, with these lines before them and these listeners.
fn configure_small(program: &Program, upstream: &Upstream, top: &str, listeners: &str) {
    let pools = format!("pools: [{{name: main, endpoints: [\"{}\"]}}]", upstream.address);
    let raw = if listeners.contains("raw") { format!("  raw: {{protocol: tcp, {pools}}}\n") } else { String::new() };
    let text = format!(
        "admin: 127.0.0.1:{}\n{top}listeners:\n{listeners}services:\n  shop: {{{pools}}}\n{raw}",
        program.admin
    );
    fs::write(program.path("standfast.yaml"), text).unwrap();
}

/// The fields of each line that a start may say, beside time, level and target.
const FIELDS: [(&str, &[&str]); 6] = [
    ("listening", &["name", "on", "protocol"]),
    ("no state yet: this is the first start", &["path"]),
    ("started", &["admin", "config", "version", "workers"]),
    ("ready", &["epoch"]),
    ("endpoint standing", &["administrative", "cause", "endpoint", "evidence", "from", "pool", "service", "to"]),
    (
        "the descriptor limit bounds the clients at once; further ones wait in the accept queue",
        &["limit", "max_clients"],
    ),
];

#[test]
fn the_first_lines_say_where_it_listens_and_no_more_than_is_worth_a_line() {
    let (upstream, raw) = (Upstream::start("home"), free_port());
    let mut program = Program::new();
    let listeners = format!(
        "  - {{name: web, bind: [127.0.0.1:{}, 127.0.0.2:{0}], service: shop}}\n  - {{name: raw, bind: 127.0.0.1:{raw}, protocol: \
         tcp, routes: [{{service: raw}}]}}\n",
        program.web
    );
    configure_small(&program, &upstream, "", &listeners);
    program.start();
    program.line("ready");
    let lines = program.lines();
    for line in &lines {
        let mut fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        fields.retain(|field| !["timestamp", "level", "target", "message", "tls", "endpoint_name"].contains(field));
        fields.sort();
        let known = FIELDS.iter().find(|(message, _)| line["message"] == *message);
        assert_eq!(known.map(|(_, fields)| *fields), Some(&*fields), "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
    }
    let listening: Vec<String> = lines
        .iter()
        .filter(|line| line["message"] == "listening")
        .map(|line| ["name", "on", "protocol", "tls"].map(|field| line[field].as_str().unwrap_or("-")).join(" "))
        .collect();
    let (web, admin) = (program.web, program.admin);
    assert_eq!(
        listening,
        [
            format!("web 127.0.0.1:{web}, 127.0.0.2:{web} http -"),
            format!("raw 127.0.0.1:{raw} tcp passed through"),
            format!("admin 127.0.0.1:{admin} admin -"),
        ]
    );
    let place = |message: &str| lines.iter().position(|line| line["message"] == message).unwrap();
    assert!(place("listening") < place("started"));
    let started = &lines[place("started")];
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"), "{started}");
    assert_eq!(started["admin"], format!("127.0.0.1:{admin}"), "{started}");
    assert!(
        started["workers"].is_u64() && started["config"].as_str().unwrap().ends_with("standfast.yaml"),
        "{started}"
    );
}

#[test]
fn people_read_the_same_in_lines_of_words() {
    let (upstream, mut program) = (Upstream::start("home"), Program::new());
    let web = format!("  - {{name: web, bind: 127.0.0.1:{}, service: shop}}\n", program.web);
    configure_small(&program, &upstream, "log: {format: human}\n", &web);
    program.start();
    eventually("the last line of the start", || program.said().contains(" ready epoch=").then_some(()));
    let said = program.said();
    for line in [
        format!(" INFO listening name=web on=127.0.0.1:{} protocol=http\n", program.web),
        format!(" INFO listening name=admin on=127.0.0.1:{} protocol=admin\n", program.admin),
        format!(" INFO started version={} workers=", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(said.contains(&line), "{line}{said}");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code(), Some(0));
    let said = program.said();
    for line in
        ["INFO stopping signal=SIGTERM\n", "INFO draining in_flight=0 up_to=30s\n", "INFO stopped: nothing was cut "]
    {
        assert!(said.contains(line), "{line}{said}");
    }
    for never in ["Some(", "None", "WARN", "ERROR"] {
        assert!(!said.contains(never), "{never}\n{said}");
    }
}

#[test]
fn a_reload_says_which_listeners_came_and_went() {
    let (upstream, mut program) = (Upstream::start("home"), Program::new());
    let (one, two) = (free_port(), free_port());
    let web = format!("  - {{name: web, bind: 127.0.0.1:{}, service: shop}}\n", program.web);
    configure_small(
        &program,
        &upstream,
        "",
        &format!("{web}  - {{name: old, bind: 127.0.0.1:{one}, service: shop}}\n"),
    );
    program.start();
    program.line("ready");
    let before = program.lines().len();
    configure_small(
        &program,
        &upstream,
        "",
        &format!("{web}  - {{name: new, bind: 127.0.0.1:{two}, service: shop}}\n"),
    );
    program.signal(Signal::HUP);
    let gone = program.line("no longer listening");
    assert_eq!((&gone["name"], &gone["on"]), (&"old".into(), &format!("127.0.0.1:{one}").into()), "{gone}");
    let come = |lines: Vec<Value>| lines.into_iter().skip(before).find(|line| line["message"] == "listening");
    let come = eventually("the new one is told", || come(program.lines()));
    assert_eq!((&come["name"], &come["on"]), (&"new".into(), &format!("127.0.0.1:{two}").into()), "{come}");
}

#[test]
fn a_limit_of_descriptors_is_warned_of_only_where_it_is_below_what_is_written_or_needed() {
    let upstream = Upstream::start("home");
    let below = "the descriptor limit allows fewer clients than limits.max_connections";
    for (limit, written, message) in [
        ("-n 20000", "", None),
        ("-n 4000", "", None),
        ("-n 4000", ", limits: {max_connections: 5000}", Some(below)),
        ("-n 1500", "", Some(below)),
        ("-n 200", "", Some("the descriptor limit is very low")),
    ] {
        let mut program = Program::new();
        let web = format!("  - {{name: web, bind: 127.0.0.1:{}, service: shop{written}}}\n", program.web);
        configure_small(&program, &upstream, "workers: 2\n", &web);
        program.start_by(program.limited(limit));
        program.line("started");
        let lines = program.lines();
        let about: Vec<&Value> = lines
            .iter()
            .filter(|line| line["message"].as_str().is_some_and(|said| said.contains("descriptor")))
            .collect();
        let Some(message) = message else {
            assert!(about.is_empty() && lines.iter().all(|line| line["level"] != "WARN"), "{lines:?}");
            continue;
        };
        let [line] = about[..] else { panic!("{limit} {written}: {about:?}") };
        assert!(line["message"].as_str().unwrap().starts_with(message), "{limit} {written}: {line}");
        assert_eq!(line["level"], "WARN", "{line}");
        let descriptors: u64 = limit[3..].parse().unwrap();
        assert_eq!(line["limit"], descriptors, "{line}");
        let clients = line["max_clients"].as_u64().unwrap();
        assert!((descriptors / 4..descriptors / 2).contains(&clients), "{line}");
    }
}

#[test]
fn sighup_takes_a_good_file_and_refuses_a_bad_one() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    program.start();
    let before = program.status();
    let endpoint = before.services[0].pools[0].endpoints[0].state.clone();

    program.configure(&home, &standby, "", "balance: random");
    program.signal(Signal::HUP);
    let taken = eventually("the good file is in force", || Some(program.status()).filter(|now| now.generation == 2));
    assert!(taken.epoch > before.epoch);
    let same = &taken.services[0].pools[0].endpoints[0].state;
    assert_eq!((same.id, same.standing), (endpoint.id, endpoint.standing), "health is kept");

    program.configure(&home, &standby, "wrokers: 3", "balance: rnadom");
    program.signal(Signal::HUP);
    let refused = eventually("the bad file is refused", || {
        Some(program.status()).filter(|now| now.last_reload.as_ref().is_some_and(|reload| !reload.ok))
    });
    let told = refused.last_reload.unwrap().messages.join("\n");
    assert!(told.contains("wrokers") && told.contains("rnadom"), "{told}");
    assert_eq!((refused.generation, refused.epoch), (2, taken.epoch));
    eventually("the log tells too", || program.said().contains("wrokers").then_some(()));
    assert_eq!(program.get("/").unwrap(), (200, "home".into()));
}

#[test]
fn after_kill_9_it_stays_on_the_standby_and_the_hold_down_holds() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    program.start();
    program.healthy(&standby);
    home.die();
    program.active("standby");
    eventually("the state is on disk", || {
        fs::read_to_string(program.path("state.json")).ok().filter(|text| text.contains(r#""active":"standby""#))
    });
    let incident = program.status().incidents.pop().unwrap();
    program.signal(Signal::KILL);
    assert!(!program.ended().success());

    home.revive();
    program.start();
    program.healthy(&home);
    let service = program.active("standby");
    assert!(service.hold_down_left_ms.is_some_and(|left| left > 3_000_000), "{service:?}");
    assert_eq!(program.get("/").unwrap(), (200, "standby".into()));
    assert!(program.status().incidents.iter().any(|i| i.id == incident.id), "the incident is remembered");
}

/// What a request came to.
type Answer = io::Result<(u16, String)>;

/// A program with these options that runs and has one request in flight, which home does not answer yet.
fn with_a_slow_request(options: &str) -> (Upstream, Upstream, Program, thread::JoinHandle<Answer>) {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, options, "");
    program.start();
    let web = program.web;
    let slow = thread::spawn(move || get(web, "/slow"));
    eventually("the slow request is in flight", || (home.slow_requests() == 1).then_some(()));
    (home, standby, program, slow)
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_0() {
    let (home, _standby, mut program, slow) = with_a_slow_request("");
    let web = program.web;
    program.signal(Signal::TERM);
    eventually("no new connections", || TcpStream::connect((Ipv4Addr::LOCALHOST, web)).is_err().then_some(()));
    let draining = program.line("draining");
    assert_eq!((&draining["in_flight"], &draining["up_to"]), (&1.into(), &"30s".into()), "{draining}");
    home.open_gate();
    assert_eq!(slow.join().unwrap().unwrap(), (200, "home".into()));
    assert_eq!(program.ended().code(), Some(0));
    let stopped = program.line("stopped: nothing was cut");
    assert_eq!(stopped["finished"], 1, "{stopped}");
}

#[test]
fn sigterm_cuts_what_outlasts_the_drain_and_says_how_many() {
    let (_home, _standby, mut program, slow) = with_a_slow_request("drain_timeout: 200ms");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code(), Some(0));
    assert!(slow.join().unwrap().is_err());
    assert!(program.said().contains(r#""cut":1"#), "{}", program.said());
}

/// A named pipe in the place of the configuration: what reads it waits. Returns once it is being read.
fn being_read(pipe: &Path) -> File {
    // Opening to write waits for a reader.
    File::options().write(true).open(pipe).unwrap()
}

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_stop_during_the_start_is_obeyed_at_once_and_no_other_signal_ends_it() {
    for stop in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut program = Program::new();
        let file = program.path("standfast.yaml");
        make_pipe(&file);
        program.child = Some(program.command(&file).spawn().unwrap());
        let _reading = being_read(&file);
        for harmless in [Signal::HUP, Signal::USR1, Signal::USR2] {
            program.signal(harmless);
        }
        program.signal(stop);
        assert_eq!(program.ended().code(), Some(0), "{stop:?}");
        assert!(program.said().contains("before it had started"), "{}", program.said());
    }
}

#[test]
fn a_stop_during_a_reload_is_obeyed_at_once() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    program.start();
    make_pipe(&program.path("standfast.yaml"));
    program.signal(Signal::HUP);
    let _reading = being_read(&program.path("standfast.yaml"));
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code(), Some(0));
    assert!(program.said().contains("stopped: nothing was cut"), "{}", program.said());
}

#[test]
fn a_further_signal_ends_the_drain() {
    let (_home, _standby, mut program, slow) = with_a_slow_request("drain_timeout: 1h");
    let web = program.web;
    program.signal(Signal::QUIT);
    eventually("no new connections", || TcpStream::connect((Ipv4Addr::LOCALHOST, web)).is_err().then_some(()));
    for harmless in [Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2] {
        program.signal(harmless);
    }
    eventually("the reserved one is told", || program.said().contains("SIGUSR2 is reserved").then_some(()));
    assert!(!slow.is_finished(), "a drain is ended by SIGTERM and SIGINT alone");
    program.signal(Signal::INT);
    assert_eq!(program.ended().code(), Some(0));
    assert!(slow.join().unwrap().is_err());
    assert!(program.said().contains(r#""cut":1"#), "{}", program.said());
}

#[test]
fn usr1_opens_the_access_log_again() {
    let ((home, standby), mut program) = (two(), Program::new());
    let (log, rotated) = (program.path("access.log"), program.path("access.log.1"));
    program.configure(&home, &standby, &format!("access_log: {{path: {}}}", log.display()), "");
    program.start();
    program.get("/before").unwrap();
    let holds = |path: &Path, line: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(line)).then_some(());
    eventually("the first line is written", || holds(&log, "/before"));
    fs::rename(&log, &rotated).unwrap();
    program.signal(Signal::USR1);
    eventually("there is a new file", || log.exists().then_some(()));
    program.get("/after").unwrap();
    eventually("lines go to the new file", || holds(&log, "/after"));
}

/// The first process of a PID namespace of its own, where signals without handlers do nothing. `None`: not permitted here.
fn as_pid_1(command: &Command) -> Option<Command> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
    let permitted = Command::new("unshare").args(unshare.get_args()).arg("true").status();
    if !permitted.is_ok_and(|status| status.success()) {
        return None;
    }
    unshare.arg(command.get_program()).args(command.get_args());
    Some(unshare)
}

fn only_child_of(child: &Child) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    eventually("it has a child", || Pid::from_raw(fs::read_to_string(&path).ok()?.trim().parse().ok()?))
}

#[test]
fn as_pid_1_it_obeys_signals_too() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    let Some(command) = as_pid_1(&program.command(&program.path("standfast.yaml"))) else {
        return eprintln!("not permitted here: unshare --user --pid");
    };
    program.start_by(program.logged(command));
    let first = only_child_of(program.child.as_ref().unwrap());
    for harmless in [Signal::USR1, Signal::USR2] {
        kill_process(first, harmless).unwrap();
    }
    eventually("the reserved one is told", || program.said().contains("SIGUSR2 is reserved").then_some(()));
    kill_process(first, Signal::TERM).unwrap();
    assert_eq!(program.ended().code(), Some(0));
    assert!(program.said().contains("stopped: nothing was cut"), "{}", program.said());
}

#[test]
fn a_limit_on_the_size_of_files_costs_lines_of_the_access_log_only() {
    let ((home, standby), mut program) = (two(), Program::new());
    let log = program.path("access.log");
    program.configure(&home, &standby, &format!("access_log: {{path: {}}}", log.display()), "");
    let mut command = program.limited("-f 32");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    program.start_by(command);
    eventually("lines are lost", || {
        assert_eq!(program.get("/x".repeat(2_000).as_str()).unwrap().0, 200);
        let metrics = program.ask_admin("/metrics")?.1;
        let failed =
            metrics.lines().find(|line| line.starts_with("standfast_access_log_") && line.contains("failed"))?;
        (!failed.ends_with(" 0")).then_some(())
    });
    assert_eq!(program.get("/").unwrap(), (200, "home".into()));
}

#[test]
fn with_few_descriptors_it_serves_or_says_why_it_cannot_start() {
    let (home, standby) = two();
    let mut refused = 0;
    // (What the shell around the tests has open counts, too.)
    for limit in (16..=64).step_by(4) {
        let mut program = Program::new();
        program.configure(&home, &standby, "workers: 3", "");
        program.child = Some(program.limited(&format!("-n {limit}")).spawn().unwrap());
        let ended = eventually("it serves or ends", || {
            let ended = program.child.as_mut().unwrap().try_wait().unwrap();
            let ready = program.ask_admin("/readyz").is_some_and(|answer| answer.0 == 200);
            ended.map(Some).or(ready.then_some(None))
        });
        match ended {
            None => (0..6).for_each(|_| assert_eq!(program.get("/").unwrap().0, 200, "{limit}")),
            Some(status) => {
                let said = program.said();
                assert_eq!(status.code(), Some(1), "{limit}: {said}");
                assert!(
                    said.contains("Too many open files") || said.contains("raise it (ulimit -n"),
                    "{limit}: {said}"
                );
                assert!(!said.contains("panicked"), "{limit}: {said}");
                refused += 1;
            }
        }
    }
    assert!((1..13).contains(&refused), "{refused} of 13 limits were too low");
}

#[test]
fn three_hundred_clients_wait_for_sixty_four_descriptors() {
    let ((home, standby), mut program) = (two(), Program::new());
    program.configure(&home, &standby, "workers: 2", "retry: {hedge: off}\n    timeouts: {stall: off}");
    program.start_by(program.limited("-n 64"));
    let web = program.web;
    let clients: Vec<_> = (0..300).map(|_| thread::spawn(move || get(web, "/slow"))).collect();
    eventually("some are served", || (home.slow_requests() >= 4).then_some(()));
    eventually("the shortage is told", || program.said().contains("descriptors are short").then_some(()));
    for page in ["/livez", "/readyz", "/metrics", "/status"] {
        let answers: Vec<_> = (0..4).map(|_| program.ask_admin(page).map(|answer| answer.0)).collect();
        assert_eq!(answers, [Some(200); 4], "{page}");
    }
    home.open_gate();
    for client in clients {
        assert_eq!(client.join().unwrap().unwrap(), (200, "home".into()));
    }
    // As many that stay when they have their answer: connections between two requests make room.
    let patient: Vec<_> = (0..300).map(|_| thread::spawn(move || kept_alive(web))).collect();
    let _held: Vec<TcpStream> = patient.into_iter().map(|client| client.join().unwrap().unwrap()).collect();
}

/// A connection that has had its answer and stays open.
fn kept_alive(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let head = read_head(&mut stream)?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(stream)
}

/// Longer than the response timeout of the services that are paused, in every stall detection's eyes, and than all probes together.
const PAUSE: Duration = Duration::from_millis(2_500);

/// Starts with a response timeout of 1 s and verdicts that come easily, and has six requests in flight; the program is stopped
/// for [`PAUSE`], and `answered` decides whether home answers before it goes on or afterwards.
fn paused(answered: Answered) {
    let ((home, standby), mut program) = (two(), Program::new());
    let service = "timeouts: {response: 1s}\n    outlier_detection: {consecutive_failures: 3}";
    program.configure(&home, &standby, "", service);
    program.start();
    program.healthy(&home);
    program.healthy(&standby);
    let web = (program.host, program.web).into();
    let methods = ["GET", "POST", "GET", "POST", "GET", "POST"];
    let asking = methods.map(|method| thread::spawn(move || ask(web, method, "/slow")));
    eventually("the requests are in flight", || (home.slow_requests() >= methods.len()).then_some(()));

    program.signal(Signal::STOP);
    if answered == Answered::Meanwhile {
        home.open_gate();
    }
    thread::sleep(PAUSE);
    program.signal(Signal::CONT);
    if answered == Answered::Afterwards {
        eventually("it runs again", || program.ask_admin("/livez"));
        home.open_gate();
    }

    for answer in asking {
        assert_eq!(answer.join().unwrap().unwrap(), (200, "home".into()));
    }
    let pauses = eventually("the pause is counted", || {
        let (_, text) = program.ask_admin("/metrics")?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Some((value("standfast_pauses_total ")?, value("standfast_paused_seconds_total ")?))
            .filter(|(count, _)| *count > 0.0)
    });
    assert!(pauses.1 > 2.0, "{pauses:?}");
    eventually("the log tells of the pause", || program.said().contains("the process was paused").then_some(()));
    let status = program.status();
    assert!(status.incidents.is_empty(), "{:?}", status.incidents);
    assert_eq!(status.services[0].active.as_deref(), Some("home"));
    for endpoint in status.services[0].pools.iter().flat_map(|pool| &pool.endpoints) {
        assert_eq!(endpoint.state.standing.operational, Operational::Healthy, "{endpoint:?}");
    }
    assert!(!program.said().contains("endpoint condemned"), "no verdict came and went");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Meanwhile,
    Afterwards,
}

#[test]
fn answers_that_came_while_the_process_was_paused_are_passed_on() {
    (0..3).for_each(|_| paused(Answered::Meanwhile));
}

#[test]
fn timeouts_that_began_before_a_pause_count_the_time_in_which_the_process_ran() {
    paused(Answered::Afterwards);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let ((home, standby), program) = (two(), Program::new());
    program.configure(&home, &standby, "", "");
    let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, program.web)).unwrap();
    let (status, said) = program.fail(&program.path("standfast.yaml"));
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&format!("127.0.0.1:{} is already in use", program.web)), "{said}");
}

#[test]
fn a_bad_configuration_is_told_whole_and_not_started() {
    let ((home, standby), program) = (two(), Program::new());
    program.configure(&home, &standby, "wrokers: 3", "balance: rnadom");
    let (status, said) = program.fail(&program.path("standfast.yaml"));
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("wrokers") && said.contains("rnadom"), "{said}");
    // As `check` tells it: the line of the file and a caret.
    assert!(said.contains("-->") && said.contains("| wrokers: 3\n") && said.contains("^^^^^^^"), "{said}");
    let checked =
        Command::new(env!("CARGO_BIN_EXE_standfast")).arg("check").arg(program.path("standfast.yaml")).output();
    assert_eq!(String::from_utf8(checked.unwrap().stdout).unwrap(), said);
}

#[test]
fn a_configuration_that_cannot_be_read_is_exit_code_2_and_says_what_to_do() {
    let program = Program::new();
    let (status, said) = program.fail(&program.path("missing.yaml"));
    assert_eq!(status.code(), Some(2));
    assert!(said.contains("missing.yaml") && said.contains("check the path"), "{said}");
}

/// `run` and `check` find their file in the same places, in the same order.
#[test]
fn a_configuration_is_named_by_its_place_by_an_option_or_by_the_environment() {
    let (home, standby) = two();
    let program = Program::new();
    program.configure(&home, &standby, "", "");
    let (good, bad) = (program.path("standfast.yaml"), program.path("bad.yaml"));
    fs::write(&bad, "nonsense: 1\n").unwrap();
    let ask = |command: &str, arguments: &[&Path], variable: Option<&Path>| {
        let mut asked = Command::new(env!("CARGO_BIN_EXE_standfast"));
        asked.arg(command).args(arguments).env_remove("STANDFAST_CONFIG").stdin(Stdio::null());
        asked.envs(variable.map(|path| ("STANDFAST_CONFIG", path)));
        let output = asked.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let option = Path::new("-c");
    for arguments in [&[good.as_path()][..], &[option, &good], &[Path::new("--config"), &good]] {
        let (code, said) = ask("check", arguments, Some(&bad));
        assert_eq!(code, Some(0), "{arguments:?} goes before the environment: {said}");
    }
    assert_eq!(ask("check", &[], Some(&good)).0, Some(0));
    for command in ["run", "check"] {
        for (arguments, variable) in [(&[bad.as_path()][..], None), (&[option, &bad], None), (&[], Some(bad.as_path()))]
        {
            let (code, said) = ask(command, arguments, variable);
            assert!(code == Some(1) && said.contains("nonsense"), "{command} {arguments:?}: {code:?} {said}");
        }
        let (code, said) = ask(command, &[option, &good, &bad], None);
        assert_eq!(code, Some(2), "{said}");
        // (Where the default is there, a machine runs Standfast.)
        if !Path::new("/etc/standfast/standfast.yaml").exists() {
            for empty in [None, Some(Path::new(""))] {
                let (code, said) = ask(command, &[], empty);
                assert_eq!(code, Some(2), "{said}");
                for word in
                    ["STANDFAST_CONFIG", "/etc/standfast/standfast.yaml", "standfast demo", "config/minimal.yaml"]
                {
                    assert!(said.contains(word), "{word}: {said}");
                }
            }
        }
    }
    let (code, said) = ask("check", &[Path::new("--output"), Path::new("json"), &program.path("missing.yaml")], None);
    let value: Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(2) && value["unreadable"] == true, "{said}");
}

#[test]
fn exit_codes_have_one_meaning_in_all_commands() {
    let code = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_standfast")).args(arguments).stdin(Stdio::null()).output();
        output.unwrap().status.code()
    };
    for command in ["run", "check", "demo", "status", "upstream", "completions"] {
        assert_eq!(code(&[command, "--nonsense"]), Some(2), "{command}");
        assert_eq!(code(&[command, "--help"]), Some(0), "{command}");
    }
    assert_eq!((code(&[]), code(&["nonsense"])), (Some(2), Some(2)));
    assert_eq!((code(&["--version"]), code(&["--help"])), (Some(0), Some(0)));
    // Docker reserves 2 in the answer of a health check.
    assert_eq!(code(&["healthcheck", "--nonsense"]), Some(1));
    assert_eq!(code(&["healthcheck", "--help"]), Some(0));
}
