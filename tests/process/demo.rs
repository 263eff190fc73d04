//! `standfast demo` and `standfast upstream` as a person meets them: at a terminal, and without one.

use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::*;

/// A demo at a terminal of its own.
struct Terminal {
    program: Program,
    person: File,
    /// Keeps the terminal alive after the program's end.
    line: File,
    before: String,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start(columns: u16, rows: u16, environment: &[(&str, &str)]) -> Terminal {
        let terminal = Terminal::unread(columns, rows, environment);
        let (mut output, seen) = (terminal.person.try_clone().unwrap(), terminal.shown.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        terminal
    }

    /// Nothing takes what it shows.
    fn unread(columns: u16, rows: u16, environment: &[(&str, &str)]) -> Terminal {
        let person: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let line = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&line, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let before = settings(&line);
        let mut program = Program::new();
        let any = "127.0.0.1:0";
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        command.args(["demo", "--http", any, "--tcp", any, "--admin", any]);
        command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
        let end = || line.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        program.child = Some(command.spawn().unwrap());
        Terminal { program, person: File::from(person), line, before, shown: Arc::default() }
    }

    fn types(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    fn all(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// The last whole frame, without what moves the cursor or gives colour.
    fn screen(&self) -> Option<String> {
        let all = self.all();
        let mut frames = all.rsplit("\u{1b}[?25l\u{1b}[H");
        let _unfinished = frames.next()?;
        let mut text = frames.next()?.to_owned();
        for code in ["[0m", "[1m", "[31m", "[32m", "[33m", "[K", "[J", "[?25h"] {
            text = text.replace(&format!("\u{1b}{code}"), "");
        }
        Some(text.replace("\r\n", "\n"))
    }

    fn shows(&self, what: &str) -> String {
        eventually(what, || self.screen().filter(|screen| screen.contains(what)))
    }

    /// It ended well, and the terminal is as it was.
    fn left_clean(&mut self) {
        assert_eq!(self.program.ended().code(), Some(0), "{}", self.all());
        assert_eq!(settings(&self.line), self.before);
        eventually("the first screen is back", || self.all().contains("\u{1b}[?25h\u{1b}[?1049l").then_some(()));
    }
}

fn settings(line: &File) -> String {
    let Termios { input_modes, output_modes, local_modes, special_codes, .. } = tcgetattr(line).unwrap();
    format!("{input_modes:?} {output_modes:?} {local_modes:?} {special_codes:?}")
}

#[test]
fn at_a_terminal_a_crash_is_seen_and_no_safe_request_fails() {
    let mut terminal = Terminal::start(80, 24, &[]);
    terminal.shows("north serves");
    terminal.shows("type crash");
    terminal.types("crsh\u{7f}\u{7f}\u{7f}rash\r");
    let screen = terminal.shows("last switch: failover north → south");
    assert!(screen.contains("sent   0 failed"), "{screen}");
    terminal.shows("south serves");
    terminal.types("revive\r");
    terminal.shows("last switch: failback south → north");
    terminal.types("help\r");
    terminal.shows("kill -STOP");
    terminal.types("\r");
    let screen = terminal.shows("north serves");
    assert!(screen.contains("sent   0 failed"), "{screen}");
    for line in screen.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    terminal.types("quit\r");
    terminal.left_clean();
    let all = terminal.all();
    let (_, after) = all.rsplit_once("\u{1b}[?1049l").unwrap();
    assert!(after.contains("failover north → south: first answer after"), "{after}");
}

#[test]
fn a_terminal_is_left_clean_by_a_signal_too_and_resized_and_colourless() {
    let mut terminal = Terminal::start(40, 24, &[("NO_COLOR", "1")]);
    terminal.shows("north serves");
    tcsetwinsize(&terminal.line, Winsize { ws_col: 100, ws_row: 10, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    terminal.shows("PROCESS");
    assert!(terminal.screen().unwrap().lines().count() <= 10);
    assert!(!terminal.all().contains("\u{1b}[32m"), "a colour");
    terminal.program.signal(Signal::TERM);
    terminal.left_clean();
}

#[test]
fn a_terminal_that_takes_nothing_does_not_hold_up_the_end() {
    let mut terminal = Terminal::unread(200, 60, &[]);
    let pending = || rustix::io::ioctl_fionread(&terminal.person).unwrap();
    eventually("it paints", || (pending() > 0).then_some(()));
    // As long as more comes, it is not full.
    let mut before = 0;
    eventually("the terminal is full", || {
        thread::sleep(Duration::from_millis(600));
        let (now, then) = (pending(), before);
        before = now;
        (now == then).then_some(())
    });
    terminal.program.signal(Signal::TERM);
    assert_eq!(terminal.program.ended().code(), Some(0));
    assert_eq!(settings(&terminal.line), terminal.before);
}

#[test]
fn a_terminal_or_a_reader_that_is_gone_ends_the_demo_in_order() {
    let Terminal { mut program, person, line, shown, .. } = Terminal::start(80, 24, &[]);
    eventually("it paints", || shown.lock().unwrap().contains("north serves").then_some(()));
    drop((person, line));
    program.signal(Signal::HUP);
    assert_eq!(program.ended().code(), Some(0));
    let any = "127.0.0.1:0";
    let mut program = Program::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.args(["demo", "--http", any, "--tcp", any, "--admin", any]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = program.child.insert(command.spawn().unwrap());
    let (mut typed, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    output.read_exact(&mut [0; 10]).unwrap();
    drop(output);
    typed.write_all(b"help\ncrash\nquit\n").unwrap();
    assert_eq!(program.ended().code(), Some(0));
}

#[test]
fn without_a_terminal_it_tells_line_by_line() {
    let any = "127.0.0.1:0";
    let mut program = Program::new();
    let said = File::create(program.path("said")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.args(["demo", "--load", "off", "--http", any, "--tcp", any, "--admin", any]);
    command.env("TERM", "xterm").stdin(Stdio::piped()).stdout(said.try_clone().unwrap()).stderr(said);
    let child = program.child.insert(command.spawn().unwrap());
    let mut typed = child.stdin.take().unwrap();
    typed.write_all(b"crash north\nstatus\n").unwrap();
    eventually("the crash is told", || program.said().contains("north-1, north-2: crashed").then_some(()));
    eventually("the failover is told", || program.said().contains("failover north → south").then_some(()));
    typed.write_all(b"nonsense\n").unwrap();
    eventually("a wrong word is answered", || program.said().contains("`nonsense` is no command").then_some(()));
    typed.write_all(b"quit\n").unwrap();
    assert_eq!(program.ended().code(), Some(0));
    let said = program.said();
    assert!(said.contains("SERVICE  ACTIVE POOL") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn the_demo_and_its_upstream_stop_in_order_and_outlive_signals_that_mean_nothing() {
    let any = "127.0.0.1:0";
    let demo = ["demo", "--http", any, "--tcp", any, "--admin", any];
    for (arguments, ready) in [(&demo[..], "Standfast demo"), (&["upstream", "--http", any], "answers on")] {
        for stop in [Signal::TERM, Signal::QUIT, Signal::HUP] {
            let mut program = Program::new();
            let said = File::create(program.path("said")).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
            command.args(arguments).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
            program.child = Some(command.spawn().unwrap());
            eventually(ready, || program.said().contains(ready).then_some(()));
            for harmless in [Signal::USR1, Signal::USR2, stop] {
                program.signal(harmless);
            }
            assert_eq!(program.ended().code(), Some(0), "{arguments:?} {stop:?}");
        }
    }
}
