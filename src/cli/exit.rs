//! Exit codes and the texts of `--help` that name them: one table for every command.

use std::process::ExitCode;

/// What an exit code says. A code has one meaning in every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The command did what it was asked for, or the answer is yes.
    Done = 0,
    /// The answer is no: problems were found, a service is not served, the proxy could not start.
    No = 1,
    /// The question could not be asked: wrong command line, a file that cannot be read, an instance that cannot be reached.
    NotAsked = 2,
}

impl ExitReason {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitReason> for ExitCode {
    fn from(exit: ExitReason) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// What `--help` of a command says below its options.
pub struct HelpText {
    /// The command, as it is typed.
    pub command: &'static str,
    /// Command lines and what each does.
    pub examples: &'static [(&'static str, &'static str)],
    /// What each exit code says here, in the order 0, 1, 2; empty = the command never ends with it.
    pub codes: [&'static str; 3],
    /// Environment variables that the command reads.
    pub variables: &'static [(&'static str, &'static str)],
}

const CONFIG: (&str, &str) = ("STANDFAST_CONFIG", "The configuration file, when no FILE is given");
const ADMIN: (&str, &str) = ("STANDFAST_ADMIN", "The admin port, when --admin is not given");
const LOG: (&str, &str) = ("STANDFAST_LOG", "Replaces log.filter, for example `debug`");
const ROOTS: (&str, &str) = ("SSL_CERT_FILE, SSL_CERT_DIR", "Replace the system's CA certificates");
const NO_COLOR: (&str, &str) = ("NO_COLOR", "When set: no colour");

/// The whole program: what all commands have in common.
pub const PROGRAM: HelpText = HelpText {
    command: "",
    examples: &[
        ("standfast demo", "Watch a failover: needs no file and no server"),
        ("standfast run standfast.yaml", "Run the proxy"),
    ],
    codes: [
        "Done, or the answer is yes",
        "The answer is no: problems found, not served, not ready, could not start",
        "Could not ask: wrong command line, file cannot be read, instance cannot be reached",
    ],
    variables: &[CONFIG, ADMIN, LOG, ROOTS, NO_COLOR],
};

/// Every command.
pub const COMMANDS: [HelpText; 8] = [
    HelpText {
        command: "run",
        examples: &[
            ("standfast run standfast.yaml", "Run in the foreground; Ctrl-C stops"),
            ("standfast run", "The file of $STANDFAST_CONFIG, or /etc/standfast/standfast.yaml"),
        ],
        codes: [
            "Stopped by a signal",
            "The file has problems, or the proxy could not start or go on",
            "Wrong command line, or the file cannot be read",
        ],
        variables: &[CONFIG, LOG, ROOTS, NO_COLOR],
    },
    HelpText {
        command: "check",
        examples: &[
            ("standfast check standfast.yaml", "Show every problem with its line"),
            ("standfast check --output json standfast.yaml", "The same for programs"),
        ],
        codes: [
            "Valid (warnings do not count)",
            "The file has problems",
            "Wrong command line, or the file cannot be read",
        ],
        variables: &[CONFIG, ROOTS, NO_COLOR],
    },
    HelpText {
        command: "demo",
        examples: &[
            ("standfast demo", "Watch a failover on 127.0.0.1:8080: type crash"),
            ("standfast demo --http 127.0.0.1:18080", "When port 8080 is taken"),
        ],
        codes: ["Done, or stopped by a signal", "Could not start, or the script found a failure", "Wrong command line"],
        variables: &[("STANDFAST_DEMO_LISTEN", "The address of its ports, when --listen is not given"), LOG, NO_COLOR],
    },
    HelpText {
        command: "status",
        examples: &[
            ("standfast status --watch", "Show the instance on this machine every 2 s"),
            ("standfast status --admin 10.0.0.5:9901 --output json", "Another instance, for programs"),
        ],
        codes: [
            "Every service is served",
            "At least one service is not served (a static response is not service)",
            "Wrong command line, or the instance cannot be reached",
        ],
        variables: &[ADMIN, NO_COLOR],
    },
    HelpText {
        command: "healthcheck",
        examples: &[
            ("standfast healthcheck", "Is the instance on this machine ready?"),
            ("standfast healthcheck --path /livez", "Is its process alive?"),
        ],
        codes: [
            "Ready (status 200)",
            "Not ready, cannot be reached, or wrong command line (never 2: Docker reserves it)",
            "",
        ],
        variables: &[ADMIN],
    },
    HelpText {
        command: "journal",
        examples: &[
            ("standfast journal /var/lib/standfast/state.json.journal", "What was decided, and why"),
            ("standfast journal --json /var/lib/standfast/state.json.journal", "The same for programs"),
        ],
        codes: [
            "Replayed: every state that can be compared is the same",
            "The replay leads to another state than was recorded",
            "Wrong command line, or the journal cannot be read (damaged, of another version)",
        ],
        variables: &[],
    },
    HelpText {
        command: "upstream",
        examples: &[
            ("standfast upstream --name a --http 127.0.0.1:3000", "A first server"),
            ("standfast upstream --name b --http 127.0.0.1:3001", "A second one, for failover"),
            ("standfast upstream --name c --tcp 127.0.0.1:4000", "One for TCP: echoes lines"),
        ],
        codes: ["Stopped by a signal", "Could not start", "Wrong command line"],
        variables: &[],
    },
    HelpText {
        command: "completions",
        examples: &[
            ("standfast completions bash > /etc/bash_completion.d/standfast", "For bash"),
            ("standfast completions fish > ~/.config/fish/completions/standfast.fish", "For fish"),
        ],
        codes: ["Done", "", "Wrong command line"],
        variables: &[],
    },
];

impl HelpText {
    /// The text below the options.
    pub fn text(&self) -> String {
        let mut text = rows("Examples:", self.examples);
        let codes = ["0", "1", "2"].into_iter().zip(self.codes).filter(|(_, what)| !what.is_empty());
        text.push_str(&format!("\n{}", rows("Exit codes:", &codes.collect::<Vec<_>>())));
        if !self.variables.is_empty() {
            text.push_str(&format!("\n{}", rows("Environment:", self.variables)));
        }
        text
    }
}

/// A heading, and a line a row: two columns when they fit.
fn rows(heading: &str, rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let mut text = format!("{heading}\n");
    rows.iter().for_each(|(left, right)| text.push_str(&format!("  {left:width$}  {right}\n")));
    text
}
