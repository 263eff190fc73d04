//! Commands of `console` blocks: they run in a folder of their own, in the order of the page, and print what the page shows.
//!
//! Every address of the page becomes a free port of this machine, in files and commands alike. What is shown may differ from
//! what is printed in numbers, times and `…`; the output of `standfast check` is compared word for word.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process_group};
use standfast::config;

use super::page::{Page, pages, root};
use crate::waiting::{PATIENCE, STEP, eventually, free_port};

/// Commands that are not run here, by their first words, and why.
const NOT_RUN: [(&str, &str); 12] = [
    ("cargo", "it builds"),
    ("docker", "it needs an engine; tests/compose runs the containers"),
    ("docker-compose", "it needs an engine; tests/compose runs the containers"),
    ("git", "it needs the repository's remote"),
    ("apt-get", "it needs a network"),
    ("sudo", "it changes the machine"),
    ("systemctl", "it changes the machine"),
    ("journalctl", "it reads the machine's journal"),
    ("promtool", "another program; the rules have tests of their own"),
    ("python3", "scripts of the repository, each part of .ci/run"),
    ("bash", "scripts of the repository, each part of .ci/run"),
    ("standfast demo", "it has a test of its own in .ci/run"),
];
/// Programs that may be missing on a machine: then their commands are skipped, and that is said.
const MAY_BE_MISSING: [&str; 2] = ["curl", "jq"];

#[test]
fn commands_print_what_the_page_shows() {
    let mut commands = 0;
    for page in &pages() {
        commands += Session::of(page);
    }
    assert!(commands > 3, "only {commands} commands were run");
}

// ---- what a page says -------------------------------------------------------------------------------------------------

/// A command with what the page shows of its output.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of a console block.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continues = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
            (None, Some(step)) if continues => step.command += &format!("\n{line}"),
            (None, Some(step)) if !line.trim().is_empty() => step.shown.push(line.to_owned()),
            (None, Some(_)) => {}
            (None, None) => panic!("a console block begins with `$ `, not with {line:?}"),
        }
        continues = line.ends_with('\\');
    }
    steps
}

impl Step {
    /// The command without the remark behind it.
    fn plain(&self) -> &str {
        self.command.split("  #").next().unwrap_or_default().trim_end()
    }

    fn begins_with(&self, words: &str) -> bool {
        self.plain().strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    }

    fn is_run(&self) -> bool {
        !NOT_RUN.iter().any(|(words, _)| self.begins_with(words))
    }

    fn only_reads(&self) -> bool {
        self.begins_with("curl") || self.begins_with("standfast status")
    }

    fn is_server(&self) -> bool {
        self.plain().ends_with('&') || self.begins_with("standfast run") || self.begins_with("standfast upstream")
    }
}

// ---- addresses --------------------------------------------------------------------------------------------------------

/// The addresses of a page, and the ports that stand for them.
#[derive(Default)]
struct Addresses(HashMap<(String, String), u16>);

impl Addresses {
    /// The text with `127.0.0.1:PORT` in the place of each address.
    fn replace(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(colon) = rest.find(':') {
            let host = host_before(&rest[..colon]);
            let digits = rest[colon + 1..].bytes().take_while(u8::is_ascii_digit).count();
            let end = colon + 1 + digits;
            if host.is_empty() || !(2..=5).contains(&digits) {
                out.push_str(&rest[..=colon]);
                rest = &rest[colon + 1..];
                continue;
            }
            let here = ["0.0.0.0", "127.0.0.1", "localhost", "[::]", "[::1]", "*"].contains(&host);
            let machine = if here { "here" } else { host };
            let key = (machine.to_owned(), rest[colon + 1..end].to_owned());
            let port = *self.0.entry(key).or_insert_with(free_port);
            out.push_str(&rest[..colon - host.len()]);
            out.push_str(&format!("127.0.0.1:{port}"));
            rest = &rest[end..];
        }
        out + rest
    }
}

/// The address at the end of a text: IPv4, or all addresses, or this machine.
fn host_before(text: &str) -> &str {
    if let Some(name) = ["localhost", "[::1]", "[::]", "*"].into_iter().find(|name| text.ends_with(name)) {
        return &text[text.len() - name.len()..];
    }
    let begin = text.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |at| at + 1);
    // (What stands before it may be longer than a byte.)
    let begin = (begin..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let host = &text[begin..];
    if host.parse::<Ipv4Addr>().is_ok() { host } else { "" }
}

// ---- output -----------------------------------------------------------------------------------------------------------

/// One space between words; `loose`: numbers and times are all alike.
fn normal(line: &str, loose: bool) -> String {
    let words = line.split_whitespace().map(|word| if loose { without_numbers(word) } else { word.to_owned() });
    let mut line: Vec<String> = words.collect();
    // `1m 3s` is one time.
    line.dedup_by(|a, b| a == b && a == "0");
    line.join(" ")
}

/// `12ms` becomes `0`, and so does `127.0.0.1:8080`; `app-1` stays.
fn without_numbers(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(begin);
        out.push_str(before);
        let end = number.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ':')).unwrap_or(number.len());
        let part_of_a_name = out.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'));
        if part_of_a_name {
            out.push_str(&number[..end]);
            rest = &number[end..];
            continue;
        }
        out.push('0');
        rest = &number[end..];
        let unit = ["ms", "us", "ns", "s", "m", "h", "d"].into_iter().find(|unit| {
            rest.strip_prefix(unit).is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
        });
        rest = &rest[unit.map_or(0, str::len)..];
    }
    out + rest
}

/// Is the line printed? `…` stands for anything.
fn is_printed(shown: &str, output: &str, loose: bool) -> bool {
    let shown = normal(shown, loose);
    let parts: Vec<&str> = shown.split('…').map(str::trim).collect();
    output.lines().map(|line| normal(line, loose)).any(|line| {
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        if parts.len() == 1 {
            return line == shown;
        }
        let mut rest = match line.strip_prefix(first) {
            Some(rest) if rest.ends_with(last) => rest,
            _ => return false,
        };
        parts[1..].iter().all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    })
}

// ---- a shell ----------------------------------------------------------------------------------------------------------

/// A shell, and every process that it has started; they end with it.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// Of the last command.
    output: String,
}

impl Shell {
    fn start(folder: &Path, admin: &str) -> Shell {
        let programs = folder.join(".bin");
        fs::create_dir(&programs).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_standfast"), programs.join("standfast")).expect("a link");
        symlink(root().join("config"), folder.join("config")).expect("a link");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.current_dir(folder).env("PATH", format!("{}:{path}", programs.display()));
        command.env("STANDFAST_ADMIN", admin).env_remove("STANDFAST_LOG").env_remove("STANDFAST_CONFIG");
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        let (stdin, stdout) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.map_while(|line| send.send(line).ok()).for_each(drop);
        });
        let mut shell = Shell { child, stdin, lines, output: String::new() };
        shell.write("exec 2>&1\n");
        shell
    }

    fn write(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).expect("the shell reads");
        self.stdin.flush().expect("the shell reads");
    }

    /// Runs a command to its end; its exit code.
    fn run(&mut self, command: &str) -> i32 {
        const END: &str = "end of the command:";
        self.output.clear();
        self.write(&format!("{{ {command}\n}} </dev/null; printf '\\n{END} %s\\n' \"$?\"\n"));
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{command}: it does not end\n{}", self.output));
            if let Some((before, code)) = line.split_once(END) {
                self.output.push_str(before);
                return code.trim().parse().expect("an exit code");
            }
            self.output.push_str(&line);
            self.output.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

// ---- a page -----------------------------------------------------------------------------------------------------------

struct Session<'p> {
    page: &'p Page,
    folder: tempfile::TempDir,
    shell: Shell,
    addresses: Addresses,
    /// Servers that it has started.
    servers: usize,
}

impl Session<'_> {
    /// Goes through a page; how many commands it has run.
    fn of(page: &Page) -> usize {
        let blocks = || page.blocks.iter().filter(|block| block.language == "console");
        if !blocks().flat_map(|block| steps(&block.text)).any(|step| step.is_run()) {
            return 0;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut addresses = Addresses::default();
        let admin = addresses.replace("127.0.0.1:9901");
        let shell = Shell::start(folder.path(), &admin);
        let mut session = Session { page, folder, shell, addresses, servers: 0 };
        let mut commands = 0;
        for block in &page.blocks {
            let text = session.addresses.replace(&block.text);
            for name in block.notes("file") {
                fs::write(session.folder.path().join(name), &text).expect("the file is written");
            }
            if block.language == "console" {
                let last: i32 = block.notes("exits").next().map_or(0, |code| code.parse().expect("an exit code"));
                let steps = steps(&text);
                // What follows a command that is not run needs what that would have done.
                for (index, step) in steps.iter().enumerate().take_while(|(_, step)| step.is_run()) {
                    let expected = if index + 1 == steps.len() { last } else { 0 };
                    commands += usize::from(session.step(step, expected, block.line));
                }
            }
        }
        commands
    }

    /// `false`: it cannot be run on this machine.
    fn step(&mut self, step: &Step, expected: i32, line: usize) -> bool {
        let place = format!("{}:{line}: {}", self.page.path, step.command);
        let program = step.plain().split_whitespace().next().unwrap_or_default();
        if MAY_BE_MISSING.contains(&program) && self.shell.run(&format!("command -v {program} >/dev/null")) != 0 {
            eprintln!("SKIPPED: {place}: {program} is not installed");
            return false;
        }
        self.servers += usize::from(step.is_server());
        let file = self.folder.path().join(format!(".printed.{}", self.servers));
        if step.is_server() {
            // (What it prints has a file of its own, so that it does not stand amid what others print.)
            let command = step.plain().trim_end_matches('&');
            self.shell.run(&format!("{command} >{} 2>&1 &", file.display()));
            self.wait_for_server(step, &place);
        } else {
            let code = self.shell.run(&step.command);
            assert_eq!(code, expected, "{place}\n{}", self.shell.output);
        }
        let loose = !step.begins_with("standfast check");
        if step.only_reads() {
            // What the command before has begun may take a moment.
            let mut tries = 0..400;
            while !step.shown.iter().all(|shown| is_printed(shown, &self.shell.output, loose)) && tries.next().is_some()
            {
                std::thread::sleep(STEP);
                self.shell.run(&step.command);
            }
        }
        for shown in &step.shown {
            if step.is_server() {
                let printed = || fs::read_to_string(&file).is_ok_and(|text| is_printed(shown, &text, loose));
                eventually(&format!("{place}\n{shown}"), || printed().then_some(()));
            } else {
                let printed = &self.shell.output;
                assert!(
                    is_printed(shown, printed, loose),
                    "{place}\nthis is not printed:\n{shown}\nbut this:\n{printed}"
                );
            }
        }
        true
    }

    /// Waits until each of its ports accepts, and until it is ready.
    fn wait_for_server(&mut self, step: &Step, place: &str) {
        let words: Vec<&str> = step.plain().split_whitespace().collect();
        let (mut ports, mut admin) = (Vec::new(), None);
        if step.begins_with("standfast run") {
            let file =
                words.iter().find(|word| word.ends_with(".yaml")).unwrap_or_else(|| panic!("{place}: which file?"));
            let loaded = config::load(&self.folder.path().join(file));
            let config = loaded.unwrap_or_else(|problems| panic!("{place}\n{}", problems.explain(false))).config;
            ports.extend(config.listeners.iter().flat_map(|listener| &listener.bind).map(|bind| bind.port()));
            admin = config.admin.and_then(|admin| admin.bind).map(|bind| bind.port());
        } else if step.begins_with("standfast upstream") {
            let values = words.windows(2).filter(|pair| pair[0] == "--http" || pair[0] == "--tcp").map(|pair| pair[1]);
            ports.extend(values.filter_map(|address| address.rsplit_once(':')?.1.parse::<u16>().ok()));
        }
        for port in ports.into_iter().chain(admin) {
            let connects = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
            eventually(&format!("{place}: port {port}"), connects);
        }
        if let Some(port) = admin {
            let admin = format!("127.0.0.1:{port}");
            eventually(&format!("{place}: it is not ready"), || {
                let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
                let asked = command.args(["healthcheck", "--admin", &admin]).output().expect("it runs");
                asked.status.success().then_some(())
            });
        }
    }
}

// ---- this file itself -------------------------------------------------------------------------------------------------

#[test]
fn commands_and_their_output_are_told_apart() {
    let found = steps("$ one \\\n  two\nout\n\n$ three     # why\n");
    assert_eq!(found[0], Step { command: "one \\\n  two".to_owned(), shown: vec!["out".to_owned()] });
    assert_eq!((found[1].plain(), found[1].shown.len()), ("three", 0));
    assert!(!steps("$ cargo test  # all\n")[0].is_run() && steps("$ cargo-x\n")[0].is_run());
}

#[test]
fn output_is_compared_without_its_numbers() {
    let output = "ready  up 350ms  pid 77\nhello from app-1: /x\na 12 of 13 b\n";
    for shown in ["ready up 1m 3s pid 4711", "hello from app-1: /x", "ready … pid 1", "…of 1 b"] {
        assert!(is_printed(shown, output, true), "{shown}");
    }
    for shown in ["hello from app-2: /x", "ready", "ready up 1s pid", "ready … up", "… nothing"] {
        assert!(!is_printed(shown, output, true), "{shown}");
    }
    assert!(is_printed("a 12 of 13 b", output, false) && !is_printed("a 12 of 14 b", output, false));
}

#[test]
fn one_address_is_one_port() {
    let mut addresses = Addresses::default();
    let text =
        addresses.replace("bind: 0.0.0.0:8080 → http://127.0.0.1:8080/x [10.0.1.1:8080, 10.0.1.2:8080] a: 12:30");
    let ports: Vec<&str> = text.split("127.0.0.1:").skip(1).map(|rest| &rest[..5]).collect();
    assert_eq!(ports.len(), 4, "{text}");
    assert!(ports[0] == ports[1] && ports[0] != ports[2] && ports[2] != ports[3], "{text}");
    assert!(text.ends_with("] a: 12:30"), "{text}");
}
