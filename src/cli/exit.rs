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
    /// The credential does not allow it, or there is none.
    NotAllowed = 3,
    /// The state is not the one it was meant for, or its id was used for something else.
    Changed = 4,
    /// It was sent and no answer came: it may have been done.
    Unknown = 5,
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
    /// What each exit code says here, from 0 on; empty = the command never ends with it.
    pub codes: &'static [&'static str],
    /// Environment variables that the command reads.
    pub variables: &'static [(&'static str, &'static str)],
}

const CONFIG: (&str, &str) = ("STANDFAST_CONFIG", "The configuration file, when no FILE is given");
const ADMIN: (&str, &str) = ("STANDFAST_ADMIN", "The admin port, when --admin is not given");
const TOKEN: (&str, &str) = ("STANDFAST_TOKEN_FILE", "A file with a bearer token, when --token-file is not given");
const LOG: (&str, &str) = ("STANDFAST_LOG", "Replaces log.filter, for example `debug`");
const ROOTS: (&str, &str) = ("SSL_CERT_FILE, SSL_CERT_DIR", "Replace the system's CA certificates");
const NO_COLOR: (&str, &str) = ("NO_COLOR", "When set: no colour");

/// Of every act.
const ACT_CODES: [&str; 6] = [
    "Done, or it is so already",
    "Refused: the text says why, and what would make it possible",
    "Wrong command line, or the instance cannot be reached: nothing was done",
    "Not allowed: no credential, or one without the role",
    "The state has changed meanwhile, or the id of the act was used before",
    "Outcome unknown: the act was sent, and no answer came",
];

/// Of what only reads.
const READ_CODES: [&str; 4] = [
    "Shown",
    "There is no such incident or service",
    "Wrong command line, or the instance cannot be reached",
    "Not allowed: no credential, or one without the role",
];

/// Of an evacuation.
const EVACUATE_CODES: [&str; 6] = [
    ACT_CODES[0],
    "Refused, or some services stay: the text says which, and why",
    ACT_CODES[2],
    ACT_CODES[3],
    ACT_CODES[4],
    ACT_CODES[5],
];

/// The whole program: what all commands have in common.
pub const PROGRAM: HelpText = HelpText {
    command: "",
    examples: &[
        ("standfast demo", "Watch a failover: needs no file and no server"),
        ("standfast run standfast.yaml", "Run the proxy"),
    ],
    codes: &[
        "Done, or the answer is yes",
        "The answer is no: problems found, not served, not ready, could not start",
        "Could not ask: wrong command line, file cannot be read, instance cannot be reached",
        "Not allowed: no credential, or one without the role",
        "The state has changed meanwhile, or the id of the act was used before",
        "Outcome unknown: the act was sent, and no answer came",
    ],
    variables: &[CONFIG, ADMIN, TOKEN, LOG, ROOTS, NO_COLOR],
};

/// Every command.
pub const COMMANDS: [HelpText; 30] = [
    HelpText {
        command: "run",
        examples: &[
            ("standfast run standfast.yaml", "Run in the foreground; Ctrl-C stops"),
            ("standfast run", "The file of $STANDFAST_CONFIG, or /etc/standfast/standfast.yaml"),
        ],
        codes: &[
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
        codes: &[
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
        codes: &[
            "Done, or stopped by a signal",
            "Could not start, or the script found a failure",
            "Wrong command line",
        ],
        variables: &[("STANDFAST_DEMO_LISTEN", "The address of its ports, when --listen is not given"), LOG, NO_COLOR],
    },
    HelpText {
        command: "status",
        examples: &[
            ("standfast status --watch", "Show the instance on this machine every 2 s"),
            ("standfast status --admin 10.0.0.5:9901 --output json", "Another instance, for programs"),
        ],
        codes: &[
            "Every service is served",
            "At least one service is not served (a static response is not service)",
            "Wrong command line, or the instance cannot be reached",
        ],
        variables: &[ADMIN, TOKEN, NO_COLOR],
    },
    HelpText {
        command: "incidents",
        examples: &[
            ("standfast incidents", "The last switches"),
            ("standfast incidents 17", "One of them, with its stages and the objective"),
        ],
        codes: &READ_CODES,
        variables: &[ADMIN, TOKEN, NO_COLOR],
    },
    HelpText {
        command: "explain",
        examples: &[("standfast explain shop", "Why is shop where it is, and what would move it?")],
        codes: &READ_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "healthcheck",
        examples: &[
            ("standfast healthcheck", "Is the instance on this machine ready?"),
            ("standfast healthcheck --path /livez", "Is its process alive?"),
        ],
        codes: &[
            "Ready (status 200)",
            "Not ready, cannot be reached, or wrong command line (never 2: Docker reserves it)",
            "",
        ],
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "switchover",
        examples: &[("standfast switchover shop eu-north -m maintenance", "Move shop to eu-north, and keep it there")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "failback",
        examples: &[("standfast failback shop -m repaired", "Bring shop home now")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "pin",
        examples: &[("standfast pin shop eu-north -m audit", "Keep shop on eu-north whatever happens")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "unpin",
        examples: &[("standfast unpin shop -m done", "Let shop decide freely again")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "thaw",
        examples: &[("standfast thaw shop -m understood", "End the freeze of elective switches")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "hold",
        examples: &[("standfast hold shop all --for 2h -m migration", "Make no switch, and record what would be done")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "release",
        examples: &[("standfast release shop -m done", "End the hold")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "drain",
        examples: &[("standfast drain shop 10.0.0.1:8080 -m upgrade", "Give it no new work")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "maint",
        examples: &[("standfast maint shop 10.0.0.1:8080 -m disk", "Take it out of service")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "ready",
        examples: &[("standfast ready shop 10.0.0.1:8080 -m upgraded", "Take it back into service")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "weight",
        examples: &[(
            "standfast weight shop 10.0.0.1:8080 10 --for 1h -m warm-up",
            "Give it another share for an hour",
        )],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "eject",
        examples: &[("standfast eject shop 10.0.0.1:8080 -m suspect", "Eject it: trials bring it back")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "uneject",
        examples: &[("standfast uneject shop 10.0.0.1:8080 -m repaired", "Use it again now")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "accept",
        examples: &[(
            "standfast accept orders 10.0.0.2:5432 -m restored",
            "Follow this primary, whatever was followed before",
        )],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "evacuate",
        examples: &[("standfast evacuate eu-west --for 4h -m maintenance", "Leave the pools of a zone")],
        codes: &EVACUATE_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "return",
        examples: &[("standfast return eu-west -m done", "End the evacuation")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "reload",
        examples: &[("standfast reload -m routes", "Put the configuration file into force")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "act",
        examples: &[("standfast act show 0123456789abcdef0011223344556677", "What came of this act")],
        codes: &ACT_CODES,
        variables: &[ADMIN, TOKEN],
    },
    HelpText {
        command: "journal",
        examples: &[
            ("standfast journal /var/lib/standfast/state.json.journal", "What was decided, and why"),
            ("standfast journal --json /var/lib/standfast/state.json.journal", "The same for programs"),
        ],
        codes: &[
            "Replayed: every state that can be compared is the same",
            "The replay leads to another state than was recorded",
            "Wrong command line, or the journal cannot be read (damaged, of another version)",
        ],
        variables: &[],
    },
    HelpText {
        command: "token",
        examples: &[
            ("standfast token create --name ada --role operator --services shop,pay-*", "A token for 90 days"),
            ("standfast token create --name ci --role viewer --never --file /etc/standfast/tokens", "One without end"),
            ("standfast token list", "The tokens of admin.tokens_file"),
            ("standfast token revoke 7k2m9qv4xd", "Take one out; no reload is needed"),
        ],
        codes: &[
            "Done",
            "The file is wrong, cannot be changed, or has no such token",
            "Wrong command line, or the file cannot be read",
        ],
        variables: &[CONFIG, NO_COLOR],
    },
    HelpText {
        command: "audit",
        examples: &[
            ("standfast audit verify", "Is the log of the configuration sound?"),
            ("standfast audit verify --key audit.pub old.jsonl new.jsonl", "These files, and the checkpoints in them"),
            ("standfast audit show --service shop --since 2h", "What happened to a service"),
            ("standfast audit key new /etc/standfast/audit.key", "A key that signs checkpoints"),
        ],
        codes: &[
            "The log is sound (what is not proven is said), or done",
            "Records were edited, removed, inserted or moved, or a line in the middle is torn",
            "Wrong command line, or a file cannot be read or made",
        ],
        variables: &[CONFIG],
    },
    HelpText {
        command: "upstream",
        examples: &[
            ("standfast upstream --name a --http 127.0.0.1:3000", "A first server"),
            ("standfast upstream --name b --http 127.0.0.1:3001", "A second one, for failover"),
            ("standfast upstream --name c --tcp 127.0.0.1:4000", "One for TCP: echoes lines"),
        ],
        codes: &["Stopped by a signal", "Could not start", "Wrong command line"],
        variables: &[],
    },
    HelpText {
        command: "completions",
        examples: &[
            ("standfast completions bash > /etc/bash_completion.d/standfast", "For bash"),
            ("standfast completions fish > ~/.config/fish/completions/standfast.fish", "For fish"),
        ],
        codes: &["Done", "", "Wrong command line"],
        variables: &[],
    },
];

impl HelpText {
    /// The text below the options.
    pub fn text(&self) -> String {
        let mut text = rows("Examples:", self.examples);
        let codes = ["0", "1", "2", "3", "4", "5"].into_iter().zip(self.codes.iter().copied());
        let codes = codes.filter(|(_, what)| !what.is_empty());
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
