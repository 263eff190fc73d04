//! Programs that the configuration names, such as a check by `exec`: run without a shell, in a process group of their own, with a
//! clean environment, a deadline and bounded output.
//!
//! When the program exits, at the deadline and when the future is dropped, the whole group is killed: children that it left behind
//! end with it. (A descendant that begins a session of its own by `setsid` is out of reach; it cannot delay the result.) The group
//! is killed while the program is still a zombie of ours, so that its number cannot be another one's yet.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process_group, waitid, waitpgid};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::sys::{clock, process};
use crate::text::shortened;

/// Bytes of output that are kept; what comes beyond them is read and dropped, so that the program does not wait.
pub(super) const OUTPUT: usize = 64 * 1024;

/// Where commands find the programs that they start.
pub(super) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes that are read at once.
const PIECE: usize = 4096;

/// How often it is looked whether a program has ended where the system has no descriptor for that.
const LOOK: Duration = Duration::from_millis(10);

/// How often descendants that were killed are looked for, where they become children of this process.
const ORPHAN_LOOKS: u32 = 20;

/// A program, its arguments and its environment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    /// The program, by its whole path.
    pub(super) program: PathBuf,
    /// Its arguments, as they are: no shell reads them.
    pub(super) arguments: Vec<OsString>,
    /// All of its environment beside `PATH` and `LANG`.
    pub(super) environment: Vec<(String, String)>,
}

/// What is wrong with a program that is to be run, and what to do. Blocks.
pub(super) fn problem(program: &Path) -> Option<(String, &'static str)> {
    let found = match std::fs::metadata(program) {
        Ok(found) => found,
        Err(error) => return Some((format!("the program cannot be run: {error}"), "install it, or correct the path")),
    };
    let mode = found.permissions().mode() & 0o7777;
    if !found.is_file() {
        return Some(("this is no program".to_owned(), "write the path of a program"));
    }
    if rustix::fs::access(program, Access::EXEC_OK).is_err() {
        return Some(("this may not be executed".to_owned(), "make it executable: `chmod +x`"));
    }
    (mode & 0o002 != 0)
        .then(|| (format!("everybody can write this program (mode {mode:04o})"), "take the right away: `chmod o-w`"))
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandEnd {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it: its number.
    Signalled(i32),
    /// It ran at its deadline, and was killed.
    TimedOut,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub(super) struct CommandResult {
    /// How it ended.
    pub(super) end: CommandEnd,
    /// The first [`OUTPUT`] bytes of what it and its children wrote to standard output and standard error.
    output: Vec<u8>,
}

impl CommandResult {
    /// The first line of the output that is not blank, fit to be shown, at most so many characters of it.
    pub(super) fn first_line(&self, most: usize) -> Option<String> {
        let text = String::from_utf8_lossy(&self.output);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        Some(shortened(line, most))
    }
}

impl Command {
    /// Runs it for at most so long. Cancel safe: what runs then is killed.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) async fn run(&self, limit: Duration) -> io::Result<CommandResult> {
        self.run_in(limit, None).await
    }

    /// The same; `place` is given back when all of it has ended.
    pub(super) async fn run_in(
        &self,
        limit: Duration,
        place: Option<OwnedSemaphorePermit>,
    ) -> io::Result<CommandResult> {
        let deadline = clock::now().after(limit);
        let command = self.clone();
        // (A program on a file system that does not answer must not stop this thread.)
        let started = tokio::task::spawn_blocking(move || command.start(place)).await.map_err(io::Error::other)?;
        let (mut group, pipe) = started?;
        let mut output = Vec::new();
        let is_over = tokio::select! {
            biased;
            () = group.ended() => true,
            () = read_on(&pipe, &mut output) => false,
            () = clock::sleep_until(deadline) => false,
        };
        group.kill();
        let status = if is_over { group.reap()? } else { None };
        drop(group);
        read_rest(&pipe, &mut output);
        let end = match status {
            None => CommandEnd::TimedOut,
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => CommandEnd::Exited(code),
                (None, signal) => CommandEnd::Signalled(signal.unwrap_or_default()),
            },
        };
        Ok(CommandResult { end, output })
    }

    /// Starts it. Blocks until the system has loaded the program. Must run inside a runtime.
    fn start(&self, place: Option<OwnedSemaphorePermit>) -> io::Result<(ProcessGroup, Receiver)> {
        static ONCE: Once = Once::new();
        ONCE.call_once(process::keep_inherited_descriptors);
        let (reader, writer) = io::pipe()?;
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().env("PATH", SEARCH_PATH).env("LANG", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let group = ProcessGroup::of(command.spawn()?, place);
        Ok((group, Receiver::from_owned_fd(reader.into())?))
    }
}

/// Reads what comes, without an end.
async fn read_on(pipe: &Receiver, into: &mut Vec<u8>) {
    loop {
        match pipe.readable().await.and_then(|()| read_piece(pipe, into)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // (It has closed its output, and may go on.)
            Ok(0) | Err(_) => return std::future::pending().await,
            Ok(_) => tokio::task::yield_now().await,
        }
    }
}

/// Reads what has come, at most as much as can be kept.
fn read_rest(pipe: &Receiver, into: &mut Vec<u8>) {
    let mut piece = [0; PIECE];
    // (Not by the runtime, which may not have heard of it yet.)
    while let Ok(count @ 1..) = rustix::io::read(pipe, &mut piece) {
        keep(&piece[..count], into);
        if into.len() == OUTPUT {
            return;
        }
    }
}

fn read_piece(pipe: &Receiver, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; PIECE];
    let count = pipe.try_read(&mut piece)?;
    keep(&piece[..count], into);
    Ok(count)
}

fn keep(piece: &[u8], into: &mut Vec<u8>) {
    let room = OUTPUT.saturating_sub(into.len());
    into.extend_from_slice(&piece[..piece.len().min(room)]);
}

/// A running command with its descendants. Killed when dropped; what is left to be waited for then is waited for in a task of its own.
struct ProcessGroup {
    /// Its first process; `None`: it is reaped.
    first: Option<FirstProcess>,
    /// Its number, and that of its first process.
    id: Pid,
    /// Of the commands that may run at once.
    place: Option<OwnedSemaphorePermit>,
}

struct FirstProcess {
    child: Child,
    /// Becomes readable when it ends; `None`: the system has no such descriptor.
    end: Option<AsyncFd<OwnedFd>>,
}

impl FirstProcess {
    /// It has ended, and is not reaped yet. Cancel safe.
    async fn ended(&self) {
        while !self.has_ended() {
            match &self.end {
                Some(end) => match end.readable().await {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => tokio::time::sleep(LOOK).await,
                },
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), look), Ok(None) | Err(Errno::INTR))
    }
}

impl ProcessGroup {
    fn of(child: Child, place: Option<OwnedSemaphorePermit>) -> ProcessGroup {
        let id = Pid::from_child(&child);
        ProcessGroup { first: Some(FirstProcess { end: process::end_of_child(&child), child }), id, place }
    }

    /// Its first process has ended. Cancel safe.
    async fn ended(&self) {
        if let Some(first) = &self.first {
            first.ended().await;
        }
    }

    /// All of it, as long as its first process is not reaped. (Where all has ended there is nothing to kill.)
    fn kill(&self) {
        if self.first.is_some() {
            let _ = kill_process_group(self.id, Signal::KILL);
        }
    }

    /// The result of its first process, if that has ended.
    fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(first) = &mut self.first else { return Ok(None) };
        let status = first.child.try_wait()?;
        if status.is_some() {
            self.first = None;
        }
        Ok(status)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
        let (first, id, place) = (self.first.take(), self.id, self.place.take());
        if let (true, Ok(runtime)) = (first.is_some() || getpid().is_init(), Handle::try_current()) {
            runtime.spawn(async move {
                if let Some(mut first) = first {
                    first.ended().await;
                    // (It was killed: what it would have said is of no interest.)
                    let _ = first.child.try_wait();
                }
                bury_orphans(id).await;
                drop(place);
            });
        }
    }
}

/// Where this process is the first of its system (a container without an init), orphans of the group become its children, and are
/// to be waited for. Elsewhere there are none.
async fn bury_orphans(group: Pid) {
    for pause in 1..=ORPHAN_LOOKS {
        loop {
            match waitpgid(group, WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        tokio::time::sleep(LOOK * pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// A command that is this script.
    fn script(folder: &Path, text: &str) -> Command {
        let program = folder.join("script");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Command { program, arguments: Vec::new(), environment: Vec::new() }
    }

    const LONG: Duration = Duration::from_secs(20);

    async fn ran(text: &str, limit: Duration) -> CommandResult {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), text).run(limit).await.unwrap()
    }

    /// Is there a process with this number that is more than a zombie of another one?
    fn lives(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    /// Children of this process that have ended and are not reaped.
    fn zombies(of: &str) -> Vec<String> {
        let own = std::process::id().to_string();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let stats = all.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .filter(|stat| {
                let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
                let mut rest = rest.split_whitespace();
                name.contains(of) && rest.next() == Some("Z") && rest.next() == Some(&own)
            })
            .collect()
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }

    #[tokio::test]
    async fn codes_signals_and_the_first_line_are_told() {
        let result = ran("echo; echo '  all is well '; echo more; exit 0", LONG).await;
        assert_eq!((result.end, result.first_line(80).as_deref()), (CommandEnd::Exited(0), Some("all is well")));
        let result = ran("echo to stderr >&2; exit 7", LONG).await;
        assert_eq!((result.end, result.first_line(5).as_deref()), (CommandEnd::Exited(7), Some("to st…")));
        let result = ran("kill -9 $$", LONG).await;
        assert_eq!((result.end, result.first_line(80)), (CommandEnd::Signalled(9), None));
        let result = ran("printf '\\033[2J\\377\\n'", LONG).await;
        assert_eq!(result.first_line(80).as_deref(), Some("\u{fffd}[2J\u{fffd}"));
    }

    #[tokio::test]
    async fn its_environment_is_clean_and_its_input_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = script(folder.path(), "cat; pwd; env | sort | tr '\\n' ' '");
        command.environment.push(("TOKEN".to_owned(), "5432".to_owned()));
        let result = command.run(LONG).await.unwrap();
        let text = String::from_utf8(result.output).unwrap();
        assert_eq!(text, format!("/\nLANG=C.UTF-8 PATH={SEARCH_PATH} PWD=/ TOKEN=5432 "));
    }

    #[tokio::test]
    async fn arguments_are_read_by_no_shell() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = script(folder.path(), "printf '<%s>' \"$@\"");
        command.arguments = ["$(id)", "a b", "*", ";ls", ""].map(OsString::from).to_vec();
        let result = command.run(LONG).await.unwrap();
        assert_eq!(String::from_utf8(result.output).unwrap(), "<$(id)><a b><*><;ls><>");
    }

    #[tokio::test]
    async fn it_has_no_descriptors_but_the_three() {
        let open = File::open("/dev/null").unwrap();
        // One that was inherited would be inherited again.
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        process::keep_inherited_descriptors();
        let result = ran("ls /proc/self/fd | tr '\\n' ' '", LONG).await;
        // (The last one is the folder that `ls` reads.)
        assert_eq!(result.first_line(80).as_deref(), Some("0 1 2 3"));
    }

    #[tokio::test]
    async fn at_the_deadline_children_of_children_are_killed_too() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let text = format!(
            "echo about to hang; (sh -c 'echo $$ >> {0}; sleep 600 & echo $! >> {0}; wait' & wait) & echo $! >> {0}; wait",
            pids.display()
        );
        let command = script(folder.path(), &text);
        let start = clock::now();
        let result = command.run(Duration::from_millis(700)).await.unwrap();
        assert!(clock::now().since(start) < Duration::from_secs(10));
        assert_eq!((result.end, result.first_line(80).as_deref()), (CommandEnd::TimedOut, Some("about to hang")));
        let pids: Vec<String> = fs::read_to_string(pids).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(pids.len(), 3);
        until("all are gone", || !pids.iter().any(|pid| lives(pid))).await;
        until("no zombie", || zombies("script").is_empty()).await;
    }

    #[tokio::test]
    async fn children_that_are_left_behind_neither_delay_the_result_nor_live_on() {
        let result = ran("sleep 600 & echo $!; exit 1", LONG).await;
        assert_eq!(result.end, CommandEnd::Exited(1));
        let pid = result.first_line(80).unwrap();
        until("it is gone", || !lives(&pid)).await;
    }

    #[tokio::test]
    async fn a_session_of_its_own_delays_nothing() {
        let start = clock::now();
        let result = ran("setsid sleep 5 & echo fine", LONG).await;
        assert_eq!((result.end, result.first_line(80).as_deref()), (CommandEnd::Exited(0), Some("fine")));
        assert!(clock::now().since(start) < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn output_without_an_end_is_read_and_dropped() {
        let result = ran("yes 'more and more' & sleep 0.3; exit 3", LONG).await;
        assert_eq!((result.end, result.output.len()), (CommandEnd::Exited(3), OUTPUT));
        let result = ran("head -c 1048576 /dev/zero; exit 2", LONG).await;
        assert_eq!((result.end, result.output.len()), (CommandEnd::Exited(2), OUTPUT));
        let result = ran("exec yes", Duration::from_millis(300)).await;
        assert_eq!((result.end, result.output.len()), (CommandEnd::TimedOut, OUTPUT));
        let result = ran("exec >&- 2>&-; sleep 0.2; exit 4", LONG).await;
        assert_eq!(result.end, CommandEnd::Exited(4));
    }

    #[tokio::test]
    async fn what_is_dropped_is_killed_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = script(folder.path(), &format!("echo $$ > {}; sleep 600 & wait", pid.display()));
        let task = tokio::spawn(async move { command.run(LONG).await.is_ok() });
        let read = || fs::read_to_string(&pid).unwrap_or_default();
        until("it runs", || read().ends_with('\n')).await;
        assert!(lives(&read()));
        task.abort();
        until("it is reaped", || !Path::new(&format!("/proc/{}", read().trim())).exists()).await;
    }

    #[tokio::test]
    async fn a_hundred_commands_leave_no_descriptor() {
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let folder = tempfile::tempdir().unwrap();
        let command = script(folder.path(), "exit 0");
        command.run(LONG).await.unwrap();
        let before = open();
        for _ in 0..100 {
            command.run(LONG).await.unwrap();
        }
        // (Other tests of this process open and close some meanwhile.)
        until("as many as before", || open() < before + 20).await;
        assert!(zombies("script").is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = script(folder.path(), "exit 0");
        fs::set_permissions(&command.program, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(command.run(LONG).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        command.program = folder.path().join("nothing");
        assert_eq!(command.run(LONG).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
